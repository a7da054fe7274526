"""What a recipe names outside itself, looked for before any work: what is missing is told at once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from evenhand.data import find, missing
from evenhand.data_columns import empty_file, wrong_column
from evenhand.errors import DataNotFound, EvenhandError
from evenhand.mirrors import WIKITEXT2_TEST, missing_file
from evenhand.named_models import impossible_model
from evenhand.remarks import remarks

if TYPE_CHECKING:
    from evenhand.mirrors import KnownFile
    from evenhand.recipe_model import Recipe
    from evenhand.recipe_steps import ResolvedStep


def heldout_of(recipe: Recipe) -> str | None:
    """`data.heldout`, with the path where it was found."""
    name = recipe.data.heldout
    if name is None or name.startswith(("builtin:", "mirror:")):
        return name
    path, _ = find(name, recipe.folders)
    return str(path) if path is not None else name


def missing_inputs(
    recipe: Recipe, steps: Sequence[ResolvedStep], *, trains: bool, unread: Collection[str] = ()
) -> list[str | EvenhandError]:
    """Everything that certainly is not there; what only the hub can know passes.

    `unread` are tables of the recipe that could not be read, and whose values are therefore not known.
    """
    found: list[str | EvenhandError | None] = []
    if "model" not in unread:
        found.append(_model(recipe))
    found += [impossible_model(name, where=where) for where, name in other_models(steps)]
    if "data" not in unread:
        found += _texts(recipe, trains)
    if "traffic" not in unread and recipe.traffic.limit:
        found.append(missing(recipe.traffic.prompts, recipe.folders, what="prompts"))
    if "evaluation" not in unread:
        found += _files(recipe, steps)
    return [problem for problem in found if problem is not None]


def _model(recipe: Recipe) -> EvenhandError | None:
    from evenhand.resolution import impossible

    served = recipe.model.endpoint is not None  # whoever serves it has it
    return impossible(recipe.model.name, offline=recipe.run.offline and not served, served=served)


def notes(recipe: Recipe, steps: Sequence[ResolvedStep]) -> list[str]:
    """What is no mistake but may be a surprise: what is taken from elsewhere than named, and what plugins remark."""
    from evenhand.hub import switched_off
    from evenhand.named_here import only_on_hub
    from evenhand.plan import needs_training, only_reads
    from evenhand.resolution import advice

    told, name = [], recipe.model.name
    if recipe.model.endpoint is None and only_on_hub(name):
        hint = f"; {near}" if (near := advice(name)) else ""
        will = (
            "HF_HUB_OFFLINE is set, so only its cache has it" if switched_off() else "the run will ask the hub for it"
        )
        told.append(f"the model {name!r} is on no shelf and in no folder here: {will}{hint}")
    trains = any(needs_training(s) or (s.plugin is None and s.active) for s in steps if s.section == "steps")
    readers = ["the training"] if trains else [s.id for s in steps if s.section == "steps" and only_reads(s)]
    if readers and "train" not in recipe.data.model_fields_set:
        told.append(f"[data] names no text, so {readers[0]} reads {' and '.join(recipe.data.sources)}")
    return told + remarks(steps)


def other_models(steps: Sequence[ResolvedStep]) -> list[tuple[str, str]]:
    """Where in the recipe, and name, of each model beside the run's own that active steps load."""
    return [
        (f"{step.section}.{step.id}.{option}", name)
        for step in steps
        if (plugin := step.acting)
        for option, name in plugin.models_for(step.options)
    ]


def _texts(recipe: Recipe, trains: bool) -> list[str | EvenhandError | None]:
    folders, data, mirrors = recipe.folders, recipe.data, recipe.evaluation.data
    sources = data.sources if trains else ()
    found: list[str | EvenhandError | None] = [
        missing(name, folders, what="training text", mirrors=mirrors) for name in sources
    ]
    for name in sources:
        empty = empty_file(name, folders)
        found.append(empty or wrong_column(name, folders, data.column, alone=len(sources) == 1))
    if data.retention is not None:
        if data.retention in sources:
            found.append("data.retention: is the text that is trained on; leave it out, and rows of it are held out")
        if data.retention == (data.heldout or "builtin:heldout"):  # which `perplexity` reads where nothing is said
            found.append("data.retention: is the text that language quality is measured on")
        found.append(missing(data.retention, folders, what="retention text", mirrors=mirrors))
    if data.heldout is not None:
        if data.heldout in sources:
            found.append("data.heldout: is the text that is trained on")
        if data.heldout == "wikitext2":
            found.append(_of("data.heldout", missing_file(WIKITEXT2_TEST, recipe.evaluation.data)))
        else:
            found.append(missing(data.heldout, folders, what="held-out text", mirrors=mirrors))
    return found


def _files(recipe: Recipe, steps: Sequence[ResolvedStep]) -> list[str | EvenhandError | None]:
    """One error for each published file that is not there, with the steps that read it."""
    readers: dict[tuple[KnownFile, str | None], list[str]] = {}
    for step in steps:
        if (plugin := step.acting) is None:
            continue
        folder = getattr(step.options, "data", None) or recipe.evaluation.data
        for known in plugin.files_for(step.options):
            readers.setdefault((known, folder), []).append(f"{step.section}.{step.id}")
    found: list[str | EvenhandError | None] = []
    for (known, folder), ids in readers.items():
        found.append(_of(" and ".join(ids), missing_file(known, folder)))
    return found


def _of(where: str, error: DataNotFound | None) -> DataNotFound | None:
    """The error with the place in the recipe that it is about."""
    return error and DataNotFound(error.what, where=where, known=error.known, do=error.do)
