"""The configurations of an ablation over bias and language quality: which parts buy what for which cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evenhand.configurations import badness, metric_of
from evenhand.front_figure import Scatter, scatter
from evenhand.sweep_report import label
from evenhand.sweep_study import front

if TYPE_CHECKING:
    from evenhand.ablation import Ablation


def front_of(found: Ablation) -> list[Scatter]:
    """The decisive metric of the headline over that of the first benchmark of language quality, of each configuration
    and of the untouched model; nothing where the recipe lacks one of them.

    The untouched model competes, too: what it is better than in both lies behind it.
    """
    whole = found.of(*found.parts).record
    assert whole is not None
    measures = [b for b in (whole.headline, *whole.quality_benchmarks[:1]) if b is not None and b.primary is not None]
    if len(measures) < 2:
        return []
    up, across = names = [b.id for b in measures]
    # Of each model: its name, and both values; the untouched one comes first.
    models = [("untouched", [b.primary.before.value if b.primary else None for b in measures])]
    for one in found.configurations:
        if one.record is not None:
            metrics = [metric_of(one.record, name) for name in names]
            models.append((one.name.partition(",")[0], [m.after.value if m else None for m in metrics]))
    known = [(name, [v for v in values if v is not None]) for name, values in models if None not in values]
    better = [[badness(b.primary, v) or 0.0 for b, v in zip(measures, values, strict=True) if b.primary]
              for _, values in known]  # fmt: skip
    best = front(dict(enumerate(better)))
    points = [
        (name, "untouched" if name == "untouched" else "front" if number in best else "other", values[1], values[0])
        for number, (name, values) in enumerate(known)
    ]
    return [scatter(label(whole, across), label(whole, up), points)]
