"""Experts that are adapters of one set of weights, switched on for a pass and off again.

Reads the LoRA folders that `peft` writes (adapter_config.json, adapter_model.safetensors) and adds
`scale * (x A^T) B^T` to the outputs of the layers they name; the weights are never touched.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand_sdk import DigestMismatch, UsageError
from evenhand_sdk.storage import damage
from evenhand_standard.architecture.peft_folder import FACTS, base_digest

if TYPE_CHECKING:
    import torch

KEY = re.compile(r"^base_model\.model\.(?P<module>.+)\.lora_(?P<part>[AB])(?:\.default)?\.weight$")
REFUSED = ("use_dora", "rank_pattern", "alpha_pattern", "modules_to_save", "layer_replication", "lora_bias")
"""Settings of `peft` that mean more than the formula above."""


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter on a model's device."""

    name: str
    layers: Mapping[str, tuple[torch.Tensor, torch.Tensor]]
    """Module -> (A [r, in], B [out, r])."""
    scale: float


def is_adapter(folder: str) -> bool:
    """Whether a folder holds an adapter and no whole model."""
    return (Path(folder) / "adapter_config.json").is_file()


def read_adapter(folder: str, model: Any) -> Adapter:
    """The adapter of a folder for this model; UsageError for one that is not there, not LoRA, or of another model."""
    from safetensors.torch import load_file

    place = Path(folder)
    config_file, weights = place / "adapter_config.json", place / "adapter_model.safetensors"
    where = f"adapter {folder!r}"
    if missing := [path.name for path in (config_file, weights) if not path.is_file()]:
        raise UsageError(f"there is no {missing[0]}", where=where, do="give a folder that peft has saved")
    own = place / FACTS
    if own.is_file() and (broken := damage(place, full=True)):  # folders of other programs have no seal
        raise DigestMismatch(f"it is damaged: {broken}", where=where, do="copy it again, or train it again")
    try:
        config = dict(json.loads(config_file.read_text(encoding="utf-8")))
        rank, alpha = int(config["r"]), float(config["lora_alpha"])
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError("its adapter_config.json cannot be read", where=where, known=repr(error)) from error
    if config.get("peft_type") != "LORA":
        raise UsageError(f"it is {config.get('peft_type')}, not LORA", where=where, do="train a LoRA adapter")
    if special := [name for name in REFUSED if config.get(name)]:
        raise UsageError(f"it has {special[0]}, which is not read here", where=where, do="train a plain LoRA adapter")
    found: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in load_file(str(weights)).items():
        match = KEY.match(key)
        if match is None:
            raise UsageError(f"it has a tensor {key!r}, which is no part of plain LoRA", where=where)
        found.setdefault(match["module"], {})[match["part"]] = tensor.to(model.device, model.dtype)
    modules = dict(model.named_modules())
    for name, parts in found.items():
        layer = getattr(modules.get(name), "weight", None)
        fits = layer is not None and set(parts) == {"A", "B"}
        shape = {parts["A"].shape[1], parts["B"].shape[0]} if fits else set()
        if not fits or shape != set(layer.shape):
            raise UsageError(f"its layer {name!r} does not fit this model", where=where, do="train it on this model")
    if own.is_file():
        _demand_base(json.loads(own.read_text(encoding="utf-8")).get("base"), model, list(found), where)
    scale = alpha / (rank**0.5 if config.get("use_rslora") else rank)
    return Adapter(folder, {name: (parts["A"], parts["B"]) for name, parts in found.items()}, scale)


def _demand_base(wanted: str | None, model: Any, paths: Sequence[str], where: str) -> None:
    """Raises UsageError where the matrices beside which an adapter was trained are not those of the model."""
    now = base_digest(model, paths)
    if wanted is not None and now is not None and wanted != now:
        raise UsageError(
            "it was trained beside other weights than those of this model",
            where=where,
            known=f"their digest is {wanted[:12]}, that of the model's is {now[:12]}",
            do="take the model that it was trained on, before any step of a recipe has moved it",
        )


@contextlib.contextmanager
def switched_on(model: Any, adapter: Adapter, rows: Sequence[int] | None = None) -> Iterator[None]:
    """A block in which the model computes with the adapter, in this thread and no other; `rows` of each batch, or all.

    Raises UsageError where single rows are meant and a layer does not keep them apart.
    """
    import torch

    mine = threading.get_ident()
    index = None if rows is None else torch.tensor(list(rows), device=model.device)

    def hook(name: str, a: torch.Tensor, b: torch.Tensor) -> Callable[..., torch.Tensor]:
        def add(module: Any, inputs: Any, output: torch.Tensor) -> torch.Tensor:
            if threading.get_ident() != mine:
                return output
            x = inputs[0]
            if index is not None and x.dim() != 3:
                raise UsageError(
                    f"its layer {name!r} reads the tokens of all texts at once, so that it cannot act on one of them",
                    where=f"adapter {adapter.name!r}",
                    do="train the adapter on layers of the attention",
                )
            x = x if index is None else x[index]
            change = (adapter.scale * (x.to(a.dtype) @ a.T) @ b.T).to(output.dtype)
            return output + change if index is None else output.index_add(0, index, change)

        return add

    modules = dict(model.named_modules())
    handles = [
        modules[name].register_forward_hook(hook(name, a, b), prepend=True) for name, (a, b) in adapter.layers.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
