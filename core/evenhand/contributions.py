"""What hooks return: small frozen parts that the host composes.

A plugin never drives the run. It contributes a part in the terms of the ecosystem (a `datasets.Dataset`, a loss, a
`torch.nn.Module`, logits), and the host folds, sums, concatenates or notifies in the order of the recipe.

Here stand the parts of data, training and architecture, and all others can be imported from here, too.

Shapes: B rows of text, P counterfactual pairs, T tokens, V vocabulary entries, H hidden units, N aligned positions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from evenhand.evaluation_parts import Benchmark as Benchmark
from evenhand.evaluation_parts import ItemRecord as ItemRecord
from evenhand.evaluation_parts import Metric as Metric
from evenhand.evaluation_parts import Planted as Planted
from evenhand.evaluation_parts import item_text as item_text
from evenhand.report_parts import Bars as Bars
from evenhand.report_parts import Fact as Fact
from evenhand.report_parts import Heat as Heat
from evenhand.report_parts import Section as Section
from evenhand.row_account import Example as Example
from evenhand.row_account import RowAccount as RowAccount
from evenhand.serving_parts import DecodingRule as DecodingRule
from evenhand.serving_parts import Finding as Finding
from evenhand.serving_parts import Intervention as Intervention
from evenhand.serving_parts import Monitor as Monitor
from evenhand.serving_parts import Observation as Observation
from evenhand.serving_parts import Request as Request
from evenhand.serving_parts import RequestChange as RequestChange
from evenhand.serving_parts import Response as Response
from evenhand.serving_parts import TokenChange as TokenChange
from evenhand.serving_parts import Variant as Variant

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from transformers import PreTrainedModel

    from evenhand.measured import Measured
    from evenhand.recipe_model import TrainingSection
    from evenhand.training_batch import Batch, Outputs

Kind = Literal["causal", "masked"]


# ---------------------------------------------------------------------------------------------------------- data
@dataclass(frozen=True, kw_only=True)
class DataTransform:
    """A change of the training data; folded by the host in recipe order."""

    fn: Callable[[Dataset], Dataset]
    """Gets and returns a dataset whose column `text` is what the model learns from. Must not change its input."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Filled by `fn` if it wants to report counts; shown in the report."""
    account: Callable[[], RowAccount | None] | None = None
    """Asked after `fn`, once its rows were read: what became of each. Without it, the host counts rows before and
    after, and knows no reasons. The host refuses an account that does not add up."""
    idle: Callable[[], str] | None = None
    """Asked after `fn` where no row changed: why there was nothing to do; empty where it is not known."""
    looks_on: bool = False
    """True of a step that only reads, such as an audit: it must return the very rows, and is proved by having read
    them; its `facts` are what it found. The class says so, too (`looks_on = True`)."""
    files: Sequence[str] = ()
    """Names of files in the step's folder (`run.folder`) that `fn` writes for a reader: copied to `found/STEP/` of the
    run folder, beside the report."""


# ------------------------------------------------------------------------------------------------------ training
@dataclass(frozen=True, kw_only=True)
class TrainingStart:
    """What a training begins with: told to its terms and model transforms once, before anything moves.

    A training that goes on after an interruption is told the same again: the model as it was before the first step.
    """

    model: PreTrainedModel
    """The very model that is trained, a copy or not. Its parameters that require a gradient are those that move, save
    for a model transform, which is asked before it selects."""
    rows: Dataset
    """What it learns from, after all data steps: the column `text` and whatever those steps have added."""
    tell: Callable[[str], None]
    """Puts a sentence into the record of the training."""
    settings: TrainingSection | None = None
    """How it trains; `max_steps` is not known yet where a dose in tokens decides it. None where a program of its own
    trains."""


