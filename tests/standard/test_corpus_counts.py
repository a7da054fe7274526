"""The counts of the corpus audit, against values worked out by hand and against another implementation."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenhand_sdk import group_words, load_axis
from evenhand_standard.data.corpus_counts import (
    NO_GROUP,
    SEVERAL,
    WORD,
    CorpusCounts,
    cooccurrence_bias,
    dirichlet_pmi,
    label_shares,
    largest_label_gap,
)

GENDER = load_axis("gender")
TEXTS = [
    "She cooks well",  # near female: cooks, well
    "he cooks and drives",  # near male: cooks, and, drives
    "He drives",  # near male: drives
    "rain fell and rain fell",
]


def counted(texts: list[str], window: int = 10) -> CorpusCounts:
    counts = CorpusCounts.of([GENDER], window=window)
    for text in texts:
        counts.add(text)
    return counts


def test_cooccurrence_bias_is_the_log_ratio_of_the_two_conditional_probabilities() -> None:
    counts = counted(TEXTS)
    found = cooccurrence_bias(counts.axes[0], counts.words, "female")
    # 14 words; 1 female and 2 male ones. P(cooks|f) = (1/2) / (1/14) = 7; P(cooks|m) = (1/4) / (2/14) = 7/4.
    assert found == {"cooks": pytest.approx(math.log(7 / (7 / 4)))}
    other = cooccurrence_bias(counts.axes[0], counts.words, "male")
    assert other == {"cooks": pytest.approx(-math.log(4))}


def test_a_text_with_decomposed_accents_has_the_words_of_the_composed_one() -> None:
    french = load_axis("gender", "fr")
    counts = [CorpusCounts.of([french]), CorpusCounts.of([french])]
    text = "La lycéenne préfère le thé; le lycéen, le café."
    assert len(unicodedata.normalize("NFD", text)) == len(text) + 6
    counts[0].add(text)
    counts[1].add(unicodedata.normalize("NFD", text))
    assert counts[0].words == counts[1].words and counts[1].words["préfère"] == 1
    assert counts[0].seen == counts[1].seen
    assert counts[1].axes[0].mentions == {"female": 1, "male": 1}
    assert counts[0].axes[0].near == counts[1].axes[0].near


def test_pmi_with_a_dirichlet_prior_by_hand() -> None:
    counts = counted(TEXTS)
    found = dirichlet_pmi(counts.axes[0], counts.words, "male", alpha=1.0)
    # drives: 2 of 4 words near male; 2 of 14 in the corpus, so that 4 x 2/14 are expected.
    assert found["drives"] == pytest.approx(math.log((2 + 1) / (4 * 2 / 14 + 1)))
    assert set(found) == {"cooks", "and", "drives"}


def test_the_prior_draws_rare_words_towards_0_and_leaves_frequent_ones() -> None:
    texts = ["she sings"] * 500 + ["she hums"] + ["rain fell on the town"] * 500
    counts = counted(texts)

    def pmi(alpha: float) -> dict[str, float]:
        return dirichlet_pmi(counts.axes[0], counts.words, "female", alpha)

    bare, smoothed = pmi(1e-9), pmi(10.0)
    assert bare["hums"] == pytest.approx(bare["sings"])  # both are only ever near she
    assert smoothed["sings"] > 0.9 * bare["sings"] and smoothed["hums"] < 0.1 * bare["hums"]
    assert all(abs(value) < 1e-5 for value in pmi(1e9).values())


def test_a_group_that_is_never_mentioned_gives_no_bias() -> None:
    counts = counted(["She cooks well"])
    assert cooccurrence_bias(counts.axes[0], counts.words, "female") == {}
    assert cooccurrence_bias(counts.axes[0], counts.words, "male") == {}


def test_the_window_counts_words_on_both_sides() -> None:
    counts = counted(["a b c she d e f"], window=2)
    assert counts.axes[0].near["female"] == Counter("bcde")


def test_mentions_pronouns_and_texts_by_group() -> None:
    axis = counted(["She met her brother.", "He left.", "Rain.", "Mary and John met."]).axes[0]
    assert axis.mentions == {"female": 3, "male": 3}
    assert axis.pronouns == {"female": 2, "male": 1}
    assert axis.texts == {"female": 2, "male": 3}
    assert axis.sole == {SEVERAL: 2, "male": 1, NO_GROUP: 1}


def test_exempt_words_are_no_mentions() -> None:
    [word] = list(group_words("Mother Nature is kind.", GENDER))
    assert word.exempt
    assert not counted(["Mother Nature is kind."]).axes[0].mentions


def test_labels_by_group() -> None:
    counts = CorpusCounts.of([GENDER])
    for text, label in [("She sings.", "good"), ("She left.", "bad"), ("He left.", "bad"), ("Rain.", "bad")]:
        counts.add(text, label)
    labels = counts.axes[0].labels
    assert label_shares(labels) == {"female": {"good": 0.5, "bad": 0.5}, "male": {"bad": 1.0}, NO_GROUP: {"bad": 1.0}}
    assert largest_label_gap(labels) == ("bad", "male", "female", 0.5)
    assert largest_label_gap({"female": labels["female"]}) is None


def test_duplicates_are_equal_but_for_case_and_spaces() -> None:
    assert counted(["A b.", "a  B.", "a b", "a b"]).duplicate_rate == 0.5
    assert counted([]).duplicate_rate == 0.0


def naive(texts: list[str], window: int) -> dict[str, Counter[str]]:
    """c(w,g) the slow way: for each group word, every other word at most `window` words off."""
    near: dict[str, Counter[str]] = {}
    for text in texts:
        words = [(m.start(), m.end(), m[0].lower()) for m in WORD.finditer(text)]
        spans = [(w.group, w.start, w.end) for w in group_words(text, GENDER) if not w.exempt]
        inside = {k for k, (s, e, _) in enumerate(words) for _, a, b in spans if s < b and a < e}
        for group, a, b in spans:
            own = [k for k, (s, e, _) in enumerate(words) if s < b and a < e]
            near.setdefault(group, Counter())
            for k, (_, _, word) in enumerate(words):
                if own and k not in inside and own[0] - window <= k <= own[-1] + window:
                    near[group][word] += 1
    return near


@settings(deadline=None)
@given(
    st.lists(
        st.lists(st.sampled_from(["she", "he", "mother-in-law", "king", "a", "dog", "runs", ",", "."]), max_size=25),
        max_size=4,
    )
)
def test_the_counts_are_those_of_the_slow_way(drawn: list[list[str]]) -> None:
    texts = [" ".join(words) for words in drawn]
    assert counted(texts, window=3).axes[0].near == naive(texts, 3)
