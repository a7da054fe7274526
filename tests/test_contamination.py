"""What of a benchmark occurs in what a run learns from: found by degree, counted, marked, and refused if asked."""

from __future__ import annotations

import io
import random
import time
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from rich.console import Console

from data_runs import write_run
from evenhand import api
from evenhand.contamination import Contamination
from evenhand.contributions import Benchmark, ItemRecord, Metric, item_text
from evenhand.errors import Contaminated, PluginFault, UsageError
from evenhand.item_counts import IN_LEXICON
from evenhand.item_records import read_records
from evenhand.plugin import Material, Plugin
from evenhand.recipe_steps import ResolvedStep
from evenhand.report import render_report
from evenhand.report_reading import raw_run, read_run
from evenhand.summary import print_summary
from evenhand.text_words import lines_of, words_of
from evenhand.word_lists import WordFinder, lists_of
from evenhand.word_windows import Place, Search
from evenhand_sdk import StrengthOptions, hookimpl, load_axis
from evenhand_sdk.tiny import save_tiny

NURSE = "The nurse said that she would come back to the house later."
LONG = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"


# --------------------------------------------------------------------------------------------------------- words
def test_words_are_compared_without_case_punctuation_and_space() -> None:
    assert words_of("It's  THE\tend -- of_it, 7 times.") == ["it", "s", "the", "end", "of", "it", "7", "times"]
    assert words_of("Zoë ging heim") == ["zoë", "ging", "heim"]
    assert words_of("彼女は nurse です") == ["彼", "女", "は", "nurse", "で", "す"]


def test_a_text_of_several_lines_is_looked_at_whole_and_line_by_line() -> None:
    assert lines_of("One two.") == [["one", "two"]]
    assert lines_of("One.\n\n  Two!\n--\n") == [["one", "two"], ["one"], ["two"]]
    assert lines_of(" \n") == [[]]


def hits(items: list[str], texts: list[str], slots: tuple[str, ...] = ("he", "she", "his", "her")) -> list[str]:
    """The degrees by which each item was found: e, g, t."""
    search = Search(slots)
    search.add(items)
    assert search.stream("text", texts) == len(texts)
    return [
        "".join(letter for letter, place in zip("egt", (h.exact, h.grams, h.template), strict=True) if place)
        for h in search.hits(items)
    ]


@pytest.mark.parametrize(
    ("item", "text", "found"),
    [
        (NURSE, NURSE, "et"),
        (NURSE, "  the NURSE said,  that she would come back to the house later ", "et"),
        (NURSE, f"Before. {NURSE} Behind.", "et"),  # eleven words or more may stand within a text
        (NURSE, f"Before.\n{NURSE}\nBehind.", "et"),
        (NURSE, NURSE.replace("she", "he"), "t"),
        (NURSE, NURSE.replace("she", "they"), ""),
        (NURSE, NURSE.replace("later", "soon"), ""),
        ("She ran home early.", "She ran home early.", "et"),
        ("She ran home early.", "But then she ran home early.", ""),  # too short to count within a text
        ("She ran home early.", "But then.\nHe ran home early.\n", "t"),  # but a whole line is one
        ("Yes.", "Yes!", "et"),  # all of the item and all of the text
        ("Yes.\nShe ran home early.", "Yes.\nNo.", ""),  # one word of several lines is nothing
        (LONG, f"x {LONG} y", "egt"),
        (LONG, " ".join(LONG.split()[:13]), "gt"),
        (LONG, " ".join(LONG.split()[:12]), ""),
        (f"{LONG}\nother", f"{LONG} else", "egt"),
        (f"{LONG} he", f"{LONG} she", "gt"),
        ("nothing", "", ""),
    ],
)
def test_what_counts_as_found(item: str, text: str, found: str) -> None:
    assert hits([item], [text]) == [found]


def test_the_first_place_is_told_and_runs_do_not_cross_texts() -> None:
    search = Search()
    search.add([NURSE, LONG])
    search.stream("first", ["", " ".join(LONG.split()[:7]), " ".join(LONG.split()[7:])])
    assert search.hits([NURSE, LONG])[1].grams is None
    search.stream("second", ["a", NURSE, NURSE])
    search.stream("third", [NURSE])
    assert search.hits([NURSE])[0].exact == Place("second", 2)


