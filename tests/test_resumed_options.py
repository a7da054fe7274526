"""A training in Python that goes on with other options of its plugins says which."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from datasets import Dataset

import evenhand
from evenhand_sdk.tiny import tiny_causal
from evenhand_standard.objective.pair_parity import PairParity
from evenhand_standard.objective.pcgrad import PCGrad

ROWS = Dataset.from_dict({"text": ["The nurse said that she would come back.", "He kept the dog."] * 4})


def test_a_changed_option_is_told_with_what_it_was(tmp_path: Path) -> None:
    def told(resume: bool, *plugins: Any) -> list[str]:
        model, tokenizer = tiny_causal()
        return evenhand.train(
            model, tokenizer, ROWS, list(plugins), folder=tmp_path, resume=resume, max_steps=4, save_every=2,
            batch_size=4, learning_rate=1e-3,
        ).events  # fmt: skip

    assert told(False, PairParity(distance="js", axes=["gender"]), PCGrad()) == []
    shutil.rmtree(tmp_path / "checkpoint-4")
    assert told(True, PairParity(distance="js", axes=["gender"]), PCGrad()) == []
    shutil.rmtree(tmp_path / "checkpoint-4")
    assert told(True, PairParity(distance="l1-logits", axes=["gender"]), PCGrad(strength=0.5)) == [
        "goes on from checkpoint-2 with other settings: the option 'distance' of 'pair-parity' is l1-logits, was js; "
        "the option 'strength' of 'pcgrad' is 0.5, was 1.0"
    ]
