"""What a user meets when something goes wrong in a run: the whole message, the exit code, and no traceback.

Faults in a recipe's text and in installed distributions are in test_recipe, test_discovery and test_cli.
"""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from evenhand.cli import toolkit
from evenhand_sdk.tiny import save_tiny

pytestmark = pytest.mark.usefixtures("trial", "own_cache")

ADVICE = "  this is a fault of the plugin or of its options; --debug shows where it was raised\n"
LOWER = "  lower training.learning_rate or the weight of that term, then start again\n"
SEEN = '[[benchmarks]]\nuse = "trial-length"\n'


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a tiny causal model, text, prompts and a recipe."""
    save_tiny(tmp_path / "tiny")
    (tmp_path / "train.txt").write_text("The nurse said that she would come.\nRain fell on the town.\n" * 8)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(body: str, *flags: str, head: str = "", data: str = "train.txt", model: str = "./tiny") -> Result:
    Path("trial.toml").write_text(
        f'{head}[model]\nname = "{model}"\n[data]\ntrain = "{data}"\n'
        "[training]\nmax_steps = 6\nsave_every = 2\nbatch_size = 4\nlearning_rate = 1e-3\n"
        '[traffic]\nprompts = "train.txt"\nlimit = 2\nmax_new_tokens = 3\n[evaluation]\nresamples = 50\n' + body
    )
    return CliRunner().invoke(toolkit, ["--quiet", "run", "trial.toml", *flags], prog_name="toolkit")


def step(use: str, at: str = "", more: str = "") -> str:
    return f'[[steps]]\nuse = "{use}"\n' + (f'at = "{at}"\n' if at else "") + more


def record() -> dict[str, Any]:
    newest = max(Path("runs").iterdir(), key=lambda p: p.name)
    return json.loads((newest / "run.json").read_text())  # type: ignore[no-any-return]


def where(use: str, hook: str = "") -> str:
    return f"step '{use}', plugin '{use}' of evenhand-trial 1.0" + (f", hook `{hook}`" if hook else "")


PLUGIN_FAULTS = [
    ("trial-raise", "data", "data", "ValueError: something is odd"),
    ("trial-faulty-loss", "fn", "objective", "ValueError: shapes differ"),
    ("trial-faulty-loss", "on_step", "objective", "KeyError: 'schedule'"),
    ("trial-faulty-model", "apply", "architecture", "TypeError: not this model"),
    ("trial-faulty-model", "fold", "architecture", "RuntimeError: no place for it"),
    ("trial-faulty-model", "forward", "architecture", "IndexError: no such head"),
    ("trial-faulty-rule", "next_logits", "decoding", "ValueError: no such token"),
    # What would end the process is an error of the plugin like any other.
    ("trial-raise", "exit", "data", "SystemExit: 3"),
    ("trial-raise", "generator", "data", "GeneratorExit: no rows"),
    ("trial-faulty-loss", "fn exit", "objective", "SystemExit: 0"),
    ("trial-faulty-model", "forward exit", "architecture", "SystemExit: 0"),
]


@pytest.mark.parametrize(("use", "at", "hook", "error"), PLUGIN_FAULTS)
def test_an_error_in_a_plugins_code_names_step_plugin_version_and_hook(
    place: Path, use: str, at: str, hook: str, error: str
) -> None:
    body = f'[[steps]]\nuse = "{use}"\n{"stage" if use == "trial-raise" else "at"} = "{at}"\n'
    result = call(body + SEEN)
    assert result.stderr == f"{where(use, hook)}: {error}\n{ADVICE}"
    assert result.exit_code == 4
    assert record()["status"] == "failed"


WRONG_ANSWERS = [
    ("trial-faulty-loss", "vector", "objective",
     "`fn` returned a tensor of shape [4, 16], it must return a tensor with one element"),
    ("trial-faulty-loss", "number", "objective", "`fn` returned float, it must return a tensor with one element"),
    ("trial-faulty-model", "fit", "architecture", "`fit` returned dict, it must return Artifact or None"),
    ("trial-faulty-rule", "shape", "decoding", "`next_logits` returned a tensor of shape"),
]  # fmt: skip


@pytest.mark.parametrize(("use", "at", "hook", "problem"), WRONG_ANSWERS)
def test_an_answer_of_the_wrong_type_is_refused_where_it_is_given(
    place: Path, use: str, at: str, hook: str, problem: str
) -> None:
    result = call(step(use, at) + SEEN)
    assert result.stderr.startswith(f"{where(use, hook)}: {problem}")
    assert result.exit_code == 4


def test_the_traceback_comes_with_debug_only(place: Path) -> None:
    body = step("trial-faulty-loss", "fn")
    assert "Traceback" not in call(body).output
    assert 'raise ValueError("shapes differ")' in call(body, "--debug").stderr


@pytest.mark.parametrize("command", ["run", "eval"])
def test_a_model_whose_own_outputs_are_not_finite(place: Path, command: str) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file("tiny/model.safetensors")
    for name in ("model.norm.weight", "model.layers.1.input_layernorm.weight"):
        weights[name][0] = float("nan")
    save_file(weights, "tiny/model.safetensors", metadata={"format": "pt"})
    if command == "run":
        result = call(step("trial-pull") + SEEN)
    else:
        arguments = ["--quiet", "eval", "./tiny", "-b", "trial-length"]
        result = CliRunner().invoke(toolkit, arguments, prog_name="toolkit")
    assert result.stderr == (
        "model './tiny': the model's own outputs are not finite, so nothing can be measured on it\n"
        "  weights that are not finite: model.layers.1.input_layernorm.weight and 1 more\n"
        "  copy or download its files again, or name another model\n"
    )
    assert result.exit_code == 2
    assert record()["benchmarks"] == []


@pytest.mark.parametrize(
    ("at", "what"),
    [("nan", "the loss term 'faulty' became nan"),
     ("nan gradient", "the gradient of the loss term 'faulty' became nan")],
)  # fmt: skip
def test_a_loss_or_gradient_that_is_not_a_number(place: Path, at: str, what: str) -> None:
    result = call(step("trial-faulty-loss", at))
    assert result.stderr == f"training: {what} at step 3\n  the last good checkpoint is checkpoint-2\n{LOWER}"
    assert result.exit_code == 6
    kept = next(Path("runs").glob("*/.state/training/train/checkpoint-2"))
    assert (kept / "COMPLETE").is_file() and (kept / "trainable.safetensors").is_file()


def test_out_of_memory_halves_the_batch_goes_on_and_is_recorded(place: Path) -> None:
    result = call(step("trial-faulty-loss", "memory"))
    assert (result.exit_code, result.stderr) == (0, "")
    text = "out of memory: micro-batch halved to 2, gradients accumulated over 2"
    assert {"stage": "training", "text": text} in record()["events"]
    assert record()["training"][0]["steps"] == 6


def test_not_even_one_row_fits_into_memory(place: Path) -> None:
    result = call(step("trial-faulty-loss", "memory for one"))
    assert result.stderr == "Training: one row at a time does not fit into memory\n  lower training.max_length\n"
    assert result.exit_code == 6


def test_a_fold_that_changes_the_outputs(place: Path) -> None:
    result = call(step("trial-faulty-model", "fold nothing"))
    owner = where("trial-faulty-model", "architecture")
    assert result.stderr.startswith(f"{owner}: folding into the weights changed a logit by ")
    assert result.stderr.endswith("\n  this is a fault of the plugin's `fold`: it must leave the outputs as they are\n")
    assert result.exit_code == 7


def test_a_saved_model_that_does_not_answer_like_the_measured_one(place: Path) -> None:
    result = call(step("trial-faulty-model", "load"))
    assert result.stderr.startswith("model/: loaded again, the saved model gives other logits (by up to ")
    assert result.stderr.endswith("\n  a step's `save` and `load`, or its artifact, do not hold all that `apply` did\n")
    assert result.exit_code == 7


@pytest.mark.parametrize(
    ("at", "message"),
    [
        ("hook", f"{where('trial-faulty-monitor', 'monitoring')}: ValueError: no canaries\n{ADVICE}"),
        ("observe", f"{where('trial-faulty-monitor', 'monitoring')}: ValueError: the watch is broken\n{ADVICE}"),
        ("summary", f"{where('trial-faulty-monitor', 'monitoring')}: ValueError: nothing counted\n{ADVICE}"),
    ],
)
def test_a_monitor_that_fails_is_recorded_and_fails_a_strict_run(place: Path, at: str, message: str) -> None:
    body = step("trial-faulty-monitor", at)
    assert (call(body).exit_code, record()["status"]) == (0, "complete")
    assert message.partition(": ")[2].partition("\n")[0] in record()["faults"][0]["message"]
    strict = call(body, "--strict")
    assert (strict.stderr, strict.exit_code) == (message, 4)


def test_a_monitor_that_fails_at_every_request_is_told_once(place: Path) -> None:
    call(step("trial-faulty-monitor", "observe"))
    assert len(record()["faults"]) == 4, "two requests and two probes"
    card = next(Path("runs").glob("*/README.md")).read_text()
    assert card.count("the watch is broken") == 1
    assert "it failed 4 times with:" in " ".join(card.split())


@pytest.mark.parametrize(("at", "returned"), [("none", "NoneType"), ("words", "a list with str in it")])
def test_a_monitor_is_told_what_it_must_return(place: Path, at: str, returned: str) -> None:
    body = step("trial-faulty-monitor", f"observe {at}")
    told = (
        f"{where('trial-faulty-monitor', 'monitoring')}: `observe` returned {returned}, it must return a list of "
        "Finding and Intervention, empty for none"
    )
    assert call(body).exit_code == 0
    assert [f["message"] for f in record()["faults"]] == [told] * 4
    strict = call(body, "--strict")
    assert (strict.stderr, strict.exit_code) == (f"{told}\n", 4)


def test_a_monitor_that_failed_on_all_it_saw_has_not_taken(place: Path) -> None:
    assert call(step("trial-faulty-monitor", "observe") + step("trial-watch")).exit_code == 0
    shown = {s["id"]: s["proofs"] for s in record()["steps"]}
    assert shown["trial-faulty-monitor"] == [
        {"stage": "monitoring", "took": False, "what": "2 responses seen, and all failed on", "size": 0.0}
    ]
    assert [(p["took"], p["what"]) for p in shown["trial-watch"]] == [(True, "2 responses seen")]


def test_rules_that_a_monitor_asks_for_and_that_are_not_there_are_its_fault(place: Path) -> None:
    body = step("trial-faulty-monitor", "enable") + step("trial-faulty-rule", "nothing")
    told = (
        f"{where('trial-faulty-monitor', 'monitoring')}: it asks to enable rules, and the run has no 'falty'\n"
        "  rules of this run: faulty\n  name decoding steps of the recipe by their ids, or none for all of them"
    )
    assert call(body).exit_code == 0
    assert {f["message"] for f in record()["faults"]} == {told}
    assert {e["text"] for e in record()["events"] if e["stage"] == "monitoring"} == {
        "trial-faulty-monitor asked to enable rules (faulty): a trial"
    }
    strict = call(body, "--strict")
    assert (strict.stderr, strict.exit_code) == (f"{told}\n", 4)


@pytest.mark.parametrize("at", ["hook exit", "observe exit", "probes exit"])
def test_a_monitor_that_would_end_the_process_is_isolated_like_any_other(place: Path, at: str) -> None:
    body = step("trial-faulty-monitor", at)
    result = call(body)
    assert (result.exit_code, result.stderr, record()["status"]) == (0, "", "complete")
    assert "SystemExit: 0" in record()["faults"][0]["message"]
    strict = call(body, "--strict")
    expected = f"{where('trial-faulty-monitor', 'monitoring')}: SystemExit: 0\n{ADVICE}"
    assert (strict.stderr, strict.exit_code) == (expected, 4)


def test_a_section_that_would_end_the_process_is_missing_from_the_report(place: Path) -> None:
    result = call('[[steps]]\nuse = "trial-raise"\nstage = "transparency exit"\n' + SEEN)
    assert (result.exit_code, record()["status"]) == (0, "complete")
    assert [(f["step"], f["stage"]) for f in record()["faults"]] == [("trial-raise", "transparency")]


def test_an_interrupt_inside_a_hook_stays_one(place: Path) -> None:
    result = call('[[steps]]\nuse = "trial-raise"\nstage = "interrupt"\n' + SEEN)
    again = "continue with: toolkit run trial.toml --resume"
    assert (result.exit_code, result.stderr) == (130, f"stopped\n  {again}\n")
    assert record()["status"] == "interrupted"
    assert record()["events"] == [{"stage": "end", "text": f"stopped by Ctrl-C; {again}"}]


def test_a_probe_that_cannot_be_answered_harms_nobody_else(place: Path) -> None:
    assert call(step("trial-faulty-monitor", "probe") + step("trial-watch")).exit_code == 0
    assert [f["step"] for f in record()["faults"]] == ["trial-faulty-monitor"]
    assert [f["monitor"] for f in record()["monitoring"]["findings"]] == ["faulty", "watch"]


def test_a_masked_only_step_on_a_causal_model(place: Path) -> None:
    result = call(step("trial-masked-only"))
    assert result.stderr == (
        "model: tiny is a causal language model: step 'trial-masked-only' needs a masked model\n"
        "  take another model, or leave the step out\n"
    )
    assert result.exit_code == 2


def test_a_causal_only_step_on_a_masked_model(place: Path) -> None:
    save_tiny(place / "masked", family="bert")
    result = call(step("trial-faulty-rule"), model="./masked")
    assert result.stderr == (
        "model: masked is a masked language model: step 'trial-faulty-rule' needs a causal model\n"
        "  take another model, or leave the step out\n"
    )
    assert result.exit_code == 2


def test_a_rule_for_written_text_on_a_masked_model(place: Path) -> None:
    """A plugin that forgot to say that it works on causal models only."""
    save_tiny(place / "masked", family="bert")
    result = call(step("trial-flat", more="strength = 0.5\n"), model="./masked")
    assert result.stderr.endswith(
        "step 'trial-flat' (trial-flat): this model fills gaps, it does not continue text\n"
        "  the rule 'flat' is for text that is being written\n"
        "  use a causal model, or leave out the step\n"
    )
    assert result.exit_code == 2


# --------------------------------------------------------------------------------------------------- model and data
def test_a_missing_model(place: Path) -> None:
    result = call("", model="./lost")
    assert result.stderr == (
        "model './lost': not found\n"
        "  tried, in order:\n"
        "    cache: no shelf model has this name (there is smollm2-135m-instruct, minilm-l6-body)\n"
        "    folder: lost is not there\n"
        "    hub: not asked, because this is a path and no hub id\n"
        "  name a folder with config.json, a hub id, a .gguf file, or a model of `toolkit models`\n"
    )
    assert result.exit_code == 5


def test_a_missing_training_text_names_every_place(place: Path) -> None:
    (place / "recipes").mkdir()
    call(step("trial-pull"), data="./lost.txt")
    (place / "trial.toml").rename(place / "recipes" / "trial.toml")
    for command in ("run", "validate"):
        result = CliRunner().invoke(toolkit, ["--quiet", command, "recipes/trial.toml"], prog_name="toolkit")
        assert result.stderr == (
            "training text './lost.txt' was not found\n"
            "  tried, in order:\n"
            f"    no file or folder '{place}/lost.txt'\n"
            f"    no file or folder '{place}/recipes/lost.txt'\n"
            "    hub: not asked, because it is no hub id (owner/name)\n"
            "  name a file, a folder, a hub id, or builtin:everyday\n"
        )
        assert result.exit_code == 5


def test_an_unknown_packaged_text(place: Path) -> None:
    result = call(step("trial-pull"), data="builtin:everyda")
    assert result.stderr == (
        "no packaged text 'builtin:everyda'\n"
        "  packaged texts: everyday, heldout, prompts, templates; did you mean 'everyday'?\n"
        "  name one of them, a file, a folder or a data set of the hub\n"
    )
    assert result.exit_code == 5


def test_data_of_the_hub_without_a_network(place: Path) -> None:
    for flags, why in ((("--offline",), "the run is off-line"), ((), "HF_HUB_OFFLINE is set")):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HF_HUB_OFFLINE", "" if flags else "1")
            result = call(step("trial-pull"), *flags, data="somebody/some-data")
        assert result.stderr == (
            f"training text 'somebody/some-data': it would have to be downloaded from the hub, and {why}\n"
            "  tried, in order:\n"
            f"    no file or folder '{place}/somebody/some-data'\n"
            "    hub cache: no copy on this machine\n"
            "  run once on-line, or name a file\n"
        )
        assert result.exit_code == 5


def test_a_model_of_the_hub_without_a_network(place: Path) -> None:
    result = call("", "--offline", model="somebody/some-model")
    assert result.stderr.startswith(
        "model 'somebody/some-model': it would have to be downloaded from the hub, and the run is off-line\n"
    )
    assert result.exit_code == 5


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"text": "one"}\n\n{"text": }\n',
         "this is no JSON that can be read\n"
         "  line 3 is not JSON: Expecting value: line 1 column 10 (char 9)\n  mend the file\n"),
        ("a.jsonl", b'{"text": "one"}\n["two"]\n',
         "this is no JSON that can be read\n  line 2 is no object with named values\n  mend the file\n"),
        ("a.txt", b"fine\nna\xefve\n",
         "the text is not in UTF-8\n  the first byte that is not stands in line 2\n"
         "  save it as UTF-8, or name the file that you meant\n"),
        ("a.csv", b"text\nna\xefve\n",
         "the text is not in UTF-8\n  the first byte that is not stands in line 2\n"
         "  save it as UTF-8, or name the file that you meant\n"),
    ],
)  # fmt: skip
def test_a_data_file_that_is_not_what_its_name_says(place: Path, name: str, content: bytes, message: str) -> None:
    (place / name).write_bytes(content)
    result = call(step("trial-pull"), data=name)
    assert result.stderr == f"{name}: {message}"
    assert result.exit_code == 5


def test_a_data_set_without_the_column(place: Path) -> None:
    (place / "a.jsonl").write_text('{"body": "one"}\n')
    result = call(step("trial-pull"), data="a.jsonl")
    assert result.stderr == (
        "data 'a.jsonl': the data set has no column 'text'\n  its columns: body\n  set data.column\n"
    )
    assert result.exit_code == 5


def test_prompts_that_are_not_there_are_missed_before_any_work(place: Path) -> None:
    body = step("trial-watch")
    call(body)
    text = (place / "trial.toml").read_text().replace('prompts = "train.txt"', 'prompts = "asked.txt"')
    (place / "trial.toml").write_text(text)
    result = CliRunner().invoke(toolkit, ["--quiet", "run", "trial.toml", "--output", "other"], prog_name="toolkit")
    assert result.stderr.startswith("prompts 'asked.txt' was not found\n  tried, in order:\n")
    assert result.exit_code == 5
    assert not (place / "other").exists(), "nothing was begun"


# ------------------------------------------------------------------------------------------------------------- disk
class FullDisk:
    """The disk is full when a file whose path matches is flushed: its content was handed over, and is not safe."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, pattern: str) -> None:
        import os

        self.pattern, self.hit = pattern, 0

        def fsync(descriptor: int) -> None:
            path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
            if path.match(self.pattern):
                self.hit += 1
                raise OSError(errno.ENOSPC, "No space left on device", str(path))

        monkeypatch.setattr(os, "fsync", fsync)


