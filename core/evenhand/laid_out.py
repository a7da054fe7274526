"""Weights of linear layers in the order in which oneDNN multiplies them.

oneDNN brings a weight into an order of its own before each product. For thousands of rows that is nothing; for the few
rows of a token it is as much work as the product. `LaidOut` does it once and gives the same numbers: for two rows and
more bit by bit, as the same kernel multiplies them. It is done when a layer has multiplied `AFTER` times, so that a
short answer does not pay for it, and only where memory has room for it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch  # noqa: TID253 - imported inside functions only

AFTER = 8
"""So many products by a layer are a sign that more will follow."""
STEPS = (257, 61, 13, 1)
"""Which values make up the sample of a weight: every 257th. A prime that divides neither side meets each row and each
column, where both are at least as long."""
HINT = 8
"""The number of rows that oneDNN is told to expect; the order is the same for any small number."""
SHARE = 0.5
"""The part of the free memory that a model's weights may take once more."""
UNKNOWN = 2 * 2**30
"""Bytes that count as free where the system does not say."""


@dataclass(frozen=True)
class _Order:
    """A weight in oneDNN's order, and what it was made of."""

    of: tuple[int, int]
    """Address and version of the weight."""
    sample: torch.Tensor
    laid: torch.Tensor


class LaidOut:
    """The weights of the layers of one block of fast products, each in order from its time on.

    They stay for later blocks as long as the layer lives, since bringing a whole model into order takes as long as ten
    tokens. A weight may be changed in between in a way that leaves no trace in its version (through `.data`, as `peft`
    merges adapters), so what was kept is compared by a sample of its values once a block, which any change of a whole
    row or column shows.
    """

    def __init__(self) -> None:
        self.size = 0
        """Bytes of the weights of all layers together."""
        self._uses: dict[int, int] = {}
        self._made: dict[int, _Order] = {}
        self._room: bool | None = None

    def of(self, module: torch.nn.Module, weight: torch.Tensor) -> torch.Tensor:
        """The weight [out, in] in oneDNN's order if it is time for it, else as it is given."""
        if weight.is_inference():  # which has no version, so that a change of it would go unseen
            return weight
        key = id(module)
        made = self._made.get(key)
        if made is not None and made.of[1] == weight._version:
            return made.laid
        now = weight.data_ptr(), weight._version
        if made is None and (kept := self._kept(module, weight, now)) is not None:
            self._made[key] = kept
            return kept.laid
        self._uses[key] = self._uses.get(key, 0) + 1
        if self._uses[key] <= AFTER or not self._has_room():
            return weight
        laid: Any = torch.ops.mkldnn._reorder_linear_weight(weight, HINT)
        self._made[key] = made = _Order(now, _sample(weight), laid)
        with _changing:
            _all_kept[module] = made
        return made.laid

    def _kept(self, module: torch.nn.Module, weight: torch.Tensor, now: tuple[int, int]) -> _Order | None:
        """What an earlier block has made of this weight, if it is still the same; forgotten otherwise."""
        kept = _all_kept.get(module)
        if kept is None or (kept.of == now and torch.equal(kept.sample, _sample(weight))):
            return kept
        with _changing:
            _all_kept.pop(module, None)
        return None

    def _has_room(self) -> bool:
        if self._room is None:
            self._room = self.size <= SHARE * free_memory()
        return self._room


_all_kept: WeakKeyDictionary[torch.nn.Module, _Order] = WeakKeyDictionary()
_changing = threading.Lock()


def _sample(weight: torch.Tensor) -> torch.Tensor:
    """Values spread over a weight [out, in], some of each row and of each column; all of a small one."""
    values = (weight if weight.is_contiguous() else weight.t()).reshape(-1)
    step = next(
        step for step in STEPS if step == 1 or (step <= min(weight.shape) and all(n % step for n in weight.shape))
    )
    return values[::step].clone()


def free_memory() -> int:
    """Bytes of memory that the system can give without swapping; two GiB where it does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return UNKNOWN
    found = next((line.split()[1] for line in lines if line.startswith("MemAvailable:")), None)
    return UNKNOWN if found is None else int(found) * 1024
