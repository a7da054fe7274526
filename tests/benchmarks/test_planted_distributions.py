"""A planted model answers for distributions and special tokens as a real one does."""

from __future__ import annotations

import math

import pytest

from evenhand_sdk import PlantedModel, token_bins
from evenhand_sdk.planted import PlantedTokenizer


def test_special_tokens_are_one_token_and_survive_decoding():
    tokenizer = PlantedTokenizer()
    ids = tokenizer.encode("[END] He is [MASK].")
    assert ids == (1, 2, 3, 0, 4)
    assert tokenizer("[END] He is [MASK].")["input_ids"] == [1, 2, 3, 0, 4]
    assert tokenizer.encode(tokenizer.decode(ids)) == ids
    assert tokenizer(["He is", "[END]"])["input_ids"] == [[2, 3], [1]], "several texts, as tokenizers take them"


def test_a_planted_tokenizer_numbers_the_forms_of_group_words_as_they_are_looked_up():
    """Form by form: the words as given, in lower case, with a capital, in capitals; spaces make no difference here."""
    tokenizer = PlantedTokenizer()
    bins = token_bins(tokenizer, [("he", "she"), ("king", "first lady")], 10)
    assert list(tokenizer.ids)[2:] == ["he", "she", "He", "She", "HE", "SHE", "king", "first", "lady", "King",
                                       "First", "KING", "FIRST", "LADY"]  # fmt: skip
    assert bins.tolist() == [0, 1, 2, 2, 4, 4, 6, 6, 8, 9], "of two words no entry, and none beyond the vocabulary"


def test_a_causal_distribution_depends_on_what_stands_before():
    model = PlantedModel(distribution=lambda text: {"her": 0.75} if text == "She lost" else {}, vocabulary=10)
    ids = model.ids("She lost her hat")
    (found,) = model.distributions([ids], [[1, 2]])
    assert found.shape == (2, 10)
    assert found.exp().sum(-1).tolist() == pytest.approx([1.0, 1.0])
    # A quarter is spread over ten entries, "her" among them; its own three quarters stand in its place.
    total = 0.75 + 9 * 0.025
    assert float(found[0, ids[2]]) == pytest.approx(math.log(0.75 / total))
    assert float(found[0, ids[0]]) == pytest.approx(math.log(0.025 / total))
    assert found[1].tolist() == pytest.approx([math.log(0.1)] * 10)


def test_a_masked_distribution_sees_the_whole_text_but_the_mask():
    model = PlantedModel(
        distribution=lambda text: {"her": 0.5} if text == "She lost [MASK] hat" else {}, kind="masked", vocabulary=10
    )
    ids = model.ids("She lost his hat")
    (found,) = model.distributions([ids], [[2]])
    her = model.ids("her")[0]
    assert int(found[0].argmax()) == her
