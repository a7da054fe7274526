"""Loss terms inside autocast, as trainings in bf16 call them: the same value as outside, to more than bf16's digits.

Autocast computes products of matrices in bf16 even where both are float32, so a term that writes one has to leave it
for its own arithmetic: a distance between a pair can be smaller than bf16's step.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from objective_batches import batch_of

from evenhand_standard.objective.attention_entropy import AttentionEntropy
from evenhand_standard.objective.equalising_loss import EqualisingLoss
from evenhand_standard.objective.margin_equalisation import MarginEqualisation
from evenhand_standard.objective.pair_contrast import PairContrast
from evenhand_standard.objective.pair_parity import PairParity
from evenhand_standard.objective.subspace_regulariser import SubspaceRegulariser

TEXTS = ["The nurse said that she was good.", "Rain fell on the town.", "People said he is a judge.", "He kept his dog"]
LONG = " and then it was time to go home"
"""Attention is looked at behind eight tokens."""
FORWARD = {"retention", "above unrelated text"}
"""Terms that ask the untouched model, whose output layer is a product of the forward pass."""
TERMS = [
    (PairParity, {}),
    (EqualisingLoss, {}),
    (MarginEqualisation, {}),
    (PairContrast, {}),
    (AttentionEntropy, {}),
    (SubspaceRegulariser, {"form": "embedding-projection"}),
    (SubspaceRegulariser, {"form": "hidden-inner-product"}),
    (SubspaceRegulariser, {"form": "hidden-orthogonality"}),
    (SubspaceRegulariser, {"form": "cosine"}),
]


@pytest.mark.parametrize(("plugin", "options"), TERMS, ids=lambda value: getattr(value, "name", None) or str(value))
def test_a_term_is_not_rounded_to_the_format_of_the_forward_pass(
    plugin: Any, options: Any, tiny: Any, run_of: Any
) -> None:
    model, tokenizer = tiny()
    reference, _ = tiny()
    model.set_attn_implementation("eager")
    with torch.no_grad():
        for p in reference.parameters():
            p.mul_(0.97)
    terms = plugin(**options).objective(run_of(model, tokenizer), model)
    batch, outputs = batch_of(model, tokenizer, terms, [text + LONG for text in TEXTS], reference=reference)
    for term in (t for t in terms if t.name not in FORWARD):
        plain = term.fn(batch, outputs)
        with torch.autocast("cpu", torch.bfloat16):
            inside = term.fn(batch, outputs)
        assert inside.dtype == torch.float32 and plain.item() != 0
        assert inside.item() == pytest.approx(plain.item(), rel=1e-4), term.name
