"""Continued training: the trainings of a run once more, on the text as it was and without a term for fairness.

Its model depends on little: the untouched model, the text before data steps, the settings, how many updates are made,
which parameters move, the seed. `deciding` lists all of that, so that runs with the same list share one control (see
`kept_controls`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand.cache import Json, digest_of, sha256_file
from evenhand.control_runs import Untouched, beside
from evenhand.measuring import package_digest, source_digests
from evenhand.training_data import encode
from evenhand.training_rows import in_updates

if TYPE_CHECKING:
    from evenhand.life import Life
    from evenhand.recipe import ResolvedStep, TrainingSection

LUCK = 0.03
"""The share by which the tokens of as many updates differ by the rows that happen to be drawn."""
CODE = (
    "continued_training", "control_runs", "fast_products", "foreign_precision", "life", "life_training", "models",
    "own_terms", "positions", "reference", "retention_text", "run_callback", "scoring_precision",
    "separate_gradients", "split_parameters", "term_gradients", "term_state", "trainer", "training",
    "training_arguments", "training_attempts", "training_batch", "training_checkpoints", "training_checks",
    "training_data", "training_facts", "training_forward", "training_log", "training_model", "training_result",
    "training_rows", "training_terms", "training_watch", "update_shares",
)  # fmt: skip
"""The modules of the core that decide what a training makes of a model."""


class ContinuedTraining:
    """The control with one seed: what decides its model can be told before anything is trained.

    Steps that select parameters are kept, so that the same ones move; their anchors are kept, too. Raises whatever a
    hook or a training raises.
    """

    def __init__(self, life: Life, steps: Sequence[ResolvedStep], seed: int) -> None:
        selecting = {n for n, h in life.handles.items() if any(t.trainable for t in h.architecture())}
        told = next((s["training"] for s in life.manifest["seeds"] if s["seed"] == seed), life.manifest["training"])
        kept = [s for s in steps if s.plugin is None or s.id in selecting]
        self._life, self._seed = life, seed
        self._steps = [with_equal_tokens(life, s, told) if s.plugin is None else s for s in kept]
        self._plugins: dict[str, Any] = {s.id: s.plugin(s.options) if s.plugin else None for s in self._steps}
        self._other: Untouched | None = None

    def deciding(self) -> dict[str, Json] | None:
        """Everything that the trained model depends on; None where that cannot be told without training.

        A step that only selects is told by its name, options and code, and by the names that it selects. One that
        changes the model, holds on to something, or acts during the training may depend on anything.
        """
        first = next(k for k, s in enumerate(self._steps) if s.plugin is None)
        if any(s.plugin is not None for s in self._steps[first:]):
            return None  # it selects on a model that is trained already
        selecting = self._steps[:first]
        names: list[str] | None = None
        if selecting:
            other = self._begun()
            transforms = [placed.transform for placed in other.placed]
            if other.pending_terms or any(t.apply or t.on_step for t in transforms):
                return None
            names = sorted({n for t in transforms if t.trainable for n in t.trainable(other.loaded.model)})
        life, info = self._life, self._life.loaded.info
        environment = life.manifest["environment"]
        return {
            "model": info.digest,
            "kind": info.kind,
            "dtype": str(info.dtype),
            "tokenizer": info.tokenizer_fingerprint,
            "text": life.manifest["data"]["digest"],
            "trainings": [s.options.model_dump(mode="json") for s in self._steps[first:]],
            "held": self._held([s.options for s in self._steps[first:]]),
            "selected": names,
            "selecting": [self._told(s) for s in selecting],
            "heldout": _file_digests([life.recipe.data.heldout], life.recipe.folders) if selecting else None,
            "seed": self._seed,
            "code": source_digests(CODE),
            "device": life.loaded.model.device.type,
            **{key: environment[key] for key in ("torch", "transformers", "processor", "accelerator", "threads")},
        }

    def _held(self, trainings: Sequence[Any]) -> Json:
        """The budget and the retention text of trainings that hold it; None where none does."""
        recipe = self._life.recipe
        if not any(recipe.holds_budget(options) for options in trainings):
            return None
        return [recipe.budget.perplexity, _file_digests([recipe.data.retention], recipe.folders)]

    def train(self) -> Untouched:
        """The life of the control, trained."""
        other = self._begun()
        first = next(k for k, s in enumerate(self._steps) if s.plugin is None)
        for step in self._steps[first:]:
            other.reach(step, self._plugins[step.id])
        return other

    def _begun(self) -> Untouched:
        """A life on the untouched model, with all steps taken that stand before the first training."""
        if self._other is None:
            name = "continued-training" + ("" if self._seed == self._life.recipe.run.seed else f"-{self._seed}")
            other = beside(self._life, name, [(s, self._plugins[s.id]) for s in self._steps], seed=self._seed)
            for step in self._steps:
                if step.plugin is None:
                    break
                other.reach(step, self._plugins[step.id])
            self._other = other
        return self._other

    def _told(self, step: ResolvedStep) -> Json:
        assert step.plugin is not None
        options = step.options.model_dump(mode="json")
        packages = ("evenhand_sdk", step.plugin.__module__.partition(".")[0])
        return {
            "id": step.id,  # hooks draw their random numbers by it
            "use": step.use,
            "options": by_content(options),
            "code": {name: package_digest(name) for name in packages},
        }


def with_equal_tokens(life: Life, step: ResolvedStep, trainings: Sequence[dict[str, Any]]) -> ResolvedStep:
    """The training with as many updates on the text as it was as read the tokens that the run's training read.

    The run's tokens count its counterfactuals, too. Where the updates that the recipe asks for, on the text as it was,
    read as many but for the luck of the draw, it is those: then the control of a protocol is one for all its runs.
    """
    told = next((t for t in trainings if t["id"] == step.id), None)
    if told is None or not told["tokens"]:
        return step
    options: TrainingSection = step.options  # type: ignore[assignment]
    assert life.rows is not None
    rows, _ = encode(
        life.rows, life.loaded.tokenizer, kind=life.loaded.info.kind, max_length=options.max_length, vocabulary=0
    )
    asked = in_updates(options, rows).max_steps
    equal = in_updates(options.model_copy(update={"max_tokens": told["tokens"]}), rows).max_steps
    updates = asked if abs(equal - asked) <= LUCK * asked else equal
    return replace(step, options=options.model_copy(update={"max_steps": updates, "max_tokens": None}))


def by_content(value: Any) -> Json:
    """Options in which each text that names a file has its digest instead of the folder: what is read decides, not
    from where the recipe was run."""
    if isinstance(value, str):
        digest = _digest(value)
        return value if digest is None else [Path(value).name, digest]
    if isinstance(value, dict):
        return {key: by_content(inner) for key, inner in value.items()}
    return [by_content(inner) for inner in value] if isinstance(value, list) else value


def _file_digests(names: Sequence[str | None], folders: Sequence[Path]) -> Json:
    """The digests of those that are files, or folders of them, here or in one of the folders of the recipe."""
    found = {}
    for name in filter(None, names):
        paths = (name, *(str(folder / name) for folder in folders))
        if digest := next(filter(None, map(_digest_of_either, paths)), None):
            found[name] = digest
    return digest_of([list(names), found])


def _digest_of_either(name: str) -> str | None:
    """Of a file, or of the files in a folder with their names."""
    if digest := _digest(name):
        return digest
    folder = Path(os.path.expanduser(name))
    if len(name) >= 1024 or "\0" in name or not folder.is_dir():
        return None
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return digest_of([[path.relative_to(folder).as_posix(), sha256_file(path)] for path in files])


def _digest(name: str) -> str | None:
    """Of a file; None where there is none of this name, or none can be."""
    path = Path(os.path.expanduser(name))
    return sha256_file(path) if name and len(name) < 1024 and "\0" not in name and path.is_file() else None
