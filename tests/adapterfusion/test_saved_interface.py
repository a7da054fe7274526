"""A model that is prepared for adapters can be saved into a folder that is new."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path

import pytest

from evenhand_adapterfusion.preparation import prepare
from evenhand_adapterfusion.saved_interface import savable_anywhere
from evenhand_sdk.tiny import tiny_causal


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_it_and_its_copy_are_saved_into_a_new_folder(family: str, tmp_path: Path) -> None:
    model = copy.deepcopy(tiny_causal(family)[0])
    prepare(model)
    for name, each in (("own", model), ("copy", copy.deepcopy(model))):
        folder = tmp_path / "new" / name
        each.save_pretrained(folder)
        assert (folder / "model.safetensors").is_file()
        assert json.loads((folder / "adapter_interface.json").read_text())["model_type"] == family


def test_an_interface_can_be_read_from_a_pickle(tmp_path: Path) -> None:
    from adapters.wrappers.interfaces import get_adapter_interface

    interface = pickle.loads(pickle.dumps(savable_anywhere(copy.deepcopy(get_adapter_interface("qwen2")))))
    assert interface._save.interface is interface
