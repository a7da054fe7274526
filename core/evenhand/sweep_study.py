"""The study behind a sweep: which configuration comes next, and what became of each, in one file that workers share.

Needs optuna, which is no dependency of the toolkit: `pip install 'evenhand[sweep]'`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand.cache import digest_of
from evenhand.errors import UsageError
from evenhand.sweep_space import Value, suggested

if TYPE_CHECKING:
    from evenhand.recipe_model import SweepSection

LOG, LOCK = "study.log", "study.lock"
REASON = "reason"
DRAWS = 20
"""So many times the trials asked for are drawn at most: a small space has no more that differ."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One configuration of a sweep."""

    number: int
    values: Mapping[str, Value]
    """By key of `[sweep] parameters`."""
    state: str
    """`complete`, `failed` or `running`."""
    objectives: Sequence[float] = ()
    """Lower is better."""
    reason: str = ""
    """Of a failed one."""
    front: bool = False
    """Whether no other one is as good in every objective and better in one."""


def demand_library() -> None:
    """Raises UsageError, with what to install, where the search library is missing."""
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "a sweep needs optuna, which is not installed", where="sweep", known=str(error),
            do="pip install 'evenhand[sweep]'",
        ) from None  # fmt: skip


class Study:
    """The trials of one folder; several processes may hold it at once."""

    def __init__(self, folder: Path, section: SweepSection, *, seed: int, objectives: int) -> None:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.folder, self.section, self.seed = folder, section, seed
        log = str(folder / LOG)
        # The lock by file instead of by link works on every file system.
        self._storage = JournalStorage(JournalFileBackend(log, lock_obj=JournalFileOpenLock(log)))
        with self.alone():
            self._study = optuna.create_study(
                storage=self._storage, study_name="sweep", directions=["minimize"] * objectives, load_if_exists=True
            )

    @contextmanager
    def alone(self) -> Iterator[None]:
        """No other worker does what is done within at the same time; a worker that dies lets go."""
        from filelock import FileLock

        with FileLock(self.folder / LOCK):
            yield

    @contextmanager
    def next(self) -> Iterator[Trial | None]:
        """The trial that this worker does next, held as long as it works on it; None when none is left.

        One that a killed worker has left comes first, with the values that it had.
        """
        from filelock import FileLock

        with self.alone():
            found = self._left() or self._drawn()
        if found is None:
            yield None
            return
        trial, lock = found
        try:
            yield trial
        finally:
            assert isinstance(lock, FileLock)
            lock.release()

    def _left(self) -> tuple[Trial, Any] | None:
        for trial in self.trials():
            if trial.state == "running" and (lock := self._held(trial.number)) is not None:
                return trial, lock
        return None

    def _drawn(self) -> tuple[Trial, Any] | None:
        trials = self.trials()
        if len(distinct(trials)) >= self.section.trials or len(trials) >= DRAWS * self.section.trials:
            return None
        # A generator for each trial: a search that was interrupted draws what it would have drawn.
        self._study.sampler = self._sampler(int(digest_of([self.seed, len(trials)])[:8], 16))
        drawn = self._study.ask()
        values = suggested(drawn, self.section)
        lock = self._held(drawn.number)
        assert lock is not None, "a new trial is nobody's"
        return Trial(number=drawn.number, values=values, state="running"), lock

    def _sampler(self, seed: int) -> Any:
        import optuna

        if self.section.sampler == "tpe":
            return optuna.samplers.TPESampler(seed=seed)
        return optuna.samplers.NSGAIISampler(seed=seed, population_size=self.section.population)

    def _held(self, number: int) -> Any:
        """The lock of a trial; None where another worker has it."""
        from filelock import FileLock, Timeout

        place = self.folder / "locks"
        place.mkdir(exist_ok=True)
        lock = FileLock(place / f"{number:04d}")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return None
        return lock

    def tell(self, trial: Trial, objectives: Sequence[float]) -> None:
        """Keep what a trial came to."""
        with self.alone():
            self._study.tell(trial.number, list(objectives))

    def fail(self, trial: Trial, reason: str) -> None:
        """Keep why a trial came to nothing."""
        import optuna

        with self.alone():
            frozen = next(t for t in self._study.get_trials(deepcopy=False) if t.number == trial.number)
            self._storage.set_trial_user_attr(frozen._trial_id, REASON, reason)
            self._study.tell(trial.number, state=optuna.trial.TrialState.FAIL)

    def trials(self) -> list[Trial]:
        """All trials in order, those on the front marked."""
        import optuna

        words = {optuna.trial.TrialState.COMPLETE: "complete", optuna.trial.TrialState.RUNNING: "running"}
        found = self._study.get_trials(deepcopy=False)
        complete = {t.number: list(t.values) for t in found if words.get(t.state) == "complete"}
        best = front(complete)
        return [
            Trial(
                number=t.number,
                values=dict(t.params),
                state=words.get(t.state, "failed"),
                objectives=complete.get(t.number, ()),
                reason=str(t.user_attrs.get(REASON, "")),
                front=t.number in best,
            )
            for t in found
        ]


def distinct(trials: Sequence[Trial]) -> list[Trial]:
    """The first trial of each configuration: what a search draws again costs nothing and counts once."""
    first: dict[str, Trial] = {}
    for trial in trials:
        first.setdefault(digest_of(dict(trial.values)), trial)
    return list(first.values())


def front(objectives: Mapping[int, Sequence[float]]) -> set[int]:
    """The numbers of those that no other one dominates: as good in all objectives, and better in one; lower is better.

    Of equal ones the first stands for all.
    """
    kept = set()
    for number, own in objectives.items():
        beaten = any(
            all(x <= y for x, y in zip(other, own, strict=True)) and (list(other) != list(own) or rival < number)
            for rival, other in objectives.items()
            if rival != number
        )
        if not beaten:
            kept.add(number)
    return kept
