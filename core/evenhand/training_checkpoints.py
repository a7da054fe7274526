"""The checkpoints of a training: which is whole, and how a trainer goes on from it to its end."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand.errors import TrainingDiverged, UsageError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from evenhand.training_terms import Terms

MOVING = "trainable.safetensors"
STATE_OF_TERMS = "terms.pt"
"""What the terms and the aggregator held at the end of a training; read with `weights_only=True`."""
MAY_DIFFER = ("log_every", "report_to", "save_every")
"""Settings that change nothing of what a training learns."""


def go(trainer: Any, folder: Path, resume: bool) -> None:
    """Let a trainer run to its end, from the last checkpoint if asked; a divergence says which checkpoint is good."""
    checkpoint = last_checkpoint(folder) if resume else None
    if checkpoint is not None and (_steps_of(checkpoint) >= trainer.args.max_steps or _stopped(checkpoint, trainer)):
        trainer.take_up(checkpoint, _steps_of(checkpoint))  # `Trainer.train` would make one more update
        return
    try:
        with warnings.catch_warnings():
            # Checkpoints are numbered, and the number is what they are ordered by.
            warnings.filterwarnings("ignore", message="mtime may not be reliable")
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        trainer.demand_finite()
    except TrainingDiverged as error:
        good = last_checkpoint(folder)
        known = f"the last good checkpoint is {good.name}" if good else "no checkpoint was reached yet"
        raise TrainingDiverged(error.what, where=error.where, known=known, do=error.do) from None


def demand_fresh(folder: Path, *, where: str) -> None:
    """Raises UsageError for a folder with checkpoints: those of this training would be taken for older ones."""
    found = last_checkpoint(folder)
    if found is not None:
        raise UsageError(
            "the folder has checkpoints of an earlier training",
            where=where,
            known=f"{found.name} in {folder}",
            do="give another folder, or resume to go on from there",
        )


def _stopped(checkpoint: Path, trainer: Any) -> bool:
    """Whether the training had already ended early when this checkpoint was written."""
    import torch

    if trainer.terms.watch is None:
        return False
    saved = torch.load(checkpoint / STATE_OF_TERMS, weights_only=True, mmap=True)
    return bool(saved["terms"].get("watch", {}).get("stopped"))


def last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written whole; half-written ones carry no mark and are passed over."""
    found = [p.parent for p in folder.glob("checkpoint-*/COMPLETE")]
    return max(found, key=_steps_of, default=None)


def _steps_of(checkpoint: Path) -> int:
    return int(checkpoint.name.rsplit("-", 1)[1])


def write_moving(folder: Path, values: Mapping[str, torch.Tensor], facts: Mapping[str, Any]) -> None:
    """Write what moves, since the rest of the model is the same at every checkpoint, and what is known beside it."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in values.items()}, folder / MOVING)
    torch.save(dict(facts), folder / STATE_OF_TERMS)


def read_moving(folder: Path, model: PreTrainedModel) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """What moves as a checkpoint has it, and what was known beside it.

    Raises UsageError for a checkpoint in which other parameters moved.
    """
    import torch
    from safetensors.torch import load_file

    stored = load_file(folder / MOVING)
    moving = {name for name, p in model.named_parameters() if p.requires_grad}
    if stored.keys() != moving:
        one = sorted(stored.keys() ^ moving)[0]
        raise UsageError(
            f"the training that is to go on moved other parameters: {one!r} only "
            + ("then" if one in stored else "now"),
            where="training",
            known=f"{len(stored)} tensors then, {len(moving)} now",
            do="select the same parameters, or begin again in another folder",
        )
    return stored, torch.load(folder / STATE_OF_TERMS, weights_only=True)


def write_terms(folder: Path, terms: Terms) -> None:
    """Keep what terms and aggregator hold at the end of a training."""
    import torch

    torch.save(terms.state_dict(), folder / STATE_OF_TERMS)


def read_terms(folder: Path) -> dict[str, Any]:
    """The counterpart of `write_terms`."""
    import torch

    saved: dict[str, Any] = torch.load(folder / STATE_OF_TERMS, weights_only=True)
    return saved


def changed_settings(had: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The settings that differ and change what is learned, in words; empty for none."""
    changed = [
        f"{key} is {value}, was {had[key]}"
        for key, value in now.items()
        if key in had and key not in MAY_DIFFER and had[key] != value
    ]
    return "; ".join(changed)