def test_hits_are_those_of_a_plain_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against substring search on random words, in batches that cut through the texts."""
    monkeypatch.setattr("evenhand.word_hashes.AT_ONCE", 150)
    rng = random.Random(0)

    def sentence(low: int, high: int) -> str:
        return " ".join(rng.choices(["a", "b", "he", "she"], weights=[6, 6, 1, 1], k=rng.randint(low, high)))

    items = [sentence(1, 26) for _ in range(300)]
    texts = [sentence(1, 26) for _ in range(300)]

    def plain(item: str, slot: bool) -> tuple[bool, bool]:
        def as_words(text: str) -> str:
            return f" {' '.join('_' if slot and w in ('he', 'she') else w for w in text.split())} "

        words, others = as_words(item).split(), [as_words(t) for t in texts]
        exact = any(as_words(item) == t or (len(words) >= 8 and as_words(item) in t) for t in others)
        runs = [f" {' '.join(words[k : k + 13])} " for k in range(len(words) - 12)]
        return exact, any(run in t for run in runs for t in others)

    expected = []
    for item in items:
        exact, grams = plain(item, slot=False)
        expected.append("e" * exact + "g" * grams + "t" * any(plain(item, slot=True)))
    assert hits(items, texts, slots=("he", "she")) == expected
    assert {"", "t", "et"} <= set(expected) and any("g" in e for e in expected)


def test_a_hundred_thousand_texts_take_seconds() -> None:
    words = NURSE.split() + LONG.split()
    rng = random.Random(0)
    search = Search(load_axis("gender").words())
    search.add(" ".join(rng.choices(words, k=15)) for _ in range(2000))
    texts = (" ".join(rng.choices(words, k=20)) for _ in range(20_000))
    start = time.perf_counter()
    assert search.stream("text", texts) == 20_000
    assert time.perf_counter() - start < 6  # a fifth of the texts; 0.4 s, 30 allowed for a hundred thousand


# ----------------------------------------------------------------------------------------------------- word lists
@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("She left.", True),
        ("The shed left.", False),
        ("Then will came.", False),  # a name counts with its capital only
        ("Then Will came.", True),
        ("a flight Attendant", True),
        ("a flight of an attendant", False),
        ("", False),
    ],
)
def test_listed_words_in_a_text(text: str, found: bool) -> None:
    assert WordFinder(["she", "Will", "flight attendant"]).occurs(text) is found


class Given(StrengthOptions):
    axes: tuple[str, ...] = ()
    axis: str | None = None
    locale: str | None = "en"
    names: bool = True


class Writes(Plugin):
    name = "writes"
    Options = Given

    @hookimpl
    def data(self, run: Any, split: str, model: Any) -> None:
        return None


class Reads(Writes):
    """Reads the training text and changes none of it."""

    looks_on = True


class Own(Writes):
    def material(self) -> Material:
        return Material(words={"own words": ("blorp",)}, texts={"seeds": (NURSE,)})


class Watches(Plugin):
    name = "watches"
    Options = Given

    @hookimpl
    def monitoring(self, run: Any) -> None:
        return None


def step(plugin: type[Plugin], ident: str = "step", **options: Any) -> tuple[ResolvedStep, Plugin]:
    made = plugin(**options)
    return ResolvedStep(
        id=ident, use=plugin.name, section="steps", plugin=plugin, row=None, options=made.options, raw_options={},
        active=True, allow_no_effect=True, references={},
    ), made  # fmt: skip


def test_the_packs_of_steps_that_change_the_model_are_their_word_lists() -> None:
    gender = load_axis("gender")
    found = lists_of(
        [
            step(Writes, "a", axes=("gender",)),
            step(Own, "b", axis="gender", names=False),
            step(Writes, "idle", axes=("gender",), strength=0.0),
            step(Writes, "labelled", axis="a mere label", locale=None),
            step(Watches, "watch", axes=("gender",)),
            step(Reads, "audit", axes=("gender",)),
        ]
    )
    assert [(x.name, x.steps) for x in found] == [("axis pack gender.en", ["a", "b"]), ("own words", ["b"])]
    assert set(found[0].words) == set(gender.words())
    assert {"she", "Mrs", gender.names[0][0]} <= set(gender.words())
    assert gender.names[0][0] not in gender.words(names=False)
    assert "count" not in gender.words()  # only ever a target: in text it mostly means something else


def test_an_unknown_pack_is_told_with_the_step_that_names_it() -> None:
    with pytest.raises(UsageError) as caught:
        lists_of([step(Writes, "swap", axes=("gendre",))])
    assert str(caught.value).startswith("unknown axis 'gendre' for locale 'en'\n")
    assert caught.value.__notes__ == ["in step 'swap', plugin 'writes', hook `data`"]


# ------------------------------------------------------------------------------------------- benchmarks of a run
def benchmark(texts: dict[str, str] | None, name: str = "b") -> Benchmark:
    metric = Metric(name="m", value="v", better="lower", primary=True)
    given = None if texts is None else lambda: texts
    return Benchmark(name=name, title=name, score=lambda measured: [], metrics=[metric], texts=given)


def records(*ids: str) -> list[ItemRecord]:
    return [ItemRecord(id=i, cluster=i, values={"v": 1.0}, flags={"tie": True}) for i in ids]


ITEMS = {"1": item_text(NURSE, NURSE.replace("she", "he")), "2": LONG, "3": "Nobody is here at all today."}


def test_what_run_json_says() -> None:
    found = Contamination({"b": benchmark(ITEMS), "mute": benchmark(None)}, [step(Writes, "swap", axes=("gender",))])
    rows = Dataset.from_dict({"text": ["x", NURSE, f"{LONG} more"]})
    found.training(rows, "train")
    found.training(rows, "train")  # the same rows are looked at once
    none: dict[str, Any] = {"items": 0, "share": 0.0, "examples": []}

    def one(item: str, row: int) -> dict[str, Any]:
        return {"item": item, "in": f"training text of train, text {row}"}

    assert found.as_dict() == {
        "setting": "report",
        "compared": [{"what": "training text of train", "texts": 3}],
        "lists": [{"name": "axis pack gender.en", "words": len(load_axis("gender").words()), "steps": ["swap"]}],
        "benchmarks": [
            {
                "id": "b",
                "compared": True,
                "reason": "",
                "items": 3,
                "exact": {"items": 2, "share": 2 / 3, "examples": [one("1", 2), one("2", 3)]},
                "n_gram": {"items": 1, "share": 1 / 3, "examples": [one("2", 3)]},
                "template": {"items": 2, "share": 2 / 3, "examples": [one("1", 2), one("2", 3)]},
                "lexicon": {"items": 1, "share": 1 / 3, "examples": [{"item": "1", "in": ""}]},
            },
            {"id": "mute", "compared": False, "reason": "not checked: the benchmark gives no texts"},
        ],
    }
    assert none not in found.as_dict()["benchmarks"]


def test_texts_of_steps_are_compared_too() -> None:
    found = Contamination({"b": benchmark(ITEMS)}, [step(Own, "own")])
    assert found.as_dict()["compared"] == [{"what": "seeds of own", "texts": 1}]
    assert found.as_dict()["benchmarks"][0]["exact"]["examples"] == [{"item": "1", "in": "seeds of own, text 1"}]


def test_items_with_words_of_a_step_are_marked() -> None:
    found = Contamination({"b": benchmark(ITEMS), "mute": benchmark(None)}, [step(Writes, axes=("gender",))])
    marked = found.marked({"b": records("3", "1"), "mute": records("x")})
    assert [r.flags for r in marked["b"]] == [{"tie": True, IN_LEXICON: False}, {"tie": True, IN_LEXICON: True}]
    assert [r.flags for r in marked["mute"]] == [{"tie": True}]
    without = Contamination({"b": benchmark(ITEMS)}, [])
    assert without.marked({"b": records("1")})["b"][0].flags == {"tie": True}


def test_texts_that_lack_an_item_are_a_fault() -> None:
    found = Contamination({"b": benchmark(ITEMS)}, [])
    with pytest.raises(PluginFault) as caught:
        found.marked({"b": records("1", "4")})
    assert str(caught.value) == "benchmark 'b': `texts` has no text for item '4'\n  it must have all items"


def test_switched_off_nothing_is_compared() -> None:
    found = Contamination({"b": benchmark(ITEMS)}, [step(Own, axes=("gender",))], "off")
    found.training(Dataset.from_dict({"text": [NURSE]}), "train")
    assert found.as_dict() == {"setting": "off", "compared": [], "lists": [], "benchmarks": []}
    assert found.marked({"b": records("4")})["b"] == records("4")


def test_hits_are_refused_where_the_recipe_asks_for_it() -> None:
    found = Contamination({"b": benchmark(ITEMS)}, [], "fail")
    found.training(Dataset.from_dict({"text": ["clean"]}), "first")
    with pytest.raises(Contaminated) as caught:
        found.training(Dataset.from_dict({"text": ["x", NURSE]}), "train")
    assert str(caught.value) == (
        "evaluation.contamination: items of a benchmark occur in what the run learns from\n"
        "  b: of 3 items 1 word for word, 0 by 13 words in a row, 1 but for group words\n"
        "  the first is item '1' of b, in training text of train, text 2\n"
        '  take these texts out of the data, or write contamination = "report" under [evaluation]'
    )
    assert caught.value.exit_code == 7


# ----------------------------------------------------------------------------------------------------- whole runs
TEXT = "The nurse said that she would come back.\nThe engineer said he was tired of the work at home.\n"
RUN = """
[traffic]
limit = 0
[evaluation]
resamples = 100
contamination = "{setting}"
controls = "none"
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path, trial: Path) -> Path:
    save_tiny(tmp_path / "tiny")
    (tmp_path / "train.txt").write_text(TEXT)
    (tmp_path / "measured.txt").write_text("\n\n".join([f"Water fell for {k} days and nights." for k in range(30)]))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def recipe(place: Path, body: str, setting: str = "report") -> str:
    return (
        f'[model]\nname = "{place / "tiny"}"\n[data]\ntrain = "{place / "train.txt"}"\n[training]\nmax_steps = 2\n'
        + RUN.format(setting=setting)
        + body
    )


