"""The budget as a constraint, the best moment, early stopping: by hand, and across an interruption."""

from __future__ import annotations

import math
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset

from evenhand.contributions import Aggregator, Criterion, LossTerm, Needs
from evenhand.errors import OutOfMemory, TrainingDiverged, UsageError
from evenhand.recipe_model import TrainingSection
from evenhand.retention_text import retention_text
from evenhand.training import train
from evenhand.training_watch import Look, Watch
from evenhand_sdk.tiny import tiny_causal, tiny_masked, tiny_sentences

SENTENCES = tiny_sentences()


def run(model: Any, tokenizer: Any, folder: Path, terms: Any = (), **options: Any) -> Any:
    given = {k: options.pop(k) for k in ("retention", "budget", "resume", "kind") if k in options}
    defaults = {"max_steps": 12, "batch_size": 4, "learning_rate": 1e-2, "save_every": 4, "precision": "float32"}
    settings = TrainingSection(**{**defaults, "evaluate_every": 3, **options})
    rows = Dataset.from_dict({"text": SENTENCES[:16]})
    return train(model, tokenizer, rows, terms, settings=settings, folder=folder, seed=3, **{"kind": "causal", **given})


def state(model: Any) -> dict[str, torch.Tensor]:
    return {n: p.detach().clone() for n, p in model.named_parameters()}


def harm(weight: float = 1.0) -> LossTerm:
    """Climbs the loss of language modelling."""
    return LossTerm(name="harm", fn=lambda batch, outputs: -outputs.loss, weight=weight)


def retention(count: int = 16) -> Dataset:
    return Dataset.from_dict({"text": SENTENCES[40 : 40 + count]})


def log_perplexity(model: Any, tokenizer: Any, texts: list[str]) -> float:
    """By word, one text and one token at a time, in float64."""
    total = 0.0
    with torch.no_grad():
        for text in texts:
            ids = tokenizer(text, add_special_tokens=False)["input_ids"]
            logits = model(input_ids=torch.tensor([ids])).logits[0].double()
            for t in range(len(ids) - 1):
                total -= float(logits[t].log_softmax(-1)[ids[t + 1]])
    return total / sum(len(text.split()) for text in texts)


def test_rows_all_over_the_text_are_held_out_and_at_most_a_tenth() -> None:
    rows = Dataset.from_dict({"text": [f"row {k}" for k in range(85)]})
    kept, held = retention_text(rows)
    assert held["text"][:] == [f"row {k}" for k in (0, 10, 21, 31, 42, 53, 63, 74)], "85 / 8 is 10.6"
    assert len(kept) == 77 and not set(kept["text"]) & set(held["text"])
    assert len(retention_text(Dataset.from_dict({"text": ["x"] * 5000}))[1]) == 128


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(UsageError) as caught:
        retention_text(Dataset.from_dict({"text": ["x"] * 79}))
    assert str(caught.value) == (
        'training.constraint = "lagrangian": 79 rows are too few to hold some out as retention text\n'
        "  a tenth of the rows is held out, at least 8 and at most 128\n"
        "  train on more text, or leave the constraint out"
    )


def test_text_of_its_own_is_taken_evenly_and_leaves_the_training_text_alone() -> None:
    rows, given = (Dataset.from_dict({"text": [f"{name} {k}" for k in range(300)]}) for name in ("row", "general"))
    kept, held = retention_text(rows, given)
    assert kept is rows
    taken = [int(text.removeprefix("general ")) for text in held["text"]]
    assert (len(taken), taken[0], taken[-1]) == (128, 0, 297)
    assert {b - a for a, b in pairwise(taken)} == {2, 3}, "300 / 128 is 2.34"
    _, held = retention_text(rows, given.select(range(255)))
    assert held["text"][::32] == ["general 0", "general 63", "general 127", "general 191"], "not the first half"
    with pytest.raises(UsageError) as caught:
        retention_text(rows, given.select(range(7)))
    assert str(caught.value) == (
        'training.constraint = "lagrangian": 7 rows are too few as retention text\n'
        "  its rows are spread over the text, at least 8 and at most 128\n"
        "  give more of it"
    )


def test_the_ratio_is_that_of_perplexity_by_word_on_the_measured_half(tmp_path: Path) -> None:
    model, tokenizer = tiny_causal()
    texts = retention()["text"][::2]
    before = log_perplexity(model, tokenizer, texts)
    result = run(model, tokenizer, tmp_path, retention=retention(), budget=100.0)
    after = log_perplexity(model, tokenizer, texts)
    looks = result.watch["looks"]
    assert [look["step"] for look in looks] == [0, 3, 6, 9, 12]
    assert looks[0]["ratio"] == pytest.approx(1.0, abs=1e-6)
    assert looks[-1]["ratio"] == pytest.approx(math.exp(after - before), rel=1e-4)
    assert result.watch["kept"] == 12 and result.events == []


