"""Steps that move the same thing are reported: where a recipe is checked, and in the record of its run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import evenhand
from evenhand.cli import main
from evenhand.discovery import discover
from evenhand.opposing_steps import opposing
from evenhand.recipe import load_recipe, resolve_steps
from evenhand_sdk.tiny import save_tiny


def recipe_of(folder: Path, *steps: str, model: str = "smollm2-135m") -> Path:
    path = folder / "recipe.toml"
    tables = "\n".join(f"[[steps]]\n{step}\n" for step in steps)
    path.write_text(f'[model]\nname = "{model}"\n[traffic]\nlimit = 0\n{tables}', encoding="utf-8")
    return path


def reported(folder: Path, *steps: str) -> list[str]:
    catalogue = discover()
    return opposing(resolve_steps(load_recipe(recipe_of(folder, *steps), (), catalogue=catalogue), catalogue))


BALANCE = 'use = "probability-balancing"\nid = "{}"\ntarget = {{female = {}, male = {}}}'


def test_another_target_for_the_same_words_undoes_the_first(tmp_path: Path) -> None:
    assert reported(tmp_path, BALANCE.format("a", 0.9, 0.1), BALANCE.format("b", 0.5, 0.5)) == [
        "the step 'b' (probability-balancing) undoes what 'a' (probability-balancing) does: it moves how likely words "
        "of each group of gender are to the shares {'female': 0.5, 'male': 0.5}, and that one to the shares "
        "{'female': 0.9, 'male': 0.1}"
    ]


def test_neutral_answers_undo_a_quota(tmp_path: Path) -> None:
    [found] = reported(
        tmp_path, 'use = "reranking"\nform = "quota"', 'use = "answer-rewriting"\nstrength = 1.0'
    )  # fmt: skip
    assert found.startswith("the step 'answer-rewriting' (answer-rewriting) undoes what 'reranking' (reranking) does")


def test_guidance_towards_what_another_step_avoids_is_an_undoing(tmp_path: Path) -> None:
    words = "The following text is kind:"
    found = reported(
        tmp_path,
        f'use = "self-debias"\ndescriptions = ["{words}"]',
        f'use = "expert-guidance"\nexperts = ["{words}"]\nanti_experts = ["Otherwise:"]',
    )
    assert len(found) == 1 and "to more, and that one to less" in found[0]


@pytest.mark.parametrize(
    ("first", "second", "number"),
    [
        ('use = "self-debias"', 'use = "contrastive-guidance"', 1),
        ('use = "counterfactual-averaging"', 'use = "gradient-decoding"', 1),
        ('use = "self-debias"', 'use = "contrastive-guidance"\nabout = ["race"]', 0),
        ('use = "self-debias"', 'use = "contrastive-guidance"\nstrength = 0.0', 0),
        ('use = "self-debias"', 'use = "contrastive-guidance"\nactive = false', 0),
        ('use = "counterfactual-averaging"', 'use = "probability-balancing"', 0),
        ('use = "reranking"', 'use = "answer-rewriting"\nstrength = 1.0', 0),
    ],
)
def test_two_steps_to_one_end_are_one_too_many(first: str, second: str, number: int, tmp_path: Path) -> None:
    found = reported(tmp_path, first, second)
    assert len(found) == number and all(f.endswith(": one is enough") for f in found)


GUIDANCE = (
    'use = "self-debias"',
    'use = "contrastive-guidance"\nabout = ["race"]',
    'use = "expert-guidance"',
    'use = "expert-guidance"\nexpert_adapters = ["a"]\nanti_expert_adapters = ["b"]',
)


@pytest.mark.parametrize("guidance", GUIDANCE)
def test_guidance_behind_balanced_shares_undoes_them_and_before_them_does_not(guidance: str, tmp_path: Path) -> None:
    """Where a description names groups, nothing is balanced behind it."""
    name = guidance.split('"')[1]
    assert reported(tmp_path, 'use = "probability-balancing"', guidance) == [
        f"the step '{name}' ({name}) undoes what 'probability-balancing' (probability-balancing) does: it moves how "
        "likely words of each group of gender are to what its guidance makes of it, and that one to equal shares; put "
        "it first"
    ]
    assert reported(tmp_path, guidance, 'use = "probability-balancing"') == []


@pytest.mark.parametrize("guidance", GUIDANCE)
@pytest.mark.parametrize("exact", ["counterfactual-averaging", "gradient-decoding"])
def test_guidance_leaves_what_is_the_same_behind_all_groups(exact: str, guidance: str, tmp_path: Path) -> None:
    """It reads what the rule before it has made of the text and of its own contexts alike."""
    assert reported(tmp_path, f'use = "{exact}"', guidance) == []
    assert reported(tmp_path, guidance, f'use = "{exact}"') == []


@pytest.mark.parametrize(
    ("exact", "what", "end"),
    [
        ("probability-balancing", "how likely words of each group of gender are", "equal shares"),
        ("counterfactual-averaging", "what is expected behind each group of gender", "the same for all groups"),
    ],
)
def test_gradient_decoding_belongs_before_rules_with_an_exact_end(
    exact: str, what: str, end: str, tmp_path: Path
) -> None:
    gradient = 'use = "gradient-decoding"\naxes = ["race"]'
    assert reported(tmp_path, f'use = "{exact}"', gradient) == [
        f"the step 'gradient-decoding' (gradient-decoding) undoes what '{exact}' ({exact}) does: it moves {what} to "
        f"what its gradient makes of the model's own, and that one to {end}; put it first"
    ]
    assert reported(tmp_path, gradient, f'use = "{exact}"') == []


def test_it_is_said_where_a_recipe_is_checked_and_kept_with_its_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = save_tiny(tmp_path / "tiny")
    steps: list[Any] = ['use = "self-debias"', 'use = "contrastive-guidance"']
    path = recipe_of(tmp_path, *steps, model=str(tiny))
    [sentence] = reported(tmp_path, *steps)
    recipe_of(tmp_path, *steps, model=str(tiny))
    with pytest.raises(SystemExit, match="0"):
        main(["validate", str(path)])
    assert f"Note: {sentence}." in capsys.readouterr().out
    result = evenhand.run(path, output=tmp_path / "runs")
    assert {"stage": "steps", "text": sentence} in result.record["events"]


# ------------------------------------------------------------------------------------ a plugin that says it wrongly
FAULTS = [
    ("raise", "ZeroDivisionError: division by zero\n  this is a fault of the plugin or of its options; --debug shows "
     "where it was raised"),
    ("exit", "SystemExit: 3\n  this is a fault of the plugin or of its options; --debug shows where it was raised"),
    ("list", "`moves` must give what is moved, and to which end, both in words"),
]  # fmt: skip


@pytest.mark.usefixtures("trial", "own_cache")
@pytest.mark.parametrize(("at", "told"), FAULTS)
def test_a_fault_in_what_a_plugin_says_it_moves_is_the_plugins_and_ends_the_run(
    at: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = save_tiny(tmp_path / "tiny")
    capsys.readouterr()  # transformers 5 shows a bar while it saves
    path = recipe_of(tmp_path, f'use = "trial-faulty-moves"\nat = "{at}"', model=str(tiny))
    whole = f"step 'trial-faulty-moves', plugin 'trial-faulty-moves' of evenhand-trial 1.0, hook `moves`: {told}\n"
    with pytest.raises(SystemExit, match="4"):
        main(["validate", str(path)])
    assert capsys.readouterr().err == whole
    with pytest.raises(SystemExit, match="4"):
        main(["--quiet", "run", str(path), "--output", str(tmp_path / "runs")])
    assert capsys.readouterr().err == whole
    [folder] = (tmp_path / "runs").iterdir()
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    assert record["status"] == "failed"
    assert record["events"][-1]["text"].startswith("PluginFault: step 'trial-faulty-moves'")
