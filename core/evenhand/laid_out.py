"""Weights of linear layers in the order in which oneDNN multiplies them.

oneDNN brings a weight into an order of its own before each product. For thousands of rows that is nothing; for the few
rows of a token it is as much work as the product. `LaidOut` does it once and gives the same numbers: for two rows and
more bit by bit, as the same kernel multiplies them. It is done when a layer has multiplied `AFTER` times, so that a
short answer does not pay for it, and only where memory has room for it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
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
LIMITS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
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
    """The weights of layers in order, each from its time on, for as long as one answer is written.

    What was made stays for later answers as long as the layer lives, since bringing a whole model into order takes as
    long as ten tokens, and one order serves all threads. A weight may be changed in between in a way that leaves no
    trace in its version (through `.data`, as `peft` merges adapters), so what was kept is compared by a sample of its
    values once an answer, which any change of a whole row or column shows.
    """

    def __init__(self) -> None:
        self.size = 0
        """Bytes of the weights of all layers together."""
        self._uses: WeakKeyDictionary[torch.nn.Module, int] = WeakKeyDictionary()
        self._made: WeakKeyDictionary[torch.nn.Module, _Order] = WeakKeyDictionary()
        self._bytes = 0
        """Of what was made."""
        self._full = False
        """No room was left, and no more is made in this answer: to ask again at each product would cost more than it
        saves."""

    def of(self, module: torch.nn.Module, weight: torch.Tensor) -> torch.Tensor:
        """The weight [out, in] in oneDNN's order if it is time for it, else as it is given."""
        if weight.is_inference():  # which has no version, so that a change of it would go unseen
            return weight
        now = weight.data_ptr(), weight._version
        made = self._made.get(module)
        if made is None:
            made = _kept(module, weight, now)
        if made is not None and made.of == now:
            self._made[module] = made
            return made.laid
        self._uses[module] = self._uses.get(module, 0) + 1
        if self._full or self._uses[module] <= AFTER:
            return weight
        if self.size - self._bytes > SHARE * free_memory():
            self._full = True
            return weight
        with _changing:
            made = _all_kept.get(module)  # another thread may have made it meanwhile
            if made is None or made.of != now:
                laid: Any = torch.ops.mkldnn._reorder_linear_weight(weight, HINT)
                made = _all_kept[module] = _Order(now, _sample(weight), laid)
        self._made[module] = made
        self._bytes += weight.nbytes
        return made.laid


_all_kept: WeakKeyDictionary[torch.nn.Module, _Order] = WeakKeyDictionary()
_changing = threading.Lock()


def _kept(module: torch.nn.Module, weight: torch.Tensor, now: tuple[int, int]) -> _Order | None:
    """What an earlier answer has left of this weight, if it is still the same; forgotten otherwise."""
    kept = _all_kept.get(module)
    if kept is None or (kept.of == now and torch.equal(kept.sample, _sample(weight))):
        return kept
    with _changing:
        _all_kept.pop(module, None)
    return None


def forget(model: torch.nn.Module) -> None:
    """Give up what was kept of a model: it is trained now, or has gone to another device."""
    with _changing:
        for module in model.modules():
            _all_kept.pop(module, None)


def _sample(weight: torch.Tensor) -> torch.Tensor:
    """Values spread over a weight [out, in], some of each row and of each column; all of a small one."""
    values = (weight if weight.is_contiguous() else weight.t()).reshape(-1)
    step = next(
        step for step in STEPS if step == 1 or (step <= min(weight.shape) and all(n % step for n in weight.shape))
    )
    return values[::step].clone()


def free_memory() -> int:
    """Bytes of memory that this process can have without swapping, a container's limit included; two GiB where the
    system does not say."""
    found = [*_available(), *_within_limit()]
    return min(found) if found else UNKNOWN


def _available() -> Iterator[int]:
    for line in _text("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            yield int(line.split()[1]) * 1024


def _within_limit() -> Iterator[int]:
    """What the limit of a container leaves, of both versions of Linux's control groups."""
    for limit, used in LIMITS:
        most, now = _text(limit).strip(), _text(used).strip()
        if most.isdigit() and now.isdigit():
            yield max(0, int(most) - int(now))


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
