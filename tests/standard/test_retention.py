"""Anchors: the Fisher against exact values, what a drift costs, what they hold, and that a resume changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset

import evenhand
from evenhand.errors import NoEffect
from evenhand.recipe_model import TrainingSection
from evenhand.training import train as host_train
from evenhand_sdk import LossTerm, TrainingStart, UsageError, group_tokens, load_axis, token_bins
from evenhand_sdk.testing import contributions, run_context
from evenhand_sdk.testing import train as train_once
from evenhand_sdk.tiny import tiny_causal, tiny_masked, tiny_sentences
from evenhand_standard.objective import retention as module
from evenhand_standard.objective.fisher import Importance, importance, neutral
from evenhand_standard.objective.retention import Retention

GENDER = load_axis("gender")
NEUTRAL, NEUTRAL_ROWS = neutral(tiny_sentences(), [GENDER], 12, 0)
ROWS = Dataset.from_dict({"text": [*NEUTRAL, "She said that her brother was late.", "He is a king."]})
LONGER = TrainingSection(
    max_steps=20, batch_size=4, learning_rate=3e-3, max_length=48, precision="float32", save_every=1000
)
BOTH = pytest.mark.parametrize("kind", ["causal", "masked"])


def tiny(kind: str) -> tuple[Any, Any]:
    return tiny_causal() if kind == "causal" else tiny_masked()


def terms_of(folder: Path, kind: str = "causal", moving: Sequence[str] | None = None, **options: Any) -> Any:
    """(run, its terms), the parameters that do not move frozen."""
    plugin = Retention(**options)
    model, tokenizer = tiny(kind)
    for name, p in model.named_parameters():
        p.requires_grad_(moving is None or any(part in name for part in moving))
    run = run_context(folder, plugin, kind, model=model, tokenizer=tokenizer, max_steps=4)
    return run, contributions(plugin, "objective", run)


def begin(run: Any, term: LossTerm, rows: Dataset = ROWS) -> list[str]:
    told: list[str] = []
    assert term.on_start is not None
    term.on_start(TrainingStart(model=run.services.model, rows=rows, tell=told.append))
    return told


class Outputs:
    logits = torch.zeros(1)


def value(term: LossTerm) -> torch.Tensor:
    return term.fn(None, Outputs())


# ---------------------------------------------------------------------------------------------------------- Fisher
def last_norm(model: Any) -> dict[str, torch.nn.Parameter]:
    for p in model.parameters():
        p.requires_grad_(False)
    model.model.norm.weight.requires_grad_(True)
    return {"model.norm.weight": model.model.norm.weight}


def test_the_fisher_is_that_of_labels_which_the_model_draws() -> None:
    """One predicted token: F = sum_y p(y) (d log p(y) / d theta)^2, exactly; 400 draws come within a tenth of it."""
    model, tokenizer = tiny_causal()
    [weight] = last_norm(model).values()
    text = "The town"
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    assert ids.shape[1] == 2

    def logp(w: torch.Tensor) -> torch.Tensor:
        out = torch.func.functional_call(model, {"model.norm.weight": w}, (ids,))
        return out.logits[0, 0].log_softmax(-1)

    slopes = torch.autograd.functional.jacobian(logp, weight.detach())  # [V, H]
    chances = logp(weight.detach()).exp()
    exact = (chances[:, None] * slopes.square()).sum(0)
    found = importance(model, tokenizer, [text] * 400, kind="causal", max_length=8, seed=0)
    assert found.sequences == 400
    off = (found.fisher["model.norm.weight"] - exact).norm() / exact.norm()
    assert off < 0.15
    # The text's own label, or the square of the summed gradient, would be far away.
    assert (slopes[ids[0, 1]].square() - exact).norm() / exact.norm() > 0.5
    assert found.loss == pytest.approx(float(-logp(weight.detach())[ids[0, 1]]), rel=1e-5)


def test_examples_are_squared_one_by_one_and_then_averaged() -> None:
    model, tokenizer = tiny_causal()
    last_norm(model)
    texts = ["The town is old.", "Rain fell."]
    alone = []
    drawn = torch.Generator().manual_seed(5 + 1)
    for text in sorted(texts, key=lambda t: len(tokenizer(t)["input_ids"])):
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        logp = model(input_ids=ids).logits[0, :-1].log_softmax(-1)
        labels = torch.multinomial(logp.detach().exp(), 1, generator=drawn)
        [gradient] = torch.autograd.grad(logp.gather(-1, labels).sum(), [model.model.norm.weight])
        alone.append(gradient.square())
    found = importance(model, tokenizer, texts, kind="causal", max_length=32, seed=5)
    torch.testing.assert_close(found.fisher["model.norm.weight"], torch.stack(alone).mean(0))


@BOTH
def test_it_is_about_what_moves_and_repeatable_and_leaves_the_model_alone(kind: str) -> None:
    model, tokenizer = tiny(kind)
    for name, p in model.named_parameters():
        p.requires_grad_("weight" in name and "embed" not in name)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    how: dict[str, Any] = {"kind": kind, "max_length": 32, "seed": 1}
    first, second = (importance(model.train(), tokenizer, NEUTRAL, **how) for _ in range(2))
    assert set(first.fisher) == {n for n, p in model.named_parameters() if p.requires_grad}
    assert all(torch.equal(first.fisher[n], second.fisher[n]) for n in first.fisher)
    assert any(bool(f.max() > 0) for f in first.fisher.values()) and first.loss > 0
    other = importance(model, tokenizer, NEUTRAL, **{**how, "seed": 2})
    assert any(not torch.equal(first.fisher[n], other.fisher[n]) for n in first.fisher)
    assert model.training and all(torch.equal(p, before[n]) and p.grad is None for n, p in model.named_parameters())
    assert importance(model, tokenizer, NEUTRAL, fisher=False, **how).fisher == {}


def test_neutral_rows_name_no_group() -> None:
    texts = ["He is late.", "Rain fell.", None, " ", "The queen left.", "The town is old.", "Mary sang."]
    assert neutral(texts, [GENDER], 9, 0)[1] == 2
    assert sorted(neutral(texts, [GENDER], 9, 0)[0]) == ["Rain fell.", "The town is old."]
    found, there = neutral(tiny_sentences(), [GENDER], 3, 7)
    assert len(found) == 3 and there > 12 and found == neutral(tiny_sentences(), [GENDER], 3, 7)[0]


# --------------------------------------------------------------------------------------------------------- penalty
@BOTH
@pytest.mark.parametrize("anchor", ["l2-sp", "ewc"])
def test_one_per_cent_of_drift_costs_what_was_asked_for(anchor: str, kind: str, tmp_path: Path) -> None:
    """theta = 1.01 theta0 everywhere: the term is drift_cost * L_LM, by the definition of lambda."""
    run, [term] = terms_of(tmp_path, kind, anchors=[anchor], drift_cost=0.04)
    told = begin(run, term)
    assert term.anchor and value(term).item() == 0.0
    texts = neutral(ROWS["text"], [GENDER], 1000, run.seed_for("neutral text"))[0]
    loss = importance(
        run.services.model, run.tokenizer, texts, kind=kind, max_length=48, seed=run.seed_for("labels"), fisher=False
    ).loss
    with torch.no_grad():
        for p in run.services.model.parameters():
            p.mul_(1.01)
    assert value(term).item() == pytest.approx(0.04 * loss, rel=1e-3)
    assert told[-1].startswith(f"retention ({anchor}): ")
    assert told[-1].endswith(
        f", at which 1 % drift of every weight costs 0.04 of the language-modelling loss ({loss:.3g} nat)"
    )


def test_l2_sp_is_lambda_times_the_squared_distance(tmp_path: Path) -> None:
    """Only the last norm moves, 32 weights of 1: lambda = 0.03 L / (1e-4 * 32). Two of them by 0.5: lambda * 0.5."""
    run, [term] = terms_of(tmp_path, anchors=["l2-sp"], moving=["model.norm"], weight=2.0, strength=0.5)
    told = begin(run, term)
    weight = run.services.model.model.norm.weight
    assert weight.unique().tolist() == [1.0] and weight.numel() == 32 and term.weight == 1.0
    with torch.no_grad():
        weight[3] += 0.5
        weight[7] -= 0.5
    lam = float(told[0].partition("lambda ")[2].partition(",")[0])
    found = value(term)
    assert found.item() == pytest.approx(lam * 0.5, rel=1e-3)
    found.backward()
    expected = torch.zeros(32)
    expected[3], expected[7] = lam, -lam
    torch.testing.assert_close(weight.grad, expected, rtol=1e-3, atol=0)


def test_ewc_weighs_each_weight_by_its_fisher(tmp_path: Path) -> None:
    run, [term] = terms_of(tmp_path, moving=["model.norm"])
    told = begin(run, term)
    assert told[0] == "retention (ewc): 12 rows of the training text name no group; 1,000 were asked for"
    assert told[1].startswith("retention (ewc): Fisher from 12 sequences; lambda ")
    texts = neutral(ROWS["text"], [GENDER], 1000, run.seed_for("neutral text"))[0]
    weight = run.services.model.model.norm.weight
    fisher = importance(
        run.services.model, run.tokenizer, texts, kind="causal", max_length=48, seed=run.seed_for("labels")
    ).fisher["model.norm.weight"]
    lam = float(told[1].partition("lambda ")[2].partition(",")[0])
    for k in (0, 5):
        with torch.no_grad():
            weight[k] += 0.1
        assert value(term).item() == pytest.approx(lam * float(fisher[k]) * 0.01, rel=1e-3)
        with torch.no_grad():
            weight[k] -= 0.1


def test_kl_is_the_term_of_pair_parity(tmp_path: Path) -> None:
    from evenhand_standard.objective.pair_parity import RetainedWords

    run, [term] = terms_of(tmp_path, anchors=["kl"], weight=0.3)
    assert (term.name, term.weight, term.anchor, term.on_start) == ("retention (kl)", 0.3, True, None)
    assert term.needs.reference
    bins = token_bins(run.tokenizer, GENDER.bins(names=True), run.services.model.config.vocab_size)
    assert group_tokens(bins)
    same = RetainedWords(bins, causal=True)
    facts = train_once(
        run, [term, LossTerm(name="same", fn=same, weight=0.0, needs=term.needs, anchor=True)], rows=ROWS
    ).terms
    assert facts["retention (kl)"]["last"] == facts["same"]["last"] > 0
    assert facts["retention (kl)"]["first"] == pytest.approx(0.0, abs=1e-6)


@BOTH
@pytest.mark.parametrize("anchor", ["kl", "l2-sp", "ewc"])
def test_an_anchor_holds_the_model(anchor: str, kind: str, tmp_path: Path) -> None:
    """The same training with and without it: with a heavy anchor the model ends nearer to where it began."""
    gone = {}
    for weight in (0.0, 200.0):
        run, [term] = terms_of(tmp_path / str(weight), kind, anchors=[anchor], weight=weight)
        run = replace(run, services=replace(run.services, settings=LONGER))
        facts = train_once(run, [term], rows=ROWS).terms[term.name]
        gone[weight] = facts["last"]
        assert facts["gradient_norm"] > 0 or not weight
    assert gone[200.0] < 0.5 * gone[0.0]


@BOTH
@pytest.mark.parametrize("anchor", ["kl", "l2-sp", "ewc"])
def test_with_nothing_beside_it_a_distance_of_weights_stays_at_zero_and_kl_drifts(
    anchor: str, kind: str, tmp_path: Path
) -> None:
    """AdamW divides a gradient by its size, so that rounding noise makes whole steps."""
    run, [term] = terms_of(tmp_path, kind, anchors=[anchor])
    settings = TrainingSection(
        max_steps=8, batch_size=4, learning_rate=1e-3, max_length=48, precision="float32", language_modelling=0.0
    )
    run = replace(run, services=replace(run.services, settings=settings))
    if anchor != "kl":
        with pytest.raises(NoEffect) as caught:
            train_once(run, [term], rows=ROWS)
        assert caught.value.what == "no parameter moved in 8 updates"
        return
    facts = train_once(run, [term], rows=ROWS).terms[term.name]
    assert facts["first"] < 1e-3 and 1e-5 < facts["last"] < 0.1


def test_strength_0_adds_no_term_and_anchors_are_told_apart(tmp_path: Path) -> None:
    assert terms_of(tmp_path, strength=0.0)[1] == []
    _, terms = terms_of(tmp_path, anchors=["ewc", "kl", "l2-sp", "ewc"], strength=0.5)
    assert [(t.name, t.weight, t.anchor) for t in terms] == [
        ("retention (ewc)", 0.5, True), ("retention (kl)", 0.5, True), ("retention (l2-sp)", 0.5, True)
    ]  # fmt: skip


# -------------------------------------------------------------------------------------------------- what goes wrong
def test_without_neutral_text_it_says_what_to_do(tmp_path: Path) -> None:
    run, [term] = terms_of(tmp_path)
    with pytest.raises(UsageError) as caught:
        begin(run, term, Dataset.from_dict({"text": ["He left.", "She left."]}))
    assert str(caught.value) == (
        "step 'retention': no row of the training text is free of group words, so nothing says what the model must "
        "keep\n  2 rows, axes gender\n"
        "  add neutral text to the training data, or put the step that adds group words behind this training"
    )


def test_weights_of_zero_have_no_one_per_cent(tmp_path: Path) -> None:
    run, [term] = terms_of(tmp_path, "masked", anchors=["l2-sp"], moving=["cls.predictions.bias"])
    with torch.no_grad():
        for p in run.services.model.parameters():
            if p.requires_grad:
                p.zero_()
    with pytest.raises(UsageError) as caught:
        begin(run, term)
    assert str(caught.value) == (
        "step 'retention': 1 % of the weights that may move is nothing: all of them are zero, or none of them counts\n"
        '  anchor l2-sp; 1 tensors may move\n  use anchors = ["kl"], or let other tensors move, too'
    )


def test_that_no_weight_counts_is_told_after_one_sequence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of LoRA, whose second matrix is zero: the gradient of the first one is, too."""
    weighed: list[int] = []

    def nothing_counts(model: Any, tokenizer: Any, texts: Sequence[str], **how: Any) -> Importance:
        weighed.append(len(texts))
        return Importance(fisher={n: torch.zeros_like(p) for n, p in model.named_parameters()}, loss=2.0, sequences=1)

    monkeypatch.setattr(module, "importance", nothing_counts)
    run, [term] = terms_of(tmp_path)
    with pytest.raises(UsageError, match="none of them counts\n  anchor ewc; "):
        begin(run, term)
    assert weighed == [1]


