"""Tiny models and run contexts for the tests of the standard plugins."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evenhand.recipe_model import TrainingSection
from evenhand.services import Services
from evenhand_sdk import RunContext
from evenhand_sdk.tiny import tiny_causal, tiny_masked


@pytest.fixture(scope="session")
def _models() -> dict[str, Any]:
    return {"causal": tiny_causal(), "masked": tiny_masked()}


@pytest.fixture
def tiny(_models: dict[str, Any]) -> Callable[[str], tuple[Any, Any]]:
    """kind -> (a fresh copy of the tiny model, its tokenizer)."""
    return lambda kind="causal": (copy.deepcopy(_models[kind][0]), _models[kind][1])


@pytest.fixture
def run_of(tmp_path: Path) -> Callable[..., RunContext]:
    """(model, tokenizer, kind) -> the run that a plugin sees; its untouched model is the model as it is."""

    def make(model: Any, tokenizer: Any, kind: Any = "causal", **training: Any) -> RunContext:
        base = copy.deepcopy(model)
        settings = TrainingSection(
            **{"max_steps": 3, "batch_size": 4, "max_length": 32, "precision": "float32", **training}
        )
        services = Services(
            model=model,
            tokenizer=tokenizer,
            kind=kind,
            seed=0,
            folder=tmp_path,
            settings=settings,
            load_base=lambda: copy.deepcopy(base),
        )
        return RunContext(
            step_id="step",
            seed=0,
            kind=kind,
            tokenizer=tokenizer,
            device="cpu",
            folder=tmp_path,
            axes=("gender",),
            offline=True,
            logger=logging.getLogger("test"),
            services=services,
        )

    return make


BELIEF = """
axis = "belief"
locale = "en"
groups = ["christian", "jewish", "muslim"]
licence = "Apache-2.0"
provenance = "Written for this test."
limits = ["Three groups."]

[[words]]
theme = "followers"
pos = "noun"
number = "singular"
rows = [["christian", "jew", "muslim"]]

[[words]]
theme = "houses"
pos = "noun"
number = "singular"
rows = [["church", "synagogue", "mosque"]]
"""


@pytest.fixture
def belief(tmp_path: Path) -> str:
    """The path of an axis with three groups."""
    path = tmp_path / "belief.toml"
    path.write_text(BELIEF)
    return str(path)
