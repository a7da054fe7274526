"""From he carries, watches, is to they carry, watch, are: the plain form of a verb, or none where spelling cannot tell.

By rule for most verbs. The form in -es hides whether an e belongs to the verb (uses, focuses; watches, caches), and in
-ies whether a y does (carries, unties): the verbs that go the rarer way are listed, and an ending with which neither
way is the rule gives nothing, so that the caller leaves the sentence as it is and writes no word that there is not.
"""

from __future__ import annotations

IRREGULAR = {
    "is": "are",
    "was": "were",
    "has": "have",
    "does": "do",
    "isn't": "aren't",
    "wasn't": "weren't",
    "hasn't": "haven't",
    "doesn't": "don't",
}


def _by_form(ending: str, words: str) -> dict[str, str]:
    """Form in the third person -> plain form, of verbs that only add an ending."""
    return {word + ending: word for word in words.split()}


RARER = {
    **_by_form(
        "es", "focus refocus bias debias gas degas bus canvas chorus caucus census callus nonplus trellis alias"
    ),
    **_by_form("es", "summons lens dis rendezvous radius psych smooth"),
    **_by_form("ses", "focus refocus bias gas degas bus nonplus caucus chorus"),
    **_by_form("zes", "quiz whiz"),
    "midwives": "midwife",
    **_by_form("s", "ache bellyache cache recache douche niche pastiche avalanche axe pickaxe poleaxe finesse"),
    **_by_form(
        "s", "shoe reshoe horseshoe snowshoe hoe toe tiptoe canoe throe tie untie retie hogtie belie underlie overlie"
    ),
    **_by_form("s", "die lie vie pie hie stymie birdie boogie caddie sortie bowtie taxi ski"),
    **_by_form("es", "taxi"),
    **_by_form("s", "subpoena samba rumba visa"),
}
"""Verbs whose plain form is not the one that their ending says."""
SILENT_E = (
    "eases", "hases", "rases", "bases", "cases", "leases", "ises", "oses", "yses", "auses", "ouses", "nses", "lses",
    "pses", "rses", "wses",
)  # fmt: skip
"""Endings in -ses behind which the e is the verb's, but for the verbs above."""
IN_USE = _by_form(
    "s",
    "use abuse misuse reuse disuse overuse fuse infuse refuse defuse diffuse confuse suffuse transfuse effuse perfuse "
    "accuse excuse amuse bemuse muse peruse enthuse contuse disabuse recuse",
)
"""The verbs in -use: others in -uses may be verbs in -us."""
NO_E = ("sses", "shes", "ches", "xes", "zzes", "tzes", "oes")
"""Endings that are -es, behind a verb without an e."""


def base_form(verb: str) -> str | None:
    """The plain form of a verb in the third person: carries -> carry, watches -> watch; None where it is unsure."""
    lowered = verb.lower().replace("’", "'")
    found = IRREGULAR[lowered] if lowered in IRREGULAR else _regular(lowered)
    if found is None:
        return None
    return cased(found.replace("'", "’") if "’" in verb else found, verb)


def _regular(verb: str) -> str | None:
    before, hyphen, last = verb.rpartition("-")
    if hyphen:
        inner = _regular(last)
        return None if inner is None else f"{before}-{inner}"
    if verb in RARER:
        return RARER[verb]
    if "'" in verb or not verb.endswith("s") or verb.endswith(("ss", "us", "is", "as")):
        return None
    if verb.endswith("ies"):
        return verb[:-3] + "y" if len(verb) > 4 else None
    if verb.endswith("ses") and not verb.endswith("sses"):
        return verb[:-1] if verb.endswith(SILENT_E) or verb in IN_USE else None
    return verb[:-2] if verb.endswith(NO_E) else verb[:-1]


def cased(word: str, like: str) -> str:
    """A word with the capitals of another one."""
    if like.isupper() and len(like) > 1:
        return word.upper()
    return word[:1].upper() + word[1:] if like[:1].isupper() else word
