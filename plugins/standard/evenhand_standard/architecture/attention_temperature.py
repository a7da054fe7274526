"""Attention temperature: the scores of the attention are multiplied by beta before the softmax.

    a = softmax( beta q k^T / sqrt(d) ),        beta(s) = 1 + s (beta - 1)

Below 1 attention becomes more even, above 1 sharper. Scaling the scores is scaling the query, and rotary positions
commute with it, so beta is multiplied into W_q and its bias at the end: nothing is left to compute. Where each head's
query is normalised, the scale of that normalisation takes it. Until then, and with `folded = false` in the saved
model, too, hooks multiply, and `using` switches them; a request can, too.

Source: Zayed et al. 2023, Should we attend more or less? Modulating attention for fairness (one beta for the model);
one beta for each layer is ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from evenhand_sdk import (
    Artifact,
    Material,
    Mitigation,
    ModelShape,
    ModelTransform,
    Plugin,
    RunContext,
    UsageError,
    hookimpl,
    load_axis,
    progress,
)
from evenhand_standard.architecture.families import family_of, undescribed
from evenhand_standard.architecture.group_pairs import material_of
from evenhand_standard.architecture.layer_parts import Layer, layers_of
from evenhand_standard.architecture.live_hooks import Hooks
from evenhand_standard.architecture.pair_probe import PairProbe
from evenhand_standard.architecture.quality_bound import QualityBound, affords, found_none
from evenhand_standard.architecture.search_options import SearchOptions
from evenhand_standard.architecture.switchable_factors import Factors, now

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

Beta = Annotated[float, Field(gt=0.0, le=4.0)]


class AttentionTemperatureOptions(SearchOptions):
    """Options of `attention-temperature`; `strength` goes from 1 to beta in a straight line."""

    beta: Beta | tuple[Beta, ...] | None = Field(
        None, description="Factor of the scores, or one for each layer; without it, the best one is searched."
    )
    search: Literal["model", "layers"] = Field("model", description="Search one beta, or one for each layer.")
    grid: Annotated[tuple[Beta, ...], Field(min_length=1)] = Field(
        (0.5, 0.7, 0.8, 0.9, 0.95, 1.05, 1.1, 1.25, 1.5), description="Betas that a search tries beside 1."
    )
    folded: bool = Field(True, description="Write beta into the weights; without it, it can be switched at run time.")


class AttentionTemperature(Mitigation):
    """Makes attention flatter or sharper, by the factor that treats the groups most alike."""

    name = "attention-temperature"
    summary = "Scales the attention scores before the softmax, by a factor chosen for equal treatment of groups."
    source = "Zayed et al. 2023, Should we attend more or less? Modulating attention for fairness"
    Options = AttentionTemperatureOptions
    example_options: ClassVar[Mapping[str, Any]] = {"grid": (0.8,), "pairs": 4, "texts": 4, "samples": 2}

    def material(self) -> Material | None:
        o = self.options
        return None if o.beta is not None else material_of(o.axis, o.locale, o.pairs)

    def unfit(self, shape: ModelShape, before: Sequence[Plugin]) -> Sequence[str]:
        found, beta, depth = undescribed(shape), self.options.beta, shape.layers
        if isinstance(beta, tuple) and depth is not None and len(beta) != depth:
            found.append(
                f"beta has {len(beta)} values, the model has {depth} layers; give one number, or one for each layer"
            )
        return found

    @hookimpl
    def architecture(self, run: RunContext, model: PreTrainedModel) -> ModelTransform:
        o, live = self.options, LiveTemperature(run.step_id)

        def fit(model: PreTrainedModel) -> Artifact:
            depth = len(layers_of(model))
            if o.beta is None:
                return searched(run, model, o, live) if o.strength else Artifact(meta={"betas": [1.0] * depth})
            if isinstance(o.beta, tuple) and len(o.beta) != depth:
                raise UsageError(
                    f"beta has {len(o.beta)} values, the model has {depth} layers",
                    where=f"step {run.step_id!r}",
                    do="give one number, or one for each layer",
                )
            return Artifact(meta={"betas": list(o.beta) if isinstance(o.beta, tuple) else [o.beta] * depth})

        def apply(model: PreTrainedModel, artifact: Artifact) -> None:
            if o.strength:
                live.put(model, artifact.meta["betas"], o.strength)

        def fold(model: PreTrainedModel) -> bool:
            if o.folded:
                live.fold(model)
            return bool(o.folded)

        return ModelTransform(fit=fit, apply=apply, revert=live.take, fold=fold)


# ------------------------------------------------------------------------------------------------ the live form
class Scaled:
    """The hook of one layer. An object, so that a copy of the model has its own with the betas of the copy, and that it
    goes along where a library puts another module in the place of this one."""

    def __init__(self, in_force: list[float], number: int, rows: torch.Tensor | None) -> None:
        self.in_force, self.number, self.rows = in_force, number, rows

    def __call__(self, owner: Any, args: Any, out: torch.Tensor) -> torch.Tensor:
        beta = now(self.in_force)[self.number]
        if beta == 1.0:
            return out
        if self.rows is None:
            return out * beta
        factor = out.new_ones(out.shape[-1])
        factor[self.rows.to(out.device)] = beta
        return out * factor


class LiveTemperature:
    """Hooks that multiply the queries of a model by the betas that one step keeps on it."""

    def __init__(self, step: str) -> None:
        self.step = step
        self.hooks = Hooks()

    def put(self, model: PreTrainedModel, betas: Sequence[float], strength: float = 1.0) -> None:
        """Multiply from now on, by 1 + strength (beta - 1)."""
        in_force = BETAS.put(model, self.step, betas, strength)
        for layer in layers_of(model):
            place = layer.query.module if layer.query_norm is None else layer.query_norm
            rows = layer.query.rows if layer.query_norm is None else None
            self.hooks.handles.append(place.register_forward_hook(Scaled(in_force, layer.number, rows)))

    def take(self, model: PreTrainedModel) -> None:
        """The model as it was before."""
        self.hooks.remove()
        BETAS.take(model, self.step)

    def fold(self, model: PreTrainedModel) -> None:
        """Multiply the betas that are in force into the weights, and take the hooks away."""
        if self.step in BETAS.on(model):
            offset = family_of(model).paths.norm_offset
            for layer, beta in zip(layers_of(model), BETAS.on(model)[self.step][1], strict=True):
                multiply_query(layer, beta, offset)
        self.take(model)


def multiply_query(layer: Layer, beta: float, norm_offset: float = 0.0) -> None:
    """W_q <- beta W_q and b_q <- beta b_q; of a query that is normalised, the scale of the normalisation."""
    import torch

    if layer.query_norm is not None:
        weight = layer.query_norm.weight
        with torch.no_grad():
            weight.copy_(beta * (weight.float() + norm_offset) - norm_offset)
        return
    bias = layer.query.bias()
    layer.query.write(layer.query.weight() * beta, None if bias is None else bias * beta)


def using(model: PreTrainedModel, strength: float) -> AbstractContextManager[None]:
    """Within the `with` block, and in this thread only, steps that were not folded act with this strength.

    0 is the model without them. Threads that serve other requests with the same model are not disturbed.

    Raises UsageError for a model on which no such step acts, and for what is no strength.
    """
    return BETAS.using(model, strength)


BETAS = Factors(
    "attention-temperature", "evenhand_attention_betas", using, "attention temperature", " with folded = false"
)
"""One for each layer. A request may set their strength, where the step was not folded."""


# --------------------------------------------------------------------------------------------------- the search
def searched(
    run: RunContext, model: PreTrainedModel, o: AttentionTemperatureOptions, live: LiveTemperature
) -> Artifact:
    """The betas with the least gap among those that keep the quality; `tried` says what was measured.

    Quality is measured where the gap is less than before alone.
    """
    axis = load_axis(o.axis, o.locale)
    probe = PairProbe.of(run, model, axis, o.pairs)
    bound = QualityBound.of(run, model, o.texts, o.samples, o.quality)
    depth = len(layers_of(model))
    # One layer after another from the last one: late layers cost the least quality.
    rounds = [list(range(depth))] if o.search == "model" else [[k] for k in reversed(range(depth))]
    tried: list[dict[str, Any]] = []

    with progress("Searching attention temperatures", total=1 + len(rounds) * len(o.grid), unit="trials") as bar:
        best, least = [1.0] * depth, probe.gap(model)
        tried.append({"gap": least, "quality": 1.0})
        bar.advance()
        for numbers in rounds:
            start = list(best)
            for beta in o.grid:
                betas = [beta if k in numbers else old for k, old in enumerate(start)]
                live.put(model, betas)
                try:
                    gap, quality, taken = affords(model, probe, bound, least)
                finally:
                    live.take(model)
                bar.advance()
                tried.append({"layers": numbers, "beta": beta, "gap": gap, "quality": quality})
                if taken:
                    best, least = betas, gap
    meta = {"betas": best, "quality": bound.least, "tried": tried}
    if best == [1.0] * depth:
        meta["idle"] = found_none(tried[1:], bound.least)
    return Artifact(meta=meta)
