"""A whole run on a tiny model: what is written, proved, isolated, refused, resumed and loaded again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

import evenhand
from evenhand import api
from evenhand.errors import (
    DataNotFound,
    ModelNotFound,
    NoEffect,
    PluginFault,
    RecipeError,
    RunNotFound,
    StorageFault,
    TrainingDiverged,
    UsageError,
    WrongModelKind,
)
from evenhand.report_reading import raw_run
from evenhand_sdk.tiny import save_tiny

pytestmark = pytest.mark.usefixtures("trial", "own_cache")

TEXT = (
    "The nurse said that she would come back to the house later.\n"
    "The engineer said he was tired of the work at home.\n"
    "Rain fell on the town all morning long.\n"
)
WHOLE = """
[[steps]]
use = "trial-double"
[[steps]]
use = "trial-pull"
[[steps]]
use = "trial-norms"
[[steps]]
use = "train"
[[steps]]
use = "trial-scale"
folds = false
[[steps]]
use = "trial-flat"
[[steps]]
use = "trial-watch"
[[steps]]
use = "trial-size"
[[benchmarks]]
use = "trial-length"
[[benchmarks]]
use = "trial-quality"
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a tiny model, text and prompts; recipes are written into it."""
    save_tiny(tmp_path / "tiny")
    (tmp_path / "train.txt").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def recipe(place: Path, body: str, *, steps: int = 6, model: str = "tiny", name: str = "trial") -> Path:
    path = place / f"{name}.toml"
    path.write_text(
        f'[model]\nname = "{place / model}"\n[data]\ntrain = "train.txt"\n'
        f"[training]\nmax_steps = {steps}\nsave_every = 2\nlearning_rate = 1e-3\n"
        '[traffic]\nprompts = "train.txt"\nmax_new_tokens = 5\n[evaluation]\nresamples = 200\n' + body
    )
    return path


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def states(record: dict[str, Any]) -> dict[str, str]:
    return {s["id"]: s["state"] for s in record["steps"]}


def test_a_run_writes_its_whole_evidence(place: Path) -> None:
    result = api.run(recipe(place, WHOLE))
    folder, record = result.folder, result.record
    assert record["status"] == "complete"
    for name in ("recipe.toml", "run.json", "report.html", "README.md", "model/model.safetensors",
                 "model/evenhand.json",
                 "items/trial-length.parquet", "items/trial-quality.parquet"):  # fmt: skip
        assert (folder / name).is_file(), name
    assert (folder / "recipe.toml").read_text() == (place / "trial.toml").read_text()
    assert {p.stat().st_mode & 0o777 for p in (folder / "model").rglob("*") if p.is_file()} == {0o666 & ~umask()}
    seconds = {s["id"]: s["seconds"] for s in record["steps"]}
    assert seconds["trial-watch"] > record["timings"]["monitoring"] / 3, "its probes are a part of its time"
    assert 0 < seconds["trial-size"] <= record["timings"]["explaining"] + 0.1
    assert [s["version"] for s in record["steps"] if s["id"] == "train"] == [evenhand.__version__]
    assert states(record) == {
        "trial-double": "data", "trial-pull": "objective", "trial-norms": "folded", "train": "training",
        "trial-scale": "saved beside the model", "trial-flat": "decoding", "trial-watch": "monitoring",
        "trial-size": "transparency",
    }  # fmt: skip
    proofs = {s["id"]: [(p["stage"], p["took"]) for p in s["proofs"]] for s in record["steps"]}
    assert proofs["trial-double"] == [("data", True)]
    assert proofs["trial-pull"] == [("objective", True)]
    assert proofs["trial-norms"] == [("architecture", True), ("portability", True)]
    assert proofs["trial-scale"] == [("architecture", True)]
    assert proofs["trial-flat"] == [("decoding", True)]
    assert proofs["trial-watch"] == [("monitoring", True)]
    assert record["data"]["rows"] == 3 and record["data"]["rows_after"] == 6
    assert set(record["training"][0]["terms"]) == {"language modelling", "pull"}
    assert record["monitoring"]["requests"] == 3 and record["monitoring"]["probes"] == 3
    assert record["monitoring"]["findings"][0]["facts"] == {"seen": 3, "probes": 3}
    assert [b["id"] for b in record["benchmarks"]] == ["trial-length", "trial-quality"]
    assert record["sections"][0]["facts"][1]["value"] == "trial-length, trial-quality"
    assert str(place) not in json.dumps({k: v for k, v in record.items() if k not in ("recipe", "model")})
    assert "Size &lt;b&gt;" in (folder / "report.html").read_text()


def test_the_same_recipe_gives_the_same_numbers(place: Path) -> None:
    first, second = (api.run(recipe(place, WHOLE)).record for _ in range(2))
    for key in ("benchmarks", "training", "samples", "monitoring"):
        a, b = (json.loads(json.dumps(r[key])) for r in (first, second))
        for part in (*a, *b) if key == "training" else ():
            part.pop("seconds")
        assert a == b, key


def test_the_loaded_result_answers_as_the_run_did(place: Path) -> None:
    result = api.run(recipe(place, WHOLE))
    loaded = result.load()
    model, tokenizer = loaded
    assert [r.name for r in loaded.rules] == ["flat"]
    for sample in result.record["samples"]:
        assert loaded.generate(sample["prompt"], max_new_tokens=5) == sample["after"]
    ids = tokenizer(result.record["samples"][0]["prompt"], return_tensors="pt")
    out = model.generate(**ids, max_new_tokens=5, do_sample=False)
    assert tokenizer.decode(out[0, ids["input_ids"].shape[1]:], skip_special_tokens=True) == result.record["samples"][0]["after"]  # noqa: E501  # fmt: skip
    beams = model.generate(**ids, max_new_tokens=5, num_beams=2, do_sample=False)
    assert beams.shape[0] == 1, "beam search takes the rules as a logits processor"


def test_a_rule_that_refers_to_a_folded_step_still_finds_its_artifact_when_loaded(place: Path) -> None:
    body = (
        '[[steps]]\nuse = "trial-scale"\nid = "half"\nactive = true\n[[steps]]\nuse = "trial-echo"\nof = "step:half"\n'
    )
    result = api.run(recipe(place, body))
    assert states(result.record) == {"half": "folded", "trial-echo": "decoding"}
    assert result.record["portability"]["largest_difference"] <= 1e-4
    assert result.record["portability"]["plain_transformers"] is False
    loaded = result.load()
    for sample in result.record["samples"]:
        assert loaded.generate(sample["prompt"], max_new_tokens=5) == sample["after"]
    one, two = (loaded.generate("The nurse", temperature=1.0, seed=4) for _ in range(2))
    assert one == two != loaded.generate("The nurse", temperature=1.0, seed=5)


def test_where_every_step_folds_plain_transformers_loads_the_same_model(place: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folds = WHOLE.replace("folds = false", "folds = true")
    folder = api.run(recipe(place, folds)).folder
    assert states(raw_run(folder))["trial-scale"] == "folded"
    plain = AutoModelForCausalLM.from_pretrained(folder / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    ids = tokenizer("The nurse said", return_tensors="pt")["input_ids"]
    live = api.run(recipe(place, WHOLE, name="live")).load().model
    torch.testing.assert_close(plain(ids).logits, live(ids).logits, rtol=0, atol=1e-4)


def test_an_empty_recipe_is_a_plain_measurement(place: Path) -> None:
    record = api.run(recipe(place, '[[benchmarks]]\nuse = "trial-length"\n')).record
    metric = record["benchmarks"][0]["metrics"][0]
    assert metric["change"]["value"] == 0 and record["benchmarks"][0]["verdict"] == "no demonstrated effect"
    assert record["training"] == []


def test_without_a_step_the_model_is_measured_once(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from evenhand import measuring

    measured: list[str] = []
    inner = measuring.measure
    monkeypatch.setattr(measuring, "measure", lambda *a, when, **k: measured.append(when) or inner(*a, when=when, **k))
    result = api.run(recipe(place, '[[benchmarks]]\nuse = "trial-length"\n'))
    assert measured == ["before"]
    assert result.benchmarks[0]["metrics"][0]["change"]["value"] == 0


def test_strength_zero_is_exactly_the_identity(place: Path) -> None:
    """Training still happens, on the same rows with the same loss, so compare with the recipe without the steps."""
    plain = '[[steps]]\nuse = "train"\n[[benchmarks]]\nuse = "trial-length"\n'
    body = '[[steps]]\nuse = "trial-double"\nstrength = 0.0\n' + plain
    with_zero, without = (api.run(recipe(place, b)).record["benchmarks"][0]["metrics"] for b in (body, plain))
    assert with_zero == without


def test_a_training_is_implied_after_the_last_objective(place: Path) -> None:
    body = '[[steps]]\nuse = "trial-pull"\n[[steps]]\nuse = "trial-scale"\n[[benchmarks]]\nuse = "trial-length"\n'
    record = api.run(recipe(place, body)).record
    assert [s["id"] for s in record["steps"]] == ["trial-pull", "train", "trial-scale"]


LOOK = '[[steps]]\nuse = "trial-look"\n'
SEEN = "3 rows read, none changed; letters: 149"


def test_a_step_that_only_looks_reads_the_text_without_a_training(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from evenhand.summary import print_summary

    result = api.run(recipe(place, LOOK))
    record, folder = result.record, result.folder
    assert [s["id"] for s in record["steps"]] == ["trial-look"] and record["training"] == []
    assert [(p["took"], p["what"]) for p in record["steps"][0]["proofs"]] == [(True, SEEN)]
    assert states(record) == {"trial-look": "reading"}
    assert record["steps"][0]["rows"][0]["files"] == ["found/trial-look/letters.txt"]
    assert (folder / "found/trial-look/letters.txt").read_text() == "149"
    assert not (folder / "model").exists() and not (folder / "README.md").exists()
    with pytest.raises(RunNotFound) as caught:
        result.load()
    assert str(caught.value) == (
        f"{str(folder)!r} holds no finished model: it has no evenhand.json\n"
        "  a run whose steps only look, such as an audit, saves none\n  give the folder of a run that is complete"
    )
    print_summary(folder)
    told = " ".join(capsys.readouterr().out.split())
    assert "What was found trial-look, 3 rows read: letters 149 Where it is" in told
    assert str(folder / "found/trial-look/letters.txt") in told
    assert "What changed" not in told and "Did it help?" not in told and "What it had to beat" not in told
    report = (folder / "report.html").read_text(encoding="utf-8")
    assert "reads the training data, changes nothing" in report and "changes the training data" not in report
    assert "No step changed tiny: trial-look read the training text." in report
    assert "<dt>What was found?</dt><dd>trial-look read 3 rows: letters: 149.</dd>" in report
    assert "What the training text holds" in report and "found/trial-look/letters.txt beside this page" in report


WATCH = '[[steps]]\nuse = "trial-watch"\n'
EXPLAIN = '[[steps]]\nuse = "trial-size"\n'


@pytest.mark.parametrize("steps", [LOOK, WATCH, EXPLAIN, LOOK + WATCH + EXPLAIN])
def test_steps_that_leave_the_model_are_measured_once(place: Path, monkeypatch: pytest.MonkeyPatch, steps: str) -> None:
    from evenhand import measuring

    measured: list[str] = []
    inner = measuring.measure
    monkeypatch.setattr(measuring, "measure", lambda *a, when, **k: measured.append(when) or inner(*a, when=when, **k))
    record = api.run(recipe(place, steps + '[[benchmarks]]\nuse = "trial-length"\n')).record
    assert measured == ["before"] and record["training"] == []
    assert {c["state"] for c in record["controls"]} <= {"not applicable", "not run"}
    assert record["benchmarks"][0]["metrics"][0]["change"]["value"] == 0


def test_before_an_implied_training_it_reads_what_is_learnt_from(place: Path) -> None:
    body = '[[steps]]\nuse = "trial-double"\n' + LOOK
    record = api.run(recipe(place, body)).record
    assert [s["id"] for s in record["steps"]] == ["trial-double", "trial-look", "train"]
    assert record["steps"][1]["proofs"][0]["what"] == "6 rows read, none changed; letters: 298"
    with pytest.raises(RecipeError, match=r"steps\.trial-look: no training follows it"):
        api.run(recipe(place, '[[steps]]\nuse = "train"\n' + LOOK))


def test_a_step_after_the_last_training_is_refused(place: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        api.run(recipe(place, '[[steps]]\nuse = "train"\n[[steps]]\nuse = "trial-pull"\n'))
    assert "steps.trial-pull: no training follows it; put it before the last `train`, or add one" in str(caught.value)


def test_a_step_that_changed_nothing_fails_the_run(place: Path) -> None:
    with pytest.raises(NoEffect) as caught:
        api.run(recipe(place, '[[steps]]\nuse = "trial-idle"\n'))
    assert str(caught.value) == (
        "step 'trial-idle' (trial-idle): nothing changed at the stage data: 3 rows became 3: 0 new, 0 gone\n"
        "  mend the step, or set allow_no_effect = true for it"
    )
    api.run(recipe(place, '[[steps]]\nuse = "trial-idle"\nallow_no_effect = true\n'))


def test_a_data_step_that_changed_nothing_says_why_where_it_knows(place: Path) -> None:
    with pytest.raises(NoEffect) as caught:
        api.run(recipe(place, '[[steps]]\nuse = "trial-idle"\nwhy = "all texts are fair"\n'))
    assert caught.value.what == (
        "nothing changed at the stage data: 3 rows became 3: 0 new, 0 gone, because all texts are fair"
    )


def test_a_model_step_that_decided_to_change_nothing_says_why(place: Path) -> None:
    body = '[[steps]]\nuse = "trial-scale"\nwhy = "no factor leaves the quality"\n'
    with pytest.raises(NoEffect) as caught:
        api.run(recipe(place, body))
    assert caught.value.what == (
        "nothing changed at the stage architecture: largest change of a logit on probes: 0, "
        "because no factor leaves the quality"
    )
    proof, *_ = api.run(recipe(place, f"{body}allow_no_effect = true\n")).record["steps"][0]["proofs"]
    assert (proof["took"], proof["size"]) == (False, 0.0) and proof["what"].endswith("leaves the quality")


def test_a_fault_in_a_hook_that_changes_the_model_fails_the_run(place: Path) -> None:
    with pytest.raises(PluginFault) as caught:
        api.run(recipe(place, '[[steps]]\nuse = "trial-raise"\n'))
    assert str(caught.value).startswith(
        "step 'trial-raise', plugin 'trial-raise' of evenhand-trial 1.0, hook `data`: ValueError: something is odd"
    )
    failed = next((place / "runs").glob("trial-*"))
    assert raw_run(failed)["status"] == "failed"


def test_a_dict_is_a_recipe_and_the_run_folder_keeps_it_as_text(place: Path) -> None:
    table = {
        "model": {"name": place / "tiny", "kind": None},
        "traffic": {"limit": 0},
        "evaluation": {"resamples": 50},
        "steps": ({"use": "trial-flat", "strength": 0.5},),
        "benchmarks": [{"use": "trial-length", "items": 40}],
    }
    found = api.run(table, output=place / "runs")
    written = (found.folder / "recipe.toml").read_text()
    assert f'name = "{place / "tiny"}"' in written and "kind" not in written
    again = api.run(written, output=place / "runs")
    assert again.record["recipe"] == found.record["recipe"]
    with pytest.raises(RecipeError, match=r"^recipe: 1 problem\n  - model\.nmae: unknown key; did you mean 'name'"):
        api.run({"model": {"name": "./tiny", "nmae": "x"}})


def test_what_is_no_recipe_at_all() -> None:
    with pytest.raises(UsageError) as caught:
        api.run(3)  # type: ignore[arg-type]
    assert str(caught.value) == (
        "evenhand.run: int is no recipe\n"
        "  give a file, TOML text, the name of a packaged recipe, or a dict with the tables of one"
    )


def test_all_that_a_step_does_happens_below_a_bar(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hook, a fit or a proof of any plugin may take long: the time of a step is the time below its bar."""
    from evenhand import life, life_training, proofs

    open_bars: list[str] = []
    seen: list[tuple[str, ...]] = []

    class Bar:
        def __init__(self, label: str, **_: Any) -> None:
            self.label = label

        def __enter__(self) -> Bar:
            open_bars.append(self.label)
            return self

        def __exit__(self, *_: object) -> None:
            open_bars.remove(self.label)

    def watched(module: Any, name: str) -> None:
        original = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, **k: (seen.append((name, *open_bars)), original(*a, **k))[1])

    for module in (life, life_training):
        monkeypatch.setattr(module, "progress", Bar)
    for name in ("probe_logits", "output_proof", "tensor_digests"):
        watched(proofs, name)
    watched(life_training, "write_training")
    steps = '[[steps]]\nuse = "trial-norms"\n[[steps]]\nuse = "train"\n[[steps]]\nuse = "trial-scale"\n'
    api.run(recipe(place, steps))
    assert ("probe_logits", "Step trial-norms") in seen
    assert ("output_proof", "Step trial-scale") in seen
    assert [bars for name, *bars in seen if name == "tensor_digests"] == [
        ["Taking digests of the weights"],
        ["Comparing the weights with those before"],
    ]
    assert ("write_training", "Keeping what the training moved") in seen
    assert open_bars == []


