"""The decoding loop against slow, obvious references: rules, contexts, padding, batches, sampling, beams."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from evenhand.attached_rules import attach
from evenhand.contributions import DecodingRule, Request, Response
from evenhand.errors import UsageError, WrongModelKind
from evenhand.generation import generate
from evenhand_sdk.tiny import tiny_causal, tiny_masked

PROMPTS = ["The nurse said that she", "My brother is tired, so he went home and", "Rain fell"]


def requests(n: int = 8) -> list[Request]:
    return [Request(prompt=p, max_new_tokens=n) for p in PROMPTS]


def shifted(by: int) -> DecodingRule:
    """Mixes in a context whose ids all moved by a constant, only once the prefix is even in length."""

    def contexts(prefix: Sequence[int]) -> list[list[int]]:
        return [[(t + by) % 900 for t in prefix]] if len(prefix) % 2 == 0 else []

    def mix(ids: Any, logits: torch.Tensor, contexts: list[torch.Tensor]) -> torch.Tensor:
        rows = [row if not len(c) else 0.5 * row + 0.5 * c.mean(0) for row, c in zip(logits, contexts, strict=True)]
        return torch.stack(rows)

    return DecodingRule(name="shifted", next_logits=mix, contexts=contexts)


def after(model: Any, rules: Sequence[DecodingRule], ids: Sequence[int]) -> torch.Tensor:
    """[1, V] behind one sequence: the last rule on what the others make of the text, and of its own contexts."""
    if not rules:
        with torch.no_grad():
            return model(input_ids=torch.tensor([list(ids)])).logits[:, -1].float()
    *before, rule = rules
    own = after(model, before, ids)
    found = rule.contexts(tuple(ids)) if rule.contexts else []
    context = torch.cat([after(model, before, c) for c in found]) if found else own[:0]
    return rule.next_logits(torch.tensor([list(ids)]), own, [context])  # type: ignore[misc]


def by_hand(model: Any, tokenizer: Any, prompt: str, rules: Sequence[DecodingRule], n: int) -> list[int]:
    """One sequence at a time, no cache, no padding."""
    ids = tokenizer(prompt)["input_ids"]
    start = len(ids)
    for _ in range(n):
        ids.append(int(after(model, rules, ids).argmax()))
        if ids[-1] == tokenizer.eos_token_id:
            return list(ids[start:-1])
    return list(ids[start:])


@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen2"])
def test_contexts_in_one_batch_equal_one_sequence_at_a_time(family: str) -> None:
    """Two rules of the same name, each with contexts of its own that come and go; prompts of unequal length."""
    model, tokenizer = tiny_causal(family)
    rules = [shifted(3), shifted(7)]
    found = generate(model, tokenizer, requests(), rules=rules)
    for response in found:
        assert list(response.token_ids) == by_hand(model, tokenizer, response.request.prompt, rules, 8)


@pytest.mark.parametrize("family", ["bloom", "mamba"])
def test_models_without_positions_or_without_a_cache_follow_the_rules(family: str) -> None:
    from transformers import AutoModelForCausalLM, BloomConfig, MambaConfig

    _, tokenizer = tiny_causal()
    torch.manual_seed(0)
    size = {"vocab_size": len(tokenizer), "hidden_size": 32, "pad_token_id": tokenizer.pad_token_id}
    bloom = BloomConfig(**size, n_layer=2, n_head=4, eos_token_id=None)
    mamba = MambaConfig(**size, num_hidden_layers=2, state_size=4, eos_token_id=None)
    model = AutoModelForCausalLM.from_config(bloom if family == "bloom" else mamba).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3.0)  # so that it does not write one word again and again
    for response in generate(model, tokenizer, requests(), rules=[shifted(3)]):
        assert list(response.token_ids) == by_hand(model, tokenizer, response.request.prompt, [shifted(3)], 8)
    touching = DecodingRule(name="touching", step=lambda model, cache: None)
    if family == "mamba":
        with pytest.raises(UsageError, match="'touching': MambaForCausalLM has no key-value cache, on which this rule"):
            generate(model, tokenizer, requests(), rules=[touching])


def test_without_rules_it_is_plain_generate_bit_for_bit() -> None:
    model, tokenizer = tiny_causal()
    for response in generate(model, tokenizer, requests()):
        assert list(response.token_ids) == by_hand(model, tokenizer, response.request.prompt, [], 8)


FAMILIES = [
    ("llama", {}), ("qwen2", {}), ("qwen3", {"head_dim": 8}), ("gpt2", {}), ("gpt_neox", {}),
    ("mistral", {"sliding_window": None}), ("mistral", {"sliding_window": 6}),
]  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize(("family", "more"), FAMILIES)
def test_the_own_loop_is_plain_generate_bit_for_bit_in_a_padded_batch(
    family: str, more: dict[str, Any], attention: str, dtype: torch.dtype
) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    _, tokenizer = tiny_causal()
    heads = {"num_attention_heads": 4, "num_key_value_heads": 4}
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 48, **heads, **more}
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, vocab_size=len(tokenizer), **shape)
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention).eval().to(dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3.0)
    batch = tokenizer([r.prompt for r in requests()], return_tensors="pt", padding=True, padding_side="left")
    assert (batch["attention_mask"] == 0).any()
    how: dict[str, Any] = {
        **batch, "max_new_tokens": 8, "do_sample": False, "eos_token_id": None, "pad_token_id": tokenizer.pad_token_id,
        "output_scores": True, "return_dict_in_generate": True,
    }  # fmt: skip
    plain = model.generate(**how)
    same = DecodingRule(name="same", next_logits=lambda ids, logits, contexts: logits)
    attach(model, tokenizer, [same])
    ours = model.generate(**how)
    assert len(set(plain.sequences[0, -8:].tolist())) > 1
    assert torch.equal(torch.stack(ours.scores), torch.stack(plain.scores).float())


def test_the_mask_of_a_padded_batch_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers.models.llama import modeling_llama

    model, tokenizer = tiny_causal()
    made = modeling_llama.create_causal_mask
    given: list[int] = []

    def watched(*args: Any, **kwargs: Any) -> Any:
        given.append(kwargs["attention_mask"].ndim)
        return made(*args, **kwargs)

    monkeypatch.setattr(modeling_llama, "create_causal_mask", watched)
    same = DecodingRule(name="same", next_logits=lambda ids, logits, contexts: logits)
    generate(model, tokenizer, requests(4), rules=[same])
    assert given == [2, 4, 4, 4]


def test_a_sampled_answer_does_not_depend_on_its_batch() -> None:
    model, tokenizer = tiny_causal()
    together = generate(model, tokenizer, requests(), temperature=1.0, seed=5)
    alone = [generate(model, tokenizer, [r], temperature=1.0, seed=5)[0] for r in requests()]
    assert [r.text for r in together] == [r.text for r in alone]
    assert [r.text for r in together] != [r.text for r in generate(model, tokenizer, requests(), temperature=1.0)]


def test_changes_say_which_rule_did_what() -> None:
    model, tokenizer = tiny_causal()
    last = len(tokenizer) - 1

    def force(ids: Any, logits: torch.Tensor, contexts: Any) -> torch.Tensor:
        out = logits.clone()
        out[:, last] = 1e4
        return out

    response = generate(model, tokenizer, requests(2)[:1], rules=[DecodingRule(name="force", next_logits=force)])[0]
    assert [(c.position, c.rule, c.after) for c in response.changes] == [
        (0, "force", tokenizer.decode([last])), (1, "force", tokenizer.decode([last])),
    ]  # fmt: skip
    assert all(0.9 < c.total_variation <= 1.0 for c in response.changes)


def test_around_rules_wrap_in_recipe_order() -> None:
    def tag(name: str) -> DecodingRule:
        def around(request: Request, inner: Any) -> Response:
            found = inner(request)
            return Response(request=request, text=f"{name}({found.text})")

        return DecodingRule(name=name, around=around)

    model, tokenizer = tiny_causal()
    text = generate(model, tokenizer, requests(2)[:1], rules=[tag("outer"), tag("inner")])[0].text
    assert text.startswith("outer(inner(")


def test_the_models_own_generate_takes_the_rules_also_with_beams() -> None:
    model, tokenizer = tiny_causal()
    rule = shifted(3)
    expected = by_hand(model, tokenizer, PROMPTS[0], [rule], 6)
    ids = tokenizer(PROMPTS[0], return_tensors="pt")["input_ids"]
    attach(model, tokenizer, [rule])
    out = model.generate(input_ids=ids, max_new_tokens=6, do_sample=False)
    assert out[0, ids.shape[1] :].tolist()[: len(expected)] == expected
    assert model.generate(input_ids=ids, max_new_tokens=6, do_sample=False, num_beams=3).shape[0] == 1


def test_beams_refuse_a_rule_that_acts_on_the_cache() -> None:
    model, tokenizer = tiny_causal()
    attach(model, tokenizer, [DecodingRule(name="trim", step=lambda model, cache: None)])
    ids = tokenizer("The nurse said", return_tensors="pt")
    with pytest.raises(UsageError) as caught:
        model.generate(**ids, num_beams=2, max_new_tokens=2)
    assert str(caught.value) == (
        "generate: the decoding rule 'trim' acts on the key-value cache, which beams share\n  generate with num_beams=1"
    )


def test_beams_tell_padding_by_the_mask_not_by_the_token() -> None:
    """A prompt may begin with the token that pads: the rule must see it."""
    model, tokenizer = tiny_causal()
    seen: list[list[int]] = []

    def look(ids: Any, logits: Any, contexts: Any) -> Any:
        seen.append(ids[0].tolist())
        return logits

    attach(model, tokenizer, [DecodingRule(name="look", next_logits=look)])
    pad = tokenizer.pad_token_id
    word = tokenizer("nurse")["input_ids"][-1]
    ids = torch.tensor([[pad, pad, word]])
    mask = torch.tensor([[0, 1, 1]])
    model.generate(input_ids=ids, attention_mask=mask, num_beams=2, max_new_tokens=1, do_sample=False)
    assert seen[0] == [pad, word]


def test_each_token_of_the_list_ends_an_answer() -> None:
    """Chat models name several end tokens in their generation configuration."""
    model, tokenizer = tiny_causal()
    plain = generate(model, tokenizer, requests()[:1])[0]
    assert len(plain.token_ids) > 3
    second = plain.token_ids[2]
    model.generation_config.eos_token_id = [tokenizer.eos_token_id, second]
    for rules in ([], [shifted(0)]):
        ended = generate(model, tokenizer, requests()[:1], rules=rules)[0]
        assert second not in ended.token_ids
        assert tuple(ended.token_ids) == tuple(plain.token_ids)[: len(ended.token_ids)]
        assert len(ended.token_ids) == list(plain.token_ids).index(second)


def test_generate_with_rules_fills_the_scores_and_logits_that_were_asked_for() -> None:
    """`logits` are the model's own, before the rules; `scores` what a token was chosen from."""
    model, tokenizer = tiny_causal()
    batch = tokenizer(PROMPTS, return_tensors="pt", padding=True, padding_side="left")
    how: dict[str, Any] = {
        "max_new_tokens": 3,
        "min_new_tokens": 3,
        "do_sample": False,
        "return_dict_in_generate": True,
    }
    asked = {"output_scores": True, "output_logits": True}
    plain = model.generate(**batch, **how, **asked)
    attach(model, tokenizer, [DecodingRule(name="twice", next_logits=lambda ids, logits, contexts: 2 * logits)])
    ruled = model.generate(**batch, **how, **asked)
    assert torch.equal(plain.sequences, ruled.sequences)  # doubled logits have the same order
    assert len(ruled.scores) == len(ruled.logits) == 3
    for number in range(3):
        assert torch.equal(ruled.logits[number], plain.logits[number])
        assert torch.equal(ruled.scores[number], 2 * plain.scores[number])
    assert model.generate(**batch, **how).scores is model.generate(**batch, **how).logits is None
    with pytest.raises(UsageError) as caught:
        model.generate(**batch, **how, output_attentions=True, output_hidden_states=True)
    assert str(caught.value).splitlines()[0] == (
        "generate: decoding rules are in force, and the attentions and hidden states of their loop are not kept"
    )


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("place", ["argument", "configuration", "the model's own"])
def test_an_answer_under_rules_ends_at_a_stop_string(place: str, beams: int) -> None:
    from transformers import GenerationConfig

    model, tokenizer = tiny_causal()
    batch = tokenizer(PROMPTS, return_tensors="pt", padding=True, padding_side="left")
    how: dict[str, Any] = {"max_new_tokens": 12, "do_sample": False, "num_beams": beams}
    first = tokenizer.decode(model.generate(**batch, **how)[0, batch["input_ids"].shape[1] :][:4])[-3:]
    if place == "argument":
        how["stop_strings"] = [first]
    elif place == "configuration":
        how["generation_config"] = GenerationConfig(stop_strings=first, pad_token_id=tokenizer.pad_token_id)
    else:
        model.generation_config.stop_strings = [first]
        how["generation_config"] = GenerationConfig(pad_token_id=tokenizer.pad_token_id)
    plain = model.generate(**batch, **how, tokenizer=tokenizer)
    assert int((plain[0] == tokenizer.pad_token_id).sum()) > 0  # it ended before the others
    attach(model, tokenizer, [DecodingRule(name="same", next_logits=lambda ids, logits, contexts: logits)])
    assert torch.equal(model.generate(**batch, **how), plain)  # the tokenizer is known already
    assert torch.equal(model.generate(**batch, **how, tokenizer=tokenizer), plain)


