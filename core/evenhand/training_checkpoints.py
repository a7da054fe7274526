"""The checkpoints of a training: which is whole, and how a trainer goes on from it to its end."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from evenhand.errors import TrainingDiverged, UsageError

STATE_OF_TERMS = "terms.pt"
"""What the terms and the aggregator held at the end of a training; read with `weights_only=True`."""


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
    return bool(saved["terms"]["watch"]["stopped"])


def last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written whole; half-written ones carry no mark and are passed over."""
    found = [p.parent for p in folder.glob("checkpoint-*/COMPLETE")]
    return max(found, key=_steps_of, default=None)


def _steps_of(checkpoint: Path) -> int:
    return int(checkpoint.name.rsplit("-", 1)[1])