def test_a_row_that_is_cut_counts_the_words_that_are_read(tmp_path: Path) -> None:
    """Eight texts of six sentences, of which only the first tokens fit: the ratio is that of the beginnings."""
    model, tokenizer = tiny_causal()
    whole = [" ".join(SENTENCES[k : k + 6]) for k in range(0, 48, 6)]
    heads = [tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"][:12]) for text in whole[::2]]
    assert all(len(tokenizer(head, add_special_tokens=False)["input_ids"]) == 12 for head in heads)
    before = log_perplexity(model, tokenizer, heads)
    result = run(model, tokenizer, tmp_path, retention=Dataset.from_dict({"text": whole}), budget=100.0, max_length=12)
    after = log_perplexity(model, tokenizer, heads)
    assert result.watch["looks"][-1]["ratio"] == pytest.approx(math.exp(after - before), rel=1e-4)


def test_the_multiplier_ascends_by_the_violation_and_holds_the_perplexity(tmp_path: Path) -> None:
    free, tokenizer = tiny_causal()
    held, _ = tiny_causal()
    loose = run(free, tokenizer, tmp_path / "a", [harm()], language_modelling=0.0, retention=retention(),
                budget=1e9)  # fmt: skip
    tight = run(held, tokenizer, tmp_path / "b", [harm()], language_modelling=0.0, retention=retention(),
                budget=1.05, dual_step=2.0)  # fmt: skip
    expected = 0.0
    for look in tight.watch["looks"]:
        assert look["multiplier"] == pytest.approx(expected)
        if look["step"]:
            expected = max(0.0, expected + 2.0 * (math.log(look["ratio"]) / math.log(1.05) - 1))
    assert tight.watch["looks"][2]["multiplier"] > 0
    assert all(look["multiplier"] == 0 for look in loose.watch["looks"])
    assert loose.watch["looks"][-1]["ratio"] > 1.2, "the term does harm language quality"
    assert tight.watch["looks"][-1]["ratio"] < 0.9 * loose.watch["looks"][-1]["ratio"]
    assert tight.tokens > loose.tokens, "retention text that is read counts"


def test_a_budget_that_cannot_be_met_says_how_close_it_came_and_keeps_the_untouched_model(tmp_path: Path) -> None:
    model, tokenizer = tiny_causal()
    before = state(model)
    result = run(model, tokenizer, tmp_path, [harm(9.0)], retention=retention(), budget=1.0, learning_rate=0.05,
                 dual_step=1e-6)  # fmt: skip
    ratios = {look["step"]: look["ratio"] for look in result.watch["looks"] if look["step"]}
    nearest = min(ratios, key=ratios.__getitem__)
    assert min(ratios.values()) > 1
    assert result.events == [
        "the budget was not met: at most 1 times the perplexity on retention text is allowed, the nearest was "
        f"{ratios[nearest]:.4f} at step {nearest}; the model is as it was before this training"
    ]
    assert result.watch["kept"] == 0
    assert all(torch.equal(p, before[n]) for n, p in state(model).items())


def scripted(values: list[float], patience: int | None) -> tuple[Criterion, list[dict[str, torch.Tensor]]]:
    """A criterion that gives these values in turn, and what the parameters were then."""
    seen: list[dict[str, torch.Tensor]] = []

    def measure(measured: Any) -> float:
        seen.append(state(measured.model))
        return values[len(seen) - 1]

    return Criterion(name="script", measure=measure, patience=patience), seen


def test_the_best_moment_is_kept(tmp_path: Path) -> None:
    model, tokenizer = tiny_causal()
    criterion, seen = scripted([0.1, 0.5, 0.3, 0.4, 0.6], None)
    result = run(model, tokenizer, tmp_path, [criterion])
    assert (result.steps, result.watch["kept"]) == (12, 6)
    assert result.events == ["kept the model of step 6 of 12: the best moment with the least script"]
    assert all(torch.equal(p, seen[2][n]) for n, p in state(model).items())


def reading(probe: torch.nn.Linear) -> LossTerm:
    """A term with a head of its own, which learns beside the model."""

    def fn(batch: Any, outputs: Any) -> torch.Tensor:
        return probe(outputs.hidden_states[-1].float().mean(1)).pow(2).mean()

    return LossTerm(
        name="head", fn=fn, weight=0.1, needs=Needs(hidden_states=True), parameters=probe.parameters,
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.05),
    )  # fmt: skip