def test_a_disk_that_fills_up_half_way_through_a_finished_training(place: Path, monkeypatch: Any) -> None:
    """The weights are written, the flush fails: nothing of it is taken for complete, and --resume does it again."""
    body = step("trial-pull") + SEEN
    with pytest.MonkeyPatch.context() as patch:
        disk = FullDisk(patch, "*.partial/moved.safetensors")
        result = call(body)
    assert disk.hit == 1
    assert "could not be written: the disk is full" in result.stderr.splitlines()[0]
    assert result.stderr.endswith(
        "\n  nothing half-written was kept\n  free some space, or set EVENHAND_CACHE or --output to another folder\n"
    )
    assert result.exit_code == 8
    assert not list(Path("runs").glob("*/.state/training/train/final"))
    failed = record()
    assert failed["status"] == "failed" and failed["attempts"] == 1
    assert call(body, "--resume").exit_code == 0
    assert record()["status"] == "complete" and record()["attempts"] == 2
    whole = call(body, "--output", "whole")
    assert whole.exit_code == 0
    expected = json.loads(next(Path("whole").glob("*/run.json")).read_text())
    assert record()["benchmarks"] == expected["benchmarks"]
    made = [{k: t[k] for k in ("steps", "tokens")} for r in (record(), expected) for t in r["training"]]
    assert made[0] == made[1] and made[0]["steps"] == 6  # a training that was over is not trained one update more


