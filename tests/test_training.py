"""The training loop: what moves, what is added up, what stops it, and that an interruption changes nothing."""

from __future__ import annotations

import contextlib
import copy
import json
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset

from evenhand import training_data
from evenhand.contributions import Aggregator, LossTerm, Needs, Pairing
from evenhand.errors import NoEffect, OutOfMemory, TrainingDiverged, UsageError
from evenhand.positions import most_tokens
from evenhand.recipe_model import TrainingSection
from evenhand.reference import MOST, ReferenceModel
from evenhand.training import train
from evenhand.training_checkpoints import last_checkpoint
from evenhand.training_data import Collator, EncodedRow, encode, rows_that_are_read
from evenhand.training_forward import forward, forward_masked_only
from evenhand.training_rows import in_updates, read_again
from evenhand_sdk.tiny import tiny_causal, tiny_masked

TEXTS = [
    "The nurse said that she would come back to the house later.",
    "The engineer said he was tired of the work at home.",
    "Rain fell on the town all morning long.",
    "The teacher read a book to the children.",
]
SWAP = {"she": "he", "he": "she"}


def swap(text: str) -> list[str]:
    words = text.split()
    return [" ".join(SWAP.get(w, w) for w in words)] if set(words) & set(SWAP) else []


PAIRING = Pairing(key="gender", pair=swap, bins=[("she", "he")])


def run(model: Any, tokenizer: Any, folder: Path, terms: Any = (), **options: Any) -> Any:
    kind = options.pop("kind", "causal")
    extra = {k: options.pop(k) for k in ("trainable", "reference", "resume") if k in options}
    settings = TrainingSection(**{"max_steps": 6, "batch_size": 4, "learning_rate": 1e-3, "save_every": 2, **options})
    rows = Dataset.from_dict({"text": TEXTS * 4, "weight": list(range(16))})
    return train(model, tokenizer, rows, terms, kind=kind, settings=settings, folder=folder, seed=3, **extra)


def state(model: Any) -> dict[str, torch.Tensor]:
    return {n: p.detach().clone() for n, p in model.named_parameters()}


@pytest.mark.parametrize("make, kind", [(tiny_causal, "causal"), (tiny_masked, "masked")])
def test_language_modelling_alone_learns(make: Any, kind: str, tmp_path: Path) -> None:
    model, tokenizer = make()
    result = run(model, tokenizer, tmp_path, kind=kind, max_steps=20)
    facts = result.terms["language modelling"]
    assert facts["last"] < facts["first"] - 0.5
    assert (result.steps, result.trainable) == (20, result.total)


@pytest.mark.parametrize("counterfactuals", [False, True])
def test_a_dose_in_tokens_is_read_in_whole_updates(tmp_path: Path, counterfactuals: bool) -> None:
    """16 rows an update are all rows, so that an update reads exactly their tokens, and those of their partners."""
    model, tokenizer = tiny_causal()
    read = [t for text in TEXTS * 4 for t in [text, *(swap(text) if counterfactuals else [])]]
    whole = sum(len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in read)
    terms = []
    if counterfactuals:
        nothing = lambda batch, outputs: outputs.logits.sum() * 0  # noqa: E731
        terms = [LossTerm(name="pairs", fn=nothing, needs=Needs(counterfactual=PAIRING))]
    dosed = {"batch_size": 16, "max_steps": 99, "save_every": 99}
    result = run(model, tokenizer, tmp_path / "a", terms, max_tokens=3 * whole, **dosed)
    assert (result.steps, result.tokens) == (3, 3 * whole)
    result = run(model, tokenizer, tmp_path / "b", terms, max_tokens=round(2.4 * whole), **dosed)
    assert (result.steps, result.tokens) == (2, 2 * whole)
    assert run(model, tokenizer, tmp_path / "c", terms, max_tokens=1, **dosed).steps == 1


def test_a_dose_in_tokens_is_what_all_processes_read_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """400 rows of 10 tokens: an update of 4 rows in each of P processes reads 40 P tokens."""
    rows = [EncodedRow(number, tuple(range(10))) for number in range(400)]
    settings = TrainingSection(max_tokens=2000, batch_size=4)
    steps = {}
    for processes in (1, 2, 5):
        monkeypatch.setenv("WORLD_SIZE", str(processes))
        steps[processes] = in_updates(settings, rows).max_steps
    assert steps == {1: 50, 2: 25, 5: 10}
    assert not read_again(TrainingSection(max_steps=20, batch_size=4), rows), "5 processes read each row once"
    assert read_again(TrainingSection(max_steps=21, batch_size=4), rows)


def test_of_many_rows_those_are_prepared_that_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokenizer = tiny_causal()
    rows = Dataset.from_dict({"text": [f"{TEXTS[k % 4]} {k}" for k in range(5000)]})
    steps = TrainingSection(max_steps=6, batch_size=4, gradient_accumulation=2)
    assert rows_that_are_read(rows, steps, tokenizer, 3) is rows  # of few rows all are
    monkeypatch.setattr(training_data, "LARGE", 4999)
    drawn = rows_that_are_read(rows, steps, tokenizer, 3)
    assert len(drawn) == 60  # 6 updates of 8 rows, and a quarter more
    numbers = [int(text.rsplit(" ", 1)[1]) for text in drawn["text"]]
    assert numbers == sorted(set(numbers)) and numbers[-1] > 4000 and numbers[0] < 1000
    assert rows_that_are_read(rows, steps, tokenizer, 3)["text"][:] == drawn["text"][:]
    assert rows_that_are_read(rows, steps, tokenizer, 4)["text"][:] != drawn["text"][:]
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert len(rows_that_are_read(rows, steps, tokenizer, 3)) == 180  # each process reads rows of its own
    monkeypatch.delenv("WORLD_SIZE")
    long = TrainingSection(max_steps=500, batch_size=8)
    assert rows_that_are_read(rows, long, tokenizer, 3) is rows  # 4000 rows and a quarter are all
    mean = sum(len(ids) for ids in tokenizer(rows["text"][:])["input_ids"]) / 5000
    dosed = rows_that_are_read(rows, TrainingSection(max_tokens=2000), tokenizer, 3)
    assert len(dosed) == pytest.approx(1.25 * 2000 / mean, rel=0.02)
    events: list[str] = []
    settings = TrainingSection(max_steps=1, batch_size=4, learning_rate=1e-3)
    result = train(
        model, tokenizer, rows, (), kind="causal", settings=settings, folder=tmp_path, seed=3, on_event=events.append
    )
    assert result.steps == 1
    assert result.events == events == ["of 5,000 rows 5 were drawn, which is more than the training reads"]


