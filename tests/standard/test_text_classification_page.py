"""The page of `text-classification`: its recipe and its lines run, on a tiny model and with a small table."""

from __future__ import annotations

import hashlib
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

import evenhand
from evenhand.errors import PluginFault
from evenhand.found_files import for_readers
from evenhand.recipe import load_recipe
from evenhand.recipe_steps import ResolvedStep
from evenhand.summary import print_summary
from evenhand_sdk.tiny import save_tiny

PAGE = (Path(__file__).parents[2] / "docs/techniques/text-classification.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    """The only block of a language on the page."""
    [found] = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    return found


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The recipe of the page beside its table, with a tiny model, few updates, and nothing else."""
    monkeypatch.setenv("EVENHAND_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("EVENHAND_DATA", raising=False)
    place = tmp_path / "recipes"
    place.mkdir()
    save_tiny(tmp_path / "tiny")
    texts = [(f"{word} {who} {n}", word) for word in ("kind", "cruel") for who in ("nurse", "cook") for n in range(40)]
    rows = [f"{text},{int(word == 'cruel')},{'north' if k % 3 else 'south'}\n" for k, (text, word) in enumerate(texts)]
    (place / "mine.csv").write_text("text,label,area\n" + "".join(rows))
    text = block("toml")
    assert tomllib.loads(text)["steps"][0]["labels"] == "mine.csv"
    for old, new in (
        ('"smollm2-135m-instruct"', f'"{tmp_path / "tiny"}"'),
        ("max_steps = 200", "max_steps = 30"),
        ("learning_rate = 1e-3", "learning_rate = 1e-2\nmax_length = 16"),
        ('use = "perplexity"', 'use = "perplexity"\nlimit = 4'),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    (place / "recipe.toml").write_text(f"{text}\n[traffic]\nlimit = 0\n[evaluation]\ncontrols = []\n")
    monkeypatch.chdir(tmp_path)
    return place / "recipe.toml"


def test_the_recipe_learns_the_task_and_the_lines_use_the_head(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = evenhand.run(load_recipe(recipe), output=tmp_path / "runs")
    [entry] = [row for row in run.record["benchmarks"] if row["use"] == "classification-gaps"]
    names = {metric["name"] for metric in entry["metrics"]}
    assert {"odds gap", "chance gap", "skill", "true positive rate, north", "false positive rate, south"} <= names
    assert "true positive rate, other English" not in names
    [section] = [s for s in run.record["sections"] if s["step"] == "task"]
    facts = {fact["label"]: fact["value"] for fact in section["facts"]}
    assert set(facts) == {"texts with the label 1 that it finds", "texts with the label 0 that it lets pass", "texts"}
    assert (
        facts["texts with the label 1 that it finds"] > 0.9 and facts["texts with the label 0 that it lets pass"] > 0.9
    )
    assert section["files"] == ["found/task/head"]
    told = hashlib.sha256((recipe.parent / "mine.csv").read_bytes()).hexdigest()
    [step] = [step for step in run.record["steps"] if step["id"] == "task"]
    assert step["rows"][0]["facts"]["SHA-256 of the file"] == told and told[:12] in str(entry)
    assert "tweet" not in section["text"] and "offensive" not in section["text"]
    assert "It lies in found/task/head beside this page." in (run.folder / "report.html").read_text(encoding="utf-8")
    capsys.readouterr()
    print_summary(run)
    assert f"{run.folder}/found/task/head" in "".join(capsys.readouterr().out.split())
    lines, names_there = block("python"), dict[str, Any]()
    assert lines.count("runs/my-task") == 2
    exec(compile(lines.replace("runs/my-task", str(run.folder)), "page", "exec"), names_there)
    head, model, tokenizer = (names_there[name] for name in ("head", "model", "tokenizer"))
    cruel, kind = head.probabilities(model, tokenizer, ["cruel cook 3", "kind nurse 4"])
    assert cruel > 0.5 > kind


def test_files_and_folders_are_copied_and_what_was_not_written_is_a_fault(tmp_path: Path) -> None:
    step = ResolvedStep(
        id="audit", use="corpus-audit", section="steps", plugin=None, row=None, options=None, raw_options={},
        active=True, allow_no_effect=False, references={},
    )  # fmt: skip
    own = tmp_path / ".state/steps/audit"
    (own / "head").mkdir(parents=True)
    (own / "head/a.json").write_text("1")
    (own / "b.txt").write_text("2")
    for _ in range(2):  # as when a run goes on
        assert for_readers(tmp_path, step, ["head", "b.txt"], "data") == ["found/audit/head", "found/audit/b.txt"]
    assert (tmp_path / "found/audit/head/a.json").read_text() == "1"
    assert (tmp_path / "found/audit/b.txt").read_text() == "2"
    with pytest.raises(PluginFault, match="its `files` name 'c', which it has not written"):
        for_readers(tmp_path, step, ["c"], "transparency")
