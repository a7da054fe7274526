"""Regularisers that take a group's direction out of embeddings and hidden states.

    embedding-projection   || N B ||_F^2                               N: neutral embeddings, B: top-k directions
    hidden-inner-product   mean over neutral tokens of | h_last . v |  v: the group's vector
    hidden-orthogonality   0.2 R + 0.8 D, over all layers              see `hidden_orthogonality.py`
    cosine                 1 - cos( mean h_last(x), mean h_last(x~) )  x~: the counterfactual of x

The training adds strength * (weight * one of them + retention * KL(p0 || p)).

Sources: Bordia and Bowman 2019; Park et al. 2023; Kaneko and Bollegala 2021; Huang et al. 2020.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from evenhand_sdk import (
    Axes,
    Axis,
    Batch,
    Locale,
    LossTerm,
    Material,
    Mitigation,
    Needs,
    Outputs,
    RunContext,
    Section,
    StrengthOptions,
    UsageError,
    hookimpl,
    load_axis,
    single_token,
)
from evenhand_standard.objective.axis_pairs import pairing_of
from evenhand_standard.objective.embedding_directions import (
    Directions,
    group_tables,
    group_vectors,
    matrices,
    neutral_tokens,
    output_matrix,
    principal_directions,
)
from evenhand_standard.objective.fresh_probe import probe_section
from evenhand_standard.objective.group_word_tokens import FORMS, styled
from evenhand_standard.objective.hidden_orthogonality import (
    AttributeVectors,
    LayerStates,
    distance,
    neutral_count,
    orthogonality,
)
from evenhand_standard.objective.pair_parity import nothing, pairs_of
from evenhand_standard.objective.retention_term import retention_terms

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

NotNegative = Annotated[float, Field(ge=0.0)]
Form = Literal["embedding-projection", "hidden-inner-product", "hidden-orthogonality", "cosine"]
Term = Callable[[Batch, Outputs], "torch.Tensor"]

ORTHOGONALITY, DISTANCE = 0.2, 0.8
"""Shares of R and D, as in the public code of Kaneko and Bollegala."""


class SubspaceRegulariserOptions(StrengthOptions):
    """Options of `subspace-regulariser`; `strength` scales all terms."""

    axes: Axes = ("gender",)
    locale: Locale = "en"
    names: bool = Field(False, description="First names belong to groups, too.")
    form: Form = Field("embedding-projection", description="What is kept from carrying the group.")
    weight: NotNegative = Field(1.0, description="Weight of the regulariser beside the language-modelling loss.")
    directions: Annotated[int, Field(ge=1)] = Field(1, description="Principal directions of embedding-projection.")
    every: Annotated[int, Field(ge=1)] = Field(20, description="Steps after which directions are found again.")
    targets: tuple[str, ...] = Field(
        (), description="Words that hidden-inner-product acts on; none: every word that is no group word."
    )
    retention: NotNegative = Field(0.1, description="Weight of KL(untouched || trained) on ungrouped words.")


class SubspaceRegulariser(Mitigation):
    """Trains embeddings or hidden states of neutral words to be orthogonal to what tells groups apart."""

    name = "subspace-regulariser"
    summary = "Draws embeddings or hidden states of neutral words away from the direction that tells groups apart."
    source = "Bordia and Bowman 2019, Identifying and reducing gender bias in word-level language models; and others"
    Options = SubspaceRegulariserOptions

    def material(self) -> Material:
        return Material(words={"targets": self.options.targets} if self.options.targets else {})

    @hookimpl
    def objective(self, run: RunContext, model: PreTrainedModel) -> list[LossTerm]:
        o = self.options
        if o.strength == 0:
            return []
        axes = [load_axis(name, o.locale) for name in o.axes]
        terms = []
        for axis in axes:
            label = f" ({axis.name})" if len(axes) > 1 else ""
            terms += self._terms(run, model, axis, label)
        return terms + retention_terms(run, model, axes, names=o.names, weight=o.strength * o.retention)

    def _terms(self, run: RunContext, model: PreTrainedModel, axis: Axis, label: str) -> list[LossTerm]:
        o = self.options
        weight = o.strength * o.weight
        if o.form == "cosine":
            pairing = pairing_of(axis, names=o.names)
            needs = Needs(hidden_states=True, counterfactual=pairing)
            alike, count = cosine(pairing.key), pairs_of(pairing.key)
            return [LossTerm(name=f"cosine{label}", fn=alike, count=count, weight=weight, needs=needs)]
        tables = group_tables(run.tokenizer, axis, names=o.names)
        grouped = frozenset(int(t) for table in tables for t in table.tokens[table.filled])
        if o.form == "hidden-orthogonality":
            layers, attributes = LayerStates(run.tokenizer, run.kind), AttributeVectors(grouped, o.every)
            needs = Needs(hidden_states=True, reference=True)
            return [
                LossTerm(
                    name=f"hidden orthogonality{label}",
                    fn=orthogonality(layers, attributes),
                    count=lambda batch: neutral_count(layers, attributes, batch),
                    weight=ORTHOGONALITY * weight,
                    needs=needs,
                    on_step=attributes.on_step,
                    state_dict=attributes.state_dict,
                    load_state_dict=attributes.load_state_dict,
                ),
                LossTerm(
                    name=f"hidden distance{label}",
                    fn=distance(layers),
                    count=lambda batch: float(layers.kept(batch).sum()),
                    weight=DISTANCE * weight,
                    needs=needs,
                    anchor=True,
                ),
            ]
        if o.form == "embedding-projection":
            directions = Directions(partial(principal_directions, k=o.directions), tables, o.every)
            size = model.get_input_embeddings().num_embeddings
            fn: Term = projection(directions, neutral_tokens(run.tokenizer, tables, size))
            needs = Needs(weights=True)
        else:
            directions = Directions(group_vectors, tables, o.every)
            targets = target_tokens(run.tokenizer, o.targets)
            fn = InnerProduct(directions, grouped, targets, set(run.tokenizer.all_special_ids))
            needs = Needs(hidden_states=True, weights=True)
        return [
            LossTerm(
                name=f"{o.form.replace('-', ' ')}{label}",
                fn=fn,
                count=fn.count if isinstance(fn, InnerProduct) else None,
                weight=weight,
                needs=needs,
                normalise=True,
                on_step=directions.on_step,
                state_dict=directions.state_dict,
                load_state_dict=directions.load_state_dict,
            )
        ]

    @hookimpl
    def transparency(self, run: RunContext, model: PreTrainedModel, result: Any) -> list[Section]:
        # A direction that is gone may hide what a network still finds (Gonen and Goldberg 2019): a fresh one is asked.
        o = self.options
        layer = 0 if o.form == "embedding-projection" else int(model.config.num_hidden_layers)
        axes = [load_axis(name, o.locale) for name in o.axes] if o.strength else []
        return [probe_section(run, model, axis, layer) for axis in axes]


# ------------------------------------------------------------------------------------------------- the terms
def projection(directions: Directions, neutral: torch.Tensor) -> Term:
    """The sum of squared projections [] of neutral embeddings; of untied models, in both matrices."""
    import torch

    def fn(batch: Batch, outputs: Outputs) -> torch.Tensor:
        assert outputs.model is not None
        found = matrices(outputs.model)
        if torch.is_grad_enabled() and not any(m.requires_grad for m in found.values()):
            raise UsageError(
                "embedding-projection trains embeddings, and this training moves none",
                where="option form",
                do='let the training move them, or take form = "hidden-inner-product"',
            )
        rows = neutral.to(batch.input_ids.device)
        with torch.autocast(rows.device.type, enabled=False):  # a sum over the vocabulary, to more than three digits
            parts = [(m[rows].float() @ directions.of(name, m).T).square().sum() for name, m in found.items()]
            return torch.stack(parts).sum()

    return fn


class InnerProduct:
    """The mean of |h_last . v| [] over target tokens and groups; without targets, over tokens of no group."""

    def __init__(
        self, directions: Directions, grouped: frozenset[int], targets: frozenset[int], special: set[int]
    ) -> None:
        import torch

        self.directions, self.targets = directions, targets
        self.listed = torch.tensor(sorted(targets or grouped | special), dtype=torch.long)

    def kept(self, batch: Batch) -> torch.Tensor:
        """[B, T] the tokens that it is the mean over."""
        import torch

        listed = torch.isin(batch.input_ids, self.listed.to(batch.input_ids.device))
        return batch.attention_mask.bool() & (listed if self.targets else ~listed)

    def count(self, batch: Batch) -> float:
        return float(self.kept(batch).sum())

    def __call__(self, batch: Batch, outputs: Outputs) -> torch.Tensor:
        import torch

        assert outputs.model is not None and outputs.hidden_states is not None
        kept = self.kept(batch)
        if not kept.any():
            return nothing(outputs)
        vectors = self.directions.of("output", output_matrix(outputs.model))
        with torch.autocast(vectors.device.type, enabled=False):
            return (outputs.hidden_states[-1][kept].float() @ vectors.T).abs().mean()


def cosine(key: str) -> Term:
    """The mean of 1 - cos [] of the mean final hidden states of texts and their counterfactuals; 0 without pairs."""
    import torch

    def pooled(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return (states.float() * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)

    def fn(batch: Batch, outputs: Outputs) -> torch.Tensor:
        if key not in outputs.pairs:
            return nothing(outputs)
        pairs, found = batch.pairs[key], outputs.pairs[key]
        assert outputs.hidden_states is not None and found.hidden_states is not None
        here = pooled(outputs.hidden_states[-1], batch.attention_mask)[pairs.rows]
        there = pooled(found.hidden_states[-1], pairs.attention_mask)
        return (1 - torch.nn.functional.cosine_similarity(here, there, dim=-1)).mean()

    return fn


def target_tokens(tokenizer: object, words: tuple[str, ...]) -> frozenset[int]:
    """The tokens of the targets that are one token, in every written form; UsageError when none is."""
    found = {single_token(tokenizer, styled(word, form)) for word in words for form in FORMS} - {None}
    if words and not found:
        raise UsageError(
            f"none of the targets {', '.join(words)!r} is one token of this model",
            where="option targets",
            do="name more frequent words, or none for every word that is no group word",
        )
    return frozenset(t for t in found if t is not None)
