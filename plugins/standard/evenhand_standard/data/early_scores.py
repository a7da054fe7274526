"""Two scores of texts under a language model at an early point of its training, for `healthy-data-diet`.

    perf(x)    =  - mean_t log p(x_t | x_<t)                                              nat per token
    GE(x, x~)  =  mean over aligned t of  || F p(. | x_<t)  -  F p(. | x~_<t) ||_2        in [0, sqrt 2]

F folds the words of each aligned row of the axis into one bin, so that agreement (she ... her) is no effect of
gender; positions are those behind the first difference whose next word is the same and no group word.

Source: Zayed et al. 2023, where both are scores of a classifier: the norm of the difference of its logits, and EL2N.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand_sdk import RunContext, comparable_positions, fold, group_tokens, progress, token_bins
from evenhand_sdk.storage import atomic_folder, cache_dir, code_digest, damage, digest_of, tokenizer_digest

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

PAIRS = 8
"""Pairs whose distributions are held at a time."""
TEXTS = 64


def mean_token_losses(run: RunContext, model: PreTrainedModel, texts: Sequence[str]) -> list[float]:
    """perf of each text, over its first `max_length` tokens; nan where nothing is predicted."""
    found: list[float] = []
    with progress("Scoring texts", total=len(texts), unit="texts") as bar:
        for start in range(0, len(texts), TEXTS):
            part = [_ids(run, text) for text in texts[start : start + TEXTS]]
            long = [k for k, ids in enumerate(part) if len(ids) > 1]
            scores = run.services.score([part[k] for k in long], model=model) if long else []
            means = dict(zip(long, (-score.mean for score in scores), strict=True))
            found += [means.get(k, math.nan) for k in range(len(part))]
            bar.advance(len(part))
    return found


def group_effects(
    run: RunContext, model: PreTrainedModel, pairs: Sequence[tuple[str, str]], words: Iterable[Sequence[str]]
) -> list[float]:
    """GE of each (text, counterfactual); nan where no position can be compared. `words` are those folded together."""
    bins = token_bins(run.tokenizer, list(words), model.get_input_embeddings().num_embeddings)
    grouped = group_tokens(bins)
    found: list[float] = []
    with progress("Scoring counterfactuals", total=len(pairs), unit="pairs") as bar:
        for start in range(0, len(pairs), PAIRS):
            part = [(_ids(run, a), _ids(run, b)) for a, b in pairs[start : start + PAIRS]]
            places = [comparable_positions(a, b, grouped) for a, b in part]
            ids = [side for pair in part for side in pair]
            wanted = [[place[side] for place in of_pair] for of_pair in places for side in (0, 1)]
            logp = run.services.distributions(ids, model=model, positions=wanted)
            found += [
                effect(fold(logp[2 * k], bins), fold(logp[2 * k + 1], bins)) if of_pair else math.nan
                for k, of_pair in enumerate(places)
            ]
            bar.advance(len(part))
    return found


def effect(left: torch.Tensor, right: torch.Tensor) -> float:
    """The mean over positions of the Euclidean distance of two distributions, given as log-probabilities [n, V]."""
    return float((left.exp() - right.exp()).norm(dim=-1).mean())


def kept_scores(run: RunContext, model: PreTrainedModel, what: Any, compute: Callable[[], list[float]]) -> list[float]:
    """Scores from the user's cache, where this model met these texts before; else computed and put there.

    `what` names the texts and words, as JSON.
    """
    key = digest_of(
        {
            "model": model_digest(model),
            "tokenizer": tokenizer_digest(run.tokenizer),
            "length": run.services.settings.max_length,
            "code": code_digest("evenhand", "evenhand_sdk", "evenhand_standard"),
            "what": what,
        }
    )
    folder: Path = cache_dir() / "early-scores" / key[:32]
    if folder.is_dir() and not damage(folder, full=True):
        stored = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
        return [math.nan if value is None else float(value) for value in stored]
    scores = compute()
    with atomic_folder(folder) as temporary:
        plain = [None if math.isnan(value) else value for value in scores]
        (temporary / "scores.json").write_text(json.dumps(plain), encoding="utf-8")
    return scores


def model_digest(model: PreTrainedModel) -> str:
    """SHA-256 over names, types and bytes of all tensors."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().contiguous().flatten().view(torch.uint8).cpu().numpy().data)
    return digest.hexdigest()


def _ids(run: RunContext, text: str) -> list[int]:
    return list(run.tokenizer(text, truncation=True, max_length=run.services.settings.max_length)["input_ids"])
