"""Of which pronouns an English text means a ship: she was launched in 1911, the frigate lost her mast.

A ship is told by what only ships do or have (she ran aground, her maiden voyage), or by what they share with persons
(she sailed, her crew) where the text has a word for a ship. One such pronoun speaks for all of the text, unless a woman
or somebody unknown is there, too; then only those count of which it is certain.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from evenhand_sdk.english_words import FUNCTION_WORDS
from evenhand_sdk.grammar import Span

_VESSELS = (
    "ship warship flagship battleship battlecruiser steamship troopship hospitalship lightship airship starship "
    "spaceship boat gunboat lifeboat steamboat sailboat motorboat u-boat frigate destroyer cruiser corvette sloop brig "
    "brigantine barque schooner yacht ferry steamer paddle-steamer submarine vessel tanker freighter liner trawler tug "
    "tugboat minesweeper minelayer galleon galley clipper ketch catamaran icebreaker dreadnought zeppelin"
)
_PREFIXES = "HMS HMAS HMCS HMNZS HMT USS USNS USCGC RMS SS MV"
_FORMS = r"(?:was|is|were|being|be|been|had been|has been|could be|would be|will be|had to be)"
_BETWEEN = r"(?: (?:not|then|later|finally|also|soon|first|once|again|never|eventually|badly|officially|[a-z]+ly))?"
_SURE_FATE = "scuttled torpedoed decommissioned recommissioned refloated drydocked refitted moored mothballed dismasted"
_SURE_FATES = (
    r"laid down (?:by|at)|launched (?:on|in) \d+|launched (?:by|at) [A-Z]\w*|run aground|placed in reserve|"
    r"(?:struck|stricken) from the (?:[Nn]aval|[Nn]avy|[Rr]egister|[Ll]ist)"
)
_SURE_DEEDS = r"ran aground|hove to|displaced \d+|carried a (?:crew|complement) of|mounted \w+ guns"
_SURE_PART = (
    "mast masts mainmast foremast mizzenmast topmast hull keel rudder rigging bowsprit boilers propeller propellers "
    "mainsail sails waterline tonnage armament funnel funnels gunports superstructure portholes"
)
_SURE_PARTS = (
    r"maiden voyage|decks(?! of)|sister ships?|sister-ships?|sea trials|main battery|shakedown cruise|gun deck"
)
_LIKELY_FATE = (
    "launched armed sold ordered renamed assigned converted built completed captured transferred scrapped "
    "towed anchored repaired bombed shelled boarded docked equipped rebuilt modernised modernized overhauled "
    "christened sunk wrecked beached rammed berthed reclassified rechristened"
)
_LIKELY_FATES = r"commissioned(?! to)|laid down|laid up|broken up|paid off"
_LIKELY_DEED = (
    "sank sailed docked anchored departed arrived patrolled escorted bombarded drifted cruised carried fired foundered "
    "capsized steamed submerged"
)
_LIKELY_DEEDS = (
    r"joined the (?:\d+\w*|First|Second|Third|Fourth|Fifth) (?:[\w-]+ )?(?:[Ff]lotilla|[Ss]quadron|[Ff]leet)|"
    r"became (?:[Ff]lotilla|[Dd]ivision) leader|"
    r"put (?:in)?to (?:sea|port)|(?:dropped|weighed) anchor|got under ?way|went down|set sail"
)
_LIKELY_PART = (
    "crew captain commander cargo guns gunners passengers deck stern bow hold anchor engines engine flag officers "
    "complement commissioning launch launching construction sinking wreck wreckage bridge helm torpedoes turrets "
    "draught"
)
_LIKELY_PARTS = "home port"
_OBJECT = (
    "sink sank sinking sunk tow towed towing board boarded boarding scuttle scuttled scuttling torpedo torpedoed refit "
    "refloat refloated repair repairing scrap launch launched propel capsize beach beached ram rammed sail sailed "
    "sailing steer steering anchor moor moored"
)


def _any(words: str) -> str:
    return "|".join(words.split())


SHIP_WORDS = frozenset(
    f"{_VESSELS} {_PREFIXES.lower()} {_SURE_FATE} {_SURE_PART} laid launched aground reserve struck stricken hove "
    "displaced complement crew mounted maiden sister trials battery shakedown gun torpedoes knots depth long gross "
    "burthen decks".split()
)
"""Parts of a text in lower case, without which no pronoun is a ship's."""
_VESSEL = re.compile(
    rf"\b(?:{_any(_VESSELS)}|{_any(_PREFIXES)})\b(?! (?:company|captain|owner|builder|yard|race|show|ride|house)\b)"
)
_IS_VESSEL = re.compile(
    r" (?:was|is|became|remains) (?:an?|the)(?: (?!(?:of|on|in|at|for|by|to|aboard)\b)[\w-]+){0,6}? "
    rf"(?:{_any(_VESSELS)})(?=[.,;:)]|$| (?:ever|built|of|in|for|to|and|that|which|with|at|until|from|by|on|operated"
    r"|owned|when|under|used)\b)"
)
_DOES = rf"(?:{_BETWEEN} (?:{{deeds}})| {_FORMS}{_BETWEEN} (?:{{fates}}))(?!\w)"
_SURE = re.compile(_DOES.format(deeds=_SURE_DEEDS, fates=f"{_any(_SURE_FATE)}|{_SURE_FATES}"))
_LIKELY = re.compile(
    _DOES.format(deeds=f"{_any(_LIKELY_DEED)}|{_LIKELY_DEEDS}", fates=f"{_any(_LIKELY_FATE)}|{_LIKELY_FATES}")
)
_ITS = r"(?: [\w-]+){{0,2}}? (?:{parts})\b(?! (?:look|voice|face|manner|fever)\b)"
_SURE_ITS = re.compile(_ITS.format(parts=f"{_any(_SURE_PART)}|{_SURE_PARTS}"))
_LIKELY_ITS = re.compile(_ITS.format(parts=f"{_any(_LIKELY_PART)}|{_LIKELY_PARTS}"))
_ACTED_ON = re.compile(rf"\b(?:{_any(_OBJECT)})\Z")
_GOES_UNDER = re.compile(
    r" (?:from (?:sinking|capsizing|drifting)|to (?:sink|capsize|be scrapped|be towed)|sideways)\b"
)
_CLAUSE_END = re.compile(r"[.,;:!?)]|$| (?:in|at|on|off|near|to|and|from|as|for|with|by|but|or|when|while|after)\b")
_SOMEBODY = re.compile(
    r"(?<![\w\"“'])(?<!\b[Tt]he )(?<!\b[Oo]f )(?<!\b[Ii]n )(?<!\b[Aa]t )([A-Z][a-z]+)(?: [A-Z][a-z]+)? "
    r"(?:[a-z]+ed|was|had|took|told|lost|went|saw|said|felt|left|met|knew|kept|gave|got|came|stood|sat|fell|held|wrote)\b"
)
_NUMBER = r"(?:\d[\d,.]*|two|three|four|five|six|seven|eight|nine|ten|twelve)"
_MEASURED = re.compile(
    rf"[^.;!?]{{0,40}}\b(?:{_NUMBER} (?:\w+ )?(?:torpedoes|depth charges)|\d[\d.]* knots|(?:long|gross) tons"
    r"|tons? burthen)\b"
)
_REACH = 30


