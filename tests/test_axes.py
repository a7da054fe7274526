"""Axis packs: the packaged one, how packs are found, and what is said about a wrong one."""

from __future__ import annotations

import importlib
import sys
import tomllib
from importlib import resources
from pathlib import Path

import pytest

from evenhand.errors import BrokenPlugin, DataNotFound, UsageError
from evenhand_sdk import axes
from evenhand_sdk.axes import Axis, axis_names, load_axis
from evenhand_sdk.axis_packs import parse_axis, read_axis

MINIMAL = """
axis = "age"
locale = "en"
groups = ["old", "young"]
licence = "CC0-1.0"
provenance = "made for this test"
limits = ["two rows"]
[[words]]
pos = "adjective"
rows = [["elderly", "youthful", "human"], ["old", "young"]]
"""
VINTAGE = MINIMAL.replace('axis = "age"', 'axis = "vintage"')


@pytest.fixture(autouse=True)
def _forget_loaded_axes() -> None:
    axes._load_installed.cache_clear()


def problems(text: str) -> str:
    with pytest.raises(UsageError) as error:
        parse_axis(text, where="age.en.toml")
    return str(error.value)


def test_the_gender_pack_is_large_and_says_where_it_comes_from() -> None:
    gender = load_axis("gender")
    assert (gender.name, gender.locale, gender.groups) == ("gender", "en", ("female", "male"))
    assert len(gender.tuples) >= 180
    assert len(gender.names) >= 60
    assert sum(len(entry.phrases) for entry in gender.do_not_flip) >= 100
    assert all(entry.reason for entry in gender.do_not_flip)
    assert gender.licence == "Apache-2.0"
    assert gender.provenance and len(gender.limits) >= 3


def test_bins_are_the_connected_components_of_the_rows() -> None:
    bins = [set(words) for words in load_axis("gender").bins()]
    assert {"she", "he"} in bins
    assert {"her", "him", "his", "hers"} in bins
    assert {"mother", "father"} in bins
    assert {"mom", "dad", "mum"} in bins
    words = [word for words in bins for word in words]
    assert len(words) == len(set(words))
    assert not {"count", "they", "host", "Mary"} & set(words)


def test_names_are_bins_only_on_request() -> None:
    gender = load_axis("gender")
    assert ("Mary", "John") in gender.bins(names=True)
    assert len(gender.bins(names=True)) == len(gender.bins()) + len(gender.names)


def test_the_digest_depends_on_the_content_alone() -> None:
    first = parse_axis(MINIMAL, where="a")
    assert parse_axis("# a comment\n" + MINIMAL, where="b") == first
    other = parse_axis(MINIMAL.replace("youthful", "juvenile"), where="a")
    assert other.digest != first.digest and other != first
    assert len(first.digest) == 64


def test_an_axis_is_frozen() -> None:
    with pytest.raises(AttributeError):
        load_axis("gender").name = "sex"  # type: ignore[misc]


def test_a_file_is_an_axis(tmp_path: Path) -> None:
    path = tmp_path / "age.toml"
    path.write_text(MINIMAL, encoding="utf-8")
    age = load_axis(str(path))
    assert age.tuples[0].words == ("elderly", "youthful")
    assert age.tuples[0].neutral == "human"
    assert age.bins() == (("elderly", "youthful"), ("old", "young"))
    with pytest.raises(DataNotFound) as error:
        read_axis(Path("nowhere.toml"))
    assert str(error.value) == "no axis pack at nowhere.toml\n  check the path; an axis pack is a TOML file"


def test_an_unknown_axis_names_the_near_match() -> None:
    with pytest.raises(UsageError) as error:
        load_axis("gendr")
    assert str(error.value) == (
        "unknown axis 'gendr' for locale 'en'\n"
        f"  known axes: {', '.join(axis_names())}; did you mean 'gender.en'?\n"
        "  install a distribution that offers it, or name a TOML file"
    )