# ----------------------------------------------------------------------------------------------------------- resume
@pytest.mark.parametrize("changed", ["text", "model", "version"])
def test_a_run_is_not_continued_with_other_data_another_model_or_another_version(
    place: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    body = step("trial-faulty-loss", "nan") + SEEN
    assert call(body).exit_code == 6
    told = ""
    if changed == "text":
        (place / "train.txt").write_text("The nurse said that she would go.\n" * 16)
        told = "the training text; the prompts"
    elif changed == "model":
        save_tiny(place / "tiny", seed=9)
        told = "the model"
    else:
        from evenhand import manifest

        def newer(steps: Any) -> list[dict[str, str]]:
            return [{"name": "evenhand", "version": "0.1", "origin": ""},
                    {"name": "evenhand-trial", "version": "1.1", "origin": ""}]  # fmt: skip

        monkeypatch.setattr("evenhand.life_cycle.provenance", newer)
        monkeypatch.setattr(manifest, "__version__", "0.1")
        told = "evenhand-trial (1.0, now 1.1)"
    result = call(body, "--resume")
    first, known, do = result.stderr.splitlines()
    assert first == ("--resume: the run cannot be continued, because its numbers would come from two different set-ups")
    assert told in known
    assert do == "  put it back as it was, or start a new run without --resume"
    assert result.exit_code == 2
