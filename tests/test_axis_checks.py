"""What `toolkit check` says about axis packs: good ones pass every check, and each promise is broken once."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from evenhand.cli import toolkit
from evenhand.errors import ConformanceFailed, UnknownPlugin
from evenhand_sdk.axes import packaged
from evenhand_sdk.axis_checks import CHECKS, check_axis
from evenhand_sdk.conformance import Row

PACK = """
axis = "faith"
locale = "en"
groups = ["muslim", "jewish"]
licence = "CC0-1.0"
provenance = "made for this test"
limits = ["two groups"]
[[words]]
theme = "clergy"
pos = "noun"
number = "singular"
rows = [["imam", "rabbi"]]
[[templates]]
text = "The {clergy} left."
[[do_not_flip]]
reason = "a title"
phrases = ["Imam {Name}"]
"""


def checked(tmp_path: Path, text: str) -> dict[str, Row]:
    path = tmp_path / "faith.toml"
    path.write_text(text, encoding="utf-8")
    seen: list[Row] = []
    report = check_axis(str(path), seen.append)
    assert tuple(seen) == report.rows
    return {row.check: row for row in report.rows}


def test_a_good_pack_passes_every_check(tmp_path: Path) -> None:
    rows = checked(tmp_path, PACK)
    assert list(rows) == ["readable", *CHECKS]
    assert {row.status for name, row in rows.items() if name != "templates_agree"} == {"passed"}
    assert rows["phrases_protect"].reason == ""
    assert rows["readable"].reason == "2 groups, 1 row, 0 rows of names"


def test_every_packaged_pack_passes() -> None:
    assert len(packaged()) >= 9
    for name in sorted(packaged()):
        report = check_axis(name)
        assert report.ok, str(report)
        assert report.plugin == name


@pytest.mark.parametrize(
    ("old", "new", "check", "status", "reason"),
    [
        ('limits = ["two groups"]', "limits = []", "documented", "failed",
         "empty: limits (every pack leaves somebody out)"),
        ('licence = "CC0-1.0"', 'licence = " "', "documented", "failed", "empty: licence"),
        ('locale = "en"', 'locale = "tlh"', "grammar", "skipped",
         "'tlh' has no grammar: words are swapped, and nothing around them is repaired"),
        ('"imam", "rabbi"', '"the + imam", "+rabbi"', "words_found", "failed",
         "'+rabbi', '+RABBI' not found in a text that consists of them"),
        ('phrases = ["Imam {Name}"]', 'phrases = ["100 % of"]', "phrases_protect", "passed",
         "1 phrase holds no word of the pack, such as '100 % of': it says why something is left as it is"),
        ('phrases = ["Imam {Name}"]', 'phrases = ["green tea", "imam bayildi", "rab*"]', "phrases_protect", "passed",
         "1 phrase holds no word of the pack, such as 'green tea': it says why something is left as it is"),
        ('phrases = ["Imam {Name}"]', 'phrases = ["green tea"]\nscope = "sentence"', "phrases_protect", "passed", ""),
        ('phrases = ["Imam {Name}"]', 'phrases = ["% of"]', "phrases_protect", "failed",
         "'% of' do not match themselves"),
        ("[[do_not_flip]]\nreason = \"a title\"\nphrases = [\"Imam {Name}\"]\n", "", "phrases_protect", "skipped",
         "the pack protects no phrase"),
        ('[[templates]]\ntext = "The {clergy} left."\n', "", "templates_fill", "skipped",
         "the pack has no templates"),
    ],
)  # fmt: skip
def test_each_promise_is_checked(tmp_path: Path, old: str, new: str, check: str, status: str, reason: str) -> None:
    assert old in PACK
    row = checked(tmp_path, PACK.replace(old, new))[check]
    assert (row.status, row.reason) == (status, reason)


FRENCH = """axis = "gender"
locale = "fr"
groups = ["female", "male"]
licence = "CC0-1.0"
provenance = "Written for this test."
limits = ["two groups"]
[[words]]
theme = "work"
pos = "noun"
number = "singular"
rows = [["lectrice", "lecteur"], ["avocate", "avocat"]]
[[words]]
theme = "kin"
pos = "noun"
number = "singular"
rows = [["cousine", "cousin"]]
[[templates]]
text = "Hier, la {work} est partie."
"""


def test_sentences_of_templates_must_come_back_where_words_agree(tmp_path: Path) -> None:
    """La avocate is mended to l'avocate; a word of the pack outside of a slot would swap a second person."""
    assert checked(tmp_path, FRENCH)["templates_agree"].status == "passed"
    row = checked(tmp_path, FRENCH.replace("partie.", "partie avec ma cousine."))["templates_agree"]
    assert (row.status, row.reason) == (
        "failed",
        "'Hier, la lectrice est partie avec ma cousine.', 'Hier, la avocate est partie avec ma cousine.' are no "
        "sentences that differ in the words of their slots alone and come back from a swap as they were",
    )
    assert checked(tmp_path, PACK)["templates_agree"].reason == "no word around a slot changes with it"


def test_a_context_needs_a_grammar(tmp_path: Path) -> None:
    text = PACK.replace('locale = "en"', 'locale = "tlh"').replace(
        'number = "sing', 'context = "person"\nnumber = "sing'
    )
    row = checked(tmp_path, text)["grammar"]
    assert row.reason == "1 row needs a person as context, and 'tlh' has no grammar that could tell"


def test_a_pack_that_cannot_be_read_tells_all_problems(tmp_path: Path) -> None:
    rows = checked(tmp_path, PACK.replace("pos =", "poss =").replace('axis = "faith"', ""))
    assert list(rows) == ["readable"]
    assert "words[0].poss: unknown key; did you mean 'pos'?" in rows["readable"].reason
    assert "axis: required, but missing" in rows["readable"].reason
    with pytest.raises(ConformanceFailed, match="axis pack 'lost.toml': 1 of 1 conformance checks failed"):
        check_axis("lost.toml").demand()


def test_the_command_checks_files_and_installed_packs(tmp_path: Path) -> None:
    (tmp_path / "faith.toml").write_text(PACK, encoding="utf-8")
    result = CliRunner().invoke(toolkit, ["check", str(tmp_path / "faith.toml")])
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "faith.en: 7 passed, 0 failed, 1 skipped")
    (tmp_path / "bad.toml").write_text(PACK.replace("licence", "license"), encoding="utf-8")
    result = CliRunner().invoke(toolkit, ["check", str(tmp_path / "bad.toml")])
    assert result.exit_code == ConformanceFailed.exit_code
    assert "license: unknown key; did you mean 'licence'?" in result.stdout
    result = CliRunner().invoke(toolkit, ["check", "gendr.en"])
    assert result.exit_code == UnknownPlugin.exit_code
    told = " ".join(result.output.split())
    assert "no plugin and no axis pack is called 'gendr.en'; did you mean 'gender.en'?" in told
    result = CliRunner().invoke(toolkit, ["check", "nobody.knows"])
    assert "axis pack" not in result.output and result.exit_code == UnknownPlugin.exit_code
    result = CliRunner().invoke(toolkit, ["check", "gender.en", "--quiet"])
    assert (result.exit_code, result.output) == (0, "")
