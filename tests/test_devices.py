"""Devices and folders that are not there, and tokenizers that cannot be loaded: the user's message, before any work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from evenhand import devices
from evenhand.cli import toolkit
from evenhand.errors import UsageError
from evenhand_sdk.tiny import save_tiny

pytestmark = pytest.mark.usefixtures("trial", "own_cache")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a tiny model and a recipe that measures it, on a machine with nothing but its processor."""
    save_tiny(tmp_path / "tiny")
    (tmp_path / "trial.toml").write_text(
        '[model]\nname = "./tiny"\n[traffic]\nlimit = 0\n[[benchmarks]]\nuse = "trial-length"\n'
    )
    monkeypatch.chdir(tmp_path)
    machine(monkeypatch)
    return tmp_path


def machine(monkeypatch: pytest.MonkeyPatch, *, cuda: int = 0, mps: bool = False) -> None:
    """What torch says of this machine."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    monkeypatch.setattr(torch.xpu, "is_available", lambda: False)


def call(*arguments: str) -> Result:
    return CliRunner().invoke(toolkit, ["--quiet", *arguments], prog_name="toolkit")


RUN = ("run", "trial.toml")
EVAL = ("eval", "./tiny", "-b", "trial-length")
BOTH = pytest.mark.parametrize("command", [RUN, EVAL], ids=["run", "eval"])


# ------------------------------------------------------------------------------------------------------ devices
@BOTH
def test_a_device_that_the_machine_does_not_have(place: Path, command: tuple[str, ...]) -> None:
    result = call(*command, "--set", "model.device=cuda")
    assert result.stderr == (
        "model.device: this machine has no device 'cuda', or its torch cannot use it\n"
        "  available: cpu\n  name one of these, or auto\n"
    )
    assert result.exit_code == 2
    assert not Path("runs").exists()


def test_validate_knows_what_is_no_device_and_does_not_ask_the_machine(place: Path) -> None:
    result = call("validate", "trial.toml", "--set", "model.device=banana")
    assert result.stderr == (
        "trial.toml: 1 problem\n"
        "  - model.device: 'banana' is no device (known: auto, cpu, cuda, mps, xpu; one of several is cuda:1)\n"
    )
    assert result.exit_code == 2
    assert call("validate", "trial.toml", "--set", "model.device=cuda:1").exit_code == 0


@pytest.mark.parametrize(
    ("cuda", "mps", "names"),
    [(0, False, ["cpu"]), (2, False, ["cpu", "cuda", "cuda:0", "cuda:1"]), (0, True, ["cpu", "mps"])],
)
def test_the_devices_of_a_machine(monkeypatch: pytest.MonkeyPatch, cuda: int, mps: bool, names: list[str]) -> None:
    machine(monkeypatch, cuda=cuda, mps=mps)
    assert devices.available() == names
    assert [devices.chosen(name) for name in names] == names
    assert devices.chosen("auto") == ("cuda" if cuda else "cpu")
    with pytest.raises(UsageError, match=r"^device: this machine has no device 'cuda:2'"):
        devices.chosen("cuda:2")


@BOTH
@pytest.mark.parametrize(
    ("dtype", "units", "told"), [("bfloat16", False, 1), ("bfloat16", True, 0), ("auto", False, 0)]
)
def test_weights_in_a_format_that_the_processor_only_imitates(
    place: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], dtype: str, units: bool, told: int
) -> None:
    for name in devices.BF16_UNITS:
        monkeypatch.setattr(f"torch.cpu.{name}", lambda: units)
    result = CliRunner().invoke(toolkit, [*command, "--set", f"model.dtype={dtype}"], prog_name="toolkit")
    assert result.exit_code == 0, result.stderr
    said = "this processor has no units for bf16: dtype float32 would be several times faster on it\n"
    assert result.stderr.count(said) == told


# --------------------------------------------------------------------------------------------------- tokenizers
@BOTH
def test_a_model_folder_without_a_tokenizer(place: Path, command: tuple[str, ...]) -> None:
    for path in [*Path("tiny").glob("token*"), *Path("tiny").glob("special*")]:
        path.unlink()
    result = call(*command)
    assert result.stderr == (
        "model './tiny': the tokenizer is missing\n  tiny has none of tokenizer.json, tokenizer_config.json, "
        "tokenizer.model, vocab.json, vocab.txt, spiece.model, sentencepiece.bpe.model\n"
        "  copy all of the model's files, or save the tokenizer into the folder with its save_pretrained\n"
    )
    assert result.exit_code == 2


@BOTH
def test_a_tokenizer_with_code_of_its_own(place: Path, command: tuple[str, ...]) -> None:
    path = Path("tiny/tokenizer_config.json")
    own = {"auto_map": {"AutoTokenizer": ["mine.Tokens", None]}, "tokenizer_class": "Tokens"}
    path.write_text(json.dumps(json.loads(path.read_text()) | own))
    result = call(*command)
    assert result.stderr == (
        "model './tiny': its tokenizer wants to run Python code of its own, which is not allowed\n"
        "  tiny/tokenizer_config.json points to mine.Tokens\n"
        "  read that code, and set trust_remote_code = true under [model] if you trust it\n"
    )
    assert result.exit_code == 2


def test_a_tokenizer_that_is_damaged(place: Path) -> None:
    Path("tiny/tokenizer.json").write_text("{")
    result = call(*RUN)
    assert result.stderr == (
        "model './tiny': its tokenizer cannot be loaded\n  tiny/tokenizer.json is damaged: Expecting property name "
        "enclosed in double quotes: line 1 column 2 (char 1)\n"
        "  copy all of the model's files, or save the tokenizer into the folder with its save_pretrained\n"
    )
    assert result.exit_code == 2


# ------------------------------------------------------------------------------------------------------ folders
NOWHERE = "/proc/nope"
needs_proc = pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc, whose folders cannot be made")


@needs_proc
@BOTH
def test_an_output_folder_that_cannot_be_made(place: Path, command: tuple[str, ...]) -> None:
    result = call(*command, "--output", f"{NOWHERE}/runs")
    assert result.stderr == (
        f"{NOWHERE}: this folder cannot be made: No such file or directory\n"
        "  set EVENHAND_CACHE or --output to another folder\n"
    )
    assert result.exit_code == 8


@needs_proc
@BOTH
def test_a_cache_that_cannot_be_made(place: Path, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENHAND_CACHE", NOWHERE)
    result = call(*command)
    assert result.stderr == (
        f"{NOWHERE}: this folder cannot be made: No such file or directory\n"
        "  set EVENHAND_CACHE or --output to another folder\n"
    )
    assert result.exit_code == 8
