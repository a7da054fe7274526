"""The host's side of row accounts: asked for, checked, and kept in the run folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand.cache import storing, write_atomic
from evenhand.errors import PluginFault
from evenhand.found_files import for_readers
from evenhand.guard import describe
from evenhand.row_account import RowAccount, as_record, derived_account

if TYPE_CHECKING:
    from datasets import Dataset

    from evenhand.contributions import DataTransform
    from evenhand.data import Refused
    from evenhand.recipe import ResolvedStep
    from evenhand.row_sources import RowSources

FOLDER = "quarantine"
"""Folder of the run folder with the rows that could not be processed: one file of JSON lines a step."""


def settled(step: ResolvedStep, transform: DataTransform, before: Dataset, after: Dataset) -> RowAccount:
    """What became of the rows, as the step says or else as rows before and after tell; PluginFault where the counts
    do not add up or are not those of the rows."""
    account = transform.account() if transform.account is not None else None
    if account is None:
        return derived_account(before, after)
    if problem := account.problem(len(before), len(after)):
        raise PluginFault(f"its account of the rows does not add up: {problem}", where=describe(step, "data"))
    return account


def keep(
    folder: Path, step: ResolvedStep, account: RowAccount, transform: DataTransform, *, earlier: int,
    sources: RowSources | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Bring the quarantine file, and files for a reader, into the run folder and give the entry of `run.json`;
    `earlier` transforms of the step have theirs already. With `sources`, rows of the quarantine are those of a source,
    as far as the account knows them."""
    file = ""
    if account.quarantine is not None and account.quarantined:
        file = f"{FOLDER}/{step.id}{f'-{earlier + 1}' if earlier else ''}.jsonl"
        (folder / FOLDER).mkdir(parents=True, exist_ok=True)
        if sources is not None and account.by_origin:
            _copied_with_sources(account.quarantine, folder / file, sources)
        else:
            shutil.copyfile(account.quarantine, folder / file)
    return as_record(
        account, file=file, facts=transform.facts, files=for_readers(folder, step, transform.files, "data")
    )


def _copied_with_sources(quarantine: Path, place: Path, sources: RowSources) -> None:
    with quarantine.open(encoding="utf-8") as given, storing(place), place.open("w", encoding="utf-8") as out:
        for text in given:
            line = json.loads(text)
            found = sources.of(line["row"])
            if found is not None:
                line = {"source": found[0], **line, "row": found[1]}
            out.write(json.dumps(line, ensure_ascii=False) + "\n")


def keep_refused(folder: Path, refused: Sequence[Refused]) -> str:
    """Write the rows of the data themselves that hold no text; gives the place in the run folder, or an empty text."""
    if not refused:
        return ""
    lines = (json.dumps(vars(row), ensure_ascii=False) + "\n" for row in refused)
    write_atomic(folder / FOLDER / "data.jsonl", "".join(lines))
    return f"{FOLDER}/data.jsonl"
