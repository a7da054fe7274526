"""A finished run as a folder for the Hugging Face hub: weights, model card, licence, evidence and provenance.

folder = export("runs/quickstart-20260101-120000", "my-model")

The weights are those of the run, byte for byte: each file's digest is compared with the one in run.json, and written
into `provenance.json` beside that of run.json itself. Steps that no weight can hold are refused; with code, they come
along as what `custom_generate/generate.py` puts back where this toolkit is installed.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand.cache import make_folder, make_readable, sha256_file, storing
from evenhand.carried_rules import LOOKED_UP
from evenhand.errors import DigestMismatch, EvenhandError, NotPortable, RunNotFound, UsageError
from evenhand.restoring import NAME, PROVENANCE, read_facts

if TYPE_CHECKING:
    from evenhand.report_record import RunRecord

EVIDENCE = "evidence"
"""Folder of the export for the record, the recipe and the report of the run."""
BESIDE = ("evenhand/", NAME)
"""What lies in `model/` for this toolkit alone."""
LICENCE_FILES = ("licen[cs]e*", "notice*", "copying*", "use_policy*")
_ABSOLUTE = re.compile(r"(?<![\w/.:<])/(?:[\w.+-]+/)+[\w.+-]+")
CODE = f'''"""Decodes as the model was measured: needs evenhand and the plugins in custom_generate/requirements.txt."""
{LOOKED_UP}def _generate(here, *args, model, **kwargs):
    """As `model.generate`, with the steps that weights cannot hold; they stay in the model from the first call on."""
    from evenhand.restoring import complete

    complete(model, here)
    return model.generate(*args, **kwargs)
'''


def export(run: str | Path, to: str | Path, *, with_code: bool = False) -> Path:
    """Write the model of a complete run into a new or empty folder, and give that folder.

    Raises RunNotFound for a run that is not complete, NotPortable for steps that weights cannot hold (of a causal
    model only without `with_code`), DigestMismatch when files are not those that the run wrote, UsageError for a
    folder that holds anything.
    """
    from evenhand.report_reading import read_run

    source, target = Path(run), Path(to)
    record = read_run(source)
    _demand_complete(record, source)
    _demand_room(target)
    _demand_recorded(record, source)
    live = read_facts(source / "model")["steps"]
    if live:
        _demand_code_allowed(record, live, with_code)
    with _new_folder(target) as folder:
        _copy_model(record, source, folder, keep_steps=bool(live))
        _write_licence(record, folder)
        _write_evidence(source, folder)
        if live:
            _write_code(live, folder)
        _write_card(record, folder, code=bool(live))
        _write_provenance(record, source, folder)
    return target


def local_paths(folder: str | Path) -> list[str]:
    """Files of an export that name a file or folder of this machine, to be looked at before they are published."""
    return [
        path.relative_to(folder).as_posix()
        for path in sorted((Path(folder) / EVIDENCE).iterdir())
        if any(Path(found).exists() for found in set(_ABSOLUTE.findall(path.read_text("utf-8", errors="replace"))))
    ]


# ---------------------------------------------------------------------------------------------------- demands
def _demand_complete(record: RunRecord, source: Path) -> None:
    if record.kind != "run":
        raise RunNotFound("this is an evaluation, which has no model of its own", where=str(source))
    if record.status != "complete":
        raise RunNotFound(
            f"the run is {record.status}, not complete", where=str(source), do="finish it: toolkit run RECIPE --resume"
        )
    if not (source / "model" / NAME).is_file():
        raise RunNotFound("the run has no model/ any more", where=str(source), do="run the recipe again")


def _demand_room(target: Path) -> None:
    if target.is_dir() and any(target.iterdir()):
        raise UsageError("this folder is not empty", where=str(target), do="name a new folder with --to")
    if target.exists() and not target.is_dir():
        raise UsageError("this is a file", where=str(target), do="name a new folder with --to")


def _demand_code_allowed(record: RunRecord, live: list[Mapping[str, Any]], with_code: bool) -> None:
    names = ", ".join(f"{step['id']} ({'decoding' if step['decodes'] else 'live'})" for step in live)
    if record.model.kind == "masked":
        raise NotPortable(
            "weights cannot hold all of this model, and a masked model has no generate that code could replace",
            where="export",
            known=f"not folded: {names}",
            do="load the run with evenhand.load, or take the steps in a form that folds",
        )
    if not with_code:
        raise NotPortable(
            "weights cannot hold all of this model: plain transformers would give another one than was measured",
            where="export",
            known=f"not folded: {names}",
            do="take the steps in a form that folds, or export with --with-code, which needs evenhand where it is used",
        )


def _recorded(record: RunRecord) -> dict[str, str]:
    return {name: digest for name, digest in record.files.items() if name.startswith("model/")}


def _demand_recorded(record: RunRecord, source: Path) -> None:
    """Before `evenhand.json` is believed: the run recorded it and the weights, and it is still what was written."""
    recorded = _recorded(record)
    if not any(name.endswith(".safetensors") for name in recorded):
        raise DigestMismatch("run.json records no weights", where=str(source), do="run the recipe again")
    if (name := f"model/{NAME}") in recorded:
        _demand_same(source, name, recorded[name])


def _demand_same(source: Path, name: str, digest: str) -> None:
    path = source / name
    if not path.is_file() or sha256_file(path) != digest:
        raise DigestMismatch(
            f"{name} is {'not what the run wrote' if path.is_file() else 'missing'}",
            where=str(source),
            known=f"run.json has SHA-256 {digest[:16]}...",
            do="run the recipe again; a changed model has no evidence",
        )


# ------------------------------------------------------------------------------------------------------ parts
def _copy_model(record: RunRecord, source: Path, folder: Path, *, keep_steps: bool) -> None:
    """The files of `model/` that the run recorded, compared with their digests."""
    for name, digest in sorted(_recorded(record).items()):
        path, inside = source / name, name.removeprefix("model/")
        _demand_same(source, name, digest)
        if inside.startswith("custom_generate/"):
            continue  # a run decodes where it lies; what an export needs for that it writes itself
        if keep_steps or not inside.startswith(BESIDE):
            (folder / inside).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / inside)


def _write_licence(record: RunRecord, folder: Path) -> None:
    """The licence files of the base model where it is still there, and what is known of it in any case."""
    from evenhand.model_card import base_model

    name = base_model(record) or record.model_label
    lines = [
        "The weights in this folder are derived from another model, and its licence holds for them.",
        "",
        f"Base model: {name}",
        f"Licence of the base model: {record.model.licence or 'unknown; ask its authors before you publish this'}",
    ]
    copied = []
    base = _base_folder(record)
    for path in sorted(base.iterdir()) if base else ():
        if path.is_file() and any(fnmatch(path.name.lower(), pattern) for pattern in LICENCE_FILES):
            shutil.copyfile(path, folder / f"BASE-{path.name}")
            copied.append(f"BASE-{path.name}")
    if copied:
        lines.append(f"Its text: {', '.join(copied)}")
    if record.data.licence:
        lines += ["", f"Training text: {record.data.source}", f"Licence of the training text: {record.data.licence}"]
    (folder / "LICENCE.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _base_folder(record: RunRecord) -> Path | None:
    """The folder of the untouched model, where it is on this machine and the same as the run began with."""
    from evenhand.models import model_digest, resolve

    try:
        found = resolve(record.model.name, offline=True).folder
    except EvenhandError:
        return None  # the licence is stated all the same, without its text
    return found if model_digest(found) == record.model.digest else None


def _write_evidence(source: Path, folder: Path) -> None:
    (folder / EVIDENCE).mkdir()
    for name in ("run.json", "recipe.toml", "report.html"):
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / EVIDENCE / name)


def _write_code(live: list[Mapping[str, Any]], folder: Path) -> None:
    from evenhand import __version__

    place = folder / "custom_generate"
    place.mkdir()
    (place / "generate.py").write_text(CODE, encoding="utf-8")
    needed = {step["distribution"]: step["version"] for step in live if step["distribution"]}
    lines = [f"{name}=={version}" if version else name for name, version in {"evenhand": __version__, **needed}.items()]
    (place / "requirements.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _write_card(record: RunRecord, folder: Path, *, code: bool) -> None:
    from evenhand.model_card import FILE, render_card

    (folder / FILE).write_text(render_card(record, exported="code" if code else "plain"), encoding="utf-8")


def _write_provenance(record: RunRecord, source: Path, folder: Path) -> None:
    """What ties the weights to the run: its digest, the base's, and that of every file here."""
    from evenhand.model_card import base_model

    files = sorted(path for path in folder.rglob("*") if path.is_file())
    facts = {
        "base_model": base_model(record) or record.model_label,
        "base_digest": record.model.digest,
        "base_licence": record.model.licence or None,
        "run": record.name,
        "run_finished": record.finished,
        "run_json_sha256": sha256_file(source / "run.json"),
        "evenhand": record.evenhand,
        "files": {path.relative_to(folder).as_posix(): sha256_file(path) for path in files},
    }
    (folder / PROVENANCE).write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


@contextlib.contextmanager
def _new_folder(target: Path) -> Iterator[Path]:
    """A folder beside the target that takes its place when all of it is written; nothing is left when that fails."""
    with storing(target):
        make_folder(target.parent)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent))
        try:
            yield temporary
            make_readable(temporary)
            mask = os.umask(0)
            os.umask(mask)
            os.chmod(temporary, 0o777 & ~mask)
            os.replace(temporary, target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
