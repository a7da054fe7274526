"""What is put onto a model from a folder: plain bottleneck adapters that are whole, or nothing at all."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from evenhand_adapterfusion import load_adapter
from evenhand_sdk import UsageError

PLAIN = "what the library calls seq_bn, double_seq_bn and par_bn can be put onto a model"


def of_the_library(model: Any, folder: Path, kind: str) -> Path:
    """An adapter of this kind that has learned, saved by the library alone."""
    import adapters
    import torch

    made = copy.deepcopy(model)
    adapters.init(made)
    made.add_adapter("theirs", config=kind)
    noise = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, p in made.named_parameters():
            if "theirs" in name:
                p.add_(0.2 * torch.randn(p.shape, generator=noise))
    made.save_adapter(str(folder), "theirs", with_head=False, use_safetensors=True)
    return folder


def state(model: Any) -> list[Any]:
    """Modules with their classes and hooks, and parameters with their marks: what must stay as it was."""
    return [
        [(n, type(m), len(m._forward_hooks), sorted(vars(m))) for n, m in model.named_modules()],
        [(n, id(p), p.requires_grad) for n, p in model.named_parameters()],
    ]


@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt2", "bert", "roberta"])
def test_an_adapter_of_another_kind_is_refused_by_name(host: Any, family: str, tmp_path: Path) -> None:
    """Its matrices have no place here: it would be on and do nothing."""
    run = host(family)
    before = state(run.model)
    folder = of_the_library(run.model, tmp_path / "lora", "lora")
    with pytest.raises(UsageError) as error:
        load_adapter(run.model, folder)
    assert str(error.value) == (
        f"{folder}: this is no plain bottleneck adapter but one of the kind 'lora'\n  {PLAIN}\n"
        "  use the library `adapters` itself for this one"
    )
    assert state(run.model) == before


def with_settings(folder: Path, **settings: Any) -> Path:
    """The same files, with other settings told in them."""
    told = json.loads((folder / "adapter_config.json").read_text())
    told["config"].update(settings)
    (folder / "adapter_config.json").write_text(json.dumps(told))
    return folder


def test_a_bottleneck_with_more_than_two_linear_maps_is_refused(host: Any, tmp_path: Path) -> None:
    run = host("bert")
    folder = of_the_library(run.model, tmp_path / "saved", "seq_bn_inv")
    with pytest.raises(UsageError, match="no plain bottleneck adapter but has an invertible part at the embeddings"):
        load_adapter(run.model, folder)
    with_settings(folder, inv_adapter=None, phm_layer=True)
    with pytest.raises(UsageError, match="no plain bottleneck adapter but has hypercomplex layers"):
        load_adapter(run.model, folder)


def test_an_adapter_that_has_no_part_in_any_layer_is_refused(host: Any, tmp_path: Path) -> None:
    run = host("bert")
    before = state(run.model)
    folder = with_settings(of_the_library(run.model, tmp_path / "saved", "seq_bn"), leave_out=[0, 1])
    with pytest.raises(UsageError) as error:
        load_adapter(run.model, folder)
    assert str(error.value) == f"{folder}: this adapter has no part in any layer of this model"
    assert state(run.model) == before
