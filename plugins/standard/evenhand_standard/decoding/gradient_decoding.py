"""Gradient-based decoding: before a word is chosen, the model is moved until it would go on alike for every group.

With x a prefix that names somebody, x~_j its counterfactuals, F the fold of aligned group words, d a shift of the
norms' outputs in the top layers, p_d the model under it, p what the rules before this one have made of p_0, and
l = log p:

    where max_j Hellinger(F p(x), F p(x~_j)) > gate:
        g = gradient in d of  mean_j JS(F p_d(x), F p_d(x~_j)) + kl KL(p_0(x) || p_d(x))
        d <- d - rate g / rms(g),     `steps` times from d = 0
        l' = l + strength fusion (l_d(x) - l_0(x)),  normalised
    elsewhere l' = l, bit by bit

d scales the norm (1 + d) where it has no bias, as in RMSNorm models, and is added to its bias otherwise. It is thrown
away after each word, so the rule is a pure function of the prefix. Steps have a fixed length, as in PPLM: gradients are
as small as rounding where two distributions are near, and Adam would follow the rounding.

Sources: Yang et al. 2023 (UDDIA), Dathathri et al. 2020 (PPLM); the folded divergence is ours.
"""

from __future__ import annotations

import contextlib
import inspect
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from evenhand_sdk import (
    Axes,
    DecodingRule,
    Locale,
    Mitigation,
    RunContext,
    StrengthOptions,
    UsageError,
    evaluation_mode,
    fold,
    hookimpl,
    jensen_shannon,
    load_axis,
    token_bins,
)
from evenhand_standard.decoding.counterfactual_averaging import EXPECTED, swapped_contexts
from evenhand_standard.decoding.drawn_groups import MEANING, MOST, DrawnGroups, MostContexts, remarks_on
from evenhand_standard.decoding.fixed_parameters import fixed_parameters
from evenhand_standard.decoding.lower_layers import LAYER, LowerLayers
from evenhand_standard.decoding.model_turns import turn
from evenhand_standard.decoding.token_edits import TokenEditor
from evenhand_standard.decoding.worded import Worded

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

TOKENS = {"cpu": 1024, "cuda": 8192}
"""How many tokens, padding included, are moved at a time; gradients need all that a layer computed."""
ANEW = dict.fromkeys(
    ("how likely words of each group of * are", EXPECTED.format("*")), "what its gradient makes of the model's own"
)
"""What it moves besides: it does not know what rules before it have made of the model's distributions."""


class GradientDecodingOptions(StrengthOptions):
    """Options of `gradient-decoding`; `strength` scales the fusion."""

    axes: Axes = ("gender",)
    locale: Locale = "en"
    names: bool = Field(True, description="Swap first names, too.")
    exempt: tuple[Worded, ...] = Field(
        (), description="Texts that contain one of these phrases, in any case, are left alone."
    )
    max_contexts: MostContexts = Field(MOST, description=MEANING)
    gate: Annotated[float, Field(ge=0.0, le=1.0)] = Field(
        0.1, description="Hellinger distance between the groups' distributions from which it acts."
    )
    steps: Annotated[int, Field(ge=1, le=100)] = Field(5, description="Gradient steps for each word.")
    learning_rate: Annotated[float, Field(gt=0.0, le=1.0)] = Field(0.01, description="Of these steps.")
    kl: Annotated[float, Field(ge=0.0)] = Field(0.05, description="Weight of staying near the untouched distribution.")
    fusion: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        0.9, description="Share of the moved model in the geometric mean with the untouched one."
    )
    layers: Annotated[int, Field(ge=1)] = Field(18, description="How many layers, from the top, are moved.")


