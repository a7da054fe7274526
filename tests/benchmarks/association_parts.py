"""What the tests of these benchmarks share: the run that a plugin sees, and one plain forward pass."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from evenhand_sdk import RunContext


def run_of(folder: Path, kind: Any = "causal") -> RunContext:
    """A run context without services."""
    return RunContext(
        step_id="b",
        seed=0,
        kind=kind,
        tokenizer=None,
        device="cpu",
        folder=folder,
        axes=(),
        offline=True,
        logger=logging.getLogger("test"),
        services=None,
    )


def plain_logp(measured: Any, ids: Any) -> Any:
    """[T, V] log-probabilities of one plain forward pass of one sequence."""
    import torch

    row = torch.tensor([list(ids)])
    with torch.no_grad():
        return measured.model(input_ids=row, attention_mask=torch.ones_like(row)).logits[0].float().log_softmax(-1)