@pytest.mark.parametrize("body", [
    '[[steps]]\nuse = "trial-watch"\nmood = "faulty"\n',
    '[[steps]]\nuse = "trial-raise"\nstage = "transparency"\nallow_no_effect = true\n',
])  # fmt: skip
def test_faults_of_monitors_and_sections_are_isolated_unless_strict(place: Path, body: str) -> None:
    record = api.run(recipe(place, body)).record
    assert record["status"] == "complete" and record["faults"]
    with pytest.raises(PluginFault):
        api.run(recipe(place, body), strict=True)


def test_a_causal_only_step_on_a_masked_model_is_refused(place: Path) -> None:
    save_tiny(place / "masked", family="bert")
    with pytest.raises(WrongModelKind) as caught:
        api.run(recipe(place, '[[steps]]\nuse = "trial-raise"\n', model="masked"))
    assert not (place / "runs").exists(), "a refused model leaves no run behind"
    assert "is a masked language model: step 'trial-raise' needs a causal model" in str(caught.value)


def test_a_masked_model_runs_through(place: Path) -> None:
    save_tiny(place / "masked", family="bert")
    body = '[[steps]]\nuse = "trial-double"\n[[steps]]\nuse = "trial-pull"\n[[benchmarks]]\nuse = "trial-length"\n'
    record = api.run(recipe(place, body, model="masked")).record
    assert record["status"] == "complete" and record["samples"] == []


