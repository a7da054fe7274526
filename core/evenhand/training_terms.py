"""The loss terms of one training: evaluated, weighted, normalised, proved, and kept across a resume."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from evenhand.contributions import Aggregator, Kind, LossTerm
from evenhand.errors import EvenhandError, TrainingDiverged, UsageError
from evenhand.processes import averaged, count, sharding
from evenhand.term_gradients import derivatives, diverged, diverged_gradient, gradient_norm
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


def seen_by(aggregator: Aggregator, terms: Iterable[Any]) -> list[str]:
    """The names of the loss terms with a weight among `terms` whose gradients the aggregator combines."""
    weighed = [term for term in terms if isinstance(term, LossTerm) and term.weight]
    return [term.name for term in weighed if not (term.anchor and aggregator.anchors_apart)]


def told_apart(terms: Sequence[LossTerm]) -> Iterator[LossTerm]:
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
        self.states = [TermState(t) for t in told_apart(([first] if language_modelling else []) + list(terms))]
        _normalise(self.states, normalise)
        for state in self.states:
            if state.term.parameters is not None:
                state.parameters = list(state.term.parameters())
                if state.term.optimizer is not None:
                    state.optimizer = state.term.optimizer(state.parameters)

    def __len__(self) -> int:
        return len(self.states)

    @property
    def anchors_apart(self) -> list[str]:
        """The names of the terms whose gradients the aggregator does not see."""
        if self.aggregator is None or not self.aggregator.anchors_apart:
            return []
        return [s.term.name for s in self.states if s.term.anchor]

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
        for state, value in self.raw(batch, outputs):
            number = float(value.detach())
            if not math.isfinite(number):
                raise diverged(f"the loss term {state.term.name!r} became {number}", step)
            share = (shares or {}).get(state.term.name, WHOLE)
            state.beside = share.beside
            if state.normalised or (self.aggregator is not None and self.aggregator.relative):
                state.note_start(value, share)
            state.values.append(number * share.update)
            state.note_own_gradients(value, step, batch, outputs)
            weighted[state.term.name] = value * (share.update * state.term.weight / state.scale)
        return weighted

    def raw(self, batch: Batch, outputs: Outputs) -> Iterator[tuple[TermState, torch.Tensor]]:
        """Each term with its value []; of several terms with one key, the first computes it for all."""
        known: dict[tuple[bool, str], torch.Tensor] = {}
        for state in self.states:
            shared = bool(state.term.key)
            key = (shared, state.term.key if shared else state.term.name)
            if key not in known:
                known[key] = _value(state.term, batch, outputs)
            yield state, known[key]

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
        factors = derivatives(combined, weighted) if combined is not None and self.aggregator else None
        found: dict[str, float] = {}
        for state in self.states:
            name = state.term.name
            if name == LANGUAGE_MODELLING and factors is None:
                continue  # the host's own loss needs no proof, and the extra backward pass would cost time
            if factors is None and not all_terms and name not in unseen:
                continue
            norm = gradient_norm(weighted[name], parameters)
            if not math.isfinite(norm):
                raise diverged_gradient(name, norm, step)
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
            norm = gradient_norm(value, parameters)
            if not math.isfinite(norm):
                return diverged_gradient(name, norm, step)
        return diverged("the gradient became nan, though that of no single term did", step)

    def step_own_optimizers(self, step: int) -> None:
        """After the backward pass: each term's own optimiser descends the raw value, in one step or in several."""
        for state in self.states:
            state.step_own_optimizer(step)

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
        out: dict[str, Any] = {f"term:{state.term.name}": state.state_dict() for state in self.states}
        if self.aggregator and self.aggregator.state_dict:
            out["aggregator"] = self.aggregator.state_dict()
        if self.watch is not None:
            out["watch"] = self.watch.state_dict()
        return out

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """The counterpart of `state_dict`. Raises UsageError for the state of other terms."""
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
            state.load_state_dict(saved[f"term:{state.term.name}"])
        if self.aggregator and self.aggregator.load_state_dict and "aggregator" in saved:
            self.aggregator.load_state_dict(saved["aggregator"])
        if self.watch is not None and "watch" in saved:
            self.watch.load_state_dict(saved["watch"])

    def facts(self) -> dict[str, dict[str, float | None]]:
        """Per term: weight, mean of the first and of the last fifth of the values, largest gradient norm.

        The norm is None where no gradient was measured, as that of the language-modelling loss never is. Where an
        aggregator of losses weighs the terms anew, each has its largest share of the update's gradient besides.
        """
        return {state.term.name: state.facts() for state in self.states}


def _value(term: LossTerm, batch: Batch, outputs: Outputs) -> torch.Tensor:
    """What a term gives on a batch []; an error inside of it says whose it is. Raises UsageError for anything else."""
    import torch

    try:
        value = term.fn(batch, outputs)
    except EvenhandError:
        raise
    except Exception as error:
        error.add_note(f"in the loss term {term.name!r}")
        raise
    if isinstance(value, torch.Tensor) and value.ndim == 0:
        return value
    shown = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else type(value).__name__
    raise UsageError(
        f"the loss term {term.name!r} gives {shown} where one number is due",
        where="training",
        known="a number is a tensor of shape ()",
        do="give the mean, such as value.mean()",
    )


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


def _refuse_sharded(terms: Sequence[LossTerm], aggregator: Aggregator | None) -> None:
    """Terms that read the weights, and gradients of single terms, need whole parameters on each process."""
    by = sharding()
    reading = [term.name for term in terms if term.needs.weights]
    if by and reading:
        raise UsageError(
            f"the loss term {reading[0]!r} reads the weights of the model, which {by} splits between processes",
            where="training",
            do="train with plain data parallelism, or leave the term out",
        )
    apart = [f"the aggregator {aggregator.name!r}"] if aggregator is not None and aggregator.uses == "gradients" else []
    apart += [f"the loss term {term.name!r}" for term in terms if term.optimizer is not None]
    if by and apart:
        raise UsageError(
            f"{apart[0]} needs a gradient of its own, which parameters that {by} splits do not give",
            where="training",
            do="train with plain data parallelism, or choose an aggregator of losses",
        )
