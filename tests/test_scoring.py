"""The likelihood engine gives what one plain forward pass for each text gives, only faster."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import pytest

from evenhand import scoring
from evenhand.contributions import DecodingRule, Request
from evenhand.errors import OutOfMemory, PluginFault, UsageError
from evenhand.measured import Measured
from evenhand.memory_errors import out_of_memory
from evenhand.pairs import framing_tokens
from evenhand.scored_text import token_ids
from evenhand.scoring import describe_mode, distributions, pll, score_texts
from evenhand.scoring_continuations import score_continuations
from evenhand.scoring_forward import WORTH_PACKING, Forward
from evenhand.scoring_packing import Row
from evenhand.scoring_precision import fast_bf16, measuring, resolve
from evenhand_sdk.tiny import LENGTH, tiny_causal, tiny_masked

WORDS = ["the", "a", "nurse", "doctor", "she", "he", "said", "was"]
WORDS += ["kind", "tired", "that", "and", "home", "late", "works", "hard"]
TEXTS = [
    "the nurse said that she was tired",
    "the doctor said that he was kind and works hard",
    "she was home late",
    "the nurse said that he was tired",
    "a doctor and a nurse and a doctor and a nurse and a doctor and a nurse and a doctor and she works hard",
]


def word_tokenizer(*, bos: bool = False, mask: bool = False):
    """A word-level tokenizer: with `bos` it starts texts with [BOS], with `mask` it puts them into [CLS] ...
    [SEP]."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[BOS]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {word: k for k, word in enumerate(special + WORDS)}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]"}
    if bos:
        inner.post_processor = processors.TemplateProcessing(single="[BOS] $A", special_tokens=[("[BOS]", 2)])
        names["bos_token"] = "[BOS]"
    if mask:
        inner.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 3), ("[SEP]", 4)]
        )
        names |= {"cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    return PreTrainedTokenizerFast(tokenizer_object=inner, **names)


def tiny_llama(**options):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=22,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        initializer_range=0.3,
        **options,
    )
    return LlamaForCausalLM(config).eval()


def tiny_bert():
    import torch
    from transformers import BertConfig, BertForMaskedLM

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=22,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
        initializer_range=0.3,
    )
    return BertForMaskedLM(config).eval()


def plain_logp(model, ids):
    """[T - 1] log-probability of each token but the first, from one whole forward pass."""
    import torch

    with torch.no_grad():
        logp = model(input_ids=torch.tensor([ids])).logits[0].float().log_softmax(-1)
    return [float(logp[t, ids[t + 1]]) for t in range(len(ids) - 1)]


@pytest.fixture(scope="module")
def llama():
    return tiny_llama()


@pytest.fixture(scope="module")
def bert():
    return tiny_bert()


# --------------------------------------------------------------------------------------------- causal models
def test_scores_are_those_of_one_plain_forward_pass_each(llama):
    tokenizer = word_tokenizer()
    for score, text in zip(score_texts(llama, tokenizer, TEXTS, dtype="float32"), TEXTS, strict=True):
        expected = plain_logp(llama, tokenizer(text)["input_ids"])
        assert score.n == len(expected) == len(score.ids) - 1
        assert math.isnan(score.logp[0])
        assert score.logp[1:].tolist() == pytest.approx(expected, abs=1e-4)
        assert score.total == pytest.approx(sum(expected), abs=1e-4)
        assert score.mean == pytest.approx(sum(expected) / len(expected), abs=1e-4)
        assert score.over([2, 3]) == pytest.approx(expected[1] + expected[2], abs=1e-4)


def test_the_end_of_a_text_alone_has_the_scores_that_it_has_in_the_whole(llama, monkeypatch):
    tokenizer = word_tokenizer()
    whole = score_texts(llama, tokenizer, TEXTS, dtype="float32")
    ends = [min(k + 1, s.n) for k, s in enumerate(whole)]
    rows = []
    original = scoring.gold_logp
    monkeypatch.setattr(scoring, "gold_logp", lambda f, r, *rest: rows.extend(r) or original(f, r, *rest))
    for score, some, end in zip(
        whole, score_texts(llama, tokenizer, TEXTS, dtype="float32", ends=ends), ends, strict=True
    ):
        assert (some.ids, some.n) == (score.ids, end)
        assert some.logp[-end:].tolist() == pytest.approx(score.logp[-end:].tolist(), abs=1e-5)
        assert all(math.isnan(x) for x in some.logp[:-end])
        assert some.total == pytest.approx(float(score.logp[-end:].sum()), abs=1e-4)
    assert [len(row.positions) for row in rows] == ends, "no logits but those that are read"
    more = score_texts(llama, tokenizer, [TEXTS[0]] * 3, dtype="float32", ends=[0, 10**6, 10**6], start_token=1)
    assert [s.n for s in more] == [0, len(whole[0].ids), len(whole[0].ids)], "with a start token the first one, too"


