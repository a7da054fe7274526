"""How the progress of a piece of work is shown: lines, an output area of a notebook, bars on a terminal."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from evenhand.progress import progress

LINE_EVERY = 10.0
"""Seconds between two plain lines of the same work."""


def duration(seconds: float) -> str:
    """Seconds in words that fit their size: `4.2 s`, `1 min 35 s`, `2 h 05 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class View(Protocol):
    """One way to show a piece of work; `every` is the number of seconds between two updates."""

    every: float | None

    def begin(self, bar: progress) -> None: ...

    def follow(self, bar: progress) -> None: ...

    def end(self, bar: progress, *, failed: bool) -> None: ...


def _line(bar: progress) -> str:
    left = bar.remaining()
    rest = f", about {duration(left)} left" if left is not None else ""
    return f"{bar.text()}, {duration(bar.seconds)}{rest}"


def _last_line(bar: progress, *, failed: bool) -> str:
    if failed:
        return f"{bar.text()}: stopped after {duration(bar.seconds)}"
    count = f", {bar.done:,}{bar.units(bar.done)}" if bar.done else ""
    return f"{bar.label}: done{count} in {duration(bar.seconds)}"


class PlainView:
    """Lines on standard error: after two seconds, about every ten seconds, and at the end."""

    every: float | None = LINE_EVERY

    def begin(self, bar: progress) -> None:
        self._write(bar, f"{bar.text()} ...")

    def follow(self, bar: progress) -> None:
        self._write(bar, _line(bar))

    def end(self, bar: progress, *, failed: bool) -> None:
        self._write(bar, _last_line(bar, failed=failed))

    def _write(self, bar: progress, text: str) -> None:
        sys.stderr.write("  " * bar.depth + text + "\n")
        sys.stderr.flush()


class NotebookView:
    """One output area per piece of work, updated in place; needs nothing but IPython's own display."""

    every: float | None = 0.5

    def __init__(self, publish: Any) -> None:
        self._publish = publish

    def begin(self, bar: progress) -> None:
        self._show(bar, _line(bar), update=False)

    def follow(self, bar: progress) -> None:
        self._show(bar, _line(bar), update=True)

    def end(self, bar: progress, *, failed: bool) -> None:
        self._show(bar, _last_line(bar, failed=failed), update=True)

    def _show(self, bar: progress, text: str, *, update: bool) -> None:
        line = {"text/plain": "  " * bar.depth + text}
        self._publish(line, raw=True, display_id=f"evenhand-progress-{id(bar)}", update=update)


class RichView:
    """Bars on a terminal. An inner bar disappears when it ends; the outermost stays with its final count."""

    every: float | None = None

    def __init__(self, on_stop: Callable[[RichView], None]) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self._on_stop = on_stop
        self._rows: dict[int, Any] = {}
        self._last: dict[int, float] = {}
        self._lock = threading.Lock()
        self._live = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[count]}", markup=False),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            # A piped standard output must stay in its pipe.
            redirect_stdout=sys.stdout.isatty(),
        )

    def begin(self, bar: progress) -> None:
        with self._lock:
            if not self._rows:
                self._live.start()
            self._rows[id(bar)] = self._live.add_task(
                "  " * bar.depth + bar.label, total=bar.total, completed=bar.done, count=_count(bar)
            )
            self._live.tasks[-1].start_time = self._live.get_time() - bar.seconds

    def follow(self, bar: progress) -> None:
        now = time.monotonic()
        if now - self._last.get(id(bar), 0.0) > 0.1 and id(bar) in self._rows:
            self._last[id(bar)] = now
            self._live.update(self._rows[id(bar)], total=bar.total, completed=bar.done, count=_count(bar))

    def end(self, bar: progress, *, failed: bool) -> None:
        with self._lock:
            self._last.pop(id(bar), None)
            row = self._rows.pop(id(bar))
            if self._rows:
                self._live.remove_task(row)
                return
            verdict = "stopped" if failed else "done"
            total = bar.total if bar.total is not None else max(bar.done, 1)
            completed = bar.done if failed else total
            self._live.update(row, total=total, completed=completed, count=f"{_count(bar)} {verdict}".strip())
            self._live.stop_task(row)
            self._live.stop()
        self._on_stop(self)

    def say(self, line: str) -> None:
        self._live.console.print(line, markup=False, highlight=False)


def _count(bar: progress) -> str:
    head, found, tail = bar.text().removeprefix(bar.label).partition(": ")
    return (tail if found else head).lstrip(", ")