@pytest.mark.parametrize("stopped", [False, True])
def test_what_a_term_has_of_its_own_is_that_of_the_best_moment(tmp_path: Path, stopped: bool) -> None:
    """A head that went on learning would not fit the model that is kept; also after an interruption."""
    heads: list[torch.Tensor] = []

    def go(resume: bool) -> tuple[torch.nn.Linear, Any]:
        model, tokenizer = tiny_causal()
        torch.manual_seed(0)
        probe = torch.nn.Linear(model.config.hidden_size, 1)
        values = iter([0.1, 0.5, 0.3, 0.4, 0.6] if not resume else [0.1, 0.4, 0.6])

        def measure(measured: Any) -> float:
            heads.append(probe.weight.detach().clone())
            return next(values)

        criterion = Criterion(name="script", measure=measure, patience=None)
        return probe, run(model, tokenizer, tmp_path, [reading(probe), criterion], resume=resume)

    probe, result = go(False)
    assert result.watch["kept"] == 6
    assert not torch.equal(heads[2], heads[-1]) and torch.equal(probe.weight, heads[2])
    if stopped:
        shutil.rmtree(tmp_path / "checkpoint-12")  # the best moment lies before the last whole checkpoint, of step 8
        probe, result = go(True)
        assert result.watch["kept"] == 6 and torch.equal(probe.weight, heads[2])


def test_a_term_of_a_model_that_is_left_as_it_was_is_as_it_was_too(tmp_path: Path) -> None:
    model, tokenizer = tiny_causal()
    probe = torch.nn.Linear(model.config.hidden_size, 1)
    begun = probe.weight.detach().clone()
    result = run(model, tokenizer, tmp_path, [harm(9.0), reading(probe)], retention=retention(), budget=1.0,
                 learning_rate=0.05, dual_step=1e-6)  # fmt: skip
    assert result.watch["kept"] == 0 and result.terms["head"]["last"] != result.terms["head"]["first"]
    assert torch.equal(probe.weight, begun)


def test_patience_ends_the_training(tmp_path: Path) -> None:
    model, tokenizer = tiny_causal()
    criterion, seen = scripted([0.1, 0.3, 0.5, 0.4, 0.1], 2)
    result = run(model, tokenizer, tmp_path, [criterion])
    assert (result.steps, result.watch["kept"]) == (9, 3)
    assert result.events == [
        "early stopping after 9 steps: script was least at step 3",
        "kept the model of step 3 of 9: the best moment with the least script",
    ]
    assert all(torch.equal(p, seen[1][n]) for n, p in state(model).items())


def test_a_better_moment_over_the_budget_is_no_candidate() -> None:
    watch = Watch(budget=1.02, criterion=Criterion(name="gap", measure=lambda m: 0.0, patience=2))
    watch.looks = [
        Look(step=0, ratio=1.0, criterion=0.9),
        Look(step=5, ratio=1.01, criterion=0.7),
        Look(step=10, ratio=1.05, criterion=0.2),
        Look(step=15, ratio=1.019, criterion=0.8),
    ]
    best = watch._best()
    assert best is not None and best.step == 5
    assert watch.violation(1.02) == pytest.approx(0.0)
    assert watch.violation(1.0) == -1.0
    assert watch.violation(1.02**3) == pytest.approx(2.0)
    assert watch._impatient()
    # The smaller the budget, the more a loss counts; one of nothing counts most, and allows nothing.
    strict = [Watch(budget=budget).violation(1.05) for budget in (1.05, 1.02, 1.01, 1.001, 1.0)]
    assert strict[0] == 0 and strict == sorted(strict)
    assert strict[-1] == pytest.approx(math.log(1.05) / math.log(1.001))
    assert Watch(budget=1.0).violation(1.0) == 0 > Watch(budget=1.0).violation(0.99)
    watch.looks = [Look(step=step, ratio=1.05, criterion=0.5) for step in (5, 10, 15)]
    assert not watch._impatient(), "patience begins with the first moment within the budget"


def test_a_criterion_that_is_no_number_stops_the_training(tmp_path: Path) -> None:
    model, tokenizer = tiny_causal()
    criterion, _ = scripted([0.1, float("nan")], None)
    with pytest.raises(TrainingDiverged, match="the criterion 'script' became nan at step 3"):
        run(model, tokenizer, tmp_path, [criterion])