def test_an_empty_prompt_begins_a_text_or_is_refused() -> None:
    model, tokenizer = tiny_causal()
    assert generate(model, tokenizer, [Request(prompt="", max_new_tokens=2)])[0].request.prompt == ""
    tokenizer.bos_token = None
    with pytest.raises(UsageError, match="the prompt is empty, and this tokenizer has no token to begin a text with"):
        generate(model, tokenizer, [Request(prompt="", max_new_tokens=2)])


def test_a_masked_model_does_not_continue_text() -> None:
    model, tokenizer = tiny_masked()
    with pytest.raises(WrongModelKind, match="this model fills gaps, it does not continue text"):
        generate(model, tokenizer, requests())


# ------------------------------------------------------------ caches of contexts
def counted(model: Any) -> list[tuple[int, int]]:
    """The shapes of all inputs that the model reads from now on."""
    shapes: list[tuple[int, int]] = []
    model.register_forward_pre_hook(
        lambda module, args, kwargs: shapes.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    return shapes


def told(tokenizer: Any, words: str, until: int = 10**6) -> DecodingRule:
    """Mixes in the same text behind a few words, up to a length of the text."""
    head = tokenizer(words)["input_ids"]

    def mix(ids: Any, logits: torch.Tensor, contexts: list[torch.Tensor]) -> torch.Tensor:
        return torch.stack([r if not len(c) else r + 0.7 * c.mean(0) for r, c in zip(logits, contexts, strict=True)])

    return DecodingRule(
        name="told", next_logits=mix, contexts=lambda prefix: [[*head, *prefix]] if len(prefix) < until else []
    )


def test_contexts_that_grow_or_end_are_never_read_again() -> None:
    model, tokenizer = tiny_causal()
    prompts = ["Rain fell", "She said that he"]
    ids = [tokenizer(p)["input_ids"] for p in prompts]
    rule = told(tokenizer, "The old town", until=max(map(len, ids)) + 3)
    expected = [by_hand(model, tokenizer, p, [rule], 7) for p in prompts]
    shapes = counted(model)
    found = generate(model, tokenizer, [Request(prompt=p, max_new_tokens=7) for p in prompts], rules=[rule])
    assert [list(r.token_ids) for r in found] == expected
    assert [rows for rows, _ in shapes][0] == 4 and [rows for rows, _ in shapes][-1] in (2, 3)
    assert {length for _, length in shapes[1:]} == {1}


def test_prompts_that_are_the_same_keep_their_places_in_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import DynamicCache

    moves: list[Any] = []
    monkeypatch.setattr(DynamicCache, "reorder_cache", lambda self, index: moves.append(index))
    model, tokenizer = tiny_causal()
    model.generation_config.eos_token_id = None
    asked = [Request(prompt=PROMPTS[0], max_new_tokens=6)] * 3
    every = DecodingRule(name="every", next_logits=shifted(3).next_logits, contexts=lambda prefix: [list(prefix)])
    first, *others = generate(model, tokenizer, asked, rules=[every])
    assert moves == [] and all(other.token_ids == first.token_ids for other in others)


def test_beams_carry_the_caches_of_their_contexts() -> None:
    model, tokenizer = tiny_causal()
    rule = told(tokenizer, "The old town")
    ids = tokenizer("She said that he", return_tensors="pt")
    how: dict[str, Any] = {"max_new_tokens": 8, "num_beams": 3, "do_sample": False}

    class Anew:
        """The same rule, with contexts that are read in full at each step."""

        def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            contexts = []
            for row in input_ids.tolist():
                context = torch.tensor([list(c) for c in rule.contexts(row)])  # type: ignore[misc]
                contexts.append(model(input_ids=context).logits[:, -1].float())
            return rule.next_logits(input_ids, scores, contexts).log_softmax(-1)  # type: ignore[misc]

    expected = model.generate(**ids, **how, logits_processor=[Anew()])
    attach(model, tokenizer, [rule])
    shapes = counted(model)
    assert torch.equal(model.generate(**ids, **how), expected)
    assert sorted({length for _, length in shapes})[0] == 1
    assert sum(length > 1 for _, length in shapes) == 2  # the prompt, and its context


def test_beams_add_up_log_probabilities_also_where_a_rule_gives_other_numbers() -> None:
    """The score of a beam is the log-probability that scoring gives its text; here the rule's rows sum up to 0.3."""
    from evenhand.scoring import distributions

    model, tokenizer = tiny_causal()
    model.generation_config.eos_token_id = None

    def lower(ids: Any, logits: torch.Tensor, contexts: Any) -> torch.Tensor:
        halved = 0.5 * logits.log_softmax(-1) - 1.2
        even = torch.tensor([sum(t >= 0 for t in row) % 2 == 0 for row in ids.tolist()])
        return torch.where(even[:, None], halved, logits)

    rule = DecodingRule(name="lower", next_logits=lower)
    ids = tokenizer("The nurse said that she", return_tensors="pt")
    attach(model, tokenizer, [rule])
    how: dict[str, Any] = {"max_new_tokens": 6, "num_beams": 3, "num_return_sequences": 3, "length_penalty": 0.0}
    out = model.generate(**ids, **how, do_sample=False, return_dict_in_generate=True, output_scores=True)
    start = ids["input_ids"].shape[1]
    rows = out.sequences.tolist()
    scored = distributions(
        model, rows, [list(range(start - 1, len(r) - 1)) for r in rows], rules=[rule], dtype="float32"
    )
    sums = [float(d.gather(-1, torch.tensor(r[start:])[:, None]).sum()) for d, r in zip(scored, rows, strict=True)]
    assert out.sequences_scores.tolist() == pytest.approx(sums, abs=1e-3)
    assert sums == sorted(sums, reverse=True)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"prompt_lookup_num_tokens": 3}, "by looking up the prompt"),
        ({"penalty_alpha": 0.6, "top_k": 4}, "by contrastive search"),
        ({"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 1.0}, "with groups of beams"),
        ({"assistant_model": "a model"}, "with an assistant model"),
        ({"custom_generate": lambda model, input_ids, **rest: input_ids}, "by a `custom_generate` of your own"),
        ({"token_healing": True}, "with the last token of the prompt healed"),
        ({"inputs_embeds": torch.zeros(1, 3, 32)}, "behind embeddings instead of tokens"),
    ],
)
def test_ways_of_decoding_in_which_rules_cannot_act_are_refused_by_name(how: dict[str, Any], words: str) -> None:
    model, tokenizer = tiny_causal()
    attach(model, tokenizer, [shifted(3)])
    ids = tokenizer("The nurse said", return_tensors="pt")
    with pytest.raises(UsageError) as caught:
        model.generate(**ids, **how, max_new_tokens=2)
    assert str(caught.value).splitlines()[0] == (
        f"generate: decoding rules are in force, and they cannot act where text is written {words}"
    )


