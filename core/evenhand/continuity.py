"""What a run began with, so that `--resume` continues the same run or says why it cannot.

The recipe is compared when the folder is chosen (`run_folders`); here are the things that a recipe only names: the
model, the texts, and the versions of the code. A plugin whose file was edited under the same version may go on, since
mending it is a reason to resume, but the record says so.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand.cache import digest_of, sha256_file, write_atomic
from evenhand.errors import SetupChanged

if TYPE_CHECKING:
    from evenhand.manifest import Manifest
    from evenhand.recipe import ResolvedStep

NAME = "began-with.json"
CODE = "the code of "


def facts_of(
    manifest: Manifest, steps: Sequence[ResolvedStep], prompts: Sequence[str], *, text: str = ""
) -> dict[str, str]:
    """Everything outside the recipe that the numbers of a run depend on; `text` is the digest of the training text."""
    model, environment = manifest["model"], manifest["environment"]
    versions = {row["name"]: row["version"] for row in manifest["distributions"]}
    libraries = {name: environment[name] for name in ("python", "torch", "transformers")}
    return {
        "the model": f"{model['digest']} {model['tokenizer_fingerprint']}",
        "the training text": text,
        "the prompts": digest_of(list(prompts)),
        "the number of threads": str(environment["threads"]),
        "the accelerator": str(environment["accelerator"]),
        **versions,
        **libraries,
        **{f"{CODE}{s.use}": _source(s) for s in steps if s.plugin},
    }


def _source(step: ResolvedStep) -> str:
    path = inspect.getsourcefile(step.plugin) if step.plugin else None
    return sha256_file(Path(path)) if path else ""


def begin(folder: Path, facts: Mapping[str, str]) -> None:
    """Keep what a new run begins with."""
    write_atomic(folder / NAME, json.dumps(dict(facts), indent=1))


def demand_same(folder: Path, facts: Mapping[str, str]) -> list[str]:
    """Raises `SetupChanged` when a run would go on with another model, other texts or other versions.

    Gives a sentence for each plugin whose code was edited meanwhile. A run that was stopped before it had looked at its
    model continues with anything.
    """
    path = folder / NAME
    if not path.is_file():
        begin(folder, facts)
        return []
    began: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    changed = [k for k in {**began, **facts} if began.get(k, "") != facts.get(k, "")]
    hard = [_told(k, began.get(k, ""), facts.get(k, "")) for k in changed if not k.startswith(CODE)]
    if hard:
        raise SetupChanged(
            "the run cannot be continued, because its numbers would come from two different set-ups",
            where="--resume",
            known="changed since it began: " + "; ".join(hard),
            do="put it back as it was, or start a new run without --resume",
        )
    return [f"{k} was edited since the run began" for k in changed]


def _told(what: str, before: str, now: str) -> str:
    if max(len(before), len(now)) > 24:
        return what  # a digest tells a reader nothing
    return f"{what} ({before or 'none'}, now {now or 'none'})"
