"""Model transforms and decoding rules of plugins on a model that is in memory, and how to take them back."""

from __future__ import annotations

import itertools
import warnings
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

from evenhand.answering import Answering
from evenhand.contributions import Artifact, DecodingRule, Kind, ModelTransform
from evenhand.errors import PluginFault, UsageError, WrongModelKind
from evenhand.filling import RULES, attached, fill
from evenhand.folding import Placed, fold_each
from evenhand.guard import describe
from evenhand.live_marks import marks
from evenhand.model_shape import shape_of
from evenhand.own_code import Given, OwnSteps, seeded
from evenhand.proofs import output_proof, probe_logits
from evenhand.saved_without import tell_no_more, tell_of_steps
from evenhand.unfit_steps import unfit

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from evenhand.recipe_steps import ResolvedStep


# -------------------------------------------------------------------------------------------------- architecture
_NUMBERS = itertools.count()
_STANDING: weakref.WeakKeyDictionary[PreTrainedModel, weakref.WeakSet[Applied]] = weakref.WeakKeyDictionary()
"""What `apply` gave for each model, as long as somebody holds it."""


class Applied:
    """Model transforms that act on a model now; made by `apply`.

    A training in between moves only `trainable`, since all other parameters are frozen. Call `finish` after it.
    """

    def __init__(self, model: PreTrainedModel, steps: OwnSteps, found: Sequence[tuple[ResolvedStep, Any]]) -> None:
        from evenhand.training_model import select

        self.model = model
        self.artifacts: dict[str, Artifact] = {}
        """By step id: what was fitted, or after `finish` what the training left."""
        self._steps = steps
        self._placed: list[Placed] = []
        self._number = next(_NUMBERS)
        self._flags: dict[str, bool] | None = None
        try:
            for step, transform in found:
                self._place(step, transform)
            chosen = [t.trainable(model) for t in self.transforms if t.trainable is not None]
            selected = {name for names in chosen for name in names}
            if chosen:
                self._flags = select(model, selected)
        except BaseException:
            self.revert()
            raise
        self.trainable: list[str] | None = [n for n, _ in model.named_parameters() if n in selected] if chosen else None
        """Names of the parameters that a training may move, in the model's order; None when no step chose any."""
        self._tell_when_saved()
        _STANDING.setdefault(model, weakref.WeakSet()).add(self)

    def _later(self) -> list[Applied]:
        """What was applied to the model after this and has not been taken back, the last one first."""
        later = [each for each in _STANDING.get(self.model, ()) if each._number > self._number and each._stands]
        return sorted(later, key=lambda each: -each._number)

    @property
    def _stands(self) -> bool:
        return self._flags is not None or any(placed.transform.revert for placed in self._placed)

    def _tell_when_saved(self) -> None:
        """`save_pretrained` says which of them it leaves out."""
        here = marks(self.model)
        live = dict.fromkeys(placed.step.id for placed in self._placed if placed.marks & here)
        tell_of_steps(self.model, f"applied {self._number}", list(live), self._steps.kind)

    def _place(self, step: ResolvedStep, transform: ModelTransform) -> None:
        before, without = self._probed_for_fold(transform), marks(self.model)
        with seeded(self._steps.seed):
            artifact = (transform.fit(self.model) if transform.fit else None) or Artifact()
            if transform.apply:
                transform.apply(self.model, artifact)
        placed = Placed(step=step, transform=transform, artifact=artifact, index=len(self._placed))
        placed.marks = marks(self.model) - without
        self._placed.append(placed)
        if before is not None:
            placed.effect = output_proof(before, probe_logits(self.model, self._steps.tokenizer)).size
        self.artifacts[step.id] = artifact

    def _probed_for_fold(self, transform: ModelTransform) -> torch.Tensor | None:
        """The logits before a step, where its fold will need to know how much the step did: in short formats only."""
        import torch

        trained = transform.trainable is not None or transform.finish is not None
        if transform.fold is None or trained or self.model.dtype in (torch.float32, torch.float64):
            return None
        return probe_logits(self.model, self._steps.tokenizer)

    @property
    def transforms(self) -> list[ModelTransform]:
        """Those that act on the model, in order."""
        return [placed.transform for placed in self._placed]

    def on_step(self, step: int, total: int) -> None:
        """Tell schedules that an optimiser step begins; the callback does this in a `Trainer`."""
        for transform in self.transforms:
            if transform.on_step:
                transform.on_step(step, total)

    def callback(self) -> Any:
        """A `TrainerCallback` that drives the schedules of the transforms in a `Trainer` of your own."""
        from evenhand.own_callback import ScheduleCallback

        return ScheduleCallback([self.on_step])

    def finish(self) -> dict[str, Artifact]:
        """After the training: completes what it trained, frees the other parameters, and gives the artifacts."""
        for placed in self._placed:
            if placed.transform.finish:
                before = marks(self.model)
                placed.artifact = placed.transform.finish(self.model) or placed.artifact
                self.artifacts[placed.step.id] = placed.artifact
                placed.marks |= marks(self.model) - before
        self._unfreeze()
        self._tell_when_saved()
        return self.artifacts

    def fold(self) -> list[str]:
        """Write the transforms into the ordinary weights, in order; gives the ids of steps that stay live.

        `model.save_pretrained` then keeps what was folded. In bf16 or fp16 a step may do less than such weights can
        hold: it stays live, and a warning says so. Raises NotPortable, with the model as before, where outputs change
        in float32.
        """
        try:
            told = fold_each(self.model, self._steps.tokenizer, self._placed, lambda step, proofs: None)
        finally:
            self._tell_when_saved()
        for sentence in told:
            warnings.warn(sentence, stacklevel=2)
        return list(dict.fromkeys(placed.step.id for placed in self._placed))

    def revert(self) -> None:
        """Take back what `apply` did, last first, and free all parameters; what a training moved stays moved.

        Raises UsageError, and does nothing, where something was applied later that is not taken back yet.
        """
        if self._stands and (later := self._later()):
            raise UsageError(
                f"{later[0]!r} was applied after {self!r}",
                where="revert",
                known="what was applied last is taken back first",
                do="revert that one first, or fold it into the weights to keep it",
            )
        while self._placed:
            placed = self._placed.pop()
            if placed.transform.revert:
                placed.transform.revert(self.model)
            elif placed.transform.apply:
                raise PluginFault(
                    "it cannot be taken back: it has no `revert`", where=describe(placed.step, "architecture")
                )
        self._unfreeze()
        self._tell_when_saved()

    def _unfreeze(self) -> None:
        if self._flags is not None:
            waiting = [each for each in self._later() if each._flags is not None]
            if waiting:  # its training is to come: it frees what was free before either
                waiting[-1]._flags = {**(waiting[-1]._flags or {}), **self._flags}
                self._flags = None
                return
            for name, parameter in self.model.named_parameters():
                parameter.requires_grad_(self._flags.get(name, parameter.requires_grad))
            self._flags = None

    def __repr__(self) -> str:
        names = ", ".join(placed.step.id for placed in self._placed) or "nothing"
        return f"<{names} applied to {type(self.model).__name__}>"


