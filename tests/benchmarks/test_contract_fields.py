"""What every benchmark of ours must say about itself: the texts of its items, axes, margins, and what its numbers mean.

Each is made on the tiny models, on a few items; those that read published files only where these are.
"""

from __future__ import annotations

import random
import re
import tempfile
import time
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from made_benchmarks import DATA, FEW, PLUGINS, WITHOUT_DATA, everywhere, family, made, records_of
from pair_parts import run_of

from evenhand import mirrors
from evenhand.axis_results import demand_defined
from evenhand.errors import DataNotFound
from evenhand.planted import check_planted
from evenhand.sample import Table
from evenhand_sdk import load_axis
from evenhand_sdk.benchmark_data import KnownFile
from evenhand_standard.benchmarks.data_digests import data_digest
from evenhand_standard.benchmarks.seegull_identities import REGIONS


def test_there_is_a_case_for_each_benchmark():
    assert len(PLUGINS) == 24 and set(PLUGINS) >= WITHOUT_DATA and set(FEW) <= set(PLUGINS)


@pytest.mark.realdata
@pytest.mark.skipif(not Path(DATA, "bbq").is_dir(), reason="the files are not here: set EVENHAND_DATA")
@pytest.mark.parametrize("name", sorted(set(PLUGINS) - WITHOUT_DATA))
def test_the_check_before_an_evaluation_takes_the_published_files(name):
    plugin = PLUGINS[name]
    files = plugin.files_for(plugin.Options(**FEW.get(name, {})))
    with mirrors.reading_once():
        for known in files:
            mirrors.check_file(known, DATA)


@everywhere
def test_each_item_has_its_text(name, kind):
    for benchmark, records in records_of(name, kind):
        texts = benchmark.texts()
        assert list(texts) == [record.id for record in records]
        assert all(text.strip() and "[M]" not in text and "BLANK" not in text for text in texts.values())
        assert all(line == " ".join(line.split()) for text in texts.values() for line in text.split("\n"))


def test_the_texts_hold_all_that_is_scored():
    """On hand-made items, by what each benchmark shows to a model."""
    from evenhand_standard.benchmarks import disco, ethics, holistic_bias, lpbs, seat, seegull, stereoset
    from evenhand_standard.benchmarks.ethics_items import Group, Judgement
    from evenhand_standard.benchmarks.holistic_sentences import Descriptor, Sentences
    from evenhand_standard.benchmarks.seat_tests import AssociationTest
    from evenhand_standard.benchmarks.seegull_pairs import Entry, Pair
    from evenhand_standard.question_answering.questions import Question, texts_of

    same = AssociationTest(
        "t", "gender", ("This is Ann.", "Ann is here."), ("This is Bob.",), ("art",), ("math", "art")
    )
    assert seat.texts_of(same) == {
        "t/x/0": "This is Ann.\nart\nmath",
        "t/x/1": "Ann is here.\nart\nmath",
        "t/y/0": "This is Bob.\nart\nmath",
    }
    item = stereoset.Item("i", "cook", "gender", "The cook is BLANK.", ("The cook is a.", "The cook is b.", "It is c."))
    assert item.texts("intra") == "The cook is a.\nThe cook is b.\nIt is c."
    assert item.texts("inter").startswith("The cook is BLANK.\nThe cook is a.")
    asked = Question(
        id="q", template="t", category="c", block="b", context="Ann  met Bob.", question="Who?",
        answers=("A", "B", "?"), right=2, unknown=2, biased=0, ambiguous=True, negative=True,
    )  # fmt: skip
    assert texts_of([asked]) == {"q": "Ann met Bob.\nWho?\nA\nB\n?"}
    entry = Entry("Danish", "tidy", "Europe", True, 1.0, "Danish people")
    lines = seegull._text(Pair(entry, (("Dutch people", "loud"),))).split("\n")
    assert len(lines) == len(seegull.TEMPLATES) * 4 == len(set(lines))
    assert {line.split()[-1] for line in lines} == {"tidy", "loud"}
    assert len(seegull._text(Pair(entry, ())).split("\n")) == len(seegull.TEMPLATES)
    excuses = (Judgement("I left, because", "it rained.", True), Judgement("I left, because", "I am tall.", False))
    assert ethics.text_of(Group("d", "deontology", "d", excuses)) == "I left, because\nit rained.\nI am tall."
    tall = Descriptor("age", "tall", (("a tall man", "tall men"), ("a tall kid", "tall kids")))
    told = holistic_bias.texts_of(
        Sentences((tall,), ("man", "kid"), ("I'm {noun_phrase}.", "I like {plural_noun_phrase}."))
    )
    assert told == {
        "age/tall/0": "I'm a tall man.\nI'm a tall kid.",
        "age/tall/1": "I like tall men.\nI like tall kids.",
    }
    assert disco.texts_of(["{person} likes"], (["The woman"], ["The man"])) == {"0": "The woman likes\nThe man likes"}
    nurse = lpbs.texts_of([lpbs.Occupation("nurse", "a nurse", 90.0)])
    assert nurse["nurse/0"] == "She is a nurse.\nHe is a nurse." and len(nurse["nurse/3"].split("\n")) == 16


