"""The choice of tensors by gradients: the ranking by hand, gradients worked out anew, and what a run tells of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset

import evenhand
from evenhand.progress import configure
from evenhand_sdk import (
    TrainingStart,
    UsageError,
    comparable_positions,
    counterfactuals,
    fold,
    group_tokens,
    jensen_shannon,
    load_axis,
    token_bins,
)
from evenhand_sdk import conformance_behaviour as checks
from evenhand_sdk.conformance_case import Case
from evenhand_sdk.conformance_models import check_model_contract
from evenhand_sdk.testing import contributions, place, run_context
from evenhand_sdk.tiny import save_tiny, tiny_causal, tiny_masked, tiny_sentences
from evenhand_standard import pair_bank
from evenhand_standard.architecture.gradient_choice import Chosen, read, scores, taken, write
from evenhand_standard.architecture.selective_update import SelectiveUpdate

GENDER = load_axis("gender")
ROWS = Dataset.from_dict({"text": tiny_sentences()[:24]})
KINDS = pytest.mark.parametrize("kind", ["causal", "masked"])


def transform_of(folder: Path, kind: str = "causal", rows: Any = ROWS, **options: Any) -> tuple[Any, Any]:
    """(run, the transform at the beginning of its training)"""
    plugin = SelectiveUpdate(choose="gradients", **options)
    model, tokenizer = tiny_causal() if kind == "causal" else tiny_masked()
    run = run_context(folder, plugin, kind, model=model, tokenizer=tokenizer)
    [transform] = contributions(plugin, "architecture", run)
    if rows is not None:
        transform.on_start(TrainingStart(model=model, rows=rows, tell=print))
    return run, transform


# --------------------------------------------------------------------------------------------------------- ranking
def test_a_score_is_the_ratio_of_the_norms() -> None:
    bias = {"a": 2.0, "b": 1.0, "c": 0.0, "d": 1e-9, "e": 1.0}
    language = {"a": 4.0, "b": 0.25, "c": 1.0, "d": 1e-12}
    found = scores(bias, language)
    assert (found["a"], found["b"], found["c"]) == (0.5, 4.0, 0.0)
    assert found["d"] == 0.0, "a gradient of 1e-9 beside one of 2 is rounding, whatever it is divided by"
    assert found["e"] == pytest.approx(1.0 / 4e-5), "no gradient of the language: the bound stands in its place"
    assert scores(bias, {}) == dict.fromkeys(bias, 0.0) and scores({}, language) == {}


def test_tensors_are_taken_until_they_hold_the_share() -> None:
    sizes = {"a": 10, "b": 30, "c": 5, "d": 50, "e": 5}
    scored = {"a": 1.0, "b": 3.0, "c": 2.0, "d": 0.0, "e": 2.0}
    assert list(taken(scored, sizes, 30.0, 100)) == ["b"], "exactly reached"
    assert list(taken(scored, sizes, 31.0, 100)) == ["b", "c"], "of equal scores the earlier one"
    assert list(taken(scored, sizes, 1.0, 100)) == ["b"], "the last one may go beyond"
    assert list(taken(scored, sizes, 100.0, 100)) == ["b", "c", "e", "a"], "a score of 0 is never taken"
    assert taken(scored, sizes, 40.0, 100) == {"b": 3.0, "c": 2.0, "e": 2.0}
    assert taken({}, sizes, 5.0, 100) == {}


# ------------------------------------------------------------------------------------------------------- gradients
def by_hand(run: Any, texts: list[str], plain: list[str]) -> dict[str, float]:
    """Ratios of the norms on a causal model, from its logits text by text, in double precision."""
    model, tokenizer = run.services.model.double(), run.tokenizer
    named = dict(model.named_parameters())
    bins = token_bins(tokenizer, GENDER.bins(names=True), model.config.vocab_size)
    groups = group_tokens(bins)

    def norms(value: torch.Tensor) -> dict[str, float]:
        found = torch.autograd.grad(value, list(named.values()), allow_unused=True)
        return {n: float(g.norm()) for n, g in zip(named, found, strict=True) if g is not None}

    def logits(text: str) -> tuple[list[int], torch.Tensor]:
        ids = tokenizer(text)["input_ids"][:48]
        return ids, model(input_ids=torch.tensor([ids])).logits[0]

    gaps, batches = [], []
    for text in texts:
        (left, own), (right, other) = logits(text), logits(counterfactuals(text, GENDER)[0].text)
        for i, j in comparable_positions(left, right, groups):
            gaps.append(jensen_shannon(fold(own[i].log_softmax(-1), bins), fold(other[j].log_softmax(-1), bins)))
    for text in plain:
        ids, own = logits(text)
        batches += [-own[t].log_softmax(-1)[ids[t + 1]] for t in range(len(ids) - 1)]
    bias, language = norms(torch.stack(gaps).mean()), norms(torch.stack(batches).mean())
    model.float()
    return {name: bias[name] / language[name] for name in bias}


def test_the_scores_are_ratios_of_gradients_worked_out_anew(tmp_path: Path) -> None:
    """Eight texts are one micro-batch, so that means over texts and over micro-batches are the same."""
    run, transform = transform_of(tmp_path, texts=8, percent=100.0)
    names = list(transform.trainable(run.services.model))
    items = pair_bank.pairs(GENDER, "train", limit=8, seed=run.seed_for("texts of gender"))
    texts = [i.left_text if k % 2 else i.right_text for k, i in enumerate(items)]
    assert len({t for i in items for t in (i.left_text, i.right_text)}) == 16
    import random

    plain = random.Random(run.seed_for("texts")).sample(list(ROWS["text"]), 8)
    expected = by_hand(run, texts, plain)
    kept = json.loads((tmp_path / "chosen.json").read_text())["chosen"]
    assert set(kept["scores"]) == set(names) == set(expected)
    assert list(kept["scores"]) == sorted(kept["scores"], key=lambda n: -kept["scores"][n])
    for name, score in kept["scores"].items():
        assert score == pytest.approx(expected[name], rel=2e-3), name
    assert kept["measured_on"] == (
        "measured on 8 texts of the pair bank's training split (gender), and 8 rows of the training text for the "
        "language"
    )


@KINDS
def test_the_best_tensors_hold_the_share_and_nothing_else_moves(kind: str, tmp_path: Path) -> None:
    run, transform = transform_of(tmp_path, kind, percent=10.0, texts=16)
    model = run.services.model
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    placed = place([transform], run, ROWS)
    meta = placed[0].artifact.meta
    moved = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert moved == set(meta["scores"]) and 0 < len(moved) < len(before)
    total = sum(p.numel() for p in model.parameters())
    held = [before[n].numel() for n in meta["scores"]]
    assert sum(held) >= 0.1 * total > sum(held[:-1]) and meta["share"] == pytest.approx(sum(held) / total)
    told = transform.selection()
    best = next(iter(meta["scores"]))
    assert told.startswith(f"chosen from {len(before)} by gradients (of the gap between groups over those of the lang")
    assert f": {best} {meta['scores'][best]:.3g}, " in told or f": {best} {meta['scores'][best]:.3g};" in told


def test_a_tensor_that_changes_nothing_is_never_chosen(tmp_path: Path) -> None:
    """Softmax does not see what is added to every score, so the bias of the keys has no gradient but rounding."""
    run, transform = transform_of(tmp_path, "masked", percent=100.0, texts=16)
    names = transform.trainable(run.services.model)
    keys = [n for n, _ in run.services.model.named_parameters() if n.endswith("key.bias")]
    assert len(keys) == 2 and not set(keys) & set(names) and len(names) > 20


def test_sets_narrow_what_is_chosen_from(tmp_path: Path) -> None:
    run, transform = transform_of(tmp_path, select=["norms"], percent=100.0, texts=8)
    names = list(transform.trainable(run.services.model))
    assert names == [n for n, _ in run.services.model.named_parameters() if "norm" in n] and len(names) == 5


def test_without_training_text_the_pair_bank_serves_for_both(tmp_path: Path) -> None:
    model, tokenizer = tiny_causal()
    handle = evenhand.apply(model, tokenizer, [SelectiveUpdate(choose="gradients", texts=8)])
    assert handle.trainable and len(handle.trainable) < len(list(model.parameters()))
    [transform] = handle.transforms
    assert transform.selection().endswith("training split (gender), and the same texts for the language")
    handle.finish()


def test_an_axis_that_the_bank_does_not_know_is_measured_on_the_training_text(tmp_path: Path, belief: str) -> None:
    rows = Dataset.from_dict({"text": [*ROWS["text"], "The church is old.", "My mosque is near the town."]})
    run, transform = transform_of(tmp_path, rows=rows, axes=[belief], texts=8)
    assert transform.trainable(run.services.model)
    assert "measured on 2 rows of the training text that name a group (belief)" in transform.selection()
    run, transform = transform_of(tmp_path / "other", axes=[belief])
    with pytest.raises(UsageError) as caught:
        transform.trainable(run.services.model)
    assert str(caught.value) == (
        "step 'selective-update': there is no text to measure the gap between the groups of belief on\n"
        "  the pair bank has none for this axis, and no row of the training text names one of its groups\n"
        "  train on text that names them, or choose by sets"
    )


def test_what_is_chosen_from_stands_in_the_options() -> None:
    assert SelectiveUpdate(choose="gradients").options.select == ("all",)
    assert SelectiveUpdate(choose="gradients").options.axes == ("gender",)
    by_sets = SelectiveUpdate().options
    assert (by_sets.select, by_sets.axes) == (("norms", "mlp-output"), ()), "no axis, so no word of it was worked with"
    with pytest.raises(
        UsageError, match='axes decide nothing when tensors are chosen by sets; set choose = "gradients"'
    ):
        SelectiveUpdate(axes=["gender"])


def test_long_choices_are_told_in_part() -> None:
    chosen = Chosen(scores={f"t{k}": 9.0 - k for k in range(9)}, share=0.0512, candidates=40, measured_on="on texts")
    assert chosen.told() == (
        "chosen from 40 by gradients (of the gap between groups over those of the language), 5.12 % of all parameters: "
        "t0 9, t1 8, t2 7, t3 6, t4 5, t5 4, t6 3, t7 2 and 1 more; on texts"
    )


@KINDS
def test_it_keeps_the_contract_by_gradients_too(kind: Any) -> None:
    case = Case(plugin=SelectiveUpdate, kind=kind, options={"choose": "gradients", "texts": 8})
    for check in (
        checks.check_result_types,
        checks.check_seeded,
        checks.check_inputs_untouched,
        checks.check_strength_zero,
        checks.check_composes,
        checks.check_offline,
        check_model_contract,
    ):
        check(case)


# ------------------------------------------------------------------------------------------------------------- runs
def recipe(folder: Path, family: str) -> dict[str, Any]:
    (folder / "train.txt").write_text("\n".join(ROWS["text"]))
    return {
        "model": {"name": str(save_tiny(folder / "tiny", family=family)), "dtype": "float32"},
        "data": {"train": str(folder / "train.txt")},
        "training": {"max_steps": 3, "batch_size": 4, "learning_rate": 1e-2, "save_every": 1},
        "traffic": {"limit": 0},
        "evaluation": {"resamples": 100, "controls": "none"},
        "steps": [
            {"use": "counterfactual-augmentation"},
            {"use": "selective-update", "choose": "gradients", "percent": 5.0, "texts": 8},
        ],
        "benchmarks": [{"use": "perplexity", "limit": 2}],
    }


@pytest.mark.parametrize("family", ["llama", "bert"])
def test_a_run_tells_what_was_chosen_and_why(family: str, tmp_path: Path, own_cache: Any) -> None:
    configure("quiet")
    result = evenhand.run(recipe(tmp_path, family), output=tmp_path / "runs")
    step = result.record["steps"][1]
    [proof] = [p for p in step["proofs"] if p["stage"] == "architecture"]
    assert proof["took"] and "selected tensors moved" in proof["what"]
    assert "; chosen from " in proof["what"] and "8 rows of the training text for the language" in proof["what"]
    [section] = [s for s in result.record["sections"] if s["step"] == "selective-update"]
    assert section["title"] == "Which tensors were allowed to move"
    best = section["facts"][0]
    assert f"{best['label']} {best['value']:.3g}"[:-1] in proof["what"]
    assert len(section["facts"]) == int(proof["what"].split(" of ")[1].split()[0])


def test_a_stopped_run_goes_on_with_the_same_choice(
    tmp_path: Path, own_cache: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evenhand.run_callback import RunCallback
    from evenhand_standard.architecture import selective_update

    configure("quiet")
    given = recipe(tmp_path, "llama")
    whole = evenhand.run(given, output=tmp_path / "whole")
    plain = RunCallback.on_step_begin

    def stops(self: Any, args: Any, state: Any, control: Any, **rest: Any) -> None:
        if state.global_step == 2:
            raise KeyboardInterrupt
        plain(self, args, state, control, **rest)

    with monkeypatch.context() as patched:
        patched.setattr(RunCallback, "on_step_begin", stops)
        with pytest.raises(KeyboardInterrupt):
            evenhand.run(given, output=tmp_path / "broken")
    monkeypatch.setattr(selective_update, "choose", lambda *a, **k: pytest.fail("the choice was made already"))
    again = evenhand.run(given, output=tmp_path / "broken", resume=True)
    for key in ("steps", "sections"):
        found, expected = (
            [{k: v for k, v in e.items() if k != "seconds"} for e in r.record[key]] for r in (again, whole)
        )
        assert found == expected


def test_a_recipe_may_name_sets_and_axes_in_lists(tmp_path: Path) -> None:
    from evenhand.wording import validated

    options = SelectiveUpdate.Options
    found, problems = validated(options, {"select": ["norms"], "choose": "gradients", "axes": ["religion"]}, "steps[1]")
    assert problems == [] and (found.select, found.axes) == (("norms",), ("religion",))
    found, problems = validated(options, {"select": ["norms", "biases"]}, "steps[1]")
    assert problems == [] and (found.select, found.axes, found.choose) == (("norms", "biases"), (), "sets")
    for given, told in (
        ({"select": ["norm"]}, "steps[1].select[1]: 'norm' is not "),
        ({"select": []}, "steps[1].select: [] is too short (at least 1)"),
        ({"choose": "gradient"}, "steps[1].choose: 'gradient' is not 'sets' or 'gradients'; did you mean 'gradients'?"),
        (
            {"axes": ["gender"]},
            'steps[1]: axes decide nothing when tensors are chosen by sets; set choose = "gradients"',
        ),
        ({"percent": "5"}, "steps[1].percent: '5' is not a number"),
    ):
        found, problems = validated(options, given, "steps[1]")
        assert found is None and len(problems) == 1
        assert problems[0].startswith(told), problems


@pytest.mark.parametrize("content", ["", "{", "[]", '{"key": "k"}', '{"key": "k", "chosen": {"share": 1}}', "\udcff"])
def test_a_damaged_choice_is_made_again_and_not_trusted(content: str, tmp_path: Path) -> None:
    whole = Chosen(scores={"a": 1.0}, share=0.5, candidates=2, measured_on="texts")
    write(tmp_path, "k", whole)
    assert read(tmp_path, "k") == whole and read(tmp_path, "other") is None
    (tmp_path / "chosen.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    assert read(tmp_path, "k") is None