SWAP = '[[steps]]\nuse = "counterfactual-augmentation"\n'
GAP = '[[benchmarks]]\nuse = "pair-gap"\nlimit = 20\n'
TRAIN = '[[steps]]\nuse = "train"\n'


def test_a_run_records_marks_and_shows_what_it_found(place: Path) -> None:
    quality = f'[[benchmarks]]\nuse = "perplexity"\ntext = "{place / "measured.txt"}"\n'
    (place / "train.txt").write_text(TEXT + "Water fell for 7 days and nights.\n")
    result = api.run(recipe(place, SWAP + GAP + quality))
    entries = {b["id"]: b for b in result.record["contamination"]["benchmarks"]}
    # Three texts, and the two that have a group word with their counterfactuals behind them.
    assert result.record["contamination"]["compared"] == [{"what": "training text of train", "texts": 5}]
    where = [{"item": "7", "in": "training text of train, text 5"}]
    assert entries["perplexity"]["exact"] == {"items": 1, "share": 1 / 30, "examples": where}
    assert entries["perplexity"]["lexicon"]["items"] == 0
    # The pairs of pair-gap differ in a group word: every item has one.
    assert (entries["pair-gap"]["lexicon"]["items"], entries["pair-gap"]["items"]) == (20, 20)
    assert entries["pair-gap"]["template"]["items"] == 0
    kept = read_records(result.folder / "items" / "pair-gap.parquet")
    assert {r.flags[IN_LEXICON] for side in kept.values() for r in side} == {True}
    kept = read_records(result.folder / "items" / "perplexity.parquet")
    assert {r.flags[IN_LEXICON] for side in kept.values() for r in side} == {False}
    page = result.report.read_text()
    assert "1 of 30 (3.33\u00a0%)" in page and "20 of 20 (100\u00a0%)" in page and "none of 30" in page
    assert "word for word: item 7 in training text of train, text 5" in page
    assert "Water fell for 7" not in page  # ids, not texts
    out = Console(file=io.StringIO(), width=100, markup=False, highlight=False, emoji=False)
    print_summary(result, console=out)
    assert (
        "- overlap with benchmark items (Gap between counterfactual pairs: 20 of 20 with words that a step works with; "
        "Perplexity: 1 item of 30 in what the run learnt from); see the report"
    ) in " ".join(out.file.getvalue().split())


