"""Tiny language models with a real tokenizer, made from a seed in about a second and without a network.

They know nothing, but they are whole: a byte-level BPE tokenizer learned from sentences in this package, a
Hugging Face architecture with two layers, and weights wide enough that next-token distributions are far from
flat. Tests, the conformance checks and the tutorial run on them.

    model, tokenizer = tiny_causal()
    save_tiny("tiny-model", family="gpt2")          # a folder that a recipe can name
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from evenhand.contributions import Kind
from evenhand.errors import UsageError
from evenhand.near_match import did_you_mean

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

CAUSAL_FAMILIES: Final = ("llama", "gpt2", "qwen2", "gemma3")
MASKED_FAMILIES: Final = ("bert", "roberta")
VOCABULARY: Final = 1000
LENGTH: Final = 512
"""Positions that every tiny model has."""
HIDDEN: Final = 32
SPREAD: Final = 0.3
"""Standard deviation of the weights. The usual 0.02 would make all next-token distributions flat."""

_FREQUENT = """
he she his her him hers himself herself man woman men women boy girl boys girls father mother son daughter
brother sister husband wife uncle aunt king queen nurse engineer doctor teacher lawyer secretary farmer judge
manager person people Mary John Anna Peter the a an is was are and that said not in of to with for good bad
"""
WORDS: Final = tuple(_FREQUENT.split())
"""Words that are one token each, behind a space."""
FIRST_WORDS: Final = ("He", "She", "His", "Her", "The", "A", "Mary", "John", "Anna", "Peter")
"""Words that are one token each at the beginning of a text, too."""

_SPECIAL: Final[dict[str, dict[str, str]]] = {
    "llama": {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"},
    "gpt2": {"pad_token": "<|pad|>", "bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"},
    "qwen2": {"pad_token": "<|pad|>", "eos_token": "<|endoftext|>"},
    "gemma3": {"pad_token": "<pad>", "bos_token": "<bos>", "eos_token": "<eos>"},
    "bert": {
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    },
    "roberta": {
        "bos_token": "<s>",
        "pad_token": "<pad>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "mask_token": "<mask>",
        "cls_token": "<s>",
        "sep_token": "</s>",
    },
}
_AROUND: Final = {"gemma3": ("<bos>", ""), "bert": ("[CLS]", "[SEP]"), "roberta": ("<s>", "</s>")}
"""Tokens that the tokenizer adds before and after a text; the other families add none."""
_INPUTS: Final = {"bert": ["input_ids", "token_type_ids", "attention_mask"]}
"""What the tokenizer gives a model, where that is more than ids and mask; as the real ones do."""


def tiny_causal(family: str = "llama", seed: int = 0) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """A causal model in evaluation mode, 50,000 to 75,000 parameters, and its tokenizer.

    `family` is llama, gpt2, qwen2 or gemma3 (whose tokenizer puts a BOS token first). The same seed gives the
    same bytes; the global random state is left alone. UsageError for another family.
    """
    _known(family, CAUSAL_FAMILIES)
    return _model(family, seed), tiny_tokenizer(family)


def tiny_masked(family: str = "bert", seed: int = 0) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """A masked model in evaluation mode, and its tokenizer; `family` is bert or roberta.

    Otherwise as `tiny_causal`.
    """
    _known(family, MASKED_FAMILIES)
    return _model(family, seed), tiny_tokenizer(family)


def save_tiny(folder: str | Path, *, family: str = "llama", seed: int = 0) -> Path:
    """Write a tiny model, causal or masked by its family, as a Hugging Face folder of safetensors."""
    _known(family, CAUSAL_FAMILIES + MASKED_FAMILIES)
    path = Path(folder)
    _model(family, seed).save_pretrained(path, safe_serialization=True)
    tiny_tokenizer(family).save_pretrained(path)
    return path


def tiny_sentences() -> list[str]:
    """The sentences that the tokenizer is learned from, half of them about people: text for tests."""
    return resources.files("evenhand_sdk").joinpath("tiny_text.txt").read_text(encoding="utf-8").splitlines()


def kind_of(family: str) -> Kind:
    """Whether a family is `causal` or `masked`."""
    _known(family, CAUSAL_FAMILIES + MASKED_FAMILIES)
    return "masked" if family in MASKED_FAMILIES else "causal"


def tiny_tokenizer(family: str = "llama") -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of about 1,000 entries with a family's special tokens, for any text.

    The words in `WORDS` are single tokens behind a space, those in `FIRST_WORDS` also at the start of a text.
    """
    import tokenizers  # type: ignore[import-untyped]
    from transformers import PreTrainedTokenizerFast

    _known(family, CAUSAL_FAMILIES + MASKED_FAMILIES)
    tokens: dict[str, Any] = dict(_SPECIAL[family])
    if family == "roberta":
        tokens["mask_token"] = tokenizers.AddedToken("<mask>", lstrip=True, special=True)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizers.Tokenizer.from_str(_learned(family)),
        model_max_length=LENGTH,
        padding_side="right",
        model_input_names=_INPUTS.get(family, ["input_ids", "attention_mask"]),
        clean_up_tokenization_spaces=False,
        **tokens,
    )


