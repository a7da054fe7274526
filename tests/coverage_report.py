"""What share of the group words of three published benchmarks the axis packs know. `python tests/coverage_report.py [-v]`

A word is known when it stands in a group word, a first name or a do-not-flip phrase of some pack. What counts as a group
word is read from the benchmarks, never from the packs:

- HolisticBias: every descriptor. All its words must be known, but for adverbs of degree (very tall, mildly overweight).
- CrowS-Pairs: the words in which the two sentences of a pair differ, by a longest-common-subsequence alignment of words,
  without the closed classes (articles, prepositions, auxiliaries, negation). `all` counts each of them. `group words` are
  those that differ in at least two pairs of the same bias type, or are descriptors or nouns of HolisticBias or group names of
  BBQ, or are capitalised and in a published list of first names; the rest are mostly one-off attributes.
- BBQ: the names of groups in its vocabulary, its proper names and its `stereotyped_groups`, where they stand in the contexts
  and answers of their category. The three categories without a vocabulary (age, disability, appearance) take the expressions
  in `answer_info` whose words stand for one label only, in at least two question templates.

The data is read from the folder that EVENHAND_DATA names; nothing of it is kept.
"""

from __future__ import annotations

import csv
import difflib
import json
import os
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from evenhand_sdk.axes import Axis, packaged_axes
from evenhand_sdk.english_words import FUNCTION_WORDS, NUMBERS
from pack_knowledge import SWAPPED, Match, Packs, covered

DATA = Path(os.environ.get("EVENHAND_DATA") or Path(__file__).parents[2] / "shared" / "data")
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*\+?")
_POSSESSIVE = re.compile(r"['’]s$")
_PRONOUNS = frozenset(["he", "she", "him", "her", "his", "hers", "himself", "herself"])
CLOSED = (
    FUNCTION_WORDS | NUMBERS | frozenset(["no", "not", "isnt", "wasnt", "didnt", "couldnt", "yes", "ok"])
) - _PRONOUNS
_DEGREE = re.compile(r"very|really|pretty|rather|quite|more|[a-z]+ly")


@dataclass
class Share:
    """How many words there are, how many of them are known, and which are not."""

    total: int = 0
    known: int = 0
    swapped: int = 0
    """Known as a group word or a name, rather than on the do-not-flip list."""
    recognised: int = 0
    """Seen by the engine where it stands, and not exempt there."""
    missing: Counter[str] = field(default_factory=Counter)

    def add(self, word: str, known: bool, swapped: bool, recognised: bool) -> None:
        self.total += 1
        self.known += known
        self.swapped += swapped
        self.recognised += recognised
        if not known:
            self.missing[word] += 1

    def __add__(self, other: Share) -> Share:
        return Share(
            self.total + other.total,
            self.known + other.known,
            self.swapped + other.swapped,
            self.recognised + other.recognised,
            self.missing + other.missing,
        )

    @property
    def share(self) -> float:
        return self.known / self.total


def _add(share: Share, text: str, matches: list[Match], seen: list[tuple[int, int]], at: tuple[int, int]) -> None:
    """Counts the word or words at a place; each must be known but for adverbs of degree."""
    start, end = at
    words = [(m.start(), m.end()) for m in _WORD.finditer(text, start, end)]
    if len(words) > 1:
        words = [(a, b) for a, b in words if not _DEGREE.fullmatch(text[a:b].lower())] or words
    elif _POSSESSIVE.search(text[start:end]):
        words = [(start, end - 2)]

    def every(spans: list[tuple[int, int]]) -> bool:
        return all(covered(a, b, text, spans) for a, b in words)

    share.add(
        text[start:end].lower(),
        every([(m.start, m.end) for m in matches]),
        every([(m.start, m.end) for m in matches if m.how == SWAPPED]),
        every(seen),
    )


def _count(packs: Packs, text: str, places: Iterable[tuple[Share, tuple[int, int]]]) -> None:
    """Counts words of one text, each in its share."""
    places = list(places)
    if not places:
        return
    matches = list(packs.matches(text, [at for _, at in places]))
    seen = packs.recognised(text)
    for share, at in places:
        _add(share, text, matches, seen, at)


# --- HolisticBias -----------------------------------------------------------------------------------------------------


def descriptors() -> dict[str, list[str]]:
    """HolisticBias axis -> its descriptors; a descriptor may stand under several axes."""
    raw = json.loads((DATA / "holistic_bias/v1.1/descriptors.json").read_text(encoding="utf-8"))
    return {
        axis: [d if isinstance(d, str) else d["descriptor"] for bucket in buckets.values() for d in bucket]
        for axis, buckets in raw.items()
    }


