"""Conformance checks of what touches the model: transforms, loss terms, decoding rules, artifacts."""

from __future__ import annotations

import copy
import io
import tempfile
from pathlib import Path
from typing import Any

from evenhand.context import RunContext
from evenhand.contributions import Criterion, DecodingRule, LossTerm, ModelTransform
from evenhand_sdk import testing
from evenhand_sdk.conformance_case import Case, CheckFailed, Skipped
from evenhand_sdk.conformance_outcomes import exact, hook

STEPWISE = 1e-4
"""The most that a rule's log-probabilities may differ between a whole text and one prefix at a time."""
FOLDED = 1e-4
"""The most that a logit may move when a transform is folded into the weights."""


def check_model_contract(case: Case) -> None:
    """Transforms revert and fold exactly, terms have a finite gradient, rules are functions of the prefix."""
    plugin = case.instance()
    stages = set(type(plugin).stages()) & {"objective", "architecture", "decoding"}
    if not stages:
        raise Skipped("it touches neither training, nor weights, nor decoding")
    if "architecture" in stages:
        _transforms(case)
    if "objective" in stages:
        _terms(case)
    if "decoding" in stages:
        run = case.run(plugin)
        for rule in hook(plugin, "decoding", run):
            _rule(run, rule)


# --------------------------------------------------------------------------------------------- architecture
def _transforms(case: Case) -> None:
    plugin = case.instance()
    run = case.run(plugin)
    model = run.services.model
    names, before = list(model.state_dict()), exact(testing.logits(run))
    parts: list[ModelTransform] = hook(plugin, "architecture", run)
    selects = any(part.trainable for part in parts)
    if selects and not plugin.shapes_training:
        raise CheckFailed(
            "its transform selects parameters (`trainable`), so put `shapes_training = True` into the class: without "
            "it a training that no step spells out may come too early"
        )
    for part in parts:
        if part.apply and not part.revert:
            raise CheckFailed("a ModelTransform has `apply` but no `revert`")
        if bool(part.save) != bool(part.load):
            raise CheckFailed("a ModelTransform needs both `save` and `load`, or neither")
    artifacts = [part.fit(model) if part.fit else None for part in parts]
    for part, artifact in zip(parts, artifacts, strict=True):
        if part.apply:
            part.apply(model, artifact or _empty())
        _selection(part, model)
    _copies(run, parts)
    for part in reversed(parts):
        if part.revert:
            part.revert(model)
    if exact(testing.logits(run)) != before:
        raise CheckFailed("after `apply` and `revert` the logits are not bit-identical to those of before")
    if extra := sorted(set(model.state_dict()) ^ set(names)):
        raise CheckFailed(f"after `apply` and `revert` the model's tensors differ: {extra[0]}")
    _fold(case)
    if plugin.shapes_training and not selects and not any(part.on_step or part.finish for part in parts):
        raise CheckFailed("it says `shapes_training`, but its transform has no `trainable`, `on_step` or `finish`")


def _empty() -> Any:
    from evenhand.contributions import Artifact

    return Artifact()


def _selection(part: ModelTransform, model: Any) -> None:
    if part.trainable is None:
        return
    chosen = list(part.trainable(model))
    if not chosen:
        raise CheckFailed("`trainable` selects no parameter")
    if unknown := sorted(set(chosen) - {name for name, _ in model.named_parameters()}):
        raise CheckFailed(f"`trainable` names {unknown[0]!r}, which is no parameter of the model")


def _copies(run: RunContext, parts: list[ModelTransform]) -> None:
    """A copy of the model, as `run.services.train` makes it, must have the transform with tensors of its own."""
    import torch

    model = run.services.model
    chosen = {name for part in parts if part.apply and part.trainable for name in part.trainable(model)}
    if not chosen:
        return
    plain = exact(testing.logits(run))
    for shift in (1.0, -1e3):  # a parameter that acts through a threshold may not show the smaller one
        twin = copy.deepcopy(model)
        with torch.no_grad():
            for name, parameter in twin.named_parameters():
                if name in chosen:
                    parameter.add_(shift)
        if exact(testing.logits(run, twin)) != plain:
            break
    else:
        raise CheckFailed(
            "a copy of the model does not use its own tensors: let forward hooks look them up on the module "
            "that they are called for"
        )


def _fold(case: Case) -> None:
    plugin = case.instance()
    run = case.run(plugin)
    placed = testing.apply_architecture(plugin, run)
    for one in placed:
        if one.transform.fold is None:
            continue
        before = testing.logits(run)
        done = one.transform.fold(run.services.model)
        size = float((testing.logits(run) - before).abs().max())
        if size > FOLDED:
            what = "folded into the weights" if done else "refused by `fold`"
            raise CheckFailed(f"{what}, a logit moved by {size:.2g}; allowed is {FOLDED:g}")


# ------------------------------------------------------------------------------------------------ objective
def _terms(case: Case) -> None:
    plugin = case.instance()
    run = case.run(plugin)
    rows = testing.sample_rows(plugin=case.plugin)
    if "data" in type(plugin).stages():
        rows = testing.apply_data(plugin, run, rows)
    parts = hook(plugin, "objective", run)
    facts = testing.train(run, parts, rows=rows).terms
    for part in parts:
        if not isinstance(part, LossTerm):
            continue
        norm = facts[part.name]["gradient_norm"] or 0.0
        if part.weight and not part.anchor and not 0 < norm < float("inf"):
            raise CheckFailed(f"loss term {part.name!r} gave no gradient on sentences about people")
    _states(parts)