def test_in_each_pass_other_pieces_of_a_row_are_masked_and_a_resumed_pass_has_the_same_ones(tmp_path: Path) -> None:
    """One row, one batch a pass: what was asked for in each of six passes, and again after an interruption."""
    model, tokenizer = tiny_masked()
    rows = Dataset.from_dict({"text": [TEXTS[0]]})
    settings = TrainingSection(max_steps=6, batch_size=1, save_every=2, learning_rate=1e-3)

    def passes(folder: Path, resume: bool) -> list[list[int]]:
        asked: list[list[int]] = []

        def note(batch: Any, outputs: Any) -> torch.Tensor:
            asked.append((batch.labels[0] != -100).nonzero().flatten().tolist())
            return outputs.logits.sum() * 0

        terms = [LossTerm(name="note", fn=note)]
        train(model, tokenizer, rows, terms, kind="masked", settings=settings, folder=folder, seed=3, resume=resume)
        return asked

    whole = passes(tmp_path, resume=False)
    assert len(whole) == 6 and len({tuple(places) for places in whole}) > 2
    collator = Collator(tokenizer=tokenizer, kind="masked", bins={}, seed=3)
    encoded, _ = encode(rows, tokenizer, kind="masked", max_length=96, vocabulary=1000)
    for epoch, places in enumerate(whole):
        collator.epoch = epoch
        assert (collator(encoded)["labels"][0] != -100).nonzero().flatten().tolist() == places
    shutil.rmtree(tmp_path / "checkpoint-6")
    assert passes(tmp_path, resume=True) == whole[4:]


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_alone_a_masked_loss_reads_logits_at_the_labels_only_and_is_the_same(family: str, tmp_path: Path) -> None:
    model, tokenizer = tiny_masked(family)
    rows, _ = encode(Dataset.from_dict({"text": TEXTS}), tokenizer, kind="masked", max_length=64, vocabulary=1000)
    batch = Collator(tokenizer=tokenizer, kind="masked", bins={}, seed=1)(rows)["batch"]
    whole = forward(model, batch, [], kind="masked")
    few = forward_masked_only(model, batch)
    kept = batch.labels != -100
    assert few.logits.shape == (int(kept.sum()), whole.logits.shape[-1])
    torch.testing.assert_close(few.logits, whole.logits[kept], rtol=0, atol=1e-5)
    assert float(few.loss.detach()) == pytest.approx(float(whole.loss.detach()), abs=1e-6)
    few.loss.backward()
    gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    whole.loss.backward()
    moved = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    assert gradients.keys() == moved.keys() and len(moved) > 10
    for name, gradient in moved.items():
        torch.testing.assert_close(gradients[name], gradient, rtol=1e-4, atol=1e-6)
    assert not model.get_output_embeddings()._forward_pre_hooks, "nothing is left on the model"


def test_a_masked_model_without_one_output_layer_is_run_as_it_is() -> None:
    """Its output layer sees [B * T, H], so its rows cannot be told apart."""
    model, tokenizer = tiny_masked()
    calls: list[Any] = []
    model.cls.predictions.transform.register_forward_hook(lambda _, args, out: out.flatten(0, 1))
    model.cls.register_forward_hook(lambda _, args, out: calls.append(out.shape) or out.view(*args[0].shape[:2], -1))
    rows, _ = encode(Dataset.from_dict({"text": TEXTS}), tokenizer, kind="masked", max_length=64, vocabulary=1000)
    batch = Collator(tokenizer=tokenizer, kind="masked", bins={}, seed=1)(rows)["batch"]
    found = forward_masked_only(model, batch)
    assert calls[0][0] == batch.input_ids.numel()
    assert found.logits.shape[:2] == batch.input_ids.shape
    assert bool(torch.isfinite(found.loss))


def test_only_the_named_parameters_move(tmp_path: Path) -> None:
    model, tokenizer = tiny_causal()
    before = state(model)
    chosen = [n for n in before if "norm" in n]
    run(model, tokenizer, tmp_path, trainable=chosen)
    moved = {n for n, p in state(model).items() if not torch.equal(p, before[n])}
    assert moved and moved <= set(chosen)
    assert all(p.requires_grad for p in model.parameters()), "the flags are put back"


def test_an_unknown_parameter_is_refused(tmp_path: Path) -> None:
    model, tokenizer = tiny_causal()
    with pytest.raises(UsageError, match="no parameter is called 'layers.99'"):
        run(model, tokenizer, tmp_path, trainable=["layers.99"])


def test_terms_are_weighted_and_logged_by_name(tmp_path: Path) -> None:
    """A term that is constant 2 with weight 3 leaves the update alone and is reported raw."""
    model, tokenizer = tiny_causal()
    other = copy.deepcopy(model)
    run(other, tokenizer, tmp_path / "a")
    constant = LossTerm(name="constant", fn=lambda batch, outputs: outputs.logits.new_tensor(2.0), weight=3.0)
    result = run(model, tokenizer, tmp_path / "b", [constant])
    assert result.terms["constant"] == {"weight": 3.0, "first": 2.0, "last": 2.0, "gradient_norm": 0.0}
    assert result.terms["language modelling"]["gradient_norm"] is None, "it is not measured, which is not zero"
    for name, p in state(other).items():
        torch.testing.assert_close(state(model)[name], p, rtol=0, atol=1e-6)


def test_normalised_terms_start_at_one(tmp_path: Path) -> None:
    seen = []

    def big(batch: Any, outputs: Any) -> torch.Tensor:
        return 1000 * outputs.logits.float().pow(2).mean()

    def combine(losses: dict[str, torch.Tensor]) -> torch.Tensor:
        seen.append(float(losses["big"].detach()))
        return torch.stack(list(losses.values())).sum()

    model, tokenizer = tiny_causal()
    terms = [LossTerm(name="big", fn=big, normalise=True), Aggregator(name="watch", combine=combine)]
    run(model, tokenizer, tmp_path, terms)
    assert seen[0] == pytest.approx(1.0)


@pytest.mark.parametrize("normalise", [True, ("language modelling", "big")])
def test_a_recipe_can_normalise_any_term(normalise: Any, tmp_path: Path) -> None:
    """Sum of w L / L(0): weights 1 and 0.5 begin there, whatever the units of the losses; an anchor is left alone."""
    seen: list[dict[str, float]] = []

    def big(batch: Any, outputs: Any) -> torch.Tensor:
        size = 0.0 if not seen else 1000.0  # nothing to compare in the first micro-batch
        return size * outputs.logits.float().pow(2).mean()

    def anchor(batch: Any, outputs: Any) -> torch.Tensor:
        return outputs.logits.float().pow(2).mean()

    def combine(losses: dict[str, torch.Tensor]) -> torch.Tensor:
        seen.append({name: float(value.detach()) for name, value in losses.items()})
        return torch.stack(list(losses.values())).sum()

    model, tokenizer = tiny_causal()
    terms = [
        LossTerm(name="big", fn=big, weight=0.5),
        LossTerm(name="still", fn=anchor, anchor=True),
        Aggregator(name="watch", combine=combine),
    ]
    result = run(model, tokenizer, tmp_path, terms, normalise=normalise)
    assert seen[0]["language modelling"] == pytest.approx(1.0) and seen[0]["big"] == 0.0
    assert seen[1]["big"] == pytest.approx(0.5), "the first value that is one"
    assert seen[0]["still"] == pytest.approx(result.terms["still"]["first"]) != 1.0
    assert 0 < result.terms["big"]["share"] < 1


@pytest.mark.parametrize("name, what", [("huge", "no loss term is called 'huge'"), ("still", "'still' is an anchor")])
def test_what_cannot_be_normalised_is_told_by_name(name: str, what: str, tmp_path: Path) -> None:
    model, tokenizer = tiny_causal()
    term = LossTerm(name="still", fn=lambda batch, outputs: outputs.loss, anchor=True)
    with pytest.raises(UsageError, match=what) as raised:
        run(model, tokenizer, tmp_path, [term], normalise=(name,))
    assert raised.value.where == "training.normalise"


