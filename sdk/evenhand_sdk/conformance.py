"""Does a plugin keep the contract? Fourteen checks: functions, a pytest decorator, `toolkit check`.

    @parametrize_with_checks([MyPlugin])
    def test_contract(check):
        check()

Each check takes a `Case` and raises `CheckFailed` or `Skipped`; it may give a note, which is no failure. They run on
tiny models and off-line.
"""

from __future__ import annotations

import contextlib
import gc
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from evenhand.errors import ConformanceFailed, DataNotFound, EvenhandError, Offline
from evenhand.plugin import Plugin
from evenhand.stopping import stopped
from evenhand_sdk.conformance_behaviour import (
    check_composes,
    check_inputs_untouched,
    check_offline,
    check_result_types,
    check_rows_accounted,
    check_seeded,
    check_strength_zero,
)
from evenhand_sdk.conformance_case import Case, CheckFailed, Skipped
from evenhand_sdk.conformance_models import check_model_contract, check_saves_and_loads
from evenhand_sdk.conformance_shared import sharing
from evenhand_sdk.conformance_static import (
    check_configuration,
    check_entry_point,
    check_explains_itself,
    check_hooks_known_and_marked,
    check_light_import,
)
from evenhand_sdk.data_rows import quiet

__all__ = [
    "CHECKS", "Case", "CheckFailed", "Report", "Row", "Skipped", "check_composes", "check_configuration",
    "check_entry_point", "check_explains_itself", "check_hooks_known_and_marked", "check_inputs_untouched",
    "check_light_import", "check_model_contract", "check_offline", "check_plugin", "check_result_types",
    "check_rows_accounted",
    "check_saves_and_loads", "check_seeded", "check_strength_zero", "parametrize_with_checks", "run_check",
]  # fmt: skip

Status = Literal["passed", "failed", "skipped"]

STATIC: Mapping[str, Callable[[Case], str | None]] = {
    "light_import": check_light_import,
    "entry_point": check_entry_point,
    "configuration": check_configuration,
    "hooks_known_and_marked": check_hooks_known_and_marked,
}
RUNNING: Mapping[str, Callable[[Case], str | None]] = {
    "result_types": check_result_types,
    "seeded": check_seeded,
    "inputs_untouched": check_inputs_untouched,
    "rows_accounted": check_rows_accounted,
    "model_contract": check_model_contract,
    "strength_zero": check_strength_zero,
    "composes": check_composes,
    "saves_and_loads": check_saves_and_loads,
    "offline": check_offline,
}
CHECKS: Mapping[str, Callable[[Case], str | None]] = {**STATIC, **RUNNING, "explains_itself": check_explains_itself}
"""All fourteen, in the order in which they run."""


@dataclass(frozen=True)
class Row:
    """What one check found."""

    check: str
    status: Status
    reason: str = ""


@dataclass(frozen=True)
class Report:
    """What all checks found about one plugin."""

    plugin: str
    rows: tuple[Row, ...]
    kind: str = "plugin"
    """What was checked: a plugin, or an axis pack."""

    @property
    def ok(self) -> bool:
        """True when nothing failed and something passed: a report of skips proves nothing."""
        statuses = [row.status for row in self.rows]
        return "failed" not in statuses and "passed" in statuses

    def demand(self) -> Report:
        """Raises ConformanceFailed with every failure, or when no check passed; else gives itself."""
        if self.ok:
            return self
        failed = [f"{row.check}: {row.reason}" for row in self.rows if row.status == "failed"]
        what = f"{len(failed)} of {len(self.rows)} conformance checks failed" if failed else "no check was passed"
        raise ConformanceFailed(what, where=f"{self.kind} {self.plugin!r}", known="\n  ".join(failed))

    def __str__(self) -> str:
        width = max((len(row.check) for row in self.rows), default=0)
        lines = [f"{row.check:<{width}}  {row.status:<7}  {row.reason}".rstrip() for row in self.rows]
        counts = [f"{sum(r.status == s for r in self.rows)} {s}" for s in ("passed", "failed", "skipped")]
        return "\n".join([*lines, f"{self.plugin}: {', '.join(counts)}"])


def check_plugin(
    target: str | type[Plugin],
    on_result: Callable[[Row], None] | None = None,
    *,
    expected_failures: Mapping[str, str] | None = None,
) -> Report:
    """Run all checks on an installed plugin (its name), on `module:Class`, or on a class.

    `on_result` sees each row as soon as it is there. `expected_failures` maps checks to the reason why they
    are known to fail; one that passes all the same is a failure. Raises the discovery errors for `target`.
    """
    plugin = _class(target) if isinstance(target, str) else target
    known = dict(expected_failures or {})
    if unknown := sorted(known.keys() - CHECKS.keys()):
        raise ValueError(f"there is no conformance check {unknown[0]!r}; there are {', '.join(CHECKS)}")
    rows = []
    with sharing(anew=True):
        for name in CHECKS:
            row = _expected(run_check(plugin, name), known.get(name))
            rows.append(row)
            if on_result is not None:
                on_result(row)
    return Report(plugin.name or plugin.__name__, tuple(rows))


