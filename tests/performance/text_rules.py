"""Data steps that read a text by rules alone, beside the counterfactual engine on the same sentences.

python tests/performance/text_rules.py [--rounds 12] [--sentences 3000]

The texts are the first sentences of WikiSplit's validation part in the data folder. A round has a step and the engine
right after one another, in alternating order, by the computing time of this process; a ratio is how many times the
engine's time a step takes. The first round is not counted: in it the patterns of phrases are made, each when a word of
it is first met, by whoever reads first. Gender, full grammar, names, exemptions; one core.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

from side_by_side import CLOCKS, Targets, alternately

from evenhand_sdk import counterfactuals, load_axis
from evenhand_standard.data.corpus_audit import audit
from evenhand_standard.data.neutral_sentences import neutralised

GENDER = load_axis("gender")


def sentences(count: int) -> list[str]:
    """The unsplit sentences, with marks where a reader expects them."""
    file = Path(os.environ["EVENHAND_DATA"]) / "wiki_split" / "validation.tsv"
    lines = file.read_text(encoding="utf-8").splitlines()
    return [re.sub(r" ([.,;:!?])", r"\1", line.split("\t")[0]) for line in lines[:count]]


def engine(texts: Sequence[str]) -> None:
    for text in texts:
        counterfactuals(text, GENDER)


def neutral(texts: Sequence[str]) -> None:
    for text in texts:
        neutralised(text, GENDER)


def audited(texts: Sequence[str]) -> None:
    audit(texts, [GENDER])


STEPS: dict[str, Callable[[Sequence[str]], None]] = {"neutral-rewriting": neutral, "corpus-audit": audited}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--sentences", type=int, default=3000)
    asked = parser.parse_args()
    texts = sentences(asked.sentences)
    targets = Targets()
    for name, step in STEPS.items():
        ours, bare = alternately(step, engine, asked.rounds, before=lambda: (texts,), clock=CLOCKS["cpu"])
        targets.ratio(f"{name}: times the engine's time", ours, bare)
        speed, beside = (len(texts) / statistics.median(times) for times in (ours, bare))
        print(f"{'':52} {speed:,.0f} sentences a second, the engine {beside:,.0f}")


if __name__ == "__main__":
    main()
