"""The life-cycle hooks. This file is the manual: `docs/hooks.md` is generated from it.

Every hook is called once for each step of a recipe that implements it, when the run reaches the step. A plugin
overrides what it needs, marks it with `@hookimpl`, and returns one contribution, a list of them, or None.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from evenhand.context import RunContext
    from evenhand.contributions import (
        Aggregator,
        Benchmark,
        Criterion,
        DataTransform,
        DecodingRule,
        LossTerm,
        ModelTransform,
        Monitor,
        Section,
    )

PROJECT = "evenhand"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class LifeCycle:
    """The seven stages of a model's life that a plugin can take part in."""

    @hookspec
    def data(self, run: RunContext, split: str, model: PreTrainedModel) -> DataTransform | None:
        """Change what the model learns from.

        Called before the training that the step precedes, with `split="train"`. The host folds the transforms in
        recipe order: the second sees what the first returned. A fault fails the run. Proof: rows changed.

        Example::

            @hookimpl
            def data(self, run, split, model):
                least = round(50 * self.options.strength)
                return DataTransform(fn=lambda rows: rows.filter(lambda row: len(row["text"] or "") >= least))
        """

    @hookspec
    def objective(
        self, run: RunContext, model: PreTrainedModel
    ) -> LossTerm | Aggregator | Criterion | list[LossTerm | Aggregator | Criterion] | None:
        """Say what the training optimises.

        The host adds the weighted terms to the language-modelling loss and logs each by name. At most one aggregator in
        a training combines losses or gradients, and at most one criterion says which moment was the best. A fault
        fails the run. Proof: a finite, non-zero gradient.

        Example::

            @hookimpl
            def objective(self, run, model):
                def fn(batch, outputs):
                    return outputs.logits.float().logsumexp(-1).pow(2).mean()
                return LossTerm(name="z-loss", fn=fn, weight=1e-4 * self.options.strength)
        """

    @hookspec
    def architecture(self, run: RunContext, model: PreTrainedModel) -> ModelTransform | None:
        """Change the model itself: select parameters, add modules, erase, prune, merge.

        Before a `train` step it shapes that training; after it, it acts on the trained model. A plugin whose transform
        selects parameters (`trainable`) says `shapes_training = True`, so that its place is checked before the run.
        If one training cannot serve two of its kind, it says what it `claims`, such as `("adapters",)`.
        Folded in recipe order. A fault fails the run. Proof: tensors or outputs changed (for a selection: only the
        selected tensors moved).

        Example::

            shapes_training = True

            @hookimpl
            def architecture(self, run, model):
                if self.options.strength == 0:
                    return None
                def trainable(m):
                    vectors = [name for name, p in m.named_parameters() if p.ndim == 1]  # norms and biases
                    return vectors[: max(1, round(self.options.strength * len(vectors)))]
                return ModelTransform(trainable=trainable)
        """

    @hookspec
    def decoding(self, run: RunContext, model: PreTrainedModel) -> DecodingRule | list[DecodingRule] | None:
        """Change how text is produced, without touching weights.

        Rules apply in recipe order in the host's one decoding path, and, where they map logits, in scoring, too. Masked
        models write no text: for them a rule maps the logits at masks (`mask_logits`), or the plugin says
        `kinds = ("causal",)`. A fault fails the run. Proof: at least one distribution changed on a packaged probe.

        Example::

            kinds = ("causal",)

            @hookimpl
            def decoding(self, run, model):
                by = 1 + 0.3 * self.options.strength
                return DecodingRule(name="flat", next_logits=lambda ids, logits, contexts: logits / by)
        """

    @hookspec
    def monitoring(self, run: RunContext) -> Monitor | None:
        """Watch what the finished model answers, ask for probes, report findings, ask for interventions.

        All monitors are notified of each response. A fault is isolated: it is recorded and the run goes on. Proof:
        responses were seen.

        Example::

            @hookimpl
            def monitoring(self, run):
                seen = []
                def observe(observation):
                    seen.append(len(observation.response.text))
                    return []
                return Monitor(name="length", observe=observe)
        """

    @hookspec
    def transparency(self, run: RunContext, model: PreTrainedModel, result: Any) -> Section | list[Section] | None:
        """Explain the result: a section of the report and of the model card.

        `result` has the measurements before and after (`result.benchmarks`) and the monitors' findings. Sections are
        collected, never merged. A fault is isolated, and the card says what is missing.

        Example::

            @hookimpl
            def transparency(self, run, model, result):
                return Section(title="Size", facts=[Fact(label="parameters", value=model.num_parameters())])
        """

    @hookspec
    def evaluation(self, run: RunContext) -> Benchmark | list[Benchmark] | None:
        """Measure: items and a scorer that gives one record per item.

        Benchmarks run before, after and on controls, on the same items; aggregates, intervals and verdicts are computed
        from the records alone. A fault fails the run.

        Example::

            @hookimpl
            def evaluation(self, run):
                def score(measured):
                    scores = measured.score(["Water is wet.", "Fire is hot."])
                    return [ItemRecord(id=str(i), cluster=str(i), values={"nll": -s.total})
                            for i, s in enumerate(scores)]
                sure = Planted(name="sure", records=lambda: score(PlantedModel(logp=lambda text: 0.0)),
                               expect={"nll": (0.0, 0.0)})
                return Benchmark(name="two", title="Two sentences", score=score, planted=[sure],
                                 metrics=[Metric(name="nll", value="nll", better="lower", primary=True)])
        """


STAGES: tuple[str, ...] = (
    "data",
    "objective",
    "architecture",
    "decoding",
    "monitoring",
    "transparency",
    "evaluation",
)
ISOLATED: frozenset[str] = frozenset({"monitoring", "transparency"})
"""Stages whose faults are recorded instead of failing the run."""
