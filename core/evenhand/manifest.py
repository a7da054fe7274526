"""run.json: what was run, with which code, on which data, with which result. Everything a reader sees comes from it."""

from __future__ import annotations

import json
import math
import platform
import sys
import time
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand import __version__
from evenhand.cache import sha256_file, write_atomic
from evenhand.devices import accelerator
from evenhand.errors import RunNotFound
from evenhand.plan import only_reads, stages_of
from evenhand.processor import processor_name
from evenhand.report_reading import raw_run
from evenhand.report_record import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from evenhand.contributions import Response, Section
    from evenhand.recipe import Recipe, ResolvedStep

NAME = "run.json"
CONTROL = "control "
"""How the stages of `timings` begin in which controls are made and measured."""


class Manifest:
    """The record of a run while it happens; each `write` leaves a whole file."""

    def __init__(self, folder: Path, recipe: Recipe, name: str) -> None:
        self.folder = folder
        self.started = time.monotonic()
        self.earlier = 0.0
        """Seconds that earlier attempts at this run took."""
        self.data: dict[str, Any] = {
            "schema": SCHEMA,
            "status": "running",
            "name": name,
            "started": now(),
            "finished": None,
            "seconds": 0.0,
            "control_seconds": 0.0,
            "attempts": 1,
            "evenhand": __version__,
            "seed": recipe.run.seed,
            "recipe": recipe.model_dump(mode="json"),
            "overrides": list(recipe.overrides),
            "environment": {},
            "model": {},
            "data": {},
            "distributions": [],
            "steps": [],
            "training": [],
            "benchmarks": [],
            "contamination": None,
            "expectations": [],
            "quality": None,
            "baseline": {"measured": [], "reused": []},
            "controls": [],
            "primary": None,
            "seeds": [],
            "portability": None,
            "monitoring": {"requests": 0, "probes": 0, "findings": []},
            "sections": [],
            "samples": [],
            "faults": [],
            "events": [],
            "timings": {},
            "files": {},
        }

    def continue_from(self, folder: Path) -> None:
        """Take over what an interrupted attempt has recorded and this one cannot measure again: events and times."""
        try:
            before = raw_run(folder)
        except RunNotFound:
            return  # it was stopped before it wrote a record
        self.earlier = float(before["seconds"])
        for key in ("started", "events", "timings"):
            self.data[key] = before[key]
        if before["status"] == "interrupted":  # how to continue it is no news once it is
            self.data["events"] = [e for e in self.data["events"] if e["stage"] != "end"]
        self.data["attempts"] = int(before.get("attempts", 1)) + 1

    def __getitem__(self, key: str) -> Any:
        return self.data[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.data[key] = value

    def event(self, stage: str, text: str) -> None:
        """Something a reader should know, such as a halved batch."""
        entry = {"stage": stage, "text": text}
        if entry not in self.data["events"]:
            self.data["events"].append(entry)
            self.write()  # so that it outlives an interruption

    def fault(self, step: ResolvedStep, stage: str, message: str) -> None:
        """A fault that was isolated: what the report must call missing."""
        self.data["faults"].append({"step": step.id, "stage": stage, "message": message})

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the time the block takes to `timings[stage]`."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.data["timings"][stage] = self.data["timings"].get(stage, 0.0) + time.monotonic() - start

    def write(self) -> None:
        """Replace run.json with the present state."""
        self.data["seconds"] = self.earlier + time.monotonic() - self.started
        timings = self.data["timings"].items()
        self.data["control_seconds"] = sum(seconds for stage, seconds in timings if stage.startswith(CONTROL))
        text = json.dumps(plain(self.data), indent=1, ensure_ascii=False, allow_nan=False)
        write_atomic(self.folder / NAME, text)

    def finish(self, status: str) -> None:
        """The last word: complete, failed or interrupted; digests of the result's files."""
        self.data["status"], self.data["finished"] = status, now()
        for name in ("model", "items", "quarantine"):
            for path in sorted((self.folder / name).rglob("*")):
                if path.is_file():
                    self.data["files"][path.relative_to(self.folder).as_posix()] = sha256_file(path)
        self.write()


def environment(threads: int, device: str) -> dict[str, Any]:
    """Versions and machine, without names or paths of the machine; `device` is where the model is."""
    import torch
    import transformers

    return {
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": processor_name(),
        "accelerator": accelerator(device),
        "threads": threads,
    }


def step_entry(step: ResolvedStep) -> dict[str, Any]:
    """A step of the record, before it was reached."""
    stages = list(stages_of(step)) or ["training"]
    plugin, row = step.plugin, step.row
    state = "reading" if only_reads(step) else stages[0]
    return {
        "id": step.id,
        "use": step.use,
        "distribution": row.distribution if row else "evenhand",
        "version": row.version if row else __version__,
        "summary": plugin.summary if plugin else "Train on everything before it.",
        "source": plugin.source if plugin else "",
        "stages": stages,
        "options": step.options.model_dump(mode="json"),
        "active": step.active,
        "state": state if step.active else "inactive",
        "seconds": 0.0,
        "proofs": [],
        "rows": [],
    }


def section_dict(step: str, section: Section, files: Sequence[str] = ()) -> dict[str, Any]:
    """A section as JSON; figures carry their type, and `files` are the places of its files in the run folder."""
    from evenhand.contributions import Heat

    figures = [{"type": "heat" if isinstance(f, Heat) else "bars", **asdict(f)} for f in section.figures]
    facts = [asdict(f) for f in section.facts]
    return {
        "step": step,
        "title": section.title,
        "text": section.text,
        "facts": facts,
        "figures": figures,
        "files": list(files),
    }


def sample_dict(before: Response, after: Response) -> dict[str, Any]:
    """One prompt with its answers before and after, and what rules did to single tokens and to the whole."""
    return {
        "prompt": after.request.prompt,
        "before": before.text,
        "after": after.text,
        "changes": [asdict(c) for c in after.changes if c.before != c.after],
        "request_changes": [plain(asdict(c)) for c in after.request_changes],
    }


def plain(value: Any) -> Any:
    """Values as JSON types; numbers that are not finite become null, unknown objects their text."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(v) for v in value]
    if isinstance(value, bool | int | str) or value is None:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if hasattr(value, "item") and getattr(value, "size", 1) == 1:
        return plain(value.item())
    return str(value)


def provenance(steps: Sequence[ResolvedStep]) -> list[dict[str, str]]:
    """Every distribution that took part: name, version, where it came from, and a digest of its sources."""
    own = {"name": "evenhand", "version": __version__, "origin": "", "code": _code("evenhand")}
    found = {"evenhand": own}
    for step in steps:
        if step.row is None or step.plugin is None or step.row.distribution in found:
            continue
        row, package = step.row, step.plugin.__module__.partition(".")[0]
        facts = {"name": row.distribution, "version": row.version, "origin": row.origin}
        found[row.distribution] = facts | {"code": _code(package)}
    return list(found.values())


def _code(package: str) -> str:
    """A digest of a package's sources; empty where it has none in one folder (compiled, or a namespace package)."""
    from evenhand.measuring import package_digest

    try:
        return package_digest(package)
    except (OSError, TypeError):
        return ""


def now() -> str:
    """The time as records have it, to the second; later is greater."""
    return datetime.now(UTC).isoformat(timespec="seconds")