def test_a_configuration_counts_also_where_it_has_no_name() -> None:
    from transformers import GenerationConfig

    model, tokenizer = tiny_causal()
    ids = tokenizer("The nurse said that she", return_tensors="pt")["input_ids"]
    attach(model, tokenizer, [shifted(3)])
    beams = GenerationConfig(num_beams=4, max_new_tokens=6, do_sample=False, pad_token_id=tokenizer.pad_token_id)
    named = model.generate(ids, num_beams=4, max_new_tokens=6, do_sample=False)
    assert torch.equal(model.generate(ids, beams), named)
    short = {"num_beams": 4, "do_sample": False, "generation_config": GenerationConfig(pad_token_id=0)}
    assert model.generate(ids, **short, max_length=ids.shape[1] + 3).shape[1] <= ids.shape[1] + 3
    model.generation_config.num_beams = 4  # which a configuration that says nothing of beams leaves as it is
    quiet = GenerationConfig(max_new_tokens=6, do_sample=False, pad_token_id=tokenizer.pad_token_id)
    assert torch.equal(model.generate(ids, quiet), named)
    if "use_model_defaults" in inspect.signature(type(model).generate).parameters:  # transformers 5 has no such switch
        assert model.generate(ids, quiet, use_model_defaults=False).shape[0] == 1
    model.generation_config.num_beams = 1
    greedy = GenerationConfig(max_new_tokens=6, do_sample=False, pad_token_id=tokenizer.pad_token_id)
    assert torch.equal(model.generate(ids, greedy), model.generate(ids, max_new_tokens=6, do_sample=False))
    with pytest.raises(UsageError, match="by looking up the prompt"):
        model.generate(ids, GenerationConfig(prompt_lookup_num_tokens=3, max_new_tokens=6))


