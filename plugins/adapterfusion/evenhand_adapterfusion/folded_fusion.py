"""A fusion that is done learning, with its matrices multiplied out; imported inside functions.

With a_n = f(W_down LN(h)) the bottleneck of adapter n, of width r, its output is z_n = W_up a_n + b, and

    (Q h + q) . K z_n          =  a_n . (K W_up)^T (Q h + q)  +  (K b)^T (Q h + q)
    sum_n alpha_n V z_n        =  sum_n alpha_n [ (V W_up) a_n + V b ]

(the bias of K adds the same to all n), so that no product of H x H is left: (K W_up)^T Q is [r, H] and V W_up [H, r].
The bottlenecks of all adapters come from one product, since their norms differ by an affine map alone. The library's
own way gives the same but for rounding, and takes over wherever something is still to be learnt or looked at.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch  # noqa: TID253 - this module is imported inside functions only
from adapters import ForwardContext  # noqa: TID253
from adapters.methods.modeling import BertFusion  # noqa: TID253
from torch.nn.functional import layer_norm, linear  # noqa: TID253

from evenhand_adapterfusion.weighted_sum import WeightedSum

PLACE = "compose_fuse"
"""The method of a layer that an instance of `FoldedFusion` takes the place of."""


@dataclass(frozen=True)
class Products:
    """The matrices of n adapters with bottlenecks of R units together."""

    down: torch.Tensor
    """[R, H], with the norms' factors."""
    down_bias: torch.Tensor
    score: torch.Tensor | None
    """[R + n, H]; None for a sum, which has no attention."""
    score_bias: torch.Tensor | None
    belongs: torch.Tensor
    """[R, n] 1 where a unit is of an adapter."""
    out: torch.Tensor
    """[H, R + n]"""
    epsilon: float
    activation: Any

    def change(self, states: torch.Tensor, query: torch.Tensor) -> torch.Tensor:
        """What is added to the residual stream [..., H], of states and a query [..., H]."""
        normed = layer_norm(states, states.shape[-1:], eps=self.epsilon)
        units = self.activation(linear(normed, self.down, self.down_bias))
        if self.score is None:
            return linear(units, self.out[:, : units.shape[-1]], self.out[:, units.shape[-1] :].sum(-1))
        asked = linear(query, self.score, self.score_bias)
        size = units.shape[-1]
        alpha = ((units * asked[..., :size]) @ self.belongs + asked[..., size:]).softmax(-1)
        return linear(torch.cat([units * (alpha @ self.belongs.T), alpha], dim=-1), self.out)


class FoldedFusion:
    """Called as the library's `compose_fuse` of one layer is."""

    def __init__(self, layer: Any) -> None:
        self.layer = layer
        self._kept: dict[tuple[str, ...], Kept] = {}
        """By the names of the fusion and of those of its adapters that are on."""

    def __deepcopy__(self, memo: dict[int, Any]) -> FoldedFusion:
        return FoldedFusion(copy.deepcopy(self.layer, memo))

    def __call__(self, adapter_setup: Any, state: Any, lvl: int = 0) -> Any:
        layer = self.layer
        products = self._products(adapter_setup)
        if products is None:
            return type(layer).compose_fuse(layer, adapter_setup, state, lvl=lvl)
        config, _ = layer.adapters_config.get_fusion(adapter_setup.name)
        last = adapter_setup.last()
        states, query, residual = layer.adapters[last].pre_forward(
            state.hidden_states, state.input_tensor, state.layer_norm, fusion_config=config
        )
        out = residual + products.change(states, query)
        return state._replace(hidden_states=out, adapter_residual=residual, last=last)

    def _products(self, setup: Any) -> Products | None:
        """None where the library is to compute it: something learns, somebody listens, or it is built otherwise."""
        names = list(setup.children)
        fusion = self.layer.adapter_fusion_layer[setup.name]
        if torch.is_grad_enabled() or fusion.training:
            self._kept.clear()  # an optimiser may move the weights, and fused ones leave no trace of it
            return None
        if fusion._forward_hooks or _asked_for_more():
            return None
        if not all(isinstance(name, str) and name in self.layer.adapters for name in names):
            return None
        modules = [fusion, *(self.layer.adapters[name] for name in names)]
        kept = self._kept.get(key := (setup.name, *names))
        if kept is None or not kept.holds(modules):
            if any(p.requires_grad for module in modules for p in module.parameters()):
                return None
            with torch.autocast(
                next(modules[1].parameters()).device.type, enabled=False
            ):  # they are kept for passes without it, too
                kept = Kept(modules, products_of(fusion, modules[1:], names))
            self._kept[key] = kept
        return kept.products


