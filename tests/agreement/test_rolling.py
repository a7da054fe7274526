"""A text that is longer than the context: its windows, and their scores, beside those of lm-eval.

lm-eval reads windows that lie end to end: only the last one has a context of more than a token. Ours overlap by half,
unless asked for `stride = context - 1`; then they are the same. lm-eval counts the tokens that are put in, we those
of the whole window with the last token, which is only predicted: its length 63 is our context 64.
"""

from __future__ import annotations

import pytest
from hosts import hosted, rolling, smollm2

from evenhand.measured import Measured
from evenhand_sdk.benchmark_data import builtin_passages
from evenhand_sdk.tiny import LENGTH, save_tiny, tiny_sentences
from evenhand_standard.benchmarks import perplexity

CONTEXT = 64
LENGTHS = (1, 2, 62, 63, 64, 65, 126, 127, 128, 200)


@pytest.fixture(scope="module", params=["gpt2", "gemma3"])
def short(request, tmp_path_factory):
    """(measured, the same model in lm-eval): a model that takes 64 tokens, without a start token and with one."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    folder = save_tiny(tmp_path_factory.mktemp(request.param), family=request.param)
    config = AutoConfig.from_pretrained(folder)
    config.max_position_embeddings = CONTEXT
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.model_max_length == LENGTH, "it is the model that is short"
    model, tokenizer, host = hosted(folder, max_length=CONTEXT - 1)
    return Measured(model, tokenizer, "causal", dtype="float32"), host


@pytest.fixture(scope="module")
def document():
    return " ".join(tiny_sentences()[:40])


@pytest.mark.parametrize("length", LENGTHS)
def test_with_a_context_of_one_token_the_windows_are_those_of_lm_eval(length):
    from lm_eval.utils import get_rolling_token_windows

    tokens = list(range(1, length + 1))
    theirs = get_rolling_token_windows(tokens, prefix_token=0, max_seq_len=CONTEXT - 1, context_len=1)
    ours = perplexity.windows((0, *tokens), CONTEXT, CONTEXT - 1)
    # A window of theirs is (what goes in, what is predicted); of ours, (both, how many at the end are predicted).
    expected = [((*read, predicted[-1]), len(predicted)) for read, predicted in theirs]
    found = [(window, min(new, len(window) - 1)) for window, new in ours]
    assert found == expected


def test_with_a_context_of_one_token_the_scores_are_those_of_lm_eval(short, document):
    measured, host = short
    assert measured.longest == CONTEXT and host.max_length == CONTEXT - 1
    ids = (host.prefix_token_id, *host.tok_encode(document))
    assert len(ids) > 5 * CONTEXT
    ours = _total(measured, ids, CONTEXT - 1)
    # Of some six windows, each within 0.001 nat.
    assert ours == pytest.approx(rolling(host, [document])[0], abs=5e-3)


@pytest.mark.slow
@pytest.mark.realmodel
def test_windows_that_overlap_find_a_text_likelier():
    """Why ours do: at the seams of lm-eval's a token has next to nothing before it, and costs what no reader pays."""
    model, tokenizer, host = hosted(smollm2(), max_length=CONTEXT - 1)
    measured = Measured(model, tokenizer, "causal", dtype="float32")
    document = " ".join(builtin_passages("builtin:heldout")[:6])
    ids = (host.prefix_token_id, *measured.ids(document))
    (theirs,) = rolling(host, [document])
    end_to_end, overlapping = (_total(measured, ids, stride) for stride in (CONTEXT - 1, CONTEXT // 2))
    assert end_to_end == pytest.approx(theirs, abs=1e-2)
    assert overlapping > theirs + 0.05 * len(ids)


def _total(measured, ids, stride):
    """The log-likelihood of a document by windows that are `stride` apart."""
    windows = list(perplexity.windows(ids, CONTEXT, stride))
    return sum(s.total for s in measured.score([w for w, _ in windows], ends=[new for _, new in windows]))
