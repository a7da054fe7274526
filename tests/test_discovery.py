"""Plugins are found without being imported, and a broken one is a row, not a traceback.

The folders in `tests/site` are fake `site-packages`: a `.dist-info` with METADATA and entry_points.txt is an
installed distribution.
"""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from evenhand.discovery import GROUP, Catalogue, discover, load
from evenhand.errors import BrokenPlugin, IncompatiblePlugin, PluginClash, UnknownPlugin
from evenhand.known_plugins import KNOWN_PLUGINS

SITE = Path(__file__).parent / "site"


def catalogue(*folders: str) -> Catalogue:
    return discover([str(SITE / folder) for folder in folders])


def rows(*folders: str) -> list[tuple[str, str, str, str]]:
    return [(row.name, row.provider, row.status, row.reason) for row in catalogue(*folders).rows]


def test_a_sound_distribution_gives_one_row_for_each_entry_point() -> None:
    assert rows("sound") == [
        ("imitation", "fake-sound 1.0", "ok", ""),
        ("quiet-decoding", "fake-sound 1.0", "ok", ""),
        ("row-shuffle", "fake-sound 1.0", "ok", ""),
        ("word-count", "fake-sound 1.0", "ok", ""),
    ]
    row = catalogue("sound").find("row-shuffle")
    assert (row.target, row.origin) == ("fake_sound:RowShuffle", "index")


def test_discovery_imports_no_plugin() -> None:
    code = (
        "import sys; from evenhand.discovery import discover; "
        f"assert len(discover([{str(SITE / 'failing')!r}, {str(SITE / 'slips')!r}]).rows) == 16; "
        "assert not {'fake_failing', 'fake_slips', 'pydantic'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("folder", "row"),
    [
        (
            "duplicated",
            (
                "",
                "fake-duplicated 1.1",
                "broken",
                "entry_points.txt, line 4: 'twice' is given twice in [evenhand.plugins]",
            ),
        ),
        ("bad_bytes", ("", "fake-bytes 1.2", "broken", "entry_points.txt, line 4: byte 0xef is not UTF-8")),
        (
            "bad_spec",
            (
                "misspelt",
                "fake-spec 1.3",
                "broken",
                "'fake_sound/RowShuffle' is not of the form module:Class",
            ),
        ),
    ],
)
def test_a_malformed_file_is_one_broken_row_and_the_others_are_unharmed(
    folder: str, row: tuple[str, str, str, str]
) -> None:
    found = rows(folder, "sound")
    assert len(found) == 5
    assert row in found
    assert [status for _, provider, status, _ in found if provider == "fake-sound 1.0"] == ["ok"] * 4


@pytest.mark.parametrize(
    ("entry_points", "reason"),
    [
        (
            "no section\n[evenhand.plugins]\n",
            "entry_points.txt, line 1: there is no [section] before this line",
        ),
        (
            "[evenhand.plugins]\na = m:C\n[evenhand.plugins]\nb = m:D\n",
            "entry_points.txt, line 3: the section [evenhand.plugins] is given twice",
        ),
        (
            "[evenhand.plugins]\njust words\n",
            "entry_points.txt, line 2: 'just words\\n' is not of the form name = module:Class",
        ),
    ],
)
def test_other_malformed_files(tmp_path: Path, entry_points: str, reason: str) -> None:
    distribution(tmp_path, "bad", "1.0", entry_points=entry_points)
    assert [(r.status, r.reason) for r in discover([str(tmp_path)]).rows] == [("broken", reason)]


def distribution(folder: Path, name: str, version: str, *requires: str, entry_points: str = "") -> Path:
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    (info / "METADATA").write_text("\n".join([*lines, *(f"Requires-Dist: {r}" for r in requires), ""]) + "\n")
    if entry_points:
        (info / "entry_points.txt").write_text(entry_points)
    return info


def test_names_keep_their_case_and_percent_signs_are_no_interpolation(tmp_path: Path) -> None:
    distribution(tmp_path, "odd", "1.0", entry_points="[evenhand.plugins]\nUpper = m:C\nper = m%(x)s:C\n")
    assert [(r.name, r.status) for r in discover([str(tmp_path)]).rows] == [
        ("Upper", "ok"),
        ("per", "broken"),
    ]


