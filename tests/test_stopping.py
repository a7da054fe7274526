"""Ctrl-C and SIGTERM on a real process: the run is an interrupted one, and the line it says continues it."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import evenhand
from evenhand.cli import main
from evenhand.recipe import load_recipe
from evenhand.report_caveats import missing
from evenhand.report_reading import raw_run, read_run
from evenhand.stopping import GOES_ON, Terminated, heed_termination, resume_command, stop_behind, undisturbed
from evenhand_sdk.tiny import save_tiny

pytestmark = pytest.mark.usefixtures("trial", "own_cache")

RECIPE = """
[model]
name = "tiny"
[data]
train = "train.txt"
[training]
max_steps = {steps}
save_every = 2
learning_rate = 1e-3
[evaluation]
resamples = 200
controls = "none"
[[steps]]
use = "trial-pull"
[[steps]]
use = "trial-scale"
[[benchmarks]]
use = "trial-length"
"""
TOOLKIT = [sys.executable, "-m", "evenhand", "--quiet"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trial: Path) -> Path:
    save_tiny(tmp_path / "tiny")
    (tmp_path / "train.txt").write_text("The nurse said that she was tired.\nRain fell on the town all day.\n" * 6)
    monkeypatch.chdir(tmp_path)
    # One number of threads for all processes: the order of a sum depends on it.
    monkeypatch.setenv("PYTHONPATH", str(trial))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return tmp_path


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """Ctrl-C is heard here and in the processes begun here; a shell that runs this behind it has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def stopped_in_training(command: list[str], place: Path, sent: signal.Signals) -> tuple[int, str]:
    """Exit code and messages of a command that gets a signal once its training has a checkpoint."""
    process = subprocess.Popen(command, cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 180
    while not list(place.glob("**/.state/training/train/checkpoint-*/COMPLETE")):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[1]
        time.sleep(0.01)
    process.send_signal(sent)
    said = process.communicate(timeout=120)[1]
    return process.returncode, said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sent", "code", "by"), [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM")], ids=["int", "term"]
)
def test_a_stopped_run_is_interrupted_and_goes_on(place: Path, sent: signal.Signals, code: int, by: str) -> None:
    Path("mine.toml").write_text(RECIPE.format(steps=1))
    given = ["run", "mine.toml", "--set", "training.max_steps=120", "--output", "my runs"]
    line = "toolkit run mine.toml --set training.max_steps=120 --output 'my runs' --resume"
    assert stopped_in_training([*TOOLKIT, *given], place, sent) == (code, f"stopped\n  continue with: {line}\n")
    (folder,) = (place / "my runs").iterdir()
    stopped = read_run(folder)
    assert (stopped.status, stopped.ending) == ("interrupted", "was stopped before its end")
    assert stopped.finished and stopped.seconds > 0
    assert [e.text for e in stopped.events if e.stage == "end"] == [f"stopped by {by}; continue with: {line}"]
    assert missing(stopped)[0] == "The run was stopped before its end: everything after that is missing."

    done = subprocess.run([*TOOLKIT, *shlex.split(line)[1:]], cwd=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert list((place / "my runs").iterdir()) == [folder], "the same folder was continued"
    raw = raw_run(folder)
    assert (raw["status"], raw["attempts"]) == ("complete", 2)
    assert raw["training"][0]["steps"] == 120
    assert not [e for e in raw["events"] if e["stage"] == "end"]


@pytest.mark.slow
def test_a_stopped_ablation_goes_on_with_the_same_command(place: Path) -> None:
    """Two configurations: all, which is the objective and the training, and the training alone."""
    Path("mine.toml").write_text(RECIPE.format(steps=60).replace('[[steps]]\nuse = "trial-scale"\n', ""))
    command = [*TOOLKIT, "ablate", "mine.toml", "--output", "apart"]
    assert stopped_in_training(command, place, signal.SIGTERM) == (143, f"stopped\n  {GOES_ON}\n")
    (folder,) = (place / "apart" / "runs").glob("*/*")
    assert raw_run(folder)["status"] == "interrupted"
    assert raw_run(folder)["events"][-1]["text"] == f"stopped by SIGTERM; {GOES_ON}"
    done = subprocess.run(command, cwd=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    attempts = {f.parent.name: raw_run(f)["attempts"] for f in (place / "apart" / "runs").glob("*/*")}
    assert attempts == {"all": 2, "only-the-training": 1}
    assert {raw_run(f)["status"] for f in (place / "apart" / "runs").glob("*/*")} == {"complete"}


def test_the_line_that_continues_a_run(place: Path) -> None:
    path = Path("my recipe.toml")
    path.write_text(RECIPE.format(steps=1))
    assert resume_command(load_recipe(path), None) == "toolkit run 'my recipe.toml' --resume"
    assert resume_command(load_recipe(RECIPE.format(steps=1)), None) == "evenhand.run(recipe, resume=True)"


def untidy() -> None:
    """Ctrl-C falls into code whose own tidying up fails over it, as torch's does around a `vmap` not yet begun."""
    try:
        raise Terminated
    finally:
        raise RuntimeError("stack is empty")


def failing() -> None:
    raise RuntimeError("a fault of its own")


def error_of(work: Callable[[], None]) -> BaseException:
    try:
        work()
    except (KeyboardInterrupt, RuntimeError) as error:
        return error
    raise AssertionError


def test_a_stop_behind_an_error_of_tidying_up_is_found() -> None:
    hidden = error_of(untidy)
    assert isinstance(hidden, RuntimeError) and isinstance(stop_behind(hidden), Terminated)
    assert stop_behind(error_of(failing)) is None
    stop = KeyboardInterrupt()
    assert stop_behind(stop) is stop


def test_a_stop_that_a_caller_deals_with_is_behind_no_error() -> None:
    """In a notebook: after Ctrl-C the next run begins in the `except` block, and then something fails."""
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt as before:
        try:
            failing()
        except RuntimeError as error:
            assert error.__context__ is before
            assert stop_behind(error) is None
        try:
            untidy()
        except RuntimeError as error:
            assert isinstance(stop_behind(error), Terminated)


def test_a_run_that_such_an_error_ends_was_stopped(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    monkeypatch.setattr("evenhand.life_training.train", lambda *_, **__: untidy())
    Path("mine.toml").write_text(RECIPE.format(steps=1))
    with pytest.raises(Terminated) as caught:
        evenhand.run("mine.toml")
    assert caught.value.__notes__ == ["continue with: toolkit run mine.toml --resume"]
    (folder,) = (place / "runs").iterdir()
    assert raw_run(folder)["status"] == "interrupted"
    with pytest.raises(SystemExit) as ended:
        main(["run", "mine.toml", "--resume"])
    assert ended.value.code == 143


def test_a_forked_process_ends_at_once() -> None:
    """Pools end their processes by SIGTERM; one that raised would print a traceback for each."""
    code = (
        "import os, signal, time\n"
        "from evenhand.stopping import heed_termination\n"
        "heed_termination()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    time.sleep(60)\n"
        "    os._exit(0)\n"
        "time.sleep(0.1)\n"
        "os.kill(child, signal.SIGTERM)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.stderr) == (f"{-signal.SIGTERM}\n", "")


@pytest.mark.parametrize("sent", ["SIGTERM", "SIGINT"])
def test_a_stop_that_falls_into_a_finaliser_is_not_lost(sent: str) -> None:
    """Python drops what is raised there; other errors are shown as ever."""
    code = (
        "import os, signal, time\n"
        "from evenhand.stopping import heed_termination, stopped_by\n"
        "heed_termination()\n"
        "class Stopping:\n"
        "    def __del__(self):\n"
        f"        os.kill(os.getpid(), signal.{sent})\n"
        "        time.sleep(0.2)\n"
        "class Failing:\n"
        "    def __del__(self):\n"
        "        raise ValueError('shown')\n"
        "Failing()\n"
        "try:\n"
        "    Stopping()\n"
        "    print('went on')\n"
        "    time.sleep(20)\n"
        "except KeyboardInterrupt as error:\n"
        "    print('stopped', stopped_by(error))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    by = {"SIGTERM": "by SIGTERM", "SIGINT": "by Ctrl-C"}[sent]
    assert done.stdout == f"went on\nstopped {by}\n"
    assert "ValueError: shown" in done.stderr and "Terminated" not in done.stderr


def test_what_is_short_is_done_to_its_end() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with undisturbed():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)
    assert signal.getsignal(signal.SIGTERM) is before
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)


def test_termination_is_raised_where_the_program_is() -> None:
    before, hook = signal.getsignal(signal.SIGTERM), sys.unraisablehook
    try:
        heed_termination()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
    finally:
        signal.signal(signal.SIGTERM, before)
        sys.unraisablehook = hook
