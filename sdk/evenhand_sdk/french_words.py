"""Word lists behind `french_grammar`."""

from __future__ import annotations


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


ADVERBS = _set(
    """très trop si plus moins aussi bien assez plutôt peu tellement vraiment toujours souvent encore déjà parfois
    jamais pas point presque fort tout toute extrêmement complètement absolument particulièrement également
    aujourd'hui enfin jamais rarement ici désormais seulement même vite tôt tard ensuite soudain certes donc
    maintenant"""
)
PREPOSITIONS = _set(
    """à de d' du des au aux avec sans pour par chez sur sous dans en entre vers contre devant derrière depuis pendant
    jusqu'à avant après comme selon malgré envers parmi outre dès"""
)
TONIC = PREPOSITIONS | _set("et ou ni c'est c'était que qu' est sauf")
OWNING = _set("""ma ta sa mon ton son notre votre leur mes tes ses nos vos leurs""")
TONIC_PRONOUNS = _set("""moi toi lui elle nous vous eux elles""")
SMALL_WORDS = _set("""à au aux de d du des en et la le les l ou par pour sur un une""")
CONJUNCTIONS = _set("et ou mais ni")
LINKING = _set(
    """est sont était étaient sera seront fut furent serait seraient soit soient fût semble semblent semblait
    semblaient sembla paraît paraissent paraissait parut devient deviennent devenait devint deviendra reste
    restent restait resta restera demeure demeura demeurait sent sentait sentit étais suis es tombe tomba
    tombait vit vivait vivent vécut meurt mourut naît naquit"""
)
BEFORE_VERB = _set("ne n' se s' y en me m' te t' nous vous lui leur")
HAVING = _set("a ont avait avaient aura auront aurait auraient ait aient eut avoir ayant")
AVOIR = HAVING | _set("ai as avons avez j'ai")
BEEN = _set("été")
FIXED_DETERMINERS = _set(
    """les des ces mes tes ses nos vos leurs notre votre leur chaque deux trois quatre cinq six sept huit neuf dix
    vingt cent mille plusieurs quelques quelque aux l' autres d'autres"""
)
MASCULINE = {
    "le": "la",
    "un": "une",
    "aucun": "aucune",
    "quel": "quelle",
    "certain": "certaine",
    "nul": "nulle",
    "tout": "toute",
    "tous": "toutes",
    "quels": "quelles",
    "certains": "certaines",
    "ce": "cette",
    "cet": "cette",
    "mon": "ma",
    "ton": "ta",
    "son": "sa",
    "au": "à la",
    "du": "de la",
}
FEMININE = {
    "la": "le",
    "une": "un",
    "aucune": "aucun",
    "quelle": "quel",
    "certaine": "certain",
    "nulle": "nul",
    "toute": "tout",
    "toutes": "tous",
    "quelles": "quels",
    "certaines": "certains",
    "cette": "ce",
    "ma": "mon",
    "ta": "ton",
    "sa": "son",
}
ASPIRATED = tuple(
    _set(
        """hach hai haï hamac hand hang hann har hasard hât haut héros hibou hideu hol homard hong hont hors houl huit
        hurl husky"""
    )
)
"""How words begin whose h keeps the vowel before it: le héros, le haut, la Hollande; but l'héroïne, l'homme, l'hôte."""
SILENT = ("haltér", "harm", "habit", "hôte", "hôtesse", "homme", "héritier", "héritière", "héroïne", "historien")
PLURAL_DETERMINERS = _set(
    """les des ces mes tes ses nos vos leurs deux trois quatre cinq six sept huit neuf dix plusieurs quelques tous
    toutes aux certains certaines quels quelles"""
)
NO_ADJECTIVE = _set(
    """tienne vienne cheveux deux yeux ceux jeux lieux feux vœux tarif appel hôtel ciel sel quel auquel lequel bien
    rien combien chien italienne antienne milieux adieux neveux aveux motif lien soutien entretien maintien"""
)
ENDINGS = (
    ("eux", "euse"),
    ("eux", "euses"),
    ("ien", "ienne"),
    ("iens", "iennes"),
    ("if", "ive"),
    ("ifs", "ives"),
    ("el", "elle"),
    ("els", "elles"),
)
"""Endings of adjectives, masculine and feminine; verbs end in -ive and -elle, too, so those are no sign of a woman."""
IMPERSONAL_VERBS = _set(
    """faut fallait faudra faudrait fallut pleut pleuvait pleuvra neige neigeait gèle suffit suffisait vaut valait
    s'agit s'agissait convient importe existe existait manque"""
)
IMPERSONAL_ADJECTIVES = _set(
    """important possible impossible nécessaire vrai évident clair certain probable difficile facile utile inutile
    temps interdit rare dommage préférable essentiel tôt tard midi minuit question étonnant bon mauvais"""
)
EPICENE_ENDINGS = ("ique", "iste", "able", "ible", "aire", "esque", "oire", "ime", "ème", "ide", "phe", "ogue", "ène")
NO_PARTICIPLE = _set(
    """marché café thé été côté degré blé congé musée lycée idée journée soirée année santé beauté qualité vérité
    société université rivière communauté liberté cité pitié moitié amitié clé pré canapé bébé curé gré fossé
    traité arrêté matinée armée entrée pensée arrivée dictée durée épée fée"""
)
