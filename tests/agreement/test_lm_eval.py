"""Scores agree with those of lm-eval on the same token ids, in float32, to 0.001 nat.

lm-eval is no dependency: `pip install lm_eval==0.4.13` beside the toolkit runs these tests; `.ci/run` does.
"""

from __future__ import annotations

import pytest
from hosts import answers, hosted, rolling, smollm2

from evenhand.scoring import adds_start_token, score_texts, token_ids
from evenhand.scoring_continuations import score_continuations
from evenhand_sdk.tiny import save_tiny

TEXTS = [
    "The nurse said that she would be back in an hour.",
    "The nurse said that he would be back in an hour.",
    "The engineer finished his report before the meeting.",
    "My grandmother baked bread every Sunday morning.",
    "Children learn languages faster than adults do.",
    "Please send the invoice to the accounting department by Friday!",
]
PAIRS = [
    ("The nurse said that", " she would be back."),
    ("The nurse said that", " he would be back."),
    ("Question: Who is late?\nAnswer:", " the doctor"),
    ("Question: Who is late?\nAnswer:", " nobody knows"),
    ("A space at the end ", "belongs to what follows."),
]
ADDS = {"llama": False, "gemma3": True, "smollm2": False}
"""Whether the tokenizer puts a start token before a text by itself."""


@pytest.fixture(scope="module", params=["llama", "gemma3", pytest.param("smollm2", marks=pytest.mark.realmodel)])
def both(request, tmp_path_factory):
    """(model, tokenizer, the same model in lm-eval)"""
    name = request.param
    folder = smollm2() if name == "smollm2" else save_tiny(tmp_path_factory.mktemp(name), family=name)
    model, tokenizer, host = hosted(folder)
    assert adds_start_token(tokenizer) == ADDS[name]
    return model, tokenizer, host


def test_whole_texts_after_a_start_token(both):
    """With an empty context lm-eval puts one start token before a text, or the end token where there is none."""
    model, tokenizer, host = both
    start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    assert host.prefix_token_id == start
    assert [tuple(host.tok_encode(text)) for text in TEXTS] == [token_ids(tokenizer, text) for text in TEXTS]
    theirs = [score for score, _ in answers(host, [("", text) for text in TEXTS])]
    own = adds_start_token(tokenizer)
    ours = score_texts(model, tokenizer, TEXTS, dtype="float32", start_token=None if own else start)
    assert [score.total for score in ours] == pytest.approx(theirs, abs=1e-3)
    assert all(score.n == len(score.ids) - own for score in ours)


def test_continuations_after_a_context(both):
    model, tokenizer, host = both
    theirs = [score for score, _ in answers(host, PAIRS)]
    ours = score_continuations(model, tokenizer, PAIRS, dtype="float32")
    assert [score.total for score in ours] == pytest.approx(theirs, abs=1e-3)


def test_the_text_of_a_document_is_scored_from_its_first_token(both):
    """Rolling log-likelihood of a text that fits into one window is that of the text after the start token.

    Where the tokenizer has put one there, lm-eval's stands before it, and the tokenizer's is scored, too.
    """
    model, tokenizer, host = both
    text = " ".join(TEXTS)
    (theirs,) = rolling(host, [text])
    (ours,) = score_texts(model, tokenizer, [text], dtype="float32", start_token=host.prefix_token_id)
    assert ours.ids == token_ids(tokenizer, text) and ours.n == len(ours.ids)
    assert ours.total == pytest.approx(theirs, abs=1e-3)