def ships(text: str, pronouns: Sequence[Span], *, woman: bool) -> list[Span]:
    """Those of the `pronouns` (she, her, hers, herself; places in the text) that mean a ship; `woman` says whether the
    text names one."""
    vessel = _VESSEL.search(text) is not None
    sure = [span for span in pronouns if _is_sure(text, *span)]
    if woman or not (sure or (vessel and any(_is_likely(text, *span) for span in pronouns))):
        return sure
    somebody = _SOMEBODY.search(text)
    while somebody is not None and somebody[1].lower() in FUNCTION_WORDS:
        somebody = _SOMEBODY.search(text, somebody.end(1))
    return sure if somebody is not None else list(pronouns)


def _is_sure(text: str, start: int, end: int) -> bool:
    if text[start:end].lower() == "she":
        return any(pattern.match(text, end) for pattern in (_SURE, _IS_VESSEL, _MEASURED))
    return _SURE_ITS.match(text, end) is not None


def _is_likely(text: str, start: int, end: int) -> bool:
    if text[start:end].lower() == "she":
        return _LIKELY.match(text, end) is not None
    if _LIKELY_ITS.match(text, end) is not None or _GOES_UNDER.match(text, end) is not None:
        return True
    acted = _ACTED_ON.search(text, max(0, start - _REACH), start - 1)
    return acted is not None and _CLAUSE_END.match(text, end) is not None
