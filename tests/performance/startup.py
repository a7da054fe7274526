"""Start-up time of the light commands, in seconds and as a ratio to an empty Python process.

python tests/performance/startup.py [repetitions]

Commands are interleaved, so that a busy moment hits all alike. Shown are medians with their 95 % bootstrap intervals;
a target is met when the whole interval of the median is below it. A first round, not counted, writes the byte code that
pip writes when it installs a wheel.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

COMMANDS = ("--help", "plugins", "validate quickstart", "models", "new", "schema")
TARGETS = {"schema": 1.0}


COMPILED = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


def seconds(arguments: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=COMPILED)
    return time.perf_counter() - start


def median(values: list[float]) -> tuple[float, float, float]:
    """The median with the ends of its interval."""
    rows = np.array(values)
    picks = np.random.default_rng(0).integers(0, len(rows), (5000, len(rows)))
    low, high = np.quantile(np.median(rows[picks], axis=1), [0.025, 0.975])
    return statistics.median(values), float(low), float(high)


def main(repetitions: int, scratch: Path) -> None:
    empty = [sys.executable, "-c", "pass"]
    toolkit = [sys.executable, "-m", "evenhand"]
    times: dict[str, list[float]] = {name: [] for name in ("", *COMMANDS)}
    for number in range(repetitions + 1):
        for command in ("", *COMMANDS):
            words = command.split()
            if command == "new":  # a project of its own each time
                words += [f"trial-{number}", "--output", str(scratch)]
            found = seconds([*toolkit, *words] if command else empty)
            if number:
                times[command].append(found)
    print(f"{'command':28}{'median s':>9}  {'interval':17}{'x python':>9}  {'interval':15}target s")
    for command in COMMANDS:
        middle, low, high = median(times[command])
        ratio, least, most = median([a / b for a, b in zip(times[command], times[""], strict=True)])
        target = TARGETS.get(command, 0.3)
        print(
            f"toolkit {command:20}{middle:9.3f}  [{low:.3f}, {high:.3f}]  {ratio:8.1f}  [{least:.1f}, {most:.1f}]"
            f"{'':4}{target:.1f} {'met' if high < target else 'MISSED'}"
        )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 15, Path(folder))