class GradientDecoding(Mitigation):
    """Moves the norms of the top layers before each word until all groups' distributions agree."""

    name = "gradient-decoding"
    summary = "Moves the model for one word at a time, by gradients, until it goes on alike for every group."
    source = "Yang et al. 2023 (UDDIA); Dathathri et al. 2020 (PPLM); own loss"
    kinds = ("causal",)
    Options = GradientDecodingOptions

    @classmethod
    def remarks_for(cls, options: GradientDecodingOptions) -> Sequence[str]:
        drawn = DrawnGroups(options.max_contexts, seed=0)
        number = 1 + sum(drawn.number(load_axis(name, options.locale)) for name in options.axes)
        return remarks_on(number, options.axes) if options.strength else ()

    def moves(self) -> Mapping[str, str]:
        return {**ANEW, **{EXPECTED.format(axis): "the same for all groups" for axis in self.options.axes}}

    @hookimpl
    def decoding(self, run: RunContext, model: PreTrainedModel) -> DecodingRule | None:
        o = self.options
        if o.strength == 0:
            return None
        axes = [load_axis(name, o.locale) for name in o.axes]
        words = [bin for axis in axes for bin in axis.bins(names=o.names)]
        bins = token_bins(run.tokenizer, words, model.get_input_embeddings().num_embeddings)
        drawn = DrawnGroups(o.max_contexts, run.seed)
        drawn.tell(axes, run.logger)
        editor = TokenEditor(run.tokenizer)
        contexts = swapped_contexts(editor, axes, names=o.names, exempt=o.exempt, drawn=drawn)
        norms = top_norms(model, o.layers)

        def next_logits(ids: torch.Tensor, logits: torch.Tensor, given: Sequence[torch.Tensor]) -> torch.Tensor:
            folds = bins.to(logits.device)
            rows = [b for b, others in enumerate(given) if len(others) and apart(logits[b], others, folds) > o.gate]
            if not rows:
                return logits
            out = logits.clone()
            prefixes = {b: [t for t in ids[b].tolist() if t >= 0] for b in rows}
            families = {b: [prefixes[b], *map(list, contexts(prefixes[b]))] for b in rows}
            for part in portions(families, TOKENS.get(logits.device.type, TOKENS["cpu"])):
                chunk = [families[b] for b in part]
                with turn(model):  # it has one set of norms, whoever is being answered
                    change = moved(model, norms, chunk, folds, o.steps, o.learning_rate, o.kl)
                mixed = logits[part].float() + o.strength * o.fusion * change
                out[part] = mixed.log_softmax(-1).to(out.dtype)
            return out

        return DecodingRule(name=run.step_id, contexts=contexts, next_logits=next_logits)


def portions(families: Mapping[int, Sequence[Sequence[int]]], tokens: int) -> list[list[int]]:
    """Rows in portions of about so many tokens, those of a like length together."""
    found: list[list[int]] = []
    rows = wide = 0
    for b in sorted(families, key=lambda b: max(map(len, families[b]))):
        rows, wide = rows + len(families[b]), max(wide, *map(len, families[b]))
        if not found or rows * wide > tokens:
            found.append([])
            rows, wide = len(families[b]), max(map(len, families[b]))
        found[-1].append(b)
    return found


def top_norms(model: Any, layers: int) -> list[torch.nn.Module]:
    """The norms of the top layers, in the model's order; UsageError for a model without any."""
    found = [
        (int(number[-1]), module)
        for name, module in model.named_modules()
        if "norm" in type(module).__name__.lower() and getattr(module, "weight", None) is not None
        and module.weight.dim() == 1 and (number := LAYER.findall(f".{name}."))
    ]  # fmt: skip
    if not found:
        raise UsageError(
            "this model has no norm with a scale in its layers", where="gradient-decoding", do="use another technique"
        )
    top = sorted({layer for layer, _ in found})[-layers:]
    return [module for layer, module in found if layer in top]


def apart(own: torch.Tensor, others: torch.Tensor, bins: torch.Tensor) -> float:
    """The greatest Hellinger distance of folded distributions: logits [V] and [k, V]."""
    p = fold(own.float().log_softmax(-1), bins).exp()
    q = fold(others.float().log_softmax(-1), bins).exp()
    return float((0.5 * (p.sqrt() - q.sqrt()).square().sum(-1)).sqrt().max())


