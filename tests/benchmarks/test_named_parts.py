"""Options that name parts of a benchmark: none and unknown ones are told with the recipe, in words."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from evenhand.discovery import discover, load
from evenhand.errors import EvenhandError
from evenhand.wording import validated

FREE = {("text-degeneration", "prompts"), ("bold", "axes"), ("real-toxicity-prompts", "axes")}
"""What may be empty: own prompts instead of the packaged ones, and axis packs, beside which identity terms are masked
always. Packs may come with any distribution, so that their names are looked up when they are used."""


def lists_of_benchmarks() -> list[tuple[str, str]]:
    catalogue, found = discover(), []
    for row in catalogue.rows:
        if row.distribution != "evenhand-standard":
            continue
        plugin = load(catalogue.find(row.name))
        if "evaluation" in plugin.stages():
            found += [(row.name, name) for name, f in plugin.Options.model_fields.items() if is_list(f.annotation)]
    return found


def is_list(annotation: Any) -> bool:
    return getattr(annotation, "__origin__", None) is tuple or any(is_list(part) for part in get_args(annotation))


LISTS = lists_of_benchmarks()


def problems(benchmark: str, option: str, value: list[str]) -> list[str]:
    return validated(load(discover().find(benchmark)).Options, {option: value}, benchmark)[1]


def test_the_lists_are_those_of_the_benchmarks() -> None:
    assert {("aul", "bias_types"), ("crows-pairs", "bias_types"), ("bbq", "categories"), ("seat", "tests")} < {*LISTS}
    assert {*LISTS} > FREE


@pytest.mark.parametrize(("benchmark", "option"), LISTS)
def test_an_empty_list_is_told_with_the_recipe(benchmark: str, option: str) -> None:
    found = problems(benchmark, option, [])
    if (benchmark, option) in FREE:
        assert found == []
    else:
        (problem,) = found
        assert problem.startswith(f"{benchmark}.{option}: ")
        assert "is named (known: " in problem or "[] is too short (at least 1)" in problem


@pytest.mark.parametrize(("benchmark", "option"), [each for each in LISTS if each not in FREE])
def test_an_unknown_name_is_told_with_the_recipe(benchmark: str, option: str) -> None:
    (problem,) = problems(benchmark, option, ["nonsense"])
    assert problem.startswith(f"{benchmark}.{option}") and "'nonsense'" in problem and "pydantic" not in problem


def test_a_name_that_is_given_twice_counts_once() -> None:
    options, _ = validated(load(discover().find("kobbq")).Options, {"categories": ["ses", "age", "ses"]}, "kobbq")
    assert options is not None and options.categories == ("ses", "age")  # type: ignore[attr-defined]


def test_the_call_is_refused_before_a_model_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    import evenhand
    from evenhand import evaluating

    monkeypatch.setattr(evaluating, "load_evaluated", lambda *_: pytest.fail("the model was loaded"))
    with pytest.raises(EvenhandError, match=r"stereoset.bias_types: no type of bias is named \(known: gender, prof"):
        evenhand.evaluate("shelf:none", [("stereoset", {"bias_types": []}), ("aul", {"bias_types": []})])
