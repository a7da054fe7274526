"""Loss terms of plugins in a training loop of one's own: a `transformers.Trainer`, or plain torch.

    fair = evenhand.Objective(model, tokenizer, [PairParity(axes=["gender"])])

    class MyTrainer(transformers.Trainer):
        def compute_loss(self, model, inputs, return_outputs=False, **rest):
            return fair.loss(model, inputs, return_outputs)

    trainer = MyTrainer(model=model, args=args, train_dataset=fair.encode(dataset), data_collator=fair.collate,
                        callbacks=[fair.callback()])

In plain torch, `fair.loss(model, fair.collate(rows)).backward()` is all. Terms are evaluated, weighted and proved by
the code that the toolkit's own trainings use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from evenhand.contributions import Aggregator, Criterion, Kind, LossTerm, Needs, TrainingStart
from evenhand.errors import TrainingDiverged, UsageError
from evenhand.foreign_precision import copied
from evenhand.own_code import Given
from evenhand.own_terms import fit_for_a_loop, rows_of, terms_of
from evenhand.pairs import token_bins
from evenhand.peft_wrapping import unwrapped
from evenhand.positions import most_tokens
from evenhand.training_batch import Batch, Outputs
from evenhand.training_data import Collator, EncodedRow, encode, too_short
from evenhand.training_terms import Terms

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from transformers import PreTrainedModel

    from evenhand.reference import ReferenceModel
    from evenhand.update_shares import Share

PROOF_BATCHES = 5
"""Gradients of single terms are measured in the first batches, and of one that was zero there when it is not."""
LENGTH = 512


class Objective:
    """The training loss of some plugins: the language-modelling loss plus their weighted terms.

    `plugins` may hold `LossTerm`s, too, and one `Aggregator` of losses. Make it before the `Trainer`: from here on the
    model averages its loss over micro-batches, which `Trainer` reads once; a term that needs attentions makes the
    model compute them eagerly. `close` takes both back. `reference` is what "the untouched model" means to terms that
    hold on to it; without it, a frozen copy of the model as it is now. Raises UsageError for a plugin without
    an objective and for aggregators of gradients, WrongModelKind for a plugin that does not fit the model.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: Any,
        plugins: Sequence[Given | LossTerm | Aggregator | Criterion],
        *,
        kind: Kind | None = None,
        seed: int = 0,
        max_length: int = LENGTH,
        language_modelling: float = 1.0,
        reference: PreTrainedModel | None = None,
    ) -> None:
        from evenhand.training_model import eager_if_needed

        parts, self._steps = terms_of(model, tokenizer, plugins, kind, seed)
        self.tokenizer, self.kind, self.model = tokenizer, self._steps.kind, model
        losses, aggregator = fit_for_a_loop(parts)
        if not losses and not language_modelling:
            raise UsageError("there is nothing to learn: no loss term, and language_modelling is 0")
        self._terms = Terms(losses, aggregator, language_modelling, kind=self.kind)
        self._shares: dict[int, tuple[Batch, dict[str, Share]]] = {}  # a batch that is held keeps its identity
        needs: list[Needs] = self._terms.needs
        self._pairings = [n.counterfactual for n in needs if n.counterfactual is not None]
        self._columns = tuple(dict.fromkeys(c for n in needs for c in n.columns))
        self._vocabulary = model.get_input_embeddings().num_embeddings
        most = most_tokens(model)
        self.max_length = min(max_length, most, tokenizer.model_max_length)
        bins = {p.key: token_bins(tokenizer, p.bins, self._vocabulary) for p in self._pairings}
        self.collate = Collator(tokenizer=tokenizer, kind=self.kind, bins=bins, seed=seed, most=most)
        """The data collator: rows of `encode` -> a batch. For masked models the callback makes it mask other pieces in
        each pass over the data."""
        self._reference = _reference(model, reference, self.kind) if any(n.reference for n in needs) else None
        self._attention = eager_if_needed(model, needs)
        # Our loss is a mean, so that a Trainer must divide it when it accumulates; it asks the model whether to.
        # Of a model that `peft` has wrapped it asks the one inside.
        self._asked = unwrapped(model)
        self._counted = vars(self._asked).get("accepts_loss_kwargs")
        self._asked.accepts_loss_kwargs = False
        self._device: torch.device | None = None
        self._encoded = 0
        self.notes: list[str] = []
        """What terms said when they first saw the data."""
        self.step = 0
        """Optimiser steps so far as the callback counts them, else batches."""
        self.batches = 0
        self.tokens = 0
        self.follows_trainer = False
        """Whether the callback counts the steps."""

    # ----------------------------------------------------------------------------------------------------- data
    def encode(self, dataset: Dataset | Sequence[str]) -> list[EncodedRow]:
        """The rows of a data set (column `text`, or plain texts) as tokens, with the counterfactuals that terms need.

        It serves as `train_dataset`, as `eval_dataset`, and as data of a `DataLoader` with `collate_fn=fair.collate`.
        Rows with nothing to predict are left out: of fewer than two tokens, or for a masked model without a piece that
        can be masked. The first data set is what the training learns from: terms that
        compare the model with what it was look at both now. Raises UsageError for a missing column or streamed data.
        """
        rows = rows_of(dataset, self._columns)
        found, _ = encode(
            rows,
            self.tokenizer,
            kind=self.kind,
            max_length=self.max_length,
            pairings=self._pairings,
            columns=self._columns,
            vocabulary=self._vocabulary,
        )
        if not found:
            raise UsageError(f"no row has {too_short(self.kind)}, there is nothing to learn from", where="encode")
        if not self._encoded:
            self._start(model=self.model, rows=rows)
        # Row numbers are unique over all data sets, since the reference looks rows up by them.
        start, self._encoded = self._encoded, self._encoded + len(rows)
        return [replace(row, number=start + row.number) for row in found] if start else found

    def _start(self, **begun: Any) -> None:
        for state in self._terms.states:
            if state.term.on_start:
                state.term.on_start(TrainingStart(tell=self.notes.append, **begun))

    # ----------------------------------------------------------------------------------------------------- loss
    def loss(self, model: Any, inputs: Any, return_outputs: bool = False) -> Any:
        """The scalar to minimise on one batch of `collate`; with `return_outputs`, also the model's output on it.

        With gradients on, each call is one micro-batch of the training: values are recorded, and own optimisers of
        terms (adversaries) take their step when the next one begins, so call `backward` in between. Under
        `torch.no_grad` it only evaluates. Raises TrainingDiverged by the name of a term that is not finite.
        """
        import torch

        from evenhand.training_forward import forward, token_count, trained

        device = next(model.parameters()).device
        given = self._given(inputs)
        batch = self._batch(given, device)
        learns = torch.is_grad_enabled()
        if learns:
            self.finish_step()
        outputs = forward(model, batch, self._terms.needs, kind=self.kind, reference=self._reference)
        if learns:
            weighted = self._evaluate(batch, outputs, self._shares.get(id(given), (given, None))[1])
        else:
            raw = self._terms.raw(batch, outputs)
            weighted = {s.term.name: value * (s.term.weight / s.scale) for s, value in raw}
        value = self._terms.combine(weighted)
        if learns:
            if not _recomputes(model):
                always = self.batches < PROOF_BATCHES
                self._terms.prove(weighted, trained(model), self.step, value, all_terms=always)
            self.batches += 1
            self.tokens += token_count(batch)
            if not self.follows_trainer:
                self.step += 1
        if not return_outputs:
            return value
        from transformers.modeling_outputs import CausalLMOutput, MaskedLMOutput

        made = CausalLMOutput if self.kind == "causal" else MaskedLMOutput
        return value, made(loss=value, logits=outputs.logits)

    def update(self, batches: Sequence[Any]) -> None:
        """Tell which micro-batches of `collate` the next update accumulates, of several processes each its own.

        Then `loss` gives each of them its share, so that their mean is that of the whole update, and not the mean of
        means. Without it each micro-batch counts the same.
        """
        from evenhand.update_shares import shares

        given = [self._given(inputs) for inputs in batches]
        found = shares([s.term for s in self._terms.states], given, self._device)
        self._shares = {id(batch): (batch, its) for batch, its in zip(given, found, strict=True)}

    def _evaluate(self, batch: Batch, outputs: Outputs, shares: Mapping[str, Share] | None) -> dict[str, torch.Tensor]:
        try:
            return self._terms.evaluate(batch, outputs, self.step, shares)
        except TrainingDiverged as error:
            do = "lower the learning rate or the weight of that term, then start again"
            raise TrainingDiverged(error.what, where="Objective.loss", do=do) from None

    def _given(self, inputs: Any) -> Batch:
        batch = inputs.get("batch") if isinstance(inputs, Mapping) else inputs
        if not isinstance(batch, Batch):
            raise UsageError(
                "this batch was not made by the objective's collator",
                where="Objective.loss",
                do="train_dataset=fair.encode(dataset) and data_collator=fair.collate",
            )
        return batch

    def _batch(self, batch: Batch, device: torch.device) -> Batch:
        if device != self._device:
            self._follow(device)
        return batch.to(device)

    def _follow(self, device: torch.device) -> None:
        """A `Trainer` moves the model to its device after the objective was made: what belongs to terms goes along."""
        for state in self._terms.states:
            for parameter in state.parameters:
                parameter.data = parameter.data.to(device)
            for kept in state.optimizer.state.values() if state.optimizer else ():
                kept.update({k: v.to(device) for k, v in kept.items() if hasattr(v, "to") and v.ndim})
        if self._reference is not None:
            self._reference.model.to(device)
            self._reference.forget()
        self._device = device

    # ------------------------------------------------------------------------------------------------- the rest
    def callback(self, title: str = "Training") -> Any:
        """A `TrainerCallback`: schedules of terms, their values in the logs, progress, and their state in checkpoints.

        Without it terms have no schedules, and a resumed training begins with fresh adversaries.
        """
        from evenhand.own_callback import ObjectiveCallback

        return ObjectiveCallback(self, title)

    def on_step(self, step: int, total: int) -> None:
        """Tell schedules that an optimiser step begins; the callback does this in a `Trainer`."""
        self._terms.on_step(step, total)

    def latest(self) -> dict[str, float]:
        """The value of each term, not weighted, on the last batch."""
        return {s.term.name: s.values[-1] for s in self._terms.states if s.values}

    def means(self, batches: int) -> dict[str, float]:
        """The mean value of each term, not weighted, over the last batches."""
        return {s.term.name: sum(found) / len(found) for s in self._terms.states if (found := s.values[-batches:])}

    def facts(self) -> dict[str, dict[str, float | None]]:
        """By term: its weight, its mean value in the first and in the last fifth of the batches, and the largest norm
        of its gradient in the first batches and where it first acts; None where that is not measured: of the
        language-modelling loss, and with activations that are recomputed."""
        return self._terms.facts()

    @property
    def has_state(self) -> bool:
        """Whether a term or the aggregator carries more than its values from step to step."""
        parts = [*(s.term for s in self._terms.states), self._terms.aggregator]
        return any(s.parameters for s in self._terms.states) or any(p is not None and p.state_dict for p in parts)

    def finish_step(self) -> None:
        """The step that own optimisers of terms still owe to the last batch; otherwise the next `loss` takes it."""
        self._terms.step_own_optimizers(self.step)

    def state_dict(self) -> dict[str, Any]:
        """Values, own parameters and optimisers of the terms so far; tensors and plain values only."""
        self.finish_step()
        return {"terms": self._terms.state_dict(), "batches": self.batches, "tokens": self.tokens, "step": self.step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The counterpart of `state_dict`, for an objective of the same terms."""
        self._terms.load_state_dict(state["terms"])
        self.batches, self.tokens, self.step = state["batches"], state["tokens"], state["step"]

    def close(self) -> None:
        """The last step of own optimisers; the model gets back its attention and its way to count the loss."""
        self.finish_step()
        if self._attention is not None:
            self.model.set_attn_implementation(self._attention)
            self._attention = None
        if self._counted is not None:
            self._asked.accepts_loss_kwargs = self._counted
        elif "accepts_loss_kwargs" in vars(self._asked):
            del self._asked.accepts_loss_kwargs
        self._reference = None


def _recomputes(model: Any) -> bool:
    """Whether activations are recomputed in the backward pass: then single terms cannot be differentiated besides."""
    inner = getattr(model, "module", model)
    new = "is_activation_checkpointing"  # transformers 5
    return bool(getattr(inner, new if hasattr(type(inner), new) else "is_gradient_checkpointing", False))


def _reference(model: PreTrainedModel, given: PreTrainedModel | None, kind: Kind) -> ReferenceModel:
    from evenhand.reference import ReferenceModel

    untouched = given if given is not None else copied(model)
    return ReferenceModel(untouched.eval().requires_grad_(False), kind=kind)
