"""Hidden states of sentences whose group is known, streamed from a model to whatever adds them up.

A pair of sentences gives both sides. For states of tokens, those count that both sides share and that are no group
words (`neutral`), behind the first difference where the model reads from left to right; or all (`all`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from evenhand_sdk import Axis, RunContext, UsageError, aligned_positions, group_tokens, progress, token_bins
from evenhand_standard.architecture.erasure_sites import Site
from evenhand_standard.architecture.group_pairs import NONE, GroupPair
from evenhand_standard.architecture.layer_parts import body_of
from evenhand_standard.architecture.live_hooks import Hooks

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

Positions = Literal["neutral", "all"]
FEWEST = 30
"""A group with fewer states than this is too small to fit anything on."""


@dataclass(frozen=True)
class Labelled:
    """One tokenised sentence."""

    ids: tuple[int, ...]
    places: tuple[int, ...]
    """The tokens whose states count."""
    group: int
    association: int
    """0 for none, else 1 + the number of the group."""


class _Enough(Exception):
    """The last wanted states of a batch were seen; the rest of the forward pass is not needed."""


def spared_tokens(run: RunContext, model: PreTrainedModel, axis: Axis) -> torch.Tensor:
    """Token ids [n], sorted: group words that are one token, and special tokens.

    Not the mask of a masked model: its state there is what a prediction is read from.
    """
    import torch

    bins = token_bins(run.tokenizer, axis.bins(), model.get_input_embeddings().num_embeddings)
    special = set(run.tokenizer.all_special_ids)
    if run.kind == "masked":
        special.discard(run.tokenizer.mask_token_id)
    return torch.tensor(sorted(group_tokens(bins) | special), dtype=torch.long)


def labelled(
    run: RunContext, axis: Axis, pairs: Sequence[GroupPair], spared: Sequence[int], positions: Positions
) -> list[Labelled]:
    """Both sides of each pair, one behind the other."""
    avoided, special = set(spared), set(run.tokenizer.all_special_ids)
    found = []
    for pair in pairs:
        sides = [tuple(int(i) for i in run.tokenizer(text)["input_ids"]) for text in pair.texts]
        left, right = sides
        first = next((k for k, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), 0)
        start = first if run.kind == "causal" else 0
        if positions == "neutral":
            both = [(i, j) for i, j in aligned_positions(left, right) if i >= start and j >= start]
            both = [(i, j) for i, j in both if left[i] not in avoided]
            places = [tuple(i for i, _ in both), tuple(j for _, j in both)]
        else:
            places = [tuple(t for t in range(start, len(side)) if side[t] not in special) for side in sides]
        kind = 0 if pair.association == NONE else 1 + axis.group_index(pair.association)
        found += [
            Labelled(ids, where, axis.group_index(group), kind)
            for ids, where, group in zip(sides, places, pair.groups, strict=True)
        ]
    return found


def demand_enough(axis: Axis, rows: Sequence[Labelled], *, by_text: bool = False, width: int = 0) -> None:
    """UsageError when the sentences name one group only, when a group has too few states, or all have fewer than width.

    With fewer states than they are wide, a covariance has directions that nothing was seen of.
    """
    counts: dict[int, int] = {}
    for row in rows:
        counts[row.group] = counts.get(row.group, 0) + (1 if by_text else len(row.places))
    told = ", ".join(f"{axis.groups[g]} {n}" for g, n in sorted(counts.items()))
    if len(counts) < 2 or min(counts.values()) < FEWEST:
        raise UsageError(
            f"too few hidden states to fit on: {told}",
            where="option pairs",
            known=f"each group needs at least {FEWEST}",
            do="take more pairs",
        )
    if sum(counts.values()) < width:
        raise UsageError(
            f"too few hidden states to fit on: {told}",
            where="option pairs",
            known=f"states of width {width} need at least as many",
            do="take more pairs",
        )


def stream(
    run: RunContext,
    model: PreTrainedModel,
    rows: Sequence[Labelled],
    sinks: Mapping[Site, Callable[[torch.Tensor, list[Labelled]], None]],
    *,
    batch: int = 32,
    title: str = "Reading hidden states",
) -> None:
    """Give each sink the states [b, T, H] of its site for every batch, padded at the right; nothing is kept."""
    import torch

    model.eval()
    pad = int(run.tokenizer.pad_token_id or 0)
    seen: list[Site] = []
    hooks = Hooks()
    current: list[Labelled] = []

    def watch(site: Site, sink: Callable[[Any, list[Labelled]], None]) -> None:
        def change(states: torch.Tensor) -> torch.Tensor:
            sink(states.detach(), current)
            seen.append(site)
            if len(seen) == len(sinks):
                raise _Enough
            return states

        site.watch(hooks, change)

    for site, sink in sinks.items():
        watch(site, sink)
    try:
        with progress(title, total=len(rows), unit="texts") as bar, torch.no_grad():
            for start in range(0, len(rows), batch):
                current = list(rows[start : start + batch])
                seen.clear()
                longest = max(len(row.ids) for row in current)
                ids = [[*row.ids, *[pad] * (longest - len(row.ids))] for row in current]
                mask = [[1] * len(row.ids) + [0] * (longest - len(row.ids)) for row in current]
                device = model.device
                with contextlib.suppress(_Enough):
                    body_of(model)(
                        input_ids=torch.tensor(ids, device=device), attention_mask=torch.tensor(mask, device=device)
                    )
                bar.advance(len(current))
    finally:
        hooks.remove()


def tokens_of(states: torch.Tensor, rows: Sequence[Labelled]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The counted states [n, H], their groups [n] and their associations [n]."""
    import torch

    row = [k for k, one in enumerate(rows) for _ in one.places]
    place = [p for one in rows for p in one.places]
    groups = torch.tensor([rows[k].group for k in row], dtype=torch.long)
    return states[row, place], groups, torch.tensor([rows[k].association for k in row], dtype=torch.long)


def pooled(states: torch.Tensor, rows: Sequence[Labelled]) -> torch.Tensor:
    """The mean state [b, H] of each sentence over all its tokens."""
    import torch

    return torch.stack([states[k, : len(row.ids)].float().mean(0) for k, row in enumerate(rows)])
