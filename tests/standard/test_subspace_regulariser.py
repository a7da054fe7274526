"""Subspace regularisers: directions, the four formulas against slow values, and that they move what they name."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy
import pytest
import torch
from datasets import Dataset
from objective_batches import batch_of, ids_of

from evenhand.errors import UsageError
from evenhand_sdk import load_axis
from evenhand_sdk.tiny import tiny_tokenizer
from evenhand_standard.objective.embedding_directions import (
    Directions,
    centred,
    group_tables,
    group_vectors,
    matrices,
    neutral_tokens,
    principal_directions,
)
from evenhand_standard.objective.group_word_tokens import word_table
from evenhand_standard.objective.hidden_orthogonality import AttributeVectors
from evenhand_standard.objective.subspace_regulariser import SubspaceRegulariser

TEXTS = ["The nurse said that she was good.", "Rain fell on the town.", "People said he is a judge."]
GENDER = load_axis("gender")
FORMS = ["embedding-projection", "hidden-inner-product", "hidden-orthogonality", "cosine"]


def terms_of(form: str, model: Any, run: Any, **options: Any) -> list[Any]:
    return SubspaceRegulariser(form=form, **{"retention": 0.0, **options}).objective(run, model)


def untied(model: Any) -> Any:
    """The same model with an output matrix of its own."""
    model = copy.deepcopy(model)
    torch.manual_seed(5)
    model.config.tie_word_embeddings = False
    model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.lm_head.weight))
    return model


# -------------------------------------------------------------------------------------------------- directions
def test_directions_of_a_matrix_whose_groups_differ_along_known_axes() -> None:
    """Embeddings: one shared part for each pair, plus 3 e_0 for one group; the second pair differs by 4 e_1."""
    tokenizer = tiny_tokenizer()
    pairs = [[["she"], ["he"]], [["woman"], ["man"]], [["girl", "girls"], ["boy"]]]
    tables = [word_table(tokenizer, pairs, "spaced plain", "single")]
    matrix = torch.zeros(len(tokenizer), 6)
    at = {w: ids_of(tokenizer, f" {w}")[0] for pair in pairs for side in pair for w in side}
    matrix[at["she"], 5], matrix[at["he"], 5] = 7.0, 7.0
    matrix[at["he"], 0] = 3.0
    matrix[at["man"], 1] = 4.0
    matrix[at["girls"], 2] = 2.0  # girl and girls together are their mean, 1 e_2
    rows, groups = centred(matrix, tables)
    assert groups.tolist() == [0, 1, 0, 1, 0, 1]
    assert rows[0].tolist() == [-1.5, 0, 0, 0, 0, 0] and rows[3].tolist() == [0, 2, 0, 0, 0, 0]
    assert rows[4].tolist() == [0, 0, 0.5, 0, 0, 0]
    found = principal_directions(matrix, tables, 2).abs()
    assert torch.allclose(found, torch.tensor([[0.0, 1, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0]]), atol=1e-6)
    one, two = group_vectors(matrix, tables)
    expected = torch.tensor([-1.5, -2.0, 0.5, 0, 0, 0]) / math.sqrt(1.5**2 + 4 + 0.25)
    assert torch.allclose(one, expected, atol=1e-6) and torch.allclose(two, -expected, atol=1e-6)


def test_principal_directions_are_those_of_numpy_on_differences_from_the_pair_mean(tiny: Any) -> None:
    model, tokenizer = tiny()
    tables = group_tables(tokenizer, GENDER, names=False)
    weight = model.get_input_embeddings().weight.detach()
    rows = centred(weight, tables)[0].double().numpy()
    assert len(rows) > 40
    values, vectors = numpy.linalg.eigh(rows.T @ rows)
    found = principal_directions(weight, tables, 3).double().numpy()
    for k in range(3):
        assert abs(found[k] @ vectors[:, -1 - k]) == pytest.approx(1.0, abs=1e-4)


def test_directions_are_found_again_after_so_many_steps_and_survive_a_resume(tiny: Any) -> None:
    model, tokenizer = tiny()
    tables = group_tables(tokenizer, GENDER, names=False)
    kept = Directions(group_vectors, tables, every=3)
    weight = model.get_input_embeddings().weight.detach()
    first = kept.of("input", weight)
    moved = torch.randn_like(weight)
    for step in (1, 2):
        kept.on_step(step, 10)
        assert torch.equal(kept.of("input", moved), first)
    again = Directions(group_vectors, tables, every=3)
    again.load_state_dict(kept.state_dict())
    assert torch.equal(again.of("input", moved), first)
    kept.on_step(3, 10)
    assert torch.equal(kept.of("input", moved), group_vectors(moved, tables))


def test_neutral_tokens_are_the_vocabulary_without_groups_and_special_tokens() -> None:
    tokenizer = tiny_tokenizer()
    found = set(neutral_tokens(tokenizer, group_tables(tokenizer, GENDER, names=True), 10_000).tolist())
    assert found.isdisjoint(tokenizer.all_special_ids)
    assert {ids_of(tokenizer, w)[0] for w in (" nurse", " the", " good")} <= found
    assert found.isdisjoint({ids_of(tokenizer, w)[0] for w in (" she", " he", "He", " king", " Mary")})
    assert len(found) > 800


def test_an_axis_without_one_token_words_is_refused(tmp_path: Any) -> None:
    path = tmp_path / "rare.toml"
    path.write_text(
        'axis = "rare"\nlocale = "en"\ngroups = ["x", "y"]\nlicence = "Apache-2.0"\nprovenance = "Test."\n'
        'limits = ["None."]\n[[words]]\ntheme = "t"\npos = "noun"\nnumber = "singular"\n'
        'rows = [["zyzzyva", "quokka"]]\n'
    )
    with pytest.raises(UsageError, match="no two groups of the axis 'rare' have a word that is one token"):
        group_tables(tiny_tokenizer(), load_axis(str(path)), names=False)


# -------------------------------------------------------------------------------------------- against slow values
@pytest.mark.parametrize("tied", [True, False])
def test_the_projection_is_the_squared_frobenius_norm_in_every_matrix(tied: bool, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    model = model if tied else untied(model)
    assert list(matrices(model)) == (["input"] if tied else ["input", "output"])
    (term,) = terms_of("embedding-projection", model, run_of(model, tokenizer), directions=2, weight=0.5)
    assert (term.name, term.weight, term.normalise) == ("embedding projection", 0.5, True)
    tables = group_tables(tokenizer, GENDER, names=False)
    expected = 0.0
    for weight in {model.get_input_embeddings().weight, model.get_output_embeddings().weight}:
        rows = centred(weight.detach(), tables)[0].double().numpy()
        b = numpy.linalg.eigh(rows.T @ rows)[1][:, -2:]
        n = weight.detach().double().numpy()[neutral_tokens(tokenizer, tables, 10_000).numpy()]
        expected += float(((n @ b) ** 2).sum())
    value = term.fn(*batch_of(model, tokenizer, [term], TEXTS))
    assert value.item() == pytest.approx(expected, rel=1e-3)
    value.backward()
    grown = [bool(m.grad is not None and m.grad.abs().sum() > 0) for m in matrices(model).values()]
    assert grown == [True] * (1 if tied else 2)


@pytest.mark.parametrize("kind", ["causal", "masked"])
@pytest.mark.parametrize("targets", [(), ("nurse", "judge")])
def test_the_inner_product_is_that_of_final_states_with_the_groups_vector(
    targets: Any, kind: str, tiny: Any, run_of: Any
) -> None:
    model, tokenizer = tiny(kind)
    (term,) = terms_of("hidden-inner-product", model, run_of(model, tokenizer, kind), targets=targets)
    batch, outputs = batch_of(model, tokenizer, [term], TEXTS, kind)
    tables = group_tables(tokenizer, GENDER, names=False)
    grouped = {int(t) for table in tables for t in table.tokens[table.filled]}
    wanted = {ids_of(tokenizer, f" {w}")[0] for w in targets}
    rows, groups = centred(model.get_output_embeddings().weight.detach(), tables)
    difference = (rows[groups == 1].double().mean(0) - rows[groups == 0].double().mean(0)).numpy()
    vector = difference / numpy.linalg.norm(difference)
    found = []
    for b in range(len(TEXTS)):
        for t in range(int(batch.attention_mask[b].sum())):
            token = int(batch.input_ids[b, t])
            if token in wanted if targets else token not in grouped | set(tokenizer.all_special_ids):
                found.append(abs(float(outputs.hidden_states[-1][b, t].detach().double().numpy() @ vector)))
    assert len(found) >= 2
    # With two groups whose pairs all have both, the two vectors are each other's negative.
    assert term.fn(batch, outputs).item() == pytest.approx(sum(found) / len(found), rel=2e-3)


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_hidden_orthogonality_and_distance_over_all_layers(kind: str, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny(kind)
    reference = copy.deepcopy(model)
    with torch.no_grad():
        for p in reference.parameters():
            p.mul_(0.9)
    r, d = terms_of("hidden-orthogonality", model, run_of(model, tokenizer, kind), weight=2.0)
    assert (r.weight, d.weight, r.anchor, d.anchor) == (0.4, 1.6, False, True)
    batch, outputs = batch_of(model, tokenizer, [r, d], TEXTS, kind, reference=reference)
    with torch.no_grad():
        given = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask, "output_hidden_states": True}
        before = reference(**given).hidden_states
    grouped = {ids_of(tokenizer, w)[0] for w in (" she", " he")}
    special = set(tokenizer.all_special_ids)
    places = [
        (b, t)
        for b in range(len(TEXTS))
        for t in range(int(batch.attention_mask[b].sum()))
        if int(batch.input_ids[b, t]) not in special and not (kind == "causal" and t == 0)
    ]
    products, distances = [], []
    for layer, (h, h0) in enumerate(zip(outputs.hidden_states, before, strict=True)):
        h, h0 = h.detach().double(), h0.double()
        unit = sum(float(h0[p].square().sum()) for p in places) / len(places)
        vectors = [h[p] for p in places if int(batch.input_ids[p]) in grouped]
        assert len(vectors) >= 1 and layer < 3
        for p in places:
            distances.append(float((h[p] - h0[p]).square().sum()) / unit)
            if int(batch.input_ids[p]) not in grouped:
                products += [float(v @ h[p] / unit) ** 2 for v in vectors]
    assert r.fn(batch, outputs).item() == pytest.approx(sum(products) / len(products), rel=1e-3)
    assert d.fn(batch, outputs).item() == pytest.approx(sum(distances) / len(distances), rel=1e-3)


def test_vectors_of_group_words_are_means_of_the_last_steps_and_survive_a_resume() -> None:
    held = AttributeVectors(frozenset({4, 7}), every=2)
    assert held.vectors() is None
    states = torch.arange(12.0).reshape(1, 6, 2)
    held.observe(torch.tensor([4, 5, 7, 4, 0, 1]), states)
    mean = [[[(0 + 6) / 2, (1 + 7) / 2]], [[4.0, 5.0]]]
    assert held.vectors().tolist() == mean  # type: ignore[union-attr]
    held.on_step(1, 9)
    held.observe(torch.tensor([7]), torch.tensor([[[8.0, 9.0]]]))
    assert held.vectors()[1].tolist() == [[6.0, 7.0]]  # type: ignore[index]
    held.on_step(2, 9)
    held.observe(torch.tensor([7]), torch.tensor([[[100.0, 100.0]]]))
    assert held.vectors()[1].tolist() == [[6.0, 7.0]]  # type: ignore[index]
    again = AttributeVectors(frozenset({4, 7}), every=2)
    again.load_state_dict(held.state_dict())
    for one in (held, again):
        one.on_step(4, 9)
        assert one.vectors().tolist() == [[[100.0, 100.0]]]  # type: ignore[union-attr]


def test_after_a_resume_the_vectors_are_on_the_device_of_the_model() -> None:
    """A checkpoint is read to the processor; the device `meta` stands for an accelerator."""
    held, again = (AttributeVectors(frozenset({4, 7}), every=9) for _ in range(2))
    held.observe(torch.tensor([4, 7]), torch.ones(1, 2, 2))
    again.load_state_dict(held.state_dict())
    again.observe(torch.tensor([7]), torch.ones(1, 1, 2, device="meta"))
    assert again.vectors().device.type == "meta"  # type: ignore[union-attr]


def test_the_cosine_is_that_of_mean_final_states_of_both_texts(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    (term,) = terms_of("cosine", model, run_of(model, tokenizer))
    batch, outputs = batch_of(model, tokenizer, [term], TEXTS)
    expected = []
    for one, two in ((TEXTS[0], "The nurse said that he was good."), (TEXTS[2], "People said she is a judge.")):
        a, b = (
            model(input_ids=torch.tensor([ids_of(tokenizer, t)]), output_hidden_states=True)
            .hidden_states[-1][0].detach().double().mean(0).numpy()
            for t in (one, two)
        )  # fmt: skip
        expected.append(1 - float(a @ b) / (numpy.linalg.norm(a) * numpy.linalg.norm(b)))
    assert term.fn(batch, outputs).item() == pytest.approx(sum(expected) / 2, rel=1e-3)
    lone = term.fn(*batch_of(model, tokenizer, [term], TEXTS[1:2]))
    lone.backward()
    assert lone.item() == 0.0


# ----------------------------------------------------------------------------------------------------- behaviour
@pytest.mark.parametrize("kind", ["causal", "masked"])
@pytest.mark.parametrize("form", FORMS)
def test_training_lowers_the_regulariser(form: str, kind: str, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny(kind)
    run = run_of(model, tokenizer, kind, max_steps=30, learning_rate=5e-3)
    # Vectors move fast at this learning rate. Without the distance, which holds against orthogonality.
    terms = terms_of(form, model, run, weight=20.0, every=1)[:1]
    data = Dataset.from_dict({"text": TEXTS * 4})
    trained, result = run.services.train(data, terms, name="with")
    control, _ = run.services.train(data, [], name="without")
    values = []
    for m in (trained, control):
        (fresh, *_) = terms_of(form, m, run)
        values.append(fresh.fn(*batch_of(m, tokenizer, [fresh], TEXTS, kind, reference=model)).item())
    assert values[0] < 0.8 * values[1]
    assert result.terms[terms[0].name]["gradient_norm"] > 0


def test_embeddings_that_do_not_move_are_told(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    run = run_of(model, tokenizer)
    terms = terms_of("embedding-projection", model, run)
    with pytest.raises(UsageError, match="this training moves none"):
        run.services.train(Dataset.from_dict({"text": TEXTS}), terms, trainable=["model.norm.weight"], name="still")


def test_strength_0_contributes_nothing_and_targets_are_material(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    assert SubspaceRegulariser(strength=0.0).objective(run_of(model, tokenizer), model) == []
    assert SubspaceRegulariser(targets=("nurse",)).material().words == {"targets": ("nurse",)}
    with pytest.raises(UsageError, match="none of the targets 'veterinarian' is one token of this model"):
        terms_of("hidden-inner-product", model, run_of(model, tokenizer), targets=("veterinarian",))


def test_several_axes_have_a_term_each(tiny: Any, run_of: Any, belief: str) -> None:
    model, tokenizer = tiny()
    terms = SubspaceRegulariser(axes=("gender", belief), form="cosine").objective(run_of(model, tokenizer), model)
    assert [t.name for t in terms] == ["cosine (gender)", "cosine (belief)", "retention"]
