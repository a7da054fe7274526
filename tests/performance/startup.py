"""Start-up time of the light commands, as a ratio to an empty Python process and in seconds.

python tests/performance/startup.py [repetitions]

A first round, not counted, writes the byte code that pip writes when it installs a wheel.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

COMMANDS = ("--help", "plugins", "validate quickstart", "models", "schema")
TARGETS = {"schema": 1.0}


COMPILED = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


def seconds(arguments: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=COMPILED)
    return time.perf_counter() - start


def main(repetitions: int) -> None:
    empty = [sys.executable, "-c", "pass"]
    toolkit = [sys.executable, "-m", "evenhand"]
    times: dict[str, list[float]] = {name: [] for name in ("", *COMMANDS)}
    for round_ in range(repetitions + 1):  # interleaved, so that a busy moment hits all alike
        for command in ("", *COMMANDS):
            found = seconds([*toolkit, *command.split()] if command else empty)
            if round_:
                times[command].append(found)
    base = statistics.median(times[""])
    print(f"{'command':28}{'median s':>9}{'min':>7}{'max':>7}{'x python':>9}  target s")
    for command in COMMANDS:
        taken = sorted(times[command])
        middle = statistics.median(taken)
        target = TARGETS.get(command, 0.3)
        print(
            f"toolkit {command:20}{middle:9.3f}{taken[0]:7.3f}{taken[-1]:7.3f}{middle / base:9.1f}  "
            f"{target:.1f} {'met' if middle < target else 'MISSED'}"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
