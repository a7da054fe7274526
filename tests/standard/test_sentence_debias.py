"""SentenceDebias on a tiny model: the component against a plain computation, revert, strength, what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from evenhand_sdk import UsageError, load_axis
from evenhand_standard.architecture.group_pairs import fitting_pairs
from evenhand_standard.architecture.sentence_debias import SentenceDebias


def last_states(model: Any, tokenizer: Any, text: str) -> torch.Tensor:
    """Behind the last layer, before the final norm [T, H]."""
    seen: list[Any] = []
    layers = model.model.layers if hasattr(model, "model") else model.bert.encoder.layer
    handle = layers[-1].register_forward_hook(lambda m, a, out: seen.append(out))
    with torch.no_grad():
        model(**tokenizer(text, return_tensors="pt"))
    handle.remove()
    return (seen[0][0] if isinstance(seen[0], tuple) else seen[0])[0]


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_it_takes_out_the_first_component_of_the_differences(kind: str, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny(kind)
    rows = []
    for pair in fitting_pairs(load_axis("gender"), 32):
        a, b = (torch.nn.functional.normalize(last_states(model, tokenizer, t).mean(0), dim=0) for t in pair.texts)
        rows += [(a - b) / 2, (b - a) / 2]
    expected = torch.linalg.svd(torch.stack(rows).double(), full_matrices=False).Vh[0]
    transform = SentenceDebias(pairs=32, strength=0.5).architecture(run_of(model, tokenizer, kind), model)
    artifact = transform.fit(model)
    found = artifact.tensors["1.residual.left"][:, 0].double()
    assert abs(float(found @ expected)) == pytest.approx(1.0, abs=1e-4)
    text = "The nurse said that she was good"
    before = last_states(model, tokenizer, text)
    transform.apply(model, artifact)
    after = last_states(model, tokenizer, text)
    assert torch.allclose(after @ found.float(), 0.5 * before @ found.float(), atol=1e-4)
    transform.revert(model)
    assert torch.equal(last_states(model, tokenizer, text), before)


def test_too_few_pairs_and_too_many_components_are_refused(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    run = run_of(model, tokenizer)
    with pytest.raises(UsageError, match="too few hidden states to fit on: female 3, male 3"):
        SentenceDebias(pairs=3).architecture(run, model).fit(model)
    with pytest.raises(UsageError, match="40 components are more than the"):
        SentenceDebias(pairs=32, components=40).architecture(run, model).fit(model)
