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
from evenhand_sdk.storage import digest_of, sha256_text
from evenhand_standard.text_scorers.contract import Scorer

LONGEST = 512
AT_ONCE = 32
WHERE = "scorer transformers"


def transformer(name: str, *, offline: bool) -> Scorer:
    """The scorer of a folder or an id of the hub. Raises what `model_folder` raises, and UsageError where it cannot be
    loaded, or the label is unknown.

    Texts beyond 512 tokens are read to there: generated texts of benchmarks are far shorter.
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
    longest = min(LONGEST, int(getattr(model.config, "max_position_embeddings", LONGEST)))

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

    return Scorer(
        name=f"transformers:{Path(place).name}#{labels[wanted]}",
        low=0.0,
        score=score,
        digest=_digest(model, tokenizer, labels[wanted]),
        facts={
            "method": f"probability of {labels[wanted]!r} by {'sigmoid' if several else 'softmax'}",
            "source": "the user's own classifier",
            "architecture": type(model).__name__,
        },
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


def _digest(model: Any, tokenizer: Any, label: str) -> str:
    import hashlib

    parts = [
        [name, hashlib.sha256(tensor.detach().float().cpu().numpy().tobytes()).hexdigest()]
        for name, tensor in sorted(model.state_dict().items())
    ]
    return digest_of([parts, sorted(tokenizer.get_vocab().items()), sha256_text(label)])
