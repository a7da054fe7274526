"""Progress of long work: a bar on a terminal, plain lines elsewhere, an updated line in a notebook.

    with progress("Scoring crows-pairs", total=1508, unit="pairs") as bar:
        for batch in batches:
            ...
            bar.advance(len(batch))

Work that ends within two seconds shows nothing. Everything goes to standard error. There is one display per
process, because there is one terminal; bars that are opened inside another one are shown below it.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from types import TracebackType
from typing import Any, Literal, Self

from evenhand.progress_views import NotebookView, PlainView, RichView, View

Mode = Literal["auto", "plain", "quiet"]

SHOW_AFTER = 2.0
"""Seconds of work before anything is shown."""


class progress:
    """A context manager that shows how far a piece of work has come.

    `label` says what is done, in the reader's words; `total` is the number of items, or None when it is not
    known; `unit` names the items in the plural. Nesting is allowed, also from several threads.
    """

    def __init__(self, label: str, *, total: int | None = None, unit: str = "") -> None:
        self.label, self.total, self.unit = label, total, unit
        self.done = 0
        self.note = ""
        self.depth = 0
        self._lock = threading.Lock()
        self._started = 0.0
        self._view: View | None = None
        self._timer: threading.Timer | None = None
        self._over = False

    def advance(self, items: int = 1, *, note: str | None = None) -> None:
        """Count finished items, and optionally replace the short note that stands behind the count."""
        with self._lock:
            self.done += items
            if note is not None:
                self.note = note
        # Only the bar follows each step; lines and notebooks are driven by the timer.
        if isinstance(self._view, RichView):
            self._view.follow(self)

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        self.depth = _display.open(self)
        if _display.mode() != "quiet":
            self._schedule(SHOW_AFTER)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._over = True
            if self._timer is not None:
                self._timer.cancel()
            view = self._view
        _display.close(self)
        if view is not None:
            view.end(self, failed=kind is not None)

    @property
    def seconds(self) -> float:
        """Seconds since the work began."""
        return time.monotonic() - self._started

    @staticmethod
    def configure(mode: Mode) -> None:
        """Choose the display of this process; see `configure`."""
        configure(mode)

    def text(self) -> str:
        """The present state in one line, without its time: `Scoring: 512 of 1,508 pairs (33 %)`."""
        if self.total:
            share = min(100, int(100 * self.done / self.total))
            count = f": {self.done:,} of {self.total:,}{self.units(self.total)} ({share} %)"
        else:
            count = f": {self.done:,}{self.units(self.done)}" if self.done else ""
        return f"{self.label}{count}{f', {self.note}' if self.note else ''}"

    def units(self, count: int) -> str:
        """The unit behind a number, with a space before it, as one for 1; nothing for items without a name."""
        word = self.unit
        if count == 1 and word.endswith("s"):
            word = word[:-2] if word.endswith(("sses", "ches", "xes")) else word[:-1]
        return f" {word}" if word else ""

    def remaining(self) -> float | None:
        """Seconds still to go at the speed so far, or None when that cannot be said."""
        if not self.total or not 0 < self.done < self.total:
            return None
        return self.seconds * (self.total - self.done) / self.done

    def _schedule(self, delay: float) -> None:
        self._timer = threading.Timer(delay, self._tick)
        self._timer.daemon = True
        self._timer.start()

    def _tick(self) -> None:
        with self._lock:
            if self._over:
                return
            first = self._view is None
            view = self._view = self._view or _display.view()
            if first:
                view.begin(self)
            else:
                view.follow(self)
            if view.every is not None:
                self._schedule(view.every)


def configure(mode: Mode) -> None:
    """Choose this process's display: `auto` looks at where it runs, `plain` writes lines, `quiet` nothing."""
    if mode not in ("auto", "plain", "quiet"):
        raise ValueError(f"progress mode must be 'auto', 'plain' or 'quiet', not {mode!r}")
    _display.chosen = mode


def announce(line: str) -> None:
    """Say one thing at once, for example the size of a download, above any bar; nothing in quiet mode."""
    if _display.mode() != "quiet":
        _display.say(line)


class _Display:
    """The open pieces of work of this process, and the view that they share."""

    def __init__(self) -> None:
        self.chosen: Mode = "auto"
        self._lock = threading.Lock()
        self._open: list[progress] = []
        self._shared: View | None = None

    def mode(self) -> Mode:
        # Of several processes in one job, only the first one speaks.
        if self.chosen == "auto" and os.environ.get("RANK", "0") != "0":
            return "quiet"
        return self.chosen

    def open(self, bar: progress) -> int:
        with self._lock:
            self._open.append(bar)
            return len(self._open) - 1

    def close(self, bar: progress) -> None:
        with self._lock:
            self._open.remove(bar)

    def view(self) -> View:
        with self._lock:
            if self.chosen == "auto" and (publish := _notebook_display()) is not None:
                return NotebookView(publish)
            if self.chosen == "auto" and sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
                self._shared = self._shared or RichView(self.retire)
                return self._shared
            return PlainView()

    def say(self, line: str) -> None:
        with self._lock:
            shared = self._shared
        if isinstance(shared, RichView):
            shared.say(line)
        else:
            sys.stderr.write(line + "\n")
            sys.stderr.flush()

    def retire(self, view: View) -> None:
        with self._lock:
            if self._shared is view:
                self._shared = None


def _notebook_display() -> Any:
    # A notebook has imported IPython already; nothing is imported to find out.
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None
    if shell is None or type(shell).__name__ != "ZMQInteractiveShell":
        return None
    from IPython.display import display  # type: ignore[import-not-found, unused-ignore]

    return display


_display = _Display()