def _expected(row: Row, reason: str | None) -> Row:
    if reason is None or row.status == "skipped":
        return row
    if row.status == "failed":
        return Row(row.check, "skipped", f"known to fail: {reason}")
    return Row(row.check, "failed", f"it passes, although it is listed as known to fail ({reason})")


def run_check(plugin: type[Plugin], name: str) -> Row:
    """One check, on each kind of model that the plugin works on where that matters."""
    if name not in RUNNING:
        return _row(name, Case.of(plugin))
    with quiet(), _collecting_less():
        rows = {kind: _row(name, Case.of(plugin, kind)) for kind in plugin.kinds}  # type: ignore[arg-type]
    for status in ("failed", "passed", "skipped"):
        for kind, row in rows.items():
            if row.status == status:
                if status == "failed" and len(rows) > 1:
                    return Row(name, status, f"{kind} model: {row.reason}{_kinds_to_add(rows)}")
                # A note counts only where all that passed have it: what one kind of model shows is shown.
                told = all(other.reason for other in rows.values() if other.status == status)
                return Row(name, row.status, row.reason if told else "")
    return Row(name, "failed", f"kinds is {plugin.kinds!r}: it works on no kind of model")


@contextlib.contextmanager
def _collecting_less() -> Iterator[None]:
    """Within it, garbage collections pass by what was there before.

    Each training of transformers ends with a full one; among the objects of all libraries that takes longer than the
    training of a tiny model. Who has set objects aside already has done so for longer than a check.
    """
    if gc.get_freeze_count():
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _kinds_to_add(rows: Mapping[str, Row]) -> str:
    """The line that is missing from a class that passes on one kind of model only; empty for any other."""
    good = [kind for kind, row in rows.items() if row.status != "failed"]
    if not good:
        return ""
    return f"; if it is meant for {' and '.join(good)} models only, put `kinds = {tuple(good)}` into the class"


def _row(name: str, case: Case) -> Row:
    try:
        note = CHECKS[name](case)
    except CheckFailed as error:
        return Row(name, "failed", str(error))
    except Skipped as error:
        return Row(name, "skipped", str(error) or "no reason given")
    except (DataNotFound, Offline) as error:
        return Row(name, "skipped", f"its data are not here: {error.what}")
    except EvenhandError as error:
        return Row(name, "failed", " ".join(str(error).split()))
    except BaseException as error:  # whatever a plugin raises is a finding
        if stopped(error):
            raise
        return Row(name, "failed", f"{type(error).__name__}: {error} ({_place(error)})")
    return Row(name, "passed", note or "")


def _place(error: BaseException) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"line {frame.lineno} of {Path(frame.filename).name}"


def _class(target: str) -> type[Plugin]:
    """The class behind a plugin name or `module:Class`."""
    import importlib

    from evenhand.discovery import discover, load
    from evenhand.errors import UnknownPlugin
    from evenhand.plugin_contract import check_class

    try:
        return load(discover().find(target))
    except UnknownPlugin:
        module, _, attribute = target.partition(":")
        if not attribute:
            raise
    found = getattr(importlib.import_module(module), attribute)
    check_class(found, where=target)
    return found  # type: ignore[no-any-return]


def parametrize_with_checks(
    plugins: Sequence[type[Plugin]], expected_failures: Mapping[str, Mapping[str, str]] | None = None
) -> Any:
    """A pytest decorator: the test gets `check`, and is run once for each plugin and check.

    `expected_failures` maps a plugin's name to {check: reason}; such tests must fail. Skips carry a reason.
    """
    import pytest

    if not plugins:
        raise ValueError("parametrize_with_checks needs at least one plugin class")
    known = expected_failures or {}
    cases = []
    for plugin in plugins:
        for name in CHECKS:
            reason = known.get(plugin.name, {}).get(name)
            marks = [pytest.mark.xfail(reason=reason, strict=True, raises=CheckFailed)] if reason else []
            cases.append(pytest.param(_test(plugin, name), id=f"{plugin.name}-{name}", marks=marks))
    return pytest.mark.parametrize("check", cases)


def _test(plugin: type[Plugin], name: str) -> Callable[[], None]:
    def check() -> None:
        import pytest

        with sharing():
            row = run_check(plugin, name)
        if row.status == "failed":
            raise CheckFailed(row.reason)
        if row.status == "skipped":
            pytest.skip(row.reason)

    return check