def moved(
    model: Any, norms: Sequence[torch.nn.Module], families: Sequence[Sequence[Sequence[int]]], bins: torch.Tensor,
    steps: int, learning_rate: float, kl: float,
) -> torch.Tensor:  # fmt: skip
    """l_d(x) - l_0(x) [rows, V]: `families` has for each row the prefix and then its counterfactuals."""
    import torch

    # What is made in inference mode can have no part in a gradient.
    with (
        evaluation_mode(model), torch.inference_mode(False), torch.enable_grad(), fixed_parameters(model),
        LowerLayers(model, norms) as lower,
    ):  # fmt: skip
        owner = torch.tensor([b for b, family in enumerate(families) for _ in family], device=model.device)
        first = [sum(len(f) for f in families[:b]) for b in range(len(families))]
        ids, mask = padded([text for family in families for text in family], model.device)
        bins = bins.clone() if bins.is_inference() else bins
        size = {"device": model.device, "requires_grad": True}
        shifts = [torch.zeros(len(families), n.weight.numel(), **size) for n in norms]
        start: torch.Tensor | None = None
        with shifted(norms, shifts, owner):
            for _ in range(steps):
                logp = next_logp(model, ids, mask)
                lower.replay()
                start = logp[first].detach() if start is None else start
                step_down(loss_of(logp, start, families, bins, kl), shifts, learning_rate)
            with torch.no_grad():
                end = next_logp(model, ids, mask)[first]
        assert start is not None
        return end - start


def loss_of(
    logp: torch.Tensor, start: torch.Tensor, families: Sequence[Sequence[object]], bins: torch.Tensor, kl: float
) -> torch.Tensor:
    """The loss of the formula, added up over the rows, from log-probabilities of all sequences [n, V]."""
    import torch

    folded = fold(logp, bins)
    losses, at = [], 0
    for b, family in enumerate(families):
        others = folded[at + 1 : at + len(family)]
        gap = jensen_shannon(folded[at].expand_as(others), others).mean()
        kept = (start[b].exp() * (start[b] - logp[at]).clamp(-100.0, 100.0)).sum()
        losses.append(gap + kl * kept)
        at += len(family)
    return torch.stack(losses).sum()


def step_down(loss: torch.Tensor, shifts: Sequence[torch.Tensor], length: float) -> None:
    """One step of a fixed length for each row, in place."""
    import torch

    gradients = torch.autograd.grad(loss, shifts)
    square = torch.stack([g.square().sum(-1) for g in gradients]).sum(0) / sum(s.shape[1] for s in shifts)
    rate = length / square.sqrt().clamp_min(torch.finfo(torch.float32).tiny)
    with torch.no_grad():
        for shift, gradient in zip(shifts, gradients, strict=True):
            shift -= rate[:, None] * gradient


def padded(texts: Sequence[Sequence[int]], device: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Sequences as a left-padded batch and its mask, both [n, T]."""
    import torch

    width = max(map(len, texts))
    ids = torch.tensor([[0] * (width - len(t)) + list(t) for t in texts], device=device)
    mask = torch.tensor([[0] * (width - len(t)) + [1] * len(t) for t in texts], device=device)
    return ids, mask


def next_logp(model: Any, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Next-word log-probabilities [n, V] of a left-padded batch, in float32."""
    takes = inspect.signature(model.forward).parameters
    extra = {"position_ids": (mask.cumsum(-1) - 1).clamp_min(0), "logits_to_keep": 1}  # BLOOM knows neither
    known = {name: value for name, value in extra.items() if name in takes or "kwargs" in takes}
    out = model(input_ids=ids, attention_mask=mask, use_cache=False, **known)
    logp: torch.Tensor = out.logits[:, -1].float().log_softmax(-1)
    return logp


@contextlib.contextmanager
def shifted(norms: Sequence[torch.nn.Module], shifts: Sequence[torch.Tensor], owner: torch.Tensor) -> Iterator[None]:
    """A block in which each norm's output is moved by its row's shift, in this thread and no other; `owner` [n] is the
    row of each sequence."""
    mine = threading.get_ident()

    def hook(norm: torch.nn.Module, shift: torch.Tensor) -> Callable[..., torch.Tensor]:
        biased = getattr(norm, "bias", None) is not None

        def change(module: Any, inputs: Any, output: torch.Tensor) -> torch.Tensor:
            if threading.get_ident() != mine:
                return output
            by = shift[owner].to(output.dtype)[:, None]
            each = output.reshape(len(owner), -1, output.shape[-1])  # OPT has the tokens of all sequences in one row
            return (each + by if biased else each * (1 + by)).reshape(output.shape)

        return change

    with contextlib.ExitStack() as handles:
        for norm, shift in zip(norms, shifts, strict=True):
            handles.callback(norm.register_forward_hook(hook(norm, shift)).remove)
        yield