def test_rows_that_have_ended_are_not_read_any_more() -> None:
    model, tokenizer = tiny_causal()
    model.generation_config.eos_token_id = None
    rule = told(tokenizer, "The old town")
    plain = generate(model, tokenizer, requests(10), rules=[rule])
    model.generation_config.eos_token_id = plain[0].token_ids[2]
    ends = [
        list(r.token_ids).index(plain[0].token_ids[2]) if plain[0].token_ids[2] in r.token_ids else 9 for r in plain
    ]
    seen: list[int] = []

    def look(ids: Any, logits: torch.Tensor, contexts: Any) -> torch.Tensor:
        seen.append(len(ids))
        return logits

    shapes = counted(model)
    found = generate(model, tokenizer, requests(10), rules=[rule, DecodingRule(name="look", next_logits=look)])
    expected = [sum(end >= step for end in ends) for step in range(max(ends) + 1)]
    assert expected[0] == 3 and expected[-1] < 3
    assert seen == expected and [rows for rows, _ in shapes] == [2 * n for n in expected]
    assert {length for _, length in shapes[1:]} == {1}  # and the cache stays
    end = plain[0].token_ids[2]
    for before, after in zip(plain, found, strict=True):
        ids = list(before.token_ids)
        assert list(after.token_ids) == (ids[: ids.index(end)] if end in ids else ids)


