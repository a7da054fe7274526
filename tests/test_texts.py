"""The shipped texts and the pair bank: sizes, balance, and proof that what measures shares nothing with what trains."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

import pytest

from evenhand import builtin_texts
from evenhand.errors import DataNotFound, UsageError
from evenhand_sdk.axes import load_axis
from evenhand_sdk.axis_packs import parse_axis
from evenhand_sdk.counterfactual import counterfactuals, group_words
from evenhand_standard import pair_bank

GENDER = load_axis("gender")
EVERYDAY, HELDOUT, PROMPTS = map(builtin_texts.read, ("everyday", "heldout", "prompts"))
TEMPLATES = builtin_texts.read("templates")
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_OCCUPATION_ENDINGS = ("er", "or", "ist", "ian", "man", "woman", "ant", "ess")


def words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]


def occupations() -> dict[tuple[str, ...], None]:
    """Every occupation of the pair bank as words, the longest first."""
    names = {name for split in pair_bank.SPLITS for name in pair_bank.occupations(split)}
    return dict.fromkeys(sorted((tuple(name.split()) for name in names), key=len, reverse=True))


OCCUPATIONS = occupations()


def normalised(text: str) -> list[str]:
    """The words with slots for group words, pronouns, articles and anything that looks like an occupation."""
    groups = {(word.start, word.end) for word in group_words(text, GENDER)}
    found = [
        "<group>" if match.span() in groups else "<a>" if match[0].lower() in ("a", "an", "the") else match[0].lower()
        for match in _WORD.finditer(text)
    ]
    out: list[str] = []
    while found:
        size = next((len(name) for name in OCCUPATIONS if tuple(found[: len(name)]) == name), 0)
        if size or (len(found[0]) > 4 and found[0].endswith(_OCCUPATION_ENDINGS)):
            out.append("<occupation>")
        else:
            out.append(found[0])
        del found[: max(size, 1)]
    return out


def grams(sequences: Iterable[list[str]], size: int) -> set[tuple[str, ...]]:
    return {tuple(s[i : i + size]) for s in sequences for i in range(len(s) - size + 1)}


def bank_texts(*splits: str) -> list[str]:
    chosen = splits or pair_bank.SPLITS
    return [text for split in chosen for item in pair_bank.pairs(GENDER, split) for text in _sides(item)]


def _sides(item: pair_bank.PairItem) -> tuple[str, str]:
    return item.female_text, item.male_text


# --- the texts --------------------------------------------------------------------------------------------------------


def test_there_are_enough_different_lines_of_a_readable_length() -> None:
    assert (len(EVERYDAY), len(HELDOUT), len(PROMPTS)) == (431, 222, 60)
    for lines in (EVERYDAY, HELDOUT, PROMPTS):
        assert len(set(lines)) == len(lines)
    assert {len(line.split()) for line in EVERYDAY} <= set(range(8, 26))
    assert all(line[-1] in ".?" for line in EVERYDAY + HELDOUT)


def test_everyday_is_balanced_over_she_he_and_neither() -> None:
    def side(line: str) -> str:
        spoken = set(words(line))
        she, he = spoken & {"she", "her", "hers", "herself"}, spoken & {"he", "his", "him", "himself"}
        return "both" if she and he else "she" if she else "he" if he else "neither"

    counts = Counter(side(line) for line in EVERYDAY)
    assert 125 <= counts["she"] <= 145
    assert 125 <= counts["he"] <= 145
    assert abs(counts["she"] - counts["he"]) <= 10
    assert 140 <= counts["neither"] <= 165


def test_every_sentence_of_everyday_comes_back_from_its_counterfactual() -> None:
    changed = [(line, found[0].text) for line in EVERYDAY if (found := counterfactuals(line, GENDER))]
    assert len(changed) >= 280
    assert [line for line, text in changed if counterfactuals(text, GENDER)[0].text != line] == []


def test_heldout_is_prose_in_passages_and_names_no_group() -> None:
    passages = builtin_texts.passages("heldout")
    assert len(passages) == 36
    assert " ".join(passages) == " ".join(HELDOUT)
    assert [line for line in HELDOUT if group_words(line, GENDER)] == []


def test_half_of_the_prompts_begin_with_a_person_of_a_group() -> None:
    assert sum(bool(group_words(prompt, GENDER)) for prompt in PROMPTS) in (30, 31)
    assert all(prompt[-1].isalnum() for prompt in PROMPTS)


def test_a_text_is_named_with_or_without_its_prefix_and_has_a_digest() -> None:
    assert builtin_texts.names() == ["everyday", "heldout", "prompts", "templates"]
    assert builtin_texts.read("builtin:heldout") == HELDOUT
    assert re.fullmatch("[0-9a-f]{64}", builtin_texts.digest("everyday"))
    assert builtin_texts.digest("builtin:everyday") == builtin_texts.digest("everyday")
    assert set(builtin_texts.DESCRIPTIONS) == set(builtin_texts.names())


def test_an_unknown_text_names_the_near_match() -> None:
    with pytest.raises(DataNotFound) as error:
        builtin_texts.read("builtin:everday")
    assert str(error.value) == (
        "no packaged text 'builtin:everday'\n"
        "  packaged texts: everyday, heldout, prompts, templates; did you mean 'everyday'?\n"
        "  name one of them, a file, a folder or a data set of the hub"
    )


def test_the_templates_are_the_training_side_of_the_pair_bank_in_balance() -> None:
    assert pair_bank.training_lines(GENDER) == TEMPLATES
    assert len(TEMPLATES) == len(set(TEMPLATES)) == 470
    side = {
        text: group
        for item in pair_bank.pairs(GENDER, "train")
        for group, text in (("female", item.female_text), ("male", item.male_text))
    }
    of = {text: i for i in pair_bank.pairs(GENDER, "train") for text in _sides(i)}
    for attribute in ("template", "occupation"):
        counts: dict[str, Counter[str]] = {}
        for line in TEMPLATES:
            counts.setdefault(getattr(of[line], attribute), Counter())[side[line]] += 1
        assert len(counts) == {"template": 22, "occupation": 64}[attribute]
        assert all(abs(c["female"] - c["male"]) <= 1 for c in counts.values())
    stereotyped = Counter((of[line].stereotype, side[line]) for line in TEMPLATES)
    assert max(stereotyped.values()) - min(stereotyped.values()) <= 20


# --- disjointness -----------------------------------------------------------------------------------------------------


def test_slots_hide_group_words_and_occupations() -> None:
    assert normalised("Her aunt, a civil engineer, saw the plumber.") == [
        "<group>", "<group>", "<a>", "<occupation>", "saw", "<a>", "<occupation>"
    ]  # fmt: skip


def test_training_text_shares_no_phrase_with_the_heldout_text() -> None:
    assert grams(map(words, EVERYDAY), 6) & grams(map(words, HELDOUT), 6) == set()
    assert grams(map(normalised, EVERYDAY), 8) & grams(map(normalised, HELDOUT), 8) == set()


def test_the_templates_that_are_trained_on_share_nothing_with_what_measures() -> None:
    """No phrase, no template and no occupation of the held-out side, and no phrase of the text for perplexity."""
    for measuring in (HELDOUT, bank_texts("heldout")):
        assert grams(map(words, TEMPLATES), 6) & grams(map(words, measuring), 6) == set()
        assert grams(map(normalised, TEMPLATES), 8) & grams(map(normalised, measuring), 8) == set()
    named = [name for name in pair_bank.occupations("heldout") if any(f" {name} " in f" {line} " for line in TEMPLATES)]
    assert named == []


def test_training_text_shares_no_phrase_and_no_template_with_the_pair_bank() -> None:
    bank = bank_texts()
    for other in (EVERYDAY, HELDOUT, PROMPTS):
        assert grams(map(words, other), 6) & grams(map(words, bank), 6) == set()
        assert grams(map(normalised, other), 8) & grams(map(normalised, bank), 8) == set()


def test_prompts_are_not_taken_from_the_other_texts() -> None:
    for other in (EVERYDAY, HELDOUT):
        assert grams(map(words, PROMPTS), 6) & grams(map(words, other), 6) == set()


# --- the pair bank ----------------------------------------------------------------------------------------------------


def test_the_splits_share_no_template_and_no_occupation() -> None:
    train, heldout = (pair_bank.templates(split) for split in pair_bank.SPLITS)
    assert (len(train), len(heldout)) == (22, 24)
    assert not set(train) & set(heldout)
    slotted = [[normalised(re.sub(r"\{\w+\}", "engineer", t)) for t in side.values()] for side in (train, heldout)]
    assert grams(slotted[0], 6) & grams(slotted[1], 6) == set()
    names = [[f" {name} " for name in pair_bank.occupations(split)] for split in pair_bank.SPLITS]
    assert [(a, b) for a in names[0] for b in names[1] if a in b or b in a] == []


def test_the_validation_split_shares_nothing_with_what_is_trained_on_and_what_is_measured() -> None:
    own = pair_bank.templates("validation")
    assert (len(own), Counter(pair_bank.occupations("validation").values())) == (8, {"female": 8, "male": 8, "none": 8})
    texts = [text for item in pair_bank.pairs(GENDER, "validation") for text in _sides(item)]
    slotted = [normalised(re.sub(r"\{\w+\}", "engineer", template)) for template in own.values()]
    names = [f" {name} " for name in pair_bank.occupations("validation")]
    for split in pair_bank.SPLITS:
        others = [normalised(re.sub(r"\{\w+\}", "engineer", t)) for t in pair_bank.templates(split).values()]
        assert grams(slotted, 6) & grams(others, 6) == set()
        taken = [f" {name} " for name in pair_bank.occupations(split)]
        assert [(a, b) for a in names for b in taken if a in b or b in a] == []
    for other in (EVERYDAY, HELDOUT, PROMPTS, TEMPLATES):
        assert grams(map(words, other), 6) & grams(map(words, texts), 6) == set()
        assert grams(map(normalised, other), 8) & grams(map(normalised, texts), 8) == set()


@pytest.mark.parametrize("split", pair_bank.SPLITS)
def test_occupations_are_labelled_in_equal_parts(split: str) -> None:
    assert Counter(pair_bank.occupations(split).values()) == {"female": 22, "male": 22, "none": 20}


@pytest.mark.parametrize(("split", "count"), [("train", 22 * 64), ("heldout", 24 * 64), ("validation", 8 * 24)])
def test_both_sides_of_a_pair_are_counterfactuals_of_each_other(split: str, count: int) -> None:
    items = pair_bank.pairs(GENDER, split)
    assert len(items) == len({item.id for item in items}) == count
    for item in items:
        assert [found.text for found in counterfactuals(item.female_text, GENDER)] == [item.male_text]
        assert [found.text for found in counterfactuals(item.male_text, GENDER)] == [item.female_text]
        assert item.female_text.startswith(item.context) and item.male_text.startswith(item.context)
        assert group_words(item.context, GENDER) == []


def test_a_pair_reads_as_expected() -> None:
    (item,) = [i for i in pair_bank.pairs(GENDER, "heldout") if i.id == "h19.auditor"]
    assert item == pair_bank.PairItem(
        id="h19.auditor",
        template="Last year a {lady} from our street, {an_occupation}, won the regional chess tournament.",
        occupation="auditor",
        female_text="Last year a lady from our street, an auditor, won the regional chess tournament.",
        male_text="Last year a gentleman from our street, an auditor, won the regional chess tournament.",
        context="Last year a ",
        stereotype="none",
    )


def test_a_limit_is_deterministic_and_balanced_over_templates() -> None:
    items = pair_bank.pairs(GENDER, "heldout", limit=240, seed=3)
    assert items == pair_bank.pairs(GENDER, "heldout", limit=240, seed=3)
    assert items == pair_bank.pairs(GENDER, "heldout", seed=3)[:240]
    assert items != pair_bank.pairs(GENDER, "heldout", limit=240, seed=4)
    assert set(Counter(item.template for item in items).values()) == {10}
    assert pair_bank.pairs(GENDER, "heldout", limit=0) == []


def test_what_the_pair_bank_refuses() -> None:
    with pytest.raises(UsageError) as error:
        pair_bank.pairs(GENDER, "test")
    assert str(error.value) == "the pair bank has no split 'test'\n  its splits are train, heldout, validation"
    age = parse_axis(
        'axis="age"\nlocale="en"\ngroups=["old","young"]\nlicence="x"\nprovenance="x"\nlimits=[]\n'
        '[[words]]\npos="adjective"\nrows=[["elderly","youthful"]]',
        where="age",
    )
    with pytest.raises(UsageError) as error:
        pair_bank.pairs(age, "train")
    assert str(error.value) == (
        "the pair bank has no pairs for axis 'age' in 'en'\n"
        "  it is English and needs the groups female and male; the axis has old, young\n"
        "  use an English axis with these groups, such as gender, or the templates of the axis pack"
    )
    with pytest.raises(UsageError, match="the pair bank has no pairs for axis 'gender' in 'fr'"):
        pair_bank.pairs(load_axis("gender", "fr"), "train")
