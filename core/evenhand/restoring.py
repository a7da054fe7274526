"""The way back from a saved result: the model, and beside it each step that no weights hold, in the recipe's order.

The counterpart of `portable`: what that writes into `model/`, this reads, after a look at whether it is whole.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MethodType, SimpleNamespace
from typing import TYPE_CHECKING, Any

from evenhand.cache import damage
from evenhand.errors import DigestMismatch, RunNotFound
from evenhand.model_digests import demand_files
from evenhand.request_settings import FOLDED, LIVE
from evenhand.saved_without import tell_of_steps

if TYPE_CHECKING:
    from evenhand.contributions import DecodingRule
    from evenhand.models import LoadedModel
    from evenhand.replaced_generate import Again

NAME = "evenhand.json"
PROVENANCE = "provenance.json"
"""What an export has beside the weights, with the digest of each of its files."""
COMPLETED = "evenhand_completed"
"""Attribute of a model that plain transformers has loaded: its steps are back in place, or, False, were begun with."""
RUN = "run"
"""Who put live steps on a model that is the result of a run."""
_COMPLETING = threading.Lock()
_NEEDED = ("kind", "seed", "steps")
_AGAIN = "copy the folder again, or run the recipe again"


def put_back(transform: Any, model: Any, folder: Path) -> None:
    from evenhand.kept_steps import demand_artifact

    if transform.load:
        transform.load(model, folder)
    elif transform.apply:
        transform.apply(model, demand_artifact(folder / "artifact"))


@dataclass(frozen=True)
class Finished:
    """The model that a run has left."""

    loaded: LoadedModel
    rules: list[DecodingRule]
    facts: dict[str, Any]
    """What `model/evenhand.json` says."""
    again: Again | None = None
    """Makes the rules for a copy of the model."""

    @property
    def plain(self) -> bool:
        """Whether its files alone are the model: no step was put back."""
        return not self.facts["steps"]


def finished_folder(folder: Path | str) -> Path | None:
    """Where the finished model of a run lies: in its `model/`, or in the given folder itself; None without one."""
    return next((place for place in (Path(folder) / "model", Path(folder)) if (place / NAME).is_file()), None)


def load_finished(folder: Path | str, *, dtype: str = "auto", device: str = "cpu", verify: bool = True) -> Finished:
    """The finished model of a run with the facts about it.

    Raises `RunNotFound` when there is no finished model, `DigestMismatch` when its files or the saved parts of its
    steps are not those that the run wrote (files are not compared without `verify`, nor those of runs that kept no
    digests), and the discovery errors when a plugin is missing.
    """
    from evenhand.models import load, resolve

    place = finished_folder(folder)
    if place is None:
        if (Path(folder) / PROVENANCE).is_file() and (Path(folder) / "config.json").is_file():
            raise _plain_export(Path(folder))
        raise RunNotFound(
            f"{str(folder)!r} holds no finished model: it has no {NAME}",
            known="a run whose steps only look, such as an audit, saves none",
            do="give the folder of a run that is complete",
        )
    facts = read_facts(place)
    if verify and "files" in facts:
        demand_files(place, facts["files"])
    loaded = load(resolve(str(place), offline=True), kind=facts["kind"], dtype=dtype, device=device)  # type: ignore[arg-type]
    if folded := facts.get("folded"):
        setattr(loaded.model, FOLDED, tuple(folded))
    acting = [step for step in facts["steps"] if step["live"] or step["decodes"]]
    if acting:
        setattr(loaded.model, LIVE, tuple(sorted({name for step in acting for name in (step["id"], step["use"])})))
    rules = restore(loaded, facts, place) if facts["steps"] else []
    return Finished(loaded, rules, facts, rules_again(facts, place) if rules else None)


def _plain_export(folder: Path) -> RunNotFound:
    """The error for an export without code, which has nothing that this toolkit would put back."""
    from evenhand.named_here import known_kind

    kind = known_kind(str(folder))
    name = "AutoModelForMaskedLM" if kind is not None and kind[0] == "masked" else "AutoModelForCausalLM"
    return RunNotFound(
        f"{str(folder)!r} is an export without code: it has no {NAME}, because its weights are the whole model",
        do=f"load it with plain transformers: {name}.from_pretrained({str(folder)!r})",
    )


def read_facts(place: Path) -> dict[str, Any]:
    """What `evenhand.json` of a folder says; raises RunNotFound where it is missing or does not say what is needed."""
    try:
        facts = json.loads((place / NAME).read_text(encoding="utf-8"))
    except FileNotFoundError as problem:
        raise RunNotFound(f"there is no {NAME}", where=str(place)) from problem
    except (UnicodeDecodeError, json.JSONDecodeError) as problem:
        raise RunNotFound(f"{NAME} is damaged: {problem}", where=str(place), do=_AGAIN) from problem
    if not isinstance(facts, dict):
        raise RunNotFound(f"{NAME} is damaged: it is no table of facts", where=str(place), do=_AGAIN)
    if not isinstance(facts.get("files", {}), dict):
        raise RunNotFound(f"{NAME} is damaged: files is no table of digests", where=str(place), do=_AGAIN)
    if lacking := [name for name in _NEEDED if name not in facts]:
        raise RunNotFound(
            f"{NAME} is damaged: it does not say {', '.join(lacking)}",
            where=str(place),
            known=f"it needs {', '.join(_NEEDED)}",
            do=_AGAIN,
        )
    return facts


def restore(loaded: Any, facts: dict[str, Any], folder: Path) -> list[Any]:
    """Call the steps' hooks again, in order, and put their saved parts back; gives the decoding rules."""
    import logging
    import tempfile

    from evenhand.compose import Composer
    from evenhand.context import RunContext, StepHandle, axes_of
    from evenhand.contributions import Artifact
    from evenhand.discovery import discover
    from evenhand.kept_steps import demand_artifact
    from evenhand.recipe_model import StepEntry, TrainingSection
    from evenhand.recipe_steps import match_steps
    from evenhand.services import Services

    _demand_whole(folder / "evenhand", facts)  # before anything is changed
    entries = [StepEntry(use=e["use"], id=e["id"], active=e["active"], options=e["options"]) for e in facts["steps"]]
    steps, problems = match_steps(entries, (), discover(), training=TrainingSection(), kind=facts["kind"])
    if problems:
        raise RunNotFound("the model's steps cannot be put back", where=str(folder), known="; ".join(problems))
    plugins = [s.plugin(s.options) for s in steps if s.plugin]
    composer = Composer(list(zip(steps, plugins, strict=True)))
    services = Services(
        model=loaded.model, tokenizer=loaded.tokenizer, kind=facts["kind"], seed=facts["seed"],
        folder=Path(tempfile.gettempdir()), settings=TrainingSection(), load_base=lambda: loaded.model,
    )  # fmt: skip
    handles: dict[str, StepHandle] = {}
    rules: list[Any] = []
    for step, plugin, entry in zip(steps, plugins, facts["steps"], strict=True):
        handle = StepHandle(id=step.id, plugin=plugin, active=step.active, folder=folder)
        handles[step.id] = handle
        run = RunContext(
            step_id=step.id, seed=facts["seed"], kind=facts["kind"], tokenizer=loaded.tokenizer,
            device=str(loaded.model.device), folder=folder, axes=axes_of([plugin.options]), offline=True,
            logger=logging.getLogger(f"evenhand.{step.id}"), services=services,
            steps={k: h for k, h in handles.items() if k != step.id},
        )  # fmt: skip
        if entry["live"]:
            found = composer.call("architecture", step, run=run, model=loaded.model)
            handle.contributions["architecture"] = found
            for index in entry["live"]:
                own = folder / "evenhand" / f"{step.id}-{index}"
                handle.artifact = demand_artifact(own / "artifact") if (own / "artifact").is_dir() else Artifact()
                put_back(found[index], loaded.model, own)
        elif entry.get("artifact"):
            handle.artifact = demand_artifact(folder / "evenhand" / f"{step.id}-artifact")
        if "decoding" in plugin.stages():
            found = composer.call("decoding", step, run=run, model=loaded.model)
            handle.contributions["decoding"] = found
            if entry["decodes"]:
                rules += found
    tell_of_steps(loaded.model, RUN, [entry["id"] for entry in facts["steps"] if entry["live"]], facts["kind"])
    return rules


