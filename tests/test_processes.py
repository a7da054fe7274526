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


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_split_parameters_are_trained_as_whole_ones(tmp_path):
    """FSDP over two processes, with a budget, a moment that is kept, checkpoints and a resume: the model of one
    process, whole again in both. What needs gradients of single terms is refused by name."""
    import shutil

    import torch

    script = str(SCRIPT.with_name("split_training.py"))
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    launch = ["-m", "accelerate.commands.launch", "--use_fsdp", "--fsdp_version", "2", "--num_processes", "2"]
    launch += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    launch += ["--fsdp_auto_wrap_policy", "TRANSFORMER_BASED_WRAP"]
    launch += ["--fsdp_transformer_layer_cls_to_wrap", "LlamaDecoderLayer"]
    launch += ["--fsdp_cpu_ram_efficient_loading", "false"]

    def go(command, folder, *more):
        done = subprocess.run(
            [sys.executable, *command, script, str(folder), *more], capture_output=True, text=True, env=environment,
            check=False,
        )  # fmt: skip
        return done.returncode, done.stderr

    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    code, told = go([], tmp_path / "one")
    assert code == 0, told[-3000:]
    code, told = go(launch, tmp_path / "two")
    assert code == 0, told[-3000:]
    shutil.rmtree(tmp_path / "two" / "split" / "checkpoint-5")
    code, told = go(launch, tmp_path / "two", "resume")
    assert code == 0, told[-3000:]

    alone = torch.load(tmp_path / "one" / "split-1-0.pt")
    assert not alone["split"] and alone["watch"]["kept"] == 2
    assert max(look["multiplier"] for look in alone["watch"]["looks"]) > 0, "the constraint acted"
    for name in ("2-0", "2-1", "resumed-0", "resumed-1"):
        found = torch.load(tmp_path / "two" / f"split-{name}.pt")
        assert found["split"] and found["class"] == alone["class"] and found["tied"] == alone["tied"]
        assert found["norm"] is None, "no gradient of a single term is measured"
        assert found["watch"]["kept"] == 2
        looks = [watch["looks"] for watch in (alone["watch"], found["watch"])]
        assert [look["step"] for look in looks[1]] == [0, 2, 4, 5]
        for one, two in zip(looks[0][:3], looks[1][:3], strict=True):
            assert two == pytest.approx(one, rel=1e-4)
        # The last update reads the constraint on rows that each process draws, fewer at a time.
        assert looks[1][3]["multiplier"] == pytest.approx(looks[0][3]["multiplier"], rel=1e-3)
        for parameter, value in alone["moved"].items():
            torch.testing.assert_close(found["moved"][parameter], value, rtol=0, atol=2e-5)
    said = torch.load(tmp_path / "two" / "split-2-1.pt")["said"]
    assert said[0].startswith(
        "training: the aggregator 'pcgrad' needs a gradient of its own, which parameters that FSDP splits do not give"
    )
    assert said[1].startswith("Training: the model was split between processes by an earlier training")


@pytest.mark.parametrize(
    "name, value, said",
    [
        ("FSDP_VERSION", "1", "version 1 of FSDP flattens parameters"),
        ("FSDP_CPU_RAM_EFFICIENT_LOADING", "true", "only the first process has loaded the model"),
    ],
)
def test_forms_of_fsdp_that_would_not_train_what_was_asked_are_refused(monkeypatch, name, value, said):
    from evenhand.errors import UsageError
    from evenhand.split_parameters import demand_whole
    from evenhand_sdk.tiny import tiny_causal

    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("FSDP_VERSION", "2")
    monkeypatch.setenv(name, value)
    model, _ = tiny_causal()
    with pytest.raises(UsageError, match=said) as caught:
        demand_whole(model, where="Training")
    assert "--fsdp_version 2 --fsdp_cpu_ram_efficient_loading false" in str(caught.value)