def test_two_criteria_are_refused(tmp_path: Path) -> None:
    model, tokenizer = tiny_causal()
    two = [Criterion(name=n, measure=lambda m: 0.0) for n in ("one", "two")]
    with pytest.raises(UsageError, match="one criterion for its best moment, here are 2: 'one', 'two'"):
        run(model, tokenizer, tmp_path, two)


@pytest.mark.parametrize("make, kind", [(tiny_causal, "causal"), (tiny_masked, "masked")])
def test_an_interrupted_constrained_training_ends_with_the_same_bits(make: Any, kind: str, tmp_path: Path) -> None:
    def go(folder: Path, resume: bool) -> tuple[Any, Any]:
        model, tokenizer = make()
        criterion = Criterion(
            name="norm", measure=lambda m: float(sum(p.detach().norm() for p in m.model.parameters()))
        )
        terms = [harm(1.5), criterion]
        how = {"retention": retention(), "budget": 1.0001, "kind": kind, "resume": resume}
        return model, run(model, tokenizer, folder, terms, **how)

    model, whole = go(tmp_path, False)
    assert max(look["multiplier"] for look in whole.watch["looks"]) > 0, "retention text was read"
    expected = state(model)
    shutil.rmtree(tmp_path / "checkpoint-12")
    again, resumed = go(tmp_path, True)
    assert resumed.watch == whole.watch and resumed.terms == whole.terms and resumed.tokens == whole.tokens
    assert all(torch.equal(p, expected[n]) for n, p in state(again).items())


def test_a_training_that_had_stopped_early_is_not_continued(tmp_path: Path) -> None:
    """Patience ends it at step 9; with a checkpoint each 3 steps, the last one is of that very step."""
    model, tokenizer = tiny_causal()
    criterion, _ = scripted([0.1, 0.3, 0.5, 0.4, 0.1], 2)
    whole = run(model, tokenizer, tmp_path, [criterion], save_every=3)
    again, _ = tiny_causal()
    criterion, seen = scripted([0.1, 0.2], 2)
    resumed = run(again, tokenizer, tmp_path, [criterion], save_every=3, resume=True)
    assert len(seen) == 1, "only the look before the first update, which the kept state replaces"
    assert (resumed.steps, resumed.watch) == (whole.steps, whole.watch)
    assert all(torch.equal(p, state(model)[n]) for n, p in state(again).items())


@pytest.mark.parametrize("uses", ["losses", "gradients"])
def test_the_constraint_stands_outside_of_the_aggregator(uses: Any, tmp_path: Path) -> None:
    """An aggregator of either form sees the terms alone, and the update has the constraint's gradient besides."""
    seen: list[list[str]] = []

    def combine(losses: Any, gradients: Any = None) -> torch.Tensor:
        seen.append(sorted(gradients if uses == "gradients" else losses))
        return torch.stack(list((gradients if uses == "gradients" else losses).values())).sum(0)

    plain, tokenizer = tiny_causal()
    mixed, _ = tiny_causal()
    how = {"retention": retention(), "budget": 1.0001, "gradient_accumulation": 2, "max_steps": 8, "batch_size": 2}
    a = run(plain, tokenizer, tmp_path / "a", [harm(1.5)], **how)
    b = run(mixed, tokenizer, tmp_path / "b", [harm(1.5), Aggregator(name="sum", combine=combine, uses=uses)], **how)
    assert a.watch["looks"][-1]["multiplier"] > 0
    assert {tuple(names) for names in seen} == {("harm", "language modelling")}
    for name, p in state(plain).items():
        torch.testing.assert_close(state(mixed)[name], p, rtol=0, atol=2e-4)
    assert b.watch["looks"][-1]["ratio"] == pytest.approx(a.watch["looks"][-1]["ratio"], rel=1e-2)


def test_after_memory_ran_out_the_constraint_reads_fewer_rows_at_a_time_too(tmp_path: Path) -> None:
    model, tokenizer = tiny_causal()
    rows: list[int] = []

    def narrow(module: Any, args: Any, kwargs: Any) -> None:
        if torch.is_grad_enabled():
            rows.append(len(kwargs["input_ids"]))
            if rows[-1] > 2:
                raise torch.OutOfMemoryError("CUDA out of memory")

    model.register_forward_pre_hook(narrow, with_kwargs=True)
    how = {"max_steps": 6, "batch_size": 8, "evaluate_every": 1, "learning_rate": 0.01}
    result = run(model, tokenizer, tmp_path, [harm(9.0)], retention=retention(), budget=1.0001, **how)
    assert result.events[:2] == [
        "out of memory: micro-batch halved to 4, gradients accumulated over 2",
        "out of memory: micro-batch halved to 2, gradients accumulated over 4",
    ]
    assert rows.count(1) > 0, "the constraint was read, a row at a time"
    assert result.watch["kept"] == 0, "a model that has not moved yet is no best moment"