def test_a_score_that_is_no_number_is_refused_instead_of_being_left_out(llama):
    """A sum that left it out would take the token for certain, and a broken model for a better one."""

    rule = DecodingRule(
        name="broken", next_logits=lambda ids, logits, contexts: logits.masked_fill(logits > 0, math.nan)
    )
    for ask in (
        lambda: score_texts(llama, word_tokenizer(), TEXTS[:1], dtype="float32", rules=[rule]),
        lambda: distributions(llama, [[3, 4, 5]], [[1]], dtype="float32", rules=[rule]),
    ):
        with pytest.raises(UsageError, match=r"scoring: the model gives no number for \d+ of \d+ tokens"):
            ask()


@pytest.mark.parametrize("batch_tokens", [1, 40, 100_000])
def test_batch_and_padding_do_not_change_a_score(llama, batch_tokens):
    tokenizer = word_tokenizer()
    alone = [score_texts(llama, tokenizer, [text], dtype="float32")[0].total for text in TEXTS]
    together = score_texts(llama, tokenizer, TEXTS * 3, dtype="float32", batch_tokens=batch_tokens)
    assert [s.total for s in together] == pytest.approx(alone * 3, abs=1e-4)


def test_equal_texts_are_computed_once(llama):
    rows = []
    handle = llama.model.register_forward_hook(lambda m, args, out: rows.append(out[0].shape[0]))
    score_texts(llama, word_tokenizer(), [TEXTS[0]] * 50, dtype="float32")
    handle.remove()
    assert rows == [1, 1]  # the look at the output layer, and the one text


def test_the_tokenizers_start_token_is_seen_and_not_scored(llama):
    tokenizer = word_tokenizer(bos=True)
    score = score_texts(llama, tokenizer, ["she was late"], dtype="float32")[0]
    assert score.ids[0] == 2
    assert score.n == 3
    assert score.logp[1:].tolist() == pytest.approx(plain_logp(llama, list(score.ids)), abs=1e-4)


def test_a_given_start_token_lets_the_first_token_be_scored(llama):
    tokenizer = word_tokenizer()
    score = score_texts(llama, tokenizer, ["she was late"], dtype="float32", start_token=2)[0]
    ids = tokenizer("she was late")["input_ids"]
    assert score.ids == tuple(ids)
    assert score.n == 3
    assert score.logp.tolist() == pytest.approx(plain_logp(llama, [2, *ids]), abs=1e-4)


def test_token_ids_can_be_scored_as_they_are(llama):
    score = score_texts(llama, word_tokenizer(bos=True), [[6, 8, 10]], dtype="float32")[0]
    assert score.ids == (6, 8, 10)
    assert score.n == 2


def test_a_text_of_one_token_has_no_score_without_a_start_token(llama):
    score = score_texts(llama, word_tokenizer(), ["nurse"], dtype="float32")[0]
    assert (score.total, score.n) == (0.0, 0)
    assert math.isnan(score.mean)


def test_a_text_without_tokens_is_refused(llama):
    with pytest.raises(UsageError) as caught:
        score_texts(llama, word_tokenizer(), ["the nurse", ""])
    assert str(caught.value) == "scoring: a text has no tokens\n  leave empty texts out"


def test_a_text_longer_than_the_model_takes_is_refused(llama):
    with pytest.raises(UsageError) as caught:
        score_texts(llama, word_tokenizer(), ["nurse " * 65])
    assert str(caught.value) == (
        "scoring: a text has 65 tokens, but the model takes at most 64\n  split the text into shorter passages"
    )


@pytest.mark.parametrize("prompt", ["", "The nurse"])
def test_the_tokenizer_does_not_warn_of_a_length_that_is_judged_here(prompt, monkeypatch):
    said = []
    monkeypatch.setattr("transformers.tokenization_utils_base.logger.warning", lambda *told: said.append(told))
    model, tokenizer = tiny_causal()
    long = " dog" * (tokenizer.model_max_length + 1)
    with pytest.raises(UsageError, match="but the model takes at most"):
        if prompt:
            score_continuations(model, tokenizer, [(prompt, long)])
        else:
            score_texts(model, tokenizer, [long])
    assert not said
    tokenizer(long)
    assert said  # which the library itself would have done


def test_a_text_as_long_as_the_model_takes_is_scored(llama):
    assert score_texts(llama, word_tokenizer(), ["nurse " * 64], dtype="float32")[0].n == 63


def test_training_flags_and_gradients_are_left_as_they_were(llama):
    llama.train()
    llama.model.norm.eval()
    score_texts(llama, word_tokenizer(), TEXTS)
    assert llama.training and llama.model.layers[0].training and not llama.model.norm.training
    llama.eval()


