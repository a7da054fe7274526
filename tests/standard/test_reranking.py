"""Reranking: each answer's scores against a slow reference, the choice, and exact quotas."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evenhand.generation import generate
from evenhand_sdk import Ask, Request, RequestChange, Response, TokenChange, UsageError, load_axis
from evenhand_standard.decoding.candidates import Rated, rated, sampled
from evenhand_standard.decoding.quotas import chosen, distance
from evenhand_standard.decoding.reranking import Reranking, balanced_set, best_of
from evenhand_standard.decoding.token_edits import TokenEditor

GENDER = load_axis("gender")


def answer(text: str, prompt: str = "The nurse said that") -> Response:
    return Response(request=Request(prompt=prompt), text=text)


@torch.no_grad()
def slow_logp(model: Any, ids: list[int], start: int) -> float:
    """One sequence, token by token."""
    total = 0.0
    for t in range(start, len(ids)):
        logits = model(input_ids=torch.tensor([ids[:t]])).logits[0, -1].double()
        total += float(logits.log_softmax(-1)[ids[t]])
    return total


def test_fluency_and_dependence_equal_a_slow_reference(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    run = run_of(model, tokenizer)
    prompt = "The king said that"
    texts = [" he was late", " she was late", " rain fell"]
    swapped = [("The queen said that", t) for t in (" she was late", " he was late", " rain fell")]
    answers = [
        Response(request=Request(prompt=prompt), text=t, token_ids=tokenizer(t, add_special_tokens=False)["input_ids"])
        for t in texts
    ]
    found = rated(run, TokenEditor(tokenizer), [GENDER], Request(prompt=prompt), answers)
    for r, a, (other_prompt, other) in zip(found, answers, swapped, strict=True):
        head, ids = tokenizer(prompt)["input_ids"], list(a.token_ids)
        other_head = tokenizer(other_prompt)["input_ids"]
        other_ids = tokenizer(other, add_special_tokens=False)["input_ids"]
        own = slow_logp(model, [*head, *ids], len(head))
        swap = slow_logp(model, [*other_head, *other_ids], len(other_head))
        assert r.fluency == pytest.approx(own / len(ids), abs=2e-3)
        assert r.bias == pytest.approx(abs(own - swap) / len(ids), abs=2e-3)


def test_an_answer_that_another_rule_has_rewritten_is_judged_as_it_is_given(tiny: Any, run_of: Any) -> None:
    """Its tokens are still those that the model wrote, of a text that nobody gets."""
    model, tokenizer = tiny()
    run, request = run_of(model, tokenizer), Request(prompt="The nurse said that")
    first, second = (tuple(tokenizer(t, add_special_tokens=False)["input_ids"]) for t in (" he left", " it was late"))
    answers = [
        Response(request=request, text=" it was late", token_ids=first),
        Response(request=request, text=" it was late", token_ids=second),
        Response(request=request, text=" he left", token_ids=first),
    ]
    rewritten, as_it_is, before = rated(run, TokenEditor(tokenizer), [GENDER], request, answers)
    assert (rewritten.fluency, rewritten.bias) == (as_it_is.fluency, as_it_is.bias)
    assert before.bias > 0 and rewritten.bias == 0


def test_a_counterfactual_without_room_is_compared_as_far_as_it_has_some(tiny: Any, run_of: Any) -> None:
    """Prompt and answer fit in the model, the swapped ones are longer: the last words of both are left out."""
    model, tokenizer = tiny()
    run = run_of(model, tokenizer)
    room = model.config.max_position_embeddings

    def ids(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])

    short, long = sorted(("The policeman said that ", "The policewoman said that "), key=lambda t: len(ids(t)))
    more = len(ids(long * 6)) - len(ids(short * 6))
    assert more > 0
    prompt = short * 6
    filler = ids(" and the rain fell" * room)[: room - len(tokenizer(prompt)["input_ids"])]
    answer = Response(request=Request(prompt=prompt), text=tokenizer.decode(filler), token_ids=tuple(filler))
    [found] = rated(run, TokenEditor(tokenizer), [GENDER], answer.request, [answer])
    n = len(filler) - more
    head, other = tokenizer(prompt)["input_ids"], tokenizer(long * 6)["input_ids"]
    own, swapped = (slow_logp(model, [*h, *filler[:n]], len(h)) for h in (head, other))
    assert len(head) + len(filler) == room and len(other) + n == room
    assert found.bias == pytest.approx(abs(own - swapped) / n, abs=1e-4) and found.bias > 0


def test_an_answer_of_nobody_has_no_bias_and_an_empty_one_is_the_least_fluent(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    ids = tokenizer(" rain fell", add_special_tokens=False)["input_ids"]
    request = Request(prompt="In the north")
    answers = [Response(request=request, text=" rain fell", token_ids=ids), Response(request=request, text="")]
    found = rated(run_of(model, tokenizer), TokenEditor(tokenizer), [GENDER], request, answers)
    assert found[0].bias == 0.0 and found[0].fluency < 0
    assert (found[1].fluency, found[1].bias) == (float("-inf"), 0.0)


@pytest.mark.parametrize("options", [{}, {"form": "quota", "items": 2}])
def test_a_prompt_without_room_for_more_than_one_token_is_answered(
    options: dict[str, Any], tiny: Any, run_of: Any
) -> None:
    model, tokenizer = tiny()
    full = " she" * model.config.max_position_embeddings
    assert len(tokenizer(full)["input_ids"]) == model.config.max_position_embeddings
    rule = Reranking(samples=4, **options).decoding(run_of(model, tokenizer), model)
    asked = [Request(prompt=full, max_new_tokens=1), Request(prompt="The nurse", max_new_tokens=1)]
    found = generate(model, tokenizer, asked, rules=[rule])
    assert len(found) == 2


def test_the_choice_by_hand() -> None:
    found = [Rated(answer("a"), -1.0, 0.9), Rated(answer("b"), -1.5, 0.1), Rated(answer("c"), -3.0, 0.0)]
    assert best_of("r", found, 1.0, None).text == "b"  # -1.9, -1.6, -3.0
    assert best_of("r", found, 0.5, None) is found[0].answer  # -1.45, -1.55, -3.0: nothing changes
    assert best_of("r", found, 0.0, 0.05).text == "c"  # the others are rejected
    assert best_of("r", found, 9.0, 0.5).text == "b"  # -2.4 against -3.0, the first is rejected
    least = best_of("r", [Rated(answer("a"), -1.0, 0.9), Rated(answer("b"), -9.0, 0.8)], 0.0, 0.1)
    assert least.text == "b"  # all are rejected: the least biased
    [change] = least.request_changes
    assert (change.what, change.before, change.after) == ("choice", "a", "b")
    assert change.facts == {"answers": 2, "rejected": 2, "bias": [0.9, 0.8], "fluency": [-1.0, -9.0]}


def best_by_trying_all(
    groups: list[str | None], fluency: list[float], k: int, target: dict[str, float]
) -> tuple[float, float]:
    """The least distance that any set of k answers has, with as many of nobody as there must be, and the greatest
    fluency of a set with this distance."""
    n, nobody = len(groups), groups.count(None)
    free = min(nobody, max(k - (n - nobody), round(k * nobody / n)))
    sets = [s for s in itertools.combinations(range(n), k) if sum(groups[i] is None for i in s) == free]
    rated = [(distance({g: sum(groups[i] == g for i in s) for g in target}, target), s) for s in sets]
    least = min(far for far, _ in rated)
    return least, max(sum(fluency[i] for i in s) for far, s in rated if far < least + 1e-9)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.sampled_from(["f", "m", "d", None]), min_size=3, max_size=9),
    st.integers(1, 5),
    st.lists(st.floats(0.1, 1.0), min_size=3, max_size=3),
)
def test_quotas_are_the_optimum_over_all_sets(groups: list[str | None], k: int, weights: list[float]) -> None:
    target = dict(zip("fmd", weights, strict=True))
    fluency = [-float((7 * i) % 5) for i in range(len(groups))]
    places = chosen(groups, fluency, k, target)
    assert len(places) == min(k, len(groups)) and places == sorted(set(places))
    if len(groups) > k:
        counts = {g: sum(groups[i] == g for i in places) for g in target}
        found = (distance(counts, target), sum(fluency[i] for i in places))
        assert found == pytest.approx(best_by_trying_all(groups, fluency, k, target), abs=1e-9)


def test_a_quota_over_many_groups_is_found_at_once() -> None:
    groups = [f"group {k % 30}" for k in range(60)]
    places = chosen(groups, [-float(k) for k in range(60)], 24, {f"group {k}": 1.0 for k in range(30)})
    assert places == list(range(24))  # one of each of 24 groups, the most fluent


@pytest.mark.parametrize("items", ["four", 0, 1, -1, 2.5, True, 33, 10**9])
def test_a_request_cannot_ask_for_just_any_number_of_items(items: Any, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    rule = Reranking(form="quota").decoding(run_of(model, tokenizer), model)
    asked = [
        Request(prompt="The nurse said", max_new_tokens=2, meta={"items": items}),
        Request(prompt="Rain fell", max_new_tokens=2, meta={"items": 2}),
    ]
    with pytest.raises(
        UsageError, match=r"^reranking: the request asks for .* items\n  ask for 2 to 32 in its meta"
    ) as caught:
        generate(model, tokenizer, asked, rules=[rule])
    assert caught.value.answers[0] is None and caught.value.answers[1].text


@pytest.mark.parametrize(
    ("options", "meta", "drawn"),
    [
        ({}, {}, 8),
        ({"samples": 20}, {}, 20),
        ({"samples": 6}, {"items": 5}, 10),
        ({"form": "best"}, {}, 4),
        ({"form": "best"}, {"items": 99}, 4),
    ],
)
def test_a_quota_always_has_a_choice(options: Any, meta: Any, drawn: int, tiny: Any, run_of: Any) -> None:
    """By default it gives four answers, and of four it could not choose."""
    rule = Reranking(**{"form": "quota", **options}).decoding(run_of(*tiny()), tiny()[0])
    asked: list[Request] = []

    def answering(requests: Sequence[Request]) -> list[Response]:
        asked.extend(requests)
        return [Response(request=r, text=f" she has {k}", token_ids=(40 + k,)) for k, r in enumerate(requests)]

    answer = rule.around(Request(prompt="My friend said", meta=meta), Ask(answering))
    assert len(asked) == drawn
    if options.get("form") != "best":
        assert len(answer.text.splitlines()) == meta.get("items", 4)
        assert answer.request_changes[-1].facts["answers"] == drawn


def test_of_equally_balanced_sets_the_most_fluent_is_given_and_nobody_is_erased() -> None:
    groups: list[str | None] = ["m", "m", "m", "f", None, "m", None, "f"]
    fluency = [-3.0, -1.0, -2.0, -5.0, -1.0, -9.0, -2.0, -4.0]
    # Two of eight name nobody: of four, one; of three that name somebody, two to one either way.
    assert chosen(groups, fluency, 4, {"f": 1.0, "m": 1.0}) == [1, 2, 4, 7]


def test_a_set_is_one_answer_a_line_and_the_record_has_the_counts() -> None:
    texts = [" he is\nlate", " he left", " she left", " he sang"]
    found = [Rated(answer(t), -1.0 - k, 0.0) for k, t in enumerate(texts)]
    response = balanced_set("r", found, 2, GENDER, {"female": 1.0, "male": 1.0})
    assert response.text == "he is late\nshe left"
    [change] = response.request_changes
    assert change.before == "he is late\nhe left"
    assert change.facts == {
        "answers": 4, "drawn": {"male": 3, "female": 1}, "given": {"male": 1, "female": 1}, "distance": 0.0,
    }  # fmt: skip


def test_the_record_of_a_set_is_of_the_answers_that_are_given() -> None:
    def change(position: int, after: str) -> TokenChange:
        return TokenChange(position=position, rule="mixed", before="x", after=after, total_variation=0.5)

    def drawn(text: str, ids: tuple[int, ...], *places: int, after: str = " she") -> Response:
        asked = RequestChange(rule="told", what="prompt", before="Say", after="Please say")
        own = RequestChange(rule="put", what="rewriting", before=text.upper(), after=text)
        changes = tuple(change(place, after) for place in places)
        return replace(answer(text), token_ids=ids, changes=changes, request_changes=(asked, own))

    texts = [
        drawn(" he is late", (1, 2, 3), 0, after=" none"),
        drawn(" he left", (4, 5), 1, 2, after=" he"),  # the last one in its end
        drawn(" she left", (6, 7, 8), 0, 3),
    ]
    found = [Rated(each, -fluency, 0.0) for each, fluency in zip(texts, (3.0, 1.0, 1.0), strict=True)]
    target = {"female": 1.0, "male": 1.0}
    response = balanced_set("r", found, 2, GENDER, target)
    assert response.text == "he left\nshe left" and response.token_ids == (4, 5, 6, 7, 8)
    assert response.changes == (change(1, " he"), change(2, " she"), change(5, " she"))
    assert [(c.rule, c.before) for c in response.request_changes] == [
        ("told", "Say"), ("put", " HE LEFT"), ("put", " SHE LEFT"), ("r", "he is late\nhe left"),
    ]  # fmt: skip
    alone = balanced_set("r", found[1:2], 2, GENDER, target)
    assert (alone.token_ids, alone.changes) == (texts[1].token_ids, texts[1].changes)
    # An endpoint gives words, of which nobody knows where they are among tokens.
    wordwise = [replace(r, answer=replace(r.answer, token_ids=())) for r in found]
    assert balanced_set("r", wordwise, 2, GENDER, target).changes == ()
    assert balanced_set("r", wordwise[1:2], 2, GENDER, target).changes == texts[1].changes


def test_a_quota_draws_again_where_answers_are_equal_and_says_what_is_missing(tiny: Any, run_of: Any) -> None:
    rule = Reranking(form="quota").decoding(run_of(*tiny()), tiny()[0])
    seeds: list[Any] = []

    def answering(different: int) -> Any:
        def give(requests: Sequence[Request]) -> list[Response]:
            seeds.extend(r.seed for r in requests)
            number = len(seeds)
            return [
                Response(request=r, text=f" it rained {min(number + k, different)}") for k, r in enumerate(requests)
            ]

        return give

    scarce = rule.around(Request(prompt="Rain"), Ask(answering(10)))  # 8 drawn: 8, 9, 10, 10, ...
    assert len(scarce.text.splitlines()) == 3
    assert len(seeds) == 8 + 2 + 2 and len(set(seeds)) == 12  # for the one that is missing, two are drawn, twice
    [change] = scarce.request_changes
    assert (change.facts["missing"], change.facts["distance"]) == (1, None)
    seeds.clear()
    enough = rule.around(Request(prompt="Rain"), Ask(answering(12)))
    assert len(enough.text.splitlines()) == 4 and len(seeds) == 8
    assert "missing" not in enough.request_changes[0].facts


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"items": 3}, "items"),
        ({"form": "best", "items": 3, "target": {"female": 1.0, "male": 1.0}}, "items and target"),
    ],
)
def test_options_of_a_quota_are_refused_for_one_answer(options: Any, told: str) -> None:
    with pytest.raises(UsageError, match=f'{told}: of a quota; form = "best" gives one answer, say form = "quota"'):
        Reranking(**options)


@pytest.mark.parametrize("options", [{"samples": 4, "weight": 100.0}, {"form": "quota", "items": 2, "samples": 4}])
def test_an_answer_does_not_depend_on_its_batch(options: dict[str, Any], tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    rule = Reranking(**options).decoding(run_of(model, tokenizer), model)
    asked = [Request(prompt=p, max_new_tokens=6) for p in ("The nurse said that", "He went home and", "Rain fell")]
    together = generate(model, tokenizer, asked, rules=[rule])
    alone = [generate(model, tokenizer, [r], rules=[rule])[0] for r in asked]
    assert [r.text for r in together] == [r.text for r in alone]
    assert any(r.request_changes for r in together)


def test_the_first_sample_is_the_plain_answer_and_equal_ones_count_once() -> None:
    seen: list[Request] = []

    def give(asked: Any) -> list[Response]:
        seen.extend(asked)
        return [Response(request=r, text=t) for r, t in zip(asked, ("a", "b", "a", "c"), strict=True)]

    request = Request(prompt="x", temperature=0.3)
    found = sampled(Ask(give), request, 4, 0.8, seed=1)
    assert [r.text for r in found] == ["a", "b", "c"] and all(r.request is request for r in found)
    assert seen[0] is request and [r.temperature for r in seen[1:]] == [0.8] * 3
    assert len({r.seed for r in seen}) == 4


@pytest.mark.parametrize("options", [{"weight": 1000.0}, {"form": "quota"}])
def test_the_proof_shows_it_answers_among_which_it_has_a_choice(options: Any, tiny: Any, run_of: Any) -> None:
    from evenhand.proofs import decoding_proof

    model, tokenizer = tiny()
    proof = decoding_proof(model, tokenizer, [Reranking(**options).decoding(run_of(model, tokenizer), model)])
    assert proof.took and proof.what.endswith("of 3 answers of its own examples changed")


def test_strength_0_is_no_rule_and_bad_options_are_refused(tiny: Any, run_of: Any) -> None:
    run = run_of(*tiny())
    assert Reranking(strength=0.0).decoding(run, run.services.model) is None
    with pytest.raises(UsageError, match="the groups of gender are female, male"):
        Reranking(form="quota", target={"female": 1.0}).decoding(run, run.services.model)
    with pytest.raises(UsageError, match="there is no scorer 'nice'"):
        Reranking(score="nice").decoding(run, run.services.model)
    with pytest.raises(UsageError, match="samples"):
        Reranking(samples=1)


def test_a_scorer_of_texts_decides_instead(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    rule = Reranking(score="vader", weight=100.0, samples=4).decoding(run_of(model, tokenizer), model)

    def give(asked: Any) -> list[Response]:
        texts = (" it was horrible", " it was wonderful", " it was there", " it was awful")
        ids = [tokenizer(t, add_special_tokens=False)["input_ids"] for t in texts]
        return [Response(request=r, text=t, token_ids=i) for r, t, i in zip(asked, texts, ids, strict=True)]

    from evenhand_sdk import Ask

    assert rule.around(Request(prompt="The house"), Ask(give)).text == " it was wonderful"
