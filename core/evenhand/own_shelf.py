"""What users made and put on the shelf: the model of a finished run under a name, with what it was made of.

`toolkit models add NAME RUN` copies `model/` of a run folder, so that the run may be moved or deleted. Its origin is
kept beside it: the model that it began as, the text, the training, the recipe, and their digests. Only a model that
is in its files is taken: steps that act beside the weights, and heads that nothing has trained, are refused by name.

Finding and listing reads a few small files and imports nothing heavy.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from evenhand import cache, shelf
from evenhand.body_conversion import UNTRAINED
from evenhand.cache import Json
from evenhand.errors import DigestMismatch, RunNotFound, UsageError

if TYPE_CHECKING:
    from evenhand.report_record import RunRecord

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class OwnModel:
    """One model that the user added."""

    name: str
    display_name: str
    kind: shelf.ModelKind
    licence: str | None
    folder: Path
    origin: Mapping[str, Json]
    """What it was made of: see `_origin`."""


def shelf_dir(root: Path | None = None) -> Path:
    """Where added models are: `shelf` in the user's cache."""
    return (root or cache.cache_dir()) / "shelf"


def names(root: Path | None = None) -> list[str]:
    """The names of all added models, sorted."""
    return sorted(path.parent.name for path in shelf_dir(root).glob(f"*/{cache.COMPLETE}"))


def find(name: str, *, root: Path | None = None) -> OwnModel | None:
    """The added model of this name, or None. Raises DigestMismatch when its record cannot be read."""
    folder = shelf_dir(root) / name
    if not NAME.fullmatch(name) or not (folder / cache.COMPLETE).is_file():
        return None
    try:
        origin = cache.origin_of(folder)
        return OwnModel(
            name=name,
            display_name=str(origin["display_name"]),
            kind=cast(shelf.ModelKind, str(origin["kind"])),
            licence=str(origin["licence"]) if origin.get("licence") else None,
            folder=folder,
            origin=origin,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DigestMismatch(
            "its record on the shelf cannot be read",
            where=f"model {name!r}",
            known=f"{type(error).__name__} in {folder / cache.COMPLETE}",
            do=f"add it again from its run: `toolkit models add {name} RUN --replace`",
        ) from error


def own_models(root: Path | None = None) -> list[OwnModel]:
    """All added models by name."""
    found = (find(name, root=root) for name in names(root))
    return [own for own in found if own is not None]


def add(
    name: str, run: str | Path, *, title: str | None = None, replace: bool = False, root: Path | None = None
) -> OwnModel:
    """Copy the model of a finished run onto the shelf.

    `title` is what tables and cards call it; by default the model that the run began with, and what was done to it.
    Raises UsageError for a name that is taken or no name, and for a model that is not in its files alone; RunNotFound
    for a run that is not complete; DigestMismatch when the files are not those that the run measured.
    """
    from evenhand.report_reading import read_run

    _demand_name(name, replace=replace, root=root)
    where = f"run {str(run)!r}"
    record, source = read_run(run), Path(run) / "model"
    if record.status != "complete":
        raise RunNotFound(
            f"the run {record.ending}, so it has no model that was measured",
            where=str(run),
            do="continue it with `toolkit run RECIPE --resume`",
        )
    _demand_whole(record, source, where)
    display_name = " ".join((title or _title(record)).split())
    origin = _origin(record, Path(run), display_name)
    with cache.atomic_folder(shelf_dir(root) / name, origin=origin) as unfinished:
        for relative in _files_of_model(source):
            target = unfinished / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / relative, target)
    found = find(name, root=root)
    assert found is not None
    return found


def remove(name: str, *, root: Path | None = None) -> None:
    """Take an added model off the shelf and delete its copy. Raises UsageError for another name."""
    folder = shelf_dir(root) / name
    if not NAME.fullmatch(name) or not folder.is_dir():
        raise UsageError(
            f"no model {name!r} was added to the shelf", known=f"added: {', '.join(names(root)) or 'none'}"
        )
    with cache.storing(folder):
        shutil.rmtree(folder)


