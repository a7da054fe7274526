"""Word lists behind `german_grammar`."""

from __future__ import annotations


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


DATIVE = _set("mit bei von zu nach aus seit gegenüber außer ab samt beim vom zum zur")
ACCUSATIVE = _set("für durch gegen ohne um bis wider")
TWO_WAY = _set("an auf in über unter vor hinter neben zwischen")
GENITIVE = _set(
    """wegen während trotz statt anstatt innerhalb außerhalb aufgrund mithilfe zugunsten anlässlich namens"""
)
PREPOSITIONS = DATIVE | ACCUSATIVE | TWO_WAY | GENITIVE
SUBJECTS = _set("ich du er es wir man wer jemand niemand sie das dies")
"""Pronouns that are a subject, or may be one."""
CLEAR_SUBJECTS = _set("ich du er wir man")
NO_SUBJECTS = _set("den dem ihm ihn ihnen mir dir uns euch mich dich einem einen")
"""Words that open a clause as its object."""
HERS = _set("ihre ihren ihrem ihrer ihres")
COPULAS = _set(
    """ist sind war waren bin bist seid sei wäre wären wird wurde werden wurden bleibt blieb bleiben heißt hieß heißen
    gilt scheint"""
)
PLURAL_COPULAS = _set("sind waren seid wären werden wurden bleiben heißen")
SINGULAR_VERBS = _set(
    """ist hat wird war hatte wurde kann muss soll will darf mag konnte musste sollte wollte durfte mochte möchte würde
    wäre hätte könnte müsste sah ging kam gab nahm sprach las schrieb lief saß stand lag fand blieb hielt ließ
    rief schlief trug traf trat aß trank half starb warf zog flog fiel fing sang sprang schwamm begann gewann
    verlor wusste dachte brachte kannte nannte rannte bekam verstand verließ"""
)
PLURAL_VERBS = _set(
    "sind haben werden waren hatten wurden können müssen sollen wollen dürfen mögen konnten möchten würden"
)
NO_VERBS = _set("zusammen gegen neben wegen morgen selten deswegen")
TOGETHER = _set("seid habt werdet könnt müsst wollt sollt dürft wart hattet")
"""Verbs of `ihr`, the plural of you."""
ADVERBS = _set(
    """heute gestern morgen dann dort hier da jetzt bald später früher manchmal oft nie immer danach plötzlich endlich
    leider vielleicht nun wann wo warum wieso wen wem deshalb trotzdem außerdem draußen drinnen abends morgens
    zusammen gemeinsam zuerst zuletzt schließlich inzwischen allerdings dagegen"""
)
"""Words that open a clause before its verb and are no subject."""
SMALL_WORDS = _set("""der die das und oder von im in am auf zu des dem den ein eine""")
RELATIVES = _set("der die das den dem dessen deren denen welche welcher welches welchen welchem")
TITLES = _set("herr herrn frau dr prof doktor professor")
CONJUNCTIONS = _set(
    "dass weil wenn ob als nachdem bevor obwohl damit falls sobald solange während wie wo warum da seit indem"
)
JOINING = _set("und aber oder denn sondern doch")
EIN_WORDS = ("kein", "mein", "dein", "sein", "ihr", "unser", "euer", "eur", "ein", "irgendein")
DER_WORDS = ("dies", "jed", "jen", "welch", "manch", "solch")
OTHER_DETERMINERS = _set("das dieses jedes jenes welches")
MASCULINE = {"": "nominative", "er": "nominative", "en": "accusative", "em": "dative", "es": "genitive"}
ARTICLES = {"der": "nominative", "den": "accusative", "dem": "dative", "des": "genitive"}
CONTRACTED = {
    "beim": "bei der",
    "vom": "von der",
    "zum": "zur",
    "im": "in der",
    "am": "an der",
    "hinterm": "hinter der",
}
SPLIT = {"bei": "beim", "von": "vom", "zu": "zum", "in": "im", "an": "am"}
NOT_ADJECTIVES = _set(
    """wenn oder aber denn dann wieder immer jeder jede jeden einen eine einer einem diese dieser unter über hinter
    zwischen neben gegen ohne außer während statt heute gerne gestern haben werden sind waren ende alle viele
    sehen kennen sehe kenne habe hatte wurde wollte sollte konnte musste weder sondern selten zusammen morgen"""
)
WEAK_ENDINGS = ("ent", "ist", "ant", "aph", "oph", "oge", "nom", "krat", "arch", "at", "et", "ekt", "ot", "il")
WEAK = {
    "Nachbar": "Nachbarn",
    "Bauer": "Bauern",
    "Herr": "Herrn",
    "Prinz": "Prinzen",
    "Fürst": "Fürsten",
    "Graf": "Grafen",
    "Held": "Helden",
    "Mensch": "Menschen",
    "Architekt": "Architekten",
    "Pilot": "Piloten",
    "Student": "Studenten",
}
GENITIVES = {
    "Mann": "Mannes",
    "Arzt": "Arztes",
    "Sohn": "Sohnes",
    "Freund": "Freundes",
    "Feind": "Feindes",
    "Wirt": "Wirtes",
    "Gott": "Gottes",
    "Zahnarzt": "Zahnarztes",
    "Ehemann": "Ehemannes",
    "Name": "Namens",
}
ONE = ("ein", "kein", "irgendein", "jed", "welch")
"""Stems of the words that pick one of several (eine der Frauen)."""
SEVERAL = _set(
    """kinder kindern eltern leute leuten menschen geschwister geschwistern jugendlichen verwandten erwachsenen gäste
    gästen mitglieder mitgliedern zwillinge zwillingen großeltern angehörigen beamten angestellten babys"""
)
"""Nouns of several people that are no group words."""
COUNTRIES = _set("polen schweden sachsen hessen bayern franken preußen schwaben westfalen thüringen")
"""Countries and lands that have the form of their people."""
FEMININE_TWINS = _set("leiter")
"""Masculine nouns of one form for both numbers that are feminine nouns of things, too."""
