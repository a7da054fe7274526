"""Group distributionally robust optimisation: the group that the model predicts worst counts most.

With L_g the mean negative log-likelihood of the predicted tokens of a batch's rows about group g,

    min over the model  max over q in the simplex  sum_g q_g L_g

by exponentiated gradient: at each batch q_g <- q_g exp(eta L_g), normalised; then the model descends sum_g q_g L_g.
The training adds strength * weight times that sum. A group that a batch does not have keeps its q but for the
normalisation, and adds nothing. In several processes a batch is that of all of them: q follows the mean over all tokens
of a group, and is the same everywhere.

Source: Sagawa et al. 2020 (online algorithm 1; eta 0.01).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from evenhand_sdk import (
    Axis,
    AxisName,
    Batch,
    Locale,
    LossTerm,
    Mitigation,
    Needs,
    Outputs,
    RunContext,
    StrengthOptions,
    hookimpl,
    load_axis,
)
from evenhand_sdk.processes import averaged
from evenhand_standard.data.group_words import first_group
from evenhand_standard.objective.pair_parity import nothing

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


class GroupDROOptions(StrengthOptions):
    """Options of `group-dro`; `strength` scales the term."""

    axis: AxisName = "gender"
    locale: Locale = "en"
    names: bool = Field(True, description="First names say which group a row is about, too.")
    weight: Annotated[float, Field(ge=0.0)] = Field(
        1.0, description="Weight of the robust loss beside the language-modelling loss."
    )
    eta: Annotated[float, Field(ge=0.0)] = Field(0.01, description="How fast the weights of groups move.")


class GroupDRO(Mitigation):
    """Gives the group whose text is predicted worst the largest weight in the loss."""

    name = "group-dro"
    summary = "Weighs the loss on text about each group, so that the group that is predicted worst counts most."
    source = "Sagawa et al. 2020, Distributionally robust neural networks for group shifts"
    Options = GroupDROOptions

    @hookimpl
    def objective(self, run: RunContext, model: PreTrainedModel) -> list[LossTerm]:
        o = self.options
        if o.strength == 0:
            return []
        axis = load_axis(o.axis, o.locale)
        robust = RobustLoss(axis, names=o.names, eta=o.eta, causal=run.kind == "causal")
        return [
            LossTerm(
                name="group DRO",
                fn=robust,
                weight=o.strength * o.weight,
                needs=Needs(columns=("text",)),
                state_dict=robust.state_dict,
                load_state_dict=robust.load_state_dict,
            )
        ]


class RobustLoss:
    """sum_g q_g L_g of a batch, with the weights q that follow the losses."""

    def __init__(self, axis: Axis, *, names: bool, eta: float, causal: bool) -> None:
        self.axis, self.names, self.eta, self.causal = axis, names, eta, causal
        self.weights = {group: 1.0 / len(axis.groups) for group in axis.groups}
        self._groups: dict[str, str] = {}

    def __call__(self, batch: Batch, outputs: Outputs) -> torch.Tensor:
        import torch

        found = group_losses(batch, outputs, [self.group(text) for text in batch.columns["text"]], causal=self.causal)
        losses = {group: loss for group, (loss, _) in found.items()}
        if torch.is_grad_enabled():
            seen = self._of_all_processes(found, outputs.logits.device)
            if seen:
                self.weights = updated(self.weights, {g: loss for g, (loss, _) in seen.items()}, self.eta)
            # The mean over processes of these is the mean over all tokens of the group.
            losses = {g: loss * (found[g][1] / seen[g][1]) for g, loss in losses.items()}
        if not losses:
            return nothing(outputs)
        return torch.stack([self.weights[group] * loss for group, loss in losses.items()]).sum()

    def _of_all_processes(
        self, found: dict[str, tuple[torch.Tensor, int]], device: torch.device
    ) -> dict[str, tuple[float, float]]:
        """Group -> its mean loss over all processes, and its tokens in the mean process; of those that any has."""
        import torch

        exact = torch.float32 if device.type == "mps" else torch.float64
        numbers = torch.zeros(len(self.weights), 2, device=device, dtype=exact)
        for k, group in enumerate(self.weights):
            if group in found:
                loss, count = found[group]
                numbers[k, 0], numbers[k, 1] = loss.detach().to(exact) * count, count
        return {
            group: (total / count, count)
            for group, (total, count) in zip(self.weights, averaged(numbers).tolist(), strict=True)
            if count
        }

    def group(self, text: str) -> str:
        """The group that a row is about: that of its first group word; empty for none."""
        if text not in self._groups:
            self._groups[text] = first_group(text, self.axis, names=self.names)
        return self._groups[text]

    def state_dict(self) -> dict[str, Any]:
        return {"weights": dict(self.weights)}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        self.weights = dict(saved["weights"])


def updated(weights: dict[str, float], losses: dict[str, float], eta: float) -> dict[str, float]:
    """q_g exp(eta L_g), normalised; a group without a loss counts as one of loss 0, as in the paper's code."""
    moved = {group: eta * losses.get(group, 0.0) for group in weights}
    most = max(moved[group] for group, q in weights.items() if q)  # a common factor, so that no power is too large
    grown = {group: q * math.exp(moved[group] - most) if q else 0.0 for group, q in weights.items()}
    whole = sum(grown.values())
    return {group: q / whole for group, q in grown.items()}


def group_losses(
    batch: Batch, outputs: Outputs, groups: list[str], *, causal: bool
) -> dict[str, tuple[torch.Tensor, int]]:
    """Group -> the mean negative log-likelihood [] in nat of the predicted tokens of its rows, and their number; rows
    of "" are left out."""
    import torch

    logits, labels = outputs.logits, batch.labels
    if causal:
        logits, labels = logits[:, :-1], labels[:, 1:]
    found = {}
    for group in sorted(set(groups) - {""}):
        rows = torch.tensor([g == group for g in groups], device=labels.device)
        kept = (labels != -100) & rows[:, None]
        if count := int(kept.sum()):
            found[group] = torch.nn.functional.cross_entropy(logits[kept].float(), labels[kept]), count
    return found
