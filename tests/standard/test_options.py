"""Options of the standard plugins that name something which is not there are told by `validate`, all at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from evenhand.cli import toolkit

FOLDER_OF_PACKS = Path(__file__).parents[2] / "sdk" / "evenhand_sdk" / "packs"
HEAD = '[model]\nname = "tiny"\n'


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EVENHAND_DATA", raising=False)
    return tmp_path


def call(command: str, text: str, *more: str) -> Result:
    Path("my.toml").write_text(text)
    return CliRunner().invoke(toolkit, ["--quiet", command, "my.toml", *more], prog_name="toolkit")


def told(text: str, code: int = 2) -> list[str]:
    """The problems that `validate` lists, and ends with the code of."""
    result = call("validate", HEAD + text)
    assert result.exit_code == code, result.output
    return result.stderr.partition("\n")[2].removeprefix("  - ").rstrip("\n").split("\n  - ")


PACKS = ", ".join(sorted(p.name.removesuffix(".toml") for p in FOLDER_OF_PACKS.glob("*.toml")))
AXES = ", ".join(sorted({name.partition(".")[0] for name in PACKS.split(", ")}))


@pytest.mark.parametrize(
    "use",
    ["counterfactual-augmentation", "pair-parity", "counterfactual-averaging", "parity-monitor"],
)
def test_an_axis_that_has_no_pack_is_found_by_validate(use: str) -> None:
    assert told(f'[[steps]]\nuse = "{use}"\naxes = ["gender", "religoin"]\n') == [
        f"steps[1].axes[2]: there is no axis pack 'religoin'; did you mean 'religion'? (known: {AXES})"
    ]


def test_so_is_a_locale_without_a_pack_and_a_pack_that_is_no_pack(here: Path, belief: str) -> None:
    (here / "bad.toml").write_text('axis = "a"\n')
    found = told(
        '[[steps]]\nuse = "pair-parity"\nlocale = "fi"\n[[steps]]\nuse = "pair-parity"\naxes = ["lost.toml"]\n'
        '[[steps]]\nuse = "contrastive-explanation"\naxis = "gendre"\n'
        '[[steps]]\nuse = "pair-parity"\naxes = ["bad.toml"]\n'
        '[[benchmarks]]\nuse = "pair-gap"\naxis = "wealth"\n'
        f'[[benchmarks]]\nuse = "pair-gap"\naxis = "{belief}"\n'
        '[[benchmarks]]\nuse = "perplexity"\ntext = "builtin:helpout"\n'
        '[[benchmarks]]\nuse = "perplexity"\ntext = "lost.txt"\n'
    )
    texts = "everyday, heldout, prompts, templates"
    assert [line.partition("\n")[0] for line in found] == [
        f"steps[1].locale: the axis 'gender' has no pack for the locale 'fi' (known: {PACKS})",
        "steps[2].axes[1]: no axis pack at lost.toml",
        f"steps[3].axis: there is no axis pack 'gendre'; did you mean 'gender'? (known: {AXES})",
        "steps[4].axes[1]: bad.toml: axis pack: 6 problems",
        f"benchmarks[1].axis: there is no axis pack 'wealth' (known: {AXES})",
        f"benchmarks[2]: there are no pairs for the axis '{belief}': its pack has no templates, and the pair bank "
        "needs the groups female and male in English; the axis has christian, jewish, muslim",
        f"benchmarks[3].text: there is no packaged text 'builtin:helpout' (known: {texts})",
        "benchmarks[4].text: there is no text 'lost.txt'; write builtin:heldout, wikitext2, or the path of a text file",
    ]


def test_a_benchmark_file_that_is_missing_is_found_by_validate_once_for_all_that_read_it(here: Path) -> None:
    body = (
        '[[benchmarks]]\nuse = "crows-pairs"\n[[benchmarks]]\nuse = "crows-pairs"\nid = "harness"\nrule = "harness"\n'
    )
    wanted = (
        "benchmarks.crows-pairs and benchmarks.harness: "
        "the benchmark file crows_pairs/crows_pairs_anonymized.csv was not found\n"
        "  tried, in order:\n"
        "    option: not set\n"
        "    $EVENHAND_DATA: not set\n"
        "  get it from github.com/nyu-mll/crows-pairs, data/crows_pairs_anonymized.csv (CC-BY-SA-4.0) "
        "and name its folder in [evaluation] data or EVENHAND_DATA\n"
    )
    for command in ("validate", "run"):
        result = call(command, HEAD + body)
        assert (result.exit_code, result.stderr) == (5, wanted)
    assert not (here / "runs").exists()
    place = here / "mirror" / "crows_pairs"
    place.mkdir(parents=True)
    (place / "crows_pairs_anonymized.csv").write_text("another file")
    assert call("validate", HEAD + body, "--set", f"evaluation.data={here / 'mirror'}").exit_code == 0


def test_wikitext_is_looked_for_where_the_options_or_the_recipe_name_it() -> None:
    found = told(
        '[data]\nheldout = "wikitext2"\n[[benchmarks]]\nuse = "perplexity"\n'
        '[[benchmarks]]\nuse = "perplexity"\nid = "own"\ntext = "wikitext2"\n',
        code=5,
    )
    assert [line.partition("\n")[0] for line in found] == [
        "data.heldout: the benchmark file wikitext2/test.txt was not found",
        "benchmarks.own: the benchmark file wikitext2/test.txt was not found",
    ]


def test_a_file_that_is_another_one_names_the_step_that_reads_it_when_the_run_stops(here: Path) -> None:
    from evenhand_sdk.tiny import save_tiny

    save_tiny(here / "tiny")
    place = here / "mirror" / "crows_pairs"
    place.mkdir(parents=True)
    (place / "crows_pairs_anonymized.csv").write_text("another file\n")
    body = f'[model]\nname = "./tiny"\n[evaluation]\ndata = "{here / "mirror"}"\n[[benchmarks]]\nuse = "crows-pairs"\n'
    result = call("run", body)
    assert result.exit_code == 5
    lines = result.stderr.rstrip("\n").split("\n")
    assert lines[0] == f"{place}/crows_pairs_anonymized.csv: crows_pairs_anonymized.csv is not the published file"
    assert lines[-1].startswith("  in step 'crows-pairs', plugin 'crows-pairs' of evenhand-standard 0.1.0, hook `eval")


@pytest.mark.parametrize(
    ("use", "option"),
    [
        ("counterfactual-averaging", 'exempt = [""]'),
        ("gradient-decoding", 'exempt = ["Ruth", " "]'),
        ("self-debias", 'descriptions = ["   "]'),
        ("contrastive-guidance", 'descriptions = ["\\n"]'),
        ("expert-guidance", 'experts = [" "]'),
        ("expert-guidance", 'anti_experts = [""]'),
        ("prompt-intervention", 'instruction = "  "'),
    ],
)
def test_words_that_are_blanks_are_refused(use: str, option: str) -> None:
    [line] = told(f'[[steps]]\nuse = "{use}"\n{option}\n')
    assert option.split(" =")[0] in line
    assert "there is nothing but blanks: give words, or leave it out" in line


def test_an_expert_that_is_an_anti_expert_is_refused() -> None:
    [line] = told('[[steps]]\nuse = "expert-guidance"\nexperts = ["Be fair:"]\nanti_experts = ["Bad:", "Be fair: "]\n')
    assert "'Be fair:' is an expert and an anti-expert: choose one, since both undo each other" in line


@pytest.mark.parametrize("name", ["texts.csv", "texts.TSV", "texts.jsonl"])
def test_a_table_is_no_text_of_perplexity(here: Path, name: str) -> None:
    (here / name).write_text("text\nRain fell.\n")
    result = call("validate", HEAD + f'[[benchmarks]]\nuse = "perplexity"\ntext = "{name}"\n')
    assert result.exit_code == 2
    assert f"'{name}' is a table, and would be read as prose; write its texts into a text file" in result.stderr


def test_prompts_of_text_degeneration_are_a_list_or_the_lines_of_a_file(here: Path) -> None:
    from evenhand_standard.benchmarks.text_degeneration import TextDegenerationOptions

    (here / "asked.txt").write_text("The old town\n\n  Rain fell on \n", encoding="utf-8")
    (here / "asked.csv").write_text("prompt\nRain fell\n")
    (here / "empty.txt").write_text("\n")
    assert TextDegenerationOptions(prompts="asked.txt").prompts == ("The old town", "Rain fell on")
    assert TextDegenerationOptions(prompts=("asked", "lost.txt")).prompts == ("asked", "lost.txt")

    def told(value: str) -> str:
        result = call("validate", HEAD + f'[[benchmarks]]\nuse = "text-degeneration"\nprompts = {value}\n')
        assert result.exit_code == 2
        return str(result.stderr)

    alone = "is a file; write its name without a list to ask its lines"
    assert f"'asked.txt' {alone}" in told('["asked.txt"]') and f"'asked.csv' {alone}" in told('["asked.csv"]')
    assert "there is no file 'lost.txt'; write prompts in a list, [\"lost.txt\"]" in told('"lost.txt"')
    assert "write prompts in a list, [" in told(f'"{"Rain fell " * 50}"')
    assert "'asked.csv' is no text file; write one prompt on each line of a file NAME.txt" in told('"asked.csv"')
    assert "'empty.txt' has no prompt; write one on each line" in told('"empty.txt"')
    good = HEAD + '[[benchmarks]]\nuse = "text-degeneration"\nprompts = "asked.txt"\n'
    assert call("validate", good).exit_code == 0
