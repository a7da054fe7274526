"""What the terminal says after a run, without a terminal."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from data_run_parts import interval
from data_runs import write_run
from evenhand.errors import RunNotFound
from evenhand.summary import WIDTH, plain_console, print_summary


def printed(folder: Path, change: Any = None, *, width: int = WIDTH) -> str:
    out = Console(file=io.StringIO(), width=width, markup=False, highlight=False, emoji=False)
    print_summary(write_run(folder, change), console=out)
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


def test_the_whole_text(tmp_path: Path) -> None:
    text = printed(tmp_path).replace(str(tmp_path), "RUN")
    assert text == EXPECTED


EXPECTED = """\
Run quickstart: SmolLM2-135M-Instruct, dequantised from Q4_1

What was done
  1. counterfactual-augmentation  Adds each sentence about people again with the groups exchanged.
                                  -> 312 of 840 rows changed
  2. pair-parity                  Pulls the predictions after a sentence and after its
                                  counterfactual together.
                                  -> gradient norm 0.83 at step 1
  3. selective-update             Lets only the layers that carry the gap move.
                                  -> 6 of 30 layers moved
  4. train                        folded into ordinary weights, portable
  5. counterfactual-averaging     Averages next-token distributions over a prompt and its
                                  counterfactual.
                                  -> 41 of 64 probe distributions changed
  6. parity-monitor               24 requests seen
  7. contrastive-explanation      explains, changes nothing

What changed (same items before and after, 95 % intervals)
  benchmark                          before  after  change  interval          verdict
  Pair gap, held-out templates:       0.612  0.470  \u22120.142  [\u22120.171, \u22120.114]  improved
  mean absolute gap, nats (ideal 0
  nats; 480 items)
    detectable with 80 % power                      \u00b10.041
  CrowS-Pairs: stereotype              57.6   57.0    \u22120.6  [\u22121.9, +0.7]      no demonstrated effect
  preferred, % (ideal 50 %; 1,508
  items)
    detectable with 80 % power                        \u00b11.9
  Word perplexity, held-out text:     31.42  31.71   +0.29  [+0.11, +0.47]    within budget
  perplexity (lower is better; 120
  items)

  - CrowS-Pairs: no demonstrated effect (one training seed), the interval of the change includes
  zero
  - CrowS-Pairs, 2 axes: worse beyond its margin: religion; undecided: age

What it cost in language quality
  cost ratio by perplexity (above 1 is a loss): 1.0092 [1.0034, 1.0151]; budget 1.020: within budget

What was counted (items before and after)
  - Pair gap, held-out templates, 480 items: none left out
  - CrowS-Pairs, 1,508 items: 12 left out, without a value; tie: 3 before and 5 after; nothing to
  compare: 12
  - Word perplexity, held-out text, 120 items: none left out

What the monitors found
  - parity-monitor: No gap between groups was detected: 18 new pairs; a gap of 0.23 could have been
  seen with 80 % power

Notes
  - training: out of memory: batch halved to 4

In short
  Did it help? Bias as measured here fell on the primary measure, Pair gap, held-out templates (mean
  absolute gap). It is that of the first bias benchmark, since the recipe declares none. This is the
  verdict of one training seed (0): another seed may give another. Secondary: no demonstrated effect
  on CrowS-Pairs.
  What did it cost? Perplexity, the measure of language quality, rose by 0.92 % (95 % interval +0.34
  % to +1.51 %); the recipe allows +2.0 %: within budget.
  Can it be believed? It rests on 480 items in 40 independent groups. A change of less than 0.041
  nats would often have been missed. Whether its items occur in what the run learnt from was not
  checked.

Where it is
  all  RUN

