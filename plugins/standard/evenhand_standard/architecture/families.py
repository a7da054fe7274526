"""How model families name their parameters, for plugins that choose tensors by what they do.

A family is a row of patterns. To support another one, add a row and its tiny configuration to
`tests/standard/test_selective_update.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from evenhand_sdk import UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True, kw_only=True)
class Family:
    """Patterns, searched for in parameter names; None where the family has no such tensors."""

    model_types: tuple[str, ...]
    """Values of `config.model_type`."""
    layer: str
    """One group: the number of the layer, counted from the input."""
    norms: str
    token_embeddings: str
    position_embeddings: str | None = None
    """None where positions are rotations, which are not learned."""
    mlp_output: str
    """The map from the feed-forward block back to the residual stream."""
    attention: str
    attention_output: str
    """The map from the heads' outputs, side by side, back to the residual stream."""


FAMILIES: Final = (
    Family(
        model_types=(
            "llama",
            "mistral",
            "smollm3",
            "qwen2",
            "qwen3",
            "gemma",
            "gemma2",
            "gemma3_text",
        ),
        layer=r"^model\.layers\.(\d+)\.",
        norms=r"norm\.weight$",
        token_embeddings=r"^model\.embed_tokens\.",
        mlp_output=r"\.mlp\.down_proj\.",
        attention=r"\.self_attn\.",
        attention_output=r"\.self_attn\.o_proj\.weight$",
    ),
    Family(
        model_types=("gpt2",),
        layer=r"^transformer\.h\.(\d+)\.",
        norms=r"\.ln_(1|2|f)\.",
        token_embeddings=r"^transformer\.wte\.",
        position_embeddings=r"^transformer\.wpe\.",
        mlp_output=r"\.mlp\.c_proj\.",
        attention=r"\.attn\.",
        attention_output=r"\.attn\.c_proj\.weight$",
    ),
    Family(
        model_types=("gpt_neox",),
        layer=r"^gpt_neox\.layers\.(\d+)\.",
        norms=r"(layernorm|layer_norm)\.",
        token_embeddings=r"^gpt_neox\.embed_in\.",
        mlp_output=r"\.mlp\.dense_4h_to_h\.",
        attention=r"\.attention\.",
        attention_output=r"\.attention\.dense\.weight$",
    ),
    Family(
        model_types=("bert",),
        layer=r"^bert\.encoder\.layer\.(\d+)\.",
        norms=r"LayerNorm\.",
        token_embeddings=r"^bert\.embeddings\.word_embeddings\.",
        position_embeddings=r"^bert\.embeddings\.position_embeddings\.",
        mlp_output=r"layer\.\d+\.output\.dense\.",
        attention=r"\.attention\.",
        attention_output=r"\.attention\.output\.dense\.weight$",
    ),
    Family(
        model_types=("roberta", "xlm-roberta", "camembert"),
        layer=r"^roberta\.encoder\.layer\.(\d+)\.",
        norms=r"(LayerNorm|layer_norm)\.",
        # Transformers 5 lists the matrix that both ends share under the name it has in the head.
        token_embeddings=r"^(roberta\.embeddings\.word_embeddings\.|lm_head\.decoder\.weight$)",
        position_embeddings=r"^roberta\.embeddings\.position_embeddings\.",
        mlp_output=r"layer\.\d+\.output\.dense\.",
        attention=r"\.attention\.",
        attention_output=r"\.attention\.output\.dense\.weight$",
    ),
)


def family_of(model: PreTrainedModel) -> Family:
    """The family that a model belongs to by `config.model_type`; UsageError for one that is not described."""
    name = model.config.model_type
    for family in FAMILIES:
        if name in family.model_types:
            return family
    known = ", ".join(t for family in FAMILIES for t in family.model_types)
    raise UsageError(
        f"nothing is known about the parameter names of models of type {name!r}",
        where="model families",
        known=f"described are {known}",
        do="add a Family with its patterns to evenhand_standard/architecture/families.py",
    )


def layer_numbers(names: Iterable[str], family: Family) -> dict[str, int]:
    """The layer of each parameter that belongs to one."""
    found = {name: re.search(family.layer, name) for name in names}
    return {name: int(match[1]) for name, match in found.items() if match}