def test_both_texts_of_a_pair_read_the_same_where_a_masked_model_is_compared() -> None:
    """BERT's 10 % of drawn pieces and 10 % of kept ones included: a seen word is compared with no mask."""
    model, tokenizer = tiny_masked()
    size = model.get_input_embeddings().num_embeddings
    data = Dataset.from_dict({"text": TEXTS[:2]})
    rows, bins = encode(data, tokenizer, kind="masked", max_length=64, vocabulary=size, pairings=[PAIRING])
    kinds = set()
    for epoch in range(40):
        collator = Collator(tokenizer=tokenizer, kind="masked", bins=bins, seed=5, epoch=epoch)
        batch = collator(rows)["batch"]
        pairs = batch.pairs["gender"]
        for pair, here, there in pairs.positions.tolist():
            row = int(pairs.rows[pair])
            read = int(batch.input_ids[row, here])
            assert read == int(pairs.input_ids[pair, there])
            own = rows[row].ids[here]
            kinds.add("mask" if read == tokenizer.mask_token_id else "kept" if read == own else "drawn")
    assert kinds == {"mask", "kept", "drawn"}


def test_a_group_word_that_is_hidden_in_a_row_stands_in_its_counterfactual() -> None:
    """Only at the compared places is a counterfactual of a masked model another than it would be alone."""
    model, tokenizer = tiny_masked()
    size = model.get_input_embeddings().num_embeddings
    data = Dataset.from_dict({"text": TEXTS[:2]})
    rows, bins = encode(data, tokenizer, kind="masked", max_length=64, vocabulary=size, pairings=[PAIRING])
    alone = [tokenizer(swap(text)[0])["input_ids"] for text in TEXTS[:2]]
    group = {tokenizer(f" {word}", add_special_tokens=False)["input_ids"][-1] for word in SWAP}
    hidden = 0
    for epoch in range(40):
        batch = Collator(tokenizer=tokenizer, kind="masked", bins=bins, seed=5, epoch=epoch)(rows)["batch"]
        pairs = batch.pairs["gender"]
        for p, b in enumerate(pairs.rows.tolist()):
            compared = {j for pair, _, j in pairs.positions.tolist() if pair == p}
            for j, token in enumerate(alone[b]):
                assert j in compared or int(pairs.input_ids[p, j]) == token
            hidden += sum(
                token in group and int(batch.input_ids[b, i]) == tokenizer.mask_token_id
                for i, token in enumerate(rows[b].ids)
            )
    assert hidden > 3


@pytest.mark.parametrize("make, kind", [(tiny_causal, "causal"), (tiny_masked, "masked")])
def test_a_row_with_nothing_to_predict_is_left_out(make: Any, kind: Any, tmp_path: Path) -> None:
    """A masked model reads [CLS] and [SEP] around an empty text: two tokens, of which none can be asked for."""
    model, tokenizer = make()
    texts = ["", TEXTS[0], "[MASK][UNK]" if kind == "masked" else "e", "man", *[""] * 8, TEXTS[1]]
    rows, _ = encode(Dataset.from_dict({"text": texts}), tokenizer, kind=kind, max_length=64, vocabulary=1000)
    assert [row.number for row in rows] == [1, 3, 12]
    batch = Collator(tokenizer=tokenizer, kind=kind, bins={}, seed=1)(rows)["batch"]
    assert (batch.labels != -100).any(-1).all()
    settings = TrainingSection(max_steps=8, batch_size=2, learning_rate=1e-3, precision="float32")
    data = Dataset.from_dict({"text": texts})
    result = train(model, tokenizer, data, (), kind=kind, settings=settings, folder=tmp_path, seed=3)
    assert result.steps == 8 and 0 < result.terms["language modelling"]["last"] < 20
    needed = "two tokens or more" if kind == "causal" else "a piece that can be masked"
    assert result.events == [f"10 of 13 rows are left out, without {needed}"]
    assert (result.text["rows"], result.text["empty"], result.text["cut"]) == (13, 10, 0)


@pytest.mark.parametrize("make, kind, special", [(tiny_causal, "causal", 0), (tiny_masked, "masked", 2)])
def test_what_is_cut_off_rows_is_counted_and_told_where_it_matters(
    make: Any, kind: Any, special: int, tmp_path: Path
) -> None:
    """Three rows of n tokens of text, read to n, and one of three times as many, which loses two thirds of them."""
    model, tokenizer = make()
    text = TEXTS[0]
    n = len(tokenizer(text, add_special_tokens=False)["input_ids"])
    long = " ".join([text] * 3)
    length = len(tokenizer(long, add_special_tokens=False)["input_ids"])
    data = Dataset.from_dict({"text": [text, text, text, long]})
    settings = TrainingSection(max_steps=1, batch_size=2, max_length=n + special)
    result = train(model, tokenizer, data, (), kind=kind, settings=settings, folder=tmp_path / "a", seed=3)
    lost, tokens = length - n, 3 * n + length + 4 * special
    assert result.text == {"rows": 4, "empty": 0, "cut": 1, "tokens": tokens, "lost": lost}
    assert result.events == [
        f"1 of 4 rows is longer than {n + special} tokens and is cut there: {round(100 * lost / tokens)} % of the text "
        "is not read; a higher training.max_length reads more"
    ]
    settings = TrainingSection(max_steps=1, batch_size=2, max_length=length + special)
    result = train(model, tokenizer, data, (), kind=kind, settings=settings, folder=tmp_path / "b", seed=3)
    assert (result.text["cut"], result.text["lost"], result.events) == (0, 0, [])


def test_without_a_row_to_predict_anything_in_a_training_says_so(tmp_path: Path) -> None:
    model, tokenizer = tiny_masked()
    settings = TrainingSection(max_steps=1, batch_size=2)
    with pytest.raises(UsageError) as caught:
        train(model, tokenizer, Dataset.from_dict({"text": ["", ""]}), (), kind="masked", settings=settings,
              folder=tmp_path, seed=3)  # fmt: skip
    assert str(caught.value) == "Training: no row has a piece that can be masked, there is nothing to learn from"


def test_pairs_columns_and_hidden_states_are_supplied(tmp_path: Path) -> None:
    """Texts one and two have a counterfactual; positions compare equal next tokens after the group word only."""
    seen: list[Any] = []

    def look(batch: Any, outputs: Any) -> torch.Tensor:
        seen.append((batch, outputs))
        return outputs.logits.sum() * 0

    model, tokenizer = tiny_causal()
    needs = Needs(columns=["weight"], counterfactual=PAIRING, hidden_states=True, attentions=True)
    run(model, tokenizer, tmp_path, [LossTerm(name="look", fn=look, needs=needs)], max_steps=1, precision="float32")
    batch, outputs = seen[0]
    pair = batch.pairs["gender"]
    assert [TEXTS[n % 4] for n in batch.rows.tolist()] and batch.columns["weight"] == batch.rows.tolist()
    owners = {batch.rows.tolist()[b] % 4 for b in pair.rows.tolist()}
    assert owners <= {0, 1} and len(pair.rows) == sum(n % 4 in (0, 1) for n in batch.rows.tolist())
    she, he = (tokenizer(f" {w}", add_special_tokens=False)["input_ids"][0] for w in ("she", "he"))
    assert pair.bins[she] == pair.bins[he]
    for p, i, j in pair.positions.tolist():
        row = pair.rows[p]
        assert batch.input_ids[row, i + 1] == pair.input_ids[p, j + 1], "the gold next tokens agree"
        assert she in batch.input_ids[row, : i + 1] or he in batch.input_ids[row, : i + 1]
    assert outputs.pairs["gender"].logits.shape[:2] == pair.input_ids.shape
    assert len(outputs.hidden_states) == model.config.num_hidden_layers + 1
    assert outputs.attentions[0].shape[0] == len(batch.rows), "eager attention was chosen"
    assert outputs.attentions[0] is not None and model.config._attn_implementation != "eager", "and put back"
    alone = model.eval()(input_ids=pair.input_ids, attention_mask=pair.attention_mask).logits
    assert outputs.pairs["gender"].logits.shape == alone.shape


