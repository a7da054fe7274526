"""Distil a decoding rule into the weights: afterwards the plain model answers as the untouched one did with it."""

from __future__ import annotations

from pydantic import Field

from evenhand_sdk import DecodingRule, LossTerm, Mitigation, Options, Plugin, StrengthOptions, hookimpl


class Flat(Plugin):
    """Divides logits by a temperature."""

    name = "probe-flat"
    summary = "Flatten next-token distributions."
    source = "Temperature."
    kinds = ("causal",)

    class Options(Options):
        temperature: float = Field(2.0, gt=0, description="What logits are divided by.")

    @hookimpl
    def decoding(self, run, model):
        def next_logits(ids, logits, contexts):
            return logits / self.options.temperature

        return DecodingRule(name=run.step_id, next_logits=next_logits)


class Distillation(Mitigation):
    """KL(teacher || student) per token; the teacher is the untouched model with the other step's rules."""

    name = "probe-distillation"
    summary = "Learn what a decoding rule does."
    source = "Hinton et al. 2015."
    kinds = ("causal",)

    class Options(StrengthOptions):
        teacher: str = Field(description="The step whose decoding rules are learned.")

    @hookimpl
    def objective(self, run, model):
        import torch

        rules = run.step(self.options.teacher).decoding()
        base = run.services.load_base()

        def fn(batch, outputs):
            rows = [ids[mask.bool()].tolist() for ids, mask in zip(batch.input_ids, batch.attention_mask, strict=True)]
            taught = torch.cat(run.services.distributions(rows, model=base, rules=rules)).to(outputs.logits.device)
            learnt = outputs.logits[batch.attention_mask.bool()].float().log_softmax(-1)
            return (taught.exp() * (taught - learnt)).sum(-1).mean()

        return LossTerm(name="distillation", fn=fn, weight=self.options.strength)
