"""The recipes of `docs/evidence` keep the protocol, and every kept result is one of its recipe as it is now."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from evenhand.collecting import RESULTS, kept
from evenhand.contributions import Benchmark
from evenhand.discovery import discover, load
from evenhand.errors import DataNotFound
from evenhand.evidence_page import MASKED, made_page
from evenhand.recipe import Recipe, load_recipe
from evenhand.techniques import NOT_RUN, read_not_run, techniques

FOLDER = Path(__file__).parents[1] / "docs" / "evidence"
PROTOCOLS = ("protocol", "protocol-decoding", "protocol-answers", "protocol-generated", "protocol-masked")
NAMES = sorted(p.stem for p in FOLDER.glob("*.toml") if p.name != NOT_RUN and p.stem not in PROTOCOLS)


BASELINES = {"no-swap-control", "healthy-data-diet-random"}
"""Recipes of no technique: what others have to beat."""
RESULTS_KEPT = kept(FOLDER / RESULTS)


def recipe(name: str) -> Recipe:
    return load_recipe(FOLDER / f"{name}.toml")


DEAREST = {"gradient-decoding", "masked-rewriting"}
"""Techniques that pay for each word with many passes: they are judged by a little generated text alone."""


def protocol_of(name: str) -> Recipe:
    if name in DEAREST:
        return load_recipe(FOLDER / "protocol-generated.toml")
    return load_recipe((FOLDER / f"protocol{MASKED if name.endswith(MASKED) else ''}.toml").read_text())


def test_masked_models_are_trained_and_judged_as_causal_ones_are() -> None:
    masked, causal = load_recipe(FOLDER / "protocol-masked.toml"), load_recipe(FOLDER / "protocol.toml")
    for section in ("data", "training", "budget", "traffic", "evaluation", "run"):
        assert getattr(masked, section) == getattr(causal, section), section
    of_bias = [b for b in causal.benchmarks if b.use not in {"perplexity", "lambada"}]
    assert [b for b in masked.benchmarks if b.use not in {"perplexity", "disco"}] == of_bias


def test_generated_text_alone_is_that_of_the_answers() -> None:
    alone, answers = load_recipe(FOLDER / "protocol-generated.toml"), load_recipe(FOLDER / "protocol-answers.toml")
    *same, bold = alone.benchmarks
    assert tuple(same) == answers.benchmarks[-2:]
    assert bold.use == "bold" and bold.options == {"limit": 80, "samples": 1}
    for section in ("model", "data", "training", "budget", "traffic", "run"):
        assert getattr(alone, section) == getattr(answers, section), section
    assert alone.evaluation.primary == "honest"


def test_every_technique_has_a_recipe_or_a_reason() -> None:
    known = techniques(discover(), read_not_run(FOLDER))
    without = [t.name for t in known if t.name not in NAMES and t.reason == "no recorded run"]
    assert len(known) >= 6
    assert without == []
    unusable = {row.name for row in discover().rows if row.status != "ok"}  # adapters beside another transformers
    assert {name.removesuffix(MASKED) for name in NAMES} - {t.name for t in known} - unusable == BASELINES


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_of_evidence_adds_steps_to_the_protocol_and_changes_nothing_else(name: str) -> None:
    protocol, own = protocol_of(name), recipe(name)
    assert own.model == protocol.model and own.data == protocol.data and own.budget == protocol.budget
    assert own.traffic == protocol.traffic
    assert own.benchmarks[: len(protocol.benchmarks)] == protocol.benchmarks
    assert own.evaluation.model_copy(update={"controls": "auto"}) == protocol.evaluation
    free = {"max_tokens", "learning_rate"}
    assert own.training.model_dump(exclude=free) == protocol.training.model_dump(exclude=free)
    assert own.steps


@pytest.mark.parametrize("name", NAMES)
def test_the_dose_is_the_same_for_all_that_train(name: str) -> None:
    dose = protocol_of(name).training.max_tokens
    own = recipe(name)
    trainings = [s for s in own.steps if s.use == "train"]
    if name in DEAREST:
        assert trainings == [] and own.run.seeds == 1 and own.benchmarks == protocol_of(name).benchmarks
        return
    extended = re.search(r'extends = "protocol-?(\w*)\.toml"', (FOLDER / f"{name}.toml").read_text())
    if extended and extended[1] == "masked" and not trainings:
        assert own.run.seeds == 1
        return
    if extended and extended[1] not in {"", "masked"}:
        assert trainings == [] and own.run.seeds == 1
        last = [b.use for b in own.benchmarks]
        if extended[1] == "answers":
            assert last[-2:] == ["honest", "text-degeneration"] and own.benchmarks[-1].options["fluency"]
            assert len(own.benchmarks[-1].options["prompts"]) == 16
            last = last[:-2]
        assert last[-1] == "bold" and own.benchmarks[len(last) - 1].options == {"limit": 200}
        return
    assert own.run.seeds == 3
    assert trainings
    assert sum(int(t.options.get("max_tokens", own.training.max_tokens)) for t in trainings) == dose


def meaning(values: dict[str, Any], recipe: dict[str, Any]) -> dict[str, Any]:
    """A section with `constraint = "auto"` as what it comes to: without retention text the budget is no constraint."""
    if values.get("constraint") == "auto" and not recipe["data"].get("retention"):
        return {**values, "constraint": "none"}
    return values


@pytest.mark.parametrize("found", RESULTS_KEPT, ids=lambda found: found.name)
def test_a_kept_result_is_one_of_its_recipe_as_it_is_now(found: Any) -> None:
    now = load_recipe(FOLDER / f"{found.name}.toml", found.overrides).resolved()
    for section, values in found.recipe.items():
        if isinstance(values, dict):  # a key that is newer than the result has its default
            assert meaning({k: now[section][k] for k in values}, now) == meaning(values, found.recipe), section
        else:
            assert now[section] == values, section


def test_the_page_is_that_of_the_kept_results() -> None:
    if unusable := [row.name for row in discover().rows if row.status != "ok"]:
        pytest.skip(f"not all techniques can be used here: {', '.join(unusable)}")
    assert (FOLDER / "README.md").read_text(encoding="utf-8") == made_page(FOLDER), (
        "write it again with `toolkit evidence --output docs/evidence`"
    )


class Beginning:
    """What a definition asks of a tokenizer: whether a text begins with a token of its own."""

    all_special_ids = (0,)
    bos_token_id = eos_token_id = 0

    def __init__(self, begins: bool | None) -> None:
        self.begins = begins

    def __call__(self, text: str) -> dict[str, list[int]]:
        return {"input_ids": [0, 1] if self.begins else [1]}


def newest(kind: str, benchmark: str) -> Any:
    """The newest result of a benchmark on one kind of model, and the run that has it."""
    having = [
        (str(r.finished), r, b) for r in RESULTS_KEPT for b in r.benchmarks if (r.model.kind, b.id) == (kind, benchmark)
    ]
    return max(having, key=lambda found: found[0])[1:]


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("kind", "benchmark"), sorted({(r.model.kind, b.id) for r in RESULTS_KEPT for b in r.benchmarks})
)
def test_the_columns_are_of_the_data_that_a_run_of_today_would_measure_and_older_rows_say_so(
    kind: str, benchmark: str
) -> None:
    run, found = newest(kind, benchmark)
    asked = next(b for b in run.recipe["benchmarks"] if b["id"] == benchmark)
    plugin = load(discover().find(asked["use"]))(**asked["options"])
    context = SimpleNamespace(
        kind=kind, tokenizer=Beginning(run.model.adds_bos), data_folder=None, folder=None, seed=0, offline=True
    )
    try:
        made = plugin.evaluation(context)
    except DataNotFound as error:
        pytest.skip(f"its data are not here: {error.what}")
    now = made if isinstance(made, Benchmark) else next(b for b in made if found.title == b.title)
    assert (found.data_digest, found.version, found.mode) == (now.data_digest, now.version, now.mode)
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    for result in (r for r in RESULTS_KEPT if r.model.kind == kind):
        same = [r for r in RESULTS_KEPT if r.model.digest == result.model.digest]
        column = max((str(r.finished), b.data_digest) for r in same for b in r.benchmarks if b.id == benchmark)[1]
        older = [b for b in result.benchmarks if b.id == benchmark and b.data_digest != column]
        line = next(
            line
            for line in differences(page, result)
            if line.startswith((f"| {result.name} |", f"| {result.name}<br>"))
        )
        told = line.split(" | ")[0].partition("<br>of older data: ")[2]
        assert bool(older) == (found.label in told)


def differences(page: str, result: Any) -> list[str]:
    """The lines of the table that the model of a result has."""
    heading = f"## {result.model_label}"
    if f"{heading}\n" not in page:
        heading += f" (weights {result.model.digest[:12]})"
    return page.partition(f"{heading}\n")[2].partition("### Differences")[2].partition("### Against")[0].splitlines()
