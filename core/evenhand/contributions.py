"""What hooks return: small frozen parts that the host composes.

A plugin never drives the run. It contributes a part in the terms of the ecosystem (a `datasets.Dataset`, a loss, a
`torch.nn.Module`, logits), and the host folds, sums, concatenates or notifies in the order of the recipe.

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
from evenhand.row_account import Example as Example
from evenhand.row_account import RowAccount as RowAccount

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from transformers import PreTrainedModel

    from evenhand.around_requests import Ask
    from evenhand.measured import Measured
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
    looks_on: bool = False
    """True of a step that only reads, such as an audit: it must return the very rows, and is proved by having read
    them."""


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


@dataclass(frozen=True, kw_only=True)
class LossTerm:
    """One weighted part of the training loss."""

    name: str
    fn: Callable[[Batch, Outputs], torch.Tensor]
    """Gives a scalar. It is called once a micro-batch."""
    weight: float = 1.0
    needs: Needs = field(default_factory=Needs)
    anchor: bool = False
    """True for terms that start at zero on purpose (KL retention, L2-SP, EWC): they are not normalised."""
    normalise: bool = False
    """Divide by the term's mean over the first steps, so that weights mean the same on any model."""
    parameters: Callable[[], Iterable[torch.nn.Parameter]] | None = None
    """Parameters that belong to the term, such as an adversary's; only its own optimiser moves them."""
    optimizer: Callable[[Iterable[torch.nn.Parameter]], torch.optim.Optimizer] | None = None
    """Makes the optimiser of `parameters`; it steps after each micro-batch, before the model's optimiser."""
    on_start: Callable[[TrainingStart], None] | None = None
    """Called once before the training, for terms that compare the model with what it was."""
    on_step: Callable[[int, int], None] | None = None
    """Called with (step, total steps) before each optimiser step: schedules live here."""
    state_dict: Callable[[], dict[str, Any]] | None = None
    load_state_dict: Callable[[dict[str, Any]], None] | None = None


@dataclass(frozen=True, kw_only=True)
class Aggregator:
    """Decides how several loss terms become one update; at most one in a training."""

    name: str
    combine: Callable[..., Any]
    """`uses="losses"`: combine(losses: dict[name, scalar]) -> scalar.
    `uses="gradients"`: combine(losses, gradients: dict[name, [D]]) -> [D], gradients over all trainable parameters,
    flattened in the model's order; weights are already applied to both."""
    uses: Literal["losses", "gradients"] = "losses"
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
    """After the training that this step took part in: gives the artifact to keep, if the step trained one."""
    fold: Callable[[PreTrainedModel], bool] | None = None
    """Writes the step into the ordinary weights and removes itself; False when it cannot."""
    save: Callable[[PreTrainedModel, Path], None] | None = None
    """Own format in a folder; without it the host stores the artifact."""
    load: Callable[[PreTrainedModel, Path], None] | None = None
    """The counterpart of `save`: must leave the model as `apply` after `fit` did."""
    portable: bool = True
    """False when `model/` cannot be used with plain transformers unless this step is folded."""


# ------------------------------------------------------------------------------------------------------ decoding
@dataclass(frozen=True, kw_only=True)
class Request:
    """One call of the model."""

    prompt: str
    max_new_tokens: int = 40
    seed: int | None = None
    temperature: float | None = None
    """Of sampling this answer, 0 for greedy; None: that of the whole call."""
    turns: Sequence[tuple[str, str]] = ()
    """Of a chat (`meta={"chat": True}`): (role, text) of what was said before the prompt, which is the user's turn."""
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TokenChange:
    """One generated token whose distribution a rule changed."""

    position: int
    rule: str
    before: str
    """The most probable token before the rule."""
    after: str
    """The most probable token after it."""
    total_variation: float