# ----------------------------------------------------------------------------------------------------- objective
@dataclass(frozen=True, kw_only=True)
class Pairing:
    """How to find the counterfactuals of a text, and which words are the same but for the group."""

    key: str
    """Identifies the pairing: terms with equal keys share one computation."""
    pair: Callable[[str], Sequence[str | Sequence[int]]]
    """Text -> its counterfactual texts, none when nothing can be swapped. Token ids may stand for a text."""
    of_row: Callable[[Mapping[str, Any]], Sequence[str | Sequence[int]]] | None = None
    """Row of the data set with all its columns -> the texts to compare its text with, instead of `pair`."""
    bins: Sequence[Sequence[str]] = ()
    """Aligned group words (he, she): their probability mass is folded into one bin before a comparison."""
    aligned: bool = True
    """False for texts that are read as they are: all of them are in the batch, in the order of `pair`, nothing is
    masked in them, and no positions are compared (`positions` is empty)."""
    of: str = "a text to compare with"
    """What a row must have for `pair` to give something, as the end of "no row has ..."."""


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a loss term reads besides the logits; the host supplies it once for all terms."""

    columns: Sequence[str] = ()
    """Further columns of the data set, carried into `batch.columns`."""
    counterfactual: Pairing | None = None
    """Counterfactual pairs in the same forward pass: `batch.pairs[key]`, `outputs.pairs[key]`."""
    reference: bool = False
    """The untouched model's distribution on the text rows, `outputs.reference.logits()`, and on counterfactuals,
    `outputs.pairs[key].reference.logits()`; exact, not a stored tensor, and computed only when asked."""
    hidden_states: bool = False
    """`outputs.hidden_states`: a tuple of [B, T, H], embeddings first."""
    attentions: bool = False
    """`outputs.attentions`: a tuple of [B, heads, T, T]; makes the host choose eager attention."""
    rows: int = 1
    """So many rows a micro-batch must have for the term to find something to compare; smaller ones are refused."""
    weights: bool = False
    """The parameters of the model itself, by `outputs.model` or held since the start. Refused where they are split
    between processes: none has them whole there."""


@dataclass(frozen=True, kw_only=True)
class LossTerm:
    """One weighted part of the training loss."""

    name: str
    fn: Callable[[Batch, Outputs], torch.Tensor]
    """Gives a scalar. It is called once a micro-batch."""
    key: str = ""
    """Identifies what `fn` computes: terms with equal keys, as two retentions are, share one computation and keep their
    own weights. Empty: none but this term computes it. Not for terms with an optimiser of their own."""
    count: Callable[[Batch], float] | None = None
    """Of how many things `fn` is the mean on a batch: pairs, positions, words. An update of several micro-batches or
    processes then has the mean over all of them. None: each micro-batch counts the same."""
    weight: float = 1.0
    needs: Needs = field(default_factory=Needs)
    anchor: bool = False
    """True for terms that start at zero on purpose (KL retention, L2-SP, EWC): they are not normalised."""
    normalise: bool = False
    """Divide by the term's mean over the first micro-batches in which it is not zero, so that weights mean the same on
    any model: for terms whose size depends on how large a model is. A recipe can ask it of any other term, too."""
    parameters: Callable[[], Iterable[torch.nn.Parameter]] | None = None
    """Parameters that belong to the term, such as an adversary's; only its own optimiser moves them."""
    optimizer: Callable[[Iterable[torch.nn.Parameter]], torch.optim.Optimizer] | None = None
    """Makes the optimiser of `parameters`; it steps after each micro-batch, before the model's optimiser."""
    optimizer_steps: int = 1
    """Steps of that optimiser on each micro-batch; before each further one `fn` is called on the same outputs again."""
    on_start: Callable[[TrainingStart], None] | None = None
    """Called once before the training, for terms that compare the model with what it was."""
    on_step: Callable[[int, int], None] | None = None
    """Called with (step, total steps) before each optimiser step: schedules live here."""
    state_dict: Callable[[], dict[str, Any]] | None = None
    load_state_dict: Callable[[dict[str, Any]], None] | None = None


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What a part did in a training, as a proof states it."""

    took: bool
    """Whether it made any update another than it would have been."""
    what: str
    """In a clause, with numbers: `conflicts removed in 12 of 80 steps`."""
    size: float
    called_for: bool = True
    """False: there was nothing for it to do, as for a remedy where no harm was found. That is recorded, and fails no
    run."""


@dataclass(frozen=True, kw_only=True)
class Aggregator:
    """Decides how several loss terms become one update; at most one in a training."""

    name: str
    combine: Callable[..., Any]
    """`uses="losses"`: combine(losses: dict[name, scalar]) -> scalar.
    `uses="gradients"`: combine(losses, gradients: dict[name, [D]]) -> [D], gradients over all trainable parameters,
    flattened in the model's order; weights are already applied to both."""
    anchors_apart: bool = False
    """Of gradients: those of anchors do not come to `combine`, and are added to the direction as they are. For rules to
    which a short gradient is as good as a long one: an anchor begins at zero, with rounding errors for a gradient."""
    uses: Literal["losses", "gradients"] = "losses"
    relative: bool = False
    """Of losses: combine(losses, start, weights), both dict[name, float]. `start` is what a weighted loss is to be
    divided by, so that its term begins at its weight: the term's value in the first micro-batches, and 1 for anchors,
    which begin at zero, and for terms that are normalised already."""
    effect: Callable[[], Effect] | None = None
    """Asked after the training, and after its state was loaded: what `combine` did. Without it nothing is proved."""
    on_step: Callable[[int, int], None] | None = None
    state_dict: Callable[[], dict[str, Any]] | None = None
    load_state_dict: Callable[[dict[str, Any]], None] | None = None


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """Says which moment of a training was the best; at most one in a training. The host looks every
    `training.evaluate_every` updates and keeps the parameters of the best moment."""

    name: str
    measure: Callable[[Measured], float]
    """Less is better. It gets what a benchmark's scorer gets, and must not read what a benchmark reports."""
    patience: int | None = None
    """Early stopping: the training ends after so many looks in a row without a better one; None: never."""


