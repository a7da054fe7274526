"""Who earned the gain: each part's gain alone, what the whole loses without it, and what of the sum cancelled out.

With G(S) the gain of the parts S over the untouched model, counted so that more is better:

- a part's gain alone is G({p}); where it acts through a training, G({p, training}) - G({training});
- what it adds to the whole is G(all) - G(all without p);
- what the others made of it is the second minus the first;
- the interaction of all is G(all) minus the sum of the gains alone: below 0, gains cancelled each other.

All are computed from the same resamples of the same items, so that each has a paired interval. Where a benchmark has
items without the words that the steps work with, these alone count, as for verdicts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evenhand.ablation import TRAINING, Ablation, Configuration, whole_of
from evenhand.bootstrap import Part, bootstrap, distance, distance_interval, interval
from evenhand.cache import sha256_text
from evenhand.report_results import Interval

if TYPE_CHECKING:
    from evenhand.contributions import ItemRecord, Metric
    from evenhand.recipe import ResolvedStep
    from evenhand.sample import Array

    Sides = dict[frozenset[str], list[Sequence[ItemRecord]]]

EARNS, TOGETHER, SPARE, HARMS, NONE, ALONE = (
    "earns its place", "works only with others", "its gain is there without it", "harms the whole",
    "no demonstrated contribution", "gains alone",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Share:
    """What one part did; None for what could not be computed."""

    part: str
    alone: Interval | None
    added: Interval | None
    others: Interval | None
    """`added` minus `alone`: what the other parts made of it."""
    said: str


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """The shares of all parts in the change of one benchmark's decisive metric; gains are better the higher."""

    benchmark: str
    label: str
    metric: str
    unit: str
    quality: bool
    items: int
    decided_by: str
    gains: Mapping[frozenset[str], Interval]
    """Of each configuration that was run."""
    shares: Sequence[Share]
    total: Interval
    """G(all)."""
    sum: Interval | None
    """Of all gains alone."""
    interaction: Interval | None


@dataclass(frozen=True)
class _Gain:
    value: float
    draws: Array

    def __add__(self, other: _Gain) -> _Gain:
        return _Gain(self.value + other.value, self.draws + other.draws)

    def __sub__(self, other: _Gain) -> _Gain:
        return _Gain(self.value - other.value, self.draws - other.draws)


def ledgers(found: Ablation, steps: Sequence[ResolvedStep]) -> list[Ledger]:
    """The ledger of every benchmark of the recipe, in its order."""
    whole = found.of(*found.parts).record
    assert whole is not None
    return [_ledger(found, steps, b.id) for b in whole.benchmarks if b.primary is not None]


def _ledger(found: Ablation, steps: Sequence[ResolvedStep], name: str) -> Ledger:
    from evenhand.compare import definition_of
    from evenhand.evidence import deciding
    from evenhand.result_entries import primary_of

    ran = [c for c in found.configurations if c.record is not None]
    record = ran[0].record
    assert record is not None
    shown = next(b for b in record.benchmarks if b.id == name)
    benchmark = definition_of(shown)
    metric = primary_of(benchmark)
    before, sides = _records(ran, name)
    flat = [before, *(side for c in ran for side in sides[c.parts])]
    decided_by, used = deciding(benchmark, flat)
    settings, seed = found.recipe.evaluation, int(sha256_text(f"{found.recipe.run.seed}/{name}")[:8], 16)
    gains = _gains(metric, ran, sides, used, resamples=settings.resamples, seed=seed)
    return ledger_of(
        gains, found.parts, {p: whole_of(frozenset([p]), steps) for p in found.parts},
        metric=metric, confidence=settings.confidence, name=name, label=shown.label, quality=shown.quality,
        items=len(used[0]), decided_by=decided_by,
    )  # fmt: skip


def _records(ran: Sequence[Configuration], name: str) -> tuple[Sequence[ItemRecord], Sides]:
    """The records of the untouched model, and those of each configuration, one for each seed, in one order of items."""
    from evenhand.item_records import check_records, read_records

    before: Sequence[ItemRecord] = ()
    sides: Sides = {}
    for one in ran:
        assert one.folder is not None
        files = sorted((one.folder / "items").glob(f"{name}.seed-*.parquet"))
        first = read_records(one.folder / "items" / f"{name}.parquet")
        before = before or first["before"]
        sides[one.parts] = [first["after"], *(read_records(path)["after"] for path in files)]
        for side in sides[one.parts]:
            check_records(name, before, side)
    return before, sides


