"""One plugin for each stage that keeps the contract; the tests of the checks break them one by one."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from evenhand_sdk import (
    Artifact,
    Benchmark,
    DataTransform,
    DecodingRule,
    Fact,
    Finding,
    ItemRecord,
    LossTerm,
    Metric,
    Mitigation,
    ModelTransform,
    Monitor,
    Planted,
    Plugin,
    Section,
    StrengthOptions,
    hookimpl,
)


class KeepShort(Mitigation):
    """Keeps the shorter rows: a share of 1 - strength / 2 of them, in their order."""

    name = "keep-short"
    summary = "Train on the shorter rows only."
    source = "An example of our own."

    @hookimpl
    def data(self, run, split, model):
        def fn(rows):
            count = round(len(rows) * (1 - self.options.strength / 2))
            order = sorted(range(len(rows)), key=lambda k: (len(rows[k]["text"]), k))
            return rows.select(sorted(order[:count]))

        return DataTransform(fn=fn)


class QuietLogits(Mitigation):
    """Adds the squared log-normaliser of the logits to the loss."""

    name = "quiet-logits"
    summary = "Keep the normaliser of the logits small."
    source = "The z-loss of large models."

    class Options(StrengthOptions):
        weight: float = Field(1e-2, description="Weight at strength 1.")

    @hookimpl
    def objective(self, run, model):
        def fn(batch, outputs):
            return outputs.logits.float().logsumexp(-1).pow(2).mean()

        return LossTerm(name="z-loss", fn=fn, weight=self.options.weight * self.options.strength)


class Bottleneck(Mitigation):
    """A trained bottleneck behind the embeddings, scaled by strength."""

    name = "bottleneck"
    shapes_training = True
    summary = "Train a small module behind the embeddings."
    source = "Adapters, in their simplest form."

    class Options(StrengthOptions):
        size: int = 4
        """Hidden units of the bottleneck."""

    @hookimpl
    def architecture(self, run, model):
        name = f"example_{run.step_id.replace('-', '_')}"
        handles: list[Any] = []

        def fit(model):
            import torch

            width = model.get_input_embeddings().embedding_dim
            draw = torch.Generator().manual_seed(run.seed_for("weights"))
            down = torch.randn(self.options.size, width, generator=draw) * 0.1
            up = torch.randn(width, self.options.size, generator=draw) * 0.1
            return Artifact(tensors={"down": down, "up": up})

        def apply(model, artifact):
            import torch

            parts = torch.nn.ParameterDict({k: torch.nn.Parameter(v.clone()) for k, v in artifact.tensors.items()})
            layer = model.get_input_embeddings()
            layer.add_module(name, parts)

            def add(module, args, out):
                own = getattr(module, name)  # not `parts`: a copied model has its own
                return out + self.options.strength * (out @ own["down"].T @ own["up"].T)

            handles.append(layer.register_forward_hook(add))

        def revert(model):
            handles.pop().remove()
            delattr(model.get_input_embeddings(), name)

        def finish(model):
            return Artifact(
                tensors={k: v.detach().clone() for k, v in getattr(model.get_input_embeddings(), name).items()}
            )

        return ModelTransform(
            fit=fit,
            apply=apply,
            revert=revert,
            trainable=lambda model: [n for n, _ in model.named_parameters() if f".{name}." in n],
            finish=finish,
        )


class Flatter(Mitigation):
    """Divides logits by 1 + strength."""

    name = "flatter"
    summary = "Flatten next-token distributions."
    source = "Temperature scaling."
    kinds = ("causal",)

    @hookimpl
    def decoding(self, run, model):
        def next_logits(ids, logits, contexts):
            return logits / (1 + self.options.strength)

        return DecodingRule(name=run.step_id, next_logits=next_logits)


class LengthMonitor(Plugin):
    """Reports how long the answers are on average."""

    name = "length-monitor"
    summary = "Watch the length of answers."
    source = "An example of our own."

    @hookimpl
    def monitoring(self, run):
        seen: list[int] = []

        def observe(observation):
            seen.append(len(observation.response.text))
            return []

        def summary():
            return Finding(title="length of answers", facts={"mean": sum(seen) / len(seen)})

        return Monitor(name="length", observe=observe, summary=summary)


class ModelSize(Plugin):
    """Says how many parameters the model has."""

    name = "model-size"
    summary = "Show the size of the model."
    source = "An example of our own."

    @hookimpl
    def transparency(self, run, model, result):
        return Section(title="Size", facts=[Fact(label="parameters", value=model.num_parameters())])


class TwoSentences(Plugin):
    """Scores two sentences."""

    name = "two-sentences"
    summary = "Score two plain sentences."
    source = "An example of our own."

    @hookimpl
    def evaluation(self, run):
        def score(measured):
            scores = measured.score(["Water is wet.", "Fire is hot."])
            return [ItemRecord(id=str(i), cluster=str(i), values={"nll": -s.total}) for i, s in enumerate(scores)]

        metric = Metric(name="nll", value="nll", better="lower", primary=True)
        return Benchmark(
            name="two-sentences",
            title="Two sentences",
            score=score,
            metrics=[metric],
            planted=[known({"nll": 2.0}, {"nll": 2.0})],
        )


def known(values, expect):
    """A planted model with one item, and what the metrics must be."""
    return Planted(
        name="known",
        records=lambda: [ItemRecord(id="0", cluster="0", values=values)],
        expect={name: (value, value) for name, value in expect.items()},
    )


GOOD = (KeepShort, QuietLogits, Bottleneck, Flatter, LengthMonitor, ModelSize, TwoSentences)