# -------------------------------------------------------------------------------------------------- architecture
@dataclass(frozen=True, kw_only=True)
class Artifact:
    """The fitted part of a model transform: tensors plus plain facts; saved as safetensors and JSON by the host."""

    tensors: Mapping[str, torch.Tensor] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)
    """Plain facts. Under `idle`, where fitting decided to change nothing, why; the proof of the step says it."""


@dataclass(frozen=True, kw_only=True)
class ModelTransform:
    """A change of the model: fitted once, applied, and where possible folded into plain weights.

    The host calls, in this order: `fit`, `apply`, `on_start` and `trainable` (when a training follows), `on_step` while
    training, `finish` after it, then at the end of the run `fold`; `revert` whenever it needs the model without it.
    """

    fit: Callable[[PreTrainedModel], Artifact] | None = None
    apply: Callable[[PreTrainedModel, Artifact], None] | None = None
    revert: Callable[[PreTrainedModel], None] | None = None
    """Takes back what `apply` did; outputs must be bit-identical to before. Required when `apply` is given."""
    on_start: Callable[[TrainingStart], None] | None = None
    """Called before `trainable` when a training begins, for selections that look at what it learns from."""
    trainable: Callable[[PreTrainedModel], Iterable[str]] | None = None
    """Names of the parameters that the next training may move. Without any such step, all may move."""
    selection: Callable[[], str] | None = None
    """How the parameters were selected, as part of a sentence; it stands in the proof of the step."""
    on_step: Callable[[int, int], None] | None = None
    finish: Callable[[PreTrainedModel], Artifact | None] | None = None
    """After the training that this step took part in: gives the artifact to keep, if the step trained one. A transform
    with `finish` and without `trainable` acts in the training alone, as dropout does."""
    fold: Callable[[PreTrainedModel], bool] | None = None
    """Writes the step into the ordinary weights and removes itself; False, and nothing done, when it cannot: it is
    asked again once a later step was folded. Where outputs change, the host puts the weights back and calls `apply`."""
    save: Callable[[PreTrainedModel, Path], None] | None = None
    """Own format in a folder; without it the host stores the artifact."""
    load: Callable[[PreTrainedModel, Path], None] | None = None
    """The counterpart of `save`: must leave the model as `apply` after `fit` did."""
    portable: bool = True
    """False when `model/` cannot be used with plain transformers unless this step is folded."""