Took 4 min 12 s.
"""


@pytest.mark.parametrize("width", [60, WIDTH])
def test_how_scores_came_about_is_told_once(tmp_path: Path, width: int) -> None:
    way = "log-likelihood from the second token (no start token), bf16"

    def score(raw: dict[str, Any]) -> None:
        for entry in raw["benchmarks"]:
            entry["scoring"] = way

    told = " ".join(printed(tmp_path, score, width=width).split())
    assert told.count(way) == 1
    assert f" scored by: {way} - CrowS-Pairs: no demonstrated effect" in told


def test_no_line_is_wider_than_the_page_even_with_long_names(tmp_path: Path) -> None:
    def lengthen(raw: dict[str, Any]) -> None:
        for entry in raw["steps"]:
            entry["id"] = entry["use"] = "a-plugin-with-a-very-long-name-" * 4
            entry["proofs"] = [{"stage": "data", "took": True, "what": "word " * 60, "size": 1.0}]
        for entry in raw["benchmarks"]:
            entry["title"] = "Benchmark" * 20
            entry["verdict"] = "not shown to be within budget"
        raw["faults"] = [{"step": "s", "stage": "monitoring", "message": "m" * 300}]

    for width in (60, 80, WIDTH):
        lines = printed(tmp_path, lengthen, width=width).splitlines()
        assert max(len(line) for line in lines) <= width


def test_a_cost_that_too_few_items_cannot_show_says_so(tmp_path: Path) -> None:
    reason = "too few items: 1 item in 1 independent group; 20 items in 5 groups are needed"

    def few(raw: dict[str, Any]) -> None:
        quality = raw["quality"]
        quality |= dict.fromkeys(("benchmark", "decided_by"), "perplexity")
        quality["verdict"] = "not shown to be within budget"
        part = {key: quality[key] for key in ("metric", "benchmark", "ratio", "verdict")}
        quality["parts"] = [{**part, "reason": reason}]

    told = " ".join(printed(tmp_path, few).split())
    assert f"budget 1.020: not shown to be within budget ({reason}) " in told
    assert f"the recipe allows +2.0 %: not shown to be within budget ({reason})." in told


@pytest.mark.parametrize("width", [80, WIDTH])
def test_large_numbers_leave_room_for_whole_words(tmp_path: Path, width: int) -> None:
    def enlarge(raw: dict[str, Any]) -> None:
        for entry in raw["benchmarks"]:
            entry["title"] = "Gap between counterfactual pairs"
            for metric in entry["metrics"]:
                for part in ("before", "after", "change", "distance_change"):
                    if metric.get(part):
                        metric[part] = {k: v and 1.7e9 * v for k, v in metric[part].items()}

    text = printed(tmp_path, enlarge, width=width)
    table = text[text.index("  benchmark") : text.index("  - Gap between counterfactual pairs: no")]
    first = [line[: line.index("  ", 4)] if "  " in line[4:] else line for line in table.splitlines() if line]
    words = " ".join(first).split()
    known = [
        "Gap",
        "between",
        "counterfactual",
        "pairs:",
        "detectable",
        "with",
        "80",
        "%",
        "power",
        "stereotype",
        "preferred,",
        "perplexity",
    ]
    assert set(known) <= set(words), "no word is broken"
    assert "e9" in table and max(len(line) for line in text.splitlines()) <= width


@pytest.mark.parametrize("width", [60, 72])
def test_in_a_narrow_terminal_the_tables_are_lines_and_no_word_is_broken(tmp_path: Path, width: int) -> None:
    def lengthen(raw: dict[str, Any]) -> None:
        raw["steps"][2]["proofs"][0]["what"] = "chosen by gradients: model.layers.29.mlp.down_proj.weight 3.21"
        raw["benchmarks"][1]["title"] = "Counterfactual sentiment of continuations (nationality, socioeconomic)"
        raw["benchmarks"][1]["metrics"][0]["before"]["value"] = 1.7e9

    text = printed(tmp_path, lengthen, width=width)
    assert max(len(line) for line in text.splitlines()) <= width
    # With all the room in the world the same lines come out, and there nothing is wrapped or broken.
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("evenhand.summary.NARROW", 10_000)
        roomy = printed(tmp_path, lengthen, width=9_999)
    words = [w for w in text.split() if str(tmp_path) not in w]
    assert words[: words.index("Where")] == roomy[: roomy.index("Where it is")].split()
    assert "model.layers.29.mlp.down_proj.weight" in words and "socioeconomic):" in words


def test_the_lines_of_a_narrow_terminal_say_what_the_table_says(tmp_path: Path) -> None:
    text = printed(tmp_path, width=60)
    assert text[text.index("  1. counter") : text.index("  3. selective")] == NARROW_STEPS
    assert text[text.index("  Pair gap, held") : text.index("  - CrowS-Pairs: no demonstrated")] == NARROW_BENCHMARKS
    wide = printed(tmp_path, width=80)
    assert "  benchmark " in wide and "  benchmark " not in text, "from 80 columns on it is the table"


NARROW_STEPS = """\
  1. counterfactual-augmentation
     Adds each sentence about people again with the groups
     exchanged.
     -> 312 of 840 rows changed
  2. pair-parity
     Pulls the predictions after a sentence and after its
     counterfactual together.
     -> gradient norm 0.83 at step 1
