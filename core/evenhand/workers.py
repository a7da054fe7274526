"""`--workers N`: one command in several processes, which share what its folder lacks.

The command starts them, waits for them, and then goes through all of it itself: it finds what they have done, and does
what one that was killed has left.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from evenhand.cache import make_folder, storing
from evenhand.progress import progress

PAUSE = 0.5
"""Seconds between two looks at the workers."""
GRACE = 60.0
"""Seconds that a worker has to record that it was stopped."""
THREADS = "OMP_NUM_THREADS"
PROGRAM = (sys.executable, "-m", "evenhand")


def work_together(count: int, command: Sequence[str], folder: Path, *, total: int) -> None:
    """Run a command of the toolkit `count` times at once until all have ended; what they say is in `folder`/workers.

    Each has its share of the cores, and so has this process. Where one meets an error that stops it, the others are
    stopped, too: this process will meet it as well, and say it.
    """
    share_threads(count)
    before = _finished(folder)
    count = min(count, total - before)
    if count < 2:
        return
    place = folder / "workers"
    with storing(place):
        make_folder(place)
    with ExitStack() as stack, progress(f"{count} workers", total=total, unit="configurations") as shown:
        workers: list[subprocess.Popen[bytes]] = []
        stack.callback(_stop, workers)
        for number in range(1, count + 1):
            log = stack.enter_context((place / f"{number}.log").open("w", encoding="utf-8"))
            line = [*PROGRAM, *command]
            # A session of its own: Ctrl-C reaches this process alone, which ends each worker once.
            made = subprocess.Popen(
                line, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
            workers.append(made)
        while None in (codes := [w.poll() for w in workers]):  # each is asked: one may have failed behind another
            if any((code or 0) > 0 for code in codes):
                break
            now = _finished(folder)
            shown.advance(now - shown.done)
            time.sleep(PAUSE)


def share_threads(count: int) -> None:
    """Let this process, and those that it starts, use no more threads than one of `count` equal workers has cores.

    To be called before torch is imported, which reads it then.
    """
    each = max(1, cores() // count)
    own = os.environ.get(THREADS, "")
    os.environ[THREADS] = str(min(int(own), each) if own.isdigit() and int(own) else each)


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _finished(folder: Path) -> int:
    """Configurations that were run to their end: the report comes last."""
    return sum(1 for name in ("runs", "trials") for _ in (folder / name).glob("*/*/report.html"))


def _stop(workers: Sequence[subprocess.Popen[bytes]]) -> None:
    """End those that still work; their runs are recorded as interrupted, and go on later."""
    for worker in workers:
        if worker.poll() is None:
            worker.terminate()
    for worker in workers:
        try:
            worker.wait(GRACE)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()
