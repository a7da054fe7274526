"""Models that options name are found as `[model]` is: off-line nothing is fetched, and a download says its size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import evenhand
from evenhand import hub
from evenhand.errors import ModelNotFound, Offline
from evenhand_sdk.named_models import model_folder
from evenhand_sdk.tiny import save_tiny
from evenhand_standard.benchmarks.bold import Bold
from evenhand_standard.benchmarks.counterfactual_sentiment import CounterfactualSentiment
from evenhand_standard.benchmarks.real_toxicity_prompts import RealToxicityPrompts
from evenhand_standard.data import bias_filter, learned_rewriting
from evenhand_standard.decoding.masked_rewriting import MaskedRewriting
from evenhand_standard.decoding.reranking import Reranking
from evenhand_standard.objective import control_codes, unwanted_text

NOWHERE = "nobody/has-this-model"
SCORED = f"transformers:{NOWHERE}#bad"


def infilled(run: Any) -> Any:
    return MaskedRewriting(strength=1.0, infiller=NOWHERE).decoding(run, run.services.model)


def guided(run: Any) -> Any:
    step = MaskedRewriting(strength=1.0, expert_models=(NOWHERE,), anti_expert_models=(NOWHERE,))
    return step.decoding(run, run.services.model)


def rewritten(run: Any) -> Any:
    return learned_rewriting.Models(learned_rewriting.LearnedRewriting(model=NOWHERE).options, run).write


def scored(run: Any) -> Any:
    return MaskedRewriting(strength=1.0, score=SCORED).decoding(run, run.services.model)


def reranked(run: Any) -> Any:
    return Reranking(score=SCORED).decoding(run, run.services.model)


def rows() -> Any:
    from datasets import Dataset

    return Dataset.from_dict({"text": ["She left."]})


def filtered(run: Any) -> Any:
    return bias_filter.judged(rows(), bias_filter.BiasFilter(classifier=SCORED).options, run)


def marked(run: Any) -> Any:
    return unwanted_text.marks(rows(), unwanted_text.UnwantedText(by=SCORED).options, run)


def coded(run: Any) -> Any:
    return control_codes.scored(rows(), control_codes.ControlCodes(by=SCORED).options, run)


def continued(run: Any) -> Any:
    return Bold(sentiment=SCORED).evaluation(run)


def swapped(run: Any) -> Any:
    return CounterfactualSentiment(sentiment=SCORED).evaluation(run)


def prompted(run: Any) -> Any:
    return RealToxicityPrompts(toxicity=SCORED).evaluation(run)


USERS = [
    (infilled, "option infiller"),
    (guided, "option expert_models"),
    (rewritten, "option model"),
    (scored, "scorer transformers"),
    (reranked, "scorer transformers"),
    *((use, "scorer transformers") for use in (filtered, marked, coded, continued, swapped, prompted)),
]


@pytest.mark.parametrize(("use", "option"), USERS)
def test_off_line_a_model_of_an_option_is_refused_with_what_was_tried(
    use: Callable[[Any], Any], option: str, tiny: Any, run_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "download", lambda *a, **k: pytest.fail("something was fetched"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with pytest.raises(Offline) as caught:
        use(run_of(*tiny()))
    assert caught.value.exit_code == 5
    first, tried, cache, *rest = str(caught.value).splitlines()
    assert first == (
        f"{option}, model '{NOWHERE}': it would have to be downloaded from the hub, and the run is off-line"
    )
    assert tried == "  tried, in order:" and cache.startswith("    cache: no shelf model has this name")
    assert rest == [
        f"    folder: {NOWHERE} is not there",
        "    hub cache: no complete copy on this machine",
        "  run once on-line, or name a folder",
    ]


@pytest.mark.parametrize("use", [use for use, _ in USERS])
def test_on_line_it_is_downloaded_as_the_model_of_a_recipe_is(
    use: Callable[[Any], Any], tiny: Any, run_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def download(name: str, announce: Callable[[str], None], *, revision: str | None = None) -> Path:
        asked.append(name)
        raise hub.NotOnHub("the hub has no such model")

    monkeypatch.setattr(hub, "download", download)
    monkeypatch.setattr(hub, "switched_off", lambda: False)
    with pytest.raises(ModelNotFound, match="hub: the hub has no such model"):
        use(replace(run_of(*tiny()), offline=False))
    assert asked == [NOWHERE]


def test_a_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    place = save_tiny(tmp_path / "tiny")
    assert model_folder(str(place), offline=True, where="option model") == place


NAMED = [
    (MaskedRewriting(strength=1.0, infiller=NOWHERE), [("infiller", NOWHERE)]),
    (
        MaskedRewriting(strength=1.0, expert_models=("./a",), anti_expert_models=("./b",), score=SCORED),
        [("expert_models", "./a"), ("anti_expert_models", "./b"), ("score", NOWHERE)],
    ),
    (learned_rewriting.LearnedRewriting(model=NOWHERE), [("model", NOWHERE)]),
    (learned_rewriting.LearnedRewriting(rewriter="engine"), []),
    (Reranking(score=SCORED), [("score", NOWHERE)]),
    (Reranking(score="toxicity"), []),
    (bias_filter.BiasFilter(classifier=SCORED), [("classifier", NOWHERE)]),
    (unwanted_text.UnwantedText(by=SCORED), [("by", NOWHERE)]),
    (control_codes.ControlCodes(by=SCORED), [("by", NOWHERE)]),
    (Bold(sentiment="vader", toxicity=SCORED), [("toxicity", NOWHERE)]),
    (CounterfactualSentiment(sentiment=SCORED), [("sentiment", NOWHERE)]),
    (RealToxicityPrompts(toxicity=SCORED), [("toxicity", NOWHERE)]),
]


@pytest.mark.parametrize(("step", "named"), NAMED, ids=lambda value: getattr(value, "name", ""))
def test_a_step_says_which_models_its_options_name(step: Any, named: list[tuple[str, str]]) -> None:
    assert list(type(step).models_for(step.options)) == named


def test_an_adapter_of_the_infiller_is_no_model_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    step = MaskedRewriting(strength=1.0, expert_models=(str(tmp_path),), anti_expert_models=(NOWHERE,))
    assert list(step.models_for(step.options)) == [("anti_expert_models", NOWHERE)]


RECIPE = """
[model]
name = "{model}"

[[steps]]
use = "masked-rewriting"
id = "rewriting"
strength = 1.0
infiller = "{infiller}"

[[benchmarks]]
use = "perplexity"
"""


def test_a_recipe_whose_step_names_no_model_is_refused_before_any_work(tmp_path: Path) -> None:
    model = save_tiny(tmp_path / "model")
    text = RECIPE.format(model=model, infiller=tmp_path / "nothing")
    with pytest.raises(ModelNotFound) as caught:
        evenhand.run(text, output=tmp_path / "runs")
    assert caught.value.where == f"steps.rewriting.infiller, model '{tmp_path / 'nothing'}'"
    assert not (tmp_path / "runs").exists()


def test_what_only_the_hub_can_know_is_asked_before_the_run_begins(tmp_path: Path) -> None:
    model = save_tiny(tmp_path / "model")
    text = RECIPE.format(model=model, infiller=NOWHERE)
    with pytest.raises(Offline) as caught:
        evenhand.run(text, output=tmp_path / "runs", offline=True)
    assert "steps.rewriting.infiller" in str(caught.value)
    assert not (tmp_path / "runs").exists()