def test_beams_tell_what_the_rules_changed_in_the_sequences_that_came_out() -> None:
    model, tokenizer = tiny_causal()
    model.generation_config.eos_token_id = None
    rule = shifted(3)
    prompts = ["The nurse said that she", "Rain fell"]
    batch = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left")
    attach(model, tokenizer, [rule])
    out = model.generate(**batch, max_new_tokens=5, num_beams=3, do_sample=False)
    assert len(model.generate.changes) == 2
    for row, mask, changes in zip(out, batch["attention_mask"], model.generate.changes, strict=True):
        ids, start = row.tolist(), len(mask)
        padding = int((mask == 0).sum())
        expected = []
        for t in range(start, len(ids)):
            prefix = ids[padding:t]
            own = model(input_ids=torch.tensor([prefix])).logits[:, -1].float().log_softmax(-1).detach()
            asked = rule.contexts(prefix)  # type: ignore[misc]
            other = [model(input_ids=torch.tensor([list(c)])).logits[0, -1] for c in asked]
            mixed = rule.next_logits(None, own, [torch.stack(other) if other else own[:0]])  # type: ignore[misc]
            size = 0.5 * float((own.softmax(-1) - mixed.softmax(-1)).abs().sum())
            if size > 1e-6:
                expected.append((t - start, tokenizer.decode([int(mixed.argmax())]), size))
        assert [(c.position, c.after) for c in changes] == [e[:2] for e in expected] and expected
        assert [c.total_variation for c in changes] == pytest.approx([e[2] for e in expected], abs=1e-4)


