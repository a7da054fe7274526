"""Small plugins as somebody might write them in a notebook, for the tests of evenhand without a recipe."""

from __future__ import annotations

from typing import Any

import torch

from evenhand_sdk import (
    Benchmark,
    DataTransform,
    DecodingRule,
    ItemRecord,
    LossTerm,
    Metric,
    Mitigation,
    ModelTransform,
    Options,
    Planted,
    Plugin,
    hookimpl,
)

TEXTS = ["The nurse said that she was tired.", "Rain fell on the town.", "He is an engineer and he works."]


class Scale(Mitigation):
    """Multiplies the output of the last norm by 0.5 as a hook; the fault `fold` makes its fold wrong.

    With `lost` it multiplies by 63/64, and its fold forgets that.
    """

    name = "own-scale"

    class Options(Options):
        fault: str = ""

    @hookimpl
    def architecture(self, run: Any, model: Any) -> ModelTransform:
        handles: list[Any] = []

        def apply(model: Any, artifact: Any) -> None:
            if self.options.fault == "apply":
                raise ValueError("no room")
            factor = 63 / 64 if self.options.fault == "lost" else 0.5
            handles.append(model.model.norm.register_forward_hook(lambda module, args, out: out * factor))

        def fold(model: Any) -> bool:
            handles.pop().remove()
            with torch.no_grad():
                model.model.norm.weight.mul_({"fold": 0.25, "lost": 1.0}.get(self.options.fault, 0.5))
            return True

        return ModelTransform(apply=apply, revert=lambda model: handles.pop().remove(), fold=fold)


class Turn(Mitigation):
    """Turns the order of the next tokens round."""

    name = "own-turn"

    @hookimpl
    def decoding(self, run: Any, model: Any) -> DecodingRule:
        return DecodingRule(name=run.step_id, next_logits=lambda ids, logits, contexts: -logits)


class Student(Plugin):
    """Reads the rules of another plugin."""

    name = "own-student"

    class Options(Options):
        teacher: str = "step:own-turn"

    @hookimpl
    def objective(self, run: Any, model: Any) -> LossTerm:
        names = [rule.name for rule in run.step(self.options.teacher).decoding()]
        return LossTerm(name=f"like {names[0]}", fn=lambda batch, outputs: outputs.logits.float().pow(2).mean())


class Surprise(Plugin):
    """Negative log-likelihood of forty sentences."""

    name = "own-surprise"

    class Options(Options):
        items: int = 40
        quality: bool = False

    @hookimpl
    def evaluation(self, run: Any) -> Benchmark:
        texts = [f"The nurse said that she would see {k} children." for k in range(self.options.items)]

        def score(measured: Any) -> list[ItemRecord]:
            return [
                ItemRecord(id=str(k), cluster=str(k), values={"nll": -s.total, "one": 1.0})
                for k, s in enumerate(measured.score(texts))
            ]

        def known() -> list[ItemRecord]:
            return [ItemRecord(id="0", cluster="0", values={"nll": 2.0, "one": 1.0})]

        metric = Metric(name="surprise", value="nll", better="lower", primary=True, unit="nat")
        return Benchmark(
            name=self.name,
            title="Surprise",
            score=score,
            metrics=[metric],
            quality=self.options.quality,
            mode="whole",
            planted=[Planted(name="known", records=known, expect={"surprise": (2.0, 2.0)})],
        )


class Draw(Plugin):
    """Draws from the global random state in its hook."""

    name = "own-draw"
    drawn: float = 0.0

    @hookimpl
    def data(self, run: Any, split: str, model: Any) -> DataTransform:
        type(self).drawn = float(torch.rand(1))
        return DataTransform(fn=lambda rows: rows)
