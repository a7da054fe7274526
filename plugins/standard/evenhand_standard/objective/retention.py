"""Anchors: what a debiased model must not forget, as a term beside whatever it is trained on.

With theta0 the weights as the training finds them, p0 the untouched model, and F the Fisher diagonal:

    kl      strength * weight * mean over words t that are no group words of  KL( p0(. | x_<t) || p(. | x_<t) )
    l2-sp   strength * weight * lambda * sum_j     (theta_j - theta0_j)^2
    ewc     strength * weight * lambda * sum_j F_j (theta_j - theta0_j)^2

    lambda = drift_cost * L_LM / ( 0.01^2 sum_j w_j theta0_j^2 ),      w_j = 1 or F_j

so that a drift of every weight by 1 % of its size costs `drift_cost` of the language-modelling loss, whatever the model
is. L_LM and F come from sequences that name no group. Anchors begin at zero.

Sources: Kirkpatrick et al. 2017 (EWC); Li, Grandvalet and Davoine 2018 (L2-SP). The choice of lambda is ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal

from pydantic import Field

from evenhand_sdk import (
    Axes,
    Axis,
    Batch,
    Locale,
    LossTerm,
    Mitigation,
    Needs,
    Outputs,
    RunContext,
    StrengthOptions,
    TrainingStart,
    UsageError,
    hookimpl,
    load_axis,
    token_bins,
)
from evenhand_sdk.storage import atomic_folder, damage, digest_of
from evenhand_standard.objective.fisher import Importance, importance, neutral
from evenhand_standard.objective.pair_parity import NotNegative, RetainedWords

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

Anchor = Literal["kl", "l2-sp", "ewc"]
DRIFT: Final = 0.01
"""The part of its own size by which every weight is taken to drift, for the choice of lambda."""
FOR_LOSS: Final = 64
"""Sequences that the language-modelling loss is measured on where no Fisher needs more."""


class RetentionOptions(StrengthOptions):
    """Options of `retention`; `strength` scales every anchor."""

    anchors: Annotated[tuple[Anchor, ...], Field(min_length=1)] = Field(
        ("ewc",),
        description="What holds the model: its words (kl), its weights (l2-sp), or the weights that count (ewc).",
    )
    axes: Axes = ("gender",)
    locale: Locale = "en"
    names: bool = Field(True, description="First names count as group words, too.")
    weight: NotNegative = Field(1.0, description="Factor on each anchor, beside the language-modelling loss.")
    drift_cost: Annotated[float, Field(gt=0.0)] = Field(
        0.03, description="l2-sp, ewc: what 1 % drift of every weight costs, as a part of the language-modelling loss."
    )
    sequences: Annotated[int, Field(ge=1)] = Field(
        1000, description="ewc: rows of the training text without a group word that weights are weighed on."
    )


class Retention(Mitigation):
    """Holds a model to what it was while other steps change it."""

    name = "retention"
    summary = "Anchors a training to the model as it was: by its words (KL), by its weights (L2-SP), or by EWC."
    source = "Kirkpatrick et al. 2017, Overcoming catastrophic forgetting (EWC); Li et al. 2018 (L2-SP)"
    Options = RetentionOptions
    example_options: ClassVar[dict[str, Any]] = {"axes": ["religion"]}
    """The sentences of the conformance checks all name women or men, and none a religion: they are neutral to it."""

    @hookimpl
    def objective(self, run: RunContext, model: PreTrainedModel) -> list[LossTerm]:
        o = self.options
        if o.strength == 0:
            return []
        axes = [load_axis(name, o.locale) for name in o.axes]
        terms = []
        for anchor in dict.fromkeys(o.anchors):
            how: dict[str, Any] = {"weight": o.strength * o.weight, "anchor": True}
            if anchor == "kl":
                words = [bin for axis in axes for bin in axis.bins(names=o.names)]
                bins = token_bins(run.tokenizer, words, model.get_input_embeddings().num_embeddings)
                kl = RetainedWords(bins, causal=run.kind == "causal")
                needs = Needs(reference=True)
                terms.append(LossTerm(name="retention (kl)", fn=kl, key=kl.key, count=kl.count, needs=needs, **how))
                continue
            held = HeldWeights(anchor, o, axes, run)
            terms.append(
                LossTerm(
                    name=f"retention ({anchor})",
                    fn=held.penalty,
                    needs=Needs(weights=True),
                    on_start=held.start,
                    state_dict=held.state_dict,
                    load_state_dict=held.load_state_dict,
                    **how,
                )
            )
        return terms


class HeldWeights:
    """The distance of a model's weights to those that a training found, each weighed by how much it counts."""

    def __init__(self, anchor: Anchor, options: RetentionOptions, axes: Sequence[Axis], run: RunContext) -> None:
        self.anchor, self.options, self.axes, self.run = anchor, options, axes, run
        self.parts: list[tuple[torch.nn.Parameter, torch.Tensor, torch.Tensor | None]] = []
        """(the parameter as it moves, where it began, the weight of each entry; None: 1)."""
        self.coefficient = 0.0
        """lambda."""

    def start(self, begun: TrainingStart) -> None:
        """Note the weights, and find out how much each counts. Raises UsageError where lambda would be infinite."""
        moving = {name: p for name, p in begun.model.named_parameters() if p.requires_grad}
        found = self._importance(begun, moving)
        size = self._demand_size(moving, found)
        self.parts = [(p, p.detach().clone(), found.fisher.get(name)) for name, p in moving.items()]
        self.coefficient = self.options.drift_cost * found.loss / (DRIFT**2 * size)
        on = f"Fisher from {found.sequences:,} sequences; " if self.anchor == "ewc" else ""
        begun.tell(
            f"retention ({self.anchor}): {on}lambda {self.coefficient:.4g}, at which 1 % drift of every weight costs "
            f"{self.options.drift_cost:.3g} of the language-modelling loss ({found.loss:.3g} nat)"
        )

    def penalty(self, batch: Batch, outputs: Outputs) -> torch.Tensor:
        """lambda * sum_j w_j (theta_j - theta0_j)^2, a scalar."""
        import torch

        if not self.parts:
            raise UsageError(
                "this term never saw the beginning of the training, so there is nothing to hold on to",
                where=f"step {self.run.step_id!r}",
                do="encode the training text with `Objective.encode` first",
            )
        for k, (p, first, w) in enumerate(self.parts):
            if first.device != p.device:  # the model was moved after the training began
                self.parts[k] = (p, first.to(p.device), None if w is None else w.to(p.device))
        sums = [_weighed((p.float() - first.float()).square(), w).sum() for p, first, w in self.parts]
        return self.coefficient * torch.stack([s.to(outputs.logits.device) for s in sums]).sum()

    def state_dict(self) -> dict[str, float]:
        return {"coefficient": self.coefficient}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        self.coefficient = state["coefficient"]

    # ------------------------------------------------------------------------------------------------- what counts
    def _demand_size(self, moving: Mapping[str, torch.nn.Parameter], found: Importance) -> float:
        """Sum_j w_j theta0_j^2. Raises UsageError where it is 0, as of LoRA, which begins with a product of zero."""
        pairs = [(p.detach().float().square(), found.fisher.get(name)) for name, p in moving.items()]
        size = sum(float(_weighed(squares, w).sum()) for squares, w in pairs)
        if size == 0:
            raise UsageError(
                "1 % of the weights that may move is nothing: all of them are zero, or none of them counts",
                where=f"step {self.run.step_id!r}",
                known=f"anchor {self.anchor}; {len(moving)} tensors may move",
                do='use anchors = ["kl"], or let other tensors move, too',
            )
        return size

    def _importance(self, begun: TrainingStart, moving: Mapping[str, torch.nn.Parameter]) -> Importance:
        """L_LM, and with EWC the Fisher; of a training that was interrupted, what was found before."""
        o, run = self.options, self.run
        wanted = o.sequences if self.anchor == "ewc" else FOR_LOSS
        texts, there = neutral(begun.rows["text"], self.axes, wanted, run.seed_for("neutral text"))
        if not texts:
            raise UsageError(
                "no row of the training text is free of group words, so nothing says what the model must keep",
                where=f"step {run.step_id!r}",
                known=f"{len(begun.rows):,} rows, axes {', '.join(o.axes)}",
                do="add neutral text to the training data, or put the step that adds group words behind this training",
            )
        if len(texts) < o.sequences and self.anchor == "ewc":
            begun.tell(
                f"retention (ewc): {there:,} rows of the training text name no group; {o.sequences:,} were asked for"
            )
        place = run.folder / "scratch" / self.anchor
        key = digest_of([_marks(moving), texts, run.seed_for("labels"), run.kind])
        kept = _read(place, key)
        if kept is not None:
            return kept
        how: dict[str, Any] = {
            "kind": run.kind, "max_length": run.services.settings.max_length, "seed": run.seed_for("labels"),
            "fisher": self.anchor == "ewc",
        }  # fmt: skip
        if self.anchor == "ewc":  # one sequence shows what a thousand take minutes to show: that no weight counts
            self._demand_size(moving, importance(begun.model, run.tokenizer, [max(texts, key=len)], **how))
        found = importance(begun.model, run.tokenizer, texts, **how)
        _write(place, key, found)
        return found


def _weighed(squares: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
    return squares if weights is None else squares * weights


def _marks(parameters: Mapping[str, torch.nn.Parameter]) -> list[Any]:
    """What tells these weights from others: a resumed training begins with the very same."""
    return [[n, list(p.shape), float(p.detach().double().sum()), float(p.detach().double().abs().sum())]
            for n, p in parameters.items()]  # fmt: skip


def _write(place: Path, key: str, found: Importance) -> None:
    import json

    from safetensors.torch import save_file

    with atomic_folder(place) as temporary:
        save_file({name: t.contiguous().cpu() for name, t in found.fisher.items()}, temporary / "fisher.safetensors")
        facts = {"key": key, "loss": found.loss, "sequences": found.sequences}
        (temporary / "facts.json").write_text(json.dumps(facts))


def _read(place: Path, key: str) -> Importance | None:
    import json

    from safetensors.torch import load_file

    if not place.is_dir() or damage(place):
        return None
    facts = json.loads((place / "facts.json").read_text())
    if facts["key"] != key:
        return None
    fisher = load_file(place / "fisher.safetensors")
    return Importance(fisher=fisher, loss=facts["loss"], sequences=facts["sequences"])