# ----------------------------------------------------------------------------------- logits that are altered
def test_a_hook_on_the_logits_is_not_missed():
    model, tokenizer = tiny_llama(), word_tokenizer()

    def sharpen(module, args, output):
        output.logits = output.logits * 2.0
        return output

    plain = score_texts(model, tokenizer, TEXTS, dtype="float32")
    model.register_forward_hook(sharpen)
    for score, text in zip(score_texts(model, tokenizer, TEXTS, dtype="float32"), TEXTS, strict=True):
        assert score.logp[1:].tolist() == pytest.approx(plain_logp(model, tokenizer(text)["input_ids"]), abs=1e-4)
    assert plain[0].total != pytest.approx(score_texts(model, tokenizer, TEXTS, dtype="float32")[0].total, abs=0.1)


def test_soft_capped_and_scaled_logits_are_those_of_the_model():
    import torch
    from transformers import Gemma2Config, Gemma2ForCausalLM, GraniteConfig, GraniteForCausalLM

    sizes = {
        "vocab_size": 22,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "initializer_range": 0.3,
    }
    torch.manual_seed(0)
    tokenizer = word_tokenizer()
    capped = Gemma2ForCausalLM(Gemma2Config(**sizes, head_dim=8, final_logit_softcapping=1.5)).eval()
    scaled = GraniteForCausalLM(GraniteConfig(**sizes, logits_scaling=3.0)).eval()
    for model in (capped, scaled):
        for score, text in zip(score_texts(model, tokenizer, TEXTS, dtype="float32"), TEXTS, strict=True):
            expected = plain_logp(model, tokenizer(text)["input_ids"])
            assert score.logp[1:].tolist() == pytest.approx(expected, abs=1e-4)


def test_only_a_model_without_alterations_skips_its_own_logits(llama):
    ids = (6, 8, 12, 16)
    assert Forward(llama, precision="float32")._output_layer(ids) is llama.lm_head
    scaled = tiny_llama()
    scaled.register_forward_hook(lambda m, args, out: None)
    assert Forward(scaled, precision="float32")._output_layer(ids) is None


# ------------------------------------------------------------------------------------------- other questions
def test_a_continuation_is_scored_after_its_context(llama):
    tokenizer = word_tokenizer()
    score = score_continuations(llama, tokenizer, [("the nurse said ", "that she was tired")], dtype="float32")[0]
    ids = tokenizer("the nurse said that she was tired")["input_ids"]
    expected = plain_logp(llama, ids)
    assert score.ids == tuple(ids)
    assert [math.isnan(x) for x in score.logp] == [True] * 3 + [False] * 4
    assert score.total == pytest.approx(sum(expected[2:]), abs=1e-4)


def test_a_continuation_needs_a_token_before_it(llama):
    with pytest.raises(UsageError, match="no token stands before the continuation 'nurse'"):
        score_continuations(llama, word_tokenizer(), [("", "nurse")])
    assert score_continuations(llama, word_tokenizer(bos=True), [("", "nurse")])[0].n == 1


def test_a_continuation_in_a_masked_model_leaves_out_the_closing_token(bert):
    score = score_continuations(bert, word_tokenizer(mask=True), [("the nurse", " was kind")], kind="masked")[0]
    assert [math.isnan(x) for x in score.logp] == [True, True, True, False, False, True]


def test_distributions_come_in_the_order_asked_for(llama):
    import torch

    ids = [[6, 8, 12, 16], [7, 9, 12], [6, 8, 12, 16]]
    got = distributions(llama, ids, [[2, 0], [], [2, 0]], dtype="float32")
    with torch.no_grad():
        expected = llama(input_ids=torch.tensor([ids[0]])).logits[0].log_softmax(-1)
    assert [tuple(g.shape) for g in got] == [(2, 22), (0, 22), (2, 22)]
    torch.testing.assert_close(got[0], expected[[2, 0]], atol=1e-4, rtol=0)
    torch.testing.assert_close(got[2], got[0])


# -------------------------------------------------------------------------------------------- decoding rules
def swapped(prefix):
    """The context with she for he and the other way round; none without such a word."""
    swap = {10: 11, 11: 10}
    return [tuple(swap.get(i, i) for i in prefix)] if set(prefix) & set(swap) else []


def averaging(calls=None):
    """The mean of the logits of a prefix and of its swapped context."""

    def next_logits(ids, logits, contexts):
        import torch

        rows = []
        for prefix, own, others in zip(ids, logits, contexts, strict=True):
            assert others.shape[0] == len(swapped([i for i in prefix.tolist() if i >= 0]))
            rows.append(torch.cat([own[None], others]).mean(0))
        return torch.stack(rows)

    def contexts(prefix):
        if calls is not None:
            calls.append(tuple(prefix))
        return swapped(prefix)

    return DecodingRule(name="averaging", next_logits=next_logits, contexts=contexts)


