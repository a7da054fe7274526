from __future__ import annotations

import io
import sys
import threading
import types

import pytest

from evenhand import progress as module
from evenhand import progress_views
from evenhand.progress import configure, progress
from evenhand.progress_views import duration


@pytest.fixture(autouse=True)
def fast_and_restored(monkeypatch):
    monkeypatch.setattr(module, "SHOW_AFTER", 0.05)
    monkeypatch.setattr(progress_views.PlainView, "every", 0.05)
    monkeypatch.delenv("RANK", raising=False)
    yield
    configure("auto")


class Clock:
    """Stands in for the monotonic clock: it moves only when a test moves it."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module.time, "monotonic", clock.monotonic)
    monkeypatch.setattr(threading.Timer, "start", lambda self: None)
    return clock


def test_nothing_is_shown_for_short_work(capsys, monkeypatch):
    monkeypatch.setattr(module, "SHOW_AFTER", 2.0)
    configure("plain")
    with progress("Scoring", total=2) as bar:
        bar.advance(2)
    assert capsys.readouterr() == ("", "")


def test_plain_lines_at_the_start_in_between_and_at_the_end(capsys, clock):
    configure("plain")
    with progress("Scoring crows-pairs", total=1508, unit="pairs") as bar:
        bar.advance(300)
        clock.now += 2
        bar._tick()
        bar.advance(77, note="loss 3.20")
        clock.now += 10
        bar._tick()
        bar.advance(1131)
        clock.now += 83
    # 377 of 1508 is a quarter; 12 s for a quarter leaves 36 s.
    assert capsys.readouterr().err.splitlines() == [
        "Scoring crows-pairs: 300 of 1,508 pairs (19 %) ...",
        "Scoring crows-pairs: 377 of 1,508 pairs (25 %), loss 3.20, 12.0 s, about 36.0 s left",
        "Scoring crows-pairs: done, 1,508 pairs in 1 min 35 s",
    ]


def test_work_without_a_known_total(capsys, clock):
    configure("plain")
    with progress("Loading the model") as bar:
        clock.now += 2
        bar._tick()
        clock.now += 1.5
    assert capsys.readouterr().err.splitlines() == [
        "Loading the model ...",
        "Loading the model: done in 3.5 s",
    ]


@pytest.mark.parametrize(
    ("unit", "one"),
    [("steps", "step"), ("passes", "pass"), ("batches", "batch"), ("boxes", "box"), ("pairs", "pair"), ("MB", "MB")],
)
def test_a_unit_is_in_the_singular_behind_1_alone(unit: str, one: str) -> None:
    work = progress("Working", total=1, unit=unit)
    assert work.text() == f"Working: 0 of 1 {one} (0 %)"
    more = progress("Working", total=2, unit=unit)
    more.advance()
    assert more.text() == f"Working: 1 of 2 {unit} (50 %)"
    unknown = progress("Working", unit=unit)
    unknown.advance()
    assert unknown.text() == f"Working: 1 {one}"
    unknown.advance()
    assert unknown.text() == f"Working: 2 {unit}"


def test_an_interrupted_piece_of_work_says_so_and_the_error_passes(capsys, clock):
    configure("plain")
    with pytest.raises(RuntimeError), progress("Training", total=4, unit="steps") as bar:
        bar.advance()
        clock.now += 3
        bar._tick()
        raise RuntimeError
    assert capsys.readouterr().err.splitlines()[-1] == "Training: 1 of 4 steps (25 %): stopped after 3.0 s"


def test_inner_work_is_indented_below_the_outer_one(capsys, clock):
    configure("plain")
    with progress("Run", total=2) as outer:
        clock.now += 2
        outer._tick()
        with progress("Scoring") as inner:
            clock.now += 2
            inner._tick()
    assert capsys.readouterr().err.splitlines() == [
        "Run: 0 of 2 (0 %) ...",
        "  Scoring ...",
        "  Scoring: done in 2.0 s",
        "Run: done in 4.0 s",
    ]


def test_the_timer_speaks_although_nothing_advances(capsys):
    configure("plain")
    spoken = threading.Event()
    with progress("Converting") as bar:
        for _ in range(200):
            if len(capsys.readouterr().err.splitlines()) > 0:
                spoken.set()
                break
            threading.Event().wait(0.02)
        timer = bar._timer
    assert spoken.is_set()
    assert timer is not None
    timer.join(5)
    assert not timer.is_alive()


def test_quiet_starts_no_timer_and_writes_nothing(capsys):
    configure("quiet")
    with progress("Scoring") as bar:
        assert bar._timer is None
    assert capsys.readouterr() == ("", "")


def test_only_the_first_process_of_a_job_speaks(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    with progress("Scoring") as bar:
        assert bar._timer is None
    monkeypatch.setenv("RANK", "0")
    with progress("Scoring") as bar:
        assert bar._timer is not None


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="progress mode must be 'auto', 'plain' or 'quiet', not 'loud'"):
        configure("loud")  # type: ignore[arg-type]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_bars_and_the_outermost_stays(monkeypatch, capsys):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with progress("Run [all]", total=2, unit="steps") as outer:
        outer._tick()
        outer.advance()
        with progress("Scoring", total=8) as inner:
            inner._tick()
            inner.advance(8)
        outer.advance()
    written = terminal.getvalue()
    assert "Run [all]" in written
    assert "Scoring" in written
    last = written[written.rindex("Run [all]") :]
    assert "2 of 2 steps (100 %) done" in last
    assert "Scoring" not in last
    assert module._display._shared is None
    assert capsys.readouterr().out == ""


def test_a_notebook_gets_one_line_that_is_updated_in_place(monkeypatch, clock):
    shown: list[tuple[str, bool]] = []

    def display(bundle: dict[str, str], *, raw: bool, display_id: str, update: bool) -> None:
        assert raw
        assert display_id.startswith("evenhand-progress-")
        shown.append((bundle["text/plain"], update))

    shell = type("ZMQInteractiveShell", (), {})()
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", types.SimpleNamespace(display=display))
    with progress("Scoring", total=4) as bar:
        clock.now += 2
        bar._tick()
        bar.advance(2)
        clock.now += 2
        bar._tick()
        bar.advance(2)
    assert shown == [
        ("Scoring: 0 of 4 (0 %), 2.0 s", False),
        ("Scoring: 2 of 4 (50 %), 4.0 s, about 4.0 s left", True),
        ("Scoring: done, 4 in 4.0 s", True),
    ]


def test_durations_read_well():
    assert [duration(s) for s in (0.04, 59.94, 95.2, 3600, 7500)] == [
        "0.0 s",
        "59.9 s",
        "1 min 35 s",
        "1 h 00 min",
        "2 h 05 min",
    ]
