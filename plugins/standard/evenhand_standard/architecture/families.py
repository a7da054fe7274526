"""How model families name their parameters and their parts, for plugins that choose them by what they do.

A family is a row: patterns of parameter names, and the paths of the modules of one layer (`layer_parts.py` reads a
model by them). To support another one, add a row here and its tiny configuration to
`tests/standard/family_models.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal

from evenhand_sdk import ModelShape, UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


Fused = Literal["no", "blocks", "heads"]


@dataclass(frozen=True, kw_only=True)
class LayerPaths:
    """Where the modules of one layer are, as paths below it."""

    layers: str
    """The list of layers, below `model.base_model`."""
    query: str
    key: str
    value: str
    fused: Fused = "no"
    """How one module gives query, key and value: all queries first (`blocks`), or head by head (`heads`)."""
    output: str
    """From the heads back to the residual stream."""
    feed_forward_in: tuple[str, ...]
    """The maps that read the residual stream: one, or gate and up."""
    feed_forward_out: str
    attention_norm: str
    """What normalises before the attention, or behind it in families that normalise sums."""
    feed_forward_norm: str
    query_norm: str | None = None
    """Normalises each head's query, in the types that have it."""
    norm_offset: float = 0.0
    """A normalisation multiplies with this plus its weight."""
    bias_switches: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Setting of the configuration -> the modules that it gives a bias, where the configuration has the setting."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """Patterns, searched for in parameter names; None where the family has no such tensors."""

    model_types: tuple[str, ...]
    """Values of `config.model_type`."""
    paths: LayerPaths
    """The modules of a layer."""
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


_DECODER: Final = LayerPaths(
    layers="layers",
    query="self_attn.q_proj",
    key="self_attn.k_proj",
    value="self_attn.v_proj",
    output="self_attn.o_proj",
    feed_forward_in=("mlp.gate_proj", "mlp.up_proj"),
    feed_forward_out="mlp.down_proj",
    attention_norm="input_layernorm",
    feed_forward_norm="post_attention_layernorm",
    query_norm="self_attn.q_norm",
    bias_switches={
        "attention_bias": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"),
        "mlp_bias": ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"),
    },
)
_ENCODER: Final = LayerPaths(
    layers="encoder.layer",
    query="attention.self.query",
    key="attention.self.key",
    value="attention.self.value",
    output="attention.output.dense",
    feed_forward_in=("intermediate.dense",),
    feed_forward_out="output.dense",
    attention_norm="attention.output.LayerNorm",
    feed_forward_norm="output.LayerNorm",
)


def _decoder(*model_types: str, paths: LayerPaths) -> Family:
    return Family(
        model_types=model_types,
        paths=paths,
        layer=r"^model\.layers\.(\d+)\.",
        norms=r"norm\.weight$",
        token_embeddings=r"^model\.embed_tokens\.",
        mlp_output=r"\.mlp\.down_proj\.",
        attention=r"\.self_attn\.",
        attention_output=r"\.self_attn\.o_proj\.weight$",
    )


FAMILIES: Final = (
    _decoder("llama", "mistral", "smollm3", "qwen2", "qwen3", paths=_DECODER),
    _decoder("gemma", paths=replace(_DECODER, norm_offset=1.0)),
    # These also normalise what attention and feed-forward block give.
    _decoder(
        "gemma2",
        "gemma3_text",
        paths=replace(_DECODER, norm_offset=1.0, feed_forward_norm="pre_feedforward_layernorm"),
    ),
    Family(
        model_types=("gpt2",),
        paths=LayerPaths(
            layers="h",
            query="attn.c_attn",
            key="attn.c_attn",
            value="attn.c_attn",
            fused="blocks",
            output="attn.c_proj",
            feed_forward_in=("mlp.c_fc",),
            feed_forward_out="mlp.c_proj",
            attention_norm="ln_1",
            feed_forward_norm="ln_2",
        ),
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
        paths=LayerPaths(
            layers="layers",
            query="attention.query_key_value",
            key="attention.query_key_value",
            value="attention.query_key_value",
            fused="heads",
            output="attention.dense",
            feed_forward_in=("mlp.dense_h_to_4h",),
            feed_forward_out="mlp.dense_4h_to_h",
            attention_norm="input_layernorm",
            feed_forward_norm="post_attention_layernorm",
            bias_switches={"attention_bias": ("attention.query_key_value", "attention.dense")},
        ),
        layer=r"^gpt_neox\.layers\.(\d+)\.",
        norms=r"(layernorm|layer_norm)\.",
        token_embeddings=r"^gpt_neox\.embed_in\.",
        mlp_output=r"\.mlp\.dense_4h_to_h\.",
        attention=r"\.attention\.",
        attention_output=r"\.attention\.dense\.weight$",
    ),
    Family(
        model_types=("bert",),
        paths=_ENCODER,
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
        paths=_ENCODER,
        layer=r"^roberta\.encoder\.layer\.(\d+)\.",
        norms=r"(LayerNorm|layer_norm)\.",
        token_embeddings=r"^roberta\.embeddings\.word_embeddings\.",
        position_embeddings=r"^roberta\.embeddings\.position_embeddings\.",
        mlp_output=r"layer\.\d+\.output\.dense\.",
        attention=r"\.attention\.",
        attention_output=r"\.attention\.output\.dense\.weight$",
    ),
)


_ADD: Final = "add a Family with its patterns to evenhand_standard/architecture/families.py"


def family_of(model: PreTrainedModel) -> Family:
    """The family that a model belongs to by `config.model_type`; UsageError for one that is not described."""
    name = model.config.model_type
    if (family := described(name)) is not None:
        return family
    raise UsageError(
        f"nothing is known about the parameter names of models of type {name!r}",
        where="model families",
        known=f"described are {_all_types()}",
        do=_ADD,
    )


def described(model_type: str) -> Family | None:
    """The family of a type; None where it is not described."""
    return next((family for family in FAMILIES if model_type in family.model_types), None)


def undescribed(shape: ModelShape) -> list[str]:
    """For a step that reads layers: the sentence that nothing is known about those of a model; none where it is."""
    if described(shape.model_type) is not None:
        return []
    return [
        f"nothing is known about the layers of models of type {shape.model_type!r}; described are {_all_types()}; "
        f"{_ADD}"
    ]


def _all_types() -> str:
    return ", ".join(t for family in FAMILIES for t in family.model_types)


def layer_numbers(names: Iterable[str], family: Family) -> dict[str, int]:
    """The layer of each parameter that belongs to one."""
    found = {name: re.search(family.layer, name) for name in names}
    return {name: int(match[1]) for name, match in found.items() if match}
