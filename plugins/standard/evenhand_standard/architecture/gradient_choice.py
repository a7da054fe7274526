"""Which tensors a training should move: those through which bias can be changed at the least cost of language.

    score(tensor) = || grad JSgap || / || grad L_LM ||

JSgap is the folded Jensen-Shannon divergence between the distributions after (or at a mask in) a text and its
counterfactual, as `pair-parity` trains it; L_LM is the language-modelling loss. The norms are Euclidean, over the
entries of a tensor. In the order of their scores, tensors are taken until they hold p per cent of the parameters.

A gradient below 1e-5 of the largest one is rounding. Where that of the bias is, the score is 0: some tensors, such as
the biases of attention keys, change nothing at all. Where only that of the language is, the bound stands in its place.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from evenhand_sdk import Axis, LossTerm, Needs, Pairing, RunContext, UsageError, counterfactuals
from evenhand_sdk.storage import write_atomic
from evenhand_standard import pair_bank
from evenhand_standard.objective.folded_divergence import mean_folded_js
from evenhand_standard.objective.pair_parity import parity

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel

FILE: Final = "chosen.json"
ROUNDING: Final = 1e-5
SHOWN: Final = 8
"""Tensors that a proof names."""


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What was taken, best first, and from what."""

    scores: Mapping[str, float]
    """Tensor -> score, of those that were taken, in falling order."""
    share: float
    """The part of all parameters that they hold."""
    candidates: int
    """Tensors that there were to choose from."""
    measured_on: str

    def told(self) -> str:
        """As part of a sentence."""
        first = [f"{name} {score:.3g}" for name, score in list(self.scores.items())[:SHOWN]]
        more = f" and {len(self.scores) - SHOWN} more" if len(self.scores) > SHOWN else ""
        return (
            f"chosen from {self.candidates} by gradients (of the gap between groups over those of the language), "
            f"{100 * self.share:.2f} % of all parameters: {', '.join(first)}{more}; {self.measured_on}"
        )


def scores(bias: Mapping[str, float], language: Mapping[str, float]) -> dict[str, float]:
    """The score of each tensor from the norms of its two gradients, by name."""
    least = ROUNDING * max(bias.values(), default=0.0)
    floor = ROUNDING * max(language.values(), default=0.0)
    return {
        name: norm / max(language.get(name, 0.0), floor) if norm > least and floor > 0 else 0.0
        for name, norm in bias.items()
    }


def taken(scored: Mapping[str, float], sizes: Mapping[str, int], percent: float, total: int) -> dict[str, float]:
    """The fewest tensors in the order of their scores that hold at least `percent` % of `total` parameters.

    The last one may take the sum beyond it; tensors of score 0 are never taken. Of equal scores the earlier name in
    `sizes` comes first.
    """
    found: dict[str, float] = {}
    held = 0
    for name in sorted((n for n in sizes if scored.get(n, 0.0) > 0), key=lambda n: -scored[n]):
        if held >= percent / 100 * total:
            break
        found[name] = scored[name]
        held += sizes[name]
    return found


