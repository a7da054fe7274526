"""The model card: front matter that the hub reads, and Markdown in which every value stays text."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from data_runs import MODEL, hostile, run_json, write_run
from evenhand.model_card import escape_markdown, write_card


def card(folder: Path, change: Any = None) -> tuple[dict[str, Any], str]:
    text = write_card(write_run(folder, change)).read_text(encoding="utf-8")
    _, front, body = text.split("---\n", 2)
    return yaml.safe_load(front), body


def test_the_front_matter_is_what_the_hub_reads(tmp_path: Path) -> None:
    front, _ = card(tmp_path)
    assert front == {
        "license": "apache-2.0",
        "base_model": "HuggingFaceTB/SmolLM2-135M-Instruct",
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "language": ["en"],
        "tags": [
            "evenhand",
            "bias-mitigation",
            "fairness",
            "counterfactual-augmentation",
            "pair-parity",
            "selective-update",
            "counterfactual-averaging",
            "parity-monitor",
            "contrastive-explanation",
        ],
    }


def test_an_unknown_licence_and_a_local_folder(tmp_path: Path) -> None:
    def change(raw: dict[str, Any]) -> None:
        raw["model"].update(licence="My Own: Licence 2", base_model="", name="/models/mine")

    front, _ = card(tmp_path, change)
    assert (front["license"], front["license_name"]) == ("other", "my-own-licence-2")
    assert "base_model" not in front


def test_how_to_load_depends_on_what_could_be_folded(tmp_path: Path) -> None:
    _, body = card(tmp_path / "a")
    assert 'evenhand.load(".")' in body and "- counterfactual-averaging" in body

    def fold(raw: dict[str, Any]) -> None:
        raw["steps"] = [s for s in raw["steps"] if s["state"] != "decoding"]

    _, body = card(tmp_path / "b", fold)
    assert 'AutoModelForCausalLM.from_pretrained("model")' in body and "evenhand.load" not in body


def test_a_row_of_the_card(tmp_path: Path) -> None:
    _, body = card(tmp_path)
    assert (
        "| CrowS-Pairs | stereotype preferred, % (ideal 50 %) | 1508 | 57.6 | 57.0 "
        "| \u22120.6 | \\[\u22121.9, +0.7\\] | **no demonstrated effect** |" in body
    )
    assert body.count("causal, official rule") == 1 and "- **CrowS-Pairs** (causal, official rule)" in body
    assert "- **Did it help?** Bias as measured here fell on" in body
    assert f"# {MODEL}, after bias mitigation" in body
    assert f"{MODEL}: the same items before and after, with 95 % intervals of the change." in body


def test_markdown_and_html_in_every_string_of_a_card_stay_text(tmp_path: Path) -> None:
    attack = " <b>x</b> | [a](http://b.example) ![i](x) `c` **d**\n# heading\n---\nlicense: evil"
    (tmp_path / "run.json").write_text(json.dumps(hostile(run_json(), attack)), encoding="utf-8")
    text = write_card(tmp_path).read_text(encoding="utf-8")
    _, front, body = text.split("---\n", 2)
    assert yaml.safe_load(front)["license"] == "other"
    assert "evil" not in yaml.safe_load(front)["license"]
    assert "<" not in body
    assert "\n# heading" not in body and body.count("\n---") == 0
    headings = [line for line in body.splitlines() if line.startswith("#")]
    assert len(headings) == 9
    assert not re.search(r"(?<!\\)\]\(", body)
    rows = [line for line in body.splitlines() if line.startswith("| CrowS")]
    assert [len(re.findall(r"(?<!\\)\|", row)) for row in rows] == [9]


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("Q4_1 and _x_", "Q4_1 and \\_x\\_"),
        ("- a", "\\- a"),
        ("-0.5", "-0.5"),
        ("1. a", "1\\. a"),
        ("1.5", "1.5"),
        ("# a", "\\# a"),
        ("a | b", "a \\| b"),
        ("<i>&", "&lt;i&gt;&amp;"),
        ("http://x", "http\\://x"),
    ],
)
def test_markdown_escaping(text: str, escaped: str) -> None:
    assert escape_markdown(text) == escaped