PER_TOKEN = {
    "aul": {"mean |difference|", "mean difference"},
    "crows-pairs": {"mean |difference|", "mean difference", "near-ties"},
    "stereoset": {"mean |difference|", "mean difference", "near-ties"},
    "seegull": {"association", "|association|", "association, weighted by offence"},
    "ethics": {"difference, deontology", "difference, justice"},
    **dict.fromkeys(("bbq", "kobbq", "cbbq"), {"stereotype margin", "|stereotype margin|"}),
}
"""Metrics in nat per token. `WORDS` depend on the vocabulary in all; the other benchmarks' on no tokens at all."""
REGIONAL = {f"association, {region}" for region in REGIONS}
WORDS = frozenset({"disco", "honest", "pair-gap"})


@everywhere
def test_what_depends_on_the_tokenizer_says_so(name, kind):
    for benchmark in made(name, kind):
        # SeeGULL has as many more as there are regions among its pairs.
        told = {m.name for m in benchmark.metrics if m.per_token and m.name not in REGIONAL}
        assert told == ({m.name for m in benchmark.metrics} if name in WORDS else PER_TOKEN.get(name, set()))
        assert all(m.per_token for m in benchmark.metrics if "per token" in m.unit)


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["winobias", "winogender", "bbq"])
@pytest.mark.parametrize("form", ["sum", "per_token", "per_character", "pmi"])
def test_the_form_decides_whether_a_difference_is_per_token(name, form):
    try:
        found = PLUGINS[name](form=form, limit=8, data=DATA).evaluation(run_of("llama", Path(tempfile.mkdtemp())))
    except DataNotFound as error:
        pytest.skip(f"its data are not here: {error.what}")
    magnitude, sign = ("|stereotype margin|", "stereotype margin") if name == "bbq" else ("mean |shift|", "mean shift")
    unit = {"per_token": "nat per token", "per_character": "nat per character"}.get(form, "nat")
    own = {m.name: (m.unit, m.per_token) for m in found.metrics}
    assert own[magnitude] == own[sign] == (unit, form == "per_token")


ATTRIBUTES = frozenset(
    {"age", "appearance", "dialect", "disability", "gender", "gender-identity", "nationality", "political-opinion"}
    | {"profession", "race", "religion", "sexual-orientation", "social-class"}
)
"""What people are protected for, or what stereotypes of groups of people are about."""
SPELT = {
    "ability": "disability",
    "body-type": "appearance",
    "characteristics": "social-class",
    "cultural": "nationality",
    "disability-status": "disability",
    "domestic-area-of-origin": "nationality",
    "educational-background": "social-class",
    "ethnicity": "race",
    "family-structure": "social-class",
    "gender-and-sex": "gender",
    "physical-appearance": "appearance",
    "political-ideologies": "political-opinion",
    "political-ideology": "political-opinion",
    "political-orientation": "political-opinion",
    "race-color": "race",
    "race-ethnicity": "race",
    "race-ethnicity-nationality": "race",
    "religious-ideology": "religion",
    "regional-origin": "nationality",
    "ses": "social-class",
    "socioeconomic": "social-class",
    "socioeconomic-class": "social-class",
    "socioeconomic-status": "social-class",
}
"""The names that their publishers use."""


def attributes(axes):
    """As this test spells them; an intersection is about both of its sides."""
    parts = {part for axis in axes for part in axis.lower().replace("_", "-").split("-x-")}
    return {SPELT.get(part, part) for part in parts}


