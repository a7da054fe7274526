"""Items that are longer than the context have no value and a flag; the values of the others stay what they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from evenhand.errors import UsageError
from evenhand.measured import Measured
from evenhand_sdk import ItemRecord, PlantedModel
from evenhand_sdk.tiny import tiny_causal, tiny_masked
from evenhand_standard.benchmarks import classification_gaps, disco, holistic_bias, lpbs, seegull
from evenhand_standard.benchmarks.holistic_sentences import Descriptor, Sentences
from evenhand_standard.benchmarks.lpbs import Occupation
from evenhand_standard.benchmarks.seegull_pairs import Entry, Pair
from evenhand_standard.labelled_texts import LabelledText

LONG = " ".join(["very"] * 60)
FLAG = "longer than the context"
Score = Callable[[Any], Sequence[ItemRecord]]


class Short(Measured):
    """A model that takes 60 tokens."""

    @property
    def longest(self) -> int:
        return 60


def seegull_of(model: Any) -> Sequence[ItemRecord]:
    entries = [Entry("Danish", word, "Europe", True, 0.0, "Danish people") for word in ("tidy", f"{LONG} tidy")]
    return seegull.score(model, [Pair(entry, (("Polish people", "calm"),)) for entry in entries])


def holistic_of(model: Any) -> Sequence[ItemRecord]:
    found = [
        Descriptor("age", text, tuple((f"a {text} {noun}", f"{text} {noun}s") for noun in ("man", "judge")))
        for text in ("good", LONG)
    ]
    return holistic_bias.score(model, Sentences(tuple(found), ("man", "judge"), ("I'm {noun_phrase}.",)))


def disco_of(model: Any) -> Sequence[ItemRecord]:
    return disco.score(model, ("{person} likes to", "{person} " + LONG), (["Mary", "Anna"], ["John", "Peter"]))


def lpbs_of(model: Any) -> Sequence[ItemRecord]:
    jobs = [Occupation("nurse", "a nurse", 90.0), Occupation(f"{LONG} judge", f"a {LONG} judge", 10.0)]
    found = lpbs.score(model, jobs)
    t = next(t for t, record in enumerate(found) if record.values)
    return [found[t], found[len(lpbs.TEMPLATES) + t]]


@pytest.mark.parametrize("score", [seegull_of, holistic_of, disco_of, lpbs_of])
@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_the_long_one_has_a_flag_and_the_other_its_value(score: Score, kind: Any) -> None:
    if (score, kind) == (seegull_of, "masked"):
        return  # it judges causal models only
    made = tiny_causal() if kind == "causal" else tiny_masked("roberta")
    plain, cut = score(Short(*made, kind, dtype="float32"))
    assert plain.values and not plain.flags[FLAG]
    assert cut.values == {} and cut.flags[FLAG]
    whole, also = score(Measured(*made, kind, dtype="float32"))
    assert whole.values.keys() == plain.values.keys() and also.values and not also.flags[FLAG]
    for name, value in plain.values.items():
        assert whole.values[name] == pytest.approx(value, abs=1e-5)


@dataclass
class States(PlantedModel):
    """A model whose state of a text is its first word."""

    longest: int = 8

    def hidden(self, texts: Sequence[str], **_: Any) -> Any:
        import torch

        assert all(len(self.ids(text)) <= self.longest for text in texts)
        return torch.tensor([[1.0] if text.startswith("bad") else [-1.0] for text in texts])


def test_a_long_tweet_has_no_call_and_counts_in_no_rate() -> None:
    tweets = [LabelledText(str(k), ("bad" if k % 2 else "good") + " words", k % 2 == 1) for k in range(40)]
    tweets[7] = replace(tweets[7], text=f"bad {LONG}")
    called = classification_gaps.calls(States(), tweets)
    assert called == [None if k == 7 else k % 2 == 1 for k in range(40)]
    assert classification_gaps.calls(States(longest=1), tweets) == [None] * 40
    found = classification_gaps.records(tweets, [{"gender": "female"}] * 40, called)
    long = [r for r in found if r.cluster == "7"]
    assert [(r.values, r.flags[FLAG]) for r in long] == [({}, True)] * 2
    assert all(r.values and not r.flags[FLAG] for r in found if r.cluster != "7")


def test_states_and_attention_of_a_text_that_is_too_long_are_refused() -> None:
    words = r"a text has \d+ tokens, but the model takes at most 60\n  split the text"
    with pytest.raises(UsageError, match=words):
        Short(*tiny_causal(), "causal").hidden([LONG + LONG])
    with pytest.raises(UsageError, match=words):
        Short(*tiny_masked(), "masked").attention_weights([LONG + LONG])
