"""A training through LoRA: attached before, trained alone, kept as a `peft` folder, and merged behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from evenhand_sdk import Artifact, EvenhandError, ModelTransform, RunContext, TrainingStart
from evenhand_sdk.probing import probe_logits, same_outputs
from evenhand_standard.architecture.low_rank import LiveLora, LoraSettings
from evenhand_standard.architecture.peft_folder import FOLDER, base_digest, write_folder

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def through_lora(
    run: RunContext,
    settings: LoraSettings,
    factor: float,
    *,
    keep: float = 1.0,
    kept_factor: float | None = None,
    facts: Mapping[str, Any] | None = None,
) -> ModelTransform:
    """The transform that trains LoRA in the place of the weights, then leaves W + factor (alpha / r) B A.

    The adapter lies in the step's folder, in the format of `peft`. Its alpha has the factor in it, so that it gives the
    model that the run has measured, or `kept_factor` where that is another one.
    """
    live = LiveLora(run.step_id, settings)
    told: list[Callable[[str], None]] = []
    base: dict[str, str | None] = {}

    def apply(model: PreTrainedModel, artifact: Artifact) -> None:
        live.factor = 1.0
        if artifact.tensors:
            live.factor = factor
            live.merge(model, artifact.tensors, keep)
            return
        base["digest"] = base_digest(model, list(live.places(model)))
        live.put(model, run.seed_for("lora"))

    def start(begun: TrainingStart) -> None:
        told[:] = [begun.tell]

    def finish(model: PreTrainedModel) -> Artifact:
        found = live.tensors(model)
        live.factor = factor
        before = probe_logits(model, run.tokenizer) if keep == 1.0 else None
        live.detach(model)
        live.merge(model, found, keep)
        meta: dict[str, Any] = {**(facts or {}), **_size(model, found, settings), "factor": factor}
        if before is not None:
            meta["merging"] = _demand_same(run, model, before, told)
        alpha = settings.alpha * (factor if kept_factor is None else kept_factor)
        write_folder(run.folder / FOLDER, model, found, settings, alpha, base=base.get("digest"), facts=meta)
        return Artifact(tensors=found, meta=meta)

    def fold(model: PreTrainedModel) -> bool:
        if found := live.tensors(model):  # nothing was trained in between
            live.detach(model)
            live.merge(model, found, keep)
        live.forget()
        return True

    return ModelTransform(apply=apply, revert=live.take, on_start=start, trainable=live.names, finish=finish, fold=fold)


def _size(model: PreTrainedModel, found: Mapping[str, Any], settings: LoraSettings) -> dict[str, Any]:
    count = sum(tensor.numel() for tensor in found.values())
    total = sum(p.numel() for p in model.parameters())
    return {
        "rank": settings.rank,
        "alpha": settings.alpha,
        "matrices": len(found) // 2,
        "parameters": count,
        "share": count / total,
    }


def _demand_same(run: RunContext, model: PreTrainedModel, before: Any, told: list[Callable[[str], None]]) -> float:
    """The largest change of a logit by merging, told to the record; raises EvenhandError where it is no rounding."""
    same, size = same_outputs(before, probe_logits(model, run.tokenizer), model.dtype)
    if not same:
        raise EvenhandError(
            f"merging LoRA into the weights changed a logit by {size:.2g}",
            where=f"step {run.step_id!r}",
            do="load the model in float32; if it is, this is a fault of the step",
        )
    for tell in told:
        tell(f"{run.step_id}: LoRA merged into the weights, largest change of a logit on probes {size:.2g}")
    return size
