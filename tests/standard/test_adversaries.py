"""Adversarial training: the projection by hand, masked texts, heads against autograd, a training, the fresh probe."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from datasets import Dataset
from objective_batches import batch_of

from evenhand.errors import UsageError
from evenhand_sdk import Aggregator, load_axis
from evenhand_standard.objective.adversarial import Adversarial, projected
from evenhand_standard.objective.adversary_heads import guessing, layer_of, make_heads, pooled
from evenhand_standard.objective.fresh_probe import probe_section, probed
from evenhand_standard.objective.gradient_reversal import GradientReversal
from evenhand_standard.objective.group_masking import Masking, masked
from evenhand_standard.objective.pcgrad import PCGrad

GENDER = load_axis("gender")
TEXTS = [
    "She said that the nurse was good.",
    "He is an engineer and the people are with him.",
    "Her daughter said that the nurse was bad.",
    "His son is an engineer at the house.",
    "Rain fell on the town.",
]


# --- the direction ----------------------------------------------------------------------------------------------------


def test_zhangs_update_by_hand() -> None:
    """g_P = (3, 1) + (1, 0), g_A = (2, 0): the projection is (4, 0), so that alpha = 1/2 leaves (4 - 4 - 1, 1)."""
    gradients = {"a": torch.tensor([3.0, 1.0]), "adversary": torch.tensor([2.0, 0.0]), "b": torch.tensor([1.0, 0.0])}
    assert projected(gradients, "adversary", 1.0, 0.5).tolist() == [-1.0, 1.0]
    assert projected(gradients, "adversary", 0.5, 0.5).tolist() == [1.5, 1.0]
    assert projected(gradients, "adversary", 1.0, 0.0).tolist() == [0.0, 1.0]


def test_without_a_say_of_the_adversary_the_others_are_added() -> None:
    gradients = {"a": torch.tensor([3.0, 1.0]), "adversary": torch.zeros(2)}
    assert projected(gradients, "adversary", 1.0, 1.0).tolist() == [3.0, 1.0]


def test_a_step_never_helps_the_adversary() -> None:
    """Its gradient is climbed or crossed, never descended: direction . g_A = -alpha |g_A|^2."""
    torch.manual_seed(0)
    for _ in range(20):
        gradients = {"a": torch.randn(7), "adversary": torch.randn(7)}
        square = float(gradients["adversary"] @ gradients["adversary"])
        found = projected(gradients, "adversary", 1.0, 0.3)
        assert float(found @ gradients["adversary"]) == pytest.approx(-0.3 * square, rel=1e-3)


def test_alpha_ramps_up_over_the_first_tenth(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    term, rule = Adversarial(alpha=2.0).objective(run_of(model, tokenizer), model)
    g = {"x": torch.tensor([0.0, 1.0]), term.name: torch.tensor([1.0, 0.0])}
    reached = []
    for step in (0, 4, 9, 50):
        rule.on_step(step, 100)
        reached.append(-float(rule.combine({}, dict(g))[0]))
    assert reached == pytest.approx([0.2, 1.0, 2.0, 2.0])


# --- what the adversary reads -----------------------------------------------------------------------------------------


def test_group_words_and_names_are_masked() -> None:
    assert masked("Mary said that her brother met the queen.", GENDER, "_") == "_ said that _ _ met the _."
    assert masked("Mary said that her brother left.", GENDER, "_", names=False) == "Mary said that _ _ left."
    assert masked("Rain fell.", GENDER, "_") == "Rain fell."


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_rows_that_name_a_group_get_its_masked_text_and_label(kind: Any, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny(kind)
    transform = Adversarial().data(run_of(model, tokenizer, kind), "train", model)
    rows = transform.fn(Dataset.from_dict({"text": TEXTS}))
    assert rows["text"][:] == TEXTS
    assert rows["evenhand_group_gender"][:] == ["female", "male", "female", "male", ""]
    mark = "_" if kind == "causal" else tokenizer.mask_token
    assert rows["evenhand_masked_gender"][:2] == [
        f"{mark} said that the nurse was good.", f"{mark} is an engineer and the people are with {mark}.",
    ]  # fmt: skip
    assert rows["evenhand_masked_gender"][4] == ""
    assert transform.facts == {"rows that name female": 2, "rows that name male": 2}
    assert transform.account().kept == 5


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_the_term_is_the_cross_entropy_of_mean_states(kind: Any, tiny: Any, run_of: Any) -> None:
    from evenhand.training_data import Collator, encode
    from evenhand.training_forward import forward

    model, tokenizer = tiny(kind)
    model.eval()
    run = run_of(model, tokenizer, kind)
    rows = Adversarial().data(run, "train", model).fn(Dataset.from_dict({"text": TEXTS}))
    place = Masking("gender")
    heads = make_heads(model, 2, count=3, hidden=4, dropout=0.0)
    encoded, bins = encode(
        rows, tokenizer, kind=kind, max_length=48, vocabulary=model.config.vocab_size,
        pairings=[place.needs.counterfactual], columns=place.needs.columns,
    )  # fmt: skip
    batch = Collator(tokenizer=tokenizer, kind=kind, bins=bins, seed=1)(encoded)["batch"]
    outputs = forward(model, batch, [place.needs], kind=kind)
    expected = 0.0
    for row in rows.select(range(4)):
        ids = torch.tensor([tokenizer(row["evenhand_masked_gender"], add_special_tokens=kind == "masked")["input_ids"]])
        with torch.no_grad():
            state = model(input_ids=ids, output_hidden_states=True).hidden_states[1][0].double().mean(0)
            z = 0 if row["evenhand_group_gender"] == "female" else 1
            for head in heads:
                x = (state - state.mean()) / (state.var(unbiased=False) + 1e-5).sqrt()
                guess = head[4](torch.nn.functional.gelu(head[1](x.float())))
                expected -= float(guess.double().log_softmax(-1)[z]) / 4
    assert guessing(heads, place, ("female", "male"), 1)(batch, outputs).item() == pytest.approx(expected, rel=1e-4)


def test_the_layer_is_at_two_thirds_of_the_depth() -> None:
    class Thirty:
        class config:
            num_hidden_layers = 30

    assert (layer_of(Thirty(), None), layer_of(Thirty(), 5)) == (20, 5)  # type: ignore[arg-type]


@pytest.mark.parametrize("plugin", [Adversarial, GradientReversal])
def test_a_layer_that_the_model_does_not_have_is_refused(plugin: Any, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    with pytest.raises(UsageError) as caught:
        plugin(layer=9).objective(run_of(model, tokenizer), model)
    assert str(caught.value) == (
        "option layer: the model has no hidden states 9\n"
        "  it has 2 layers: 0 are the embeddings, 2 is what its last layer gives\n"
        "  give a layer from 0 to 2, or leave the option out"
    )
    assert plugin(layer=2).objective(run_of(model, tokenizer), model)


def test_pooling_leaves_padding_out() -> None:
    states = torch.arange(12.0).view(1, 3, 4)
    assert pooled(states, torch.tensor([[1, 1, 0]])).tolist() == [[2.0, 3.0, 4.0, 5.0]]


# --- training ---------------------------------------------------------------------------------------------------------


def test_gradient_reversal_is_the_negative_gradient_of_the_ensemble(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    term = GradientReversal(strength=0.5, reversal=0.4).objective(run_of(model, tokenizer), model)
    assert term.weight == pytest.approx(-0.2)
    assert len(list(term.parameters())) == 5 * 4, "five heads of two linear layers"
    # The ensemble with a layer of reversal between states and heads, as it is drawn; no dropout.
    model.eval()
    term = GradientReversal(strength=0.5, reversal=0.4, dropout=0.0, layer=1).objective(run_of(model, tokenizer), model)
    rows = Adversarial().data(run_of(model, tokenizer), "train", model).fn(Dataset.from_dict({"text": TEXTS}))
    columns = {name: rows[name][:] for name in term.needs.columns}
    batch, outputs = batch_of(model, tokenizer, [term], TEXTS, max_length=48, **columns)
    place = Masking("gender")
    pairs, states = batch.pairs[place.text], outputs.pairs[place.text].hidden_states
    features = pooled(states[1], pairs.attention_mask)
    labels = torch.tensor([["female", "male"].index(batch.columns[place.label][row]) for row in pairs.rows.tolist()])
    parameters = list(term.parameters())
    value = 0.0
    for k in range(5):
        w1, b1, w2, b2 = parameters[4 * k : 4 * k + 4]
        read = Reversed.apply(features, 0.5 * 0.4)
        inner = torch.nn.functional.gelu(torch.nn.functional.layer_norm(read, read.shape[-1:]) @ w1.T + b1)
        value = value + torch.nn.functional.cross_entropy(inner @ w2.T + b2, labels)
    moved = [p for p in model.parameters() if p.requires_grad]
    expected = torch.autograd.grad(value, moved, retain_graph=True, allow_unused=True)
    found = torch.autograd.grad(term.weight * term.fn(batch, outputs), moved, allow_unused=True)
    assert any(g is not None and bool(g.any()) for g in found)
    for a, b in zip(found, expected, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-7)


class Reversed(torch.autograd.Function):
    """The identity; backwards, the gradient times -lambda."""

    @staticmethod
    def forward(ctx: Any, states: torch.Tensor, factor: float) -> torch.Tensor:
        ctx.factor = factor
        return states.clone()

    @staticmethod
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[torch.Tensor, None]:
        return -ctx.factor * upstream, None


def test_an_adversary_may_take_several_steps_on_the_same_states(tiny: Any, run_of: Any) -> None:
    """Of three steps the second and third begin where the one before ended: Adam by hand on the same states."""
    found = {}
    for steps in (1, 3):
        model, tokenizer = tiny()
        run = run_of(model, tokenizer, max_steps=1, batch_size=8, learning_rate=1e-9)
        step = Adversarial(hidden=4, layer=1, adversary_learning_rate=1e-2, adversary_steps=steps)
        rows = step.data(run, "train", model).fn(Dataset.from_dict({"text": TEXTS[:4]}))
        torch.manual_seed(1)
        term, rule = step.objective(run, model)
        begun = [p.detach().clone() for p in term.parameters()]
        run.services.train(rows, [term, rule], name=f"steps-{steps}")
        found[steps] = [p.detach().clone() for p in term.parameters()]
    columns = {name: rows[name][:] for name in term.needs.columns}
    batch, outputs = batch_of(model.eval(), tokenizer, [term], rows["text"][:], **columns)
    for steps, ended in found.items():
        with torch.no_grad():
            for p, value in zip(term.parameters(), begun, strict=True):
                p.copy_(value)
        own = torch.optim.Adam(term.parameters(), lr=1e-2)
        for _ in range(steps):
            own.zero_grad()
            term.fn(batch, outputs).backward(retain_graph=True)
            own.step()
        for p, value in zip(term.parameters(), ended, strict=True):
            torch.testing.assert_close(p.detach(), value, rtol=0, atol=2e-3)


@pytest.mark.parametrize("plugin", [Adversarial, GradientReversal])
@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_training_makes_the_group_harder_to_guess_than_without(plugin: Any, kind: Any, tiny: Any, run_of: Any) -> None:
    """Against the same heads trained on a model that does not resist (strength near 0)."""
    losses = {}
    for name, strength in (("with", 1.0), ("barely", 1e-6)):
        model, tokenizer = tiny(kind)
        run = run_of(model, tokenizer, kind, max_steps=60, batch_size=8, learning_rate=2e-3)
        step = plugin(strength=strength, hidden=8, adversary_learning_rate=2e-2)
        rows = step.data(run, "train", model).fn(Dataset.from_dict({"text": TEXTS[:4] * 4}))
        torch.manual_seed(1)
        found = step.objective(run, model)
        parts = found if isinstance(found, list) else [found]
        _, result = run.services.train(rows, parts, name=name)
        facts = result.terms[parts[0].name]
        assert facts["gradient_norm"] > 0
        losses[name] = facts["last"]
    assert losses["with"] > losses["barely"] + 0.05


def test_with_another_aggregator_it_is_refused(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    run = run_of(model, tokenizer)
    step = Adversarial()
    rows = step.data(run, "train", model).fn(Dataset.from_dict({"text": TEXTS}))
    parts = [*step.objective(run, model), PCGrad().objective(run, model)]
    with pytest.raises(UsageError, match="combines its terms in one way, here are 2: 'projection of step', 'pcgrad'"):
        run.services.train(rows, parts)


@pytest.mark.parametrize("plugin", [Adversarial, GradientReversal])
def test_strength_0_contributes_nothing(plugin: Any, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    run, rows = run_of(model, tokenizer), Dataset.from_dict({"text": TEXTS})
    step = plugin(strength=0.0)
    assert not step.objective(run, model)
    assert step.data(run, "train", model).fn(rows) is rows
    assert step.transparency(run, model, None) is None


def test_the_adversary_survives_an_interruption(tiny: Any, run_of: Any, tmp_path: Any) -> None:
    import shutil

    from evenhand.recipe_model import TrainingSection
    from evenhand.training import train

    def go(resume: bool) -> tuple[Any, Any]:
        model, tokenizer = tiny()
        run = run_of(model, tokenizer)
        step = Adversarial()
        rows = step.data(run, "train", model).fn(Dataset.from_dict({"text": TEXTS * 3}))
        torch.manual_seed(4)
        parts = step.objective(run, model)
        assert isinstance(parts[1], Aggregator)
        settings = TrainingSection(max_steps=6, batch_size=4, save_every=2, learning_rate=1e-3, precision="float32")
        result = train(
            model,
            tokenizer,
            rows,
            parts,
            kind="causal",
            settings=settings,
            folder=tmp_path / "t",
            seed=3,
            resume=resume,
        )
        return model, result

    model, whole = go(False)
    shutil.rmtree(tmp_path / "t" / "checkpoint-6")
    again, resumed = go(True)
    assert resumed.terms == whole.terms
    for a, b in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


# --- the fresh probe --------------------------------------------------------------------------------------------------


def planted(strength: float) -> tuple[torch.Tensor, list[int], list[str]]:
    """24 names with a label each, five noisy items of each name; `strength` is how far the labels are apart."""
    draw = torch.Generator().manual_seed(0)
    names = [f"n{k}" for k in range(24) for _ in range(5)]
    labels = [k % 2 for k in range(24) for _ in range(5)]
    states = torch.randn(len(names), 16, generator=draw)
    states[:, 0] += strength * (2 * torch.tensor(labels).float() - 1)
    return states, labels, names


def test_a_label_that_is_there_is_found_and_codes_short() -> None:
    found = probed(*planted(4.0), seed=1)
    assert found.accuracy > 0.95
    assert found.bits < 0.5


def test_a_label_that_is_not_there_codes_no_shorter_than_a_coin() -> None:
    found = probed(*planted(0.0), seed=1)
    assert found.bits >= 1.0
    assert 0.35 < found.accuracy < 0.65


def test_a_probe_never_guesses_a_name_that_it_was_trained_on() -> None:
    """States that tell the name perfectly but nothing about labels of other names are of no use."""
    names = [f"n{k}" for k in range(24) for _ in range(5)]
    labels = [k % 2 for k in range(24) for _ in range(5)]
    states = torch.eye(24).repeat_interleave(5, 0)
    found = probed(states, labels, names, seed=1)
    assert found.bits >= 0.95 and found.accuracy < 0.65


def test_the_section_compares_before_and_after(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    section = probe_section(run_of(model, tokenizer), model, GENDER, 1)
    facts = {fact.label: fact.value for fact in section.facts}
    assert facts["occupations"] == 44 and facts["sentences"] == 264
    before = facts["description length before, bit per item (uniform: 1)"]
    assert facts["description length after, bit per item (uniform: 1)"] == before, "the model is the untouched one"


def test_an_axis_without_labels_has_no_probe(tiny: Any, run_of: Any, belief: str) -> None:
    model, tokenizer = tiny()
    section = probe_section(run_of(model, tokenizer), model, load_axis(belief), 1)
    assert not section.facts and "no labelled sentences" in section.text