def test_the_reference_is_the_untouched_model_exactly(tmp_path: Path) -> None:
    model, tokenizer = tiny_causal()
    base = copy.deepcopy(model).eval()
    gaps = []

    def check(batch: Any, outputs: Any) -> torch.Tensor:
        kept = batch.attention_mask.bool()
        whole = base(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
        gaps.append(float((outputs.reference.logits()[kept] - whole[kept]).abs().max().detach()))
        return outputs.logits.sum() * 0

    term = LossTerm(name="check", fn=check, needs=Needs(reference=True), anchor=True)
    run(model, tokenizer, tmp_path, [term], reference=lambda: ReferenceModel(base, kind="causal"), precision="float32")
    assert len(gaps) == 6 and max(gaps) < 1e-4


@pytest.mark.parametrize(("steps", "limit", "passes"), [(8, MOST, 4), (8, 0, 8), (4, MOST, 4), (8, 5000, 8)])
def test_states_of_the_reference_are_kept_where_a_row_comes_again_and_as_long_as_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int, limit: int, passes: int
) -> None:
    """16 rows, 4 an update: from the fifth update on each was read before. Two terms that ask share a pass."""
    model, tokenizer = tiny_causal()
    reference = ReferenceModel(copy.deepcopy(model).eval(), kind="causal")
    reference.limit = limit
    made, held, original = [], [], reference._final_hidden
    monkeypatch.setattr(reference, "_final_hidden", lambda ids, mask: made.append(1) or original(ids, mask))

    def ask(batch: Any, outputs: Any) -> torch.Tensor:
        outputs.reference.logits()
        held.append(sum(state.nbytes for state in reference.hidden.values()))
        return outputs.logits.sum() * 0

    terms = [LossTerm(name=name, fn=ask, needs=Needs(reference=True), anchor=True) for name in ("one", "other")]
    run(model, tokenizer, tmp_path, terms, reference=lambda: reference, max_steps=steps)
    assert len(made) == passes
    assert max(held) <= limit and (max(held) > 0) == (limit > 0 and steps > 4)
    reference.forget(0)
    assert not reference.hidden and reference.limit == 0


@pytest.mark.parametrize("make, kind", [(tiny_causal, "causal"), (tiny_masked, "masked")])
def test_an_interrupted_training_ends_with_the_same_bits(make: Any, kind: str, tmp_path: Path) -> None:
    model, tokenizer = make()
    whole = run(model, tokenizer, tmp_path, kind=kind)
    expected = state(model)
    shutil.rmtree(tmp_path / "checkpoint-6")
    (tmp_path / "checkpoint-5").mkdir()  # half-written: it has no mark, so it is passed over
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-4"
    again, _ = make()
    resumed = run(again, tokenizer, tmp_path, kind=kind, resume=True)
    assert resumed.terms == whole.terms and resumed.tokens == whole.tokens
    assert all(torch.equal(p, expected[n]) for n, p in state(again).items())


@pytest.mark.parametrize("stop", [KeyboardInterrupt, None])
def test_a_training_that_is_stopped_is_not_told_as_done(
    stop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[int] = []

    def slow(batch: Any, outputs: Any) -> torch.Tensor:
        calls.append(1)
        if stop is not None and len(calls) == 4:
            raise stop
        time.sleep(0.05)
        return outputs.logits.mean()

    monkeypatch.setattr(sys.modules["evenhand.progress"], "SHOW_AFTER", 0.01)
    model, tokenizer = tiny_causal()
    with pytest.raises(stop) if stop is not None else contextlib.nullcontext():
        run(model, tokenizer, tmp_path, [LossTerm(name="slow", fn=slow)])
    last = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Training: ")][-1]
    if stop is None:
        assert last.startswith("Training: done, 6 steps in ")
    else:
        assert last.startswith("Training: 3 of 6 steps (50 %), language modelling ") and ": stopped after " in last


def test_a_term_that_is_not_a_number_stops_by_name_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    calls = []

    def explode(batch: Any, outputs: Any) -> torch.Tensor:
        calls.append(1)
        return outputs.logits.mean() * (float("nan") if len(calls) == 4 else 1.0)

    model, tokenizer = tiny_causal()
    with pytest.raises(TrainingDiverged) as caught:
        run(model, tokenizer, tmp_path, [LossTerm(name="shaky", fn=explode)])
    assert str(caught.value) == (
        "training: the loss term 'shaky' became nan at step 3\n"
        "  the last good checkpoint is checkpoint-2\n"
        "  lower training.learning_rate or the weight of that term, then start again"
    )
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-2"


def test_out_of_memory_halves_the_batch_and_goes_on(tmp_path: Path) -> None:
    """Rows of a halved and accumulated batch are the same rows, so the language-modelling result is nearly the same."""

    def hungry(batch: Any, outputs: Any) -> torch.Tensor:
        if len(batch.input_ids) > 1:
            raise torch.OutOfMemoryError("out of memory")
        return outputs.logits.sum() * 0

    model, tokenizer = tiny_causal()
    result = run(model, tokenizer, tmp_path, [LossTerm(name="hungry", fn=hungry)])
    assert result.events == [
        "out of memory: micro-batch halved to 2, gradients accumulated over 2",
        "out of memory: micro-batch halved to 1, gradients accumulated over 4",
    ]
    assert result.steps == 6


def test_a_batch_that_does_not_halve_keeps_its_effective_size() -> None:
    from evenhand.training_attempts import smaller

    assert [smaller(b, b * a) for b, a in ((8, 1), (6, 2), (9, 1), (5, 3), (2, 1), (12, 5))] == [
        (4, 2), (3, 4), (3, 3), (1, 15), (1, 2), (6, 10),
    ]  # fmt: skip


def test_after_out_of_memory_the_training_goes_on_from_the_last_checkpoint_with_the_terms_own_state(
    tmp_path: Path,
) -> None:
    """An adversary that starts anew while the model goes on would be another training."""
    model, tokenizer = tiny_causal()
    probe = torch.nn.Linear(model.config.hidden_size, 1)
    steps: list[int] = []
    fail = [True]
    rows: dict[int, list[int]] = {}

    def fn(batch: Any, outputs: Any) -> torch.Tensor:
        rows.setdefault(len(steps), []).append(len(batch.input_ids))
        if steps[-1] == 3 and fail.pop() if fail else False:
            raise torch.OutOfMemoryError("out of memory")
        return probe(outputs.hidden_states[-1].float().mean(1)).pow(2).mean()

    term = LossTerm(
        name="adversary", fn=fn, weight=-0.1, needs=Needs(hidden_states=True), parameters=probe.parameters,
        optimizer=lambda ps: torch.optim.SGD(ps, lr=0.01), on_step=lambda step, total: steps.append(step),
    )  # fmt: skip
    result = run(model, tokenizer, tmp_path, [term])
    assert steps == [0, 1, 2, 3, 2, 3, 4, 5]
    assert result.steps == 6
    assert result.events == ["out of memory: micro-batch halved to 2, gradients accumulated over 2"]
    assert list(rows.values()) == [[4]] * 4 + [[2, 2]] * 4, "half the rows at a time, the same rows in an update"


@pytest.mark.parametrize("where", ["first step", "later"])
def test_a_gradient_that_is_not_a_number_stops_before_it_is_applied(tmp_path: Path, where: str) -> None:
    """sqrt(0) is 0 and its gradient infinite: the loss never shows it."""
    calls = []

    def sharp(batch: Any, outputs: Any) -> torch.Tensor:
        calls.append(1)
        zero = (outputs.logits - outputs.logits.detach()).float().pow(2).sum()
        return zero.sqrt() if where == "first step" or len(calls) > 12 else zero

    model, tokenizer = tiny_causal()
    with pytest.raises(TrainingDiverged) as caught:
        run(model, tokenizer, tmp_path, [LossTerm(name="sharp", fn=sharp)], max_steps=20)
    step, known = 0, "no checkpoint was reached yet"
    if where == "later":
        step, known = 12, "the last good checkpoint is checkpoint-12"
    assert str(caught.value) == (
        f"training: the gradient of the loss term 'sharp' became nan at step {step}\n"
        f"  {known}\n"
        "  lower training.learning_rate or the weight of that term, then start again"
    )
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())


