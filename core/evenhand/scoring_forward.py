"""Running a model over many sequences and reading few logits of it.

Sequences are sorted by length and run in a few fixed shapes, because processors rebuild their kernels for
every new one. The output matrix, a third of the work of a small model, is applied only to the positions that
are read, in blocks of rows, so that no [B, T, V] tensor exists. Models that do something to their logits
afterwards (soft-capping, scaling, hooks) are found out by comparing the two on the first sequence, and are
then run as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evenhand.errors import OutOfMemory, UsageError
from evenhand.scoring_precision import measuring

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

LENGTH_STEP = 8
"""Lengths are padded to a multiple of this."""
ROW_STEP = 8
"""Rows of the last batch are padded to a multiple of this."""
BLOCK_BYTES = 64 * 2**20
"""Size of the largest block of float32 logits."""


@dataclass(frozen=True)
class Row:
    """A sequence, and the positions whose logits are read."""

    ids: tuple[int, ...]
    positions: tuple[int, ...]


Consume = Callable[["torch.Tensor", "torch.Tensor"], None]
"""(places [n], logits [n, V] float32): a place is the running number of a position over all rows. May be
called again for the same places after memory ran out."""
OnEvent = Callable[[str], None]


class Forward:
    """A model, the format it runs in, and the size of its batches, which shrinks when memory runs out."""

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        precision: str,
        pad_id: int = 0,
        batch_tokens: int = 4096,
        longest: int | None = None,
        on_event: OnEvent | None = None,
    ) -> None:
        self.model, self.precision, self.pad_id, self.batch_tokens = model, precision, pad_id, batch_tokens
        positions = getattr(model.config.get_text_config(), "max_position_embeddings", None) or 2**31
        self.longest = min(int(positions), longest or 2**31)
        """The most tokens that a sequence may have."""
        self._on_event = on_event

    @property
    def device(self) -> torch.device:
        found: torch.device = next(self.model.parameters()).device
        return found

    @property
    def vocabulary(self) -> int:
        """V, the number of logits."""
        head = self.model.get_output_embeddings()
        weight = getattr(head, "weight", None)
        return int(self.model.config.get_text_config().vocab_size if weight is None else weight.shape[0])

    def logits(
        self, rows: Sequence[Row], consume: Consume, *, advance: Callable[[int], None] = lambda rows: None
    ) -> None:
        """Hands the logits of all positions of all rows to `consume`, block by block, in no given order.

        `advance` is told how many rows are done. Raises UsageError for a sequence that the model cannot take,
        and OutOfMemory when a single one does not fit into memory.
        """
        if not rows:
            return
        self._check(rows)
        offsets = [0]
        for row in rows:
            offsets.append(offsets[-1] + len(row.positions))
        read = [r for r, row in enumerate(rows) if row.positions]
        advance(len(rows) - len(read))
        if not read:
            return
        order = sorted(read, key=lambda r: (-len(rows[r].ids), rows[r].ids, r))
        with measuring(self.model, self.precision):
            head = self._output_layer(rows[order[0]].ids)
            start = 0
            while start < len(order):
                length = _up(len(rows[order[start]].ids), LENGTH_STEP, self.longest)
                size = max(1, self.batch_tokens // length)
                if head is None:
                    size = max(1, min(size, 4 * BLOCK_BYTES // (4 * self.vocabulary * length)))
                chosen = order[start : start + size]
                try:
                    self._batch([rows[r] for r in chosen], [offsets[r] for r in chosen], length, size, head, consume)
                except (RuntimeError, MemoryError) as error:
                    if not out_of_memory(error):
                        raise
                    self._halve(len(chosen), length, error)
                    continue
                start += len(chosen)
                advance(len(chosen))

    def _batch(
        self,
        rows: Sequence[Row],
        offsets: Sequence[int],
        length: int,
        size: int,
        head: torch.nn.Module | None,
        consume: Consume,
    ) -> None:
        import torch

        count = _up(len(rows), ROW_STEP, size) if len(rows) >= ROW_STEP else len(rows)
        ids = torch.full((count, length), self.pad_id)
        mask = torch.zeros((count, length), dtype=torch.long)
        for b in range(count):
            row = rows[b] if b < len(rows) else rows[0]
            ids[b, : len(row.ids)] = torch.tensor(row.ids)
            mask[b, : len(row.ids)] = 1
        where = [(b, p) for b, row in enumerate(rows) for p in row.positions]
        places = torch.tensor(
            [offset + k for row, offset in zip(rows, offsets, strict=True) for k in range(len(row.positions))]
        )
        if not where:
            return
        b_index, p_index = torch.tensor(where, device=self.device).T
        if head is None:
            read = self._run(ids, mask).logits[b_index, p_index]
        else:
            read = self._hidden(head, ids, mask)[b_index, p_index]
        block = max(ROW_STEP, BLOCK_BYTES // (4 * self.vocabulary) // ROW_STEP * ROW_STEP)
        for first in range(0, len(read), block):
            part = read[first : first + block]
            if head is not None:
                n = len(part)
                fixed = _up(n, 4 * ROW_STEP, block)
                if fixed > n:
                    part = torch.cat([part, part[:1].expand(fixed - n, -1)])
                part = head(part)[:n]
            consume(places[first : first + block], part.float())

    def _run(self, ids: torch.Tensor, mask: torch.Tensor) -> Any:
        return self.model(input_ids=ids.to(self.device), attention_mask=mask.to(self.device))

    def _hidden(self, head: torch.nn.Module, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """What enters the output matrix, [B, T, H]; the matrix itself sees one position only."""
        entered: list[torch.Tensor] = []

        def take(_: torch.nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
            entered.append(args[0])
            return (args[0][:1, :1], *args[1:])

        handle = head.register_forward_pre_hook(take)
        try:
            self._run(ids, mask)
        finally:
            handle.remove()
        return entered[0]

    def _output_layer(self, ids: tuple[int, ...]) -> torch.nn.Module | None:
        """The output matrix, if the logits of the model are nothing but its result on `ids`; else None."""
        import torch

        found: Any = self.model.get_output_embeddings()
        if (
            not isinstance(found, torch.nn.Module)
            or self.model._forward_hooks
            # A cap is nearly the identity on small logits, so that the comparison below could miss it.
            or getattr(self.model.config, "final_logit_softcapping", None)
        ):
            return None
        entered: list[torch.Tensor] = []
        handle = found.register_forward_pre_hook(lambda _, args: entered.append(args[0]) if args else None)
        try:
            sample = torch.tensor([ids[: 2 * LENGTH_STEP]])
            logits = self._run(sample, torch.ones_like(sample)).logits
        finally:
            handle.remove()
        if len(entered) != 1 or entered[0].shape[:-1] != sample.shape:
            return None
        again = found(entered[0])
        same = again.shape == logits.shape and torch.allclose(again.float(), logits.float(), rtol=1e-5, atol=1e-6)
        return found if same else None

    def _check(self, rows: Sequence[Row]) -> None:
        longest = max(len(row.ids) for row in rows)
        if longest > self.longest:
            raise UsageError(
                f"a text has {longest:,} tokens, but the model takes at most {self.longest:,}",
                where="scoring",
                do="split the text into shorter passages",
            )
        if any(not row.ids for row in rows):
            raise UsageError("a text has no tokens", where="scoring", do="leave empty texts out")

    def _halve(self, rows: int, length: int, error: BaseException) -> None:
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if rows == 1:
            raise OutOfMemory(
                f"one sequence of {length} tokens does not fit into memory",
                where="scoring",
                do="use a smaller model",
            ) from error
        self.batch_tokens = rows // 2 * length
        if self._on_event is not None:
            self._on_event(f"out of memory while scoring: batch halved to {rows // 2} sequences of {length} tokens")


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on whichever device."""
    import torch

    if isinstance(error, (torch.cuda.OutOfMemoryError, MemoryError)):
        return True
    text = str(error).lower()
    return "out of memory" in text or "can't allocate memory" in text or "not enough memory" in text


def _up(number: int, step: int, most: int) -> int:
    return max(number, min(-(-number // step) * step, most))