def rules_again(facts: dict[str, Any], folder: Path) -> Again | None:
    """What makes the decoding rules of a folder for a copy of its model.

    None where live steps stand on the model: rules may work with them, and those of a copy cannot be told from it.
    """
    if any(step["live"] for step in facts["steps"]):
        return None
    return partial(_rules_for, facts, folder.absolute())


def _rules_for(facts: dict[str, Any], folder: Path, model: Any, tokenizer: Any) -> list[Any]:
    return restore(SimpleNamespace(model=model, tokenizer=tokenizer), facts, folder)


def _demand_whole(beside: Path, facts: dict[str, Any]) -> None:
    """DigestMismatch when a file of what was saved beside the model is not the one that was written."""
    from evenhand.kept_steps import demand_artifact

    for sealed in sorted(beside.glob("*/artifact")) + sorted(beside.glob("*-artifact")):
        demand_artifact(sealed)
    for entry in facts["steps"]:
        for own in (beside / f"{entry['id']}-{index}" for index in entry["live"]):
            if (own / "artifact").is_dir() or not facts.get("sealed"):
                continue  # sealed by itself, or saved by a version that did not seal it
            if what := damage(own):
                raise DigestMismatch(
                    f"the saved part of a step is damaged: {what}",
                    where=str(own),
                    do="copy the folder again, or run the recipe again",
                )


def complete(model: Any, here: str = "") -> None:
    """Put the steps of an exported folder back onto the model that plain transformers has loaded from it, once.

    From then on the model and its own `generate` are those that were measured. `here` is what the path that it was
    loaded from may be relative to. Threads that ask meanwhile wait. Raises RunNotFound where the model's folder has no
    steps, or where an earlier call failed midway, and the discovery errors when a plugin is missing.
    """
    with _COMPLETING:
        _complete(model, here)


def _complete(model: Any, here: str) -> None:
    from transformers import AutoTokenizer

    from evenhand.attached_rules import attach

    begun = getattr(model, COMPLETED, None)
    if begun is True:
        return
    if begun is False:
        raise RunNotFound(
            "the steps of this model could not all be put back, and some of them are in place",
            do="load the model again, and mend what the first error told",
        )
    place = Path(here, model.name_or_path)
    if not place.is_dir():
        from huggingface_hub import snapshot_download

        # The steps of the very revision that the weights are of.
        place = Path(snapshot_download(model.name_or_path, revision=getattr(model.config, "_commit_hash", None)))
    facts = read_facts(place)
    tokenizer = AutoTokenizer.from_pretrained(str(place))
    if tokenizer.pad_token_id is None and tokenizer.eos_token_id is not None:
        tokenizer.pad_token = tokenizer.eos_token
    setattr(model, COMPLETED, False)
    rules = restore(SimpleNamespace(model=model, tokenizer=tokenizer), facts, place)
    model.generate = MethodType(type(model).generate, model)  # not the code that has called this
    attach(model, tokenizer, rules, rules_again(facts, place))
    setattr(model, COMPLETED, True)