def test_a_missing_model_says_what_was_tried(place: Path) -> None:
    with pytest.raises(ModelNotFound, match="nowhere"):
        api.run(recipe(place, "", model="nowhere"))
    assert not (place / "runs").exists()


def test_missing_data_says_what_was_tried(place: Path) -> None:
    path = recipe(place, '[[steps]]\nuse = "trial-pull"\n')
    path.write_text(path.read_text().replace('train = "train.txt"', 'train = "./lost.txt"'))
    with pytest.raises(DataNotFound) as caught:
        api.run(path)
    assert str(caught.value).startswith("training text './lost.txt' was not found\n  tried, in order:\n")


def test_a_loss_that_is_not_a_number_stops_and_names_the_term(place: Path) -> None:
    with pytest.raises(TrainingDiverged, match="the loss term 'pull' became nan at step 3"):
        api.run(recipe(place, '[[steps]]\nuse = "trial-pull"\nnan_at = 4\n'))


def test_a_full_disk_is_said_plainly(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    from evenhand import portable

    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(portable, "save_model", full)
    with pytest.raises(StorageFault):
        api.run(recipe(place, '[[benchmarks]]\nuse = "trial-length"\n'))
    assert raw_run(next((place / "runs").glob("trial-*")))["status"] == "failed"


def test_a_damaged_baseline_is_measured_again_not_trusted(place: Path, own_cache: Path) -> None:
    path = recipe(place, '[[benchmarks]]\nuse = "trial-length"\n')
    first = api.run(path).record["benchmarks"]
    stored = next(own_cache.glob("baselines/*/records.parquet"))
    stored.write_bytes(stored.read_bytes()[:-20])
    assert api.run(path).record["benchmarks"] == first


def test_the_untouched_model_is_scored_once_for_all_recipes(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second recipe, with other steps and one more benchmark, scores the untouched model on the new one alone."""
    from evenhand import measuring

    scored: list[tuple[str, str]] = []
    original = measuring.measure

    def noted(benchmarks: Any, *rest: Any, when: str, **more: Any) -> Any:
        scored.extend((name, when) for name in benchmarks)
        return original(benchmarks, *rest, when=when, **more)

    monkeypatch.setattr(measuring, "measure", noted)
    length, quality = '[[benchmarks]]\nuse = "trial-length"\n', '[[benchmarks]]\nuse = "trial-quality"\n'
    one = api.run(recipe(place, '[[steps]]\nuse = "trial-scale"\nfolds = false\n' + length, name="one"))
    other = api.run(recipe(place, '[[steps]]\nuse = "trial-flat"\n' + length + quality, name="other"))
    assert [name for name, when in scored if when == "before"] == ["trial-length", "trial-quality"]
    assert one.record["baseline"] == {"measured": ["trial-length"], "reused": []}
    assert other.record["baseline"] == {"measured": ["trial-quality"], "reused": ["trial-length"]}
    before = [r.record["benchmarks"][0]["metrics"][0]["before"] for r in (one, other)]
    assert before[0] == before[1]
    told = "taken from an earlier run of the same model, items and code: trial-length"
    assert told in other.report.read_text(encoding="utf-8")


def test_nothing_to_resume_is_said(place: Path) -> None:
    path = recipe(place, "")
    with pytest.raises(RunNotFound, match="no run of 'trial' to resume in 'runs'"):
        api.run(path, resume=True)
    api.run(path)
    with pytest.raises(RunNotFound, match="is complete, there is nothing to resume"):
        api.run(path, resume=True)


@pytest.mark.slow
def test_a_run_killed_in_its_training_ends_with_the_same_numbers(place: Path, trial: Path) -> None:
    """kill -9 between two checkpoints, then --resume: records, losses and answers equal an uninterrupted run."""
    path = recipe(place, WHOLE, steps=60)
    # one number of threads for all three processes: the order of a sum depends on it
    environment = {**os.environ, "PYTHONPATH": str(trial), "OMP_NUM_THREADS": "1"}
    toolkit = [sys.executable, "-m", "evenhand", "--quiet", "run", str(path), "--output"]
    whole = subprocess.run([*toolkit, str(place / "whole")], env=environment, cwd=place, capture_output=True, text=True)
    assert whole.returncode == 0, whole.stderr
    uninterrupted = next((place / "whole").iterdir())
    expected = raw_run(uninterrupted)
    command = [*toolkit, str(place / "killed")]
    process = subprocess.Popen(command, env=environment, cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not list(place.glob("killed/*/.state/training/train/checkpoint-*/COMPLETE")):
        assert process.poll() is None and time.monotonic() < deadline, process.stderr.read()  # type: ignore[union-attr]
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stderr.close()  # type: ignore[union-attr]
    assert not list(place.glob("killed/*/.state/training/train/final")), "it was killed while training"
    done = subprocess.run([*command, "--resume"], env=environment, cwd=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    folders = list((place / "killed").iterdir())
    assert len(folders) == 1, "the same folder was continued"
    resumed = raw_run(folders[0])
    assert resumed["benchmarks"] == expected["benchmarks"]
    assert resumed["samples"] == expected["samples"]
    assert resumed["training"][0]["terms"] == expected["training"][0]["terms"]
    from evenhand.item_records import read_records

    for name in ("trial-length", "trial-quality"):
        a, b = (read_records(f / "items" / f"{name}.parquet") for f in (folders[0], uninterrupted))
        assert a["after"] == b["after"]


def test_two_terms_of_one_name_both_count(place: Path) -> None:
    body = '[[steps]]\nuse = "trial-pull"\n[[steps]]\nuse = "trial-pull"\n'
    terms = api.run(recipe(place, body)).record["training"][0]["terms"]
    assert set(terms) == {"language modelling", "pull", "pull (trial-pull-2)"}


def test_a_selection_after_the_last_training_is_refused_before_the_run(place: Path) -> None:
    body = '[[steps]]\nuse = "trial-pull"\n[[steps]]\nuse = "train"\n[[steps]]\nuse = "trial-norms"\n'
    with pytest.raises(RecipeError) as caught:
        api.run(recipe(place, body))
    assert str(caught.value) == (
        f"{place / 'trial.toml'}: 1 problem\n"
        "  - steps.trial-norms: no training follows it; put it before the last `train`, or add one"
    )
    assert not (place / "runs").exists()


def test_the_implied_training_comes_after_a_selection_too(place: Path) -> None:
    body = '[[steps]]\nuse = "trial-pull"\n[[steps]]\nuse = "trial-norms"\n[[steps]]\nuse = "trial-scale"\n'
    record = api.run(recipe(place, body)).record
    assert [s["id"] for s in record["steps"]] == ["trial-pull", "trial-norms", "train", "trial-scale"]
    (proof,) = [p for p in record["steps"][1]["proofs"] if p["stage"] == "architecture"]
    assert proof["took"] and "selected tensors moved" in proof["what"]


def test_a_selection_that_its_class_does_not_announce_fails_the_run_before_more_is_done(place: Path) -> None:
    with pytest.raises(NoEffect) as caught:
        api.run(recipe(place, '[[steps]]\nuse = "trial-pull"\n[[steps]]\nuse = "trial-unmarked"\n'))
    assert str(caught.value) == (
        "step 'trial-unmarked' (trial-unmarked): nothing changed at the stage architecture: "
        "it shapes a training, but no training follows it\n"
        "  mend the step, or set allow_no_effect = true for it"
    )
