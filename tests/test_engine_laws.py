"""Laws of the engine on every packaged axis: any text, no group word, alignment, way back, prefixes, spaCy."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenhand.errors import UsageError
from evenhand_sdk.axes import Axis, WordTuple, load_axis, packaged
from evenhand_sdk.axis_packs import parse_axis
from evenhand_sdk.counterfactual import (
    causal_counterfactuals,
    counterfactuals,
    group_words,
    swap_prefix,
)
from evenhand_sdk.counterfactual_types import Counterfactual
from evenhand_sdk.grammar import grammar_of
from evenhand_sdk.lexicon import compiled

AXES = [load_axis(*name.rsplit(".", 1)) for name in sorted(packaged())]
ENGLISH = [axis for axis in AXES if axis.locale == "en"]
WORDS = sorted({word for axis in AXES for word in axis.words()})
GLUE = st.sampled_from(
    [
        " ",
        " ",
        " ",
        ", ",
        ". ",
        "'s ",
        "’s ",
        "-",
        " the ",
        " a ",
        " an ",
        " is ",
        "\n",
        " “",
        "” ",
        "…",
        "\u0301",
        "İ",
        "ß",
        "_",
    ]
)


@st.composite
def texts_with_words(draw: st.DrawFn) -> str:
    """Words of any pack, in any case, with anything between."""
    parts: list[str] = []
    for word in draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=6)):
        style = draw(st.sampled_from([str, str, str.lower, str.upper, str.title]))
        parts += [style(word), draw(GLUE), draw(st.text(max_size=4))]
    return "".join(parts)


def check_alignment(text: str, found: Counterfactual) -> None:
    """The alignment covers both texts, and says what is equal and what an edit."""
    old = new = 0
    edits = iter(found.edits)
    for block in found.alignment:
        assert (block.start, block.new_start) == (old, new)
        before, after = text[block.start : block.end], found.text[block.new_start : block.new_end]
        if block.equal:
            assert before == after != ""
        else:
            edit = next(edits)
            assert (edit.before, edit.after) == (before, after)
        old, new = block.end, block.new_end
    assert (old, new) == (len(text), len(found.text))
    assert next(edits, None) is None


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.text(max_size=80), texts_with_words()), st.sampled_from(AXES))
def test_no_text_makes_it_fail_and_the_alignment_rebuilds_both_texts(text: str, axis: Axis) -> None:
    for found in (*counterfactuals(text, axis), *causal_counterfactuals(text, axis)):
        assert found.text != text
        assert 0 < found.confidence <= 1
        check_alignment(text, found)
    for word in group_words(text, axis):
        assert word.group in axis.groups and text[word.start : word.end]


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="bcdfgjkpqvxz BDFG.,'’-\n0123456789", max_size=120), st.sampled_from(AXES))
def test_a_text_without_group_words_is_never_touched(text: str, axis: Axis) -> None:
    if not any(part in compiled(axis).heads for part in text.lower().replace("'", " ").split()):
        assert counterfactuals(text, axis) == []
        assert swap_prefix(text, axis) == text


def two_way(axis: Axis) -> list[tuple[WordTuple, int]]:
    """Rows that every group recognises, none of whose words stands in a second row, with each group of theirs."""
    entries = compiled(axis).entries
    return [
        (row, group)
        for row in axis.tuples
        if set(row.sources) == set(axis.groups) and row.pos in ("noun", "adjective")
        for group, word in enumerate(row.words)
        if all(not w or len(entries[w.lower()].rows) == 1 for w in row.words) and word
    ]


@settings(max_examples=300, deadline=None)
@given(st.data(), st.sampled_from(ENGLISH))
def test_the_way_back_gives_the_text_on_the_supported_lexicon(data: st.DataObject, axis: Axis) -> None:
    row, group = data.draw(st.sampled_from(two_way(axis)))
    word = row.words[group]
    if row.pos == "adjective":
        text = f"I met the {word} man."
    else:
        text = f"I met some {word}." if row.number == "plural" else f"I met the {word}."
    for found in counterfactuals(text, axis):
        assert [back.text for back in counterfactuals(found.text, axis, axis.groups[group])] == [text]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([*WORDS, "the", "is", "a", "man", "very", "met", "."]), min_size=2, max_size=8))
def test_the_swap_of_a_prefix_is_the_prefix_of_the_swap_on_every_axis(words: list[str]) -> None:
    text = " ".join(words)
    for axis in AXES:
        found = causal_counterfactuals(text, axis)
        if not found:
            continue
        whole, group = found[0].text, found[0].group
        for count in range(1, len(words)):
            prefix = causal_counterfactuals(" ".join(words[:count]), axis, group)
            if prefix:
                assert whole.startswith(prefix[0].text)


# --- many groups ------------------------------------------------------------------------------------------------------


def test_forty_groups_compile_and_swap() -> None:
    groups = [f"g{k}" for k in range(40)]
    rows = ",\n".join("[" + ", ".join(f'"word{row}of{k}x"' for k in range(40)) + "]" for row in range(30))
    wide = parse_axis(
        f"""
