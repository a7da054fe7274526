"""The report and the model card: complete, from run.json alone, and safe whatever a model or a data set says."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from data_runs import MODEL, hostile, interval, run_json, write_run

from evenhand.errors import RunNotFound
from evenhand.model_card import escape_markdown, write_card
from evenhand.report import write_report
from evenhand.report_figures import axis_over, bars, differing, forest, heat_tokens
from evenhand.report_numbers import bounds, decimals, duration, listing, number
from evenhand.report_reading import cleaned, parse_run
from evenhand.report_record import Figure, Interval, Sample
from evenhand.report_wording import did_it_help, missing, what_it_cost

VOID = {"meta", "line", "rect", "circle", "br", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """Collects what a browser would see, and refuses tags that are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def page(folder: Path, **changes: Any) -> Page:
    return Page(write_report(write_run(folder, lambda raw: raw.update(changes))).read_text(encoding="utf-8"))


def test_the_order_of_the_page(tmp_path: Path) -> None:
    html = write_report(write_run(tmp_path)).read_text(encoding="utf-8")
    assert re.findall(r'<h2 id="([a-z]+)">', html) == [
        "verdicts", "intervals", "quality", "steps", "training", "samples", "monitoring", "sections", "missing",
        "limits", "provenance",
    ]  # fmt: skip


def test_the_plain_answer_says_what_was_done_whether_it_helped_and_what_it_cost(tmp_path: Path) -> None:
    text = page(tmp_path).text
    assert f"{MODEL} went through 7 steps: counterfactual-augmentation, pair-parity," in text
    assert "Training took 100 updates on 41,230 tokens of text." in text
    assert (
        "Bias as measured here fell on 1 of 2 bias benchmarks (Pair gap, held-out templates); "
        "CrowS-Pairs: no demonstrated effect." in text
    )
    assert (
        "Perplexity, the measure of language quality, rose by 0.92 % (95 % interval +0.34 % to +1.51 %); "
        "the recipe allows +2.0 %: within budget. The whole run took 4 min 12 s." in text
    )


def test_a_row_of_the_verdict_table(tmp_path: Path) -> None:
    text = page(tmp_path).text
    assert (
        "stereotype preferred (%) ideal 50 %; share of pairs whose stereotyping sentence is likelier" in text
    )
    assert "57.6 57.0 \u22120.6 [\u22121.9, +0.7] no demonstrated effect" in text
    assert "Detectable with these items: a change of about 1.9 %." in text


def test_no_demonstrated_effect_is_as_large_and_heavy_as_improved(tmp_path: Path) -> None:
    classes = [
        value
        for _, name, value in page(tmp_path).attributes
        if name == "class" and value.startswith("verdict ")
    ]
    assert classes == ["verdict good", "verdict neutral", "verdict good", "verdict good"]
    style = (Path(__file__).parent.parent / "core/evenhand/report_style.css").read_text(encoding="utf-8")
    for word in ("good", "bad", "neutral"):
        rules = re.findall(rf"(?:^|[\s,]){re.escape('.' + word)} {{ ([^}}]*) }}", style)
        assert rules == [f"color: var(--{word});"]


def test_every_table_caption_or_its_section_names_the_model(tmp_path: Path) -> None:
    html = write_report(write_run(tmp_path)).read_text(encoding="utf-8")
    captions = re.findall(r"<caption>(.*?)</caption>", html, re.DOTALL)
    unnamed = [c for c in captions if MODEL not in c]
    assert len(captions) == 9
    assert unnamed == []


def test_nothing_is_loaded_and_no_script_is_there(tmp_path: Path) -> None:
    seen = page(tmp_path)
    assert not {"script", "link", "img", "iframe", "object", "form", "base"} & set(seen.tags)
    assert all(
        value.startswith("#") for _, name, value in seen.attributes if name in ("href", "src", "xlink:href")
    )
    assert not any(name.startswith("on") for _, name, _ in seen.attributes)
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "url(" not in html and "@import" not in html