# --- packs of other distributions -------------------------------------------------------------------------------------


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path that looks like the installed distribution `evenhand-age` 1.2."""
    info = tmp_path / "evenhand_age-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: evenhand-age\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("[evenhand.axes]\nvintage.en = age_pack_of_the_test:PACK\n")
    (tmp_path / "age.en.toml").write_text(VINTAGE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "age_pack_of_the_test", raising=False)
    importlib.invalidate_caches()
    return tmp_path


def test_a_pack_of_another_distribution_is_found_without_an_import(installed: Path) -> None:
    (installed / "age_pack_of_the_test.py").write_text("raise RuntimeError('imported too early')")
    assert {"vintage.en", "gender.en"} <= set(axis_names())


def test_a_pack_of_another_distribution_is_loaded_by_path(installed: Path) -> None:
    (installed / "age_pack_of_the_test.py").write_text(
        "from pathlib import Path\nPACK = Path(__file__).parent / 'age.en.toml'\n"
    )
    assert load_axis("vintage") == parse_axis(VINTAGE, where="")


def test_a_pack_must_be_of_the_axis_and_language_that_its_entry_point_names(installed: Path) -> None:
    (installed / "age.en.toml").write_text(VINTAGE.replace('axis = "vintage"', 'axis = "age"'), encoding="utf-8")
    (installed / "age_pack_of_the_test.py").write_text(
        "from pathlib import Path\nPACK = Path(__file__).parent / 'age.en.toml'\n"
    )
    with pytest.raises(BrokenPlugin) as error:
        load_axis("vintage")
    assert str(error.value) == (
        "evenhand-age 1.2: axis 'vintage.en' is offered, and its pack says that it is 'age.en'\n"
        "  give the entry point and the pack the same axis and language"
    )


def test_a_pack_that_cannot_be_imported_is_named_with_its_distribution(installed: Path) -> None:
    (installed / "age_pack_of_the_test.py").write_text("raise RuntimeError('no words today')")
    with pytest.raises(BrokenPlugin) as error:
        load_axis("vintage")
    assert str(error.value) == "evenhand-age 1.2: axis 'vintage.en' cannot be loaded: RuntimeError: no words today"
    assert isinstance(load_axis("gender"), Axis)


def test_a_pack_of_the_wrong_type_is_refused(installed: Path) -> None:
    (installed / "age_pack_of_the_test.py").write_text("PACK = 5")
    with pytest.raises(BrokenPlugin) as error:
        load_axis("vintage")
    assert (
        str(error.value) == "evenhand-age 1.2: axis 'vintage.en' is of type int, not an Axis or the path of a TOML file"
    )


def test_a_pack_that_one_of_ours_hides_is_told_of(installed: Path, caplog: pytest.LogCaptureFixture) -> None:
    info = installed / "evenhand_age-1.2.dist-info"
    (info / "entry_points.txt").write_text("[evenhand.axes]\ngender.en = age_pack_of_the_test:PACK\n")
    importlib.invalidate_caches()
    for _ in range(2):
        assert load_axis("gender").digest
    assert [record.message for record in caplog.records] == [
        "axis 'gender.en' is offered by evenhand-age 1.2, too, and is not taken from there: a pack that comes with the "
        "toolkit goes first. Name the TOML file of the other one instead, or give it a name of its own"
    ]
    (info / "entry_points.txt").write_bytes(b"[evenhand.axes]\ngender.en = \xff\n")
    axes._load_installed.cache_clear()
    assert load_axis("gender").digest


def test_a_mark_of_the_byte_order_is_no_part_of_a_pack(tmp_path: Path) -> None:
    (tmp_path / "age.toml").write_bytes(b"\xef\xbb\xbf" + VINTAGE.encode())
    assert load_axis(str(tmp_path / "age.toml")) == parse_axis(VINTAGE, where="")


@pytest.mark.parametrize(("locale", "near"), [("EN", "gender.en"), ("De", "gender.de"), ("eng", "gender.en")])
def test_a_locale_in_other_letters_is_near_to_itself(locale: str, near: str) -> None:
    with pytest.raises(UsageError) as error:
        load_axis("gender", locale)
    assert f"; did you mean {near!r}?" in str(error.value)


def test_two_distributions_with_one_axis_are_both_named(installed: Path) -> None:
    info = installed / "evenhand_years-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: evenhand-years\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("[evenhand.axes]\nvintage.en = years:PACK\n")
    importlib.invalidate_caches()
    with pytest.raises(UsageError) as error:
        load_axis("vintage")
    assert str(error.value) == (
        "axis 'vintage.en' is offered by 2 distributions\n"
        "  evenhand-age 1.2, evenhand-years 0.1\n"
        "  uninstall one of them, or name the TOML file of the one that you mean"
    )


# --- wrong packs ------------------------------------------------------------------------------------------------------


def test_all_problems_are_reported_with_file_and_key() -> None:
    text = MINIMAL.replace('pos = "adjective"', 'pos = "adjectiv"\nnumbr = "plural"').replace(
        '["old", "young"]]', '["old"]]'
    )
    assert problems(text) == (
        "age.en.toml: axis pack: 2 problems\n"
        "  - words[0].numbr: unknown key; did you mean 'number'?\n"
        "  - words[0].pos: 'adjectiv' is not one of pronoun, noun, adjective, adverb, title, verb"
        "; did you mean 'adjective'?"
    )
    assert problems(MINIMAL.replace(', ["old", "young"]', ', ["old"]')) == (
        "age.en.toml: axis pack: 1 problem\n"
        "  - words[0].rows[1]: ['old'] needs one word for each of old, young, and may end with a neutral word"
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (MINIMAL.replace('licence = "CC0-1.0"\n', ""), "licence: required, but missing"),
        (MINIMAL.replace('locale = "en"', "locale = 5"), "locale: must be a str, got int"),
        (
            MINIMAL.replace('["old", "young"]\nl', '["old"]\nl'),
            "groups: needs at least two different groups, got ['old']",
        ),
        (
            MINIMAL + 'sources = ["ald"]',
            "words[0].sources: 'ald' is no group; did you mean 'old'?",
        ),
        (MINIMAL + "certainty = 2", "words[0].certainty: must be above 0 and at most 1, got 2"),
        (
            MINIMAL.replace('["old", "young"]]', '["old", "elderly"]]'),
            "words: 'elderly' belongs to old and young; give it one group, or limit `sources`",
        ),
        (
            MINIMAL.replace('["old", "young"]]', '["old", "youthful"]]'),
            "words: 'youthful' is in 2 rows and grammar cannot tell them apart",
        ),
        (MINIMAL + '[names]\nrows = [["Ann"]]', "names.rows[0]: ['Ann'] needs one name for each of old, young"),
        (MINIMAL + '[names]\nrows = [["Ann", "Ann"]]', "names: 'ann' is listed twice"),
        (MINIMAL + '[names]\nrows = [["Ann", "bob"]]', "names.rows[0]: 'bob' must begin with a capital letter"),
        (MINIMAL + '[names]\nrows = [["Ann", "Old"]]', "names: 'old' is also a group word"),
        (
            MINIMAL + '[[do_not_flip]]\nscope = "sentence"\nphrases = ["x"]',
            "do_not_flip[0].reason: required, but missing",
        ),
        (
            MINIMAL + '[[do_not_flip]]\nreason = "y"\nscope = "page"\nphrases = ["x"]',
            "do_not_flip[0].scope: 'page' is not one of phrase, sentence, paragraph, person, group; "
            "did you mean 'phrase'?",
        ),
        (
            MINIMAL + '[[do_not_flip]]\nreason = "y"\nphrases = []',
            "do_not_flip[0].phrases: required, but missing or empty",
        ),
        (
            MINIMAL + '[[do_not_flip]]\nreason = "y"\nphrases = ["{Name} Young", "{Name} *"]',
            "do_not_flip[0].phrases: '{Name} *' has no word of its own, and would protect every other one",
        ),
        (MINIMAL.replace('axis = "age"', 'axis = "../age"'), "axis: '../age' is no name of letters, digits, - and _"),
        (MINIMAL.split("[[words]]")[0] + "words = []", "words: needs at least one block"),
        (
            MINIMAL.replace('"elderly"', '" elderly"'),
            "words[0].rows[0]: ' elderly' must have single spaces alone, and none at an end",
        ),
        (
            MINIMAL.replace('"elderly"', '"eld\\nerly"'),
            "words[0].rows[0]: 'eld\\nerly' must have single spaces alone, and none at an end",
        ),
        (
            MINIMAL + '[[words]]\npos = "noun"\nby_group = [{ old = "grey beard ", young = "beard" }]',
            "words[1].by_group[0].old: 'grey beard ' must have single spaces alone, and none at an end",
        ),
        (
            MINIMAL + 'theme = "years"\n[[templates]]\ntext = "The {years} { one."',
            "templates[0].text: a brace that belongs to no slot, in 'The {years} { one.'",
        ),
    ],
)
def test_a_problem_is_named_with_its_key(text: str, problem: str) -> None:
    assert problems(text) == f"age.en.toml: axis pack: 1 problem\n  - {problem}"


# --- rows by group, context, templates, variety -----------------------------------------------------------------------

NATIONS = """
axis = "nation"
locale = "en"
variety = "en-GB"
groups = ["swedish", "french", "chinese"]
licence = "CC0-1.0"
provenance = "made for this test"
limits = []