def test_the_kept_baseline_knows_nothing_of_the_steps(place: Path) -> None:
    first = api.run(recipe(place, SWAP + GAP))
    second = api.run(recipe(place, TRAIN + GAP))
    flags = [
        {k for r in read_records(f / "items" / "pair-gap.parquet")["before"] for k in r.flags}
        for f in (first.folder, second.folder)
    ]
    assert flags == [
        {"nothing to compare", "longer than the context", IN_LEXICON},
        {"nothing to compare", "longer than the context"},
    ]


def test_a_contaminated_run_fails_before_anything_is_measured(place: Path) -> None:
    quality = f'[[benchmarks]]\nuse = "perplexity"\ntext = "{place / "train.txt"}"\n'
    with pytest.raises(Contaminated, match=r"perplexity: of 1 items 1 word for word"):
        api.run(recipe(place, TRAIN + quality, "fail"))
    (folder,) = (place / "runs").iterdir()
    record = raw_run(folder)
    assert record["status"] == "failed"
    assert "measuring before" not in record["timings"]
    assert record["contamination"]["benchmarks"][0]["exact"]["examples"][0]["item"] == "0"
    assert record["events"][-1]["text"].startswith("Contaminated: evaluation.contamination: items of a benchmark")


def test_with_data_steps_it_fails_before_the_training(place: Path) -> None:
    quality = f'[[benchmarks]]\nuse = "perplexity"\ntext = "{place / "train.txt"}"\n'
    with pytest.raises(Contaminated):
        api.run(recipe(place, SWAP + quality, "fail"))
    (folder,) = (place / "runs").iterdir()
    record = raw_run(folder)
    assert "measuring before" in record["timings"]
    assert record["training"] == []
    assert record["contamination"]["benchmarks"][0]["exact"]["items"] == 1


