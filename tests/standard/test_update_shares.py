"""An update is the mean over its whole batch, however that is divided into micro-batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset

import evenhand
from evenhand.contributions import Aggregator
from evenhand.trainer import EvenhandTrainer
from evenhand_sdk.tiny import tiny_causal, tiny_masked
from evenhand_standard.data.group_balancing import GroupBalancing
from evenhand_standard.objective.attention_entropy import AttentionEntropy
from evenhand_standard.objective.equalising_loss import EqualisingLoss
from evenhand_standard.objective.margin_equalisation import MarginEqualisation
from evenhand_standard.objective.pair_parity import PairParity
from evenhand_standard.objective.preference_optimisation import PreferenceOptimisation
from evenhand_standard.objective.retention import Retention
from evenhand_standard.objective.self_distillation import SelfDistillation
from evenhand_standard.objective.smooth_tchebycheff import SmoothTchebycheff
from evenhand_standard.objective.subspace_regulariser import SubspaceRegulariser
from evenhand_standard.objective.unlearning import Unlearning
from evenhand_standard.objective.unlikelihood import Unlikelihood
from evenhand_standard.objective.unwanted_text import UnwantedText

TEXTS = (
    "She said that she was tired.",
    "The weather in the north was cold, and the roads were closed for most of the week.",
    "The nurse told her friend that he would come, and that his brother had left the house already.",
    "Rain fell.",
    "The bread was on the table beside the window of her old kitchen.",
    "The day was long.",
)
"""Of unequal length, and half of them name no group: most micro-batches lack something."""
NONE = [""] * 4


def rows() -> Dataset:
    """The texts, with what the data steps of the techniques would put beside them."""
    return Dataset.from_dict(
        {
            "text": list(TEXTS),
            "evenhand_prompt": [""] * 5 + ["The day"],
            "evenhand_chosen": [""] * 5 + [" was long."],
            "evenhand_rejected": [""] * 5 + [" was long, she said."],
            "evenhand_weight": [0.5] * 6,
            "evenhand_margin": [0.0] * 6,
            "evenhand_format": ["dpo"] * 6,
            "evenhand_stereotype": [*NONE, " She left.", " He left the room early."],
            "evenhand_anti_stereotype": [*NONE, " He left.", " She left the room early."],
            "evenhand_unlikely": [*NONE, " She left.", ""],
            "evenhand_instead": [*NONE, " He left.", ""],
            "evenhand_row_weight": [2.0, 0.5, None, 3.0, 0.2, 0.3],
            "evenhand_unwanted_toxicity": [" and went home at once.", "", "", "", "", ""],
        }
    )


def gradient(
    plugins: list[Any],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    micro: int,
    kind: str = "causal",
    **options: Any,
) -> dict[str, torch.Tensor]:
    """The gradient of one update on all rows, read in micro-batches of so many."""
    model, tokenizer = tiny_causal() if kind == "causal" else tiny_masked()
    found: dict[str, torch.Tensor] = {}
    plain = EvenhandTrainer.training_step

    def looked_at(trainer: Any, model: Any, *given: Any, **named: Any) -> Any:
        loss = plain(trainer, model, *given, **named)
        found.update({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})
        return loss

    torch.manual_seed(1)
    with monkeypatch.context() as patch:
        patch.setattr(EvenhandTrainer, "training_step", looked_at)
        evenhand.train(
            model, tokenizer, rows(), plugins, kind=kind, folder=folder / str(micro), max_steps=1, batch_size=micro,
            gradient_accumulation=len(TEXTS) // micro, precision="float32", learning_rate=1e-3, **options,
        )  # fmt: skip
    return found


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    size = max(float(g.abs().max()) for g in one.values())
    assert size > 0
    for name, g in one.items():
        torch.testing.assert_close(other[name], g, rtol=1e-3, atol=2e-5 * size, msg=lambda m, n=name: f"{n}: {m}")


CAUSAL = {
    "language modelling": ([], {}),
    "pair-parity": ([PairParity()], {}),
    "self-distillation": ([SelfDistillation()], {}),
    "equalising-loss": ([EqualisingLoss()], {}),
    "equalising-loss, joint": ([EqualisingLoss(pieces="joint")], {}),
    "equalising-loss, clusters": ([EqualisingLoss(clusters=(("table",), ("window",)), declustering=1.0)], {}),
    "subspace-regulariser, cosine": ([SubspaceRegulariser(form="cosine")], {}),
    "attention-entropy": ([AttentionEntropy(weight=1.0)], {}),
    "margin-equalisation": ([MarginEqualisation()], {}),
    "preference-optimisation": ([PreferenceOptimisation()], {}),
    "unlearning": ([Unlearning()], {}),
    "unlikelihood": ([Unlikelihood(until_parity=False)], {}),
    "unwanted-text": ([UnwantedText(texts="hateful-tweets")], {}),
    "group-balancing": ([GroupBalancing(apply="weigh")], {}),
    "retention": ([Retention(anchors=("kl",)), PairParity(retention=0.0)], {}),
}


@pytest.mark.parametrize("name", list(CAUSAL))
@pytest.mark.parametrize("micro", [2, 1])
def test_an_update_is_the_mean_over_its_whole_batch(
    name: str, micro: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins, options = CAUSAL[name]
    whole = gradient(plugins, tmp_path, monkeypatch, micro=6, **options)
    same(whole, gradient(plugins, tmp_path, monkeypatch, micro=micro, **options))


def test_a_rule_that_is_not_linear_sees_the_losses_of_the_whole_update(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins = [PairParity(), SmoothTchebycheff()]
    whole = gradient(plugins, tmp_path, monkeypatch, micro=6)
    same(whole, gradient(plugins, tmp_path, monkeypatch, micro=2))


def test_a_rule_over_losses_is_followed_with_micro_batches_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rule of own code that is far from linear, and asks for no value at the start."""
    square = Aggregator(name="squares", combine=lambda losses: torch.stack(list(losses.values())).square().sum())
    whole = gradient([PairParity(), square], tmp_path, monkeypatch, micro=6)
    same(whole, gradient([PairParity(), square], tmp_path, monkeypatch, micro=1))


@pytest.mark.parametrize("plugin", [None, PairParity(), SelfDistillation(), EqualisingLoss()])
def test_a_masked_models_update_is_the_mean_over_its_whole_batch(
    plugin: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins = [] if plugin is None else [plugin]
    whole = gradient(plugins, tmp_path, monkeypatch, micro=6, kind="masked")
    same(whole, gradient(plugins, tmp_path, monkeypatch, micro=2, kind="masked"))