def test_a_distribution_without_metadata_is_a_broken_row() -> None:
    (row,) = catalogue("nameless").rows
    assert (row.name, row.distribution, row.status) == ("", "(nameless)", "broken")
    assert row.reason.endswith("nameless offers plugins, but its METADATA has no readable name")


def test_of_two_copies_of_a_distribution_the_first_on_the_path_counts() -> None:
    assert [row[0] for row in rows("older_copy", "sound")] == ["gone-since"]
    assert [row[0] for row in rows("sound", "older_copy")] == [row[0] for row in rows("sound")]
    assert rows("sound", "sound") == rows("sound")


def test_a_first_copy_without_plugins_hides_a_second_one_that_has_some(tmp_path: Path) -> None:
    distribution(tmp_path, "fake_sound", "2.0")
    assert discover([str(tmp_path), str(SITE / "sound")]).rows == ()


def test_requirements_are_followed_through_other_distributions() -> None:
    reason = "needs transformers ~=4.57.6 (through adapters 1.3.0), found 5.23.0"
    assert rows("chain") == [("fused", "fake-fusion 0.2", "incompatible", reason)]
    with pytest.raises(IncompatiblePlugin) as caught:
        catalogue("chain").find("fused")
    assert str(caught.value) == (
        f"'fused' of fake-fusion 0.2 cannot be used here: {reason}\n"
        "  Install versions that agree, for example in an environment of its own: pip install fake-fusion"
    )
    assert caught.value.exit_code == 3


def test_the_running_toolkit_is_what_counts_and_a_missing_requirement_is_named() -> None:
    assert [(name, reason) for name, _, _, reason in rows("demanding")] == [
        ("lonely", "needs a-library-nobody-has >=1.5, which is not installed"),
        ("too-new", "needs evenhand >=7, found 0.1.0"),
    ]


def test_requirements_in_a_circle_end(tmp_path: Path) -> None:
    distribution(tmp_path, "one", "1.0", "two", entry_points="[evenhand.plugins]\na = m:C\n")
    distribution(tmp_path, "two", "1.0", "one>=1")
    assert [row.status for row in discover([str(tmp_path)]).rows] == ["ok"]


def test_what_the_host_requires_is_compared_but_not_followed(tmp_path: Path) -> None:
    distribution(tmp_path, "evenhand", "0.1.0", "shared>=1")
    distribution(tmp_path, "shared", "1.5", "a-library-nobody-has")
    distribution(tmp_path, "guest", "1.0", "shared>=1", entry_points="[evenhand.plugins]\na = m:C\n")
    distribution(tmp_path, "picky", "1.0", "shared>=2", entry_points="[evenhand.plugins]\nb = m:C\n")
    found = {row.name: row.reason for row in discover([str(tmp_path)]).rows}
    assert found == {"a": "", "b": "needs shared >=2, found 1.5"}


@pytest.mark.parametrize(
    ("direct_url", "origin"),
    [
        ('{"url": "file:///home/me/plug", "dir_info": {"editable": true}}', "editable /home/me/plug"),
        (
            '{"url": "https://example.org/p.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}}',
            "https://example.org/p.git@abc",
        ),
        ("{", "unreadable direct_url.json"),
    ],
)
def test_the_origin_comes_from_direct_url(tmp_path: Path, direct_url: str, origin: str) -> None:
    info = distribution(tmp_path, "direct", "1.0", entry_points="[evenhand.plugins]\na = m:C\n")
    (info / "direct_url.json").write_text(direct_url)
    assert [row.origin for row in discover([str(tmp_path)]).rows] == [origin]