def _demand_name(name: str, *, replace: bool, root: Path | None) -> None:
    if not NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is no name for a model", do="use small letters, digits, dots, - and _, such as minilm-mlm"
        )
    if shelf.find(name):
        raise UsageError(f"{name!r} is a model that comes with the toolkit", do="choose another name")
    if (shelf_dir(root) / name).exists() and not replace:
        raise UsageError(
            f"the shelf has a model {name!r}", do="choose another name, or add --replace to put this one in its place"
        )


def _files_of_model(source: Path) -> list[str]:
    return sorted(path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file())


def _demand_whole(record: RunRecord, source: Path, where: str) -> None:
    """The files are those that were measured, and they are all that was measured."""
    expected = {path.removeprefix("model/"): sha for path, sha in record.files.items() if path.startswith("model/")}
    there = set(_files_of_model(source))
    if differing := sorted(there ^ expected.keys()):
        what = "was not written by the run" if differing[0] in there else "is missing"
        raise DigestMismatch(f"model/{differing[0]} {what}", where=where, do="run the recipe again")
    for relative, sha256 in expected.items():
        if (found := cache.sha256_file(source / relative)) != sha256:
            raise DigestMismatch(
                f"model/{relative} is not the file that the run wrote",
                where=where,
                known=f"its SHA-256 is {found} instead of {sha256}",
                do="run the recipe again",
            )
    if not (source / "config.json").is_file():
        raise RunNotFound("the run has no model", where=where)
    if beside := [step.id for step in record.active_steps if step.state in ("saved beside the model", "decoding")]:
        raise UsageError(
            f"{' and '.join(beside)} cannot be folded into the weights, so the files alone are another model",
            where=where,
            do="use such a model with evenhand.load; the shelf takes models that are in their weights",
        )
    if json.loads((source / "config.json").read_text("utf-8")).get(UNTRAINED):
        raise UsageError(
            "the language-model head is still untrained",
            where=where,
            do="let a `train` step move the whole model, as the recipe masked-model does",
        )


def _title(record: RunRecord) -> str:
    entry = shelf.find(record.model.name)
    tokens = sum(training.tokens for training in record.training)
    if entry is not None and entry.trained_name:
        steps = [step.use for step in record.active_steps if step.use != "train"]
        done = f", after {' and '.join(steps)}" if steps else ""
        return f"{entry.trained_name} on {_millions(tokens)} of text{done}"
    uses = " and ".join(dict.fromkeys(step.use for step in record.active_steps)) or "nothing"
    return f"{record.model_label}, after {uses}"


def _millions(tokens: int) -> str:
    return f"{tokens / 1e6:.1f} M tokens" if tokens >= 1e5 else f"{tokens:,} tokens"


def _origin(record: RunRecord, run: Path, display_name: str) -> dict[str, Json]:
    """All that is known of how the model was made; JSON values."""
    from evenhand.shelf import find

    entry, model, data = find(record.model.name), record.model, record.data
    recipe = (run / "recipe.toml").read_text("utf-8") if (run / "recipe.toml").is_file() else ""
    text = f"{data.source} (SHA-256 {data.digest})" if record.training else "no text"
    updates = sum(training.steps for training in record.training)
    tokens = sum(training.tokens for training in record.training)
    original = entry.hub_id if entry else model.base_model
    return {
        "display_name": display_name,
        "kind": model.kind,
        "licence": model.licence or None,
        "original": original or None,
        "made": f"by the run {record.name} from {model.display_name}; {updates:,} updates, {tokens:,} tokens of {text}",
        "base": {"name": model.name, "display_name": model.display_name, "digest": model.digest},
        "data": {"source": data.source, "digest": data.digest, "licence": data.licence, "rows": data.rows},
        "training": [training.model_dump(mode="json") for training in record.training],
        "steps": [step.use for step in record.active_steps],
        "seed": record.seed,
        "recipe": recipe,
        "recipe_sha256": cache.sha256_text(recipe),
        "overrides": list(record.overrides),
        "evenhand": record.evenhand,
        "versions": {str(k): str(v) for k, v in record.environment.items()},
        "finished": record.finished,
    }
