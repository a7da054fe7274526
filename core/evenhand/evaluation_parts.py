"""What the evaluation hook returns: a benchmark, its metrics, and the records that they are computed from.

A benchmark gives one record an item; aggregates, intervals and paired tests are computed from records alone, without
the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from evenhand.sample import Array, Sample


@dataclass(frozen=True, kw_only=True)
class ItemRecord:
    """The score of one item of a benchmark: everything an aggregate is computed from."""

    id: str
    cluster: str
    """Items that share a template or a document: the bootstrap resamples clusters."""
    values: Mapping[str, float]
    """An item that gives no answer to a question has no such key; nan is refused."""
    axis: str = ""
    group: str = ""
    flags: Mapping[str, bool] = field(default_factory=dict)
    """For example `tie`, `truncated`, `unparsed`: the report counts them. `in_lexicon` marks an item that uses words
    which the steps of the run worked with: the verdict rests on the others."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """An aggregate of item records: scale * sum(value) / sum(per) through `transform`, or any other `statistic`."""

    name: str
    value: str = ""
    """Key of `ItemRecord.values` that is summed; items without it are left out."""
    per: str | None = None
    """Key whose sum divides; None divides by the number of items that have `value`."""
    transform: Literal["identity", "exp", "neg_exp"] = "identity"
    """`exp`: e to the ratio. `neg_exp`: e to the negative ratio (perplexity from log-likelihoods)."""
    scale: float = 1.0
    statistic: Callable[[Sample], Array] | None = None
    """For what is no ratio of sums (a gap between groups, an effect size, a macro-average): a function of a module,
    from a sample with R resamples to R numbers, nan where undefined. Replaces `value`, `per`, `transform`, `scale`."""
    target: float | None = None
    """The ideal value; a metric with a target is better the nearer it is."""
    better: Literal["lower", "higher", "nearer"] = "nearer"
    unit: str = ""
    primary: bool = False
    """The one metric that the verdict of the benchmark rests on."""
    description: str = ""
    per_token: bool = False
    """True where it is a mean over tokens, or compares distributions over the vocabulary: then it means another thing
    for a model with another tokenizer. Numbers per word, per byte, per item, or of whole texts do not."""
    margin: float | None = None
    """Of a quality benchmark's decisive metric: the most that it may lose, in its unit (1.0 for one point of accuracy),
    instead of the recipe's budget, which is a ratio."""
    by_axis: bool = True
    """False where it says nothing within one axis, such as a difference between axes: then no axis results are made."""

    def __post_init__(self) -> None:
        if self.better == "nearer" and self.target is None:
            raise TypeError(f"metric {self.name!r} is better nearer to a target, but names none")
        if bool(self.value) == (self.statistic is not None):
            raise TypeError(f"metric {self.name!r} needs either a value or a statistic")
        if self.margin is not None and not self.margin > 0:
            raise TypeError(f"metric {self.name!r} has the margin {self.margin}, which is not above 0")


@dataclass(frozen=True, kw_only=True)
class Planted:
    """A model whose answers are known, and what the metrics must be for it: the self-test of a benchmark."""

    name: str
    """For example `always the stereotype`, `never`, `indifferent`, `first answer`."""
    records: Callable[[], Sequence[ItemRecord]]
    """The benchmark's own scoring of the planted model; a part of the items is enough."""
    expect: Mapping[str, tuple[float, float]]
    """Metric name -> the least and the greatest value that is right."""


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A measurement: run before, after and on controls, on the same items."""

    name: str
    title: str
    score: Callable[[Any], Sequence[ItemRecord]]
    """Gets a `evenhand.measured.Measured` (score, generate, distributions of the model under test with its rules)."""
    metrics: Sequence[Metric]
    quality: bool = False
    """True when it measures language quality: it is held against the recipe's budget, not counted as a bias result."""
    mode: str = ""
    """Which of several published definitions was used; printed with every number."""
    version: str = "1"
    data_digest: str = ""
    """SHA-256 of the items, where they are read from elsewhere than the plugin's own code. A baseline is taken from the
    cache, and two runs are compared, only where it is the same."""
    min_items: int = 30
    """Below this the verdict is "too few items"."""
    able: str = ""
    """Name of the metric that must be shown to be above 0, before and after, for anything to count as an improvement:
    below it the model does not do the task, and its answers are noise. Empty: the task asks for no ability."""
    planted: Sequence[Planted] = ()
    """Run before the benchmark is used: one that misjudges a model with known answers, or has none, is refused."""
    good: str = ""
    """What a good value is, in a sentence for the report."""
    texts: Callable[[], Mapping[str, str]] | None = None
    """Item id -> its text, of all items: what training texts and word lists of a run are compared with. Several texts
    of an item stand on lines of their own (`item_text`). None: not compared."""


def item_text(*texts: str) -> str:
    """The texts of one item for `Benchmark.texts`, such as both sides of a pair, or a question and its answers."""
    return "\n".join(" ".join(text.split()) for text in texts)
