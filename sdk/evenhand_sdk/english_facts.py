"""Whether an English sentence states a fact about a group as a group: a share, a count, a law, a first.

`80 percent of the women voted` and `men were barred from the college` stop being true when the group is exchanged,
`the women sang` does not. Only words that speak of a group as a group count: plural nouns, adjectives before them,
`the poor`. A fact binds those of its own sentence, all of them: of two groups either both are exchanged or none.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from functools import cached_property
from itertools import groupby
from typing import NamedTuple

from evenhand_sdk.axes import WordTuple
from evenhand_sdk.english_neighbours import words_after, words_before
from evenhand_sdk.english_partners import LONGEST_JOINT, are_partners
from evenhand_sdk.english_person_words import LINKING, RELATIONS
from evenhand_sdk.english_persons import closes, is_adjective, is_person_noun
from evenhand_sdk.english_words import FUNCTION_WORDS, LAW_SIGNS, NOUNS_AND_ADJECTIVES, SHARE_SIGNS
from evenhand_sdk.grammar import Located, Span
from evenhand_sdk.spans import Spans


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
    r"\b[Oo]nly (?:[\w-]+ ){1,2}(?:can|could|may|might)\b",
    r"\bnot (?:allowed|permitted)\b|\b(?:allowed|permitted|required) to (?:vote|serve|own|hold|marry|enlist|join)\b",
    r"\b(?:allowed|permitted|required) to (?:enter|attend|compete|enrol|enroll|study|wear|drive)\b",
    r"\b(?:could|did|may|can)(?: not|n't)? (?:own|vote|serve|hold office|inherit)\b",
    r"\b(?:the|a|equal|civil|voting) rights?\b|\bquotas? (?:of|for)\b|\bdoors? to\b|\b[A-Z]\w+ Wars?\b",
    r"\b(?:gain|gained|got|won|win|granted|given|received|have|had) the (?:vote|right|franchise)\b",
    r"\b(?:earn|earns|earned|paid) (?:less|more|lower|higher)\b",
)
_TOPIC = re.compile(
    r"\b(?:books?|articles?|papers?|essays?|novels?|poems?|plays?|films?|documentar(?:y|ies)|series|blogs?|columns?|reports?"
    r"|stud(?:y|ies)|research|work|thes[ie]s|dissertations?|lectures?|talks?|courses?|class(?:es)?|seminars?|speech(?:es)?"
    r"|experts?|authorit(?:y|ies)|specialists?|lecturers?|writes?|wrote|written|writing|lectured?|lectures|speaks?|spoke"
    r"|teaches|taught|published|specialis\w+|specializ\w+|interest|interested|views?|opinions?|book-length)"
    r"(?: [\w-]+){0,2} (?:on|about|in|into|against|towards?)(?: [\w-]+){0,3} \Z",
    re.IGNORECASE,
)
"""Words for writing, teaching and knowing, up to the preposition before what it is about."""
_WORDS = re.compile(r"[a-z]+")
_COUNT = r"\d(?:[\d.,]*\d)?(?: (?:hundred|thousand|million|billion))?"
_MANY = r"(?:hundreds|thousands|millions|tens of thousands)(?: of)?|hundred|thousand|million"
_COUNTED = re.compile(
    rf"(?<![\w.,])({_COUNT}|{_MANY})(?: or so| other| more)? (?:the )?(?:[a-z][\w-]*(?<!s) ){{0,2}}\Z"
)
_OF_WHOM = r"of (?:them|whom|these|(?:the|its|their) [\w ,]{3,24}) "
_COUNT_BEHIND = re.compile(rf"(?<![\w.,])\d[\d.,]* (?:{_OF_WHOM})?(?:were|are|was) (?:[\w-]+ )?\Z")
_COUNTED_ARE = re.compile(rf"(?<![\w.,])({_COUNT}|{_MANY}) (?:[a-z]+ ){{1,2}}(?:are|were) \Z")
"""A count of people and what they are (two million people are blind)."""
_YEAR_BEFORE = re.compile(
    r"\b(?:(?:(?i:in|since|by|of|from|until|till|during|after|before)|[A-Z][a-z]+|\d{1,2},) (?:[12][0-9]{3}|[0-9]{3})"
    r"|(?:and|to) [12][0-9]{3}) \Z"
)
_SMALL = 9
"""Up to here a number tells persons apart and counts no group."""
_COUNT_OF = re.compile(r"\d(?: ?%| per ?cent) \Z|(?<![\d.,])\d{1,3}(?:,\d{3})* \Z")
"""How many, right before an adjective (12 male, 45 percent female)."""
_PAST = re.compile(r"\b(?:in|from|until|by|since|of|before|after) 1[0-9]{3}\b")
"""A year long past: what the Dutch or the Muslims did then is history."""
_WARFARE = re.compile(
    r"\b(?:wars?|wartime|arm(?:y|ies)|troops|soldiers|sailors|regiments?|battalions?|brigades?|fleets?|nav(?:y|ies)"
    r"|invasions?|invad(?:ed|ing)|occup(?:ied|ation)|coloni(?:al|es|sed|zed)|colony|colonists?|besieged|siege|surrendered"
    r"|conquered|conquest|treat(?:y|ies)|independence|bombed|torpedoed|assassinat(?:ed|ion)|burned down|burnt down"
    r"|battleships?|destroyers|tanks?|garrisons?|rebellion|uprising|mutiny|empire|prisoners of war)\b"
)
"""What the British or the Muslims did in a war or to a colony is history."""
_FIRST = re.compile(
    r"\b(?:the|its|their|as|become|became|becoming|one of|of|\w['’]s|s['’]) (?:very )?"
    r"(?:first|(second|third|fourth|fifth)) (?:ever |known |openly )?\Z",
    re.IGNORECASE,
)
_FIRST_AT = _any(
    r"(?: [\w'-]+){0,3} (?:to|ever|elected|appointed|ordained|admitted)\b",
    r"(?: [\w'-]+){0,3} in (?:the )?(?:history|world|country|state|space|office|[A-Z])\b",
    r"(?: [A-Z][\w-]+)* (?:to|ever)\b",
    r"(?: [\w'-]+){0,3} in (?:(?:over|more than|nearly|almost|the past|the last) )?(?:an?|\w+) "
    r"(?:years|decades?|generations?|century|centuries)(?: to\b|[.,;:)]|\Z)",
)
_LATER_AT = _any(
    r"(?: [\w'-]+){0,3} (?:ever|elected|appointed|ordained|admitted|in history|in the history)\b",
    r"(?: [\w'-]+){0,2} to (?!the\b|an?\b|my\b|his\b|her\b|our\b|their\b|us\b|me\b|him\b|them\b)[a-z]+\b",
    r" (?:president|governor|mayor|minister|senator|judge|justice|chancellor|astronaut|bishop|speaker|director|head)"
    r" (?:of|in) ",
)
"""Behind the second or a later one of a group: what makes it a fact of history (the second female governor of)."""
_PEOPLE = frozenset(("people", "men", "women", "children", "persons", "families", "youth", "police", "folk", "folks"))
_STATE = (
    "ambassador president minister king queen emperor empress consul governor general admiral commander chancellor "
    "envoy premier viceroy monarch ruler sultan soldier officer captain colonel lieutenant sailor explorer colonist "
    "settler"
)
_OFFICES_OF_STATE = frozenset(_STATE.split())
"""Who stands for a state or a people, even alone (the French ambassador)."""
_MANY_IN_ONE = (
    "population community minority majority electorate group family public household tribe crowd team generation "
    "congregation staff crew troops individual person citizen"
)
_BODIES = frozenset(_MANY_IN_ONE.split())
"""Singular nouns that speak of several people, or of anybody."""
_ONE_SUBJECT = (["he"], ["she"], ["i"])
_HISTORIC = frozenset(("black", "white", "gay", "straight", "female", "male", "blind", "deaf", "disabled"))
_OWN = frozenset(
    ("his", "her", "their", "my", "your", "our", "its", "these", "those", "two", "three", "four", "five", "six")
    + ("seven", "eight", "nine", "ten", "both")
)
_ORDINAL_BEFORE = re.compile(r"(?:irst|ird|ond|rth|fth) (?:\w+ )?\Z")
_JOINTS = frozenset((" and ", " or ", " nor ", ", ", ", and ", ", or ", "/", "-"))
_LONGEST_LIST = 5
"""Words behind an adjective up to the noun that it is said of (white, black and Asian voters)."""
_REACH = 48


def group_facts(text: str, words: Sequence[Located], told: Sequence[Span], sentences: re.Pattern[str]) -> list[Span]:
    """The spans that must stay: of words, and of sentences that tell a first.

    `told` are stretches of which a pack says that they state facts about groups; `sentences` matches between two.
    """
    speaking: list[_Speaking] = []
    firsts: list[int] = []
    theirs: list[Span] = []
    whole = _Statement(text)
    fact = False
    for run in _runs(text, words):
        kinds = []
        for start, end, row in run:
            before = text[max(0, start - _REACH) : start]
            if _ORDINAL_BEFORE.search(before) and _is_first(text, before, end, row):
                firsts.append(start)
            elif row.pos != "noun" or row.number == "plural" or text[start:end].lower() in NOUNS_AND_ADJECTIVES:
                kinds.append((start, end, row, before))
        if any(speaks_of_group(text, start, end, row) for start, end, row, _ in kinds):
            for start, end, row, before in kinds:
                named = row.words[0][:1].isupper() and (row.pos == "noun" or _is_alone(text, end, before))
                word = _Speaking(start, end, before, named, _counts(before))
                fact = fact or word.counted or whole.is_fact(before, named=named)
                speaking.append(word)
        else:
            theirs += [(start, end) for start, end, row, before in kinds if before.lower().endswith(" their ")]
    if not firsts and not (speaking and (told or fact)):
        return []  # the whole text states none, so its sentences need not be told apart
    bounds = [0, *(match.end() for match in sentences.finditer(text)), len(text) + 1]
    found = [_sentence(text, bounds, start) for start in firsts]
    around = Spans(told)
    stated: list[Span] = []
    for span, together in groupby(speaking, key=lambda word: _sentence(text, bounds, word.start)):
        statement, here = _Statement(text[slice(*span)]), list(together)
        if any(
            word.counted
            or around.touches(word.start, word.start + 1)
            or statement.is_fact(word.before, named=word.named)
            for word in here
        ):
            found += [(word.start, word.end) for word in here]  # one that stays alone would meet its own group
            stated.append(span)
    about = Spans(stated)
    return found + [(start, end) for start, end in theirs if about.touches(start, end)]


def _runs(text: str, words: Sequence[Located]) -> list[list[Located]]:
    """The words, those together of which one is joined to the next (male or female, white, black and Asian)."""
    runs: list[list[Located]] = []
    for word in words:
        if runs and are_joined(text, runs[-1][-1][1], word[0]):
            runs[-1].append(word)
        else:
            runs.append([word])
    return runs


def are_joined(text: str, end: int, start: int) -> bool:
    """Whether nothing stands between two words but a comma, or what makes them partners (`and`, `or`, `, not`)."""
    return start - end <= LONGEST_JOINT and (text[end:start].lower() in _JOINTS or are_partners(text, end, start))


class _Speaking(NamedTuple):
    """A word that speaks of a group as a group: text[start:end]."""

    start: int
    end: int
    before: str
    named: bool
    counted: bool


def _sentence(text: str, bounds: Sequence[int], start: int) -> Span:
    place = bisect_right(bounds, start)
    return bounds[place - 1], min(bounds[place], len(text))


def speaks_of_group(text: str, start: int, end: int, row: WordTuple) -> bool:
    """Whether the word speaks of a group as a group: women, Muslims, black voters, the poor; not her sisters."""
    surface = text[start:end].lower()
    noun = row.pos == "noun" and surface not in NOUNS_AND_ADJECTIVES
    if (noun and row.number != "plural") or surface in RELATIONS:
        return False
    near = [found.lower() for found, _ in words_before(text, start, 2)]
    if near and near[0] in _OWN and near[1:] != ["in"]:  # one in three women
        return False
    if not noun and near[:1] in (["a"], ["an"]):
        return False
    if noun or _COUNT_OF.search(text, max(0, start - _REACH), start):
        return True
    listed = False
    for place, (following, comma) in enumerate(words_after(text, end, _LONGEST_LIST)):
        lowered = following.lower()
        listed = listed or comma
        if place > 2 and not listed:
            break
        if not (place or comma) and near[:1] == ["the"] and is_person_noun(following) and _is_one(lowered):
            return False  # the white sheriff
        if (comma and not is_adjective(following, bool)) or (
            lowered in FUNCTION_WORDS and lowered not in ("and", "or")
        ):
            break
        if lowered in _PEOPLE or (lowered.endswith("s") and not lowered.endswith(("ss", "us"))):
            return True
    if near and near[0] in LINKING:
        return near[1:] not in _ONE_SUBJECT
    return bool(near) and near[0] == "the" and row.pos == "adjective"


def _is_one(noun: str) -> bool:
    """Whether the noun is one person's, and not the office of a state, which stands for it (the French ambassador)."""
    return not noun.endswith("s") and noun not in _PEOPLE and noun not in _OFFICES_OF_STATE and noun not in _BODIES