@pytest.mark.parametrize("most", [4, 0])
def test_memory_that_runs_out_at_the_first_look_cuts_the_micro_batch_too(tmp_path: Path, most: int) -> None:
    """Before the first update, twice as many rows are read at a time as the micro-batch has."""
    model, tokenizer = tiny_causal()
    rows: list[int] = []

    def narrow(module: Any, args: Any, kwargs: Any) -> None:
        if not torch.is_grad_enabled():
            rows.append(len(kwargs["input_ids"]))
            if rows[-1] > most:
                raise torch.OutOfMemoryError("CUDA out of memory")

    model.register_forward_pre_hook(narrow, with_kwargs=True)
    how = {"max_steps": 2, "batch_size": 4, "retention": retention(), "budget": 2.0}
    if not most:
        with pytest.raises(OutOfMemory, match="one row at a time does not fit into memory"):
            run(model, tokenizer, tmp_path, **how)
        assert all(p.requires_grad for p in model.parameters())
        return
    result = run(model, tokenizer, tmp_path, **how)
    assert result.events == ["out of memory: micro-batch halved to 2, gradients accumulated over 2"]
    assert rows[:3] == [8, 4, 4] and result.watch["kept"] == 2


def test_the_option_of_training_holds_the_budget_of_own_code(tmp_path: Path) -> None:
    import evenhand

    model, tokenizer = tiny_causal()
    rows = Dataset.from_dict({"text": (SENTENCES * 3)[:120]})
    how = {"max_steps": 3, "batch_size": 4, "evaluate_every": 2, "precision": "float32", "folder": tmp_path}
    result = evenhand.train(model, tokenizer, rows, [], constraint="lagrangian", budget=1.5, **how)
    assert result.watch["budget"] == 1.5
    assert [look["step"] for look in result.watch["looks"]] == [0, 2, 3]


def test_a_retention_text_that_is_trained_on_or_measured_is_refused(tmp_path: Path) -> None:
    from evenhand.recipe import load_recipe
    from evenhand.recipe_inputs import missing_inputs

    def problems(text: str) -> list[str]:
        recipe = load_recipe(f'[model]\nname = "smollm2-135m-instruct"\n[data]\n{text}\n')
        return [str(problem) for problem in missing_inputs(recipe, [], trains=True)]

    assert problems('train = "builtin:everyday"\nretention = "builtin:everyday"') == [
        "data.retention: is the text that is trained on; leave it out, and rows of it are held out"
    ]
    assert problems('heldout = "builtin:heldout"\nretention = "builtin:heldout"') == [
        "data.retention: is the text that language quality is measured on"
    ]
    assert problems('retention = "builtin:heldout"') == [
        "data.retention: is the text that language quality is measured on"
    ]
    (found,) = problems(f'retention = "{tmp_path / "nowhere.txt"}"')
    assert "nowhere.txt" in found and "retention text" in found
    assert problems('retention = "builtin:templates"') == []


def test_a_budget_holds_while_training_where_it_is_named_with_the_text_to_hold_it_on() -> None:
    from evenhand.recipe import load_recipe

    def held(text: str) -> bool:
        recipe = load_recipe(f'[model]\nname = "smollm2-135m-instruct"\n{text}\n')
        return recipe.holds_budget(recipe.training)

    budget, text = "[budget]\nperplexity = 1.05", '[data]\nretention = "builtin:templates"'
    assert held(f"{budget}\n{text}")
    assert not held(budget) and not held(text) and not held("")
    assert not held(f'{budget}\n{text}\n[training]\nconstraint = "none"')
    assert held('[training]\nconstraint = "lagrangian"')


def test_retention_text_given_to_own_code_is_what_the_budget_is_held_on(tmp_path: Path) -> None:
    import evenhand

    rows = Dataset.from_dict({"text": SENTENCES[:16]})
    how = {"max_steps": 3, "batch_size": 4, "precision": "float32", "retention": retention(), "budget": 1.5}
    found = {}
    for constraint in ("auto", "none"):
        model, tokenizer = tiny_causal()
        folder = tmp_path / constraint
        found[constraint] = evenhand.train(model, tokenizer, rows, [], constraint=constraint, folder=folder, **how)
    assert found["auto"].watch["budget"] == 1.5
    assert found["none"].watch is None
