"""The report: complete, from run.json alone, and safe whatever a model or a data set says."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from data_run_parts import interval, metric
from data_runs import MODEL, hostile, run_json, write_run
from evenhand.cli import toolkit
from evenhand.errors import RunNotFound
from evenhand.model_card import write_card
from evenhand.report import write_report
from evenhand.report_reading import cleaned

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
        "verdicts",
        "intervals",
        "axes",
        "quality",
        "contamination",
        "steps",
        "training",
        "samples",
        "monitoring",
        "sections",
        "items",
        "missing",
        "limits",
        "provenance",
    ]


def test_a_colouring_that_must_not_be_read_is_grey_and_says_so(tmp_path: Path) -> None:
    def figure(doubt: str) -> dict[str, Any]:
        return {"type": "heat", "tokens": ["she"], "weights": [1.0], "caption": "A prompt.", "positive": "for she",
                "negative": "", "doubt": doubt}  # fmt: skip

    sections = [{"step": "s", "title": "T", "figures": [figure("Not faithful."), figure("")]}]
    html = write_report(write_run(tmp_path, lambda raw: raw.update(sections=sections))).read_text(encoding="utf-8")
    assert re.findall(r'<p class="(heat[^"]*)">', html) == ["heat doubtful", "heat"]
    assert html.count('<strong class="bad">Not faithful.</strong>') == 1
    assert f"A prompt. {MODEL}. Solid underline: for she. The stronger the colour" in Page(html).text


def test_a_gradient_that_was_not_measured_is_not_shown_as_zero(tmp_path: Path) -> None:
    rows = page(tmp_path).text.partition("Gradient norm")[2]
    assert re.search(r"language modelling 1 3\.41\S* 2\.98\S* not measured", rows), rows[:200]
    assert re.search(r"retention 0\.4 \S+ \S+ 0\.110", rows), rows[:300]


def test_the_plain_answer_says_what_was_done_whether_it_helped_and_what_it_cost(tmp_path: Path) -> None:
    text = page(tmp_path).text
    assert f"{MODEL} went through 7 steps: counterfactual-augmentation, pair-parity," in text
    assert "Training took 100 updates on 41,230 tokens of text." in text
    assert (
        "Bias as measured here fell on the primary measure, Pair gap, held-out templates (mean absolute gap). It is "
        "that of the first bias benchmark, since the recipe declares none. This is the verdict of one training seed "
        "(0): another seed may give another. Secondary: no demonstrated effect on CrowS-Pairs." in text
    )
    assert (
        "Perplexity, the measure of language quality, rose by 0.92 % (95 % interval +0.34 % to +1.51 %); "
        "the recipe allows +2.0 %: within budget. The whole run took 4 min 12 s." in text
    )


def test_the_first_screen_answers_the_questions_before_any_table(tmp_path: Path) -> None:
    html = write_report(write_run(tmp_path)).read_text(encoding="utf-8")
    first = html[: html.index("<nav")]
    asked = ["Did it help?", "What did it cost?", "Can it be believed?", "What was done?"]
    assert re.findall(r"<dt>(.*?)</dt>", first) == asked
    assert "<table" not in first


def test_secondary_metrics_are_folded_away_and_have_no_verdict_column(tmp_path: Path) -> None:
    def second(raw: dict[str, Any]) -> None:
        other = metric("further gap", before=interval(1.0), after=interval(1.0), change=interval(0.0, -0.1, 0.1))
        raw["benchmarks"][0]["metrics"].append(other)

    html = write_report(write_run(tmp_path, second)).read_text(encoding="utf-8")
    assert html.count('<table class="verdicts"') == 2
    main, _, folded = html[html.index('id="verdicts"') : html.index('id="intervals"')].partition("<details>")
    assert "further gap" not in main and "2 secondary metrics, none of which decides a verdict" in folded
    assert ">further gap<" in folded and 'data-label="Verdict"' not in folded


def test_a_row_of_the_verdict_table(tmp_path: Path) -> None:
    text = page(tmp_path).text
    assert "stereotype preferred (%) ideal 50 % share of pairs whose stereotyping sentence is likelier" in text
    assert (
        "57.6 57.0 \u22120.6 [\u22121.9, +0.7] p = 0.370 (exact McNemar); Holm: p = 0.370 "
        "no demonstrated effect the interval of the change includes zero" in text
    )
    assert "Detectable with these items: a change of about 1.9 %." in text


def test_axes_and_items_have_their_numbers(tmp_path: Path) -> None:
    text = page(tmp_path).text
    assert "religion 105 55.0 56.0 +4.0 [+2.5, +5.5] p = 0.010 worse beyond its margin" in text
    assert "CrowS-Pairs, stereotype preferred (%), by axis; margin 0.8." in text
    assert "CrowS-Pairs, 1,508 items: 12 left out, without a value; tie: 3 before and 5 after; nothing to" in text


def test_no_demonstrated_effect_is_as_large_and_heavy_as_improved(tmp_path: Path) -> None:
    classes = [
        value for _, name, value in page(tmp_path).attributes if name == "class" and value.startswith("verdict ")
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
    assert len(captions) == 11
    assert unnamed == []


def test_nothing_is_loaded_and_no_script_is_there(tmp_path: Path) -> None:
    seen = page(tmp_path)
    assert not {"script", "link", "img", "iframe", "object", "form", "base"} & set(seen.tags)
    assert all(value.startswith("#") for _, name, value in seen.attributes if name in ("href", "src", "xlink:href"))
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
    seen = page(tmp_path, faults=[{"step": "contrastive-explanation", "stage": "transparency", "message": "no pairs"}])
    assert "1 part of the run failed and is missing: see what is missing" in seen.text
    assert "Its section of the report (contrastive-explanation, transparency) is missing;" in seen.text
    assert "it failed with: no pairs" in seen.text


def test_a_monitor_that_fails_at_every_request_is_one_line_with_a_count(tmp_path: Path) -> None:
    same = {"step": "watch", "stage": "monitoring", "message": "broken"}
    other = {"step": "guard", "stage": "monitoring", "message": "no pair in request 1"}
    seen = page(tmp_path, faults=[*[same] * 24, other, {**other, "message": "no pair in request 2"}])
    assert "2 parts of the run failed and are missing: see what is missing" in seen.text
    assert seen.text.count("Its watch over the traffic (watch, monitoring)") == 1
    assert "(watch, monitoring) is missing; it failed 24 times with: broken" in seen.text
    assert "(guard, monitoring) is missing; it failed 2 times, first with: no pair in request 1" in seen.text


def test_a_run_that_failed_early_still_has_a_report(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"schema": 1, "status": "failed", "name": "x"}), encoding="utf-8")
    text = Page(write_report(tmp_path).read_text(encoding="utf-8")).text
    assert "This run failed before its end." in text
    assert "No benchmark was run, so there is no verdict." in text
    assert "Bias was not measured, so nothing can be said about whether it helped." in text
    write_card(tmp_path)


def test_null_and_undefined_numbers_are_dashes(tmp_path: Path) -> None:
    def blank(raw: dict[str, Any]) -> None:
        for benchmark in raw["benchmarks"]:
            for each in benchmark["metrics"]:
                each.update(before=interval(None), after=interval(float("nan")), change=interval(None))
                each["distance_change"] = None
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
        "  name the folder that `toolkit run` or `toolkit eval` printed; it holds run.json and report.html"
    )
    assert caught.value.exit_code == 2


def test_a_run_of_a_later_schema_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunNotFound, match=r"run\.json has schema 2, and this version of evenhand reads up to 1"):
        write_report(write_run(tmp_path, lambda raw: raw.update(schema=2)))


NAME_IT = "  name the folder that `toolkit run` or `toolkit eval` printed; it holds run.json and report.html\n"


@pytest.mark.parametrize("arguments", [["report", "it"], ["compare", "it", "it"]], ids=["report", "compare"])
def test_an_empty_record_is_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    Path("it").mkdir()
    Path("it/run.json").write_text("{}", encoding="utf-8")
    result = CliRunner().invoke(toolkit, arguments)
    assert result.stderr == f"it: run.json is damaged: it does not say how the run ended (status)\n{NAME_IT}"
    assert result.exit_code == 2
    assert [p.name for p in Path("it").iterdir()] == ["run.json"]


def test_a_file_is_no_run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "it")
    write_report("it")
    Path("other.html").write_text("")
    inside = CliRunner().invoke(toolkit, ["report", "it/report.html"])
    assert inside.stderr == ("it/report.html: this is a file, not a run folder\n  name the folder it lies in: it\n")
    outside = CliRunner().invoke(toolkit, ["report", "other.html"])
    assert outside.stderr == f"other.html: this is a file, not a run folder\n{NAME_IT}"
    assert (inside.exit_code, outside.exit_code) == (2, 2)


def test_half_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"schema": 1, "sta', encoding="utf-8")
    with pytest.raises(RunNotFound, match=r"run\.json is damaged: Unterminated string"):
        write_report(tmp_path)


def test_forged_lines_and_hidden_words_are_replaced() -> None:
    assert cleaned({"a\x1b[2J": ["x\u202ey", "\ud800", "tab\tline\nkept", 3]}) == {
        "a\ufffd[2J": ["x\ufffdy", "\ufffd", "tab\tline\nkept", 3]
    }


def test_folders_of_the_machine_stay_out_of_report_and_card(tmp_path: Path) -> None:
    assert "editable folder" in page(tmp_path).text
    assert "someone" not in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "someone" not in write_card(tmp_path).read_text(encoding="utf-8")


def test_no_monitoring_section_where_nothing_was_served(tmp_path: Path) -> None:
    seen = page(tmp_path, monitoring={"requests": 0, "probes": 0, "findings": []})
    assert "Monitoring" not in seen.text


def test_a_weight_that_was_not_finite_is_a_dash(tmp_path: Path) -> None:
    def blank(raw: dict[str, Any]) -> None:
        raw["sections"][0]["figures"][0]["weights"][0] = None
        raw["sections"][0]["figures"][1]["values"][0] = None

    text = Page(write_report(write_run(tmp_path, blank)).read_text(encoding="utf-8")).text
    assert "The \u2013 nurse +0.71" in " ".join(text.split())
    assert "nurse \u2013 said" in text


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("failed", "the run failed before its end"),
        ("interrupted", "the run was stopped before its end"),
        ("running", "the run has not ended"),
    ],
)
def test_the_shelf_takes_no_run_that_did_not_end(tmp_path: Path, own_cache: Path, status: str, said: str) -> None:
    folder = write_run(tmp_path / "it", lambda raw: raw.update(status=status))
    result = CliRunner().invoke(toolkit, ["models", "add", "mine", str(folder)])
    assert result.stderr == (
        f"{folder}: {said}, so it has no model that was measured\n  continue it with `toolkit run RECIPE --resume`\n"
    )
    assert result.exit_code == 2


def test_how_scores_came_about_stands_in_the_report_and_on_the_card(tmp_path: Path) -> None:
    way = "log-likelihood from the second token (no start token), bf16"

    def score(raw: dict[str, Any]) -> None:
        raw["benchmarks"][0]["scoring"] = way

    folder = write_run(tmp_path, score)
    found = Page(write_report(folder).read_text(encoding="utf-8")).text
    assert "Version Definition Scoring Data (SHA-256)" in found
    assert f"mean absolute log-ratio {way} {'d' * 64}" in found
    assert found.count("not recorded") >= 2, "of the others it is not known"
    assert "Number format of the weights" in found
    card = write_card(folder).read_text(encoding="utf-8")
    assert "intervals of the change. Scored by: " in card
    assert "from the second token (no start token), bf16." in card.replace("\\", "")
