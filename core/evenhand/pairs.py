"""Counterfactual pairs of token sequences: which positions correspond, and which tokens are one word but for the group.

Two contexts that differ in a group word should lead to the same next-word distribution, except that "she ... her" and
"he ... his" is grammar, not bias. So divergences are taken on *folded* distributions, in which the members of each
aligned tuple of group words share one bin, and only at positions whose gold token is no group word.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def aligned_positions(left: Sequence[int], right: Sequence[int]) -> list[tuple[int, int]]:
    """Pairs (i, j) of positions in equal blocks of two token id sequences, in order."""
    matcher = SequenceMatcher(None, left, right, autojunk=False)
    return [(b.a + k, b.b + k) for b in matcher.get_matching_blocks() for k in range(b.size)]


def comparable_positions(
    left: Sequence[int], right: Sequence[int], group_tokens: frozenset[int] | set[int] = frozenset()
) -> list[tuple[int, int]]:
    """Positions (i, j) at which the *next-token* distributions of two texts should agree.

    Position i predicts token i + 1. Kept are positions after the first difference (before it the contexts are equal)
    whose gold next tokens are the same and no group word.
    """
    aligned = aligned_positions(left, right)
    first = next((k for k, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), None)
    if first is None:
        return []
    return [(i - 1, j - 1) for i, j in aligned if i > first and j > first and left[i] not in group_tokens]


def token_bins(tokenizer: Any, bins: Sequence[Sequence[str]], size: int) -> torch.Tensor:
    """Maps each of `size` vocabulary entries to the bin it is folded into: LongTensor [V].

    Members of a bin must be single tokens in the same casing and spacing; longer words keep their own entries. A token
    outside every bin is its own bin; the representative of a bin is its smallest token id.
    """
    import torch

    parent = list(range(size))

    def root(x: int) -> int:
        while parent[x] != x:
            x = parent[x]
        return x

    columns = [column for words in bins for column in zip(*map(surface_variants, words), strict=True)]
    single = _single_tokens(tokenizer, [form for column in columns for form in column])
    for column in columns:
        ids = [i for form in column if (i := single[form]) is not None and i < size]
        for other in ids[1:]:
            a, b = sorted((root(ids[0]), root(other)))
            parent[b] = a
    return torch.tensor([root(x) for x in range(size)], dtype=torch.long)


def _single_tokens(tokenizer: Any, forms: Iterable[str]) -> dict[str, int | None]:
    """`single_token` of each form; all are given to the tokenizer at once, which takes a third of the time."""
    distinct = list(dict.fromkeys(forms))
    rows = tokenizer(distinct, add_special_tokens=False)["input_ids"] if distinct else []
    return {form: _only(ids, tokenizer) for form, ids in zip(distinct, rows, strict=True)}


def surface_variants(word: str) -> tuple[str, ...]:
    """Eight forms in a fixed order (as given, lower, Title, UPPER; without and with space), so that bins line up."""
    forms = (word, word.lower(), word.capitalize(), word.upper())
    return tuple(lead + form for form in forms for lead in ("", " "))


def framing_tokens(tokenizer: Any) -> frozenset[int]:
    """The special tokens that are no part of a text, such as those around it.

    What stands for a piece that the vocabulary lacks is a part of the text: without it, a text that a model cannot read
    would be a certain one. Some tokenizers use one token for that and for an end.
    """
    roles = {getattr(tokenizer, f"{role}_token_id", None) for role in ("bos", "eos", "pad", "cls", "sep", "mask")}
    unknown = getattr(tokenizer, "unk_token_id", None)
    return frozenset(i for i in tokenizer.all_special_ids if i != unknown or i in roles)


def single_token(tokenizer: Any, text: str) -> int | None:
    """The id of `text` when the tokenizer makes exactly one token of it, which reads back as that text."""
    return _only(tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer)


def _only(ids: Sequence[int], tokenizer: Any) -> int | None:
    if len(ids) != 1 or ids[0] == tokenizer.unk_token_id:
        return None
    return int(ids[0])


def group_tokens(bins: torch.Tensor) -> frozenset[int]:
    """Token ids that share a bin with another token."""
    counts = bins.bincount(minlength=len(bins))
    return frozenset((counts[bins] > 1).nonzero().flatten().tolist())


def fold(logp: torch.Tensor, bins: torch.Tensor) -> torch.Tensor:
    """Log-probabilities [..., V] -> log-probabilities [..., V] in which each bin's mass lies on its representative.

    The other members of a bin get -inf. Differentiable; only the columns that share a bin are touched.
    """
    import torch

    shared = (bins != torch.arange(len(bins), device=bins.device)).nonzero().flatten()
    if shared.numel() == 0:
        return logp
    representatives: torch.Tensor = bins[shared].unique()  # type: ignore[no-untyped-call]
    members = torch.cat([representatives, shared])
    slot = torch.searchsorted(representatives, bins[members])
    columns = logp[..., members]
    top = columns.new_full((*columns.shape[:-1], len(representatives)), float("-inf"))
    index = slot.expand(columns.shape)
    top = top.scatter_reduce(-1, index, columns.detach(), "amax")
    safe = torch.where(top.isinf(), torch.zeros_like(top), top)
    mass = torch.zeros_like(top).scatter_add(-1, index, (columns - safe.gather(-1, index)).exp())
    merged = mass.log() + safe
    out = logp.index_fill(-1, shared, float("-inf"))
    return out.index_copy(-1, representatives, merged.to(out.dtype))


def unfold(folded: torch.Tensor, bins: torch.Tensor, split: torch.Tensor) -> torch.Tensor:
    """The inverse of `fold`: spreads each bin's log-mass in the proportions of log-probabilities `split` [..., V].

    Entries that a model got after its bins were made are bins of their own, as they are for `fold`.
    """
    import torch

    if split.shape[-1] > len(bins):
        bins = torch.cat([bins, torch.arange(len(bins), split.shape[-1], device=bins.device)])
    whole = fold(split, bins)
    return folded[..., bins] + split - whole[..., bins]


def jensen_shannon(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Jensen-Shannon divergence in nat of log-probabilities [..., V] -> [...], between 0 and ln 2.

    Entries of probability zero (-inf) add nothing and pass no gradient that is not a number.
    """
    import torch

    floor = -1e4
    p, q = left.clamp_min(floor), right.clamp_min(floor)
    middle = torch.logaddexp(p, q) - 0.6931471805599453
    return 0.5 * ((p.exp() * (p - middle)).sum(-1) + (q.exp() * (q - middle)).sum(-1))