def test_a_term_that_never_saw_the_beginning_says_so(tmp_path: Path) -> None:
    _, [term] = terms_of(tmp_path)
    with pytest.raises(UsageError, match="this term never saw the beginning of the training"):
        value(term)


# ---------------------------------------------------------------------------------------------- resumes, other loops
@pytest.mark.parametrize("anchor", ["l2-sp", "ewc"])
def test_an_interrupted_training_ends_with_the_same_bits(
    anchor: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = TrainingSection(
        max_steps=6, batch_size=4, learning_rate=1e-2, max_length=32, precision="float32", save_every=2
    )

    def go(place: str, *, stop: bool = False, resume: bool = False) -> Any:
        run, terms = terms_of(tmp_path / place, anchors=[anchor], weight=5.0)

        def stopping(step: int, total: int) -> None:
            if stop and step == 4:
                raise KeyboardInterrupt

        watch = LossTerm(name="watch", fn=lambda b, o: o.logits.sum() * 0.0, weight=0.0, on_step=stopping)
        model = run.services.model
        result = host_train(
            model, run.tokenizer, ROWS, [*terms, watch], kind="causal", settings=settings,
            folder=tmp_path / place / "training", seed=0, resume=resume,
        )  # fmt: skip
        return {n: p.detach().clone() for n, p in model.named_parameters()}, result

    whole, result = go("whole")
    with pytest.raises(KeyboardInterrupt):
        go("broken", stop=True)
    if anchor == "ewc":
        monkeypatch.setattr(module, "importance", lambda *a, **k: pytest.fail("the Fisher is there already"))
    again, resumed = go("broken", resume=True)
    assert all(torch.equal(whole[n], again[n]) for n in whole)
    assert resumed.terms == result.terms and resumed.events[-1] == result.events[-1]


def test_a_copy_is_held_to_what_the_copy_was(tmp_path: Path) -> None:
    run, [term] = terms_of(tmp_path, anchors=["l2-sp"], weight=1e6)
    other = evenhand.foreign_precision.copied(run.services.model)
    with torch.no_grad():
        for p in other.parameters():
            p.mul_(1.5)
    start = {n: p.detach().clone() for n, p in other.named_parameters()}
    trained, _ = run.services.train(ROWS, [term], model=other)
    own = dict(run.services.model.named_parameters())
    for name, p in trained.named_parameters():
        assert (p - start[name]).norm() < 0.2 * (start[name] - own[name]).norm() or not start[name].any(), name


def test_it_works_in_a_loop_of_ones_own() -> None:
    model, tokenizer = tiny_causal()
    fair = evenhand.Objective(model, tokenizer, [Retention(anchors=["ewc"], sequences=4)])
    rows = fair.encode(ROWS)
    assert fair.notes[-1].startswith("retention (ewc): Fisher from 4 sequences; lambda ")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    values = []
    for _ in range(3):
        fair.loss(model, fair.collate(rows[:4])).backward()
        optimizer.step()
        optimizer.zero_grad()
        values.append(fair.latest()["retention (ewc)"])
    assert values[0] == 0.0 < values[1] < values[2]
    fair.encode(ROWS)
    assert len(fair.notes) == 1, "only the first data set is the beginning"


def test_a_run_tells_what_it_held_on_to_and_leaves_no_fisher_behind(tmp_path: Path, own_cache: Any) -> None:
    from evenhand.progress import configure
    from evenhand_sdk.tiny import save_tiny

    configure("quiet")
    (tmp_path / "train.txt").write_text("\n".join(ROWS["text"]))
    recipe = {
        "model": {"name": str(save_tiny(tmp_path / "tiny")), "dtype": "float32"},
        "data": {"train": str(tmp_path / "train.txt")},
        "training": {"max_steps": 3, "batch_size": 4, "learning_rate": 1e-2},
        "traffic": {"limit": 0},
        "evaluation": {"resamples": 100, "controls": "none"},
        "steps": [{"use": "pair-parity", "retention": 0.0}, {"use": "retention", "anchors": ["ewc", "kl"]}],
        "benchmarks": [{"use": "perplexity", "limit": 2}],
    }
    result = evenhand.run(recipe, output=tmp_path / "runs")
    told = [e["text"] for e in result.record["events"] if e["stage"] == "training"]
    assert told[0] == "retention (ewc): 12 rows of the training text name no group; 1,000 were asked for"
    assert told[1].startswith("retention (ewc): Fisher from 12 sequences; lambda ") and len(told) == 2
    proofs = {p["what"].partition(":")[0]: p for p in result.record["steps"][1]["proofs"]}
    assert set(proofs) == {"retention (ewc)", "retention (kl)"} and all(p["took"] for p in proofs.values())
    assert list(Path(result.folder).rglob("fisher.safetensors")) == []
