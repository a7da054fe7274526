"""Probability balancing: where nobody has been named, the words of each group get their share of the probability.

For a bin T of aligned group words (she, he), with m the sum of p over T, m_g that over its words of group g, and t the
target split of the groups:

    p'(w) = (1 - s) p(w) + s m t_g p(w) / m_g       for w in T of group g;      p' = p for all other words

Only where the text names nobody of the axis: of causal models the text so far, of masked ones all that is not masked.
Source: own; after the balance of alternatives in Zhao et al. 2017.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

from pydantic import Field

from evenhand_sdk import (
    Axes,
    Axis,
    DecodingRule,
    Locale,
    Mitigation,
    RunContext,
    StrengthOptions,
    UsageError,
    group_words,
    hookimpl,
    load_axis,
    single_token,
)
from evenhand_sdk.named_so_far import NamesSomebody
from evenhand_standard.decoding.swapped_masks import GAP
from evenhand_standard.decoding.token_edits import TokenEditor

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

Change = Callable[..., Any]
"""(ids [B, T], logits [B, V], contexts) -> logits [B, V]."""
Split = tuple[tuple[tuple[int, ...], float], ...]
"""For each group of a bin its token ids and its share; the shares add up to 1."""
Share = Annotated[float, Field(gt=0.0)]
STYLES: Final = tuple((lead, style) for lead in ("", " ") for style in (str, str.capitalize, str.upper))


class ProbabilityBalancingOptions(StrengthOptions):
    """Options of `probability-balancing`; at strength 1 the groups have the target's shares."""

    axes: Axes = ("gender",)
    locale: Locale = "en"
    target: Mapping[str, Share] = Field(
        {},
        description="Share of each group, such as {female = 0.5, male = 0.5}; empty: all groups alike. One axis only.",
    )


class ProbabilityBalancing(Mitigation):
    """Divides the probability of aligned group words by a target where the text names nobody."""

    name = "probability-balancing"
    summary = "Gives the words of each group their share of the probability where nobody has been named."
    source = "own; after Zhao et al. 2017"
    Options = ProbabilityBalancingOptions

    def moves(self) -> Mapping[str, str]:
        target = {group: round(share, 3) for group, share in sorted(self.options.target.items())}
        end = f"the shares {target}" if target else "equal shares"
        return {f"how likely words of each group of {axis} are": end for axis in self.options.axes}

    @hookimpl
    def decoding(self, run: RunContext, model: PreTrainedModel) -> list[DecodingRule]:
        o = self.options
        if o.strength == 0:
            return []
        axes = [load_axis(name, o.locale) for name in o.axes]
        if o.target and (len(axes) > 1 or set(o.target) != set(axes[0].groups)):
            raise UsageError(
                f"the target names {', '.join(o.target)}",
                where="option target",
                known=f"the groups of {axes[0].name} are {', '.join(axes[0].groups)}",
                do="give each group of one axis a share",
            )
        if run.remote:
            return [words_rule(run.step_id, axes, axis, o) for axis in axes]
        size = model.get_input_embeddings().num_embeddings
        editor = TokenEditor(run.tokenizer, gap=GAP if run.kind == "masked" else "")
        rules = []
        for axis in axes:
            splits = splits_of(run.tokenizer, axis, o.target or dict.fromkeys(axis.groups, 1.0), size)
            name = run.step_id if len(axes) == 1 else f"{run.step_id} ({axis.name})"
            change = balancing(splits, grounded_by(editor, axis), o.strength)
            rules.append(
                at_masks(name, change) if run.kind == "masked" else DecodingRule(name=name, next_logits=change)
            )
        return rules


def at_masks(name: str, change: Change) -> DecodingRule:
    """The rule of a masked model: which mask is asked for makes no difference."""
    return DecodingRule(name=name, mask_logits=lambda ids, logits, contexts, places: change(ids, logits, contexts))


def words_rule(step: str, axes: Sequence[Axis], axis: Axis, o: ProbabilityBalancingOptions) -> DecodingRule:
    """The same rule on the likeliest words of an endpoint, as text; a group of which none is listed gets nothing."""
    splits = word_splits(axis, o.target or dict.fromkeys(axis.groups, 1.0))
    name = step if len(axes) == 1 else f"{step} ({axis.name})"

    def next_words(text: str, logp: Mapping[str, float]) -> Mapping[str, float]:
        return logp if group_words(text, axis) else balanced_words(logp, splits, o.strength)

    return DecodingRule(name=name, next_words=next_words)


def word_splits(axis: Axis, target: Mapping[str, float]) -> list[list[tuple[frozenset[str], float]]]:
    """For each bin, in each casing and spacing: the words of each group, and the group's share."""
    groups = _groups_of_words(axis)
    found = []
    for words in axis.bins():
        for lead, style in STYLES:
            ids: dict[str, set[str]] = {}
            for word in words:
                if len(groups.get(word, ())) == 1:
                    ids.setdefault(next(iter(groups[word])), set()).add(lead + style(word))
            if len(ids) > 1:
                found.append([(frozenset(ids[g]), target[g]) for g in axis.groups if g in ids])
    return found


def balanced_words(
    logp: Mapping[str, float], splits: Sequence[Sequence[tuple[frozenset[str], float]]], strength: float
) -> Mapping[str, float]:
    """p' above on listed words; shares are among the groups of which a word is listed."""
    out = dict(logp)
    for split in splits:
        listed = [(words & out.keys(), share) for words, share in split]
        present = [(words, share, sum(math.exp(out[w]) for w in words)) for words, share in listed if words]
        if len(present) < 2 or any(mass == 0 for _, _, mass in present):
            continue
        whole, shares = sum(mass for _, _, mass in present), sum(share for _, share, _ in present)
        for words, share, mass in present:
            factor = (1 - strength) + strength * (share / shares) * whole / mass
            for word in words:
                out[word] += math.log(factor)
    return out


