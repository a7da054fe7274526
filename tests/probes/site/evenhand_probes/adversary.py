"""An adversary with its own optimiser: it learns the group from hidden states, the model unlearns it."""

from __future__ import annotations

import re

from pydantic import Field

from evenhand_sdk import DataTransform, LossTerm, Mitigation, Needs, StrengthOptions, hookimpl

HERS, HIS = re.compile(r"\b(she|her|hers)\b", re.I), re.compile(r"\b(he|him|his)\b", re.I)


class Adversary(Mitigation):
    """min over the model of LM - weight * CE(head(pooled hidden states), group); min over the head of CE."""

    name = "probe-adversary"
    summary = "Unlearn the group from hidden states."
    source = "Gradient reversal, Ganin and Lempitsky 2015."

    class Options(StrengthOptions):
        weight: float = Field(0.5, description="Weight of the adversary at strength 1.")
        rate: float = Field(0.05, description="Learning rate of the adversary.")

    @hookimpl
    def data(self, run, split, model):
        def group(row):
            hers, his = bool(HERS.search(row["text"])), bool(HIS.search(row["text"]))
            return {"group": -1 if hers == his else int(hers)}

        return DataTransform(fn=lambda rows: rows.map(group)) if self.options.strength else None

    @hookimpl
    def objective(self, run, model):
        import torch

        if not self.options.strength:
            return None
        head = torch.nn.Linear(model.config.hidden_size, 2)

        def fn(batch, outputs):
            mask = batch.attention_mask[..., None].float()
            pooled = (outputs.hidden_states[-1].float() * mask).sum(1) / mask.sum(1)
            groups = torch.tensor(batch.columns["group"])
            known = groups >= 0
            # A batch without a known row has no loss, but must still have a gradient.
            return torch.nn.functional.cross_entropy(
                head(pooled[known]), groups[known], reduction="sum"
            ) / known.sum().clamp_min(1)

        return LossTerm(
            name="adversary",
            fn=fn,
            weight=-self.options.weight * self.options.strength,
            needs=Needs(columns=("group",), hidden_states=True),
            parameters=head.parameters,
            optimizer=lambda parameters: torch.optim.Adam(parameters, lr=self.options.rate),
        )
