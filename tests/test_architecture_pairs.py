"""Any two architecture steps in either order: they work together, or the plan refuses them with the reason.

The steps are those of the entry points, so that a new technique joins by itself; causal and masked, and beside an
adapter on GPT-2, too, for which the library of adapters has layers of its own. Work together means: the pair is another
model than either step alone, folding changes nothing, each live step still acts (taken back, the outputs change), what
stays live comes back to the same outputs, and the saved folder is loaded as that model again.

Of steps that act in one way, by one mechanism, one stands for all beside steps of other kinds (`LIKE`).
`EVENHAND_ALL_PAIRS=1 pytest tests/test_architecture_pairs.py` runs every pair.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from architecture_steps import CASES, Small
from evenhand.errors import UsageError
from evenhand.plan import contested
from evenhand.plugin import Plugin
from evenhand.portable import fold_all, save_model
from evenhand.proofs import EXACT
from evenhand.recipe_steps import ResolvedStep
from evenhand.usable import load_result
from evenhand_sdk.testing import logits

pytestmark = pytest.mark.slow

LIKE: Mapping[str, str] = {
    "inlp": "leace",
    "sentence-debias": "leace",
    "inlp after-norm": "leace after-norm",
    "task-adapter": "debiasing-adapter",
}
"""Step -> another one that acts by the very same code and in the same way: erasers on the residual stream, erasers in
front of matrices, adapters. Beside steps of another kind the second stands for both."""
NOTICEABLE = 1e-6
"""A logit that differs by more is no rounding of the tiny model, whose logits are below 1."""


def like(name: str) -> str:
    return LIKE.get(name, name)


def matters(first: str, second: str) -> bool:
    """Whether the pair says something that a pair of the steps that stand for these two does not."""
    return like(first) == like(second) or (first not in LIKE and second not in LIKE)


EVERY = [(a, b) for a in CASES for b in CASES]
PAIRS = EVERY if os.environ.get("EVENHAND_ALL_PAIRS") else [pair for pair in EVERY if matters(*pair)]


def resolved(name: str, ident: str) -> ResolvedStep:
    plugin = CASES[name].plugin
    return ResolvedStep(
        id=ident, use=plugin.name, section="steps", plugin=plugin, row=None, options=CASES[name].instance().options,
        raw_options={}, active=True, allow_no_effect=False, references={},
    )  # fmt: skip


CLAIMING = {
    "weights": {"selective-update", "weight-interpolation", "task-vector-negation"},
    "adapters": {"debiasing-adapter", "task-adapter", "adapter-fusion", "adapter-sum", "task-vector-negation"},
    "head scores": {"movement-pruning", "task-vector-negation"},
    "low-rank changes": {"lora", "weight-interpolation", "task-vector-negation"},
}
"""What one training can serve one step with. Nothing else may be learnt while a bias is learnt in order to be
subtracted, so `task-vector-negation` claims all. A sum trains nothing, but needs its adapters trained."""


COMBINING = ("adapter-fusion", "adapter-sum")
"""Two of them cannot have the same adapters, whatever is trained in between."""


def refused(first: str, second: str) -> bool:
    return first != "adapter-sum" and any({first, second} <= names for names in CLAIMING.values())


ALONE: dict[tuple[str, str], torch.Tensor] = {}


def alone(name: str, family: str, folder: Path) -> torch.Tensor:
    """The outputs of one step by itself."""
    if (family, name) not in ALONE:
        small = Small(folder / "alone" / name.replace(" ", "-"), family)
        small.reach(name, "step-0")
        small.train()
        ALONE[family, name] = small.outputs()
    return ALONE[family, name]


def apart(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max())


def together(names: tuple[str, str], family: str, folder: Path) -> None:
    small = Small(folder, family)
    for number, name in enumerate(names):
        small.reach(name, f"step-{number}")
    small.train()
    measured = small.outputs()
    assert torch.isfinite(measured).all()
    for name in set(names):
        if names[0] != names[1]:
            assert apart(measured, alone(name, family, folder)) > NOTICEABLE, f"the pair is {name} alone"
    life = small.life()
    live = fold_all(life)  # which demands that the outputs stay the same
    assert apart(small.outputs(), measured) <= EXACT
    save_model(life, live)
    assert apart(small.outputs(), measured) <= EXACT, "put back, it is another model"
    before = measured
    for one in reversed(live):
        if one.transform.revert and one.step.id.startswith("step-"):
            one.transform.revert(small.model)
            now = small.outputs()
            assert names[0] == names[1] or apart(now, before) > NOTICEABLE, "a live step did not act any more"
            before = now
    again = load_result(folder)
    assert apart(logits(small.run, again.model), measured) <= EXACT, "loaded, it is another model"


JOINED = [pair for pair in PAIRS if not refused(*pair) and not set(pair) <= set(COMBINING)]


@pytest.mark.parametrize("family", ["llama", "bert"])
@pytest.mark.parametrize("names", JOINED, ids="+".join)
def test_two_steps_work_together(names: tuple[str, str], family: str, tmp_path: Path) -> None:
    together(names, family, tmp_path)


@pytest.mark.parametrize("names", [pair for pair in JOINED if "debiasing-adapter" in pair], ids="+".join)
def test_a_step_beside_an_adapter_works_in_gpt2(names: tuple[str, str], tmp_path: Path) -> None:
    together(names, "gpt2", tmp_path)


@pytest.mark.parametrize("family", ["llama", "bert", "gpt2"])
@pytest.mark.parametrize("name", list(CASES))
def test_a_step_alone_changes_the_model(name: str, family: str, tmp_path: Path) -> None:
    small = Small(tmp_path, family)
    small.run = small.context(CASES[name].instance(), "none")
    assert apart(alone(name, family, tmp_path), small.outputs()) > NOTICEABLE


def test_what_cannot_work_together_is_refused_by_the_plan() -> None:
    """All pairs, without a training in between and with one."""
    train_step = ResolvedStep(
        id="train", use="train", section="steps", plugin=None, row=None, options=Plugin.Options(), raw_options={},
        active=True, allow_no_effect=False, references={},
    )  # fmt: skip
    for first, second in EVERY:
        one, two = resolved(first, "one"), resolved(second, "two")
        problems = contested([one, two])
        assert bool(problems) == refused(first, second), (first, second)
        if problems:
            word = next(word for word, names in CLAIMING.items() if {first, second} <= names)
            assert problems == [
                f"steps.two: 'one' ({first}) waits for a training of its own, and one training cannot serve both: "
                f"each claims the {word} of the model; put a `train` between them"
            ]
        assert contested([one, train_step, two]) == []


@pytest.mark.parametrize("second", COMBINING)
@pytest.mark.parametrize("first", COMBINING)
def test_the_same_adapters_are_combined_once(first: str, second: str, tmp_path: Path) -> None:
    small = Small(tmp_path, "llama")
    small.reach(first, "one")
    small.train()
    with pytest.raises(UsageError, match="adapter 'gender-adapter' is in 'one' already, which 'two' would switch off"):
        small.reach(second, "two")


def test_every_step_is_in_the_matrix() -> None:
    assert {name for names in CLAIMING.values() for name in names} <= set(CASES)
    assert len(CASES) >= 14 and set(LIKE) | set(LIKE.values()) <= set(CASES)
    assert {name for pair in PAIRS for name in pair} == set(CASES)
