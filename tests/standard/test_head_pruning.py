"""Head pruning: which heads go, scores against models with zeroed columns, folding on every family, what is refused."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from family_models import TYPES, family_model, tokens

from evenhand_sdk import UsageError, load_axis
from evenhand_standard.architecture.head_gates import LiveGates, shut
from evenhand_standard.architecture.head_pruning import (
    HeadPruning,
    Score,
    affordable,
    chosen,
    estimated,
    lowering,
    measured,
    pruned,
    unprotected,
)
from evenhand_standard.architecture.layer_parts import layers_of
from evenhand_standard.architecture.pair_probe import PairProbe
from evenhand_standard.architecture.quality_bound import QualityBound
from evenhand_standard.architecture.text_probe import TextProbe


def outputs(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=tokens()).logits


@pytest.mark.parametrize("model_type", TYPES)
@pytest.mark.parametrize("strength", [1.0, 0.3])
def test_folded_is_live_and_revert_restores_the_bits(model_type: str, strength: float) -> None:
    model = family_model(model_type)
    before = outputs(model)
    kept = torch.ones(3, 4)
    kept[0, 1] = kept[2, 3] = kept[2, 0] = 0
    live = LiveGates("step")
    live.put(model, shut(kept, strength))
    gated = outputs(model)
    live.take(model)
    assert torch.equal(outputs(model), before)
    live.put(model, shut(kept, strength))
    assert live.fold(model)
    folded = outputs(model)
    assert float((gated - before).abs().max()) > 1e-3
    assert float((folded - gated).abs().max()) < 1e-4
    assert not any(module._forward_pre_hooks for module in model.modules())
    for layer in layers_of(model):
        for head in range(4):
            gone = not layer.output.weight()[:, layer.head_columns(head)].any()
            assert gone == (strength == 1.0 and kept[layer.number, head] == 0)


def test_a_shut_head_is_a_model_whose_attention_output_is_zero_there() -> None:
    """Against an independent computation: what the projection would add is subtracted by hand."""
    model = family_model("llama")
    layer = layers_of(model)[1]
    seen: list[torch.Tensor] = []
    attention = model.model.layers[1].self_attn
    handle = attention.o_proj.register_forward_pre_hook(lambda m, args: seen.append(args[0].clone()))
    plain: list[torch.Tensor] = []
    second = attention.register_forward_hook(lambda m, args, out: plain.append(out[0].clone()))
    outputs(model)
    handle.remove()
    kept = torch.ones(3, 4)
    kept[1, 2] = 0
    live = LiveGates("step")
    live.put(model, shut(kept, 1.0))
    outputs(model)
    second.remove()
    columns = layer.head_columns(2)
    share = seen[0][..., columns] @ attention.o_proj.weight[:, columns].T
    assert torch.allclose(plain[1], plain[0] - share, atol=1e-5)


def test_the_heads_that_go_by_hand() -> None:
    table = [(0, 0, -5.0, 9.0), (0, 1, -4.0, 0.1), (0, 2, -3.0, 0.2), (0, 3, 1.0, 0.0), (1, 0, -1.0, -0.5)]
    scores = [Score(*row, True) for row in table]
    names = [(s.layer, s.head) for s in pruned(scores, 0.4, 0.2)]
    assert names == [(0, 1), (0, 2)], "(0, 0) is protected, since the loss rises most without it"
    assert [(s.layer, s.head) for s in pruned(scores, 0.9, 0.0)] == [(0, 0), (0, 1), (0, 2), (1, 0)], "none that raises"
    assert [(s.layer, s.head) for s in pruned(scores, 0.01, 0.0)] == [(0, 0)], "at least one"


def test_the_share_that_the_language_needs_most_stays() -> None:
    scores = [Score(0, h, -1.0, loss, True) for h, loss in enumerate((0.3, 0.9, 0.1, 0.5, 0.7))]
    assert [s.head for s in unprotected(scores, 0.4)] == [3, 0, 2]
    assert len(unprotected(scores, 0.0)) == 5 and not unprotected(scores, 1.0)


class Tabled:
    """A probe and a bound that know gap and quality of each set of heads that are gone, read off the live gates."""

    least = 0.98

    def __init__(self, live: LiveGates, table: dict[tuple[int, ...], tuple[float, float]]) -> None:
        self.live, self.table, self.asked = live, table, []

    def _read(self, place: int) -> float:
        gates = getattr(self.live, "seen", torch.ones(2, 2))
        gone = tuple(int(k) for k in (gates.flatten() == 0).nonzero())
        self.asked.append(gone)
        return self.table[gone][place]

    def gap(self, model: Any) -> float:
        return self._read(0)

    def losses(self, model: Any) -> float:
        return self._read(1)

    def quality(self, losses: float) -> float:
        return losses


class Watched(LiveGates):
    def put(self, model: Any, gates: Any) -> None:
        self.seen = gates

    def take(self, model: Any) -> None:
        self.seen = torch.ones(2, 2)


def test_heads_go_one_behind_the_other_within_the_bound_by_hand() -> None:
    """0 goes; 1 would leave 0.97 of the quality; 2 lowers the gap alone, but not where 0 has gone; 3 goes."""
    live = Watched("step")
    table = {(): (1.0, 1.0), (0,): (0.8, 0.99), (0, 1): (0.6, 0.97), (0, 2): (0.85, 0.995), (0, 3): (0.7, 0.98)}
    tabled = Tabled(live, table)
    ready = [Score(k // 2, k % 2, -0.2, 0.0, True) for k in range(4)]
    gone, tried = affordable(None, tabled, tabled, live, (2, 2), ready, 3)  # type: ignore[arg-type]
    assert gone == [ready[0], ready[3]]
    assert [(t["head"], t["gap"], t["quality"], t["gone"]) for t in tried] == [
        ([0, 0], 0.8, 0.99, True),
        ([0, 1], 0.6, 0.97, False),
        ([1, 0], 0.85, None, False),
        ([1, 1], 0.7, 0.98, True),
    ]
    assert affordable(None, tabled, tabled, live, (2, 2), ready, 1)[0] == [ready[0]]  # type: ignore[arg-type]


def test_the_bound_is_the_recipes_unless_it_has_its_own(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    run = run_of(model, tokenizer)
    options = {"share": 0.5, "protect": 0.0, "pairs": 4, "texts": 4, "samples": 2, "scores": "exact"}

    def fitted(budget: float, **more: Any) -> Any:
        return HeadPruning(**options, **more).architecture(replace(run, budget=budget), model).fit(model)

    free = fitted(1.02, quality="any")
    assert (
        "tried" not in free.meta
        and free.meta["pruned"]
        == [list(s[:2]) for s in sorted(free.meta["scores"], key=lambda s: s[2]) if s[2] < 0][
            : len(free.meta["pruned"])
        ]
    )
    assert fitted(1.5).meta["quality"] == pytest.approx(1 / 1.5)
    assert fitted(1.5, quality=0.9).meta["quality"] == 0.9
    strict = fitted(1.0)
    assert strict.meta["quality"] == 1.0
    assert all(t["quality"] >= 1.0 for t in strict.meta["tried"] if t["gone"])


def test_a_search_that_takes_no_head_says_why(monkeypatch: Any, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    options = {"share": 0.5, "protect": 0.0, "pairs": 4, "texts": 4, "samples": 2, "scores": "exact"}

    def fitted(**more: Any) -> Any:
        return HeadPruning(**options, **more).architecture(run_of(model, tokenizer), model).fit(model)

    some = fitted(quality="any")
    assert some.meta["pruned"] and "idle" not in some.meta
    at = "evenhand_standard.architecture.head_pruning"
    monkeypatch.setattr(f"{at}.affordable", lambda *args: ([], [{"quality": 0.5}, {"quality": None}]))
    assert fitted(quality=0.98).meta["idle"] == (
        "1 of 2 tried made the groups more alike, and none of these leaves 0.980 of the quality: the best leaves 0.500"
    )
    monkeypatch.setattr(f"{at}.lowering", lambda scores: [])
    assert fitted(quality="any").meta["idle"] == "no head that may go makes the groups more alike"


def test_the_quality_that_is_left_is_the_worse_of_sentences_and_longer_texts(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    bound = QualityBound.of(run_of(model, tokenizer), model, 40, 3, None)
    assert len(bound.alone.texts) == 40 and len(bound.long.texts) == 3
    assert all(map(torch.equal, bound.losses(model), bound.before)) and bound.least == 1 / 1.02
    alone, long = bound.before
    words, lines = (torch.tensor([len(w) for w in p.wanted]).double() for p in (bound.alone, bound.long))
    assert bound.quality((alone + 0.1 * words, long + 0.3 * lines)) == pytest.approx(math.exp(-0.3))
    assert bound.quality((alone + 0.2 * words, long - 0.3 * lines)) == pytest.approx(math.exp(-0.2))


def test_quality_is_taken_at_its_cautious_end_by_hand() -> None:
    """Two texts of 3 and 1 tokens lose 0.6 and 0.6 nat: 0.3 a token. The first differs from that by -0.3, the second by
    +0.3: SE = sqrt(2 (0.09 + 0.09)) / 4 = 0.15."""
    probe = SimpleNamespace(wanted=((1, 1, 1), (1,)))
    bound = QualityBound(probe, probe, (torch.zeros(2).double(),) * 2, 0.5)  # type: ignore[arg-type]
    lost = torch.tensor([0.6, 0.6]).double()
    assert bound.quality((lost, torch.zeros(2).double())) == pytest.approx(math.exp(-(0.3 + 1.645 * 0.15)), rel=1e-6)
    assert bound.quality((torch.zeros(2).double(), torch.zeros(2).double())) == 1.0


def test_losses_of_texts_are_parts_of_the_mean_whatever_a_pass_holds(
    tiny: Any, run_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tokenizer = tiny()
    model.double()
    run = run_of(model, tokenizer)
    probe, texts = PairProbe.of(run, model, load_axis("gender"), 4), TextProbe.of(run, model, 40, together=20)
    whole = texts.text_losses(model)
    assert float(whole.sum()) / sum(map(len, texts.wanted)) == pytest.approx(texts.loss(model))
    gap = probe.gap(model)
    monkeypatch.setattr("evenhand_standard.architecture.asked_rows.TOKENS_AT_ONCE", 1)
    assert torch.allclose(texts.text_losses(model), whole) and probe.gap(model) == pytest.approx(gap)


def test_all_that_lower_the_gap_go_where_there_is_room() -> None:
    scores = [Score(0, 1, -0.1, 0.0, True), Score(0, 0, -0.2, 0.0, True), Score(1, 0, 0.1, 0.0, True)]
    assert [(s.layer, s.head) for s in lowering(scores)] == [(0, 0), (0, 1)]


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_scores_are_those_of_models_with_zeroed_columns(kind: str, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny(kind)
    model.double()
    run = run_of(model, tokenizer, kind)
    probe, texts = PairProbe.of(run, model, load_axis("gender"), 6), TextProbe.of(run, model, 6)
    depth, heads = len(layers_of(model)), layers_of(model)[0].heads
    gap, loss = probe.gap(model), texts.loss(model)
    every = [(k, h) for k in range(depth) for h in range(heads)]
    for score in measured(model, probe, texts, LiveGates("step"), depth, heads, every):
        cut = copy.deepcopy(model)
        output = layers_of(cut)[score.layer].output
        weight = output.weight().clone()
        weight[:, layers_of(cut)[score.layer].head_columns(score.head)] = 0
        output.write(weight)
        assert score.gap == pytest.approx(probe.gap(cut) - gap, abs=1e-9)
        assert score.loss == pytest.approx(texts.loss(cut) - loss, abs=1e-9)

    def beside(score: Score, gate: float) -> tuple[float, float]:
        gates = torch.ones(depth, heads, dtype=torch.float64)
        gates[score.layer, score.head] = gate
        live = LiveGates("step")
        live.put(model, gates)
        values = probe.gap(model), texts.loss(model)
        live.take(model)
        return values

    step = 0.02
    for score in estimated(model, probe, texts, LiveGates("step"), depth, heads):
        less, more = beside(score, 1 - step), beside(score, 1 + step)
        slope = tuple((a - b) / (2 * step) for a, b in zip(less, more, strict=True))
        assert (score.gap, score.loss) == pytest.approx(slope, rel=0.03, abs=2e-5)


def test_it_lowers_the_gap_it_was_chosen_by(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    run = run_of(model, tokenizer)
    before = outputs_of(model, tokenizer)
    plugin = HeadPruning(share=0.25, protect=0.0, pairs=8, texts=4, samples=2, scores="exact", quality=0.01)
    transform = plugin.architecture(run, model)
    artifact = transform.fit(model)
    assert torch.equal(outputs_of(model, tokenizer), before), "the search leaves the model as it was"
    probe = PairProbe.of(run, model, load_axis("gender"), 8)
    unpruned = probe.gap(model)
    transform.apply(model, artifact)
    assert probe.gap(model) < unpruned
    assert artifact.meta["pruned"] and int((artifact.tensors["kept"] == 0).sum()) == len(artifact.meta["pruned"])
    quick = chosen(run, tiny()[0], plugin.options.model_copy(update={"scores": "gradient"}), LiveGates("step"))
    assert len(quick.meta["scores"]) <= 3 * 2 and quick.meta["pruned"]


def outputs_of(model: Any, tokenizer: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(**tokenizer("The nurse said that she was good", return_tensors="pt")).logits


def test_strength_0_and_what_is_refused(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    before = outputs_of(model, tokenizer)
    transform = HeadPruning(strength=0.0).architecture(run_of(model, tokenizer), model)
    transform.apply(model, transform.fit(model))
    assert transform.fold(model) and torch.equal(outputs_of(model, tokenizer), before)
    with pytest.raises(UsageError, match=r"share 0\.7 and protect 0\.4 are more than all heads together"):
        HeadPruning(share=0.7, protect=0.4)
    with pytest.raises(UsageError, match="gates are for 7 layers of 2 heads"):
        LiveGates("step").put(model, torch.zeros(7, 2))