def last_word_matters():
    """Makes the last token of the prefix less likely, by a share of its own logits: depends on rules before
    it."""

    def next_logits(ids, logits, contexts):
        return logits.scatter_add(-1, ids[:, -1:], -0.5 * logits.gather(-1, ids[:, -1:]).abs())

    return DecodingRule(name="no-repeat", next_logits=next_logits)


def stepwise(model, rules, ids):
    """[T - 1] log-probabilities when each rule is applied to each prefix alone."""
    import torch

    def raw(prefix):
        with torch.no_grad():
            return model(input_ids=torch.tensor([prefix])).logits[:, -1]

    def after(prefix, rules):
        """The last rule on what those before it make of the prefix, and of its own contexts."""
        if not rules:
            return raw(prefix)
        own, rule = after(prefix, rules[:-1]), rules[-1]
        asked = rule.contexts(prefix) if rule.contexts else []
        contexts = torch.cat([after(list(c), rules[:-1]) for c in asked]) if asked else torch.empty(0, own.shape[-1])
        return rule.next_logits(torch.tensor([prefix]), own, [contexts])

    return [float(after(list(ids[:t]), rules).log_softmax(-1)[0, ids[t]]) for t in range(1, len(ids))]


@pytest.mark.parametrize("order", [(0,), (0, 1), (1, 0), (0, 0)])
@pytest.mark.parametrize("held", [2**28, 4 * 22 * 10])
def test_rules_on_given_text_are_the_rules_step_by_step(llama, order, held, monkeypatch):
    monkeypatch.setattr("evenhand.scoring_rules.HELD_BYTES", held)
    tokenizer = word_tokenizer()
    rules = [(averaging(), last_word_matters())[k] for k in order]
    scores = score_texts(llama, tokenizer, TEXTS, rules=rules, dtype="float32")
    for score, text in zip(scores, TEXTS, strict=True):
        expected = stepwise(llama, rules, tokenizer(text)["input_ids"])
        assert score.logp[1:].tolist() == pytest.approx(expected, abs=1e-4)
    plain = score_texts(llama, tokenizer, TEXTS, dtype="float32")
    assert abs(scores[0].total - plain[0].total) > 0.01


def test_a_context_that_begins_another_shares_its_forward_pass(llama):
    """Seven prefixes, three with a group word: their contexts are the beginnings of one sequence."""
    rows = []
    handle = llama.model.register_forward_hook(lambda m, args, out: rows.append(out[0].shape[0]))
    calls = []
    score_texts(llama, word_tokenizer(), [TEXTS[0], TEXTS[0]], rules=[averaging(calls)], dtype="float32")
    handle.remove()
    assert rows == [1, 1, 1, 1]  # text and contexts, each with the look at the output layer
    assert len(calls) == len(set(calls)) == 6


def test_a_rule_must_keep_the_shape_of_the_logits(llama):
    rule = DecodingRule(name="narrow", next_logits=lambda ids, logits, contexts: logits[:, :5])
    with pytest.raises(PluginFault) as caught:
        score_texts(llama, word_tokenizer(), ["she was late"], rules=[rule])
    assert str(caught.value) == "decoding rule 'narrow': returned a tensor [2, 5] instead of logits [2, 22]"


def test_rules_that_map_no_logits_are_left_out_and_named(llama):
    tokenizer = word_tokenizer()
    rewriting = DecodingRule(name="rewriting", around=lambda request, generate: generate(request))
    with_rule = score_texts(llama, tokenizer, TEXTS, rules=[rewriting], dtype="float32")
    plain = score_texts(llama, tokenizer, TEXTS, dtype="float32")
    assert [s.total for s in with_rule] == [s.total for s in plain]
    assert describe_mode(tokenizer, kind="causal", precision="float32", rules=[rewriting, averaging()]) == (
        "log-likelihood from the second token (no start token), with decoding rules averaging, "
        "without rewriting (not applicable to given text), float32"
    )


def test_the_mode_says_where_scoring_begins():
    plain, bos, mask = word_tokenizer(), word_tokenizer(bos=True), word_tokenizer(mask=True)
    assert describe_mode(plain, kind="causal", precision="bf16", start_token=2) == (
        "log-likelihood from the first token, after [BOS], bf16"
    )
    assert describe_mode(bos, kind="causal", precision="bf16") == (
        "log-likelihood from the first token, after the tokenizer's start token, bf16"
    )
    assert describe_mode(mask, kind="masked", precision="float32") == (
        "pseudo-log-likelihood, one mask per copy, float32"
    )


