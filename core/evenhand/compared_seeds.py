"""The trainings of two runs in a comparison: which seeds each has, their records, and what can be said of them.

A run that was trained with several seeds counts with all of them. Where both have the same ones, they are paired, as
those of a run and its control are; else each side's are drawn apart. What one seed of the other side would have given
with another seed is not in any interval, and is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evenhand.contributions import ItemRecord
from evenhand.errors import RunNotFound
from evenhand.item_records import read_records
from evenhand.report_numbers import listing
from evenhand.report_record import RunRecord

Records = Sequence[ItemRecord]


@dataclass(frozen=True)
class Side:
    """One of the two, and the seeds of its trainings in the order in which they are compared; one for no training."""

    folder: Path
    run: RunRecord
    seeds: tuple[int, ...]

    def records(self, benchmark: str) -> tuple[Records, dict[int, Records]]:
        """(those with the first of the seeds, those with each further one), after the steps.

        Raises RunNotFound where a file is missing.
        """
        found = {seed: self._read(benchmark if seed == self.run.seed else f"{benchmark}.seed-{seed}")
                 for seed in self.seeds}  # fmt: skip
        first, *further = self.seeds
        return found[first], {seed: found[seed] for seed in further}

    def _read(self, name: str) -> Records:
        path = self.folder / "items" / f"{name}.parquet"
        if not path.is_file():
            benchmark, _, seed = name.partition(".seed-")
            raise RunNotFound(
                f"the scores of {benchmark}{f' with seed {seed}' if seed else ''} are missing",
                where=str(self.folder),
                known=f"there is no {path.relative_to(self.folder)}",
                do="measure the model again with `toolkit eval`"
                if self.run.kind == "evaluation"
                else "continue the run with --resume, or run it again",
            )
        records: Records = read_records(path)["after"]
        return records


def sides(folder_a: Path, folder_b: Path, a: RunRecord, b: RunRecord) -> tuple[Side, Side, bool]:
    """Both sides, and whether their seeds are the same, so that they are paired."""
    first, second = (tuple(s.seed for s in run.seeds) or (run.seed,) for run in (a, b))
    same = len(first) > 1 and set(first) == set(second)
    return Side(folder_a, a, first), Side(folder_b, b, first if same else second), same


def notes(a: RunRecord, b: RunRecord) -> list[str]:
    """What the numbers of each side are a mean of, how its seeds meet those of the other, and what one seed leaves
    open."""
    said = []
    several = [(letter, run) for letter, run in (("A", a), ("B", b)) if len(run.seeds) > 1]
    for letter, run in several:
        seeds = f"{len(run.seeds)} trainings, with seeds {listing([str(s.seed) for s in run.seeds])}"
        said.append(f"{letter} is the mean of {seeds}; intervals hold their spread")
    if len(several) == 2:
        same = {s.seed for s in a.seeds} == {s.seed for s in b.seeds}
        said.append("both have the same seeds, which are paired" if same else "their seeds differ, and are drawn apart")
    for letter, run in (("A", a), ("B", b)):
        if run.training and len(run.seeds) < 2:
            said.append(f"{letter} was trained with one seed ({run.seed}): another may give another answer")
    return said
