"""The loss terms of one training: evaluated, weighted, normalised, proved, and kept across a resume."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from evenhand.contributions import Aggregator, Kind, LossTerm
from evenhand.errors import TrainingDiverged, UsageError
from evenhand.processes import averaged, count, sharding
from evenhand.term_state import TermState
from evenhand.training_forward import predicted, total
from evenhand.update_shares import WHOLE, Share, at_the_mean

if TYPE_CHECKING:
    import torch

    from evenhand.training_batch import Batch, Outputs
    from evenhand.training_watch import Watch

LANGUAGE_MODELLING = "language modelling"
LOOKS = 5
"""How often a term that is not zero is looked at, until its gradient was seen not to be zero either."""


def _told_apart(terms: Sequence[LossTerm]) -> Iterator[LossTerm]:
    """The terms; of several with one name, the second and the next get a number, since all is kept by name."""
    seen: Counter[str] = Counter()
    for term in terms:
        seen[term.name] += 1
        yield replace(term, name=f"{term.name} ({seen[term.name]})") if seen[term.name] > 1 else term


class Terms:
    """All terms of a training, the language-modelling loss among them, and the aggregator if there is one."""

    def __init__(
        self,
        terms: Sequence[LossTerm],
        aggregator: Aggregator | None,
        language_modelling: float,
        normalise: bool | Collection[str] = False,
        *,
        kind: Kind = "causal",
    ) -> None:
        """`normalise` names terms that are divided by their value at the start, besides those that say so themselves;
        True: all but anchors. Raises UsageError for a name that no term has, and for that of an anchor."""
        _refuse_sharded(terms, aggregator)
        first = LossTerm(
            name=LANGUAGE_MODELLING,
            fn=lambda batch, outputs: outputs.loss,
            count=lambda batch: float(predicted(batch.labels, kind=kind).sum()),
            weight=language_modelling,
        )
        self.aggregator = aggregator
        self.watch: Watch | None = None
        """What looks at the budget and at the criterion of early stopping meanwhile."""
        self.states = [TermState(t) for t in _told_apart(([first] if language_modelling else []) + list(terms))]
        _normalise(self.states, normalise)
        for state in self.states:
            if state.term.parameters is not None:
                state.parameters = list(state.term.parameters())
                if state.term.optimizer is not None:
                    state.optimizer = state.term.optimizer(state.parameters)

    def __len__(self) -> int:
        return len(self.states)

    @property
    def needs(self) -> list[Any]:
        return [s.term.needs for s in self.states]

    @property
    def language_modelling_alone(self) -> bool:
        """Whether nothing but the host's own loss is computed from the outputs."""
        return [s.term.name for s in self.states] == [LANGUAGE_MODELLING]

    def evaluate(
        self, batch: Batch, outputs: Outputs, step: int, shares: Mapping[str, Share] | None = None
    ) -> dict[str, torch.Tensor]:
        """Raw value of each term -> its weighted, normalised value, times its share in the update where one is given.

        Stops at the first that is not finite.
        """
        weighted = {}
        for state in self.states:
            value = state.term.fn(batch, outputs)
            number = float(value.detach())
            if not math.isfinite(number):
                raise diverged(f"the loss term {state.term.name!r} became {number}", step)
            share = (shares or {}).get(state.term.name, WHOLE)
            state.beside = share.beside
            if state.normalised or (self.aggregator is not None and self.aggregator.relative):
                state.note_start(value, share)
            state.values.append(number * share.update)
            state.pending = self._own_gradients(state, value, step)
            if state.pending is not None and state.term.optimizer_steps > 1:
                state.again = (batch, outputs)
            weighted[state.term.name] = value * (share.update * state.term.weight / state.scale)
        return weighted

    def combine(self, weighted: dict[str, torch.Tensor]) -> torch.Tensor:
        """One loss [] of the weighted values: their sum, or what the aggregator makes of them."""
        return total(weighted) if self.aggregator is None else at_the_mean(self.rule, weighted)

    def rule(self, weighted: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """What an aggregator of losses makes of the weighted values of one process, or of their means []."""
        assert self.aggregator is not None
        if not self.aggregator.relative:
            return self.aggregator.combine(weighted)  # type: ignore[no-any-return]
        begun = {s.term.name: 1.0 if s.term.anchor or s.normalised else s.start for s in self.states}
        weights = {s.term.name: s.term.weight for s in self.states}
        return self.aggregator.combine(weighted, begun, weights)  # type: ignore[no-any-return]

    def _own_gradients(self, state: TermState, value: torch.Tensor, step: int) -> list[torch.Tensor] | None:
        """Own parameters always descend the raw value, whatever the sign of the weight: that makes an adversary."""
        import torch

        if not state.optimizer or not value.requires_grad:
            return None
        own = value * state.beside
        grads = torch.autograd.grad(own, state.parameters, retain_graph=True, allow_unused=True)
        found = [g if g is not None else torch.zeros_like(p) for p, g in zip(state.parameters, grads, strict=True)]
        if not all_finite(found):
            what = f"the gradient of the loss term {state.term.name!r} over its own parameters became nan"
            raise diverged(what, step)
        return found

    def prove(
        self,
        weighted: dict[str, torch.Tensor],
        parameters: Sequence[torch.nn.Parameter],
        step: int,
        combined: torch.Tensor | None = None,
        *,
        all_terms: bool = True,
    ) -> None:
        """Measure each term's gradient over the trainable parameters and keep the largest norm.

        With what an aggregator of losses made of them, `combined` [], it is the gradient as it enters the update, times
        the derivative of `combined` by the term; and the share of each in the update is kept, too.

        Without `all_terms`, nothing is measured unless a term acts on this micro-batch that was never seen to act: a
        term may have something to do in few batches alone.
        """
        acting = {s.term.name for s in self.states if s.term.weight != 0 and s.values[-1] != 0}
        unseen = {s.term.name for s in self.states if not s.gradient_norm and s.looks < LOOKS} & acting
        if not all_terms and not unseen - {LANGUAGE_MODELLING}:
            return
        factors = _derivatives(combined, weighted) if combined is not None and self.aggregator else None
        found: dict[str, float] = {}
        for state in self.states:
            name = state.term.name
            if name == LANGUAGE_MODELLING and factors is None:
                continue  # the host's own loss needs no proof, and the extra backward pass would cost time
            if factors is None and not all_terms and name not in unseen:
                continue
            norm = _gradient_norm(weighted[name], parameters)
            if not math.isfinite(norm):
                raise _diverged_gradient(name, norm, step)
            found[name] = norm * (abs(factors[name]) if factors is not None else 1.0)
            if name != LANGUAGE_MODELLING:
                state.gradient_norm = max(state.gradient_norm or 0.0, found[name])
                state.looks += name in acting
        if factors is None or not (whole := sum(found.values())):
            return
        for state in self.states:
            state.share = max(state.share or 0.0, found[state.term.name] / whole)

    def accuse(
        self, weighted: dict[str, torch.Tensor], parameters: Sequence[torch.nn.Parameter], step: int
    ) -> TrainingDiverged:
        """The error for a gradient that is not finite, with the first term that it comes from."""
        for name, value in weighted.items():
            norm = _gradient_norm(value, parameters)
            if not math.isfinite(norm):
                return _diverged_gradient(name, norm, step)
        return diverged("the gradient became nan, though that of no single term did", step)

    def step_own_optimizers(self, step: int) -> None:
        """After the backward pass: each term's own optimiser descends the raw value, in one step or in several."""
        for state in self.states:
            for p in state.parameters:
                p.grad = None
            _descend(state)
            for _ in range(state.term.optimizer_steps - 1 if state.again is not None else 0):
                assert state.again is not None
                state.pending = self._own_gradients(state, state.term.fn(*state.again), step)
                _descend(state)
            state.again = None

    def on_step(self, step: int, total: int) -> None:
        for state in self.states:
            if state.term.on_step:
                state.term.on_step(step, total)
        if self.aggregator and self.aggregator.on_step:
            self.aggregator.on_step(step, total)

    def means(self, since: int) -> dict[str, float]:
        """The mean value of each term, not weighted, over the micro-batches after the first `since`, of all
        processes."""
        import torch

        found = {s.term.name: sum(s.values[since:]) / len(s.values[since:]) for s in self.states if s.values[since:]}
        if count() > 1 and found:
            device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
            whole = averaged(torch.tensor(list(found.values()), device=device))
            found = dict(zip(found, whole.tolist(), strict=True))
        return found

    def state_dict(self) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for state in self.states:
            entry: dict[str, Any] = {
                "values": state.values,
                "seen": state.seen,
                "weighed": state.weighed,
                "counted": state.counted,
                "gradient_norm": state.gradient_norm,
                "share": state.share,
                "looks": state.looks,
                "parameters": [p.detach().clone() for p in state.parameters],
            }
            if state.optimizer is not None:
                entry["optimizer"] = state.optimizer.state_dict()
            if state.term.state_dict:
                entry["own"] = state.term.state_dict()
            out[f"term:{state.term.name}"] = entry
        if self.aggregator and self.aggregator.state_dict:
            out["aggregator"] = self.aggregator.state_dict()
        if self.watch is not None:
            out["watch"] = self.watch.state_dict()
        return out

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """The counterpart of `state_dict`. Raises UsageError for the state of other terms."""
        import torch

        had = [key.removeprefix("term:") for key in saved if key.startswith("term:")]
        have = [state.term.name for state in self.states]
        if sorted(had) != sorted(have):
            raise UsageError(
                "the training that is to go on had other terms",
                where="training",
                known=f"it had {', '.join(map(repr, had))}; this one has {', '.join(map(repr, have))}",
                do="go on with the same terms, or begin again in another folder",
            )
        for state in self.states:
            entry = saved[f"term:{state.term.name}"]
            state.values = list(entry["values"])
            state.seen, state.weighed, state.counted = entry["seen"], entry["weighed"], entry["counted"]
            state.gradient_norm, state.share = entry["gradient_norm"], entry["share"]
            state.looks = entry["looks"]
            with torch.no_grad():
                for p, value in zip(state.parameters, entry["parameters"], strict=True):
                    p.copy_(value)
            if state.optimizer is not None:
                state.optimizer.load_state_dict(entry["optimizer"])
            if state.term.load_state_dict and "own" in entry:
                state.term.load_state_dict(entry["own"])
        if self.aggregator and self.aggregator.load_state_dict and "aggregator" in saved:
            self.aggregator.load_state_dict(saved["aggregator"])
        if self.watch is not None and "watch" in saved:
            self.watch.load_state_dict(saved["watch"])

    def facts(self) -> dict[str, dict[str, float | None]]:
        """Per term: weight, mean of the first and of the last fifth of the values, largest gradient norm.

        The norm is None where no gradient was measured, as that of the language-modelling loss never is. Where an
        aggregator of losses weighs the terms anew, each has its largest share of the update's gradient besides.
        """
        out: dict[str, dict[str, float | None]] = {}
        for state in self.states:
            span = max(1, len(state.values) // 5)
            head, tail = state.values[:span], state.values[-span:]
            out[state.term.name] = {
                "weight": state.term.weight,
                "first": sum(head) / max(1, len(head)),
                "last": sum(tail) / max(1, len(tail)),
                "gradient_norm": state.gradient_norm,
            }
            if state.share is not None:
                out[state.term.name]["share"] = state.share
        return out


def _normalise(states: Sequence[TermState], chosen: bool | Collection[str]) -> None:
    """Mark the terms that are divided by their value at the start."""
    by_name = {state.term.name: state for state in states}
    for name in chosen if not isinstance(chosen, bool) else ():
        if name not in by_name:
            raise UsageError(
                f"no loss term is called {name!r}",
                where="training.normalise",
                known=f"the terms are {', '.join(map(repr, by_name))}",
            )
        if by_name[name].term.anchor:
            raise UsageError(
                f"the loss term {name!r} is an anchor: it begins at zero, which nothing can be divided by",
                where="training.normalise",
                do="leave it out; the weight of an anchor counts as it is",
            )
    for name, state in by_name.items():
        asked = chosen if isinstance(chosen, bool) else name in chosen
        state.normalised = (asked or state.term.normalise) and not state.term.anchor


def _descend(state: TermState) -> None:
    """One step of a term's own optimiser on the gradients that wait for it."""
    if state.optimizer is None or state.pending is None:
        return
    for p, g in zip(state.parameters, state.pending, strict=True):
        p.grad = averaged(g)  # every process has its own part of the batch, and all the same adversary
    state.optimizer.step()
    state.optimizer.zero_grad(set_to_none=True)
    state.pending = None


def _refuse_sharded(terms: Sequence[LossTerm], aggregator: Aggregator | None) -> None:
    """Gradients of single terms need whole parameters on each process."""
    by = sharding()
    apart = [f"the aggregator {aggregator.name!r}"] if aggregator is not None and aggregator.uses == "gradients" else []
    apart += [f"the loss term {term.name!r}" for term in terms if term.optimizer is not None]
    if by and apart:
        raise UsageError(
            f"{apart[0]} needs a gradient of its own, which parameters that {by} splits do not give",
            where="training",
            do="train with plain data parallelism, or choose an aggregator of losses",
        )


def all_finite(tensors: Iterable[torch.Tensor]) -> bool:
    """Whether no entry of any tensor is infinite or not a number."""
    import torch

    return all(bool(torch.isfinite(t.detach().sum(dtype=torch.float32))) for t in tensors)


def diverged(what: str, step: int) -> TrainingDiverged:
    """The error for a training that cannot go on; the one that runs it adds where the last good checkpoint is."""
    return TrainingDiverged(
        f"{what} at step {step}",
        where="training",
        do="lower training.learning_rate or the weight of that term, then start again",
    )


def _diverged_gradient(name: str, norm: float, step: int) -> TrainingDiverged:
    return diverged(f"the gradient of the loss term {name!r} became {norm}", step)


def _derivatives(combined: torch.Tensor, weighted: dict[str, torch.Tensor]) -> dict[str, float]:
    """The derivative of a combination [] by each of the values that it was made of; 0 for those it does not follow."""
    import torch

    moving = {name: value for name, value in weighted.items() if value.requires_grad}
    found = dict.fromkeys(weighted, 0.0)
    if combined.requires_grad and moving:
        grads = torch.autograd.grad(combined, list(moving.values()), retain_graph=True, allow_unused=True)
        found |= {name: float(g) for name, g in zip(moving, grads, strict=True) if g is not None}
    return found


def _gradient_norm(value: torch.Tensor, parameters: Sequence[torch.nn.Parameter]) -> float:
    """Euclidean norm of the gradient of a scalar over all parameters; 0 when it depends on none."""
    import torch

    if not value.requires_grad:
        return 0.0
    grads = torch.autograd.grad(value, list(parameters), retain_graph=True, allow_unused=True)
    square = sum(float(g.detach().float().pow(2).sum()) for g in grads if g is not None)
    return math.sqrt(square) if square >= 0 else square