# --------------------------------------------------------------------------------------------- masked models
def test_pseudo_log_likelihood_masks_one_token_at_a_time(bert):
    import torch

    tokenizer = word_tokenizer(mask=True)
    for score, text in zip(pll(bert, tokenizer, TEXTS, dtype="float32", batch_tokens=200), TEXTS, strict=True):
        ids = tokenizer(text)["input_ids"]
        assert score.ids == tuple(ids)
        assert math.isnan(score.logp[0]) and math.isnan(score.logp[-1])
        for p in range(1, len(ids) - 1):
            one = torch.tensor([ids])
            one[0, p] = tokenizer.mask_token_id
            with torch.no_grad():
                expected = bert(input_ids=one).logits[0, p].log_softmax(-1)[ids[p]]
            assert float(score.logp[p]) == pytest.approx(float(expected), abs=1e-4)


def test_a_word_that_the_vocabulary_lacks_is_scored_like_any_other(bert):
    """Left out, a text of nothing but such words would be a certain one."""
    import torch

    tokenizer = word_tokenizer(mask=True)
    unknown = tokenizer.unk_token_id
    text = "the zebra said zebra"
    ids = tokenizer(text)["input_ids"]
    assert ids.count(unknown) == 2
    expected = []
    for p in range(1, len(ids) - 1):
        one = torch.tensor([ids])
        one[0, p] = tokenizer.mask_token_id
        with torch.no_grad():
            expected.append(float(bert(input_ids=one).logits[0, p].log_softmax(-1)[ids[p]]))
    measured = Measured(bert, tokenizer, "masked", dtype="float32")
    for (score,) in (pll(bert, tokenizer, [text], dtype="float32"), measured.pll([text]), measured.score([text])):
        assert (score.n, score.total) == (4, pytest.approx(sum(expected), abs=1e-4))
    assert measured.unmasked([text])[0].n == 4
    (after,) = measured.continuations([("the nurse said", " zebra")])
    assert after.n == 1 and after.total < 0


def test_a_token_for_the_unknown_that_also_ends_texts_is_no_part_of_them():
    tokenizer = word_tokenizer(mask=True)
    assert framing_tokens(tokenizer) == {0, 3, 4, 5}
    tokenizer.eos_token = "[UNK]"  # as GPT-2 has it
    assert framing_tokens(tokenizer) == {0, 1, 3, 4, 5}


def test_a_model_that_counts_positions_from_behind_its_padding_takes_fewer_tokens():
    model, tokenizer = tiny_masked("roberta")
    tokenizer.model_max_length = 10**30  # nothing but the model says how long a text may be
    measured = Measured(model, tokenizer, "masked", dtype="float32")
    assert model.config.max_position_embeddings == LENGTH + 2 and measured.longest == LENGTH
    text = (tokenizer.cls_token_id, *[20] * (LENGTH - 2), tokenizer.sep_token_id)
    (score,) = measured.pll([text], [[5]])
    assert math.isfinite(score.total)
    with pytest.raises(UsageError, match=f"a text has {LENGTH + 1} tokens, but the model takes at most {LENGTH}"):
        measured.pll([(*text, 20)], [[5]])


def test_pseudo_log_likelihood_of_chosen_positions(bert):
    tokenizer = word_tokenizer(mask=True)
    whole = pll(bert, tokenizer, [TEXTS[0]], dtype="float32")[0]
    part = pll(bert, tokenizer, [TEXTS[0]], [[2, 5]], dtype="float32")[0]
    assert part.n == 2
    assert part.total == pytest.approx(whole.over([2, 5]), abs=1e-5)


def test_pseudo_log_likelihood_needs_a_mask_token(llama):
    with pytest.raises(UsageError, match="pseudo-log-likelihood: the tokenizer has no mask token"):
        pll(llama, word_tokenizer(), TEXTS)


def test_masked_distributions_are_those_at_the_masked_token(bert):
    measured = Measured(bert, word_tokenizer(mask=True), "masked", dtype="float32")
    ids = measured.ids(TEXTS[0])
    got = measured.distributions([ids, ids], [[2, 5], []])
    assert [tuple(g.shape) for g in got] == [(2, 22), (0, 22)]
    score = measured.score([TEXTS[0]])[0]
    assert float(got[0][1, ids[5]]) == pytest.approx(float(score.logp[5]), abs=1e-5)


