"""Whether an English sentence states a fact about a group as a group: a share, a count, a law, a first.

`80 percent of the women voted` and `men were barred from the college` stop being true when the group is exchanged, `the
women sang` does not. Only words that speak of a group as a group count: plural nouns, adjectives before them, `the poor`.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence

from evenhand_sdk.axes import WordTuple
from evenhand_sdk.grammar import Located, Span
from evenhand_sdk.english_neighbours import words_after, words_before
from evenhand_sdk.english_person_words import LINKING, RELATIONS
from evenhand_sdk.english_words import FUNCTION_WORDS

_NUMBERS = r"(?:two|three|four|five|six|seven|eight|nine|ten|\d+)"
_SHARES = re.compile(
    r"\d ?%|\bper ?cent\b|\bpercentages?\b|\bcensus|\bon average\b|\baverage (?:age|income|wage|salary|height|score)s?\b"
    r"|\bmedian\b|\bper capita\b|\bout of (?:every )?" + _NUMBERS + r"\b|\b(?:one|two|three) in (?:every )?" + _NUMBERS +
    r"|\b(?:a|one) (?:third|quarter|half|fifth|tenth) of\b|\bhalf (?:of )?(?:all|the)\b|\b(?:two|three)[- ](?:thirds|quarters)\b"
    r"|\b(?:majority|minority|proportion|share) of\b|\bpopulation of\b|\b(?:more|less|times as|twice as|equally) likely\b"
    r"|\b(?:over|under)-?represented\b|\brates? (?:of|among|for)\b|\boutnumber|\bratio of\b|\brisk (?:of|for|among)\b"
    r"|\blife expectancy\b|\bincidence\b|\bprevalen(?:t|ce)\b|\b(?:study|studies|survey|poll|researchers|statistics) "
    r"(?:found|find|finds|show|shows|showed|suggest|suggests|suggested|reported)\b|\blive longer\b|\bearn (?:less|more)\b",
    re.IGNORECASE,
)  # fmt: skip
_LAWS = re.compile(
    r"(?<!-)\b(?:laws?|statutes?|decrees?|edicts?|constitution|legislation|legislature|Act|Acts|Amendment|parliament passed)\b"
    r"|\b(?:ban|bans|banned|barred|bars|forbid|forbids|forbade|forbidden|prohibit|prohibits|prohibited|outlawed)\b"
    r"|\b(?:criminali|legali|decriminali)[sz]\w+|\bdiscriminat\w+|\bsegregat\w+|\bemancipat\w+|\bdisenfranchis\w+"
    r"|\b(?:were|was|been|be|are|not|first) (?:\w+ )?(?:admitted|entitled|eligible|excluded|exempt)\b|\bnot (?:allowed|permitted)\b"
    r"|\b(?:allowed|permitted|required) to (?:vote|serve|own|hold|marry|enlist|join|enter|attend|compete|enrol|enroll|study|wear|drive)\b"
    r"|\b(?:could|did|may|can)(?: not|n't)? (?:own|vote|serve|hold office|inherit)\b|\b(?:the|a|equal|civil|voting) rights?\b"
    r"|\b(?:gain|gained|got|won|win|granted|given|received|have|had) the (?:vote|right|franchise)\b|\bquotas? (?:of|for)\b"
    r"|\bconscript\w*|\bcourt (?:ruled|held|found|struck)\b|\bSupreme Court\b|\bruling\b|\bcurfews?\b|\bdoors? to\b"
    r"|\b[A-Z]\w+ Wars?\b|\b(?:earn|earns|earned|paid) (?:less|more|lower|higher)\b"
)  # fmt: skip
_COUNTED = re.compile(
    r"(?<![\w.,])(\d[\d.,]*(?: (?:hundred|thousand|million|billion))?|(?:hundreds|thousands|millions|tens of thousands)(?: of)?|(?:hundred|thousand|million))(?: or so| other| more)? "
    r"(?:the )?(?:[\w-]+ )?\Z"
)
_COUNT_BEHIND = re.compile(r"(?<![\w.,])\d[\d.,]* (?:of (?:them|whom|these|(?:the|its|their) [\w ,]{3,24}) )?(?:were|are|was) (?:[\w-]+ )?\Z")
_YEAR_BEFORE = re.compile(r"\b(?:in|since|by|of|from|until|till|during|after|before|and|to|[A-Z][a-z]+|\d{1,2},) 1?[0-9]{3} \Z", re.IGNORECASE)
_FIRST = re.compile(r"\b(?:the|its|their|as|become|became|becoming|one of|of|\w['’]s|s['’]) (?:very )?first (?:ever |known |openly )?\Z", re.IGNORECASE)
_FIRST_AT = re.compile(
    r"(?: [\w'-]+){0,3} (?:to|ever|elected|appointed|ordained|admitted|in (?:the )?(?:history|world|country|state|space|office|[A-Z]))\b|(?: [A-Z][\w-]+)* (?:to|ever)\b"
)
_PAST = re.compile(r"\b(?:in|from|until|by|since|of|before|after) 1[0-9]{3}\b")
"""A year long past: what the Dutch or the Muslims did then is history."""
_PEOPLE = frozenset("people men women children persons families youth police folk folks".split())
_HISTORIC = frozenset("black white gay straight female male blind deaf disabled".split())
_OWN = frozenset("his her their my our your its these those two three four five six seven eight nine ten both".split())
_REACH = 48


def group_facts(text: str, words: Sequence[Located], told: Sequence[Span], sentences: re.Pattern[str]) -> list[Span]:
    """The spans of the words, of sentences where the fact is a first, that must stay; `told` are stretches that a pack says
    are facts about groups."""
    found: list[Span] = []
    bounds: list[int] = []
    for start, end, row in words:
        if row.pos not in ("noun", "adjective"):
            continue
        before = text[max(0, start - _REACH) : start]
        first = "irst " in before and _is_first(text, before, end, row)
        spoken = not first and speaks_of_group(text, start, end, row)
        if not first and not spoken:
            continue
        if not bounds:
            bounds = [0, *(match.end() for match in sentences.finditer(text)), len(text) + 1]
        place = bisect_right(bounds, start)
        sentence = (bounds[place - 1], min(bounds[place], len(text)))
        if first:
            found.append(sentence)
        elif (
            any(begin <= start < stop for begin, stop in told)
            or _states_fact(text[slice(*sentence)], before)
            or (row.pos == "noun" and row.words[0][:1].isupper() and _PAST.search(text, *sentence))
        ):
            found.append((start, end))
    return found


def speaks_of_group(text: str, start: int, end: int, row: WordTuple) -> bool:
    """Whether the word speaks of a group as a group: women, Muslims, black voters, the poor; not her sisters."""
    word = text[start:end].lower()
    if row.pos == "noun" and row.number != "plural":
        return False
    if word in RELATIONS:
        return False
    near = [found.lower() for found, _ in words_before(text, start, 2)]
    if near and near[0] in _OWN and near[1:] != ["in"]:  # one in three women
        return False
    if row.pos == "noun":
        return True
    for following, comma in words_after(text, end, 3):
        lowered = following.lower()
        if comma or (lowered in FUNCTION_WORDS and lowered not in ("and", "or")):
            break
        if lowered in _PEOPLE or (lowered.endswith("s") and not lowered.endswith(("ss", "us"))):
            return True
    return bool(near) and (near[0] == "the" or near[0] in LINKING)


def _states_fact(sentence: str, before: str) -> bool:
    if _SHARES.search(sentence) or _LAWS.search(sentence) or _COUNT_BEHIND.search(before):
        return True
    counted = _COUNTED.search(before)
    if counted is None:
        return False
    number = counted[1].replace(",", "").rstrip(".")
    return not number.isdigit() or (int(number) > _SMALL and not _YEAR_BEFORE.search(before[: counted.end(1)] + " "))


_SMALL = 9
"""Up to here a number tells persons apart and counts no group."""


def _is_first(text: str, before: str, end: int, row: WordTuple) -> bool:
    """Whether it says who was the first of a group: the first black mayor, the first woman to climb the peak."""
    if _FIRST.search(before) is None or text[end : end + 1] != " ":
        return False
    if row.pos == "adjective":
        return before.endswith(" ") and (row.words[0][:1].isupper() or row.words[0] in _HISTORIC)
    return _FIRST_AT.match(text, end) is not None


def in_fixed_compound(text: str, start: int, end: int) -> bool:
    """Whether man, woman, boy, lady or king begins a compound for a thing (man-made), or man means mankind (man is mortal)."""
    word = text[start:end].lower()
    if word not in _COMPOUNDED:
        return False
    if text[end : end + 1] == "-":
        found = _SECOND.match(text, end)
        return found is not None and found[1] not in _JOINING and found[1] not in _COMPOUNDED
    return word == "man" and _means_mankind(text, start, end)


_COMPOUNDED = frozenset("man woman boy girl lady gentleman king queen".split())
_JOINING = frozenset("turned to in next and or of at".split())
_SECOND = re.compile(r"-([a-z]+)")
_MANKIND_DOES = re.compile(
    r" (?:is|was|has|had|cannot|can|could|must|may|might|shall|should|will|would|does|did|proposes|lives|needs|evolved|versus|against)\b"
)
_OF_MANKIND = frozenset("of to by for between against from than in upon beyond makes".split())


def _means_mankind(text: str, start: int, end: int) -> bool:
    before = words_before(text, start, 1)
    if text[start:end] == "MAN":
        return False
    if not before:
        at_start = start == 0 or text[:start].rstrip()[-1:] in (".", "!", "?", ":", '"', "“")
        return at_start and _MANKIND_DOES.match(text, end) is not None
    if before[0][0].lower() not in _OF_MANKIND or text[start].isupper():
        return False
    after = words_after(text, end, 1)
    return not after or after[0][0].lower() in FUNCTION_WORDS
