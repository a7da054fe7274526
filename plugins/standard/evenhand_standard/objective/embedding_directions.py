"""Directions of a group in embedding matrices: from the words of the axis packs, computed again as the matrices move.

For each pair of group words that are one token each, the embeddings of the groups minus their mean are what differs but
for the meaning they share. Their principal directions span the group's subspace (Bolukbasi et al. 2016); their mean by
group, at length 1, is the group's vector, with two groups the normalised mean of E(w_m) - E(w_f) and its negative.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from evenhand_sdk import Axis, UsageError
from evenhand_standard.objective.group_word_tokens import FORMS, WordTable, aligned_words, word_table

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

Find = Callable[["torch.Tensor", Sequence[WordTable]], "torch.Tensor"]


def group_tables(tokenizer: Any, axis: Axis, *, names: bool) -> list[WordTable]:
    """The one-token words of an axis in each written form; UsageError where no pair has two."""
    words = aligned_words(axis, names=names)
    tables = [word_table(tokenizer, words, form, "single") for form in FORMS]
    tables = [table for table in tables if len(table.tokens)]
    if not tables:
        raise UsageError(
            f"no two groups of the axis {axis.name!r} have a word that is one token of this model, so there is no "
            "direction",
            where="option axes",
            do="use an axis with more frequent words",
        )
    return tables


def centred(matrix: torch.Tensor, tables: Sequence[WordTable]) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings [V, H] -> what is left of those of each group in each pair without the pair's mean, [n, H], and the
    numbers of the groups [n]. Several words of a group in a pair count as their mean."""
    import torch

    rows, groups = [], []
    for table in tables:
        filled, present = table.filled.to(matrix.device), table.present.to(matrix.device)
        found = matrix[table.tokens.to(matrix.device)].float() * filled[..., None]
        means = found.sum(2) / filled.sum(2).clamp_min(1)[..., None]
        middle = (means * present[..., None]).sum(1, keepdim=True) / present.sum(1)[:, None, None]
        rows.append((means - middle)[present])
        groups.append(present.nonzero()[:, 1])
    return torch.cat(rows), torch.cat(groups)


def principal_directions(matrix: torch.Tensor, tables: Sequence[WordTable], k: int) -> torch.Tensor:
    """The k orthonormal directions [k, H] along which the groups of a pair differ most."""
    import torch

    rows, _ = centred(matrix, tables)
    return torch.linalg.svd(rows, full_matrices=False)[2][:k]


def group_vectors(matrix: torch.Tensor, tables: Sequence[WordTable]) -> torch.Tensor:
    """The mean of each group's centred words [G, H] at length 1; a group without words has none."""
    import torch

    rows, groups = centred(matrix, tables)
    means = torch.stack([rows[groups == g].mean(0) for g in groups.unique().tolist()])
    return torch.nn.functional.normalize(means, dim=-1)


class Directions:
    """Directions in the matrices of a model, found again every so many steps; they are constants of the loss."""

    def __init__(self, find: Find, tables: Sequence[WordTable], every: int) -> None:
        self.find, self.tables, self.every = find, tables, every
        self._known: dict[str, torch.Tensor] = {}

    def on_step(self, step: int, total: int) -> None:
        """Forget what was found when its time is over."""
        if step % self.every == 0:
            self._known = {}

    def of(self, name: str, matrix: torch.Tensor) -> torch.Tensor:
        """The directions [k, H] in the matrix of this name."""
        if name not in self._known:
            self._known[name] = self.find(matrix.detach(), self.tables)
        return self._known[name].to(matrix.device)

    def state_dict(self) -> dict[str, Any]:
        return {name: found.cpu().clone() for name, found in self._known.items()}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        self._known = dict(saved)


def matrices(model: PreTrainedModel) -> dict[Literal["input", "output"], torch.Tensor]:
    """The embedding matrices [V, H] of a model: one where they are tied, or where it has no output layer."""
    found: dict[Literal["input", "output"], torch.Tensor] = {"input": model.get_input_embeddings().weight}
    output = model.get_output_embeddings()
    if output is not None and output.weight is not found["input"]:
        found["output"] = output.weight
    return found


def output_matrix(model: PreTrainedModel) -> torch.Tensor:
    """The matrix [V, H] that final hidden states are multiplied with."""
    found = matrices(model)
    return found.get("output", found["input"])


def neutral_tokens(tokenizer: Any, tables: Sequence[WordTable], size: int) -> torch.Tensor:
    """The vocabulary [n] without group words and special tokens."""
    import torch

    grouped = {int(t) for table in tables for t in table.tokens[table.filled]}
    left_out = grouped | set(tokenizer.all_special_ids)
    return torch.tensor([t for t in range(min(size, len(tokenizer))) if t not in left_out], dtype=torch.long)
