"""Looking up from a training: does language quality keep its budget, and which moment was the best?

With a budget b the training is constrained,

    minimise L(theta)   subject to   c(theta) = log( PPL(theta) / PPL(theta0) ) / log(b) - 1  <=  0

where PPL is the perplexity by word of retention text, theta0 the untouched model. Updates descend L + m * L_ret, with
L_ret the loss in nat per token on other retention text, and after each look the multiplier ascends:

    m  <-  max(0, m + rho * c(theta))

The loss on the text that is trained on would not do as constraint: it falls by memorising. c is a share of the budget,
so that rho means the same for every budget. While m is zero, no retention text is read.

Of the moments looked at, the one is kept that is within the budget and has the least criterion, or, without a
criterion, is the last. Source: Lagrangian relaxation with dual ascent, technique MO1 of the notes, which updates m
after each step on a moving average; here it rests on the same rows each time, so there is no noise to average.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from evenhand.contributions import Criterion, Kind, LossTerm
from evenhand.errors import TrainingDiverged, UsageError
from evenhand.positions import most_tokens
from evenhand.processes import rank_and_count
from evenhand.report_numbers import counted, number
from evenhand.retention_text import FEWEST
from evenhand.split_parameters import moving
from evenhand.training_arguments import autocast_of
from evenhand.training_data import Collator, EncodedRow, encode
from evenhand.training_forward import language_modelling
from evenhand.training_model import put_back

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from transformers import PreTrainedModel

    from evenhand.recipe_model import TrainingSection


LEAST = math.log(1.001)
"""The smallest unit of c, in nat: of a budget of 1 no share can be taken."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """What was seen at one moment of a training."""

    step: int
    ratio: float | None = None
    """Perplexity by word of retention text, over that of the untouched model; None without a budget."""
    multiplier: float | None = None
    """m, as it was when this moment was reached."""
    criterion: float | None = None


@dataclass(kw_only=True)
class Watch:
    """The looks of one training, and the best moment so far."""

    measured: Sequence[list[EncodedRow]] = ()
    """Batches of retention rows that perplexity is measured on; none without a budget."""
    taught: Sequence[EncodedRow] = ()
    """Retention rows that updates read while the multiplier is above zero."""
    words: int = 0
    """Whitespace words of the measured rows."""
    collator: Collator | None = None
    kind: Kind = "causal"
    budget: float | None = None
    rate: float = 1.0
    """rho."""
    batch: int = 1
    every: int = 10
    criterion: Criterion | None = None
    measure: Callable[[PreTrainedModel], float] | None = None
    """The criterion of a model, less is better."""
    precision: Callable[[], AbstractContextManager[Any]] = nullcontext
    seed: int = 0
    baseline: float = 0.0
    """Log-perplexity by word of the untouched model, in nat."""
    multiplier: float = 0.0
    looks: list[Look] = field(default_factory=list)
    stopped: bool = False
    """Whether the training ended early."""
    best: dict[str, torch.Tensor] | None = None
    """The moving parameters at the best moment; None when that is the present one or the beginning."""
    own: Sequence[torch.nn.Parameter] = ()
    """What terms bring of their own, such as the head of a task: it belongs to the model of a moment."""
    own_before: Sequence[torch.Tensor] = ()
    """These at the beginning."""
    best_own: Sequence[torch.Tensor] | None = None
    """These at the best moment, None as `best` is."""
    kept: int = 0
    """The step of the best moment; 0: before the first update."""
    _drawn: int = field(default=0, init=False)
    """How often retention rows were drawn."""

    def read_beside(self, batch: int) -> None:
        """Read as many rows at a time as go beside micro-batches of so many: fewer, when memory has run out."""
        self.batch = max(1, batch // 2)
        rows = [row for part in self.measured for row in part]
        self.measured = [rows[k : k + 2 * batch] for k in range(0, len(rows), 2 * batch)]

    # ------------------------------------------------------------------------------------------------- looking
    def begin(self, model: PreTrainedModel, untouched: PreTrainedModel) -> None:
        """Measure the untouched model, and the present one before its first update."""
        if self.budget is not None:
            self.baseline = self.log_perplexity(untouched)
        self.own_before = [p.detach().clone() for p in self.own]
        self.looks.append(self._look(model, 0))

    def due(self, step: int, total: int) -> bool:
        """Whether this is a moment to look: every so many updates, and after the last."""
        return step % self.every == 0 or step == total

    def look(self, model: PreTrainedModel, step: int) -> bool:
        """Measure, move the multiplier, keep the parameters of the best moment; True: the training should end."""
        found = self._look(model, step)
        self.looks.append(found)
        if self.budget is not None:
            assert found.ratio is not None
            self.multiplier = max(0.0, self.multiplier + self.rate * self.violation(found.ratio))
        if self._best() is found:
            self.kept = step
            self.best = moving(model)
            self.best_own = [p.detach().clone() for p in self.own]
        self.stopped = self._impatient()
        return self.stopped

    def violation(self, ratio: float) -> float:
        """c: 0 at the budget, -1 where nothing was lost; a budget that allows nothing counts in units of `LEAST`."""
        assert self.budget is not None
        allowed = math.log(self.budget)
        return (math.log(ratio) - allowed) / max(allowed, LEAST)

    def within(self, look: Look) -> bool:
        return look.ratio is None or self.budget is None or look.ratio <= self.budget

    def _look(self, model: PreTrainedModel, step: int) -> Look:
        training = model.training
        model.eval()
        ratio = criterion = None
        if self.budget is not None:
            ratio = math.exp(self.log_perplexity(model) - self.baseline)
        if self.criterion is not None and self.measure is not None:
            criterion = float(self.measure(model))
            if not math.isfinite(criterion):
                what = f"the criterion {self.criterion.name!r} became {criterion} at step {step}"
                raise TrainingDiverged(what, where="training", do="lower training.learning_rate, then start again")
        model.train(training)
        return Look(step=step, ratio=ratio, multiplier=self.multiplier if self.budget else None, criterion=criterion)

    def _best(self) -> Look | None:
        """The best moment after the beginning; of equal ones the earlier, without a criterion the latest."""
        good = [look for look in self.looks if look.step and self.within(look)]
        if not good:
            return None
        if self.criterion is None:
            return good[-1]
        return min(good, key=lambda look: look.criterion if look.criterion is not None else math.inf)

    def _impatient(self) -> bool:
        """Whether the last looks, as many as patience allows, brought nothing better.

        While no moment is within the budget, none can be better, and the multiplier still has work to do.
        """
        best = self._best()
        if self.criterion is None or self.criterion.patience is None or best is None:
            return False
        return len([look for look in self.looks if look.step > best.step]) >= self.criterion.patience

    # ------------------------------------------------------------------------------------------------ retention
    def log_perplexity(self, model: PreTrainedModel) -> float:
        """Log-perplexity by word of the measured rows, in nat (masked models: of the pieces that are masked)."""
        import torch

        total, count, tokens = 0.0, 0, 0
        training = model.training
        model.eval()
        with torch.no_grad(), self.precision():
            for rows in self.measured:
                loss, number = self._loss(model, rows)
                total += float(loss) * number
                count += number
                tokens += sum(len(row.ids) - (1 if self.kind == "causal" else 0) for row in rows)
        model.train(training)
        return total / count * tokens / self.words

    def penalty(self, model: Any) -> tuple[torch.Tensor, int] | None:
        """m * L_ret on rows drawn from the taught half, and the tokens read; None while the multiplier is zero.

        Of several processes each draws its own.
        """
        import random

        if self.multiplier == 0:
            return None
        # Drawn by the moment, so that a resumed training draws the same rows.
        rank, processes = rank_and_count()
        draw = random.Random(f"{self.seed}-{self._drawn}" + (f"-{rank}" if processes > 1 else ""))
        self._drawn += 1
        rows = draw.sample(list(self.taught), min(self.batch, len(self.taught)))
        with self.precision():
            loss, _ = self._loss(model, rows)
        return self.multiplier * loss, sum(len(row.ids) for row in rows)

    def _loss(self, model: Any, rows: Sequence[EncodedRow]) -> tuple[torch.Tensor, int]:
        assert self.collator is not None
        device = next(model.parameters()).device
        batch = self.collator(rows)["batch"].to(device)
        logits = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
        labels = batch.labels[:, 1:] if self.kind == "causal" else batch.labels
        return language_modelling(logits, batch.labels, kind=self.kind), int((labels != -100).sum())

    # --------------------------------------------------------------------------------------------------- the end
    def finish(self, model: PreTrainedModel, before: dict[str, torch.Tensor]) -> list[str]:
        """Put the parameters of the best moment back (those of `before`, when there is none), and what terms had of
        their own then; what was decided, in words."""
        last = self.looks[-1].step
        told = []
        if self.stopped and self.criterion is not None:
            told.append(
                f"early stopping after {counted(last, 'step')}: {self.criterion.name} was least at step {self.kept}"
            )
        within = [look for look in self.looks if look.step and self.within(look)]
        if self.budget is not None and not within and last:
            nearest = min((x for x in self.looks if x.step), key=lambda x: x.ratio or math.inf)
            told.append(
                f"the budget was not met: at most {self.budget:g} times the perplexity on retention text is allowed, "
                f"the nearest was {number(nearest.ratio, 4)} at step {nearest.step}; the model is as it was before "
                "this training"
            )
        elif self.kept != last:
            why = "within the budget, " if self.budget is not None else ""
            least = f" with the least {self.criterion.name}" if self.criterion is not None else ""
            told.append(f"kept the model of step {self.kept} of {last}: {why}the best moment{least}")
        back, own = (self.best, self.best_own) if within else (before, self.own_before)
        if back is not None and self.kept != last:
            put_back(model, back)
            for parameter, value in zip(self.own, own or (), strict=own is not None):
                parameter.data.copy_(value)
        self.best = self.best_own = None
        return told

    def facts(self) -> dict[str, Any]:
        """For the record of the run: every look, the budget and the step whose model was kept."""
        return {
            "budget": self.budget,
            "criterion": self.criterion.name if self.criterion is not None else None,
            "kept": self.kept,
            "looks": [dict(vars(look)) for look in self.looks],
        }

    @property
    def watched(self) -> list[str]:
        """What it is watched by: what a moment that was seen says holds for the same alone."""
        by = ["a budget"] if self.budget is not None else []
        return [*by, f"the criterion {self.criterion.name!r}"] if self.criterion is not None else by

    def state_dict(self) -> dict[str, Any]:
        return {
            "watched": self.watched,
            "multiplier": self.multiplier,
            "baseline": self.baseline,
            "looks": [dict(vars(look)) for look in self.looks],
            "kept": self.kept,
            "best": self.best,
            "best_own": self.best_own,
            "stopped": self.stopped,
            "drawn": self._drawn,
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        self.multiplier, self.baseline = saved["multiplier"], saved["baseline"]
        self.looks = [Look(**look) for look in saved["looks"]]
        self.kept, self.best, self.stopped = saved["kept"], saved["best"], saved["stopped"]
        self.best_own = saved.get("best_own")
        self._drawn = saved["drawn"]


def watch_of(
    model: PreTrainedModel, tokenizer: Any, retention: Dataset | None, criterion: Criterion | None, *,
    kind: Kind, budget: float | None, settings: TrainingSection, seed: int, losses: Sequence[LossTerm] = (),
) -> Watch | None:  # fmt: skip
    """What a training is watched by; None when it has neither a budget nor a criterion."""
    if retention is None and criterion is None:
        return None

    def measure(model: PreTrainedModel) -> float:
        from evenhand.measured import Measured

        assert criterion is not None
        how: Any = settings.precision
        return criterion.measure(Measured(model, tokenizer, kind, (), how, title=f"Looking at {criterion.name}"))

    watch = Watch(
        kind=kind, rate=settings.dual_step, every=settings.evaluate_every, criterion=criterion, measure=measure,
        seed=seed, precision=lambda: autocast_of(settings, model),
        own=[p for term in losses if term.parameters is not None for p in term.parameters()],
    )  # fmt: skip
    if retention is None or budget is None:
        return watch
    vocabulary = model.get_input_embeddings().num_embeddings
    rows, _ = encode(retention, tokenizer, kind=kind, max_length=settings.max_length, vocabulary=vocabulary)
    if len(rows) < FEWEST:
        raise UsageError("the retention text has no rows of two tokens or more", where="training.constraint")
    measured = rows[::2]
    watch.budget, watch.taught = budget, rows[1::2]
    watch.measured = [measured]
    watch.read_beside(settings.batch_size)
    # Of what is read: a row that `max_length` cuts has fewer words than its text.
    watch.words = sum(len(tokenizer.decode(row.ids, skip_special_tokens=True).split()) for row in measured)
    watch.collator = Collator(tokenizer=tokenizer, kind=kind, bins={}, seed=seed, most=most_tokens(model))
    return watch