def _groups_of_words(axis: Axis) -> dict[str, set[str]]:
    groups: dict[str, set[str]] = {}
    for row in axis.tuples:
        for group, word in zip(axis.groups, row.words, strict=True):
            if word and group in row.sources:
                groups.setdefault(word, set()).add(group)
    return groups


def splits_of(tokenizer: Any, axis: Axis, target: Mapping[str, float], size: int) -> list[Split]:
    """The bins of an axis that can be balanced, in each casing and spacing: words of one token, at least two groups.

    A word that two groups share belongs to neither, and a bin without a word of one token for a group divides its
    probability among the others, in the proportions of the target.
    """
    groups = _groups_of_words(axis)
    found: list[Split] = []
    for words in axis.bins():
        for lead, style in STYLES:
            ids: dict[str, list[int]] = {}
            for word in words:
                token = single_token(tokenizer, lead + style(word))
                if token is not None and token < size and len(groups.get(word, ())) == 1:
                    ids.setdefault(next(iter(groups[word])), []).append(token)
            if len(ids) > 1:
                whole = sum(target[g] for g in ids)
                split = tuple((tuple(dict.fromkeys(ids[g])), target[g] / whole) for g in axis.groups if g in ids)
                if split not in found:
                    found.append(split)
    return found


def grounded_by(editor: TokenEditor, axis: Axis) -> Callable[[Sequence[int]], bool]:
    """Whether the text of token ids names somebody of the axis: by a group word, or by a first name."""

    named = NamesSomebody(axis)
    return lambda ids: named("".join(editor.pieces([i for i in ids if i >= 0])))


def balancing(
    splits: Sequence[Split], grounded: Callable[[Sequence[int]], bool], strength: float
) -> Callable[[torch.Tensor, torch.Tensor, Sequence[torch.Tensor]], torch.Tensor]:
    """`next_logits` that balances the rows whose text names nobody, and hands on the others untouched."""
    layers = apart(splits)

    @lru_cache(maxsize=4)
    def tables(device: torch.device) -> list[Table]:
        return [table_of(layer, device) for layer in layers]

    def next_logits(ids: torch.Tensor, logits: torch.Tensor, contexts: Sequence[torch.Tensor]) -> torch.Tensor:
        rows = [b for b, prefix in enumerate(ids.tolist()) if not grounded(prefix)]
        if not rows or not splits:
            return logits
        out = logits.clone()
        for table in tables(logits.device):
            balance(out, rows, table, strength)
        return out

    return next_logits


def apart(splits: Sequence[Split]) -> list[list[Split]]:
    """The splits in layers: those of one layer share no token, so that they can be balanced at once."""
    layers: list[tuple[list[Split], set[int]]] = []
    for split in splits:
        mine = {token for ids, _ in split for token in ids}
        if not layers or layers[-1][1] & mine:
            layers.append(([], set()))
        layers[-1][0].append(split)
        layers[-1][1].update(mine)
    return [layer for layer, _ in layers]


class Table(NamedTuple):
    """Splits that share no token, as tensors."""

    tokens: torch.Tensor
    """[S, G, W] token ids, 0 where a split has fewer groups or a group fewer words."""
    there: torch.Tensor
    """[S, G, W] which of them count."""
    shares: torch.Tensor
    """[S, G] the target's shares."""


def table_of(splits: Sequence[Split], device: torch.device) -> Table:
    """Splits without a token in common, on a device."""
    import torch

    groups, words = max(map(len, splits)), max(len(ids) for split in splits for ids, _ in split)
    tokens = torch.zeros(len(splits), groups, words, dtype=torch.long)
    there = torch.zeros(len(splits), groups, words, dtype=torch.bool)
    shares = torch.zeros(len(splits), groups, dtype=torch.float64)
    for s, split in enumerate(splits):
        for g, (ids, share) in enumerate(split):
            tokens[s, g, : len(ids)] = torch.tensor(ids)
            there[s, g, : len(ids)] = True
            shares[s, g] = share
    return Table(tokens.to(device), there.to(device), shares.to(device))


def balance(logits: torch.Tensor, rows: Sequence[int], table: Table, strength: float) -> None:
    """Write p' above into rows of logits [B, V], in place; only the bins' entries change, and their sums do not.

    A bin stays as it is where all words of a group are impossible: nothing can be given to them.
    """
    import torch

    at = torch.tensor(rows, device=logits.device)[:, None]
    found = logits[at, table.tokens.flatten()].unflatten(1, table.tokens.shape)
    masses = found.masked_fill(~table.there, -torch.inf).logsumexp(-1)  # [rows, S, G]
    absent = ~table.there.any(-1)
    sound = (torch.isfinite(masses) | absent).all(-1, keepdim=True)
    whole = masses.logsumexp(-1, keepdim=True)
    # Written so that words with equal shares get equal logits, whatever rounding the pass through the model had.
    wanted = whole + ((1 - strength) * (masses - whole).exp() + strength * table.shares.to(logits.dtype)).log()
    changed = torch.where(sound & ~absent, wanted, masses)[..., None] + (found - masses[..., None])
    used = table.there.flatten()
    kept = (sound & ~absent)[..., None].expand_as(found).flatten(1)[:, used]
    moved = torch.where(kept, changed.flatten(1)[:, used], found.flatten(1)[:, used])
    logits[at, table.tokens.flatten()[used]] = moved
