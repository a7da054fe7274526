"""Scores agree with those of lm-eval on the same token ids, in float32, to 0.001 nat.

lm-eval is no dependency: `pip install lm_eval==0.4.13` beside the toolkit runs these tests; `.ci/run` does.
"""

from __future__ import annotations

import pytest

from evenhand.scoring import score_texts, token_ids
from evenhand.scoring_continuations import score_continuations
from evenhand_sdk.tiny import tiny_causal

pytest.importorskip("lm_eval", reason="lm-eval is not installed: pip install lm_eval==0.4.13")

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


@pytest.fixture(scope="module", params=["tiny", pytest.param("smollm2", marks=pytest.mark.realmodel)])
def both(request, tmp_path_factory):
    """(model, tokenizer, the same model in lm-eval)"""
    import torch
    from lm_eval.models.huggingface import HFLM
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if request.param == "tiny":
        model, tokenizer = tiny_causal()
        folder = tmp_path_factory.mktemp("tiny")
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    else:
        from evenhand.models import resolve

        folder = resolve("smollm2-135m-instruct", offline=True).folder
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        tokenizer = AutoTokenizer.from_pretrained(folder)
    host = HFLM(pretrained=str(folder), dtype="float32", device="cpu", batch_size=4, max_length=512)
    return model, tokenizer, host


def asked(pairs):
    from lm_eval.api.instance import Instance

    return [Instance(request_type="loglikelihood", doc={}, arguments=pair, idx=k) for k, pair in enumerate(pairs)]


def test_whole_texts_after_a_start_token(both):
    """With an empty context lm-eval puts the start token before a text, or the end token where there is none."""
    model, tokenizer, host = both
    start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    assert host.prefix_token_id == start
    assert [tuple(host.tok_encode(text)) for text in TEXTS] == [token_ids(tokenizer, text) for text in TEXTS]
    theirs = [score for score, _ in host.loglikelihood(asked([("", text) for text in TEXTS]), disable_tqdm=True)]
    ours = score_texts(model, tokenizer, TEXTS, dtype="float32", start_token=start)
    assert [score.total for score in ours] == pytest.approx(theirs, abs=1e-3)
    assert all(score.n == len(score.ids) for score in ours)


def test_continuations_after_a_context(both):
    model, tokenizer, host = both
    theirs = [score for score, _ in host.loglikelihood(asked(PAIRS), disable_tqdm=True)]
    ours = score_continuations(model, tokenizer, PAIRS, dtype="float32")
    assert [score.total for score in ours] == pytest.approx(theirs, abs=1e-3)


def test_the_text_of_a_document_is_scored_from_its_first_token(both):
    """Rolling log-likelihood of a text that fits into one window is that of the text after the start token."""
    from lm_eval.api.instance import Instance

    model, tokenizer, host = both
    text = " ".join(TEXTS)
    request = [Instance(request_type="loglikelihood_rolling", doc={}, arguments=(text,), idx=0)]
    (theirs,) = host.loglikelihood_rolling(request, disable_tqdm=True)
    (ours,) = score_texts(model, tokenizer, [text], dtype="float32", start_token=host.prefix_token_id)
    assert ours.total == pytest.approx(theirs, abs=1e-3)
