"""Two processes that `accelerate launch` starts measure what one measures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import several_processes

SCRIPT = Path(several_processes.__file__)


@pytest.mark.slow
def test_two_processes_give_the_records_of_one(tmp_path):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    # With --cpu, `accelerate launch` starts one process only; without a GPU, the workers fall back to the processor.
    launch = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"]
    two = [*launch, "--mixed_precision", "no", "--dynamo_backend", "no"]
    done = subprocess.run(
        [sys.executable, *two, str(SCRIPT), str(tmp_path)], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    several_processes.main(tmp_path)
    alone, first, second = (json.loads((tmp_path / f"{n}.json").read_text()) for n in ("1-0", "2-0", "2-1"))
    assert first == second
    assert list(first) == list(alone)
    assert len(alone["causal"]) == 60 and len(alone["rules answers"]) == 20
    for name, values in alone.items():
        if name.endswith("answers"):
            assert first[name] == values
        else:
            assert first[name] == pytest.approx(values, abs=1e-5)


@pytest.mark.slow
def test_an_evaluation_in_two_processes_is_told_and_kept_once(tmp_path):
    """`accelerate launch -m evenhand eval`: one folder, one table, the records of one process."""
    from evenhand.item_records import read_records
    from evenhand_sdk.tiny import tiny_causal

    model, tokenizer = tiny_causal()
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    asked = ["eval", str(tmp_path / "model"), "--benchmark", "pair-gap", "--limit", "30", "--dtype", "float32"]
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    launch = ["accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no", "-m", "evenhand"]
    found = {}
    for name, command in (("two", launch), ("one", ["evenhand"])):
        environment["EVENHAND_CACHE"] = str(tmp_path / f"cache-{name}")
        done = subprocess.run(
            [sys.executable, "-m", *command, *asked, "--output", str(tmp_path / name)],
            capture_output=True, text=True, env=environment, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        (folder,) = (tmp_path / name).iterdir()
        found[name] = read_records(folder / "items" / "pair-gap.parquet")["after"]
        assert done.stdout.count("Gap between counterfactual pairs") == 1
    for one, two in zip(found["one"], found["two"], strict=True):
        assert one.id == two.id
        assert dict(one.values) == pytest.approx(dict(two.values), abs=1e-5)


@pytest.mark.slow
def test_two_processes_train_what_one_trains(tmp_path):
    """The sum, a rule over losses that is not linear, two aggregators of gradients and an adversary: twice two rows are
    four rows, on each process alike, whatever each of them holds."""
    import torch

    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    launch = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"]
    two = [*launch, "--mixed_precision", "no", "--dynamo_backend", "no"]
    for name, command in (("one", []), ("two", two)):
        (tmp_path / name).mkdir()
        done = subprocess.run(
            [sys.executable, *command, str(SCRIPT.with_name("several_trainings.py")), str(tmp_path / name)],
            capture_output=True, text=True, env=environment, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
    moved = {}
    for rule in ("sum", "squares", "pcgrad", "upgrad"):
        alone = torch.load(tmp_path / "one" / f"{rule}-1-0.pt")
        first, second = (torch.load(tmp_path / "two" / f"{rule}-2-{rank}.pt") for rank in (0, 1))
        assert alone["steps"] == first["steps"] == second["steps"] == 5
        for key, value in alone["moved"].items():
            assert torch.equal(first["moved"][key], second["moved"][key]), (rule, key)
            torch.testing.assert_close(first["moved"][key], value, rtol=0, atol=2e-4, msg=f"{rule} {key}")
        assert (tmp_path / "two" / rule / "checkpoint-4" / "COMPLETE").is_file()
        moved[rule] = alone["moved"]["model.embed_tokens.weight"]
    assert not torch.equal(moved["sum"], moved["pcgrad"]), "the rules do differ here"
    kept = [torch.load(tmp_path / place) for place in ("one/states-1-0.pt", "two/states-2-0.pt", "two/states-2-1.pt")]
    for key, value in kept[0]["moved"].items():
        assert torch.equal(kept[1]["moved"][key], kept[2]["moved"][key]), key
        # Hidden states are measured in units of a batch; where a gradient is next to nothing, Adam follows its sign.
        away = (kept[1]["moved"][key] - value).abs() > 2e-4
        assert float(away.float().mean()) < 1e-3, key
    alone, first, second = (found["states"] for found in kept)
    assert first["swap"] == second["swap"] == alone["swap"] and alone["swap"]["seen"] > 4
    assert first["weights"] == second["weights"]
    assert first["weights"]["weights"] == pytest.approx(alone["weights"]["weights"], abs=1e-4)
    assert len(set(alone["weights"]["weights"].values())) == 2, "the weights did move"
    assert torch.equal(first["vectors"], second["vectors"])
    torch.testing.assert_close(first["vectors"], alone["vectors"], rtol=0, atol=1e-2)
    lines = (tmp_path / "two" / "sum" / "log.jsonl").read_text().splitlines()
    told = [json.loads(text.read_text().splitlines()[-1]) for text in (
        tmp_path / "two" / "sum" / "log.jsonl", tmp_path / "one" / "sum" / "log.jsonl"
    )]  # fmt: skip
    assert len(lines) == 1 and told[0]["terms"] == pytest.approx(told[1]["terms"], rel=1e-2), "told once, of all"


def test_a_run_in_several_processes_is_refused(tmp_path, monkeypatch):
    import evenhand
    from evenhand.errors import UsageError

    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError) as caught:
        evenhand.run("quickstart", output=tmp_path)
    assert str(caught.value) == (
        "run: a run takes one process, 2 were started\n"
        "  its steps, proofs and files belong together\n"
        "  start it without a launcher; in several processes, evenhand.train trains and `toolkit eval` measures"
    )
