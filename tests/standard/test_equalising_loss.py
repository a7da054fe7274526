"""The equalising loss: slots, pairs, the formula against a slow implementation, and that it equalises."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import pytest
import torch
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from objective_batches import batch_of, ids_of

from evenhand.errors import NoEffect, UsageError
from evenhand_sdk import load_axis
from evenhand_sdk.testing import train
from evenhand_sdk.tiny import tiny_tokenizer
from evenhand_standard.objective.equalising_loss import EqualisingLoss
from evenhand_standard.objective.group_word_tokens import aligned_words, spread, styled, word_table, written
from evenhand_standard.objective.person_slots import SlotReader

TEXTS = [
    "The nurse said that she was good, and her mother is a judge.",
    "People said that the king is good.",
    "Mary said that she is a nurse.",
    "Rain fell on the town.",
    "He is an engineer.",
]
GENDER = load_axis("gender")


def reader(kind: str = "causal", names: bool = False, family: str | None = None) -> SlotReader:
    return SlotReader(
        tiny_tokenizer(family or ("llama" if kind == "causal" else "bert")), GENDER, kind=kind, names=names
    )


# ------------------------------------------------------------------------------------------------------- slots
@pytest.mark.parametrize(
    ("kind", "names", "found"),
    [
        ("causal", False, [" she", " king", None, None, None]),  # Mary decides who she is; He is the first token
        ("causal", True, [" she", " king", None, None, None]),  # and Mary is the first token, too
        ("masked", False, [None, " king", None, None, "He"]),
        ("masked", True, [None, " king", None, None, "He"]),
    ],
)
def test_a_slot_is_the_first_group_word_without_an_antecedent(kind: str, names: bool, found: list[Any]) -> None:
    read = reader(kind, names)
    got = []
    for text in TEXTS:
        slot = read.slot(text)
        ids = read.tokenizer(text, add_special_tokens=kind == "masked")["input_ids"]
        got.append(read.tokenizer.decode(ids[slot.place.start : slot.place.end]) if slot else None)
    assert got == found


def test_a_name_is_a_slot_only_where_names_are_asked_for() -> None:
    text = "The nurse said that Mary was good."
    assert reader(names=False).slot(text) is None
    slot = reader(names=True).slot(text)
    assert slot is not None and (slot.word, slot.spaced) == ("Mary", True)


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma3"])
def test_versions_give_the_tokens_of_the_slot_on_both_sides(family: str) -> None:
    read = reader(family=family)
    read.kind = "causal"
    (version,) = read.versions("The old waitress said that she was good.")
    assert version.text == "The old waiter said that he was good."
    here = ids_of(read.tokenizer, "The old waitress said that she was good.")[version.here.start : version.here.end]
    there = ids_of(read.tokenizer, version.text)[version.there.start : version.there.end]
    assert (read.tokenizer.decode(here), read.tokenizer.decode(there)) == (" waitress", " waiter")


def test_an_article_that_changes_with_the_word_belongs_to_the_slot() -> None:
    read = SlotReader(tiny_tokenizer(), load_axis("nationality"), kind="causal", names=False)
    text = "The nurse met an American at home."
    versions = {v.text: v for v in read.versions(text)}
    ids = ids_of(read.tokenizer, text)
    for other, words in (("a Briton", " a Briton"), ("an Australian", " an Australian")):
        version = versions[f"The nurse met {other} at home."]
        there = ids_of(read.tokenizer, version.text)[version.there.start : version.there.end]
        assert read.tokenizer.decode(ids[version.here.start : version.here.end]) == " an American"
        assert read.tokenizer.decode(there) == words


def test_a_gap_stands_for_the_whole_word_and_keeps_the_rest() -> None:
    read = reader("masked")
    (ids,) = read.with_gap("People said that the waitress is good.")
    words = read.tokenizer.convert_ids_to_tokens(ids)
    assert words[0] == "[CLS]" and words[-1] == "[SEP]" and words.count("[MASK]") == 1
    assert read.tokenizer.decode([i for i in ids if i not in read.tokenizer.all_special_ids]) == (
        "People said that the is good."
    )
    assert read.with_gap("Rain fell on the town.") == []


def test_a_tokenizer_without_offsets_is_refused() -> None:
    class Slow:
        is_fast = False

    with pytest.raises(UsageError, match="the tokenizer does not say which characters a token stands for"):
        SlotReader(Slow(), GENDER, kind="causal", names=False)


SOME = ["The", "nurse", "said", "that", "she", "he", "Mary", "her", "Mr", "an", "actress", "é", ",", ".", "king"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(SOME), max_size=12))
def test_whatever_the_text_a_slot_lies_in_it_and_only_its_word_differs_between_versions(words: list[str]) -> None:
    text, read = " ".join(words), PROPERTY
    slot = read.slot(text)
    ids = ids_of(read.tokenizer, text)
    if slot is None:
        assert read.versions(text) == []
        return
    assert 0 < slot.place.start < slot.place.end <= len(ids)
    assert slot.word in read.tokenizer.decode(ids[slot.place.start : slot.place.end])
    for version in read.versions(text):
        other = ids_of(read.tokenizer, version.text)
        assert ids[: version.here.start] == other[: version.there.start]
        assert version.here.end <= len(ids) and version.there.end <= len(other)


PROPERTY = reader()


# ------------------------------------------------------------------------------------------------------- pairs
def test_a_pair_is_a_component_of_rows_with_the_words_of_each_group_together() -> None:
    pairs = [[set(words) for words in pair] for pair in aligned_words(GENDER, names=False)]
    assert [{"she"}, {"he"}] in pairs
    assert [{"her", "hers"}, {"him", "his"}] in pairs
    assert [{"mother"}, {"father"}] in pairs
    words = [word for pair in pairs for side in pair for word in side]
    assert len(words) == len(set(words)) and "Mary" not in words
    with_names = aligned_words(GENDER, names=True)
    assert any("Mary" in side for pair in with_names for side in pair) and len(with_names) > len(pairs)


@pytest.mark.parametrize(
    ("word", "spaced", "form"),
    [("she", True, "spaced plain"), ("She", False, "title"), ("SHE", True, "spaced upper"), ("I", False, "title")],
)
def test_the_form_of_a_word_is_told_and_given(word: str, spaced: bool, form: str) -> None:
    assert written(word, spaced) == form
    assert styled(word.lower(), form) == (" " if spaced else "") + word


def test_first_pieces_that_two_groups_share_tell_nothing_and_are_left_out() -> None:
    tokenizer = tiny_tokenizer()
    pairs = [[["she"], ["he"]], [["stepmother"], ["stepfather"]], [["woman", "lady"], ["man"]]]
    assert len(ids_of(tokenizer, " stepmother")) > 1 and len(ids_of(tokenizer, " lady")) > 1
    single = word_table(tokenizer, pairs, "spaced plain", "single")
    assert (len(single.tokens), single.left_out) == (2, 1)
    assert single.filled.sum().item() == 4  # " lady" is no single token
    first = word_table(tokenizer, pairs, "spaced plain", "first")
    assert first.filled.sum().item() == 5
    assert first.left_out == 1  # " stepmother" and " stepfather" begin alike


# -------------------------------------------------------------------------------------------- against slow values
def test_spreads_against_values_worked_by_hand() -> None:
    values = torch.tensor([[1.0, 4.0, -1.0], [2.0, 5.0, 9.0]])
    present = torch.tensor([[True, True, True], [True, False, True]])
    assert spread(values, present, "absolute").tolist() == pytest.approx([(3 + 2 + 5) / 3, 7.0])
    assert spread(values, present, "variance").tolist() == pytest.approx(
        [(1 + 16 + 1) / 3 - (4 / 3) ** 2, (7 / 2) ** 2]
    )


def slow(logits: torch.Tensor, tokenizer: Any, pairs: Any, *, upper: bool = False) -> float:
    """The mean over pairs of |log p(m) - log p(f)|, one word at a time in float64; words of one token only."""
    p = logits.double().softmax(-1).tolist()
    found = []
    for pair in pairs:
        sums = []
        for words in pair:
            forms = [" " + (w.capitalize() if upper else w) for w in words]
            ids = {i[0] for form in forms if len(i := ids_of(tokenizer, form)) == 1}
            sums.append(sum(p[i] for i in ids))
        if sum(s > 0 for s in sums) == 2:
            found.append(abs(math.log(sums[0]) - math.log(sums[1])))
    assert len(found) > 5
    return sum(found) / len(found)


def test_the_term_is_the_mean_over_slots_of_the_mean_over_pairs(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    term, kept = EqualisingLoss().objective(run_of(model, tokenizer), model)
    assert (term.name, term.weight, kept.name, kept.weight, kept.anchor) == (
        "equalising loss", 0.5, "retention", 0.1, True,
    )  # fmt: skip
    batch, outputs = batch_of(model, tokenizer, [term], TEXTS)
    pairs = aligned_words(GENDER, names=False)
    places = {0: TEXTS[0][: TEXTS[0].index(" she")], 1: TEXTS[1][: TEXTS[1].index(" king")]}
    expected = [
        slow(outputs.logits[b, len(ids_of(tokenizer, before)) - 1], tokenizer, pairs) for b, before in places.items()
    ]
    assert term.fn(batch, outputs).item() == pytest.approx(sum(expected) / 2, rel=1e-5)


def test_rows_without_a_lone_group_word_are_told_by_the_rule_of_masked_models(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny("masked")
    run = run_of(model, tokenizer, "masked")
    with pytest.raises(NoEffect) as caught:
        train(
            run, EqualisingLoss(retention=0.0).objective(run, model), rows=Dataset.from_dict({"text": [TEXTS[0]] * 8})
        )
    assert caught.value.known == (
        "of 8 rows no row has a group word that is the only one of its row, which a masked model needs because it "
        "reads both sides"
    )


def test_masked_models_fill_a_gap_in_the_place_of_the_word(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny("masked")
    (term,) = EqualisingLoss(retention=0.0).objective(run_of(model, tokenizer, "masked"), model)
    batch, outputs = batch_of(model, tokenizer, [term], [TEXTS[0], TEXTS[1]], "masked")
    ids = tokenizer(TEXTS[1])["input_ids"]
    at = ids.index(ids_of(tokenizer, " king")[0]) if len(ids_of(tokenizer, " king")) == 1 else None
    assert at is not None
    ids[at] = tokenizer.mask_token_id
    logits = model(input_ids=torch.tensor([ids])).logits[0, at]
    expected = slow(logits, tokenizer, aligned_words(GENDER, names=False))
    assert term.fn(batch, outputs).item() == pytest.approx(expected, rel=1e-4)


def test_joint_scoring_compares_whole_words_of_several_tokens(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    (term,) = EqualisingLoss(pieces="joint", retention=0.0).objective(run_of(model, tokenizer), model)
    texts = ["The old stepmother said that she was good.", TEXTS[3], TEXTS[0]]
    batch, outputs = batch_of(model, tokenizer, [term], texts)

    def log_p(before: str, word: str) -> float:
        start, ids = len(ids_of(tokenizer, before)), ids_of(tokenizer, before + word)
        logp = model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
        return sum(logp[t - 1, ids[t]].item() for t in range(start, len(ids)))

    gaps = [
        log_p("The old", " stepmother") - log_p("The old", " stepfather"),
        log_p("The nurse said that", " she") - log_p("The nurse said that", " he"),
    ]
    assert len(ids_of(tokenizer, " stepmother")) > 1
    assert term.fn(batch, outputs).item() == pytest.approx((abs(gaps[0]) + abs(gaps[1])) / 2, rel=1e-4)


def test_more_than_two_groups_take_the_variance(tiny: Any, run_of: Any, belief: str) -> None:
    model, tokenizer = tiny()
    (term,) = EqualisingLoss(axes=(belief,), pieces="joint", retention=0.0).objective(run_of(model, tokenizer), model)
    text = "People met at the church."
    batch, outputs = batch_of(model, tokenizer, [term], [text])
    values = []
    for word in ("church", "synagogue", "mosque"):
        start, ids = len(ids_of(tokenizer, "People met at the")), ids_of(tokenizer, f"People met at the {word}")
        logp = model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
        values.append(sum(logp[t - 1, ids[t]].item() for t in range(start, len(ids))))
    mean = sum(values) / 3
    assert term.fn(batch, outputs).item() == pytest.approx(sum((v - mean) ** 2 for v in values) / 3, rel=1e-4)
    (term,) = EqualisingLoss(axes=(belief,), pieces="joint", retention=0.0, form="absolute").objective(
        run_of(model, tokenizer), model
    )
    # The word that is there against each of the others, and these against each other: all pairs of groups.
    apart = [abs(a - b) for a, b in combinations(values, 2)]
    assert term.fn(batch, outputs).item() == pytest.approx(sum(apart) / 3, rel=1e-4)


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_declustering_compares_log_masses_where_a_text_names_a_group(kind: str, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny(kind)
    options = {"clusters": (("nurse", "teacher"), ("engineer",)), "declustering": 0.3, "strength": 0.5}
    _, term = EqualisingLoss(retention=0.0, **options).objective(run_of(model, tokenizer, kind), model)
    assert (term.name, term.weight) == ("declustering", 0.15)
    batch, outputs = batch_of(model, tokenizer, [term], TEXTS, kind)
    masses = []
    for words in options["clusters"]:
        forms = [s + f for w in words for f in (w, w.capitalize(), w.upper()) for s in ("", " ")]
        masses.append({i[0] for f in forms if len(i := ids_of(tokenizer, f)) == 1})
    expected = []
    firsts = [" she", " king", "Mary", None, "He"]
    for b, (text, first) in enumerate(zip(TEXTS, firsts, strict=True)):
        if first is None:
            continue
        if kind == "masked":
            places = [t for t, label in enumerate(batch.labels[b].tolist()) if label != -100]
        else:
            start = len(ids_of(tokenizer, text[: text.index(first) + len(first)]))
            places = list(range(start - 1, len(ids_of(tokenizer, text)) - 1))
        for t in places:
            p = outputs.logits[b, t].double().softmax(-1).tolist()
            one, two = (math.log(sum(p[i] for i in ids)) for ids in masses)
            expected.append(abs(one - two))
    assert len(expected) >= 4
    assert term.fn(batch, outputs).item() == pytest.approx(sum(expected) / len(expected), rel=1e-4)


# ----------------------------------------------------------------------------------------------------- behaviour
@pytest.mark.parametrize("pieces", ["single", "first", "joint"])
def test_rows_without_a_slot_or_cut_before_it_add_nothing(pieces: Any, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    (term,) = EqualisingLoss(pieces=pieces, retention=0.0).objective(run_of(model, tokenizer), model)
    for texts, length in (([TEXTS[3]], 32), ([TEXTS[0]], 3)):
        value = term.fn(*batch_of(model, tokenizer, [term], texts, max_length=length))
        value.backward()
        assert value.item() == 0.0


@pytest.mark.parametrize("length", [10, 16])
@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_a_slot_behind_what_is_read_is_left_out(kind: str, length: int, tiny: Any, run_of: Any) -> None:
    """Rows are padded to a multiple of 16: a slot behind `max_length` lies behind all that the batch has."""
    model, tokenizer = tiny(kind)
    (term,) = EqualisingLoss(retention=0.0).objective(run_of(model, tokenizer, kind), model)
    late = "The house is good and the town is good and the house is old and the king is good."
    slot = reader(kind).slot(late)
    assert slot is not None and slot.place.start == (17 if kind == "masked" else 16)
    batches = [batch_of(model, tokenizer, [term], texts, kind, max_length=length) for texts in (TEXTS[1:2], [late])]
    (alone, cut), both = batches, batch_of(model, tokenizer, [term], [TEXTS[1], late], kind, max_length=length)
    assert term.count is not None
    assert [term.count(batch) for batch, _ in (alone, cut, both)] == [1.0, 0.0, 1.0]
    assert term.fn(*cut).item() == 0.0
    assert term.fn(*alone).item() > 0.01
    assert term.fn(*both).item() == pytest.approx(term.fn(*alone).item(), rel=1e-5)


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_training_equalises_the_slot(kind: str, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny(kind)
    run = run_of(model, tokenizer, kind, max_steps=20, learning_rate=5e-3)
    terms = EqualisingLoss(weight=5.0).objective(run, model)
    data = Dataset.from_dict({"text": TEXTS * 4})
    trained, result = run.services.train(data, terms, name="with")
    control, _ = run.services.train(data, [], name="without")
    with torch.no_grad():
        after, without = (terms[0].fn(*batch_of(m, tokenizer, terms, TEXTS, kind)).item() for m in (trained, control))
    assert after < 0.5 * without
    assert result.terms["equalising loss"]["gradient_norm"] > 0


def test_strength_0_contributes_nothing(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    assert EqualisingLoss(strength=0.0).objective(run_of(model, tokenizer), model) == []


def test_bad_options_say_what_to_do(tiny: Any, run_of: Any) -> None:
    with pytest.raises(UsageError, match="declustering compares lists of stereotype words"):
        EqualisingLoss(declustering=0.1)
    with pytest.raises(UsageError, match="one list has nothing to be compared with"):
        EqualisingLoss(clusters=(("nurse",),))
    model, tokenizer = tiny("masked")
    with pytest.raises(UsageError, match="a masked model gives the pieces of a word no joint probability"):
        EqualisingLoss(pieces="joint").objective(run_of(model, tokenizer, "masked"), model)
    model, tokenizer = tiny()
    lost = EqualisingLoss(clusters=(("nurse",), ("veterinarian",)), declustering=0.1)
    with pytest.raises(UsageError, match="no word of the cluster 'veterinarian' is one token of this model"):
        lost.objective(run_of(model, tokenizer), model)


def test_several_axes_have_a_term_each_and_clusters_are_material(tiny: Any, run_of: Any, belief: str) -> None:
    model, tokenizer = tiny()
    plugin = EqualisingLoss(axes=("gender", belief), pieces="first", clusters=(("nurse",), ("judge",)))
    names = [t.name for t in plugin.objective(run_of(model, tokenizer), model)]
    assert names == ["equalising loss (gender)", "equalising loss (belief)", "retention"]
    assert plugin.material().words == {"cluster 1": ("nurse",), "cluster 2": ("judge",)}
