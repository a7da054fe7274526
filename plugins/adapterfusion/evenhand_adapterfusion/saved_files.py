"""The files of a saved adapter or fusion, read and judged before a model is touched."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from evenhand_sdk import UsageError

if TYPE_CHECKING:
    import torch

CONFIG: Final = "adapter_config.json"
WEIGHTS: Final = "adapter.safetensors"
FUSION_CONFIG: Final = "adapter_fusion_config.json"
FUSION_WEIGHTS: Final = "model_adapter_fusion.safetensors"
BEYOND: Final = {"phm_layer": "hypercomplex layers", "inv_adapter": "an invertible part at the embeddings"}
"""Settings of a bottleneck adapter that bring parts outside of its layers, or other ones than two linear maps."""


def read_config(path: Path) -> dict[str, Any]:
    """The library's configuration file beside an adapter or a fusion, which has what was kept with it.

    Raises UsageError for a file that is no JSON object with a `name` and, in `config`, the settings.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{path.name} cannot be read", where=str(path.parent), known=str(error)) from error
    if not isinstance(found, dict):
        raise UsageError(f"{path.name} is no table of settings", where=str(path.parent))
    if not isinstance(found.get("name"), str):
        raise UsageError(f"{path.name} does not say the name", where=str(path.parent), known="a text under `name`")
    if not isinstance(found.get("config"), dict):
        raise UsageError(f"{path.name} has no settings", where=str(path.parent), known="a table under `config`")
    return found


def demand_bottleneck(config: Mapping[str, Any], folder: Path) -> None:
    """UsageError unless the settings are those of a plain bottleneck adapter; other kinds would act nowhere here."""
    kind = config.get("architecture")
    more = [what for key, what in BEYOND.items() if config.get(key)]
    if kind is None and not more:
        return
    raise UsageError(
        f"this is no plain bottleneck adapter but {f'one of the kind {kind!r}' if kind else f'has {more[0]}'}",
        where=str(folder),
        known="what the library calls seq_bn, double_seq_bn and par_bn can be put onto a model",
        do="use the library `adapters` itself for this one",
    )


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file, by name; no other format is opened, since others may run code.

    Raises UsageError for a file that is missing, damaged, empty, or has a number in it that is none.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise UsageError(f"there is no {path.name}", where=str(path.parent), do="save it with use_safetensors=True")
    try:
        found: dict[str, torch.Tensor] = load_file(path, device="cpu")
    except (SafetensorError, OSError, ValueError) as error:
        raise UsageError(
            f"{path.name} is damaged", where=str(path.parent), known=str(error), do="copy or fetch it again"
        ) from error
    for name, tensor in found.items():
        if not torch.isfinite(tensor).all():
            raise UsageError(f"{path.name} has numbers that are not finite", where=str(path.parent), known=name)
    return found


def fitting(
    stored: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Size], own: str, folder: Path
) -> dict[str, torch.Tensor]:
    """Of tensors as they were saved those that are wanted, under the names of the model's body.

    What was saved with a head, or without, has names that begin otherwise, so they are found by how they end. `own`
    is in the names of all tensors that have to have a place. Raises UsageError when one is missing, has no place, or
    has another shape.
    """
    by_end = {}
    for name in stored:
        if own in name:
            by_end[next((end for end in wanted if f".{name}".endswith(f".{end}")), name)] = name
    for end, shape in wanted.items():
        if end not in by_end:
            raise UsageError(f"the saved tensors have no {end!r}, which this model needs", where=str(folder))
        found = stored[by_end[end]].shape
        if found != shape:
            raise UsageError(
                f"a saved tensor does not fit this model: it is {list(found)} and should be {list(shape)}",
                where=str(folder),
                known=end,
                do="load the model that it was trained for",
            )
    if extra := sorted(by_end.keys() - wanted.keys()):
        raise UsageError(f"this model has no place for the saved tensor {extra[0]!r}", where=str(folder))
    return {end: stored[by_end[end]] for end in wanted}


@contextmanager
def or_undone(undo: Callable[[], None], folder: Path) -> Iterator[None]:
    """Whatever goes wrong in the block is taken back, and an error of the library becomes a UsageError."""
    try:
        yield
    except BaseException as error:
        undo()
        if isinstance(error, UsageError) or not isinstance(error, Exception):
            raise
        reason = str(error).partition("\n")[0]
        raise UsageError(
            "the library `adapters` cannot build this on this model",
            where=str(folder),
            known=f"{type(error).__name__}: {reason}",
        ) from error
