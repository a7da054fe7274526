"""Which model an adapter was trained for: a digest of the weights of its body, without any adapter.

An adapter sits in the body, below the head. So the same body counts as the same base whether it is loaded alone, as a
language model or as a classifier: names are those within the body, and the pooler is left out, which only some classes
have and which a class that adds it draws at random. Adapters from before that have a digest of the whole model.

The same weights may be loaded in a shorter number format than they were saved in. So there is one digest of the weights
rounded to bfloat16 and one of those rounded to float16; a model in float16 is compared by the second.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from evenhand_sdk import UsageError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

KEY: Final = "base_digest"
"""In the saved facts: the digests of the model that the adapter was trained on."""
FINAL: Final = "model_digest"
"""In the saved facts, where it is another one: those of the finished model of the run, beside which it was saved."""
BODY: Final = {"of": "body"}
"""What sets digests of the body apart from the older ones of the whole model."""
ADDED: Final = re.compile(
    r"^pooler\.|(^|\.)evenhand_[^.]*$"
    r"|(^|\.)(adapters|adapter_fusion_layer|loras|refts|prefix_tunings|invertible_adapters|shared_parameters)\."
)
"""Names in the body that are not its own: a pooler, what steps add to its modules, what the library's adapters are."""


def body_of(model: PreTrainedModel) -> Any:
    """The model below its head; for a class whose `base_model` is the whole (Gemma 3), its part `model`."""
    body = model.base_model
    return getattr(model, "model", body) if body is model else body


def base_digest(model: PreTrainedModel) -> dict[str, str]:
    """Number format -> digest of all parameters of the body that no step has added; and `of`: "body"."""
    own = _own(body_of(model)).items()
    return {**BODY, **_digests({name: p for name, p in own if not ADDED.search(name)})}


def bases(model: PreTrainedModel, trained_on: dict[str, str] | None) -> dict[str, dict[str, str]]:
    """What is kept with an adapter: the digests it was trained on and, where they differ, those of the model of now.

    Nothing where it is not known what it was trained on.
    """
    if trained_on is None:
        return {}
    now = base_digest(model)
    return {KEY: trained_on} if now == trained_on else {KEY: trained_on, FINAL: now}


def _whole_digest(model: PreTrainedModel) -> dict[str, str]:
    """The same of the whole model, under its full names: what adapters were saved with before."""
    return _digests(_own(model))


def _own(module: Any) -> dict[str, torch.nn.Parameter]:
    """The parameters of a model that are part of no adapter, fusion or other step, by name."""
    added = tuple(f"{name}." for name, part in module.named_modules() if name and hasattr(part, "evenhand_part"))
    return {name: p for name, p in module.named_parameters() if not name.startswith(added)}


def _digests(parameters: Mapping[str, torch.nn.Parameter]) -> dict[str, str]:
    import torch

    formats = {"bfloat16": torch.bfloat16, "float16": torch.float16}
    sums = {name: hashlib.blake2b(digest_size=16) for name in formats}
    for name, p in sorted(parameters.items()):
        for label, dtype in formats.items():
            sums[label].update(name.encode())
            rounded = p.detach().to(dtype).contiguous().flatten()
            sums[label].update(rounded.view(torch.uint8).cpu().numpy())
    return {label: found.hexdigest() for label, found in sums.items()}


def demand_base(model: PreTrainedModel, facts: Mapping[str, Any], what: str, folder: Path) -> None:
    """UsageError when the facts beside an adapter name other models than this; without a digest, nothing is known."""
    stored = [d for d in (facts.get(KEY), facts.get(FINAL)) if isinstance(d, dict)]
    if not stored:
        return
    label = "float16" if str(model.dtype) == "torch.float16" else "bfloat16"
    of_body = [d.get("of") == BODY["of"] for d in stored]
    now = {kind: (base_digest if kind else _whole_digest)(model)[label] for kind in set(of_body)}
    if any(d.get(label) == now[kind] for d, kind in zip(stored, of_body, strict=True)):
        return
    known = f"trained for {stored[0].get(label)}, this model is {now[of_body[0]]}"
    if not of_body[0]:
        known += "; this older digest includes the head, so that the same body with another head differs"
    raise UsageError(
        f"{what} was trained for another base model: the digest of the weights differs",
        where=str(folder),
        known=known,
        do="load the model that it was trained for",
    )