def test_a_training_that_a_step_orders_is_compared_too(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import evenhand_trial

    class Norms(evenhand_trial.Norms):  # type: ignore[name-defined, misc]
        @hookimpl
        def architecture(self, run: Any, model: Any) -> Any:
            run.services.train(Dataset.from_dict({"text": ["Water fell for 9 days and nights."]}), max_steps=1)
            return super().architecture(run=run, model=model)

    monkeypatch.setattr(evenhand_trial, "Norms", Norms)
    quality = f'[[benchmarks]]\nuse = "perplexity"\ntext = "{place / "measured.txt"}"\n'
    result = api.run(recipe(place, '[[steps]]\nuse = "trial-norms"\n' + TRAIN + quality))
    compared = result.record["contamination"]["compared"]
    assert [c["what"] for c in compared] == ["training text of extra", "training text of train"]
    assert result.record["contamination"]["benchmarks"][0]["exact"]["examples"] == [
        {"item": "9", "in": "training text of extra, text 1"}
    ]


def test_lexicon_alone_does_not_fail_a_run(place: Path) -> None:
    result = api.run(recipe(place, SWAP + GAP, "fail"))
    assert result.record["status"] == "complete"
    assert result.record["contamination"]["setting"] == "fail"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda raw: raw.pop("contamination", None), "Not recorded: this run was made before"),
        (lambda raw: raw.update(contamination={"setting": "off"}), "Not compared: the recipe switches it off"),
        (lambda raw: raw.update(contamination={"setting": "report"}), "Nothing was trained on and no step works with"),
    ],
)
def test_what_the_report_says_where_nothing_was_compared(tmp_path: Path, change: Any, said: str) -> None:
    page = render_report(read_run(write_run(tmp_path, change)))
    assert said in page
    assert "by degree" not in page