def choose(
    run: RunContext,
    model: PreTrainedModel,
    candidates: Sequence[str],
    *,
    axes: Sequence[Axis],
    names: bool,
    percent: float,
    texts: int,
    rows: Dataset | None,
) -> Chosen:
    """Measure both gradients and take the best tensors. Raises UsageError where there is no text or no gradient.

    The gap is measured on the training split of the pair bank where it knows the axis, else on rows of the training
    text that name a group; the language on rows of the training text, or without any on the same texts as the gap.
    """
    from datasets import Dataset

    paired, source = _paired_texts(run, axes, names, texts, rows)
    bias: dict[str, float] = {}
    for axis in axes:
        seed = run.seed_for(f"gap of {axis.name}")
        gradients = run.services.loss_gradients(
            Dataset.from_dict({"text": paired[axis.name]}), _gap(axis, names), model=model, seed=seed,
            title=f"Measuring the gradient of the gap ({axis.name})",
        )  # fmt: skip
        # Of several axes each counts by the size of its own gradients: the sum of squares over the axes.
        for name, gradient in gradients.items():
            bias[name] = (bias.get(name, 0.0) ** 2 + float(gradient.norm()) ** 2) ** 0.5
        del gradients
    plain = _plain_texts(run, rows, texts) or [t for found in paired.values() for t in found]
    language = {
        name: float(gradient.norm())
        for name, gradient in run.services.loss_gradients(
            Dataset.from_dict({"text": plain}), model=model, seed=run.seed_for("language"),
            title="Measuring the gradient of the language",
        ).items()
    }  # fmt: skip
    sizes = {name: p.numel() for name, p in model.named_parameters() if name in set(candidates)}
    total = sum(p.numel() for p in model.parameters())
    found = taken(scores({n: bias.get(n, 0.0) for n in sizes}, language), sizes, percent, total)
    if not found:
        raise UsageError(
            "no tensor that may be chosen has a gradient of the gap between groups",
            where=f"step {run.step_id!r}",
            known=f"{len(sizes)} tensors; {source}",
            do="name other axes, give more `texts`, or choose by sets",
        )
    of = f"{len(plain)} rows of the training text" if rows is not None else "the same texts"
    share = sum(sizes[name] for name in found) / total
    told = f"measured on {source}, and {of} for the language"
    return Chosen(scores=found, share=share, candidates=len(sizes), measured_on=told)


def _gap(axis: Axis, names: bool) -> LossTerm:
    """The mean folded Jensen-Shannon divergence between texts and their counterfactuals."""
    pairing = Pairing(
        key=f"counterfactual/{axis.digest}/{'names' if names else 'words'}",
        pair=lambda text: [c.text for c in counterfactuals(text, axis, names=names)],
        bins=axis.bins(names=names),
    )
    fn = parity(pairing.key, mean_folded_js)
    return LossTerm(name=f"gap ({axis.name})", fn=fn, needs=Needs(counterfactual=pairing))


def _paired_texts(
    run: RunContext, axes: Sequence[Axis], names: bool, count: int, rows: Dataset | None
) -> tuple[dict[str, list[str]], str]:
    """For each axis texts that have a counterfactual, and where they come from, in words."""
    found: dict[str, list[str]] = {}
    told = []
    for axis in axes:
        seed = run.seed_for(f"texts of {axis.name}")
        if pair_bank.knows(axis):
            items = pair_bank.pairs(axis, "train", limit=count, seed=seed)
            # Both groups in turn, so that neither is always the text and the other its counterfactual.
            found[axis.name] = [i.left_text if k % 2 else i.right_text for k, i in enumerate(items)]
            told.append(f"{len(items)} texts of the pair bank's training split ({axis.name})")
            continue
        named = [t for t in _texts(rows) if counterfactuals(t, axis, names=names)]
        if not named:
            raise UsageError(
                f"there is no text to measure the gap between the groups of {axis.name} on",
                where=f"step {run.step_id!r}",
                known="the pair bank has none for this axis, and no row of the training text names one of its groups",
                do="train on text that names them, or choose by sets",
            )
        found[axis.name] = random.Random(seed).sample(named, min(count, len(named)))
        told.append(f"{len(found[axis.name])} rows of the training text that name a group ({axis.name})")
    return found, ", ".join(told)


def _plain_texts(run: RunContext, rows: Dataset | None, count: int) -> list[str]:
    texts = _texts(rows)
    return random.Random(run.seed_for("texts")).sample(texts, min(count, len(texts)))


def _texts(rows: Dataset | None) -> list[str]:
    return [] if rows is None else [t for t in rows["text"] if isinstance(t, str) and t.strip()]


# ------------------------------------------------------------------------------------------------ between two attempts
def write(folder: Path, key: str, chosen: Chosen) -> None:
    """Keep a choice in a step's own folder; `key` says what it was made from."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / FILE, json.dumps({"key": key, "chosen": asdict(chosen)}))


def read(folder: Path, key: str | None = None) -> Chosen | None:
    """The choice that lies there; None when there is none, it is damaged, or it was made from something else."""
    try:
        kept = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return Chosen(**kept["chosen"]) if key in (None, kept["key"]) else None
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
