"""A model on both sides: as the toolkit reads it, and in lm-eval."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lm_eval", reason="lm-eval is not installed: pip install lm_eval==0.4.13")


def hosted(folder: Path, *, max_length: int = 512) -> tuple[Any, Any, Any]:
    """(model, tokenizer, the same model in lm-eval), in float32 on the processor."""
    import torch
    from lm_eval.models.huggingface import HFLM
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    host = HFLM(pretrained=str(folder), dtype="float32", device="cpu", batch_size=4, max_length=max_length)
    return model, tokenizer, host


def smollm2() -> Path:
    """The folder of the real model's weights; skips where they cannot be had."""
    from evenhand.errors import ModelNotFound, Offline
    from evenhand.models import resolve

    try:
        return resolve("smollm2-135m-instruct", offline=True).folder
    except (ModelNotFound, Offline) as error:
        pytest.skip(f"the weights cannot be had here: {error.what}")


def answers(host: Any, pairs: Sequence[tuple[str, str]]) -> list[tuple[float, bool]]:
    """(log-likelihood, whether greedy decoding writes it) of each continuation after its context, by lm-eval."""
    return [tuple(found) for found in host.loglikelihood(_asked("loglikelihood", pairs), disable_tqdm=True)]


def rolling(host: Any, texts: Sequence[str]) -> list[float]:
    """The log-likelihood of each document, by lm-eval."""
    found: list[float] = host.loglikelihood_rolling(
        _asked("loglikelihood_rolling", [(t,) for t in texts]), disable_tqdm=True
    )
    return found


def _asked(kind: str, arguments: Sequence[tuple[str, ...]]) -> list[Any]:
    from lm_eval.api.instance import Instance

    return [Instance(request_type=kind, doc={}, arguments=each, idx=k) for k, each in enumerate(arguments)]
