"""Two processes that `accelerate launch` starts measure what one measures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("several_processes.py")


@pytest.mark.slow
def test_two_processes_give_the_records_of_one(tmp_path):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    # With --cpu, `accelerate launch` starts one process only; without a GPU, the workers fall back to the processor.
    launch = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"]
    two = [*launch, "--mixed_precision", "no", "--dynamo_backend", "no"]
    for command in ([], two):
        done = subprocess.run(
            [sys.executable, *command, str(SCRIPT), str(tmp_path)], capture_output=True, text=True, env=environment,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
    alone, first, second = (json.loads((tmp_path / f"{n}.json").read_text()) for n in ("1-0", "2-0", "2-1"))
    assert first == second
    assert list(first) == list(alone)
    assert len(alone["causal"]) == 60 and len(alone["rules answers"]) == 20
    for name, values in alone.items():
        if name.endswith("answers"):
            assert first[name] == values
        else:
            assert first[name] == pytest.approx(values, abs=1e-5)