def test_a_clash_names_both_sides_and_how_to_choose() -> None:
    found = catalogue("sound", "rival")
    assert [(r.provider, r.status, r.reason) for r in found.rows if r.name == "row-shuffle"] == [
        ("fake-sound 1.0", "clash", "also offered by rival-plugins 2.0; use it as fake-sound:row-shuffle"),
        ("rival-plugins 2.0", "clash", "also offered by fake-sound 1.0; use it as rival-plugins:row-shuffle"),
    ]
    with pytest.raises(PluginClash) as caught:
        found.find("row-shuffle")
    assert str(caught.value) == (
        "'row-shuffle' is offered by fake-sound 1.0 and rival-plugins 2.0\n"
        '  Say which: use = "fake-sound:row-shuffle" or use = "rival-plugins:row-shuffle"'
    )
    assert caught.value.exit_code == 3
    assert found.find("rival-plugins:row-shuffle").provider == "rival-plugins 2.0"
    assert found.find("Rival_Plugins:row-shuffle").provider == "rival-plugins 2.0"


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (
            "row-shufle",
            "no plugin is called 'row-shufle'; did you mean 'row-shuffle'?\n"
            "  Installed: imitation, quiet-decoding, row-shuffle, word-count",
        ),
        ("pair-parity", "plugin 'pair-parity' is not installed\n  pip install evenhand-standard"),
        (
            "crow-pairs",
            "no plugin is called 'crow-pairs'; did you mean 'crows-pairs'?\n  pip install evenhand-standard",
        ),
        (
            "zzz",
            "no plugin is called 'zzz'\n  Installed: imitation, quiet-decoding, row-shuffle, word-count",
        ),
        (
            "fake-sound:row-shufle",
            "fake-sound offers no plugin 'row-shufle'; did you mean 'row-shuffle'?\n"
            "  It offers: imitation, quiet-decoding, row-shuffle, word-count",
        ),
        (
            "fake-sounds:row-shuffle",
            "no distribution 'fake-sounds' with plugins is installed; did you mean 'fake-sound'?\n"
            "  pip install fake-sounds",
        ),
    ],
)
def test_an_unknown_plugin_gets_a_near_match_or_a_pip_line(use: str, message: str) -> None:
    with pytest.raises(UnknownPlugin) as caught:
        catalogue("sound").find(use)
    assert str(caught.value) == message
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("origin", "line"),
    [("index", "--upgrade evenhand-standard"), ("editable /checkout/standard", "-e /checkout/standard")],
)
def test_a_plugin_that_is_newer_than_what_is_installed_of_its_distribution(origin: str, line: str) -> None:
    row = catalogue("sound").find("row-shuffle")
    old = dataclasses.replace(row, name="leace", distribution="Evenhand_Standard", version="0.0.9", origin=origin)
    with pytest.raises(UnknownPlugin) as caught:
        Catalogue((old,)).find("attention-steering")
    rest = (
        "\n  Evenhand_Standard 0.0.9 is installed, but what was installed does not offer it"
        f"\n  install it anew: pip install {line}"
    )
    assert str(caught.value) == "plugin 'attention-steering' is not installed" + rest
    with pytest.raises(UnknownPlugin) as caught:
        Catalogue((old,)).find("attention-stearing")
    asked = "no plugin is called 'attention-stearing'; did you mean 'attention-steering'?"
    assert str(caught.value) == asked + rest


def test_many_plugins_are_counted_instead_of_named() -> None:
    row = catalogue("sound").find("row-shuffle")
    many = Catalogue(tuple(dataclasses.replace(row, name=f"plugin-{n}") for n in range(21)))
    for use, first in (
        ("plugin-x", "no plugin is called 'plugin-x'; did you mean 'plugin-9'?\n  Installed: "),
        ("fake-sound:zzz", "fake-sound offers no plugin 'zzz'\n  It offers: "),
    ):
        with pytest.raises(UnknownPlugin) as caught:
            many.find(use)
        assert str(caught.value) == f"{first}21 plugins; `toolkit plugins` lists them"


def test_an_unknown_plugin_may_be_in_a_file_that_could_not_be_read() -> None:
    with pytest.raises(UnknownPlugin) as caught:
        catalogue("bad_bytes").find("naive")
    assert str(caught.value) == (
        "no plugin is called 'naive'\n"
        "  Entry points that could not be read: "
        "fake-bytes 1.2 (entry_points.txt, line 4: byte 0xef is not UTF-8)\n"
        "  Installed: none"
    )


def test_a_broken_row_cannot_be_used() -> None:
    with pytest.raises(BrokenPlugin, match=r"^'misspelt' of fake-spec 1.3 cannot be used: 'fake_sound/RowShuffle'"):
        catalogue("bad_spec").find("misspelt")


