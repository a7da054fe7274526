"""One plugin a stage that goes wrong at the place it is told to, for the tests of faults."""

from __future__ import annotations

from typing import ClassVar

from evenhand_sdk import (
    Artifact,
    DecodingRule,
    Finding,
    Intervention,
    LossTerm,
    Mitigation,
    ModelTransform,
    Monitor,
    Needs,
    Plugin,
    Request,
    StrengthOptions,
    hookimpl,
)
from evenhand_sdk import Options as PlainOptions


class At(PlainOptions):
    at: str = ""


class StrengthAt(StrengthOptions):
    at: str = ""


class FaultyLoss(Mitigation):
    """Its loss, or what belongs to it, fails."""

    name = "trial-faulty-loss"
    summary = "Fails in training."
    Options = StrengthAt

    @hookimpl
    def objective(self, run, model):
        at, steps = self.options.at, []

        def on_step(step, total):
            steps.append(step)
            if at == "on_step" and step == 3:
                raise KeyError("schedule")

        def fn(batch, outputs):
            import torch

            value = outputs.logits.float().pow(2).mean()
            if at == "fn":
                raise ValueError("shapes differ")
            if at == "fn exit":
                raise SystemExit(0)
            if at == "vector":
                return outputs.logits.float().mean(-1)
            if at == "number":
                return 0.5
            if at == "nan" and steps[-1] == 3:
                return value * float("nan")
            if at == "nan gradient" and steps[-1] == 3:
                return value + (value - value.detach()).abs().sqrt()
            if at == "push":
                return -value
            if at in ("zero", "zero anchor"):
                return value * 0.0
            if at == "memory" and len(batch.input_ids) > 2:
                raise torch.OutOfMemoryError("out of memory")
            if at == "memory for one":
                raise torch.OutOfMemoryError("out of memory")
            return value

        columns = ("mood",) if at == "column" else ()
        return LossTerm(
            name="faulty", fn=fn, on_step=on_step, weight=0.1 * self.options.strength, anchor=at == "zero anchor",
            needs=Needs(columns=columns),
        )  # fmt: skip


class FaultyModel(Mitigation):
    """Its change of the model fails."""

    name = "trial-faulty-model"
    summary = "Fails in the model."
    Options = StrengthAt

    @hookimpl
    def architecture(self, run, model):
        at, calls = self.options.at, []

        def hook(module, args, out):
            calls.append(1)
            if at == "forward" and len(calls) > 8:
                raise IndexError("no such head")
            if at == "forward exit" and len(calls) > 8:
                raise SystemExit(0)
            return out * 0.5

        handles = []

        def apply(m, artifact):
            if at == "apply":
                raise TypeError("not this model")
            handles.append(m.model.norm.register_forward_hook(hook))

        def fold(m):
            import torch

            if at == "fold":
                raise RuntimeError("no place for it")
            if at == "fold nothing":
                handles.pop().remove()
                return True
            handles.pop().remove()
            with torch.no_grad():
                m.model.norm.weight.mul_(0.5)
            return True

        def revert(m):
            handles.pop().remove()

        fit = (lambda m: {"a": 1}) if at == "fit" else (lambda m: Artifact())
        fold_or_not = None if at == "load" else fold
        load = (lambda m, folder: None) if at == "load" else None
        save = (lambda m, folder: None) if at == "load" else None
        return ModelTransform(fit=fit, apply=apply, revert=revert, fold=fold_or_not, save=save, load=load)


class FaultyRule(Mitigation):
    """Its decoding rule fails."""

    name = "trial-faulty-rule"
    summary = "Fails in decoding."
    kinds: ClassVar[tuple[str, ...]] = ("causal",)
    Options = StrengthAt

    @hookimpl
    def decoding(self, run, model):
        def next_logits(ids, logits, contexts):
            if self.options.at == "next_logits":
                raise ValueError("no such token")
            return logits[:, :-1] if self.options.at == "shape" else logits / 2

        return DecodingRule(name="faulty", next_logits=next_logits)


class FaultyMonitor(Plugin):
    """Its monitor fails."""

    name = "trial-faulty-monitor"
    summary = "Fails in monitoring."
    Options = At

    @hookimpl
    def monitoring(self, run):
        at = self.options.at
        if at == "hook":
            raise ValueError("no canaries")
        if at == "hook exit":
            raise SystemExit(0)

        def observe(observation):
            if at == "observe exit":
                raise SystemExit(0)
            if at == "observe":
                raise ValueError("the watch is broken")
            if at == "observe none":
                return None
            if at == "observe words":
                return ["all is well"]
            if at == "enable":
                return [Intervention(action="enable_rules", rules=["faulty", "falty"], reason="a trial")]
            return []

        def probes(observation):
            if at == "probes exit":
                raise SystemExit(0)
            return [Request(prompt=None if at == "probe" else "Rain", max_new_tokens=2)]

        def summary():
            if at == "summary":
                raise ValueError("nothing counted")
            return Finding(title="seen")

        return Monitor(name="faulty", observe=observe, probes=probes, summary=summary)


class MaskedOnly(Mitigation):
    """Works on masked models only."""

    name = "trial-masked-only"
    summary = "For masked models."
    kinds: ClassVar[tuple[str, ...]] = ("masked",)

    @hookimpl
    def data(self, run, split, model):
        return None


class FaultyMoves(Mitigation):
    """What it says it moves is an error, or no words."""

    name = "trial-faulty-moves"
    summary = "Fails where it says what it moves."

    class Options(At):
        strength: str = "a word, which is no dose"

    @hookimpl
    def decoding(self, run, model):
        return DecodingRule(name=run.step_id, next_logits=lambda ids, logits, contexts: logits * 2)

    def moves(self):
        if self.options.at == "exit":
            raise SystemExit(3)
        return ["the odds"] if self.options.at == "list" else {"the odds": str(1 / 0)}