def holistic_bias(packs: Packs) -> dict[str, Share]:
    """Per HolisticBias axis; `recognised` is asked in a sentence of ours about a person."""
    shares: dict[str, Share] = {}
    for axis, listed in descriptors().items():
        share = shares.setdefault(axis, Share())
        for descriptor in listed:
            text = f"We met one {descriptor} person there."
            _count(packs, text, [(share, (11, 11 + len(descriptor)))])
    return shares


# --- CrowS-Pairs ------------------------------------------------------------------------------------------------------


def pairs() -> Iterator[tuple[str, str, str]]:
    """(bias type, one sentence, the other)"""
    with (DATA / "crows_pairs/crows_pairs_anonymized.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield row["bias_type"], row["sent_more"], row["sent_less"]


def _base(word: str) -> str:
    return _POSSESSIVE.sub("", word.lower())


def differing(first: str, second: str) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """The places of the words in which two sentences differ, closed classes left out."""
    words = [list(_WORD.finditer(text)) for text in (first, second)]
    texts = [[_base(m[0]) for m in listed] for listed in words]
    found: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])
    for tag, *bounds in difflib.SequenceMatcher(None, *texts, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        for side in (0, 1):
            for at in range(bounds[2 * side], bounds[2 * side + 1]):
                if texts[side][at] not in CLOSED and not texts[side][at].isdigit():
                    found[side].append(words[side][at].span())
    return found


@cache
def first_names() -> frozenset[str]:
    """First names in the lists of the U.S. Census Bureau (1990), of Kantrowitz and of BBQ, in lower case."""
    folder = DATA / "names_occupations"
    names: set[str] = set()
    for path in sorted(folder.glob("us_census_1990/*.txt")) + sorted(folder.glob("nltk_names/*male.txt")):
        names |= {line.split()[0].lower() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()}
    return frozenset(names | {name.lower() for name in bbq_names()})


@cache
def published_group_words() -> frozenset[str]:
    """Single words of the descriptors and nouns of HolisticBias and of the vocabulary of BBQ, in lower case."""
    raw = json.loads((DATA / "holistic_bias/v1.1/nouns.json").read_text(encoding="utf-8"))
    texts = [word for nouns in raw.values() for forms in nouns for word in forms]
    texts += [d for axis, listed in descriptors().items() for d in listed if axis != "nonce"]
    texts += [name for names in bbq_vocabulary().values() for name in names]
    return frozenset(text.lower() for text in texts if " " not in text.strip())


def crows_pairs(packs: Packs) -> tuple[dict[str, Share], dict[str, Share]]:
    """Per bias type: every differing word, and those of them that are group words."""
    rows = [(kind, (a, b), differing(a, b)) for kind, a, b in pairs()]
    in_pairs: Counter[tuple[str, str]] = Counter()
    for kind, texts, places in rows:
        in_pairs.update({(kind, _base(texts[side][slice(*at)])) for side in (0, 1) for at in places[side]})
    everything: dict[str, Share] = defaultdict(Share)
    group: dict[str, Share] = defaultdict(Share)
    for kind, texts, places in rows:
        for side in (0, 1):
            text = texts[side]
            words = [
                at
                for at in places[side]
                if in_pairs[kind, _base(text[slice(*at)])] > 1
                or _base(text[slice(*at)]) in published_group_words()
                or (text[at[0]].isupper() and _base(text[slice(*at)]) in first_names())
            ]
            _count(packs, text, [(everything[kind], at) for at in places[side]] + [(group[kind], at) for at in words])
    return dict(everything), dict(group)


# --- BBQ --------------------------------------------------------------------------------------------------------------

WITHOUT_VOCABULARY = ("Age", "Disability_status", "Physical_appearance")


@cache
def bbq_vocabulary() -> dict[str, tuple[str, ...]]:
    """Category -> names of groups in the vocabulary of BBQ."""
    names: dict[str, list[str]] = defaultdict(list)
    with (DATA / "bbq/templates/vocabulary.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            names[row["Category"]].append(row["Name"].strip())
    return {category: tuple(listed) for category, listed in names.items()}


@cache
def bbq_names() -> tuple[str, ...]:
    """First names in the vocabulary of BBQ."""
    with (DATA / "bbq/templates/vocabulary_proper_names.csv").open(encoding="utf-8", newline="") as file:
        return tuple(row["Name"].strip() for row in csv.DictReader(file) if row["First_last"] != "last")


@cache
def bbq_family_names() -> tuple[str, ...]:
    """Family names in the vocabulary of BBQ."""
    with (DATA / "bbq/templates/vocabulary_proper_names.csv").open(encoding="utf-8", newline="") as file:
        return tuple(row["Name"].strip() for row in csv.DictReader(file) if row["First_last"] == "last")


def bbq_examples(category: str) -> list[dict[str, object]]:
    """The rows of one category; the two intersections are samples in the folder of mirrors."""
    path = next(iter(sorted((DATA / "bbq/data").glob(f"{category}.*jsonl"))))
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def bbq_categories() -> list[str]:
    return sorted({path.name.split(".")[0] for path in (DATA / "bbq/data").glob("*.jsonl")})


def _expressions(category: str, examples: list[dict]) -> set[str]:
    """The names of groups that the category is about."""
    vocabulary = bbq_vocabulary()
    if category in WITHOUT_VOCABULARY:
        return _recurring(examples)
    parts = {"Race_x_SES": ("Race_ethnicity", "SES"), "Race_x_gender": ("Race_ethnicity", "Gender_identity")}
    found = {name for part in parts.get(category, (category,)) for name in vocabulary[part]}
    found |= {g for e in examples for g in e["additional_metadata"]["stereotyped_groups"] if len(g) > 1}
    if "Race" in category or category in ("Gender_identity", "SES"):
        found |= set(bbq_names())
    if "Race" in category:
        found |= set(bbq_family_names())
    return found


def _recurring(examples: list[dict]) -> set[str]:
    """Words of `answer_info` under one label only, in two or more question templates; closed classes left out."""
    templates: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for example in examples:
        for expression, label in example["answer_info"].values():
            if label != "unknown":
                for word in _WORD.findall(expression):
                    templates[_base(word)][label].add(example["question_index"])
    return {
        word
        for word, labels in templates.items()
        if word not in CLOSED and len(labels) == 1 and len(next(iter(labels.values()))) > 1
    }


def bbq(packs: Packs) -> tuple[dict[str, Share], dict[str, Share]]:
    """Per category: the names of groups in each different context and answer; and family names, apart."""
    shares: dict[str, Share] = {}
    family: dict[str, Share] = {}
    for category in bbq_categories():
        examples = bbq_examples(category)
        expressions = _expressions(category, examples)
        texts = sorted({str(e[key]) for e in examples for key in ("context", "ans0", "ans1", "ans2")})
        last = expressions & set(bbq_family_names()) - set(bbq_names())
        share, apart = shares.setdefault(category, Share()), family.setdefault(category, Share())
        pattern = _finder(expressions)
        for text in texts:
            _count(packs, text, [(apart if m[1] in last else share, m.span()) for m in pattern.finditer(text)])
    return shares, {category: share for category, share in family.items() if share.total}


def _finder(names: Iterable[str]) -> re.Pattern[str]:
    """The names as whole words, the longest first; one that is written with a capital needs it, and a plural counts."""
    alternatives = sorted(names, key=lambda name: (-len(name), name))
    written = [re.escape(n) if n[0].isupper() else f"(?i:{re.escape(n)})" for n in alternatives]
    return re.compile(rf"(?<![\w-])({'|'.join(written)})s?(?![\w-])")


# --- printing ---------------------------------------------------------------------------------------------------------


def table(title: str, shares: dict[str, Share]) -> str:
    rows = [f"{title:<34} words  known  swapped  here"]
    total = sum(shares.values(), Share())
    for name, share in [*shares.items(), ("all", total)]:
        rows.append(
            f"  {name:<32} {share.total:5d}  {share.share:5.1%}  {share.swapped / share.total:6.1%}  "
            f"{share.recognised / share.total:5.1%}"
        )
    return "\n".join(rows)


def english_packs() -> list[Axis]:
    return [axis for axis in packaged_axes() if axis.locale == "en"]


def main(verbose: bool) -> None:
    packs = Packs(english_packs())
    everything, group = crows_pairs(packs)
    in_bbq, family = bbq(packs)
    print(
        "known: in a group word, a first name or a do-not-flip phrase of some pack; swapped: in one of the first two;"
    )
    print("here: the engine sees it where it stands and may swap it\n")
    for title, shares in (
        ("HolisticBias, descriptors", holistic_bias(packs)),
        ("CrowS-Pairs, group words", group),
        ("CrowS-Pairs, all differing words", everything),
        ("BBQ, names of groups", in_bbq),
        ("BBQ, family names", family),
    ):
        print(table(title, shares) + "\n")
        if verbose:
            for name, share in shares.items():
                print(f"  {name}: {' '.join(f'{w}:{n}' for w, n in share.missing.most_common(60))}\n")


if __name__ == "__main__":
    main("-v" in sys.argv[1:])