# ------------------------------------------------------------------------------------------- memory, formats
def failing(model, limit, error):
    """Makes the model fail for more than `limit` rows."""

    def check(module, args, kwargs):
        if kwargs["input_ids"].shape[0] > limit:
            raise error

    return model.register_forward_pre_hook(check, with_kwargs=True)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes"),
        MemoryError(),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    ],
)
def test_out_of_memory_halves_the_batch_and_says_so(llama, error):
    tokenizer = word_tokenizer()
    texts = [" ".join(WORDS[k:]) for k in range(1, 8)]
    expected = [s.total for s in score_texts(llama, tokenizer, texts, dtype="float32")]
    events = []
    handle = failing(llama, 2, error)
    scores = score_texts(llama, tokenizer, texts, dtype="float32", on_event=events.append)
    handle.remove()
    assert [s.total for s in scores] == pytest.approx(expected, abs=1e-4)
    assert events == [
        "out of memory while scoring: batch halved to 3 sequences of 16 tokens",
        "out of memory while scoring: batch halved to 1 sequence of 16 tokens",
    ]


@pytest.mark.parametrize("ids", [12, 60], ids=["row by row", "packed"])
@pytest.mark.parametrize("short", [(0, 1), (0,), (1,)], ids=str)
def test_processes_do_each_place_once_whichever_of_them_lacks_memory(llama, short, ids):
    """The second call goes on with the smaller batches of the first."""
    rows = [Row(tuple((k * j) % 20 + 1 for j in range(1, ids)), (0, ids // 2, ids - 2)) for k in range(1, 22)]
    found = [Counter(), Counter()]
    for process in (0, 1):
        handle = failing(llama, 2, MemoryError()) if process in short else None
        forward = Forward(llama, precision="float32", batch_tokens=400)
        for count in found:
            forward.logits(rows, lambda places, index, logits, c=count: c.update(places.tolist()), part=(process, 2))
        if handle is not None:
            handle.remove()
    assert found == [Counter(range(3 * len(rows)))] * 2


def test_a_single_sequence_that_does_not_fit_ends_the_work(llama):
    handle = failing(llama, 0, MemoryError())
    try:
        with pytest.raises(OutOfMemory, match="one sequence of 16 tokens does not fit into memory"):
            Forward(llama, precision="float32")._halve(1, 16, MemoryError())
    finally:
        handle.remove()


def test_other_errors_are_not_taken_for_lack_of_memory(llama):
    assert not out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    handle = failing(llama, 0, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    try:
        with pytest.raises(RuntimeError, match="shapes"):
            score_texts(llama, word_tokenizer(), TEXTS)
    finally:
        handle.remove()


def shapes_of(model, rows, **options):
    """The shapes that a model was called with."""
    shapes = set()
    handle = model.register_forward_pre_hook(
        lambda m, args, kwargs: shapes.add(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    Forward(model, precision="float32", **options).logits(rows, lambda places, index, logits: None)
    handle.remove()
    return shapes


def test_rows_of_unequal_length_share_few_shapes(llama, monkeypatch):
    """88 texts of 9 to 16 tokens that share no beginning: text by text two lengths, packed one."""
    rows = [Row((6 + k % 16, 6 + k // 16, *range(6, 4 + n)), (n - 1,)) for k, n in enumerate([*range(9, 17)] * 11)]
    monkeypatch.setattr("evenhand.scoring_forward.WORTH_PACKING", 10**9)
    assert shapes_of(llama, rows, batch_tokens=16 * 32) == {(1, 16), (32, 16), (24, 16)}
    monkeypatch.undo()
    packed = shapes_of(llama, rows, batch_tokens=64 * 8) - {(1, 16), (1, 32), (1, 48), (1, 64)}
    assert packed == {(8, 64), (2, 64)}  # 18 rows; (1, ...) are the looks at the output layer and at packed rows


SENTENCES = [" ".join(words) for words in itertools.product(WORDS[:6], WORDS[4:12], WORDS[8:12], WORDS[12:])]


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox", "qwen2", "gemma"])
def test_packed_texts_score_as_if_alone(family, monkeypatch):
    model, tokenizer = small_model(family), word_tokenizer()
    batches = []
    inner = Forward._inputs
    monkeypatch.setattr(Forward, "_inputs", lambda self, rows, n: batches.append(rows) or inner(self, rows, n))
    packed = score_texts(model, tokenizer, SENTENCES, dtype="float32")
    seen = [row for rows in batches for row in rows]
    assert any(len(row.trees) > 1 for row in seen) and any(len(t.segments) > 1 for row in seen for _, t in row.trees)
    for score, text in list(zip(packed, SENTENCES, strict=True))[::7]:
        right = plain_scores(model, token_ids(tokenizer, text))
        assert score.logp[1:] == pytest.approx(right, abs=1e-4)


def test_a_model_that_knows_no_explicit_mask_is_read_text_by_text():
    """BLOOM adds a bias by distance that it derives from a plain mask."""
    model, tokenizer = small_model("bloom"), word_tokenizer()
    scores = score_texts(model, tokenizer, SENTENCES, dtype="float32")
    for score, text in list(zip(scores, SENTENCES, strict=True))[::7]:
        assert score.logp[1:] == pytest.approx(plain_scores(model, token_ids(tokenizer, text)), abs=1e-4)


@pytest.mark.parametrize("preamble", ["", " ".join(WORDS + WORDS[:4]) + " "], ids=["none", "20 tokens"])
def test_a_model_that_passes_over_explicit_masks_is_found_out_whatever_texts_begin_with(llama, preamble):
    """A beginning that all texts share is longer than what is tried of a text."""
    tokenizer = word_tokenizer()
    texts = [preamble + text for text in SENTENCES]
    assert sum(len(text.split()) for text in texts) > WORTH_PACKING

    def plain_masks_only(module, args, given):
        if given["attention_mask"].dim() == 4:
            given = {**given, "attention_mask": None, "position_ids": None}
        return args, given

    handle = llama.register_forward_pre_hook(plain_masks_only, with_kwargs=True)
    try:
        scores = score_texts(llama, tokenizer, texts, dtype="float32")
    finally:
        handle.remove()
    for score, text in list(zip(scores, texts, strict=True))[::29]:
        assert score.logp[1:] == pytest.approx(plain_scores(llama, token_ids(tokenizer, text)), abs=1e-4)


def test_a_window_of_attention_that_is_shorter_than_a_text_forbids_packing():
    model, tokenizer = small_model("mistral"), word_tokenizer()
    longer = [f"{text} {text} {text}" for text in SENTENCES]
    rows = [Row(token_ids(tokenizer, text), (3,)) for text in longer]
    assert not Forward(model, precision="float32")._takes_packed_rows(rows, None)
    for score, text in zip(score_texts(model, tokenizer, longer[:40], dtype="float32"), longer[:40], strict=True):
        assert score.logp[1:] == pytest.approx(plain_scores(model, token_ids(tokenizer, text)), abs=1e-4)


def test_packed_copies_of_a_masked_model_score_as_if_alone(bert, monkeypatch):
    tokenizer = word_tokenizer(mask=True)
    packed = pll(bert, tokenizer, SENTENCES, dtype="float32")
    monkeypatch.setattr("evenhand.scoring_forward.WORTH_PACKING", 10**9)
    for one, other in zip(packed, pll(bert, tokenizer, SENTENCES, dtype="float32"), strict=True):
        assert one.logp[1:-1] == pytest.approx(other.logp[1:-1], abs=1e-4)


def plain_scores(model, ids):
    """Log-probabilities of all tokens but the first by one forward pass."""
    import torch

    with torch.no_grad():
        logp = model(input_ids=torch.tensor([ids])).logits[0].float().log_softmax(-1)
    return [float(logp[t, ids[t + 1]]) for t in range(len(ids) - 1)]


def small_model(family):
    """A causal model of another family with random weights."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    options = {
        "llama": {"num_key_value_heads": 2},
        "qwen2": {"num_key_value_heads": 2},
        "mistral": {"num_key_value_heads": 2, "sliding_window": 4},
        "gemma": {"num_key_value_heads": 1, "head_dim": 8},
        "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
        "bloom": {"n_layer": 2, "n_head": 4},
    }.get(family, {})
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, vocab_size=22, **options, **(sizes if family != "gpt2" else {}))
    return AutoModelForCausalLM.from_config(config).eval()


def test_bf16_agrees_with_float32(llama):
    tokenizer = word_tokenizer()
    exact = score_texts(llama, tokenizer, TEXTS, dtype="float32")
    rough = score_texts(llama, tokenizer, TEXTS, dtype="bf16")
    assert any(a.total != b.total for a, b in zip(exact, rough, strict=True))
    for a, b in zip(exact, rough, strict=True):
        assert a.mean == pytest.approx(b.mean, abs=0.05)


def test_the_format_follows_weights_then_choice_then_machine(llama):
    import torch

    assert resolve(llama, "float32") == "float32"
    assert resolve(llama, "bf16") == "bf16"
    assert resolve(llama, "auto") == ("bf16" if fast_bf16() else "float32")
    assert resolve(tiny_llama().to(torch.bfloat16), "float32") == "bfloat16"
    with pytest.raises(ValueError, match="dtype must be 'auto', 'float32' or 'bf16', not 'fp16'"):
        resolve(llama, "fp16")


def test_measuring_puts_no_inference_tensors_into_the_model(llama):
    import torch

    with measuring(llama, "float32"):
        assert not torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
    assert torch.is_grad_enabled()


# -------------------------------------------------------------------------------------------------- measured
def test_measured_computes_nothing_twice(llama):
    measured = Measured(llama, word_tokenizer(), "causal", dtype="float32")
    first = measured.score(TEXTS[:2])
    calls = []
    handle = llama.register_forward_pre_hook(lambda m, args: calls.append(1))
    assert measured.score(TEXTS[1::-1]) == first[::-1]
    assert calls == []
    handle.remove()


def test_measured_applies_the_rules_and_says_so(llama):
    tokenizer = word_tokenizer()
    measured = Measured(llama, tokenizer, "causal", [averaging()], dtype="float32")
    assert measured.mode.endswith("with decoding rules averaging, float32")
    expected = stepwise(llama, [averaging()], tokenizer(TEXTS[0])["input_ids"])
    assert measured.score([TEXTS[0]])[0].total == pytest.approx(sum(expected), abs=1e-4)


def test_measured_scores_continuations(llama):
    measured = Measured(llama, word_tokenizer(), "causal", dtype="float32")
    assert measured.continuations([("the nurse", " was kind")])[0].n == 2


def test_measured_generates(llama):
    measured = Measured(llama, word_tokenizer(), "causal", dtype="float32")
    answers = measured.generate([Request(prompt="the nurse", max_new_tokens=3)] * 2)
    assert answers[0] == answers[1]
    assert len(answers[0].token_ids) == 3


def test_a_measurement_in_float32_is_one_also_inside_a_measurement_in_bf16() -> None:
    """A rule that reads a model itself does so while others measure in another format."""
    import torch

    from evenhand_sdk.tiny import tiny_causal

    model, tokenizer = tiny_causal()
    ids = torch.tensor([tokenizer("The nurse said that she")["input_ids"]])
    with measuring(model, "float32"):
        alone = model(input_ids=ids).logits
    with measuring(model, "bf16"):
        around = model(input_ids=ids).logits
        with measuring(model, "float32"):
            inside = model(input_ids=ids).logits
        assert torch.equal(model(input_ids=ids).logits, around)
    assert not [name for name, module in model.named_modules() if "forward" in vars(module)]
    assert inside.dtype == torch.float32
    torch.testing.assert_close(inside, alone, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("disturbed", [0, 1], ids=["while it is tried", "while it is read"])
@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_who_asks_the_model_while_another_thread_scores_sees_nothing_of_it(kind, disturbed, monkeypatch) -> None:
    """In a pass of a scoring another thread asks the same model for its logits."""
    from concurrent.futures import ThreadPoolExecutor

    import torch

    model, tokenizer = tiny_causal() if kind == "causal" else tiny_masked()
    model.eval()
    forward = Forward(model, precision="float32", kind=kind)
    rows = [Row(tuple(tokenizer(t)["input_ids"]), (1, 2)) for t in ("The nurse said that", "The old town is far")]
    other = tokenizer("Rain fell on the old town", return_tensors="pt")["input_ids"]

    def plain() -> torch.Tensor:
        with torch.no_grad():
            return model(other).logits

    def scored() -> dict[int, torch.Tensor]:
        found = {}

        def keep(places, index, logits) -> None:
            found.update(zip(places.tolist(), logits[index].clone(), strict=True))

        forward.logits(rows, keep)
        return found

    wanted, alone, seen, passes = plain(), scored(), [], []
    run, hidden, cut = Forward._run, Forward._hidden, []

    def beside(self, **inputs):
        if len(passes) == disturbed:
            with ThreadPoolExecutor(1) as pool:
                seen.append(pool.submit(plain).result())
        passes.append(inputs)
        return run(self, **inputs)

    monkeypatch.setattr(Forward, "_run", beside)
    monkeypatch.setattr(Forward, "_hidden", lambda *given: cut.append(given) or hidden(*given))
    found = scored()
    assert len(seen) == 1 and len(passes) == 2  # whether the output matrix is all, and the batch
    assert len(cut) == 1  # nobody else makes the scoring give up its shortcut
    assert all(logits.shape == wanted.shape and torch.allclose(logits, wanted, atol=1e-5) for logits in seen)
    assert found.keys() == alone.keys() == {0, 1, 2, 3}
    assert all(torch.equal(found[place], alone[place]) for place in alone)
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_several_threads_may_score_with_one_model() -> None:
    from concurrent.futures import ThreadPoolExecutor

    model, tokenizer = tiny_causal()
    texts = [f"The {word} said that it was far" for word in ("nurse", "king", "girl", "man", "old town", "queen")]

    def total(text):
        [score] = score_texts(model, tokenizer, [text], dtype="float32")
        return score.total

    wanted = [total(text) for text in texts]
    with ThreadPoolExecutor(6) as pool:
        for _ in range(5):
            assert list(pool.map(total, texts)) == pytest.approx(wanted, abs=1e-4)