def test_all_axes_that_records_can_have_are_protected_attributes():
    """Also those of items that the few of the other test do not include."""
    from evenhand_standard.benchmarks import cbbq, crows_pairs_data, honest, kobbq, seat_tests, stereoset
    from evenhand_standard.benchmarks.holistic_sentences import AXES, axis_of
    from evenhand_standard.question_answering import bbq_files

    every = {*bbq_files.CATEGORIES, *cbbq.FILES, *kobbq.CATEGORIES, *crows_pairs_data.BIAS_TYPES, *stereoset.BIAS_TYPES}
    assert attributes(every) <= ATTRIBUTES
    assert attributes(map(axis_of, AXES)) - {""} <= ATTRIBUTES and axis_of("nonce") == ""
    assert set(seat_tests.AXES.values()) <= {*ATTRIBUTES, ""}
    assert {seat_tests.AXES[name] for name in ("weat1", "weat2", "sent-weat1", "sent-weat2")} == {""}
    assert crows_pairs_data.Pair("1", "a", "b", "stereo", crows_pairs_data.OTHER).axis == ""
    about = {
        "female": "gender",
        "queer_gender_pronoun": "gender-identity",
        "nonqueer_orientation": "sexual-orientation",
    }
    assert {name: honest.axis_of(name) for name in about} == about
    assert honest.axis_of("queer") == honest.axis_of("nonqueer") == ""


@everywhere
def test_an_axis_is_a_protected_attribute_or_none(name, kind):
    for benchmark, records in records_of(name, kind):
        axes = {record.axis for record in records} - {""}
        assert attributes(axes) <= ATTRIBUTES
        assert not (benchmark.quality and axes)


@everywhere
def test_the_decisive_metric_is_defined_within_each_axis(name, kind):
    """Or it says that it is not: by_axis=False."""
    for benchmark, records in records_of(name, kind):
        demand_defined(benchmark, Table.of(records))


@everywhere
def test_a_good_value_is_told_in_one_sentence_and_the_mode_names_the_definition(name, kind):
    for benchmark in made(name, kind):
        assert re.findall(r"[.!?](?=\s|$)", benchmark.good) == ["."] and benchmark.good.endswith(".")
        assert not benchmark.good.lower().startswith("good")
        assert len(benchmark.mode.split()) >= 3 and "\n" not in benchmark.mode
        assert all(metric.description for metric in benchmark.metrics)
        assert [metric.primary for metric in benchmark.metrics].count(True) == 1


@everywhere
def test_a_loss_in_points_is_held_against_a_margin(name, kind):
    """A budget is a ratio: it suits perplexity and shares that are near 1, but not what chance has a part in."""
    for benchmark in made(name, kind):
        margins = {metric.name: metric.margin for metric in benchmark.metrics if metric.margin is not None}
        known = {
            "lambada": {"last-word accuracy": 1.0},
            "ethics": {"right order": 1.0},
            "pronoun-agreement": {"agreement": 1.0},
        }
        assert margins == known.get(name, {})
        assert all(metric.primary and metric.unit == "%" for metric in benchmark.metrics if metric.margin is not None)


@everywhere
def test_a_benchmark_that_asks_for_an_ability_names_the_metric_of_it(name, kind):
    """At chance its other numbers are noise, and a change of them is no improvement."""
    known = {
        **dict.fromkeys(("bbq", "cbbq", "kobbq"), "acc_DIS above chance"),
        **dict.fromkeys(("winobias", "winogender"), "accuracy over chance"),
        "classification-gaps": "skill",
    }
    assert {benchmark.able for benchmark in made(name, kind)} == {known.get(name, "")}


def test_a_digest_covers_all_of_its_parts_and_their_order():
    one, other = (KnownFile(path="a", sha256=digit * 64, rows=0, origin="here", licence="none") for digit in ("1", "2"))
    gender = load_axis("gender")
    fewer = replace(gender, tuples=gender.tuples[:-1])
    parts = ([], [one], [other], [one, other], [other, one], [one, gender], [one, fewer], [one, "a"], [one, "a\nb"])
    digests = {data_digest(*each) for each in (*parts, [one, "a", "b"])}
    assert len(digests) == 10 and data_digest(one, gender) == data_digest(one, load_axis("gender"))


@everywhere
def test_items_and_digest_depend_on_the_options_alone(name, kind):
    first = made(name, kind)
    random.seed(7)
    made.cache_clear()
    again = made(name, kind)
    assert [(b.data_digest, b.mode, b.texts()) for b in again] == [(b.data_digest, b.mode, b.texts()) for b in first]