@dataclass(frozen=True, kw_only=True)
class RequestChange:
    """What a rule around a request did to it, or to its answer as a whole."""

    rule: str
    what: Literal["prompt", "rewriting", "choice", "abstention"]
    before: str
    """The prompt, or the answer that there would have been without the rule."""
    after: str
    """What the model was asked instead, or what was answered instead."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """By how much: counts, scores, reasons; plain JSON types."""


@dataclass(frozen=True, kw_only=True)
class Response:
    """What the model answered, and what the rules did to it."""

    request: Request
    text: str
    token_ids: Sequence[int] = ()
    """The tokens that the model wrote, also where a rule has put another text in the place of theirs."""
    changes: Sequence[TokenChange] = ()
    request_changes: Sequence[RequestChange] = ()
    """The innermost rule first: the last one is nearest to what the user reads."""
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class DecodingRule:
    """A change of decoding in exactly one of five forms.

    `next_logits(ids, logits, contexts)` maps next-token logits. `ids` is [B, T] (left-padded prefixes, `pad` = -1),
    `logits` [B, V]; `contexts[b]` is a [k, V] tensor with the logits of row b's extra contexts (k may be 0). It must be
    a pure function of each prefix, so that the same rule scores given text.
    `mask_logits(ids, logits, contexts, places)` is the same for masked models: it maps the logits [B, V] at masked
    places. `ids` is [B, T] (texts with their masks, right-padded, `pad` = -1), `places` [B] where each one's mask lies.
    It must be a pure function of the masked text.
    `step(model, cache)` may touch the key-value cache before each forward pass; measured on generations only.
    `next_words(text, logp)` is for models behind an endpoint (`run.remote`): it maps the log-probabilities of the
    likeliest next words, as text, to those of the same words; a pure function of both.
    `around(request, generate)` wraps whole requests: prompts, reranking, rewriting, abstention.
    """

    name: str
    next_logits: Callable[..., torch.Tensor] | None = None
    contexts: Callable[[Sequence[int]], Sequence[Sequence[int]]] | None = None
    """Prefix of token ids -> the token ids of its extra contexts; a pure function of the prefix."""
    mask_logits: Callable[..., torch.Tensor] | None = None
    mask_contexts: Callable[[Sequence[int], int], Sequence[tuple[Sequence[int], int]]] | None = None
    """Token ids and the place of a mask in them -> the token ids of its extra contexts, each with the place of the
    mask in it that corresponds; a pure function of both."""
    step: Callable[..., None] | None = None
    next_words: Callable[[str, Mapping[str, float]], Mapping[str, float]] | None = None
    around: Callable[[Request, Ask], Response] | None = None
    """Gets a request and what answers requests: `ask(request)`, or `ask.many(requests)` for several in one batch."""
    finish: Callable[[], None] | None = None
    """Called when a generation or a scoring ends, also by an error: frees what the rule holds, such as caches."""
    probes: Sequence[Response] = ()
    """Of a rule around requests that acts on few of them: requests with answers on which it can be seen to act. The
    proof that the step took hands it these answers, several to one prompt in turn; without any, answers of the model
    are compared."""

    def __post_init__(self) -> None:
        forms = [
            f for f in ("next_logits", "mask_logits", "step", "next_words", "around") if getattr(self, f) is not None
        ]
        if len(forms) != 1:
            raise TypeError(f"decoding rule {self.name!r} must have exactly one form, it has {forms or 'none'}")
        if self.contexts is not None and self.next_logits is None:
            raise TypeError(f"decoding rule {self.name!r} asks for contexts but maps no logits")
        if self.mask_contexts is not None and self.mask_logits is None:
            raise TypeError(f"decoding rule {self.name!r} asks for contexts of masks but maps no logits at masks")


# ---------------------------------------------------------------------------------------------------- monitoring
@dataclass(frozen=True, kw_only=True)
class Observation:
    """One request and its response, as the monitors see it."""

    response: Response
    probe_of: Observation | None = None
    """Set when this is the answer to a probe a monitor asked for."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a monitor noticed."""

    title: str
    detail: str = ""
    """The numbers that matter in half a sentence: what the terminal shows beside the title."""
    level: Literal["info", "warning", "alarm"] = "info"
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Intervention:
    """What a monitor asks the host to do from now on: switch decoding rules on, or stop answering."""

    action: Literal["enable_rules", "disable_rules", "halt"]
    rules: Sequence[str] = ()
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Monitor:
    """Watches requests while they are served."""

    name: str
    observe: Callable[[Observation], Sequence[Finding | Intervention]]
    probes: Callable[[Observation], Sequence[Request]] | None = None
    """Extra requests whose answers it wants to see; they never reach a user."""
    summary: Callable[[], Finding] | None = None
    """The state at the end of the traffic."""


# -------------------------------------------------------------------------------------------------- transparency
@dataclass(frozen=True, kw_only=True)
class Fact:
    """A labelled value of a section."""

    label: str
    value: str | float | int | bool


@dataclass(frozen=True, kw_only=True)
class Heat:
    """Tokens with one signed weight each, drawn as coloured text."""

    tokens: Sequence[str]
    weights: Sequence[float]
    caption: str = ""
    """What the figure shows, as whole sentences."""
    positive: str = "positive weight"
    """What a weight above zero means, for the legend."""
    negative: str = "negative weight"
    """What one below zero means; empty where there can be none."""
    doubt: str = ""
    """Why the weights must not be read as an explanation: then they are drawn in grey, with this sentence."""


@dataclass(frozen=True, kw_only=True)
class Bars:
    """Labelled values, drawn as horizontal bars."""

    labels: Sequence[str]
    values: Sequence[float]
    caption: str = ""


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the report and of the model card, written by a plugin from measured facts."""

    title: str
    text: str = ""
    facts: Sequence[Fact] = ()
    figures: Sequence[Heat | Bars] = ()