"""
NARROW_BENCHMARKS = """\
  Pair gap, held-out templates: mean absolute gap, nats
  (ideal 0 nats; 480 items)
      before 0.612, after 0.470
      change \u22120.142 [\u22120.171, \u22120.114]
      verdict: improved
      detectable with 80 % power: \u00b10.041
  CrowS-Pairs: stereotype preferred, % (ideal 50 %; 1,508
  items)
      before 57.6, after 57.0
      change \u22120.6 [\u22121.9, +0.7]
      verdict: no demonstrated effect
      detectable with 80 % power: \u00b11.9
  Word perplexity, held-out text: perplexity (lower is
  better; 120 items)
      before 31.42, after 31.71
      change +0.29 [+0.11, +0.47]
      verdict: within budget

"""


def test_markup_and_terminal_codes_in_names_stay_text(tmp_path: Path) -> None:
    def poison(raw: dict[str, Any]) -> None:
        raw["model"]["display_name"] = "[bold red]x[/] :smile: \x1b[2J\u202e"
        raw["steps"][0]["proofs"][0]["what"] = "[link=http://x]y[/link]"

    text = printed(tmp_path, poison)
    assert "[bold red]x[/] :smile: \ufffd[2J\ufffd" in text
    assert "[link=http://x]y[/link]" in text
    assert "\x1b" not in text


def test_without_a_terminal_there_are_no_colours_and_no_trailing_spaces(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    print_summary(SimpleNamespace(folder=write_run(tmp_path)))
    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert [line for line in text.splitlines() if line != line.rstrip()] == []
    assert plain_console().width == 100


def test_where_the_files_are_and_how_to_load_them(tmp_path: Path) -> None:
    for name in ("report.html", "README.md"):
        (tmp_path / name).write_text("x", encoding="utf-8")
    (tmp_path / "model").mkdir()
    text = printed(tmp_path, lambda raw: raw.update(name="r"))
    tail = " ".join(text[text.index("Where it is") :].split())
    assert f"report {tmp_path}/report.html model {tmp_path}/model card {tmp_path}/README.md all {tmp_path}" in tail
    assert "Load it with evenhand.load: some of its steps cannot be folded into the weights." in tail


def test_a_step_without_effect_a_fault_and_no_quality(tmp_path: Path) -> None:
    def change(raw: dict[str, Any]) -> None:
        raw["steps"][0]["proofs"][0].update(took=False, what="0 of 840 rows changed")
        raw["faults"] = [{"step": "parity-monitor", "stage": "monitoring", "message": "division by zero"}]
        raw["quality"] = None

    text = printed(tmp_path, change)
    assert "-> changed nothing (0 of 840 rows changed)" in text
    assert "- counterfactual-augmentation: changed nothing" in text
    assert "Not measured, so the cost is unknown." in text
    flat = " ".join(text.split())
    assert "- Its watch over the traffic (parity-monitor, monitoring) is missing; it failed with: division" in flat


def test_a_distance_that_moves_otherwise_than_the_value_has_its_own_line(tmp_path: Path) -> None:
    def cross(raw: dict[str, Any]) -> None:
        # 52 is 2 above the ideal of 50, 47 is 3 below it: the value fell by 5, the distance grew by 1.
        raw["benchmarks"][1]["metrics"][0].update(
            before=interval(52.0, 50.0, 54.0),
            after=interval(47.0, 45.0, 49.0),
            change=interval(-5.0, -7.0, -3.0),
            distance_change=interval(1.0, -2.0, 4.0),
        )

    assert "  distance from the ideal" in printed(tmp_path, cross)
    assert "+1.0  [\u22122.0, +4.0]" in printed(tmp_path, cross)


def test_a_folder_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(RunNotFound, match="not a run folder"):
        print_summary(tmp_path)