def test_a_rule_that_breaks_in_one_call_leaves_the_next_unharmed() -> None:
    model, tokenizer = tiny_causal()
    before = [r.text for r in generate(model, tokenizer, requests())]

    def stops(ids: Any, logits: Any, contexts: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(model, tokenizer, requests(), rules=[DecodingRule(name="stops", next_logits=stops)])
    assert [r.text for r in generate(model, tokenizer, requests())] == before


def test_a_row_that_ends_early_leaves_the_others_as_they_are_alone() -> None:
    """Also with contexts: an end token in one row neither ends nor changes another."""
    model, tokenizer = tiny_causal()
    rule = told(tokenizer, "The old town")
    alone = [generate(model, tokenizer, [r], rules=[rule])[0] for r in requests()]
    model.generation_config.eos_token_id = [tokenizer.eos_token_id, alone[0].token_ids[2]]
    ended = [generate(model, tokenizer, [r], rules=[rule])[0] for r in requests()]
    together = generate(model, tokenizer, requests(), rules=[rule])
    assert [r.token_ids for r in together] == [r.token_ids for r in ended]
    assert len(ended[0].token_ids) <= 2


def test_an_end_token_inside_a_context_ends_nothing() -> None:
    model, tokenizer = tiny_causal()
    end = tokenizer.eos_token_id
    rule = DecodingRule(
        name="ends",
        contexts=lambda prefix: [[end, *prefix, end]],
        next_logits=lambda ids, logits, contexts: torch.stack([a + 0.5 * c[0] for a, c in zip(logits, contexts)]),  # noqa: B905
    )
    for response in generate(model, tokenizer, requests(6), rules=[rule]):
        assert list(response.token_ids) == by_hand(model, tokenizer, response.request.prompt, [rule], 6)


def test_other_products_for_contexts_leave_no_trace_also_after_an_error() -> None:
    """A batch with contexts is multiplied by another library; rows without any never are."""
    model, tokenizer = tiny_causal()
    told_rule = told(tokenizer, "The old town")

    def exchanged() -> list[str]:
        return [name for name, module in model.named_modules() if "forward" in vars(module)]

    during: list[int] = []

    def look(ids: Any, logits: torch.Tensor, contexts: list[torch.Tensor]) -> torch.Tensor:
        during.append(len(exchanged()))
        if len(during) == 3:
            raise RuntimeError("a rule broke")
        return logits

    rules = [told_rule, DecodingRule(name="look", next_logits=look)]
    with pytest.raises(RuntimeError, match="a rule broke"):
        generate(model, tokenizer, requests(), rules=rules)
    assert during[0] > 0 and exchanged() == []
    alone: list[int] = []
    generate(
        model, tokenizer, requests(),
        rules=[DecodingRule(name="look", next_logits=lambda i, x, c: alone.append(len(exchanged())) or x)],
    )  # fmt: skip
    assert set(alone) == {0}


# ------------------------------------------------------------ bad input
def test_a_context_without_room_for_the_answer_is_refused_before_anything_is_written() -> None:
    model, tokenizer = tiny_causal()
    rule = told(tokenizer, "town " * 250)
    size = len(tokenizer("town " * 250 + "Rain fell")["input_ids"])
    with pytest.raises(UsageError) as caught:
        generate(model, tokenizer, [Request(prompt="Rain fell", max_new_tokens=300)], rules=[rule])
    assert str(caught.value).splitlines()[0] == (
        f"decoding rule 'told': a context of the rule has {size:,} tokens and up to 300 more are to be written, but "
        "the model takes at most 512"
    )


def test_a_prompt_that_fills_the_context_is_refused() -> None:
    model, tokenizer = tiny_causal("gpt2")
    with pytest.raises(UsageError, match=r"a prompt has [\d,]+ tokens and up to 40 more are to be written"):
        generate(model, tokenizer, [Request(prompt="town " * 600)])


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_logits_that_are_no_numbers_are_an_error_with_the_name_of_the_rule(value: float) -> None:
    from evenhand.errors import PluginFault

    model, tokenizer = tiny_causal()
    rule = DecodingRule(name="broken", next_logits=lambda ids, logits, contexts: torch.full_like(logits, value))
    with pytest.raises(PluginFault, match="decoding rule 'broken': there is no next token to choose"):
        generate(model, tokenizer, requests(), rules=[rule])


def test_a_chat_has_known_roles_and_a_template() -> None:
    model, tokenizer = tiny_causal()
    chat = {"chat": True}
    with pytest.raises(UsageError, match="this tokenizer has no chat template"):
        generate(model, tokenizer, [Request(prompt="Hello", meta=chat)])
    tokenizer.chat_template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}<assistant>"
    with pytest.raises(UsageError) as caught:
        generate(model, tokenizer, [Request(prompt="Hello", turns=(("sytem", "Be kind."),), meta=chat)])
    assert str(caught.value).startswith("generate: there is no role 'sytem'")
    with pytest.raises(UsageError, match="the request has earlier turns, and is none of a chat"):
        generate(model, tokenizer, [Request(prompt="Hello", turns=(("system", "Be kind."),))])
    whole = "<system>Be kind.\n<user>Hello\n<assistant>"
    asked = Request(prompt="Hello", turns=(("system", "Be kind."),), max_new_tokens=4, meta=chat)
    plain = generate(model, tokenizer, [Request(prompt=whole, max_new_tokens=4)])[0]
    assert generate(model, tokenizer, [asked])[0].token_ids == plain.token_ids


def test_a_cache_of_ones_own_is_refused_where_it_would_be_left_as_it_is() -> None:
    from transformers import DynamicCache

    model, tokenizer = tiny_causal()
    attach(model, tokenizer, [DecodingRule(name="twice", next_logits=lambda ids, logits, contexts: 2 * logits)])
    ids = tokenizer("The nurse said that she", return_tensors="pt")
    with pytest.raises(UsageError) as caught:
        model.generate(**ids, max_new_tokens=3, do_sample=False, past_key_values=DynamicCache())
    assert str(caught.value) == (
        "generate: decoding rules are in force, and their loop neither reads nor fills a key-value cache that it is "
        "given\n  leave out past_key_values: the loop keeps a cache of its own"
    )
    how: dict[str, Any] = {"max_new_tokens": 3, "do_sample": False, "num_beams": 2}
    cache = DynamicCache()
    assert torch.equal(model.generate(**ids, **how, past_key_values=cache), model.generate(**ids, **how))
    assert cache.get_seq_length() == ids["input_ids"].shape[1] + 2