def apply(
    model: PreTrainedModel, tokenizer: Any, plugins: Sequence[Given], *, kind: Kind | None = None, seed: int = 0
) -> Applied:
    """Fit and apply the plugins' model transforms, in order, and freeze what they do not select.

    Before a training of your own: `handle = apply(...)`, train, `handle.finish()`, `handle.fold()`. When one fails,
    those before it are taken back. Raises UsageError for two that one training cannot serve, and, before any acts, for
    one that does not fit the model.
    """
    from evenhand.plan import contested

    steps = OwnSteps(model, tokenizer, plugins, kind=kind, seed=seed)
    if problems := contested([step for step, _ in steps.steps]):
        raise UsageError(
            problems[0].partition(";")[0], where="apply", do="apply one of them, train and finish it, then the other"
        )
    if problems := unfit([step for step, _ in steps.steps], shape_of(model.config.to_dict())):
        raise UsageError("; ".join(problems), where="apply")
    return Applied(model, steps, steps.contributions("architecture", model=model))


# ------------------------------------------------------------------------------------------------------ decoding
class Decoding(Answering):
    """Decoding rules in force on a model; made by `decode_with`, and undone at the end of its `with` or by `undo`.

    `generate`, `answer` and `stream` have all of them, also those around whole requests, which `model.generate` cannot
    have.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: Any, rules: Sequence[DecodingRule], kind: Kind) -> None:
        from evenhand import filling
        from evenhand.attached_rules import attach
        from evenhand.replaced_generate import ReplacedGenerate, WithoutRules, rules_inside

        if isinstance(own := vars(model).get("generate"), WithoutRules):
            own.take_off()
        if "generate" in vars(model) or active_rules(model):
            known = ", ".join(rule.name for rule in active_rules(model))
            what = "this model's `generate` was replaced already" if kind == "causal" else "rules are in force already"
            raise UsageError(
                what,
                where="decode_with",
                known=f"it decodes with {known}" if known else "",
                do="give all plugins to one call, or undo the first",
            )
        self.model, self.tokenizer, self.rules = model, tokenizer, tuple(rules)
        self._hook: Any = None
        if self.rules and kind == "masked":
            self._hook = filling.attach(model, tokenizer, self.rules)
        elif self.rules:
            attach(model, tokenizer, self.rules)
            if not rules_inside(self.rules):
                model.generate = ReplacedGenerate(model, model.generate, ())  # plain; it says which rules are in force
                names = ", ".join(rule.name for rule in self.rules)
                warnings.warn(
                    f"{names}: rules around whole requests do not act in `model.generate`, which stays plain; use the "
                    "`generate` of what `decode_with` gives",
                    stacklevel=3,
                )
            model.generate.evenhand_rules = self.rules

    def fill(self, texts: str | Sequence[str], *, k: int = 5) -> Any:
        """Masked models: the k likeliest words at the mask of a text, or such a list for each of several."""
        return fill(self.model, self.tokenizer, texts, rules=self.rules, k=k)

    def undo(self) -> None:
        """Give the model its own `generate`, or forward pass, back; a second time does nothing."""
        if self._hook is not None:
            self._hook.remove()
            if not attached(self.model):
                tell_no_more(self.model)
        elif self.rules and active_rules(self.model) is self.rules:
            del self.model.generate
            tell_no_more(self.model)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.undo()

    def __repr__(self) -> str:
        names = ", ".join(rule.name for rule in self.rules) or "no rule"
        return f"<{type(self.model).__name__} decodes with {names}>"


def decode_with(
    model: PreTrainedModel, tokenizer: Any, plugins: Sequence[Given], *, kind: Kind | None = None, seed: int = 0
) -> Decoding:
    """Make `model.generate`, and `measure`, use the plugins' decoding rules until it is undone.

    Masked models follow them in their forward pass, wherever the input has a mask. `with decode_with(model, tokenizer,
    [...]):`, or keep what it gives and call `.undo()`. Raises WrongModelKind for a plugin whose rules do not fit the
    model, and UsageError when rules are in force already.
    """
    steps = OwnSteps(model, tokenizer, plugins, kind=kind, seed=seed)
    rules = [rule for _, rule in steps.contributions("decoding", model=model)]
    if steps.kind == "masked" and (useless := [r.name for r in rules if r.mask_logits is None]):
        raise WrongModelKind(
            "this model fills gaps, it does not continue text",
            where="decode_with",
            known=f"the rule {useless[0]!r} is for text that is being written",
            do="use a causal model",
        )
    return Decoding(model, tokenizer, rules, steps.kind)


def active_rules(model: PreTrainedModel) -> tuple[DecodingRule, ...]:
    """The decoding rules that `decode_with`, `load` or the folder of a saved model has put in force on a model."""
    from evenhand.carried_rules import rules_of
    from evenhand.replaced_generate import WithoutRules

    own = vars(model).get("generate")
    if isinstance(own, WithoutRules):
        own.tell()
    rules: tuple[DecodingRule, ...] = getattr(own, RULES, ())
    return rules or rules_of(model) or attached(model)
