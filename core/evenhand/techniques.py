"""Which techniques a table of evidence has a row for, and why some of them were not run."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field

from evenhand.errors import BrokenPlugin, IncompatiblePlugin, UsageError
from evenhand.near_match import did_you_mean
from evenhand.wording import validated

if TYPE_CHECKING:
    from evenhand.discovery import Catalogue

NOT_RUN = "not_run.toml"
UNRECORDED = "no recorded run"
"""The reason of a technique that nobody gave one for."""
STAGES = ("data", "objective", "architecture", "decoding")
"""The stages at which a model is changed; a plugin of other stages alone has nothing to show in a table of changes."""

Reason = Annotated[str, Field(min_length=1)]


class NotRun(BaseModel):
    """`not_run.toml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    distributions: tuple[str, ...] = Field((), description="Whose techniques are listed; none: all that are installed.")
    not_run: dict[str, Reason] = Field(default_factory=dict, description="Technique -> why it was not run.")
    left_out: dict[str, Reason] = Field(default_factory=dict, description="Plugin -> why it is no technique.")


@dataclass(frozen=True)
class Technique:
    """A mitigation that is installed, or that a reason is given for."""

    name: str
    stage: str
    """The first stage at which it acts; empty when it is not installed."""
    reason: str
    """Why it was not run, if it was not."""


def read_not_run(folder: Path) -> NotRun:
    """The reasons in a folder of evidence. Raises UsageError with every problem of the file."""
    path = folder / NOT_RUN
    if not path.is_file():
        return NotRun()
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"this is not TOML: {error}", where=str(path)) from error
    found, problems = validated(NotRun, raw, "", noun="key")
    if found is None:
        raise UsageError("; ".join(problems), where=str(path))
    return found


def techniques(catalogue: Catalogue, reasons: NotRun) -> list[Technique]:
    """Every technique with its stage and reason, by name.

    Raises UsageError for a plugin that is named as left out, but is none: a slip there would hide a technique.
    """
    from evenhand.discovery import load, normalised
    from evenhand.plugin import Mitigation

    wanted = {normalised(name) for name in reasons.distributions}
    stages: dict[str, str] = {}
    for row in catalogue.rows:
        if not row.name or (wanted and normalised(row.distribution) not in wanted):
            continue
        try:
            plugin = load(catalogue.find(row.name))
        except (BrokenPlugin, IncompatiblePlugin):
            continue  # it cannot be used here; `toolkit plugins` says why
        acting = [stage for stage in plugin.stages() if stage in STAGES]
        if issubclass(plugin, Mitigation) and acting:
            stages[row.name] = acting[0]
    # One that cannot be used here, such as an adapter beside another transformers, is installed all the same.
    unusable = {row.name for row in catalogue.rows if row.name and row.status != "ok"}
    unknown = [name for name in reasons.left_out if name not in stages and name not in unusable]
    if unknown:
        near = did_you_mean(unknown[0], stages)
        raise UsageError(f"left_out: {unknown[0]!r} is no technique that is installed{near}", where=NOT_RUN)
    listed = sorted({*stages, *reasons.not_run} - set(reasons.left_out))
    return [Technique(name, stages.get(name, ""), reasons.not_run.get(name, UNRECORDED)) for name in listed]