class Kept:
    """Products, and what tells whether the weights that they were made of are still the same."""

    def __init__(self, modules: Sequence[Any], products: Products | None) -> None:
        self.products, self._modules = products, list(modules)
        self._tables = [part._parameters for module in modules for part in module.modules() if part._parameters]
        self._before = self._now()

    def holds(self, modules: Sequence[Any]) -> bool:
        same = all(now is before for now, before in zip(modules, self._modules, strict=True))
        return same and self._now() == self._before

    def _now(self) -> list[Any]:
        weights = [
            (p.data_ptr(), p._version, p.requires_grad)
            for table in self._tables
            for p in table.values()
            if p is not None
        ]
        return [*weights, *(getattr(module, "scaling", None) for module in self._modules)]


def _asked_for_more() -> bool:
    """Whether the attention of fusions, or gates, are asked for beside the outputs."""
    context = ForwardContext.get_context()
    return context is not None and bool(
        context.output_adapter_fusion_attentions or context.output_adapter_gating_scores
    )


# ------------------------------------------------------------------------------------------------ multiplying out
def products_of(fusion: Any, adapters: Sequence[Any], names: Sequence[str]) -> Products | None:
    """The products of a fusion or a sum; None for one that this formula is not of."""
    if not (isinstance(fusion, WeightedSum) or _is_plain(fusion)) or not all(_is_bottleneck(a) for a in adapters):
        return None
    norms, lines = ([a.adapter_down[k] for a in adapters] for k in (0, 1))
    activations = [a.non_linearity.f for a in adapters]
    if len({norm.eps for norm in norms}) > 1 or len({type(f) for f in activations}) > 1:
        return None
    like = lines[0].weight
    width, size = sum(len(line.weight) for line in lines), len(adapters)
    belongs = torch.zeros(width, size)
    start = 0
    for n, line in enumerate(lines):
        belongs[start : start + len(line.weight), n] = 1
        start += len(line.weight)
    factors = [float(a.scaling) for a in adapters]
    ups = torch.cat([f * a.adapter_up.weight.float() for f, a in zip(factors, adapters, strict=True)], dim=1)  # [H, R]
    biases = torch.stack([f * a.adapter_up.bias.float() for f, a in zip(factors, adapters, strict=True)], dim=1)
    both = torch.cat([ups, biases], dim=1)  # [H, R + n]
    score = score_bias = None
    if isinstance(fusion, WeightedSum):
        weights = torch.tensor([fusion.weights[name] for name in names], device=both.device)
        out = both * torch.cat([belongs.to(both.device) @ weights, weights])
    else:
        asked = (fusion.key.weight.float() @ both).T  # [R + n, H]
        score, score_bias = asked @ fusion.query.weight.float(), asked @ fusion.query.bias.float()
        out = fusion.value.weight.float() @ both
    down = torch.cat([line.weight.float() * norm.weight.float() for norm, line in zip(norms, lines, strict=True)])
    down_bias = torch.cat(
        [line.bias.float() + line.weight.float() @ norm.bias.float() for norm, line in zip(norms, lines, strict=True)]
    )
    made = (down, down_bias, score, score_bias, belongs, out)
    cast = [None if t is None else t.to(like.device, like.dtype).contiguous() for t in made]
    return Products(*cast, epsilon=norms[0].eps, activation=activations[0])  # type: ignore[arg-type]


def _is_plain(fusion: Any) -> bool:
    """Whether a fusion has the three matrices and nothing else."""
    if not isinstance(fusion, BertFusion):
        return False
    wanted = {"query": True, "key": True, "value": True, "value_before_softmax": True, "residual_before": False,
              "temperature": False}  # fmt: skip
    return all(bool(fusion.config[name]) is value for name, value in wanted.items())


def _is_bottleneck(adapter: Any) -> bool:
    """Whether an adapter is a norm, two linear maps and a number that is not learnt."""
    down = adapter.adapter_down
    plain = len(down) == 3 and isinstance(down[0], torch.nn.LayerNorm) and isinstance(down[1], torch.nn.Linear)
    learnt = isinstance(adapter.scaling, torch.nn.Parameter)
    return (
        plain
        and isinstance(adapter.adapter_up, torch.nn.Linear)
        and not learnt
        and not (adapter.use_gating or adapter.add_layer_norm_after or hasattr(adapter, "DropPath"))
    )


def install(layer: Any) -> None:
    """Let a layer fuse by products, where it does not do so yet."""
    if not isinstance(vars(layer).get(PLACE), FoldedFusion):
        vars(layer)[PLACE] = FoldedFusion(layer)


def uninstall(layer: Any) -> None:
    """A layer without fusions is as it was."""
    if not layer.adapter_fusion_layer:
        vars(layer).pop(PLACE, None)
