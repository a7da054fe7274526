"""The group words of an axis as tokens: what each group's word of a pair weighs in a next-token distribution.

A *pair* (with k groups a k-tuple) is a connected component of the aligned rows of the axis pack: she/he is one;
her/him, her/his and hers/his share words and are one, with {her, hers} against {him, his}. A group's probability in a
pair is the sum over its words. Taken row by row, "her" would be compared with "him" and with "his", which are never
right in the same place, and those two would be drawn together as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from evenhand_sdk import Axis, single_token

if TYPE_CHECKING:
    import torch

Pieces = Literal["single", "first"]
Spread = Literal["absolute", "variance"]
LEAST = -1e4
"""Stands for the logarithm of nothing; it passes no gradient."""


@dataclass(frozen=True)
class WordTable:
    """Token ids of W pairs in one written form."""

    tokens: torch.Tensor
    """[W, G, M] token ids, filled up with 0."""
    filled: torch.Tensor
    """[W, G, M] whether there is a token."""
    left_out: int
    """Pairs of which fewer than two groups have a token that tells them apart."""

    def log_masses(self, logp: torch.Tensor) -> torch.Tensor:
        """Log-probabilities [N, V] -> those of each group of each pair, [N, W, G]; `LEAST` where a group has none."""
        device = logp.device
        return logp[:, self.tokens.to(device)].masked_fill(~self.filled.to(device), LEAST).logsumexp(-1)

    @property
    def present(self) -> torch.Tensor:
        """[W, G] whether the group has a word in the pair."""
        return self.filled.any(-1)


def aligned_words(axis: Axis, *, names: bool) -> list[list[list[str]]]:
    """Pairs of an axis: per pair, per group of the axis, its words; a word that several groups share is left out."""
    rows = [list(row.words) for row in axis.tuples] + [list(row) for row in axis.names if names]
    first_names = {name for row in axis.names for name in row}
    found: dict[str, list[tuple[int, str]]] = {}
    for row in rows:
        words = [(g, w) for g, w in enumerate(row) if w and (axis.is_source(w.lower()) or (names and w in first_names))]
        merged: list[tuple[int, str]] = []
        for word in words:
            merged += [known for known in found.get(word[1], [word]) if known not in merged]
            merged += [word] if word not in merged else []
        for _, text in merged:
            found[text] = merged
    pairs = []
    for component in {id(c): c for c in found.values()}.values():
        owners: dict[str, set[int]] = {}
        for g, word in component:
            owners.setdefault(word, set()).add(g)
        groups = [[w for k, w in component if k == g and len(owners[w]) == 1] for g in range(len(axis.groups))]
        if sum(bool(words) for words in groups) > 1:
            pairs.append(groups)
    return pairs


def word_table(tokenizer: Any, pairs: Sequence[Sequence[Sequence[str]]], form: str, pieces: Pieces) -> WordTable:
    """The tokens of pairs in a form of `written`. `single`: words that are one token. `first`: the first token of any
    word, where no other group's word of the pair begins with the same one."""
    import torch

    kept, left_out = [], 0
    for pair in pairs:
        groups = [{t for word in words if (t := _token(tokenizer, form, word, pieces)) is not None} for words in pair]
        shared = {t for g, ids in enumerate(groups) for t in ids if any(t in o for o in groups[:g] + groups[g + 1 :])}
        told = [sorted(ids - shared) for ids in groups]
        if sum(bool(ids) for ids in told) > 1:
            kept.append(told)
        else:
            left_out += 1
    widest = max((len(ids) for told in kept for ids in told), default=0)
    shape = (len(kept), len(kept[0]) if kept else 0, widest)
    tokens, filled = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.bool)
    for w, told in enumerate(kept):
        for g, ids in enumerate(told):
            tokens[w, g, : len(ids)] = torch.tensor(ids, dtype=torch.long)
            filled[w, g, : len(ids)] = True
    return WordTable(tokens, filled, left_out)


def written(word: str, spaced: bool) -> str:
    """How a word is written: behind a space or not; as it stands in the pack, with a capital, or in capitals."""
    case = "upper" if len(word) > 1 and word.isupper() else "title" if word[:1].isupper() else "plain"
    return f"{'spaced ' if spaced else ''}{case}"


FORMS = tuple(f"{lead}{case}" for lead in ("spaced ", "") for case in ("plain", "title", "upper"))


def styled(word: str, form: str) -> str:
    """A word of the pack in a form of `written`."""
    case = form.removeprefix("spaced ")
    body = {"plain": word, "title": word[:1].upper() + word[1:], "upper": word.upper()}[case]
    return f" {body}" if form.startswith("spaced ") else body


def _token(tokenizer: Any, form: str, word: str, pieces: Pieces) -> int | None:
    text = styled(word, form)
    if pieces == "single":
        return single_token(tokenizer, text)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    return None if not ids or ids[0] == tokenizer.unk_token_id else int(ids[0])


def spread(values: torch.Tensor, present: torch.Tensor, form: Spread) -> torch.Tensor:
    """How far values [..., G] of the groups that are present [..., G] lie apart -> [...].

    `absolute`: the mean over pairs of groups of the absolute difference. `variance`: the variance over groups, that of
    a whole population.
    """
    import torch

    if form == "variance":
        count = present.sum(-1).clamp_min(1)
        mean = torch.where(present, values, 0.0).sum(-1, keepdim=True) / count[..., None]
        return torch.where(present, (values - mean).square(), 0.0).sum(-1) / count
    one, two = torch.triu_indices(values.shape[-1], values.shape[-1], offset=1, device=values.device)
    both = present[..., one] & present[..., two]
    apart = torch.where(both, (values[..., one] - values[..., two]).abs(), 0.0)
    return apart.sum(-1) / both.sum(-1).clamp_min(1)