@cache
def _learned(family: str) -> str:
    """The tokenizer as its library writes it: learned once in a process, because learning takes most of the time."""
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers, processors, trainers

    special = _SPECIAL[family]
    core = tokenizers.Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        # As in the real one, the mask takes the space before it; transformers 5 reads this from the core alone.
        special_tokens=[
            tokenizers.AddedToken(token, lstrip=token == "<mask>", special=True)
            for token in dict.fromkeys(special.values())
        ],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    # The words are repeated so often that their merges are learned before any others.
    text = [*tiny_sentences(), *[" " + " ".join(WORDS)] * 200, *FIRST_WORDS * 200]
    core.train_from_iterator(text, trainer)
    if family in _AROUND:
        before, after = _AROUND[family]
        core.post_processor = processors.TemplateProcessing(
            single=f"{before} $A {after}".strip(),
            pair=f"{before} $A {after} $B:1 {after}:1" if after else f"{before} $A $B:1",
            special_tokens=[(t, core.token_to_id(t)) for t in (before, after) if t],
        )
    return str(core.to_str())


def _known(family: str, families: tuple[str, ...]) -> None:
    if family not in families:
        raise UsageError(
            f"there is no tiny model of the family {family!r}{did_you_mean(family, families)}",
            known=f"families: {', '.join(families)}",
        )


def _ids(tokenizer: Any) -> dict[str, int]:
    names = ("pad", "bos", "eos")
    return {f"{n}_token_id": i for n in names if (i := getattr(tokenizer, f"{n}_token_id")) is not None}


def _model(family: str, seed: int) -> PreTrainedModel:
    import torch
    import transformers

    tokenizer = tiny_tokenizer(family)
    common: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "initializer_range": SPREAD,
        "tie_word_embeddings": True,
        **_ids(tokenizer),
    }
    shape = {
        "hidden_size": HIDDEN,
        "intermediate_size": 2 * HIDDEN,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
    decoder = {**common, **shape, "num_key_value_heads": 2, "max_position_embeddings": LENGTH}
    encoder = {**common, **shape, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config: Any
    if family == "llama":
        config = transformers.LlamaConfig(**decoder)
    elif family == "qwen2":
        config = transformers.Qwen2Config(**decoder)
    elif family == "gemma3":
        # One layer with a sliding window and one without, as in the real model.
        config = transformers.Gemma3TextConfig(
            **decoder,
            head_dim=8,
            query_pre_attn_scalar=8,
            sliding_window=32,
            layer_types=["sliding_attention", "full_attention"],
        )
    elif family == "gpt2":
        gpt2 = {"n_embd": HIDDEN, "n_layer": 2, "n_head": 4, "n_positions": LENGTH}
        dropout = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
        config = transformers.GPT2Config(**common, **gpt2, **dropout)
    elif family == "bert":
        config = transformers.BertConfig(**encoder, max_position_embeddings=LENGTH)
    else:
        # Positions start behind the padding index.
        config = transformers.RobertaConfig(**encoder, max_position_embeddings=LENGTH + 2)
    kind = transformers.AutoModelForMaskedLM if family in MASKED_FAMILIES else transformers.AutoModelForCausalLM
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = kind.from_config(config)
    return model.eval()