ATTACKS = [
    "<script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "--></title></svg></table><h1>",
    "{{ 7 * 7 }}{% raw %}",
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_in_every_string_stays_text(tmp_path: Path, attack: str) -> None:
    plain = page(tmp_path / "plain", **hostile(run_json(), " harmless"))
    seen = page(tmp_path / "hostile", **hostile(run_json(), attack))
    assert seen.tags == plain.tags
    assert {(t, n) for t, n, _ in seen.attributes} == {(t, n) for t, n, _ in plain.attributes}
    assert seen.text.count(attack) > 60


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_in_a_key_stays_text(tmp_path: Path, attack: str) -> None:
    def poison(raw: dict[str, Any]) -> None:
        raw["steps"][0]["options"] = {attack: attack}
        raw["training"][0]["terms"] = {attack: {"weight": 1.0}}
        raw["monitoring"]["findings"][0]["facts"] = {attack: [attack]}
        raw["environment"] = {attack: attack}
        raw["timings"] = {attack: 1.0}
        raw["files"] = {attack: attack}

    text = Page(write_report(write_run(tmp_path, poison)).read_text(encoding="utf-8"))
    assert not {"script", "img"} & set(text.tags)
    assert text.text.count(attack) >= 9


def test_the_heat_and_bar_figures_take_only_numbers_into_style(tmp_path: Path) -> None:
    def poison(raw: dict[str, Any]) -> None:
        raw["sections"][0]["figures"][0]["weights"] = ["1;background:url(x)", 0, 0, 0]

    with pytest.raises(RunNotFound, match=r"run\.json is damaged: sections\.0\.figures\.0"):
        write_report(write_run(tmp_path, poison))


def test_isolated_faults_are_named_as_what_is_missing(tmp_path: Path) -> None:
    seen = page(
        tmp_path, faults=[{"step": "contrastive-explanation", "stage": "transparency", "message": "no pairs"}]
    )
    assert "1 part of the run failed and is missing: see what is missing" in seen.text
    assert (
        "Its section of the report (contrastive-explanation, transparency) is missing; it failed with: no pairs"
        in seen.text
    )


def test_a_run_that_failed_early_still_has_a_report(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(
        json.dumps({"schema": 1, "status": "failed", "name": "x"}), encoding="utf-8"
    )
    text = Page(write_report(tmp_path).read_text(encoding="utf-8")).text
    assert "This run failed before its end." in text
    assert "No benchmark was run, so there is no verdict." in text
    assert "Bias was not measured, so nothing can be said about whether it helped." in text
    write_card(tmp_path)


def test_null_and_undefined_numbers_are_dashes(tmp_path: Path) -> None:
    def blank(raw: dict[str, Any]) -> None:
        for benchmark in raw["benchmarks"]:
            for metric in benchmark["metrics"]:
                metric.update(before=interval(None), after=interval(float("nan")), change=interval(None))
                metric["distance_change"] = None
        raw["quality"]["ratio"] = interval(None)

    text = Page(write_report(write_run(tmp_path, blank)).read_text(encoding="utf-8")).text
    assert "\u2013 \u2013 \u2013 none" in text
    assert not re.search(r"\bnan\b|None", text)
    write_card(tmp_path)


def test_a_folder_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(RunNotFound) as caught:
        write_report(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: not a run folder\n  the folder exists but has no run.json\n"
        "  name the folder that `toolkit run` printed; it holds run.json, report.html and model/"
    )
    assert caught.value.exit_code == 2


def test_a_run_of_a_later_schema_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        RunNotFound, match=r"run\.json has schema 2, and this version of evenhand reads up to 1"
    ):
        write_report(write_run(tmp_path, lambda raw: raw.update(schema=2)))


def test_half_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"schema": 1, "sta', encoding="utf-8")
    with pytest.raises(RunNotFound, match=r"run\.json is damaged: Unterminated string"):
        write_report(tmp_path)


def test_forged_lines_and_hidden_words_are_replaced() -> None:
    assert cleaned({"a\x1b[2J": ["x\u202ey", "\ud800", "tab\tline\nkept", 3]}) == {
        "a\ufffd[2J": ["x\ufffdy", "\ufffd", "tab\tline\nkept", 3]
    }


# ------------------------------------------------------------------------------------------------------- wording
@pytest.mark.parametrize(
    ("value", "places", "signed", "text"),
    [
        (-0.1424, 3, False, "\u22120.142"), (1234.5, 1, True, "+1,234.5"), (-0.0001, 2, True, "0.00"),
        (None, 2, False, "\u2013"), (float("nan"), 2, False, "\u2013"), (float("-inf"), 2, False, "\u2212\u221e"),
    ],
)  # fmt: skip
def test_numbers(value: float | None, places: int, signed: bool, text: str) -> None:
    assert number(value, places, signed=signed) == text


def test_two_significant_digits_of_half_the_interval() -> None:
    # half widths 0.0285, 1.3 and 150: hundredths of the first digit give 3, 1 and 0 decimals
    assert [decimals(Interval(value=0, low=-w, high=w)) for w in (0.0285, 1.3, 150.0)] == [3, 1, 0]
    assert bounds(Interval(value=0.0, low=-1.94, high=0.71), 1, signed=True) == "[\u22121.9, +0.7]"


def test_durations_and_lists() -> None:
    assert [duration(s) for s in (0.42, 48.2, 252, 7500)] == ["0.4 s", "48 s", "4 min 12 s", "2 h 05 min"]
    assert [listing(w) for w in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]


def verdicts(*words: str) -> str:
    titles = iter("ABCDE")
    return did_it_help(
        parse_run({"benchmarks": [{"id": next(titles), "verdict": word, "metrics": []} for word in words]})
    )


def test_the_answer_for_each_kind_of_outcome() -> None:
    none = "no demonstrated effect"
    assert verdicts("improved") == "Bias as measured here fell on the one bias benchmark (A)."
    assert (
        verdicts("improved", "improved") == "Bias as measured here fell on all 2 bias benchmarks (A and B)."
    )
    assert verdicts(none) == "No improvement was demonstrated on the one bias benchmark (A)."
    assert (
        verdicts(none, none) == "No improvement was demonstrated on any of the 2 bias benchmarks (A and B)."
    )
    assert verdicts("worse", none) == (
        "No improvement was demonstrated on any of the 2 bias benchmarks (A and B); it grew on A; "
        "B: no demonstrated effect."
    )
    assert verdicts("improved", "worse", "too few items") == (
        "Bias as measured here fell on 1 of 3 bias benchmarks (A); it grew on B; C: too few items."
    )


def test_the_cost_when_quality_rose_and_when_it_was_not_measured() -> None:
    ratio = {
        "budget": 1.02,
        "metric": "perplexity",
        "ratio": interval(0.99, 0.97, 1.01),
        "verdict": "within budget",
    }
    assert what_it_cost(parse_run({"quality": ratio})) == (
        "Perplexity, the measure of language quality, fell by 1.0 % (95 % interval \u22123.0 % to +1.0 %); "
        "the recipe allows +2.0 %: within budget."
    )
    assert what_it_cost(parse_run({})) == "Language quality was not measured, so its cost is unknown."


def test_what_a_reader_would_miss() -> None:
    assert missing(parse_run({"status": "running"})) == [
        "The run has not ended: continue it with --resume; the numbers here are not final.",
        "No bias benchmark was run.",
        "Language quality was not measured against a budget.",
    ]


# ------------------------------------------------------------------------------------------------------- figures
def test_the_axis_of_a_figure() -> None:
    axis = axis_over([0.0, -0.171, -0.012])
    # 8 % of 0.171 on both sides; five steps of 0.05 fit at most six times into 0.198
    assert (round(axis.low, 5), round(axis.high, 5), axis.step) == (-0.18468, 0.01368, 0.05)
    assert [round(t, 2) for t in axis.ticks()] == [-0.15, -0.1, -0.05, 0.0]


def test_the_forest_groups_by_unit_and_says_where_better_is() -> None:
    panels = forest(parse_run(run_json()))
    assert [(p.title, p.left, p.right, len(p.marks)) for p in panels] == [
        ("Change of the distance from the ideal value, in nats", "better", "worse", 2),
        ("Change of the distance from the ideal value, in percentage points", "better", "worse", 1),
    ]
    mark = panels[0].marks[0]
    assert mark.low is not None and mark.x is not None and mark.high is not None
    assert mark.low < mark.x < mark.high < panels[0].zero
    assert panels[1].marks[0].low is not None and panels[1].marks[0].high is not None
    assert panels[1].marks[0].low < panels[1].zero < panels[1].marks[0].high
    assert panels[1].alternative.endswith("CrowS-Pairs, stereotype preferred: \u22120.6 [\u22121.9, +0.7].")


def test_bars_start_at_zero_in_both_directions() -> None:
    zero, drawn = bars(Figure(type="bars", labels=["a", "b"], values=[3.0, -1.0]))
    assert zero == 25.0
    assert [(b.x, b.width, b.sign) for b in drawn] == [(25.0, 75.0, "pos"), (0.0, 25.0, "neg")]


def test_heat_is_relative_to_the_largest_weight() -> None:
    tokens = heat_tokens(Figure(type="heat", tokens=["a", "\n"], weights=[0.5, -1.0]))
    assert [(t.text, t.sign, t.share) for t in tokens] == [("a", "pos", 0.5), ("\u21b5", "neg", 1.0)]


def test_only_words_that_differ_are_marked() -> None:
    left, right = differing(Sample(prompt="p", before="she went home.", after="they went home."))
    assert [(p.text, p.same) for p in left] == [("she", False), (" went home.", True)]
    assert [(p.text, p.same) for p in right] == [("they", False), (" went home.", True)]


# ---------------------------------------------------------------------------------------------------------- card
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
        "tags": ["evenhand", "bias-mitigation", "fairness", "counterfactual-augmentation", "pair-parity",
                 "selective-update", "counterfactual-averaging", "parity-monitor", "contrastive-explanation"],
    }  # fmt: skip


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
        "| CrowS-Pairs (causal, official rule) | stereotype preferred, % (ideal 50 %) | 1508 | 57.6 | 57.0 | \u22120.6 "
        "| \\[\u22121.9, +0.7\\] | **no demonstrated effect** |" in body
    )
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
        ("Q4_1 and _x_", "Q4_1 and \\_x\\_"), ("- a", "\\- a"), ("-0.5", "-0.5"), ("1. a", "1\\. a"), ("1.5", "1.5"),
        ("# a", "\\# a"), ("a | b", "a \\| b"), ("<i>&", "&lt;i&gt;&amp;"), ("http://x", "http\\://x"),
    ],
)  # fmt: skip
def test_markdown_escaping(text: str, escaped: str) -> None:
    assert escape_markdown(text) == escaped
