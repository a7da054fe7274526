"""What the pages of the data steps claim about real text, measured again. `-s` prints the numbers."""

from __future__ import annotations

import json
import os
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from data_steps import applied
from datasets import Dataset

from evenhand_sdk import UsageError, counterfactuals, load_axis
from evenhand_sdk.benchmark_data import read_rows
from evenhand_standard.data.bias_filter import BiasFilter
from evenhand_standard.data.keep_rates import DIALECT, NONE, groups_of
from evenhand_standard.data.neutral_sentences import neutralised
from evenhand_standard.data.rewrite_candidates import candidates, likeliest
from evenhand_standard.text_scorers.toxicity_classifier import TWEETS, fold, normalised

DATA = Path(os.environ.get("EVENHAND_DATA", "nowhere"))
pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not (DATA / "wiki_split").is_dir(), reason="EVENHAND_DATA names no folder with wiki_split"),
]


def wiki(part: str) -> list[str]:
    """The whole sentence and its two halves, of each row, with signs put back to their words."""
    lines = (DATA / "wiki_split" / f"{part}.tsv").read_text(encoding="utf-8").splitlines()
    parts = [p.strip() for line in lines for p in re.split(r"\t|<::::>", line)]
    assert len(lines) == 5000 and len(parts) == 15_000
    return [re.sub(r" ([.,;:!?])", r"\1", p) for p in parts]


def has_features(text: str) -> bool:
    return (DIALECT, NONE) not in groups_of(text)


def test_the_dialect_rule_hardly_ever_finds_plain_prose_and_finds_few_tweets() -> None:
    lines = (DATA / "lambada" / "lambada_test.jsonl").read_text(encoding="utf-8").splitlines()
    novels = [json.loads(line)["text"] for line in lines]
    tweets = [row["tweet"] for row in read_rows(TWEETS, None)]
    found = [sum(map(has_features, texts)) for texts in (wiki("tune"), novels, tweets)]
    print(f"\ndialect rule: {found[0]} of 15,000, {found[1]} of {len(novels):,}, {found[2]} of {len(tweets):,}")
    assert len(novels) == 5153 and len(tweets) == 10_000
    assert found[0] == 0 and found[1] <= 5 and 300 < found[2] < 600


def test_the_packaged_classifier_alone_is_refused_on_tweets_because_of_dialect(tiny: Any, run_of: Any) -> None:
    held = [row["tweet"] for row in read_rows(TWEETS, None) if fold(normalised(row["tweet"])) == 0]
    with pytest.raises(UsageError, match="the filter keeps") as caught:
        applied(BiasFilter, run_of(*tiny()), Dataset.from_dict({"text": held}), classifier="toxicity", axes=("gender",))
    print("\n" + str(caught.value))
    ratio = re.search(r"dialect: African American English against [^;]*, (0\.\d+)", str(caught.value))
    assert len(held) == 1978 and ratio is not None and float(ratio[1]) < 0.6


def test_neutral_rewriting_changes_few_sentences_about_named_people() -> None:
    axis = load_axis("gender")
    for part in ("tune", "validation"):
        found = [neutralised(text, axis) for text in wiki(part)]
        left = sum((f.left for f in found), Counter())
        print(f"\n{part}: {sum(f.edits > 0 for f in found)} of 15,000 rewritten; left: {dict(left.most_common())}")
        assert 0 < sum(f.edits > 0 for f in found) < 30


@pytest.mark.slow
@pytest.mark.realmodel
def test_a_model_reads_her_back_as_him_or_his_more_often_rightly_than_the_rules() -> None:
    """Sentences with him, swapped to her and back: whole sentences that come back as they were."""
    from evenhand.models import load, resolve
    from evenhand.scoring import score_texts

    axis = load_axis("gender")
    texts = [t for t in dict.fromkeys(wiki("validation")) if re.search(r"\bhim\b", t) and len(t) < 300]
    random.Random(0).shuffle(texts)
    asked = []
    for text in texts:
        there = counterfactuals(text, axis, "female")
        back = candidates(there[0].text, axis, "male") if there else []
        if text in back:
            asked.append((text, back))
    asked = asked[:300]
    loaded = load(
        resolve("smollm2-135m-instruct", offline=True), kind="causal", dtype="auto", device="cpu",
        trust_remote_code=False,
    )  # fmt: skip
    flat = [text for _, found in asked for text in found]
    scores = dict(zip(flat, [s.total for s in score_texts(loaded.model, loaded.tokenizer, flat)], strict=True))
    rules = sum(found[0] == text for text, found in asked)
    model = sum(likeliest([scores[t] for t in found], found) == text for text, found in asked)
    print(f"\nof {len(asked)} sentences, the rules give back {rules}, the model {model}")
    assert len(asked) > 200
    assert model > rules and model / len(asked) > 0.95