@pytest.fixture
def fresh_accelerate(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Accelerate's state of the process, empty before and after."""
    from accelerate.state import AcceleratorState

    monkeypatch.delenv("ACCELERATE_MIXED_PRECISION", raising=False)
    AcceleratorState._reset_state()
    yield
    AcceleratorState._reset_state()


@pytest.mark.usefixtures("fresh_accelerate")
def test_a_training_leaves_nothing_of_its_precision_behind_and_sees_none_of_others(tmp_path: Path) -> None:
    import os

    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    model, tokenizer = tiny_causal()
    own = Accelerator(cpu=True, mixed_precision="bf16")
    prepared = own.prepare_model(model)
    wrapper = vars(prepared)["forward"]
    result = run(prepared, tokenizer, tmp_path / "a", [], max_steps=2, precision="float32")
    other, _ = tiny_causal()
    assert result.terms == run(other, tokenizer, tmp_path / "b", [], max_steps=2, precision="float32").terms
    assert vars(prepared)["forward"] is wrapper
    assert own.state.mixed_precision == "bf16"
    AcceleratorState._reset_state()
    run(other, tokenizer, tmp_path / "c", [], max_steps=2, precision="bf16")
    assert "ACCELERATE_MIXED_PRECISION" not in os.environ
    assert Accelerator(cpu=True).mixed_precision == "no"


@pytest.mark.usefixtures("fresh_accelerate")
def test_a_copy_of_a_wrapped_model_calls_itself() -> None:
    from accelerate import Accelerator

    from evenhand.foreign_precision import copied

    model, tokenizer = tiny_causal()
    Accelerator(cpu=True, mixed_precision="bf16").prepare_model(model)
    twin = copied(model)
    ids = tokenizer("The nurse said", return_tensors="pt")["input_ids"]
    before = twin(input_ids=ids).logits
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert torch.equal(twin(input_ids=ids).logits, before)


def test_not_even_one_row_fits(tmp_path: Path) -> None:
    def hungry(batch: Any, outputs: Any) -> torch.Tensor:
        raise MemoryError

    model, tokenizer = tiny_causal()
    with pytest.raises(OutOfMemory, match="one row at a time does not fit into memory"):
        run(model, tokenizer, tmp_path, [LossTerm(name="hungry", fn=hungry)], max_steps=1)


def test_an_adversary_descends_its_own_loss_while_the_model_climbs_it(tmp_path: Path) -> None:
    model, tokenizer = tiny_causal()
    probe = torch.nn.Linear(model.config.hidden_size, 1)
    start = probe.weight.detach().clone()

    def fn(batch: Any, outputs: Any) -> torch.Tensor:
        target = (batch.rows % 2).float()
        guess = probe(outputs.hidden_states[-1].float().mean(1)).squeeze(-1)
        return torch.nn.functional.binary_cross_entropy_with_logits(guess, target)

    term = LossTerm(
        name="adversary", fn=fn, weight=-1e-6, needs=Needs(hidden_states=True), parameters=probe.parameters,
        optimizer=lambda p: torch.optim.SGD(p, lr=0.1),
    )  # fmt: skip
    result = run(model, tokenizer, tmp_path, [term], max_steps=30)
    assert not torch.equal(probe.weight, start)
    assert result.terms["adversary"]["last"] < result.terms["adversary"]["first"], "with a tiny weight the probe wins"


def test_a_gradient_aggregator_replaces_the_sum(tmp_path: Path) -> None:
    """Taking only the first term's gradient must equal training on that term alone, also when accumulating."""
    model, tokenizer = tiny_causal()
    alone = copy.deepcopy(model)
    run(alone, tokenizer, tmp_path / "a", batch_size=2, gradient_accumulation=2)

    def first(losses: Any, gradients: Any) -> torch.Tensor:
        assert list(losses) == ["language modelling", "size"]
        return gradients["language modelling"]

    size = LossTerm(name="size", fn=lambda batch, outputs: outputs.logits.float().pow(2).mean(), weight=5.0)
    terms = [size, Aggregator(name="first", combine=first, uses="gradients")]
    run(model, tokenizer, tmp_path / "b", terms, batch_size=2, gradient_accumulation=2)
    for name, p in state(alone).items():
        torch.testing.assert_close(state(model)[name], p, rtol=0, atol=1e-5)


def test_anchors_that_an_aggregator_does_not_want_are_added_as_they_are(tmp_path: Path) -> None:
    """The sum of what it sees, and the anchor beside it, is the sum of all: and with an anchor alone there is that."""
    model, tokenizer = tiny_causal()
    alone, plain = copy.deepcopy(model), copy.deepcopy(model)
    size = LossTerm(name="size", fn=lambda batch, outputs: outputs.logits.float().pow(2).mean(), anchor=True)
    run(plain, tokenizer, tmp_path / "a", [size], batch_size=2, gradient_accumulation=2)

    def combine(losses: Any, gradients: Any) -> torch.Tensor:
        assert list(losses) == list(gradients) == ["language modelling"]
        return gradients["language modelling"]

    rest = Aggregator(name="rest", combine=combine, uses="gradients", anchors_apart=True)
    run(model, tokenizer, tmp_path / "b", [size, rest], batch_size=2, gradient_accumulation=2)
    for name, p in state(plain).items():
        torch.testing.assert_close(state(model)[name], p, rtol=0, atol=1e-5)
    before = state(alone)
    run(alone, tokenizer, tmp_path / "c", [size, rest], language_modelling=0.0)
    assert any(not torch.equal(p, before[name]) for name, p in state(alone).items())


def test_two_aggregators_are_refused(tmp_path: Path) -> None:
    model, tokenizer = tiny_causal()
    terms = [Aggregator(name=n, combine=lambda losses: 0) for n in ("one", "two")]
    with pytest.raises(UsageError) as caught:
        run(model, tokenizer, tmp_path, terms)
    assert str(caught.value) == (
        "training: a training combines its terms in one way, here are 2: 'one', 'two'\n"
        "  leave out all but one, or put a `train` between their steps"
    )


def test_bf16_training_moves_weights_as_far_as_float32(tmp_path: Path) -> None:
    """Autocast with float32 master weights: pure bf16 would lose most of the small updates."""
    moves = {}
    for precision in ("float32", "bf16"):
        model, tokenizer = tiny_causal()
        before = state(model)
        run(model, tokenizer, tmp_path / precision, max_steps=100, learning_rate=1e-4, precision=precision)
        moves[precision] = sum(float((p - before[n]).norm()) for n, p in state(model).items())
    assert moves["bf16"] == pytest.approx(moves["float32"], rel=0.1)


def test_each_training_has_its_own_precision_and_leaves_none_behind(tmp_path: Path) -> None:
    """A bf16 training before or after must not change a float32 one, nor what the model answers afterwards."""
    results = {}
    for name in ("float32", "bf16", "again"):
        model, tokenizer = tiny_causal()
        run(model, tokenizer, tmp_path / name, precision="bf16" if name == "bf16" else "float32")
        results[name] = state(model)
        ids = torch.tensor([[5, 6, 7, 8]])
        logits = model(input_ids=ids).logits
        assert logits.dtype == torch.float32 and "forward" not in vars(model)
        assert not torch.equal(logits, logits.bfloat16().float()), "not rounded to bf16 on the way"
    assert all(torch.equal(p, results["again"][n]) for n, p in results["float32"].items())
    assert any(not torch.equal(p, results["bf16"][n]) for n, p in results["float32"].items())


# --- what is told before anything is computed -------------------------------------------------------------------------


def test_weights_that_are_all_zero_are_refused(tmp_path: Path) -> None:
    model, tokenizer = tiny_causal()
    nothing = LossTerm(name="nothing", fn=lambda batch, outputs: outputs.logits.sum(), weight=0.0)
    with pytest.raises(UsageError) as caught:
        run(model, tokenizer, tmp_path, [nothing], language_modelling=0.0)
    assert str(caught.value) == (
        "Training: there is nothing to learn: every weight is 0\n"
        "  training.language_modelling is 0, and so is each loss term's weight\n"
        "  give one of them a weight"
    )


def test_two_terms_that_want_the_same_parameters_are_refused(tmp_path: Path) -> None:
    model, tokenizer = tiny_causal()
    probe = torch.nn.Linear(2, 2)
    both = [LossTerm(name=n, fn=lambda batch, outputs: outputs.loss, parameters=probe.parameters) for n in ("a", "b")]
    with pytest.raises(UsageError, match="the loss term 'b' brings a parameter that belongs to the loss term 'a'"):
        run(model, tokenizer, tmp_path, both)
    own = LossTerm(name="greedy", fn=lambda batch, outputs: outputs.loss, parameters=model.lm_head.parameters)
    with pytest.raises(UsageError, match="the loss term 'greedy' brings a parameter that belongs to the model, as "):
        run(model, tokenizer, tmp_path, [own])


def test_a_missing_column_is_told_by_the_name_of_the_term(tmp_path: Path) -> None:
    model, tokenizer = tiny_causal()
    term = LossTerm(name="reader", fn=lambda batch, outputs: outputs.loss, needs=Needs(columns=["score"]))
    with pytest.raises(UsageError) as caught:
        run(model, tokenizer, tmp_path, [term])
    assert str(caught.value) == (
        "Training: the loss term 'reader' reads the column 'score', which the training data does not have\n"
        "  its columns are text, weight\n"
        "  put the step that makes it before this one"
    )


def test_a_pairing_of_whole_rows_needs_no_aligned_position(tmp_path: Path) -> None:
    """The partner of a row stands in a column, and differs from its first word on."""
    model, tokenizer = tiny_causal()
    seen: list[Any] = []

    def look(batch: Any, outputs: Any) -> torch.Tensor:
        pairs = batch.pairs["column"]
        seen.append([(int(batch.rows[r]), pairs.input_ids[k].tolist()) for k, r in enumerate(pairs.rows)])
        assert outputs.pairs["column"].logits.shape[:2] == pairs.input_ids.shape and len(pairs.positions) == 0
        return outputs.pairs["column"].logits.float().mean()

    pairing = Pairing(key="column", pair=lambda text: [], of_row=lambda row: [f"Row {row['weight']}."], aligned=False)
    term = LossTerm(name="look", fn=look, needs=Needs(counterfactual=pairing))
    run(model, tokenizer, tmp_path, [term], max_steps=2)
    for number, ids in (pair for batch in seen for pair in batch):
        wanted = tokenizer(f"Row {number}.", add_special_tokens=False)["input_ids"]
        assert ids[: len(wanted)] == wanted
    assert len(seen[0]) == 4


def test_two_terms_of_one_name_both_count() -> None:
    """Values, gradients and proofs are kept by name: the second of a name must not take the place of the first."""
    import torch

    from evenhand.contributions import LossTerm
    from evenhand.training_terms import Terms

    made = [LossTerm(name="parity", fn=lambda batch, outputs, v=v: torch.tensor(v)) for v in (1.0, 2.0, 4.0)]
    terms = Terms(made, None, 0.0)
    found = terms.evaluate(None, None, 0)
    assert {name: float(value) for name, value in found.items()} == {
        "parity": 1.0,
        "parity (2)": 2.0,
        "parity (3)": 4.0,
    }


def test_terms_of_one_key_are_computed_once_and_each_counts() -> None:
    """Two objectives that hold the same words pay for one retention; a term without a key is its own, whatever its
    name."""
    from evenhand.training_terms import Terms

    calls: list[str] = []

    def computes(who: str) -> Any:
        return lambda batch, outputs: calls.append(who) or torch.tensor(2.0)

    made = [
        LossTerm(name="retention", fn=computes("a"), key="k", weight=1.0),
        LossTerm(name="retention", fn=computes("b"), key="k", weight=3.0),
        LossTerm(name="k", fn=computes("c"), weight=5.0),
        LossTerm(name="other", fn=computes("d"), key="other", weight=7.0),
    ]
    terms = Terms(made, None, 0.0)
    found = {name: float(value) for name, value in terms.evaluate(None, None, 0).items()}  # type: ignore[arg-type]
    assert found == {"retention": 2.0, "retention (2)": 6.0, "k": 10.0, "other": 14.0}
    assert calls == ["a", "c", "d"]
    assert [s.values for s in terms.states] == [[2.0]] * 4


# --- updates that move something --------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps, warmup, zeros", [(1, 0.1, 0), (1, 1.0, 0), (4, 0.0, 0), (4, 0.1, 1), (4, 1.0, 1)])
def test_the_learning_rate_begins_at_zero_only_where_a_warmup_is_asked_for(
    steps: int, warmup: float, zeros: int, tmp_path: Path
) -> None:
    """Adam's first step is the learning rate in each weight, so that the first update moves as far as it says."""
    model, tokenizer = tiny_causal()
    before = state(model)
    rates: list[float] = []
    seen: list[dict[str, torch.Tensor]] = []

    def note(batch: Any, outputs: Any) -> torch.Tensor:
        seen.append(state(model))
        return outputs.logits.sum() * 0

    run(model, tokenizer, tmp_path, [LossTerm(name="note", fn=note)], max_steps=steps, warmup=warmup, save_every=99)
    seen.append(state(model))
    for old, new in zip(seen, seen[1:], strict=False):
        rates.append(max(float((new[n] - old[n]).abs().max()) for n in before))
    assert len(rates) == steps and [rate == 0 for rate in rates] == [True] * zeros + [False] * (steps - zeros)
    if not zeros:
        assert rates[0] == pytest.approx(1e-3, rel=1e-3)


def test_a_training_that_moves_nothing_is_no_training(tmp_path: Path) -> None:
    model, tokenizer = tiny_causal()
    constant = LossTerm(name="constant", fn=lambda batch, outputs: outputs.logits.sum() * 0 + 2.0)
    with pytest.raises(NoEffect) as caught:
        run(model, tokenizer, tmp_path, [constant], language_modelling=0.0)
    assert str(caught.value) == (
        "Training: no parameter moved in 6 updates\n"
        "  the learning rate rose to 0.001\n"
        "  raise training.learning_rate, or give a weight to a term that depends on what may move"
    )


def test_a_term_that_acts_in_one_batch_alone_was_seen_to_act(tmp_path: Path) -> None:
    """Neither in the first five steps nor in the last, where all terms are looked at."""
    calls: list[int] = []

    def seldom(batch: Any, outputs: Any) -> torch.Tensor:
        calls.append(1)
        return outputs.logits.float().pow(2).mean() * float(len(calls) == 8)

    model, tokenizer = tiny_causal()
    result = run(model, tokenizer, tmp_path, [LossTerm(name="seldom", fn=seldom)], max_steps=12)
    assert len(calls) == 12 and result.terms["seldom"]["gradient_norm"] > 0


def test_a_term_without_a_gradient_is_looked_at_a_few_times_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evenhand import training_terms

    looked: list[float] = []
    norm = training_terms.gradient_norm

    def count(value: Any, parameters: Any) -> float:
        looked.append(1)
        return norm(value, parameters)

    monkeypatch.setattr(training_terms, "gradient_norm", count)
    model, tokenizer = tiny_causal()
    constant = LossTerm(name="constant", fn=lambda batch, outputs: outputs.logits.new_tensor(2.0))
    result = run(model, tokenizer, tmp_path, [constant], max_steps=20)
    assert result.terms["constant"]["gradient_norm"] == 0 and len(looked) == 6


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_weights_of_a_short_format_learn_what_float32_weights_learn(precision: str, tmp_path: Path) -> None:
    """At this rate a bfloat16 weight of 0.02 or more does not feel one update; a hundred of them it does."""
    short, tokenizer = tiny_causal()
    short.to(torch.bfloat16)
    begun = state(short)
    whole = copy.deepcopy(short).float()
    how = {"learning_rate": 2e-5, "max_steps": 100, "precision": precision}
    result = run(short, tokenizer, tmp_path / "short", **how)
    assert result.events == ["the weights are bfloat16: they are trained in float32, and rounded at the end"]
    assert run(whole, tokenizer, tmp_path / "whole", **how).events == []
    for name, p in state(whole).items():
        assert state(short)[name].dtype == torch.bfloat16
        assert torch.equal(state(short)[name], p.to(torch.bfloat16)), name
    changed = sum(int((state(short)[n] != p).sum()) for n, p in begun.items())
    assert changed > 0.2 * sum(p.numel() for p in begun.values())


def test_a_training_that_rounding_takes_back_is_told(tmp_path: Path) -> None:
    model, tokenizer = tiny_causal()
    with torch.no_grad():
        for p in model.parameters():
            p[p.abs() < 1e-3] = 0.01  # a weight near zero feels the smallest update
    model.to(torch.bfloat16)
    with pytest.raises(NoEffect) as caught:
        run(model, tokenizer, tmp_path, learning_rate=1e-9)
    assert "and what was learned is rounded to bfloat16" in str(caught.value)


def test_what_is_frozen_stays_out_of_a_training_of_everything_and_moves_when_it_is_named(tmp_path: Path) -> None:
    model, tokenizer = tiny_causal()
    frozen = "model.layers.0.input_layernorm.weight"
    dict(model.named_parameters())[frozen].requires_grad_(False)
    before = state(model)
    run(model, tokenizer, tmp_path / "a", trainable=list(before))
    moved = {n for n, p in state(model).items() if not torch.equal(p, before[n])}
    assert frozen not in moved and len(moved) == len(before) - 1
    run(model, tokenizer, tmp_path / "b", trainable=[frozen])
    assert not torch.equal(state(model)[frozen], before[frozen])
    assert not dict(model.named_parameters())[frozen].requires_grad, "the flags are put back"


# --- folders, resumes, devices, logs ----------------------------------------------------------------------------------


def test_a_folder_with_checkpoints_of_another_training_is_refused(tmp_path: Path) -> None:
    """After a fault of memory the newest checkpoint is gone on from: it must be one of this training."""
    model, tokenizer = tiny_causal()
    run(model, tokenizer, tmp_path)
    before = state(model)
    with pytest.raises(UsageError) as caught:
        run(model, tokenizer, tmp_path)
    assert str(caught.value) == (
        "Training: the folder has checkpoints of an earlier training\n"
        f"  checkpoint-6 in {tmp_path}\n"
        "  give another folder, or resume to go on from there"
    )
    assert all(torch.equal(p, before[n]) for n, p in state(model).items())


def test_a_resume_with_other_terms_or_other_parameters_is_refused_by_name(tmp_path: Path) -> None:
    def term(name: str) -> LossTerm:
        return LossTerm(name=name, fn=lambda batch, outputs: outputs.logits.float().pow(2).mean())

    model, tokenizer = tiny_causal()
    run(model, tokenizer, tmp_path, [term("small")])
    shutil.rmtree(tmp_path / "checkpoint-6")
    before = state(model)
    with pytest.raises(UsageError) as caught:
        run(model, tokenizer, tmp_path, [term("little")], resume=True)
    assert str(caught.value) == (
        "training: the training that is to go on had other terms\n"
        "  it had 'language modelling', 'small'; this one has 'language modelling', 'little'\n"
        "  go on with the same terms, or begin again in another folder"
    )
    with pytest.raises(UsageError) as caught:
        run(model, tokenizer, tmp_path, [term("small")], resume=True, trainable=["model.norm.weight"])
    assert str(caught.value).startswith("training: the training that is to go on moved other parameters: ")
    assert all(torch.equal(p, before[n]) for n, p in state(model).items())


def test_what_a_training_learns_from_is_told_where_it_is_other_than_before(tmp_path: Path) -> None:
    """Weights, text, seed and budget are no settings of the training, and change what is learned all the same."""
    model, tokenizer = tiny_causal()
    size = lambda batch, outputs: outputs.logits.float().pow(2).mean()  # noqa: E731
    retention = Dataset.from_dict({"text": [f"{TEXTS[k % 4]} {k}" for k in range(12)]})

    def go(folder: Path, weight: float, texts: list[str], seed: int, **more: Any) -> Any:
        return train(
            model, tokenizer, Dataset.from_dict({"text": texts}), [LossTerm(name="size", fn=size, weight=weight)],
            kind="causal", settings=TrainingSection(max_steps=4, batch_size=2, save_every=2), folder=folder, seed=seed,
            reference=lambda: ReferenceModel(copy.deepcopy(model).eval(), kind="causal"), **more,
        )  # fmt: skip

    go(tmp_path / "a", 1.0, TEXTS, 3)
    shutil.rmtree(tmp_path / "a" / "checkpoint-4")
    told = go(tmp_path / "a", 50.0, TEXTS[::-1], 7, resume=True).events
    begins = "goes on from checkpoint-2 with other settings: the loss is 50 size, was 1 size; the text is 4 rows ("
    assert len(told) == 1 and told[0].startswith(begins)
    assert told[0].endswith("; the seed is 7, was 3")
    go(tmp_path / "b", 1.0, TEXTS, 3, retention=retention, budget=1.05)
    shutil.rmtree(tmp_path / "b" / "checkpoint-4")
    with pytest.raises(UsageError) as caught:
        go(tmp_path / "b", 1.0, TEXTS, 3, resume=True)
    assert str(caught.value) == (
        "training: the training that is to go on was watched by something else\n"
        "  it was watched by a budget, this one by nothing\n"
        "  go on with the same budget and criterion, or begin again in another folder"
    )
    told = go(tmp_path / "b", 1.0, TEXTS, 3, resume=True, retention=retention, budget=9.0).events
    assert told[0] == "goes on from checkpoint-2 with other settings: the budget is 9.0, was 1.05"
    shutil.rmtree(tmp_path / "a" / "checkpoint-4")
    with pytest.raises(UsageError, match="it was watched by nothing, this one by a budget"):
        go(tmp_path / "a", 50.0, TEXTS[::-1], 7, resume=True, retention=retention, budget=1.05)


def test_a_row_is_cut_where_the_model_has_no_further_position(tmp_path: Path) -> None:
    model, tokenizer = tiny_masked()
    most = most_tokens(model)
    rows = Dataset.from_dict({"text": ["rain fell on the town " * most] * 4})
    settings = TrainingSection(max_steps=1, batch_size=2, max_length=most + 90)
    result = train(model, tokenizer, rows, (), kind="masked", settings=settings, folder=tmp_path, seed=3)
    assert result.steps == 1 and result.tokens == 2 * most
    length = len(tokenizer(rows["text"][0], verbose=False)["input_ids"])
    assert result.events == [
        f"the model takes {most:,} tokens, so that rows are cut there and not at {most + 90:,}",
        f"4 of 4 rows are longer than {most} tokens and are cut there: {100 * (1 - most / length):.0f} % of the text "
        "is not read",
    ]


def test_padding_stays_within_the_positions_of_the_model() -> None:
    _, tokenizer = tiny_causal()
    rows = [EncodedRow(0, tuple(range(5, 24))), EncodedRow(1, tuple(range(5, 10)))]
    shapes = [
        Collator(tokenizer=tokenizer, kind="causal", bins={}, seed=0, most=most)(rows)["input_ids"].shape[1]
        for most in (None, 64, 20, 19)
    ]
    assert shapes == [32, 32, 20, 19]


def test_terms_that_read_the_weights_are_refused_where_these_are_split(monkeypatch: pytest.MonkeyPatch) -> None:
    from evenhand.training_terms import Terms

    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    term = LossTerm(name="held", fn=lambda batch, outputs: outputs.loss * 0, needs=Needs(weights=True), anchor=True)
    with pytest.raises(UsageError) as caught:
        Terms([term], None, 1.0)
    assert str(caught.value) == (
        "training: the loss term 'held' reads the weights of the model, which FSDP splits between processes\n"
        "  train with plain data parallelism, or leave the term out"
    )
    monkeypatch.delenv("ACCELERATE_USE_FSDP")
    assert len(Terms([term], None, 1.0)) == 2


def test_a_resume_with_other_settings_says_which(tmp_path: Path) -> None:
    model, tokenizer = tiny_causal()
    run(model, tokenizer, tmp_path)
    shutil.rmtree(tmp_path / "checkpoint-6")
    result = run(model, tokenizer, tmp_path, learning_rate=2e-3, log_every=3, resume=True)
    assert result.events == ["goes on from checkpoint-4 with other settings: learning_rate is 0.002, was 0.001"]


def test_of_two_accelerators_one_trains_with_the_batch_that_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pretend_device import pretending

    seen: list[int] = []

    def note(batch: Any, outputs: Any) -> torch.Tensor:
        seen.append(len(batch.input_ids))
        return outputs.logits.float().pow(2).mean()

    with pretending() as device:
        model, tokenizer = tiny_causal()
        model.to(device)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
        run(model, tokenizer, tmp_path, [LossTerm(name="note", fn=note)], max_steps=2)
    assert seen == [4, 4]


def test_a_training_takes_the_accelerator_that_its_model_is_on(monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    from evenhand.training_arguments import _stay, current_device_kept

    current = [0]
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_device_index", lambda: current[0])
    monkeypatch.setattr(torch.accelerator, "set_device_index", lambda index: current.__setitem__(0, index))
    arguments = SimpleNamespace(n_gpu=4)
    with current_device_kept():
        _stay(arguments, torch.device("cuda:1"))
        assert current == [1]
    assert (arguments._n_gpu, vars(arguments)["_setup_devices"], current) == (1, torch.device("cuda:1"), [0])


def logged(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_term_is_logged_by_name(tmp_path: Path) -> None:
    """The mean over the micro-batches since the line before, not weighted; the last update is always told."""
    values: list[float] = []

    def size(batch: Any, outputs: Any) -> torch.Tensor:
        found = outputs.logits.float().pow(2).mean()
        values.append(float(found.detach()))
        return found

    terms = [LossTerm(name="size of logits", fn=size, weight=3.0)]
    model, tokenizer = tiny_causal()
    how = {"gradient_accumulation": 2, "max_steps": 7, "log_every": 3, "save_every": 2}
    run(model, tokenizer, tmp_path, terms, **how)
    lines = logged(tmp_path / "log.jsonl")
    assert [line["step"] for line in lines] == [3, 6, 7]
    means = [sum(part) / len(part) for part in (values[:6], values[6:12], values[12:14])]
    assert [line["terms"]["size of logits"] for line in lines] == pytest.approx(means)
    assert set(lines[0]["terms"]) == {"language modelling", "size of logits"}
    assert lines[0]["learning_rate"] > 0 and lines[0]["gradient_norm"] > 0 and lines[0]["tokens"] > 0


def test_the_log_of_an_interrupted_training_is_that_of_a_whole_one(tmp_path: Path) -> None:
    model, tokenizer = tiny_causal()
    run(model, tokenizer, tmp_path, max_steps=6, log_every=3)
    whole = logged(tmp_path / "log.jsonl")
    shutil.rmtree(tmp_path / "checkpoint-6")
    again, _ = tiny_causal()
    run(again, tokenizer, tmp_path, max_steps=6, log_every=3, resume=True)
    assert logged(tmp_path / "log.jsonl") == whole


def test_integrations_hear_each_term_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import TrainerCallback
    from transformers.integrations import integration_utils

    heard: list[dict[str, float]] = []

    class Board(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **rest: Any) -> None:
            heard.append(dict(logs))

    class Missing(TrainerCallback):
        def __init__(self) -> None:
            raise RuntimeError("it requires a package.")

    monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, "tensorboard", Board)
    monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, "wandb", Missing)
    model, tokenizer = tiny_causal()
    size = LossTerm(name="size", fn=lambda batch, outputs: outputs.logits.float().pow(2).mean())
    run(model, tokenizer, tmp_path / "a", [size], log_every=2, report_to=["tensorboard"])
    told = [logs for logs in heard if "loss/size" in logs]
    assert len(told) == 3 and {"loss", "learning_rate", "loss/language modelling"} <= told[0].keys()
    with pytest.raises(UsageError) as caught:
        run(model, tokenizer, tmp_path / "b", [size], report_to=["wandb"])
    assert str(caught.value) == (
        "training.report_to: what reports to 'wandb' is not installed\n"
        "  it requires a package.\n"
        "  install it, or leave 'wandb' out"
    )
