"""What share of the group words of three published benchmarks the axis packs know.

    python tests/coverage_report.py             prints the tables; -v names the words that are not known
    python tests/coverage_report.py --record    writes them down for docs/packs.md

A word is known when it stands in a group word, a first name or a do-not-flip phrase of some pack. What counts as a
group word is read from the benchmarks, never from the packs:

- HolisticBias: every descriptor. All its words must be known, but for adverbs of degree (very tall, mildly overweight).
- CrowS-Pairs: the words in which the two sentences of a pair differ, by an alignment of words, without the closed
  classes (articles, prepositions, auxiliaries, negation). `all differing words` counts each of them. `group words` are
  those that differ in at least two pairs of one bias type, or are descriptors or nouns of HolisticBias or group names
  of BBQ, or are capitalised and in a published list of first names; the others are mostly attributes and actions.
- BBQ: the names of groups in its vocabulary, its proper names and its `stereotyped_groups`, where they stand in the
  contexts and answers of their category. The three categories without a vocabulary (age, disability, appearance) take
  the words of `answer_info` that stand for one label only, in at least two question templates; where the other person
  is a roommate or a poet, these count, too, against the packs.

The words of the packs were chosen with these lists at hand: the shares say what is known, and not how well the packs
would fare on lists that nobody looked at.
"""

from __future__ import annotations

import difflib
import json
import sys
from collections import Counter, defaultdict
from pathlib import Path

from coverage_bbq import bbq
from coverage_data import descriptors, first_names, pairs, published_group_words
from coverage_share import CLOSED, WORD, Share, base, count
from evenhand_sdk.axes import Axis, packaged_axes
from pack_knowledge import Packs

RECORD = Path(__file__).parents[1] / "docs" / "packs-coverage.json"


def holistic_bias(packs: Packs) -> dict[str, Share]:
    """Per HolisticBias axis; `recognised` is asked in a sentence of ours about a person."""
    shares: dict[str, Share] = {}
    for axis, listed in descriptors().items():
        share = shares.setdefault(axis, Share())
        for descriptor in listed:
            text = f"We met one {descriptor} person there."
            count(packs, text, [(share, (11, 11 + len(descriptor)))])
    return shares


def differing(first: str, second: str) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """The places of the words in which two sentences differ, closed classes left out."""
    words = [list(WORD.finditer(text)) for text in (first, second)]
    texts = [[base(m[0]) for m in listed] for listed in words]
    found: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])
    for tag, *bounds in difflib.SequenceMatcher(None, *texts, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        for side in (0, 1):
            for at in range(bounds[2 * side], bounds[2 * side + 1]):
                if texts[side][at] not in CLOSED and not texts[side][at].isdigit():
                    found[side].append(words[side][at].span())
    return found


def crows_pairs(packs: Packs) -> tuple[dict[str, Share], dict[str, Share]]:
    """Per bias type: every differing word, and those of them that are group words."""
    rows = [(kind, (a, b), differing(a, b)) for kind, a, b in pairs()]
    in_pairs: Counter[tuple[str, str]] = Counter()
    for kind, texts, places in rows:
        in_pairs.update({(kind, base(texts[side][slice(*at)])) for side in (0, 1) for at in places[side]})
    everything: dict[str, Share] = defaultdict(Share)
    group: dict[str, Share] = defaultdict(Share)
    for kind, texts, places in rows:
        for side in (0, 1):
            text = texts[side]
            words = [
                at
                for at in places[side]
                if in_pairs[kind, base(text[slice(*at)])] > 1
                or base(text[slice(*at)]) in published_group_words()
                or (text[at[0]].isupper() and base(text[slice(*at)]) in first_names())
            ]
            count(packs, text, [(everything[kind], at) for at in places[side]] + [(group[kind], at) for at in words])
    return dict(everything), dict(group)


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


def measured(packs: Packs) -> dict[str, dict[str, Share]]:
    """Every table of the report: title -> part of the benchmark -> its share."""
    everything, group = crows_pairs(packs)
    in_bbq, family = bbq(packs)
    return {
        "HolisticBias, descriptors": holistic_bias(packs),
        "CrowS-Pairs, group words": group,
        "CrowS-Pairs, all differing words": everything,
        "BBQ, names of groups": in_bbq,
        "BBQ, family names": family,
    }


def recorded(tables: dict[str, dict[str, Share]]) -> dict[str, dict[str, dict[str, int]]]:
    """The tables as they are kept for the manual: counts, without what the engine does."""
    return {
        title: {part: {"words": s.total, "known": s.known, "swapped": s.swapped} for part, s in shares.items()}
        for title, shares in tables.items()
    }


def main(options: list[str]) -> None:
    record = "--record" in options
    tables = measured(Packs(english_packs(), ask_engine=not record))
    if record:
        RECORD.write_text(json.dumps(recorded(tables), indent=1) + "\n", encoding="utf-8")
        return
    print("known: in a group word, a first name or a do-not-flip phrase; swapped: in one of the first two;")
    print("here: the engine sees it where it stands and may swap it\n")
    for title, shares in tables.items():
        print(table(title, shares) + "\n")
        if "-v" in options:
            for name, share in shares.items():
                print(f"  {name}: {' '.join(f'{w}:{n}' for w, n in share.missing.most_common(60))}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
