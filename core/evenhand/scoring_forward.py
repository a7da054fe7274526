"""Running a model over many sequences and reading few logits of it.

Texts are packed into few rows of few fixed shapes (`scoring_packing`), because processors rebuild their kernels for
every new shape, and shared beginnings are read once. The output matrix, a third of the work of a small model, is
applied only to the positions that are read, in blocks of rows, so that no [B, T, V] tensor exists. Whether a model
takes packed rows, and whether its logits are nothing but the output matrix's, is found out by comparing on the first
sequences; where not, it is run as it is.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from evenhand.entering import entering
from evenhand.errors import OutOfMemory, UsageError
from evenhand.filling import foreign_hooks
from evenhand.memory_errors import out_of_memory
from evenhand.positions import most_tokens
from evenhand.scored_text import demand_embedded
from evenhand.scoring_packing import LENGTH_STEP, SHARED, PackedRow, Row, common, plan
from evenhand.scoring_precision import measuring

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

ROW_STEP = 8
"""Rows of the last batch are padded to a multiple of this."""
BLOCK_BYTES = 64 * 2**20
"""Size of the largest block of logits, in the number format of the model."""
WORTH_PACKING = 1024
"""Fewer tokens are read text by text: to find out whether the model takes packed rows would cost more."""

Consume = Callable[["torch.Tensor", "torch.Tensor", "torch.Tensor"], None]
"""(places [m], index [m], logits [n, V]): logits[index[k]] are those of the place places[k], the running number of
a position over all rows. Texts that begin alike share logits. May be called again for the same places after memory
ran out."""
OnEvent = Callable[[str], None]


class Forward:
    """A model, the format it runs in, and the size of its batches."""

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        precision: str,
        kind: str = "causal",
        pad_id: int = 0,
        batch_tokens: int = 4096,
        longest: int | None = None,
        on_event: OnEvent | None = None,
    ) -> None:
        self.model, self.precision, self.kind = model, precision, kind
        self.pad_id, self.batch_tokens = pad_id, batch_tokens
        self._fitting = batch_tokens
        """The most tokens that are run at once, which shrinks when memory runs out."""
        self.longest = min(most_tokens(model), longest or 2**31)
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
        self,
        rows: Sequence[Row],
        consume: Consume,
        *,
        advance: Callable[[int], None] = lambda rows: None,
        part: tuple[int, int] = (0, 1),
    ) -> None:
        """Hands the logits of all positions of all rows to `consume`, block by block, in no given order.

        `part` (k, n): only the batches k, n + k, 2 n + k, ...: what one of n processes does. `advance` is told how many
        rows are done. Raises UsageError for a sequence that the model cannot take, and OutOfMemory when a single one
        does not fit into memory.
        """
        if not rows:
            return
        self.check(rows)
        read = [row for row in rows if row.positions]
        advance(len(rows) - len(read))
        if not read:
            return
        with measuring(self.model, self.precision):
            head = self._output_layer(max(read, key=lambda row: len(row.ids)).ids)
            packed = self._takes_packed_rows(read, head)
            todo = plan(rows, longest=self.longest, share=packed and self.kind == "causal", pack=packed)
            start = number = 0
            while start < len(todo):
                length = todo[start].length
                size = max(1, self.batch_tokens // length)
                if head is None:
                    size = max(1, min(size, 4 * BLOCK_BYTES // (4 * self.vocabulary * length)))
                chosen = [row for row in todo[start : start + size] if row.length == length]
                if number % part[1] == part[0]:
                    self._as_memory_allows(chosen, length, size, head, consume)
                start, number = start + len(chosen), number + 1
                advance(sum(row.rows for row in chosen))

    def _as_memory_allows(
        self, rows: Sequence[PackedRow], length: int, size: int, head: torch.nn.Module | None, consume: Consume
    ) -> None:
        """A batch, in smaller ones where memory ran out.

        The batches themselves stay as they are: several processes divide them by number, and memory may run out in one.
        """
        done = 0
        while done < len(rows):
            fitting = max(1, min(size, self._fitting // length))
            some = rows[done : done + fitting]
            try:
                self._batch(some, length, fitting, head, consume)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                self._halve(len(some), length, error)
                continue
            done += len(some)

    def _batch(
        self, rows: Sequence[PackedRow], length: int, size: int, head: torch.nn.Module | None, consume: Consume
    ) -> None:
        import torch

        count = _up(len(rows), ROW_STEP, size) if len(rows) >= ROW_STEP else len(rows)
        inputs = self._inputs([rows[b] if b < len(rows) else rows[0] for b in range(count)], length)
        reads = sorted(
            (b * length + begin + slot, place)
            for b, row in enumerate(rows)
            for begin, tree in row.trees
            for slot, place in tree.reads
        )
        slots, index = torch.unique(torch.tensor([slot for slot, _ in reads]), return_inverse=True)
        places = torch.tensor([place for _, place in reads])
        states = self._run(**inputs).logits if head is None else self._hidden(head, inputs)
        read = states.flatten(0, 1)[slots.to(states.device)]
        block = max(ROW_STEP, BLOCK_BYTES // (read.element_size() * self.vocabulary) // ROW_STEP * ROW_STEP)
        for first in range(0, len(read), block):
            part = read[first : first + block]
            if head is not None:
                n = len(part)
                fixed = _up(n, 4 * ROW_STEP, block)
                if fixed > n:
                    part = torch.cat([part, part[:1].expand(fixed - n, -1)])
                part = head(part)[:n]
            here = (index >= first) & (index < first + block)
            consume(places[here], index[here] - first, part)

    def _inputs(self, rows: Sequence[PackedRow], length: int) -> dict[str, torch.Tensor]:
        """What the model is called with for rows of equal length, on its device."""
        import torch

        ids = torch.full((len(rows), length), self.pad_id)
        if all(row.plain for row in rows):
            mask = torch.zeros((len(rows), length), dtype=torch.long)
            for b, row in enumerate(rows):
                ids[b, : row.used] = torch.tensor(row.trees[0][1].ids)
                mask[b, : row.used] = 1
            return {"input_ids": ids.to(self.device), "attention_mask": mask.to(self.device)}
        positions = torch.zeros((len(rows), length), dtype=torch.long)
        seen = torch.eye(length, dtype=torch.bool).repeat(len(rows), 1, 1)
        triangle = torch.ones((length, length), dtype=torch.bool)
        if self.kind == "causal":
            triangle = triangle.tril()
        for b, row in enumerate(rows):
            for begin, tree in row.trees:
                ids[b, begin : begin + len(tree)] = torch.tensor(tree.ids)
                positions[b, begin : begin + len(tree)] = torch.tensor(tree.positions)
                for first, end, before in tree.segments:
                    at = slice(begin + first, begin + end)
                    seen[b, at, at] = triangle[: end - first, : end - first]
                    for left, right in before:
                        seen[b, at, begin + left : begin + right] = True
        dtype = torch.bfloat16 if self.precision == "bf16" else next(self.model.parameters()).dtype
        hidden = torch.zeros(seen.shape, dtype=dtype).masked_fill_(~seen, torch.finfo(dtype).min)
        return {
            "input_ids": ids.to(self.device),
            "attention_mask": hidden[:, None].to(self.device),
            "position_ids": positions.to(self.device),
        }

    def _run(self, **inputs: torch.Tensor) -> Any:
        return self.model(**inputs)

    def _hidden(self, head: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """What enters the output matrix, [B, T, H]; the matrix itself sees one position only."""
        entered: list[torch.Tensor] = []

        def take(args: tuple[Any, ...]) -> tuple[Any, ...]:
            entered.append(args[0])
            return (args[0][:1, :1], *args[1:])

        with entering(head, take):
            self._run(**inputs)
        return entered[0]

    def _output_layer(self, ids: tuple[int, ...]) -> torch.nn.Module | None:
        """The output matrix, if the logits of the model are nothing but its result on `ids`; else None."""
        import torch

        found: Any = self.model.get_output_embeddings()
        if (
            not isinstance(found, torch.nn.Module)
            or foreign_hooks(self.model)
            # A cap is nearly the identity on small logits, so that the comparison below could miss it.
            or getattr(self.model.config.get_text_config(), "final_logit_softcapping", None)
        ):
            return None
        entered: list[torch.Tensor] = []
        with entering(found, lambda args: entered.append(args[0]) if args else None):
            sample = torch.tensor([ids[: 2 * LENGTH_STEP]], device=self.device)
            logits = self._run(input_ids=sample, attention_mask=torch.ones_like(sample)).logits
        if len(entered) != 1 or entered[0].shape[:-1] != sample.shape:
            return None
        again = found(entered[0])
        same = again.shape == logits.shape and torch.allclose(again.float(), logits.float(), rtol=1e-5, atol=1e-6)
        return found if same else None

    def _takes_packed_rows(self, rows: Sequence[Row], head: torch.nn.Module | None) -> bool:
        """Whether the model reads several texts in one row as it reads each alone; tried on parts of some texts.

        The parts begin just before the first place where texts differ: beginnings that all share would try nothing.
        Models that know no explicit mask or positions (recurrent ones, attention with biases) do not, nor do those
        whose attention reaches less far than the longest text.
        """

        if sum(len(row.ids) for row in rows) < WORTH_PACKING or not _attends_to_all(
            self.model, max(len(row.ids) for row in rows)
        ):
            return False
        ordered = sorted(rows, key=lambda row: row.ids)
        chosen = [ordered[0], *ordered[len(rows) // 2 :][:2], ordered[-1]]
        start = max(0, common(ordered[0].ids, ordered[-1].ids) - SHARED)
        parts = [row.ids[start : start + TRIED] for row in chosen]
        sample = [Row(ids, tuple(range(len(ids)))) for ids in parts]
        alone = self._states(sample, head, packed=False)
        try:
            together = self._states(sample, head, packed=True)
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            if out_of_memory(error):
                raise
            return False
        apart = float((alone - together).abs().mean() / alone.std())
        return apart <= (1e-4 if self.precision == "float32" else 0.03)

    def _states(self, rows: Sequence[Row], head: torch.nn.Module | None, packed: bool) -> torch.Tensor:
        """What enters the output matrix (or the logits) at each place, each row of slots on its own."""
        import torch

        found: dict[int, torch.Tensor] = {}
        for row in plan(rows, longest=self.longest, share=packed and self.kind == "causal", pack=packed):
            inputs = self._inputs([row], row.length)
            states = (self._run(**inputs).logits if head is None else self._hidden(head, inputs))[0].float()
            found |= {place: states[begin + slot] for begin, tree in row.trees for slot, place in tree.reads}
        return torch.stack([found[place] for place in sorted(found)])

    def check(self, rows: Sequence[Row]) -> None:
        """Raises UsageError for a sequence that the model cannot take."""
        demand_room([len(row.ids) for row in rows], self.longest)
        if any(not row.ids for row in rows):
            raise UsageError("a text has no tokens", where="scoring", do="leave empty texts out")
        demand_embedded(self.model, (max(row.ids) for row in rows))

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
        self._fitting = rows // 2 * length
        if self._on_event is not None:
            half = f"{rows // 2} sequence{'s' * (rows // 2 != 1)}"
            self._on_event(f"out of memory while scoring: batch halved to {half} of {length} tokens")


TRIED = 16
"""Tokens of each text on which it is tried whether a model takes packed rows."""


def demand_room(lengths: Sequence[int], longest: int) -> None:
    """Raises UsageError for a text of more tokens than the model takes."""
    most = max(lengths, default=0)
    if most > longest:
        raise UsageError(
            f"a text has {most:,} tokens, but the model takes at most {longest:,}",
            where="scoring",
            do="split the text into shorter passages",
        )


def _attends_to_all(model: PreTrainedModel, longest: int) -> bool:
    """Whether attention reaches from any token to any before it, and positions can be given."""
    config = model.config.get_text_config()
    reach = [getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size", "window_size")]
    if any(isinstance(r, int) and 0 < r < longest for r in reach):
        return False
    return "position_ids" in inspect.signature(model.forward).parameters


def _up(number: int, step: int, most: int) -> int:
    return max(number, min(-(-number // step) * step, most))