def _states(parts: list[Any]) -> None:
    """What a term or an aggregator keeps across a resume must be plain enough for safe loading."""
    import torch

    for part in parts:
        if isinstance(part, Criterion):
            continue
        if bool(part.state_dict) != bool(part.load_state_dict):
            raise CheckFailed(f"{part.name!r} needs both `state_dict` and `load_state_dict`, or neither")
        if part.state_dict:
            buffer = io.BytesIO()
            torch.save(part.state_dict(), buffer)
            buffer.seek(0)
            part.load_state_dict(torch.load(buffer, weights_only=True))


# ------------------------------------------------------------------------------------------------- decoding
def _rule(run: RunContext, rule: DecodingRule) -> None:
    """Whole texts, single prefixes and generation must see the same distributions."""
    if run.kind == "masked":
        _mask_rule(run, rule)
        return
    import torch

    from evenhand.scoring import distributions

    model = run.services.model
    written = testing.answers(run, [rule], max_new_tokens=6)
    if rule.next_logits is None:
        return
    for prompt, new in zip(testing.PROMPTS, written, strict=True):
        start = list(run.tokenizer(prompt)["input_ids"])
        ids = start + new
        whole = distributions(model, [ids], [range(len(ids))], rules=[rule], dtype="float32")[0]
        for t in range(len(ids)):
            alone = distributions(model, [ids[: t + 1]], [[t]], rules=[rule], dtype="float32")[0][0]
            held = torch.isfinite(alone) & torch.isfinite(whole[t])
            size = float((alone - whole[t])[held].abs().max()) if held.any() else 0.0
            if size > STEPWISE or not torch.equal(torch.isfinite(alone), torch.isfinite(whole[t])):
                raise CheckFailed(
                    f"rule {rule.name!r} is no function of the prefix: at token {t + 1} of {len(ids)} "
                    f"the whole text and the prefix alone differ by {size:.2g}"
                )
        for k, token in enumerate(new):
            row = whole[len(start) - 1 + k]
            worse = float(row.max() - row[token])
            if worse > STEPWISE:
                raise CheckFailed(
                    f"rule {rule.name!r}: greedy decoding wrote a token that scoring finds "
                    f"{worse:.2g} nat less probable than the best one"
                )


def _mask_rule(run: RunContext, rule: DecodingRule) -> None:
    """All texts at once, each mask alone, and the model's own forward pass must see the same distributions."""
    import torch

    from evenhand.filling import attach

    if rule.mask_logits is None:
        return
    model, tokenizer = run.services.model, run.tokenizer
    together = testing.next_token_logprobs(run, [rule])
    special, mask = set(tokenizer.all_special_ids), tokenizer.mask_token_id
    place = 0
    handle = attach(model, tokenizer, [rule])
    try:
        for prompt in testing.PROMPTS:
            ids = list(tokenizer(prompt)["input_ids"])
            for p in (p for p, token in enumerate(ids) if token not in special):
                with torch.no_grad():
                    out = model(input_ids=torch.tensor([[*ids[:p], mask, *ids[p + 1 :]]]))
                alone = out.logits[0, p].float().log_softmax(-1)
                held = torch.isfinite(alone) & torch.isfinite(together[place])
                size = float((alone - together[place])[held].abs().max()) if held.any() else 0.0
                if size > STEPWISE or not torch.equal(torch.isfinite(alone), torch.isfinite(together[place])):
                    raise CheckFailed(
                        f"rule {rule.name!r} is no function of the masked text: at token {p + 1} of {len(ids)} "
                        f"all texts and this one alone differ by {size:.2g}"
                    )
                place += 1
    finally:
        handle.remove()


# ----------------------------------------------------------------------------------------------- artifacts
def check_saves_and_loads(case: Case) -> None:
    """What was fitted or trained survives being written and read: a fresh step gives the same logits."""
    if "architecture" not in case.plugin.stages():
        raise Skipped("it has no model transform to save")
    from evenhand.kept_steps import read_artifact, write_artifact

    plugin = case.instance()
    run = case.run(plugin)
    model = run.services.model
    placed = testing.apply_architecture(plugin, run)
    live = [k for k, one in enumerate(placed) if one.transform.apply or one.transform.save]
    if not live:
        raise Skipped("its model transforms leave plain weights behind, which the host saves")
    expected = exact(testing.logits(run))
    folder = Path(tempfile.mkdtemp(prefix="evenhand-"))
    for k in live:
        transform = placed[k].transform
        (folder / str(k)).mkdir()
        if transform.save:
            transform.save(model, folder / str(k))
        else:
            write_artifact(folder / str(k) / "artifact", placed[k].artifact)
    for k in reversed(live):
        if placed[k].transform.revert:
            placed[k].transform.revert(model)  # type: ignore[misc]
    fresh = case.instance()
    again = case.run(fresh, model=copy.deepcopy(model), tokenizer=run.tokenizer)
    parts = hook(fresh, "architecture", again)
    for k in live:
        transform = parts[k]
        if transform.load:
            transform.load(again.services.model, folder / str(k))
        else:
            transform.apply(again.services.model, read_artifact(folder / str(k) / "artifact") or _empty())
    if exact(testing.logits(again)) != expected:
        raise CheckFailed("a fresh step with the saved artifact gives other logits: keep all that matters in it")
