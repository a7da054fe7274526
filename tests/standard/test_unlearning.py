"""Unlearning: NPO by hand, which side is forgotten, what the data hold, and a training that ends nearer to parity."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from datasets import Dataset

from evenhand.errors import UsageError
from evenhand.training_batch import Reference
from evenhand.training_data import Collator, encode
from evenhand.training_forward import forward
from evenhand_sdk import Batch, Outputs, load_axis
from evenhand_standard.data.preference_sets import banked
from evenhand_standard.objective.continuation_likelihoods import two_others
from evenhand_standard.objective.unlearning import FIRST_PAIRS, MEMORY, Swap, Unlearning, npo
from evenhand_standard.pair_bank import pairs

ROWS = Dataset.from_dict(
    {
        "text": ["The nurse said that", "The plumber said that", "Rain fell on the town."],
        "evenhand_stereotype": [" she was tired.", " he lost his keys.", ""],
        "evenhand_anti_stereotype": [" he was tired.", " she lost her keys.", ""],
    }
)


def batch_of(model: Any, tokenizer: Any, terms: Any, rows: Dataset = ROWS) -> tuple[Batch, Outputs]:
    encoded, bins = encode(
        rows, tokenizer, kind="causal", max_length=48, vocabulary=model.config.vocab_size,
        pairings=[t.needs.counterfactual for t in terms if t.needs.counterfactual],
        columns=("evenhand_stereotype", "evenhand_anti_stereotype"),
    )  # fmt: skip
    batch = Collator(tokenizer=tokenizer, kind="causal", bins=bins, seed=1)(encoded)["batch"]
    return batch, forward(model, batch, [t.needs for t in terms], kind="causal")


def reference_of(model: Any, outputs: Outputs, batch: Batch) -> Reference:
    def ask(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return model(input_ids=ids, attention_mask=mask).logits

    return Reference(logits=lambda: ask(batch.input_ids, batch.attention_mask), model=model)


def slow(model: Any, tokenizer: Any, prompt: str, one: str, two: str) -> tuple[float, float, int, int]:
    """Log-likelihoods in float64 behind the first difference, and the numbers of tokens there."""
    ids = [tokenizer(prompt + x, add_special_tokens=False)["input_ids"] for x in (one, two)]
    start = next(k for k, (x, y) in enumerate(zip(*ids, strict=False)) if x != y)
    found = []
    for row in ids:
        with torch.no_grad():
            logp = model(input_ids=torch.tensor([row])).logits[0].double().log_softmax(-1)
        found.append(sum(float(logp[t - 1, row[t]]) for t in range(start, len(row))))
    return found[0], found[1], len(ids[0]) - start, len(ids[1]) - start


def other_model(model: Any) -> Any:
    found = copy.deepcopy(model)
    torch.manual_seed(2)
    with torch.no_grad():
        for p in found.parameters():
            p.add_(0.05 * torch.randn_like(p))
    return found


@pytest.mark.parametrize("swapped", [False, True])
def test_the_term_is_npo_of_one_side_and_likelihood_of_the_other(swapped: bool, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    untouched = other_model(model)
    term, _ = Unlearning(beta=0.4, forget=0.7, retain=0.2).objective(run_of(model, tokenizer), model)
    term.load_state_dict({"score": 0.1 if swapped else 0.9, "seen": FIRST_PAIRS})
    batch, outputs = batch_of(model, tokenizer, [term])
    outputs.reference = reference_of(untouched, outputs, batch)
    forget = retain = 0.0
    for row in ROWS.select([0, 1]):
        sides = (row["evenhand_stereotype"], row["evenhand_anti_stereotype"])
        f, r = sides[::-1] if swapped else sides
        now, before = slow(model, tokenizer, row["text"], f, r), slow(untouched, tokenizer, row["text"], f, r)
        forget += 2 / 0.4 * math.log(1 + math.exp(0.4 * (now[0] - before[0]))) / 2
        retain += -now[1] / now[3] / 2
    assert term.fn(batch, outputs).item() == pytest.approx(0.7 * forget + 0.2 * retain, rel=1e-4)


def test_npo_near_zero_beta_is_gradient_ascent() -> None:
    """2/b ln(1 + e^(b r)) has the slope 2 sigma(b r): 1 at the start, and less the further it has fallen."""
    ratio = torch.tensor([0.0, -5.0], requires_grad=True)
    npo(ratio, 0.5).backward()
    assert ratio.grad is not None
    assert ratio.grad.tolist() == pytest.approx([0.5 * 1.0, 0.5 * 2 / (1 + math.exp(2.5))], rel=1e-5)
    assert npo(torch.tensor([0.0]), 0.1).item() == pytest.approx(20 * math.log(2), rel=1e-6)


def test_unrelated_is_forward_kl_on_rows_that_are_no_pair(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    untouched = other_model(model)
    terms = Unlearning(strength=0.5).objective(run_of(model, tokenizer), model)
    assert [(t.name, t.weight, t.anchor) for t in terms] == [("unlearning", 0.5, False), ("unrelated", 0.1, True)]
    batch, outputs = batch_of(model, tokenizer, terms)
    outputs.reference = reference_of(untouched, outputs, batch)
    ids = torch.tensor([tokenizer(ROWS[2]["text"], add_special_tokens=False)["input_ids"]])
    with torch.no_grad():
        p0, p = (m(input_ids=ids).logits[0, :-1].double().log_softmax(-1) for m in (untouched, model))
    expected = float((p0.exp() * (p0 - p)).sum(-1).mean())
    assert terms[1].fn(batch, outputs).item() == pytest.approx(expected, rel=1e-4)


# --- the swap ---------------------------------------------------------------------------------------------------------


def test_the_score_is_a_mean_and_then_a_moving_average() -> None:
    state = Swap(tolerance=0.02)
    state.note([True, False, True, True])
    assert (state.score, state.seen, state.direction) == (pytest.approx(0.75), 4, 1)
    state.note([False] * (FIRST_PAIRS - 4))
    assert state.score == pytest.approx(3 / FIRST_PAIRS)
    assert state.direction == -1, "after the first phase the score decides"
    state.note([True])
    assert state.score == pytest.approx(3 / FIRST_PAIRS * MEMORY + (1 - MEMORY))


@pytest.mark.parametrize(
    ("score", "direction"), [(0.9, 1), (0.521, 1), (0.519, 0), (0.5, 0), (0.481, 0), (0.479, -1), (0.0, -1)]
)
def test_which_side_is_forgotten(score: float, direction: int) -> None:
    assert Swap(tolerance=0.02, score=score, seen=FIRST_PAIRS).direction == direction
    assert Swap(tolerance=0.02, score=score, seen=FIRST_PAIRS - 1).direction == 1


def test_within_the_tolerance_nothing_is_forgotten(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    term, _ = Unlearning(tolerance=0.1).objective(run_of(model, tokenizer), model)
    term.load_state_dict({"score": 0.5, "seen": 1000})
    batch, outputs = batch_of(model, tokenizer, [term])
    outputs.reference = reference_of(model, outputs, batch)
    assert term.fn(batch, outputs).item() == 0.0
    assert term.state_dict()["seen"] == 1002


# --- data and training ------------------------------------------------------------------------------------------------


def test_the_data_have_the_beginnings_alone_and_never_the_held_out_side(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    transform = Unlearning(limit=40).data(run_of(model, tokenizer), "train", model)
    rows = transform.fn(Dataset.from_dict({"text": ["Rain fell on the town."] * 3}))
    account = transform.account()
    assert (len(rows), account.added, transform.facts["pairs"]) == (43, 40, 40)
    labelled = {item.female_text: item.stereotype for item in pairs(load_axis("gender"), "train")}
    labelled |= {item.male_text: item.stereotype for item in pairs(load_axis("gender"), "train")}
    axis = load_axis("gender")
    pronoun = {"female": {"she", "her", "herself"}, "male": {"he", "his", "him", "himself"}}
    for row in rows.select(range(3, 43)):
        s, a = row["text"] + row["evenhand_stereotype"], row["text"] + row["evenhand_anti_stereotype"]
        assert labelled[s] == labelled[a] == row["evenhand_group"] != "none"
        other = "male" if row["evenhand_group"] == "female" else "female"
        assert not set(s.lower().replace(".", "").split()) & pronoun[other]
        assert not set(a.lower().replace(".", "").split()) & pronoun[row["evenhand_group"]]
    held = {item.female_text for item in pairs(axis, "heldout")} | {i.female_text for i in pairs(axis, "validation")}
    assert not {row["text"] + row["evenhand_stereotype"] for row in rows} & held
    assert len(banked(axis, 0)) > 1000


def test_an_axis_without_labels_is_refused(belief: str) -> None:
    with pytest.raises(UsageError, match="the pair bank says of no pair of the axis"):
        Unlearning(axis=belief)


def test_strength_0_contributes_nothing(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    plugin = Unlearning(strength=0.0)
    assert plugin.objective(run_of(model, tokenizer), model) == []
    rows = Dataset.from_dict({"text": ["Rain fell."]})
    assert plugin.data(run_of(model, tokenizer), "train", model).fn(rows) is rows


def test_a_training_moves_a_planted_stereotype_towards_parity(tiny: Any, run_of: Any) -> None:
    """A model that was taught the stereotypical sides; the margin between the sides shrinks, more than without."""
    model, tokenizer = tiny()
    taught = [row["text"] + row["evenhand_stereotype"] for row in ROWS.select([0, 1])] * 8
    model, _ = run_of(model, tokenizer, max_steps=40, learning_rate=3e-3).services.train(
        Dataset.from_dict({"text": taught})
    )
    run = run_of(model, tokenizer, max_steps=25, learning_rate=1e-3)
    terms = Unlearning().objective(run, model)
    data = Dataset.from_dict({name: values * 6 for name, values in ROWS.to_dict().items()})
    trained, result = run.services.train(data, terms, name="with")
    control, _ = run.services.train(data, [], name="without")
    margins = {}
    for name, one in (("before", model), ("with", trained), ("without", control)):
        with torch.no_grad():
            texts = two_others(*batch_of(one, tokenizer, terms[:1]), "unlearning")
            assert texts is not None
            found = texts.likelihoods()
        margins[name] = float((found.own - found.other).mean())
    assert margins["before"] > 0.5
    assert abs(margins["with"]) < 0.6 * margins["without"]
    assert result.terms["unlearning"]["gradient_norm"] > 0


def test_a_pair_that_is_cut_before_its_difference_is_left_out(tiny: Any, run_of: Any) -> None:
    """Of two pairs one begins with more tokens than are read; the term is that of the other alone."""
    model, tokenizer = tiny()
    term, _ = Unlearning().objective(run_of(model, tokenizer), model)
    short = ROWS.select([0])
    long = Dataset.from_dict({**short.to_dict(), "text": ["The nurse said that " + "rain fell on the town and " * 20]})
    both = Dataset.from_dict({key: short[key][:] + long[key][:] for key in short.column_names})
    values = []
    for rows in (short, both, long):
        batch, outputs = batch_of(model, tokenizer, [term], rows)
        outputs.reference = reference_of(other_model(model), outputs, batch)
        term.load_state_dict({"score": 0.0, "seen": 0})
        values.append(term.fn(batch, outputs).item())
        assert term.state_dict()["seen"] == (0 if rows is long else 1)
    assert values[1] == pytest.approx(values[0], rel=1e-4) and values[2] == 0.0
