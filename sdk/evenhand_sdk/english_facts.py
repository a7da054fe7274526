"""Whether an English sentence states a fact about a group as a group: a share, a count, a law, a first.

`80 percent of the women voted` and `men were barred from the college` stop being true when the group is exchanged,
`the women sang` does not. Only words that speak of a group as a group count: plural nouns, adjectives before them,
`the poor`.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence

from evenhand_sdk.axes import WordTuple
from evenhand_sdk.english_neighbours import words_after, words_before
from evenhand_sdk.english_person_words import LINKING, RELATIONS
from evenhand_sdk.english_words import FUNCTION_WORDS, LAW_SIGNS, SHARE_SIGNS
from evenhand_sdk.grammar import Located, Span


def _any(*patterns: str, flags: int = 0) -> re.Pattern[str]:
    return re.compile("|".join(patterns), flags)


_NUMBER = r"(?:two|three|four|five|six|seven|eight|nine|ten|\d+)"
_SHARES = _any(
    r"\d ?%|\bper ?cent\b|\bpercentages?\b|\bcensus|\bon average\b|\bmedian\b|\bper capita\b",
    r"\baverage (?:age|income|wage|salary|height|score)s?\b",
    rf"\bout of (?:every )?{_NUMBER}\b|\b(?:one|two|three) in (?:every )?{_NUMBER}\b",
    r"\b(?:a|one) (?:third|quarter|half|fifth|tenth) of\b|\bhalf (?:of )?(?:all|the)\b",
    r"\b(?:two|three)[- ](?:thirds|quarters)\b|\b(?:majority|minority|proportion|share|population|ratio) of\b",
    r"\b(?:more|less|times as|twice as|equally) likely\b|\b(?:over|under)-?represented\b|\boutnumber",
    r"\brates? (?:of|among|for)\b|\brisk (?:of|for|among)\b|\blife expectancy\b|\bincidence\b|\bprevalen(?:t|ce)\b",
    r"\b(?:study|studies|surveys?|polls?|researchers|statistics) (?:found|finds?|shows?|showed|reported)\b",
    r"\b(?:study|studies|surveys?|polls?|researchers|statistics) suggest(?:s|ed)?\b",
    r"\blive longer\b|\bearn (?:less|more)\b",
    flags=re.IGNORECASE,
)
_LAWS = _any(
    r"(?<!-)\b(?:laws?|statutes?|decrees?|edicts?|constitution|legislation|legislature|Acts?|Amendment)\b",
    r"\bparliament passed\b|\bcourt (?:ruled|held|found|struck)\b|\bSupreme Court\b|\bruling\b|\bcurfews?\b",
    r"\b(?:bans?|banned|barred|bars|forbids?|forbade|forbidden|prohibit(?:s|ed)?|outlawed)\b|\bconscript\w*",
    r"\b(?:criminali|legali|decriminali)[sz]\w+|\bdiscriminat\w+|\bsegregat\w+|\bemancipat\w+|\bdisenfranchis\w+",
    r"\b(?:were|was|been|be|are|not|first) (?:\w+ )?(?:admitted|entitled|eligible|excluded|exempt)\b",
    r"\bnot (?:allowed|permitted)\b|\b(?:allowed|permitted|required) to (?:vote|serve|own|hold|marry|enlist|join)\b",
    r"\b(?:allowed|permitted|required) to (?:enter|attend|compete|enrol|enroll|study|wear|drive)\b",
    r"\b(?:could|did|may|can)(?: not|n't)? (?:own|vote|serve|hold office|inherit)\b",
    r"\b(?:the|a|equal|civil|voting) rights?\b|\bquotas? (?:of|for)\b|\bdoors? to\b|\b[A-Z]\w+ Wars?\b",
    r"\b(?:gain|gained|got|won|win|granted|given|received|have|had) the (?:vote|right|franchise)\b",
    r"\b(?:earn|earns|earned|paid) (?:less|more|lower|higher)\b",
)
_WORDS = re.compile(r"[a-z]+")
_COUNT = r"\d[\d.,]*(?: (?:hundred|thousand|million|billion))?"
_MANY = r"(?:hundreds|thousands|millions|tens of thousands)(?: of)?|hundred|thousand|million"
_COUNTED = re.compile(rf"(?<![\w.,])({_COUNT}|{_MANY})(?: or so| other| more)? (?:the )?(?:[\w-]+ )?\Z")
_OF_WHOM = r"of (?:them|whom|these|(?:the|its|their) [\w ,]{3,24}) "
_COUNT_BEHIND = re.compile(rf"(?<![\w.,])\d[\d.,]* (?:{_OF_WHOM})?(?:were|are|was) (?:[\w-]+ )?\Z")
_YEAR_BEFORE = re.compile(
    r"\b(?:in|since|by|of|from|until|till|during|after|before|and|to|[A-Z][a-z]+|\d{1,2},) 1?[0-9]{3} \Z", re.IGNORECASE
)
_SMALL = 9
"""Up to here a number tells persons apart and counts no group."""
_PAST = re.compile(r"\b(?:in|from|until|by|since|of|before|after) 1[0-9]{3}\b")
"""A year long past: what the Dutch or the Muslims did then is history."""
_FIRST = re.compile(
    r"\b(?:the|its|their|as|become|became|becoming|one of|of|\w['’]s|s['’]) (?:very )?"
    r"first (?:ever |known |openly )?\Z",
    re.IGNORECASE,
)
_FIRST_AT = _any(
    r"(?: [\w'-]+){0,3} (?:to|ever|elected|appointed|ordained|admitted)\b",
    r"(?: [\w'-]+){0,3} in (?:the )?(?:history|world|country|state|space|office|[A-Z])\b",
    r"(?: [A-Z][\w-]+)* (?:to|ever)\b",
)
_PEOPLE = frozenset(("people", "men", "women", "children", "persons", "families", "youth", "police", "folk", "folks"))
_HISTORIC = frozenset(("black", "white", "gay", "straight", "female", "male", "blind", "deaf", "disabled"))
_OWN = frozenset(
    ("his", "her", "their", "my", "your", "our", "its", "these", "those", "two", "three", "four", "five", "six")
    + ("seven", "eight", "nine", "ten", "both")
)
_REACH = 48


def group_facts(text: str, words: Sequence[Located], told: Sequence[Span], sentences: re.Pattern[str]) -> list[Span]:
    """The spans that must stay: of words, and of sentences that tell a first.

    `told` are stretches of which a pack says that they state facts about groups; `sentences` matches between two.
    """
    found: list[Span] = []
    bounds: list[int] = []
    for start, end, row in words:
        before = text[max(0, start - _REACH) : start]
        first = "irst " in before and _is_first(text, before, end, row)
        if not first and not speaks_of_group(text, start, end, row):
            continue
        named = row.pos == "noun" and row.words[0][:1].isupper()
        if not (first or told or _states_fact(text, before) or (named and _PAST.search(text))):
            continue  # the whole text states none, so its sentences need not be told apart
        if not bounds:
            bounds = [0, *(match.end() for match in sentences.finditer(text)), len(text) + 1]
        place = bisect_right(bounds, start)
        sentence = (bounds[place - 1], min(bounds[place], len(text)))
        if first:
            found.append(sentence)
        elif (
            any(begin <= start < stop for begin, stop in told)
            or _states_fact(text[slice(*sentence)], before)
            or (named and _PAST.search(text, *sentence))
        ):
            found.append((start, end))
    return found


def speaks_of_group(text: str, start: int, end: int, row: WordTuple) -> bool:
    """Whether the word speaks of a group as a group: women, Muslims, black voters, the poor; not her sisters."""
    if (row.pos == "noun" and row.number != "plural") or text[start:end].lower() in RELATIONS:
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
    words = set(_WORDS.findall(sentence.lower()))
    if ("%" in sentence or " in " in before or not SHARE_SIGNS.isdisjoint(words)) and _SHARES.search(sentence):
        return True
    if not LAW_SIGNS.isdisjoint(words) and _LAWS.search(sentence):
        return True
    if _COUNT_BEHIND.search(before):
        return True
    counted = _COUNTED.search(before)
    if counted is None:
        return False
    number = counted[1].replace(",", "").rstrip(".")
    return not number.isdigit() or (int(number) > _SMALL and not _YEAR_BEFORE.search(before[: counted.end(1)] + " "))


def _is_first(text: str, before: str, end: int, row: WordTuple) -> bool:
    """Whether it says who was the first of a group: the first black mayor, the first woman to climb the peak."""
    if _FIRST.search(before) is None or text[end : end + 1] != " ":
        return False
    if row.pos == "adjective":
        return row.words[0][:1].isupper() or row.words[0] in _HISTORIC
    return _FIRST_AT.match(text, end) is not None
