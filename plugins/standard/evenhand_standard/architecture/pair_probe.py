"""How differently a model goes on after two groups, and how well it reads plain text: numbers to choose a change by.

    gap  = mean over positions t behind the group word of  JS( F p(. | x_<t), F p(. | x~_<t) )
    loss = mean over tokens of plain text of  -log p(token | context)

Both are differentiable. F folds aligned group words into one. The pairs are those to fit on (`group_pairs.py`), the
text is `builtin:everyday`: neither is what a run is measured with. For masked models each position is masked in turn.

Source: building blocks 2.3 to 2.5 of the technique notes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evenhand_sdk import (
    Axis,
    RunContext,
    UsageError,
    aligned_positions,
    comparable_positions,
    group_tokens,
    positions_of,
    token_bins,
)
from evenhand_sdk.benchmark_data import builtin_lines
from evenhand_standard.architecture.group_pairs import fitting_pairs
from evenhand_standard.objective.folded_divergence import mean_folded_js

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

TEXT = "everyday"
MASKED_POSITIONS = 4
"""Of each text, how many tokens a masked model is asked for; of a passage, one for each of its texts if more."""
PASSAGE = 20
"""Plain texts that are read as one, so that quality is also measured where there is much to attend to."""
ROWS_AT_ONCE = 16
"""Rows of one forward pass, at most."""
TOKENS_AT_ONCE = 1_600
"""Tokens of one forward pass, at most, unless one text has more: their logits are held together."""

Ids = tuple[int, ...]


@dataclass(frozen=True)
class Asked:
    """One row of tokens, and the places whose distributions are wanted."""

    ids: Ids
    places: tuple[int, ...]


@dataclass(frozen=True)
class Compared:
    """A pair of texts as rows: distribution k of the left rows is compared with distribution k of the right ones."""

    left: tuple[Asked, ...]
    right: tuple[Asked, ...]

    @property
    def positions(self) -> int:
        return sum(len(row.places) for row in self.left)


@dataclass(frozen=True)
class PairProbe:
    """Pairs and texts, ready to be read by models of one tokenizer."""

    pairs: tuple[Compared, ...]
    texts: tuple[tuple[Asked, ...], ...]
    wanted: tuple[Ids, ...]
    """The tokens that stand at the places of each text."""
    bins: torch.Tensor
    pad: int

    @classmethod
    def of(
        cls, run: RunContext, model: PreTrainedModel, axis: Axis, pairs: int, texts: int, *, together: int = 1
    ) -> PairProbe:
        """A probe of so many pairs and texts, so many of the texts `together` in a passage, as far as the model reads.

        UsageError when no pair has a position to compare.
        """
        tokenizer, kind = run.tokenizer, run.kind
        bins = token_bins(tokenizer, axis.bins(), model.get_input_embeddings().num_embeddings)
        ignored = group_tokens(bins) | frozenset(tokenizer.all_special_ids)

        def ids(text: str) -> Ids:
            return tuple(tokenizer(text)["input_ids"])

        compared = []
        for pair in fitting_pairs(axis, pairs):
            left, right = ids(pair.texts[0]), ids(pair.texts[1])
            if kind == "causal":
                where = comparable_positions(left, right, ignored)
                made = Compared((Asked(left, tuple(i for i, _ in where)),), (Asked(right, tuple(j for _, j in where)),))
            else:
                where = [(i, j) for i, j in aligned_positions(left, right) if left[i] not in ignored]
                made = Compared(
                    tuple(Asked(_hidden(left, i, tokenizer), (i,)) for i, _ in where),
                    tuple(Asked(_hidden(right, j, tokenizer), (j,)) for _, j in where),
                )
            if where:
                compared.append(made)
        if not compared:
            raise UsageError(
                f"no pair of sentences of the axis {axis.name!r} has a word to compare with this tokenizer",
                do="take another axis, or more pairs",
            )
        lines = builtin_lines(TEXT)
        picked = [lines[k * len(lines) // texts] for k in range(min(texts, len(lines)))]
        passages = [" ".join(picked[k : k + together]) for k in range(0, len(picked), together)]
        longest = positions_of(model)
        chosen = [tuple(tokenizer(text, truncation=True, max_length=longest)["input_ids"]) for text in passages]
        asked, wanted = [], []
        for row in chosen:
            special = set(tokenizer.all_special_ids)
            if kind == "causal":
                places = tuple(t for t in range(1, len(row)) if row[t] not in special)
                asked.append((Asked(row, tuple(t - 1 for t in places)),))
            else:
                plain = [t for t in range(len(row)) if row[t] not in special]
                places = tuple(plain[:: max(1, -(-len(plain) // max(MASKED_POSITIONS, together)))])
                asked.append(tuple(Asked(_hidden(row, t, tokenizer), (t,)) for t in places))
            wanted.append(tuple(row[t] for t in places))
        return cls(tuple(compared), tuple(asked), tuple(wanted), bins, int(tokenizer.pad_token_id or 0))

    def gap(self, model: PreTrainedModel) -> float:
        """The mean divergence in nat over all compared positions."""
        import torch

        with torch.no_grad():
            total = sum(float(value) * count for value, count in self.gaps(model))
        return total / sum(pair.positions for pair in self.pairs)

    def loss(self, model: PreTrainedModel) -> float:
        """The mean loss in nat per token over the texts."""
        import torch

        with torch.no_grad():
            total = sum(float(values.sum()) for values in self.losses(model))
        return total / sum(len(tokens) for tokens in self.wanted)

    def text_losses(self, model: PreTrainedModel) -> torch.Tensor:
        """The summed loss [texts] in nat of each text."""
        import torch

        with torch.no_grad():
            losses = torch.cat([values.double().cpu() for values in self.losses(model)])
        return torch.stack([part.sum() for part in losses.split([len(tokens) for tokens in self.wanted])])

    def gaps(self, model: PreTrainedModel) -> Iterator[tuple[torch.Tensor, int]]:
        """(mean divergence [] of a few pairs, with its gradient; how many positions it is over)."""
        for few in _batches(self.pairs, lambda pair: (*pair.left, *pair.right)):
            left = self._logits(model, [row for pair in few for row in pair.left])
            right = self._logits(model, [row for pair in few for row in pair.right])
            yield mean_folded_js(left, right, self.bins.to(left.device)), len(left)

    def losses(self, model: PreTrainedModel) -> Iterator[torch.Tensor]:
        """The losses in nat of the tokens of a few texts, with their gradient."""
        import torch

        both = list(zip(self.texts, self.wanted, strict=True))
        for few in _batches(both, lambda text: text[0]):
            logits = self._logits(model, [row for rows, _ in few for row in rows])
            tokens = torch.tensor([token for _, row in few for token in row], device=logits.device)
            yield torch.nn.functional.cross_entropy(logits.float(), tokens, reduction="none")

    def _logits(self, model: PreTrainedModel, rows: Sequence[Asked]) -> torch.Tensor:
        """Logits [places, V] of all rows, in order."""
        import torch

        model.eval()
        longest = max(len(row.ids) for row in rows)
        ids = torch.tensor([[*row.ids, *[self.pad] * (longest - len(row.ids))] for row in rows])
        mask = torch.tensor([[1] * len(row.ids) + [0] * (longest - len(row.ids)) for row in rows])
        out = model(input_ids=ids.to(model.device), attention_mask=mask.to(model.device)).logits
        row_of = [k for k, row in enumerate(rows) for _ in row.places]
        places = [place for row in rows for place in row.places]
        return out[row_of, places]


def _hidden(ids: Ids, place: int, tokenizer: Any) -> Ids:
    return (*ids[:place], int(tokenizer.mask_token_id), *ids[place + 1 :])


def _batches(items: Sequence[Any], rows_of: Callable[[Any], Sequence[Asked]]) -> Iterator[list[Any]]:
    """The items in order, as many together as one pass takes."""
    held: list[Any] = []
    rows, longest = 0, 0
    for item in items:
        own = rows_of(item)
        widest = max(longest, *(len(row.ids) for row in own))
        more = rows + len(own)
        if held and (more > ROWS_AT_ONCE or more * widest > TOKENS_AT_ONCE):
            yield held
            held, more, widest = [], len(own), max(len(row.ids) for row in own)
        held.append(item)
        rows, longest = more, widest
    if held:
        yield held