@pytest.mark.parametrize(
    "name",
    [
        "counterfactual-sentiment",
        *(pytest.param(name, marks=pytest.mark.realdata) for name in ("bold", "real-toxicity-prompts")),
    ],
)
def test_another_axis_pack_gives_another_digest(name, tmp_path):
    """Its words are masked or filled in, so that its content belongs to the baseline."""
    pack = resources.files("evenhand_sdk.packs").joinpath("gender.en.toml").read_text(encoding="utf-8")
    digests = set()
    for text in (pack, pack.replace('    "tomboy*",\n', "")):
        path = tmp_path / "own.toml"
        path.write_text(text, encoding="utf-8")
        axes = {"axis": str(path)} if name in WITHOUT_DATA else {"axes": (str(path),), "data": DATA}
        options = {**PLUGINS[name].example_options, **FEW.get(name, {}), **axes}
        try:
            digests.add(PLUGINS[name](**options).evaluation(run_of("llama", tmp_path)).data_digest)
        except DataNotFound as error:
            pytest.skip(f"its data are not here: {error.what}")
    assert len(digests) == 2


@pytest.mark.parametrize(
    ("before", "after", "other"),
    [
        ('    "tomboy*",\n', "", False),  # what counterfactuals leave alone: pairs are made of templates
        ('["policewoman", "policeman",', '["policewoman", "bobby",', True),  # what is folded together
    ],
)
def test_the_digest_of_pair_gap_covers_its_items_and_what_it_folds(before, after, other, tmp_path):
    pack = resources.files("evenhand_sdk.packs").joinpath("gender.en.toml").read_text(encoding="utf-8")
    assert pack.count(before) == 1
    digests = set()
    for text in (pack, pack.replace(before, after)):
        path = tmp_path / "own.toml"
        path.write_text(text, encoding="utf-8")
        benchmark = PLUGINS["pair-gap"](axis=str(path), limit=4).evaluation(run_of("llama", tmp_path))
        digests.add(benchmark.data_digest)
    assert (len(digests) == 2) is other


@everywhere
def test_the_self_test_is_fast_because_it_runs_at_every_use(name, kind):
    for benchmark in made(name, kind):
        assert len(check_planted(benchmark)) >= 3
        used = []
        for _ in range(3):
            start = time.process_time()
            check_planted(benchmark)
            used.append(time.process_time() - start)
        assert min(used) < 0.3


VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *(("ethics", {"tasks": (task,)}) for task in ("deontology", "justice", "virtue", "utilitarianism")),
    ("ethics", {"form": "question", "tasks": ("virtue", "utilitarianism")}),
    ("holistic-bias", {"frequency": False, "axes": ("religion",)}),
    ("holistic-bias", {"axes": ("nonce",)}),
    ("honest", {"part": "queer_nonqueer"}),
    ("bold", {"toxicity": "hurtlex", "sentiment": "opinion-lexicon", "domains": ("profession",)}),
    ("disco", {"persons": "names"}),
    ("stereoset", {"bias_types": ("religion",), "task": "both"}),
    ("winobias", {"types": ("type1",), "form": "pmi"}),
    ("winogender", {"form": "per_character"}),
    ("kobbq", {"style": "letters", "orders": 1}),
    ("cbbq", {"style": "plain", "form": "pmi"}),
    ("bbq", {"categories": ("Race_x_SES",)}),
    ("seegull", {"inventory": "us-states"}),
    ("seat", {"tests": ("weat3",), "details": False}),
    ("crows-pairs", {"rule": "harness"}),
    ("aul", {"weights": "attention"}),
]
"""Options that leave metrics or items out: the self-test must not expect what is not there."""


@pytest.mark.realdata
@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=lambda value: value if isinstance(value, str) else "")
def test_the_self_test_stands_for_other_options(name, options):
    plugin = PLUGINS[name]
    chosen = {**FEW.get(name, {}), **options, "data": DATA}
    try:
        found = plugin(**chosen).evaluation(run_of(family(plugin.kinds[0]), Path(tempfile.mkdtemp())))
    except DataNotFound as error:
        pytest.skip(f"its data are not here: {error.what}")
    for benchmark in found if isinstance(found, list) else [found]:
        assert len(check_planted(benchmark)) >= 3
        assert benchmark.texts()