[[words]]
theme = "origin"
pos = "adjective"
context = "person"
[[words.by_group]]
swedish = "Swedish"
french = "French"
chinese = "Chinese"
neutral = "foreign"

[[words]]
theme = "people"
pos = "noun"
number = "plural"
[[words.by_group]]
swedish = "Swedes"
chinese = "Chinese"

[names]
[[names.by_group]]
swedish = "Anders"
french = "André"

[[templates]]
text = "A {origin} teacher lives there."
slot = "adjective"
"""


def test_rows_by_group_may_leave_a_group_out() -> None:
    nation = parse_axis(NATIONS, where="nation.en.toml")
    assert [row.words for row in nation.tuples] == [("Swedish", "French", "Chinese"), ("Swedes", "", "Chinese")]
    assert [row.neutral for row in nation.tuples] == ["foreign", None]
    assert [row.context for row in nation.tuples] == ["person", None]
    assert [row.theme for row in nation.tuples] == ["origin", "people"]
    assert nation.names == (("Anders", "André", ""),)
    assert nation.words() == ("Swedish", "French", "Chinese", "Swedes", "Anders", "André")
    assert nation.bins(names=True) == (("Swedes", "Swedish", "French", "Chinese"), ("Anders", "André"))
    assert nation.variety == "en-GB"


def test_templates_name_themes_and_what_fills_them() -> None:
    (template,) = parse_axis(NATIONS, where="").templates
    assert (template.text, template.slots) == ("A {origin} teacher lives there.", (("origin", "origin"),))
    assert (template.pos, template.number) == ("adjective", None)
    renamed = NATIONS.replace("A {origin}", "A {x}").replace('slot = "adj', 'slots = {x = "origin"}\nslot = "adj')
    assert parse_axis(renamed, where="").templates[0].slots == (("x", "origin"),)
    named = NATIONS.replace("A {origin} teacher", "My friend {name}").replace('slot = "adjective"', "")
    assert parse_axis(named, where="").templates[0].slots == (("name", "name"),)


def test_every_part_of_the_content_is_in_the_digest() -> None:
    first = parse_axis(NATIONS, where="").digest
    changes = [("en-GB", "en-US"), ('context = "person"\n', ""), ("teacher", "baker"), ("Anders", "Nils")]
    changes += [('theme = "people"', 'theme = "folk"'), ('french = "French"\n', "")]
    others = [parse_axis(NATIONS.replace(old, new), where="").digest for old, new in changes]
    assert len({first, *others}) == 1 + len(changes)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('french = "French"', 'frenc = "French"', "words[0].by_group[0].frenc: is no group; did you mean 'french'?"),
        ('french = "French"', "french = 5", "words[0].by_group[0].french: must be a non-empty string, got 5"),
        ('swedish = "Swedes"\n', "", "words[1].by_group[0]: needs words of at least two groups"),
        (
            "person",
            "persons",
            "words[0].context: 'persons' is not one of person, origin, state; did you mean 'person'?",
        ),
        (
            'number = "plural"\n[[words.by_group]]\nswedish = "Swedes"\nchinese = "Chinese"',
            'number = "plural"',
            "words[1].rows: required, but missing or empty (or give words[1].by_group)",
        ),
        ("A {origin}", "A", "templates[0].text: needs at least one slot in braces, got 'A teacher lives there.'"),
        ("{origin}", "{orign}", "templates[0].text: 'orign' is no theme of the words; did you mean 'origin'?"),
        (
            'slot = "adjective"',
            'slot = "noun"\nnumber = "plural"',
            "templates[0].text: theme 'origin' has no plural noun that could fill the slot",
        ),
        ('slot = "adjective"', 'slots = {y = "origin"}', "templates[0].slots.y: is no slot of the text"),
        ("en-GB", "fr-CA", "variety: 'fr-CA' is no variety of 'en'"),
        ("en-GB", "english", "variety: 'english' is no language tag such as en or en-GB"),
        (
            '"chinese"]',
            '"neutral"]',
            "groups: 'neutral' is the key of the group-free word; call the group something else",
        ),
    ],
)
def test_a_problem_of_the_newer_keys_is_named(old: str, new: str, problem: str) -> None:
    assert NATIONS.count(old)
    with pytest.raises(UsageError) as error:
        parse_axis(NATIONS.replace(old, new, 1), where="nation.en.toml")
    assert f"\n  - {problem}" in str(error.value)


def test_names_have_a_certainty_each() -> None:
    plain = parse_axis(NATIONS, where="")
    assert plain.certainty_of_name("Anders") == 0.9
    told = NATIONS.replace("[names]\n", "[names]\ncertainty = 0.8\nless_certain = {Anders = 0.6}\n")
    nations = parse_axis(told, where="")
    assert (nations.certainty_of_name("Anders"), nations.certainty_of_name("André")) == (0.6, 0.8)
    assert nations.digest != plain.digest
    with pytest.raises(UsageError) as caught:
        parse_axis(told.replace("Anders = 0.6", "Andres = 1.5").replace("certainty = 0.8", "certainty = 0"), where="")
    assert [line.strip() for line in str(caught.value).splitlines()[1:4]] == [
        "- names.certainty: must be above 0 and at most 1, got 0",
        "- names.less_certain.Andres: is no name of the rows; did you mean 'Anders'?",
        "- names.less_certain.Andres: must be above 0 and at most 1, got 1.5",
    ]


def test_a_word_may_be_an_adjective_and_a_noun() -> None:
    both = NATIONS.replace('swedish = "Swedes"', 'swedish = "Swedes"\nfrench = "French"')
    assert len(parse_axis(both, where="").tuples) == 2
    twice = both.replace('pos = "noun"\nnumber = "plural"', 'pos = "adjective"')
    with pytest.raises(UsageError) as error:
        parse_axis(twice, where="x")
    assert "words: 'french' is in 2 rows and grammar cannot tell them apart" in str(error.value)


def test_a_variety_falls_back_to_the_language_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    axes._say_once.cache_clear()
    with caplog.at_level("WARNING", logger="evenhand.axes"):
        assert load_axis("gender", "en-IN") == load_axis("gender", "en")
    assert caplog.messages == ["axis 'gender' has no pack for 'en-IN': gender.en is used"]
    with pytest.raises(UsageError, match="unknown axis 'gender' for locale 'tlh-Latn'"):
        load_axis("gender", "tlh-Latn")


def violations(value: object, schema: dict, at: str = "") -> list[str]:
    """The part of JSON Schema that the schema of axis packs uses, validated independently of the parser."""
    kinds = {"string": str, "array": list, "object": dict, "boolean": bool, "number": (int, float)}
    found = [] if isinstance(value, kinds[schema["type"]]) else [f"{at}: no {schema['type']}"]
    found += [f"{at}: {value}" for options in [schema.get("enum")] if options and value not in options]
    if isinstance(value, list):
        found += [f"{at}: too few"] * (len(value) < schema.get("minItems", 0))
        found += [v for k, item in enumerate(value) for v in violations(item, schema["items"], f"{at}[{k}]")]
    if isinstance(value, dict):
        rest = schema.get("additionalProperties")
        found += [f"{at}: lacks {key}" for key in schema.get("required", []) if key not in value]
        found += [f"{at}: needs one of"] * (
            "anyOf" in schema and not any(set(one["required"]) <= set(value) for one in schema["anyOf"])
        )
        for key, item in value.items():
            inner = schema.get("properties", {}).get(key, rest)
            found += violations(item, inner, f"{at}.{key}") if inner else [f"{at}.{key}: unknown"]
    if isinstance(value, float | int) and not isinstance(value, bool):
        found += [f"{at}: out of range"] * (value <= schema["exclusiveMinimum"] or value > schema["maximum"])
    return found


def test_the_schema_for_editors_accepts_what_the_parser_accepts() -> None:
    from evenhand_sdk.axis_pack_keys import schema

    packs = [file for file in (resources.files("evenhand_sdk") / "packs").iterdir() if file.name.endswith(".toml")]
    texts = [MINIMAL, NATIONS, *(pack.read_text(encoding="utf-8") for pack in packs)]
    assert len(texts) >= 3
    for text in texts:
        assert violations(tomllib.loads(text), schema()) == []
    assert violations(tomllib.loads(MINIMAL + "certainty = 2"), schema()) == [".words[0].certainty: out of range"]
    assert violations(tomllib.loads(MINIMAL + "numbr = 1"), schema()) == [".words[0].numbr: unknown"]
    wrong = MINIMAL.replace("adjective", "adj").replace('licence = "CC0-1.0"', "")
    assert violations(tomllib.loads(wrong), schema()) == [": lacks licence", ".words[0].pos: adj"]


def test_bad_toml_is_named_with_its_file() -> None:
    assert problems("axis = ").startswith("age.en.toml: not valid TOML: ")