SLIPS = {
    "absent": "fake_slips cannot be imported: AttributeError: module 'fake_slips' has no attribute 'Absent'",
    "defaulted": "Defaulted.data gives 'split' a default, so the host would never fill it",
    "foreign-options": "ForeignOptions.Options is not a subclass of evenhand_sdk.Options",
    "hookless": "Hookless implements no hook",
    "letter-claims": "claims is 'weights', it must be a tuple of strings; write claims = ('weights',)",
    "misnamed": "the entry point is called 'misnamed', but Misnamed.name is 'another-name'",
    "mistyped-argument": "MistypedArgument.data has an argument 'splits' that the hook does not know; "
    "did you mean 'split'?",
    "mistyped-hook": "MistypedHook.objectives is marked with @hookimpl, but there is no such hook; "
    "did you mean 'objective'?",
    "no-class": "'fake_slips' names a module but no class",
    "no-plugin": "NoPlugin is not a subclass of evenhand_sdk.Plugin",
    "number-claims": "claims is (1,), it must be a tuple of strings",
    "taken-option": "option 'active' has a name that belongs to the toolkit",
    "train": "the name 'train' belongs to the toolkit",
    "unmarked": "Unmarked.objective overrides a hook but lacks @hookimpl, so it would never be called",
    "wrong-kind": "kinds names 'casual'; there are 'causal' and 'masked'",
}


def test_every_slip_has_its_message() -> None:
    assert [row.name for row in catalogue("slips").rows] == sorted(SLIPS)


@pytest.mark.parametrize("name", SLIPS)
def test_a_slip_is_an_error_when_the_plugin_loads(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SITE / "slips")
    with pytest.raises(BrokenPlugin) as caught:
        load(catalogue("slips").find(name))
    found = caught.value
    assert found.exit_code == 3
    assert found.what.endswith(SLIPS[name])
    assert name in str(found) and "fake-slips 0.6" in str(found)


def test_an_import_that_fails_says_where_and_keeps_its_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SITE / "failing")
    with pytest.raises(BrokenPlugin) as caught:
        load(catalogue("failing").find("never-imports"))
    assert str(caught.value) == (
        "plugin 'never-imports' of fake-failing 0.3: fake_failing cannot be imported: "
        "ModuleNotFoundError: No module named 'a_library_nobody_has'\n"
        "  Raised at line 5 of fake_failing.py\n"
        "  Tell the maintainers of fake-failing. Recipes that do not name it are unharmed."
    )
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_a_target_without_a_module_says_so(tmp_path: Path) -> None:
    distribution(tmp_path, "hollow", "1.0", entry_points="[evenhand.plugins]\na = json.nothing.here:C\n")
    with pytest.raises(BrokenPlugin) as caught:
        load(discover([str(tmp_path)]).find("a"))
    assert caught.value.what == "there is no module json.nothing"


def test_an_old_interface_is_refused_with_both_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SITE / "old_api")
    with pytest.raises(IncompatiblePlugin) as caught:
        load(catalogue("old_api").find("old-timer"))
    assert str(caught.value) == (
        "plugin 'old-timer' of fake-old 0.9: it was written for plugin interface 0, this toolkit has 1\n"
        "  pip install --upgrade fake-old"
    )
    assert caught.value.exit_code == 3


def test_a_sound_plugin_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SITE / "sound")
    found = catalogue("sound")
    loaded = {name: load(found.find(name)) for name in found.names()}
    assert {name: plugin.stages() for name, plugin in loaded.items()} == {
        "imitation": ("objective",),
        "quiet-decoding": ("decoding",),
        "row-shuffle": ("data",),
        "word-count": ("evaluation",),
    }


def test_a_bad_byte_in_a_stranger_does_not_keep_the_libraries_from_loading() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(SITE / 'bad_bytes')!r})\n"
        "from evenhand.lenient_metadata import ignore_undecodable_entry_points\n"
        "ignore_undecodable_entry_points()\n"
        "from importlib.metadata import entry_points\n"
        "assert len(entry_points()) > 0\n"
        "from evenhand.discovery import discover\n"
        "assert [r.status for r in discover(sys.path[:1]).rows] == ['broken']\n"
        "import evenhand.plugin\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_known_plugins_are_those_of_this_repository() -> None:
    projects = sorted((Path(__file__).parents[1] / "plugins").glob("*/pyproject.toml"))
    assert len(projects) == 2
    offered = {}
    for file in projects:
        project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
        offered |= dict.fromkeys(project["entry-points"][GROUP], project["name"])
    assert offered == KNOWN_PLUGINS