class _Statement:
    """What a sentence, or a text, states of groups; each question is asked of it once."""

    def __init__(self, text: str) -> None:
        self._text = text

    def is_fact(self, before: str, *, named: bool) -> bool:
        """Whether it states a share or a law, or a year long past or a war of a people with a name; `before` stands
        before the word."""
        return (
            self._shares_or_laws
            or (" in " in before and self._shares)  # one in three women
            or (named and self._past)
        )

    @cached_property
    def _shares_or_laws(self) -> bool:
        words = set(_WORDS.findall(self._text.lower()))
        if ("%" in self._text or not SHARE_SIGNS.isdisjoint(words)) and self._shares:
            return True
        return not LAW_SIGNS.isdisjoint(words) and _LAWS.search(self._text) is not None

    @cached_property
    def _shares(self) -> bool:
        return _SHARES.search(self._text) is not None

    @cached_property
    def _past(self) -> bool:
        return _PAST.search(self._text) is not None or _WARFARE.search(self._text) is not None


def _counts(before: str) -> bool:
    """Whether people are counted right before the word."""
    if _COUNT_BEHIND.search(before):
        return True
    counted = _COUNTED.search(before) or _COUNTED_ARE.search(before)
    if counted is None:
        return False
    number = counted[1].replace(",", "").rstrip(".")
    return not number.isdigit() or (int(number) > _SMALL and not _YEAR_BEFORE.search(before[: counted.end(1)] + " "))


def _is_alone(text: str, end: int, before: str) -> bool:
    """Whether an adjective of a people stands for it: by the French."""
    if not before.lower().endswith("the "):
        return False
    after = words_after(text, end, 1)
    return not after or after[0][1] or closes(after[0][0].lower()) or after[0][0].endswith("ed")


def _is_first(text: str, before: str, end: int, row: WordTuple) -> bool:
    """Whether it says who was the first of a group, or the second: the first black mayor, the second woman to fly."""
    found = _FIRST.search(before)
    if found is None or text[end : end + 1] != " ":
        return False
    if found[1]:
        return _LATER_AT.match(text, end) is not None
    if row.pos == "adjective":
        return row.words[0][:1].isupper() or row.words[0] in _HISTORIC
    return _FIRST_AT.match(text, end) is not None


def is_mere_topic(text: str, start: int) -> bool:
    """Whether what is named at `start` is only what somebody writes, teaches or knows about: a book on pregnancy."""
    return _TOPIC.search(text, max(0, start - _REACH), start) is not None
