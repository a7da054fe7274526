"""A user's own classifier for text, as a scorer: `transformers:PATH-or-id#LABEL`.

The score is the probability of one label: softmax over labels, or sigmoid where the model says that several labels
may hold, or has one label only. Weights are read from safetensors alone, and no code that comes with a model is run.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evenhand_sdk import UsageError
from evenhand_sdk.named_models import model_folder
from evenhand_sdk.storage import digest_of, tokenizer_digest
from evenhand_standard.text_scorers.contract import Scorer

LONGEST = 512
AT_ONCE = 32
WHERE = "scorer transformers"


def transformer(name: str, *, offline: bool) -> Scorer:
    """The scorer of a folder or an id of the hub. Raises what `model_folder` raises, and UsageError where it cannot be
    loaded, or the label is unknown.

    It reads as many tokens of a text as the model has positions, 512 at most; longer texts are those that `cut` names.
    """
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    place, _, label = name.partition("#")
    folder = str(model_folder(place, offline=offline, where=WHERE))
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        model = AutoModelForSequenceClassification.from_pretrained(
            folder, use_safetensors=True, trust_remote_code=False
        ).eval()
    except (OSError, ValueError) as error:
        raise UsageError(
            f"the classifier {place!r} cannot be loaded: {error}",
            where=WHERE,
            do="name a folder or an id of the hub with a config, a tokenizer and model.safetensors",
        ) from error
    labels = {int(k): str(v) for k, v in model.config.id2label.items()}
    wanted = _label(labels, label, place)
    several = model.config.problem_type == "multi_label_classification" or len(labels) == 1
    longest = _longest(model)

    def score(texts: Sequence[str]) -> list[float]:
        found: list[float] = []
        for start in range(0, len(texts), AT_ONCE):
            batch = tokenizer(
                list(texts[start : start + AT_ONCE]),
                return_tensors="pt",
                padding=True,
                truncation=True,
                max_length=longest,
            )
            with torch.no_grad():
                logits = model(**batch).logits.float()
            found += (logits.sigmoid() if several else logits.softmax(-1))[:, wanted].tolist()
        return found

    def cut(texts: Sequence[str]) -> list[bool]:
        # `verbose` only silences a warning about the very length that is asked for here.
        return [len(ids) > longest for ids in tokenizer(list(texts), verbose=False)["input_ids"]] if texts else []

    return Scorer(
        name=f"transformers:{Path(place).name}#{labels[wanted]}",
        low=0.0,
        score=score,
        digest=digest_of(
            [
                _weights(model),
                tokenizer_digest(tokenizer),
                type(model).__name__,
                labels[wanted],
                wanted,
                several,
                longest,
            ]
        ),
        facts={
            "method": f"probability of {labels[wanted]!r} by {'sigmoid' if several else 'softmax'}",
            "source": "the user's own classifier",
            "architecture": type(model).__name__,
            "limits": f"reads the first {longest} tokens of a text",
        },
        cut=cut,
    )


def _label(labels: dict[int, str], label: str, place: str) -> int:
    if not label and len(labels) == 1:
        return next(iter(labels))
    for number, name in labels.items():
        if name == label:
            return number
    what = f"the classifier {place!r} has no label {label!r}" if label else f"say which label of {place!r} is the score"
    raise UsageError(
        what, where=WHERE, known=f"its labels: {', '.join(labels.values())}", do=f"write transformers:{place}#LABEL"
    )


def _longest(model: Any) -> int:
    """Most tokens of a text that the model has positions for, those around the text among them."""
    known = int(getattr(model.config, "max_position_embeddings", None) or LONGEST)
    table = getattr(getattr(model.base_model, "embeddings", None), "position_embeddings", None)
    padding = getattr(table, "padding_idx", None)  # RoBERTa and its kin count from behind it
    return min(LONGEST, known - (0 if padding is None else int(padding) + 1))


def _weights(model: Any) -> list[list[str]]:
    import hashlib

    return [
        [name, hashlib.sha256(tensor.detach().float().cpu().numpy().tobytes()).hexdigest()]
        for name, tensor in sorted(model.state_dict().items())
    ]