axis = "wide"
locale = "en"
groups = {groups}
licence = "CC0-1.0"
provenance = "made for this test"
limits = []
[[words]]
pos = "noun"
rows = [{rows}]
[[do_not_flip]]
reason = "fixed"
phrases = ["word0of0x salad", "word1of5x of word2of6x"]
""".replace("'", '"'),
        where="wide.toml",
    )
    found = counterfactuals("A word3of7x met a word0of0x and ate word0of0x salad.", wide)
    assert len(found) == 39
    assert found[0].text == "A word3of0x met a word0of7x and ate word0of0x salad."
    assert found[1].text == "A word3of1x met a word0of0x and ate word0of0x salad."
    # the phrase is exempt in every group's words, so that a swap can be undone
    assert counterfactuals("A word0of9x salad.", wide) == []
    assert counterfactuals("The word1of6x of word2of5x.", wide) == []


# --- other grammars ---------------------------------------------------------------------------------------------------


def test_an_unknown_grammar_and_an_unknown_language_are_refused() -> None:
    with pytest.raises(UsageError) as error:
        counterfactuals("She left.", load_axis("gender"), grammar="spacey")
    assert str(error.value) == (
        "there is no grammar 'spacey'\n"
        "  there are the rules of the locale (the default) and spacy; did you mean 'spacy'?"
    )
    with pytest.raises(UsageError, match="the grammar 'spacy' has no language 'tlh'"):
        grammar_of("tlh", "spacy")


def test_without_spacy_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spacy", None)
    grammar_of.cache_clear()
    with pytest.raises(UsageError) as error:
        grammar_of("en", "spacy")
    assert str(error.value) == (
        "grammar 'spacy' needs spaCy, which is not installed\n"
        "  pip install spacy; python -m spacy download en_core_web_sm"
    )


TAGS = {"saw": "VBD", "her": "PRP", "work": "NN", "his": "PRP$", "Chinese": "NNPS", "are": "VBP", "here": "RB"}


def fake_spacy(models: list[str]) -> ModuleType:
    """A spaCy whose pipeline tags words by a table."""
    module: Any = ModuleType("spacy")
    module.util = SimpleNamespace(get_installed_models=lambda: models)

    def load(name: str, disable: list[str]) -> Any:
        module.loaded = (name, disable)

        def pipeline(text: str) -> list[Any]:
            places, at = [], 0
            for word in text.replace(".", " .").split():
                at = text.index(word, at)
                places.append(SimpleNamespace(idx=at, tag_=TAGS.get(word, "XX")))
                at += len(word)
            return places

        return pipeline

    module.load = load
    return module  # type: ignore[no-any-return]


def test_spacys_tags_decide_where_words_are_ambiguous(monkeypatch: pytest.MonkeyPatch) -> None:
    spacy: Any = fake_spacy(["de_core_news_sm", "en_core_web_sm", "en_core_web_lg"])
    monkeypatch.setitem(sys.modules, "spacy", spacy)
    grammar_of.cache_clear()
    compiled.cache_clear()
    gender = load_axis("gender")
    text = "They saw her work."
    (ruled,) = counterfactuals(text, gender)
    (tagged,) = counterfactuals(text, gender, grammar="spacy")
    assert (ruled.text, tagged.text) == ("They saw his work.", "They saw him work.")
    assert tagged.confidence == 0.95
    assert [c.text for c in counterfactuals("It is his.", gender, grammar="spacy")] == ["It is hers."]
    assert spacy.loaded == ("en_core_web_lg", ["parser", "ner", "lemmatizer"])
    monkeypatch.setitem(sys.modules, "spacy", fake_spacy(["de_core_news_sm"]))
    grammar_of.cache_clear()
    with pytest.raises(UsageError, match="needs an English pipeline of spaCy, and none is installed"):
        grammar_of("en", "spacy")
    grammar_of.cache_clear()
    compiled.cache_clear()