def _gains(
    metric: Metric, ran: Sequence[Configuration], sides: Sides, used: Sequence[Sequence[ItemRecord]], *,
    resamples: int, seed: int,
) -> dict[frozenset[str], _Gain]:  # fmt: skip
    from evenhand.evidence import tables_of

    before, *rest = tables_of(used)
    parts, place = {}, 0
    for one in ran:
        count = len(sides[one.parts])
        parts[one.parts] = Part(metric, [before], rest[place : place + count])
        place += count
    # The draws of seeds are those of the part with most of them, so it comes first.
    order = sorted(parts, key=lambda key: -len(parts[key].afters))
    drawn = bootstrap([parts[key] for key in order], resamples=resamples, seed=seed)
    sign = 1.0 if metric.better == "higher" else -1.0
    return {
        key: _Gain(
            sign * float(distance(metric, d.value_after) - distance(metric, d.value_before)),
            sign * (distance(metric, d.after) - distance(metric, d.before)),
        )
        for key, d in zip(order, drawn, strict=True)
    }


def ledger_of(
    gains: Mapping[frozenset[str], _Gain], parts: Sequence[str], alone: Mapping[str, frozenset[str]], *,
    metric: Metric, confidence: float, name: str, label: str, quality: bool, items: int, decided_by: str,
) -> Ledger:  # fmt: skip
    """The ledger from the gain of each configuration; `alone` is the one in which a part is alone."""

    def shown(gain: _Gain | None) -> Interval | None:
        return None if gain is None else _interval(gain, metric, confidence)

    every = frozenset(parts)
    own: dict[str, _Gain | None] = {}
    for part in parts:
        gain = gains.get(alone[part])
        base = gains.get(frozenset([TRAINING])) if TRAINING in alone[part] and part != TRAINING else None
        missing = gain is None or (TRAINING in alone[part] and part != TRAINING and base is None)
        own[part] = None if missing else gain if base is None or gain is None else gain - base
    shares = []
    for part in parts:
        rest = gains.get(every - {part})
        added, single = None if rest is None else gains[every] - rest, own[part]
        others = None if added is None or single is None else added - single
        one = Share(part=part, alone=shown(single), added=shown(added), others=shown(others), said="")
        shares.append(Share(**{**vars(one), "said": said_of(one)}))
    single_gains = [gain for gain in own.values() if gain is not None]
    total = gains[every]
    together = None
    if len(single_gains) == len(parts):
        together = single_gains[0]
        for gain in single_gains[1:]:
            together = together + gain
    found = shown(total)
    assert found is not None
    return Ledger(
        benchmark=name, label=label, metric=metric.name, unit=metric.unit, quality=quality, items=items,
        decided_by=decided_by, gains={key: _interval(g, metric, confidence) for key, g in gains.items()},
        shares=shares, total=found, sum=shown(together),
        interaction=shown(None if together is None else total - together),
    )  # fmt: skip


def said_of(share: Share) -> str:
    """What a part's two intervals say about it."""
    alone, added = _side(share.alone), _side(share.added)
    if added < 0:
        return HARMS
    if added > 0:
        return EARNS if alone > 0 or share.alone is None else TOGETHER
    if alone > 0:
        return ALONE if share.added is None else SPARE
    return NONE


def _side(found: Interval | None) -> int:
    """1 for a gain whose whole interval is above 0, -1 for one below, else 0."""
    if found is None or found.low is None or found.high is None:
        return 0
    return 1 if found.low > 0 else -1 if found.high < 0 else 0


def _interval(gain: _Gain, metric: Metric, confidence: float) -> Interval:
    ends = distance_interval(gain.value, gain.draws, confidence) if metric.better == "nearer" else None
    low, high = ends or interval(gain.draws, confidence)
    return Interval(value=_plain(gain.value), low=_plain(low), high=_plain(high))


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None
