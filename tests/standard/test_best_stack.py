"""The recipe of several stages: it runs, its search space is sound at every end, and it can be taken apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from evenhand.ablation import TRAINING, configurations, parts_of
from evenhand.discovery import discover
from evenhand.recipe import load_recipe, resolve_steps
from evenhand.sweep import demand_searchable, sweep
from evenhand_sdk.tiny import save_tiny

RECIPE = Path(__file__).parents[2] / "docs" / "recipes" / "best-stack.toml"


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Overrides that make the recipe small."""
    monkeypatch.setenv("EVENHAND_CACHE", str(tmp_path / "cache"))
    return [
        f"model.name={save_tiny(tmp_path / 'tiny')}", "data.train=builtin:everyday", "data.limit=160",
        "training.max_tokens=2000", "run.seeds=1", "evaluation.resamples=100", "crows-pairs.limit=60",
        "stereoset.limit=60", "pair-gap.limit=40", "lambada.limit=20",
        "perplexity.words=60", "perplexity.text=builtin:heldout", "data.retention=builtin:prompts",
    ]  # fmt: skip


def overrides(small: list[str]) -> list[str]:
    names = ("crows-pairs", "stereoset", "pair-gap", "lambada", "perplexity")
    return [f"benchmarks.{o}" if o.startswith(names) else o for o in small]


def test_its_parts_and_its_search_space_are_sound(small: list[str]) -> None:
    catalogue = discover()
    recipe = load_recipe(RECIPE, overrides(small)[:4], catalogue=None)
    steps = [s for s in resolve_steps(recipe, catalogue) if s.section == "steps"]
    parts = parts_of(steps)
    assert parts == ["names-intervention", "equalising-loss", "selective-update", "pcgrad", TRAINING]
    assert len(configurations(parts, steps)) == 1 + 5 + 4
    assert recipe.budget.perplexity == 1.01 and recipe.training.constraint == "lagrangian"
    assert recipe.sweep is not None and len(recipe.sweep.parameters) == 4


@pytest.mark.slow
@pytest.mark.realdata
def test_it_is_searched_on_a_tiny_model(small: list[str], tmp_path: Path) -> None:
    catalogue = discover()
    recipe = load_recipe(RECIPE, [*overrides(small), "sweep.trials=2"], catalogue=catalogue)
    demand_searchable(recipe, catalogue)
    found = sweep(recipe, tmp_path / "found")
    assert [t.state for t in found.trials] == ["complete"] * 2, [t.reason for t in found.trials]
    assert found.recipes
