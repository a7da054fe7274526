"""What a table of many runs keeps of each one: a part of its `run.json`, small enough to be committed.

It is read from a complete run whose records of items are those that the run wrote, and holds no path of a machine. The
same typed view as that of a run reads it back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evenhand.cache import digest_of, sha256_file, write_atomic
from evenhand.errors import EvenhandError, UsageError
from evenhand.report_reading import parse_run, raw_run
from evenhand.report_record import RunRecord

RESULTS = "results"
"""The folder of kept results, one file for each name of a run."""
WHERE = "toolkit evidence"
_PLACE = re.compile(r"[\"']?(?:/|~[/\\]|[A-Za-z]:[/\\])")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_KEPT = (
    "schema", "kind", "status", "name", "started", "finished", "seconds", "control_seconds", "attempts", "evenhand",
    "seed", "recipe", "overrides", "environment", "data", "training", "benchmarks", "quality", "controls", "primary",
    "seeds", "baseline", "contamination", "model", "distributions", "steps",
)  # fmt: skip
_AXIS = ("axis", "n_items", "n_clusters", "margin", "state", "change", "distance_change", "p_adjusted")
_STEP = ("id", "use", "distribution", "version", "stages", "options", "active", "state", "artifact_bytes")
_ROWS = ("read", "kept", "changed", "added", "dropped", "out")
_TRAINING = ("id", "steps", "tokens", "seconds", "trainable", "total")


def collected(folder: str | Path) -> dict[str, Any]:
    """The part of a run that is kept. Raises RunNotFound and UsageError for what is no complete, unaltered run."""
    folder = Path(folder)
    raw = raw_run(folder)
    run = parse_run(raw, where=str(folder))
    if run.kind != "run":
        raise UsageError("this is an evaluation of one model, not a run", where=str(folder))
    if run.status != "complete":
        raise UsageError(f"this run is not complete ({run.status or 'no status'})", where=str(folder))
    if not _NAME.fullmatch(run.name):
        raise UsageError(f"its name {run.name!r} cannot be the name of a file", where=str(folder), do="set run.name")
    _demand_unaltered(folder, run)
    found: dict[str, Any] = _without_places({key: raw[key] for key in _KEPT if key in raw})
    found["model"] = {k: v for k, v in found.get("model", {}).items() if k != "origin"}
    found["distributions"] = [{**d, "origin": ""} for d in found.get("distributions", [])]
    found["steps"] = [_step(step) for step in found.get("steps", [])]
    found["training"] = _trainings(found.get("training", []))
    found["seeds"] = [{**s, "training": _trainings(s.get("training", []))} for s in found.get("seeds", [])]
    found["benchmarks"] = [_benchmark(entry) for entry in found.get("benchmarks", [])]
    found["contamination"] = _overlap(found.get("contamination"))
    found["recipe_digest"] = digest_of(found.get("recipe", {}))
    found["run_sha256"] = sha256_file(folder / "run.json")
    return {key: value if key == "recipe" else _rounded(value) for key, value in found.items()}


def _step(step: Mapping[str, Any]) -> dict[str, Any]:
    """A step without its texts: what it is, and how many rows became what."""
    kept_of_it = {key: step[key] for key in _STEP if key in step}
    rows = [{key: account[key] for key in _ROWS if key in account} for account in step.get("rows") or []]
    return {**kept_of_it, "rows": rows} if rows else kept_of_it


def keep(folders: Sequence[str | Path], place: Path) -> list[str]:
    """Write the kept part of each run into `place`, over an older one of its name; gives what a reader should know.

    Of several runs with one name, the one that finished last is kept, be it the one that lies there. Raises UsageError
    with all problems at once; then nothing is written.
    """
    newest: dict[str, tuple[Path, dict[str, Any]]] = {}
    told: list[str] = []
    problems: list[str] = []
    for folder in map(Path, folders):
        try:
            found = collected(folder)
        except EvenhandError as error:
            problems.append(" ".join(str(error).split()))
            continue
        older = newest.get(found["name"])
        if older is not None:
            first, second = sorted((older, (folder, found)), key=lambda pair: str(pair[1]["finished"]))
            told.append(f"{first[0]} left out: {second[0]} is a newer run of {found['name']}")
            newest[found["name"]] = second
        else:
            newest[found["name"]] = (folder, found)
    if problems:
        what = "1 folder" if len(problems) == 1 else f"{len(problems)} folders"
        raise UsageError(f"{what} cannot be used\n" + "\n".join(f"  - {p}" for p in problems), where=WHERE)
    for name, (folder, found) in newest.items():
        there = place / f"{name}.json"
        if there.is_file() and (finished := _finished(there)) > str(found["finished"]):
            told.append(f"{folder} left out: the kept run of {name} is newer, of {finished}")
            continue
        write_atomic(place / f"{name}.json", json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    return told


def _finished(path: Path) -> str:
    """When a kept run ended; empty for a file that is none, which is written over."""
    try:
        return str(json.loads(path.read_text(encoding="utf-8")).get("finished") or "")
    except (ValueError, AttributeError):
        return ""


def kept(place: Path) -> list[RunRecord]:
    """The kept results, by name. Raises UsageError for a file that is none."""
    found = []
    for path in sorted(place.glob("*.json")):
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UsageError(f"this is no JSON: {error}", where=str(path), do="collect the run again") from error
        found.append(parse_run(raw, where=str(path)))
    return found


def _demand_unaltered(folder: Path, run: RunRecord) -> None:
    """The records of items must be the ones that the run wrote: numbers without them could not be checked."""
    listed = {name: digest for name, digest in run.files.items() if name.startswith("items/")}
    if run.benchmarks and not listed:
        raise UsageError("run.json names no records of items", where=str(folder), do="run it again")
    for name, digest in listed.items():
        path = folder / name
        if not path.is_file():
            raise UsageError(f"{name} is missing", where=str(folder), do="run it again")
        if sha256_file(path) != digest:
            raise UsageError(f"{name} is not the file that the run wrote", where=str(folder), do="run it again")


def _without_places(value: Any) -> Any:
    """The same with the last part of every path that begins at the root, a home folder or a drive."""
    if isinstance(value, str):
        before, equals, path = value.rpartition("=")  # an override is key=path
        last = re.split(r"[/\\]", path.strip("\"'").rstrip("/\\"))[-1]
        return before + equals + last if _PLACE.match(path) else value
    if isinstance(value, Mapping):
        return {key: _without_places(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_places(inner) for inner in value]
    return value


def _rounded(value: Any) -> Any:
    """The same with seven significant digits, which is more than any interval here is sure of."""
    if isinstance(value, float):
        return float(f"{value:.7g}")
    if isinstance(value, Mapping):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_rounded(inner) for inner in value]
    return value


def _trainings(trainings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{k: training[k] for k in _TRAINING if k in training} for training in trainings]


def _benchmark(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A benchmark without what only explains its metrics; how each is computed is in run.json and in the code."""
    axes = [{k: axis[k] for k in _AXIS if k in axis} for axis in entry.get("axes", [])]
    metrics = [{k: v for k, v in m.items() if k not in ("description", "definition")} for m in entry["metrics"]]
    return {**{k: v for k, v in entry.items() if k != "verdict_text"}, "metrics": metrics, "axes": axes}


def _overlap(record: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """How many items were found in what was learnt from; which ones is in run.json."""
    if record is None:
        return None
    degrees = ("exact", "n_gram", "template", "lexicon")
    benchmarks = [
        {k: {**v, "examples": []} if k in degrees else v for k, v in entry.items()}
        for entry in record.get("benchmarks", [])
    ]
    return {"setting": record.get("setting", ""), "benchmarks": benchmarks}
