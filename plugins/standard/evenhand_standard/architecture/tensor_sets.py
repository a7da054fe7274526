"""Named sets of a model's tensors: norms, biases, late feed-forward outputs, and so on, by the names of parameters."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from evenhand_sdk import UsageError
from evenhand_standard.architecture.families import Family, family_of, layer_numbers
from evenhand_standard.architecture.low_rank import is_lora
from evenhand_standard.architecture.own_parameters import own_parameters
from evenhand_standard.architecture.plain_weights import SCALE, quantised

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TensorSet = Literal[
    "norms",
    "biases",
    "position-embeddings",
    "token-embeddings",
    "mlp-output",
    "attention",
    "top-layers",
    "all",
    "lora",
]


def selected(model: PreTrainedModel, sets: Sequence[TensorSet], layers: float) -> list[str]:
    """Names of the model's own parameters in any of the sets, in their order.

    Raises UsageError for a set without any, and for one that holds quantised weights.
    """
    short = quantised(model)
    names = [name for name in own_parameters(model) if not is_lora(name)]  # which have a step of their own
    names = [name for name in names if name not in short and not name.rpartition(".")[2].startswith(SCALE)]
    if "all" in sets:
        return names
    family = _with_listed_embeddings(family_of(model), model)
    members = {s: _members(s, names, family, layers) for s in SETS}
    for wanted in sets:
        _demand_plain(wanted, _members(wanted, [*names, *short], family, layers), short)
        if not members[wanted]:
            raise UsageError(
                f"a model of type {model.config.model_type!r} has no tensors in the set {wanted!r}",
                where="option select",
                known=f"it has {', '.join(s for s, found in members.items() if found or s == 'lora')}",
            )
    chosen = {name for wanted in sets for name in members[wanted]}
    return [name for name in names if name in chosen]


def _with_listed_embeddings(family: Family, model: PreTrainedModel) -> Family:
    """Also knows the name of the input embeddings in the head, where transformers 5 lists a matrix that both share."""
    shared = model.get_input_embeddings().weight
    listed = [f"^{re.escape(name)}$" for name, parameter in model.named_parameters() if parameter is shared]
    return replace(family, token_embeddings="|".join([family.token_embeddings, *listed]))


def _demand_plain(wanted: TensorSet, members: Sequence[str], short: Mapping[str, str]) -> None:
    for name in members:
        if name in short:
            raise UsageError(
                f"{name!r} in the set {wanted!r} is quantised ({short[name]}), and no training moves it",
                where="option select",
                known=f"quantised tensors of the model: {len(short)}",
                do="load the model without quantisation, or select sets without these tensors, such as norms",
            )


def size(model: PreTrainedModel, chosen: Sequence[str] | set[str]) -> dict[str, float]:
    """How many tensors and parameters were chosen, and their share of all parameters."""
    total = sum(p.numel() for p in model.parameters())
    count = sum(p.numel() for name, p in model.named_parameters() if name in chosen)
    return {"tensors": len(chosen), "parameters": count, "share": count / total}


def _members(wanted: TensorSet, names: Sequence[str], family: Family, layers: float) -> list[str]:
    number = layer_numbers(names, family)
    depth = max(number.values(), default=-1) + 1
    late = depth - math.ceil(layers * depth)
    return [name for name in names if SETS[wanted](name, family, number.get(name, -1) >= late)]


def _matching(field: str) -> Callable[[str, Family, bool], bool]:
    def test(name: str, family: Family, late: bool) -> bool:
        pattern = getattr(family, field)
        return pattern is not None and re.search(pattern, name) is not None

    return test


SETS: dict[TensorSet, Callable[[str, Family, bool], bool]] = {
    "norms": _matching("norms"),
    "biases": lambda name, family, late: name.endswith(".bias"),
    "position-embeddings": _matching("position_embeddings"),
    "token-embeddings": _matching("token_embeddings"),
    "mlp-output": lambda name, family, late: late and _matching("mlp_output")(name, family, late),
    "attention": _matching("attention"),
    "top-layers": lambda name, family, late: late,
    "all": lambda name, family, late: True,
    "lora": lambda name, family, late: False,  # these are no tensors of the model, but put beside them
}
"""Set -> whether a parameter is in it, from its name and whether its layer is among the last ones."""
