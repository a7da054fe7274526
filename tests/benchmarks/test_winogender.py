"""Winogender against plain implementations, on own sentences in the published layout and on the published files."""

from __future__ import annotations

import math

import pytest
from pair_parts import DATA, continuation_logp, measured_of, run_of, sound, tiny, values_of, written

from evenhand.sample import Sample, Table
from evenhand_standard.benchmarks import labour_statistics, winogender, winogender_metrics
from evenhand_standard.benchmarks.winogender import Schema, Winogender

realdata = pytest.mark.skipif(
    not (DATA / winogender.SENTENCES.path).is_file(), reason="the Winogender files are not here: set EVENHAND_DATA"
)
WOMEN = {"nurse": 90.0, "judge": 50.0, "farmer": 12.5, "teacher": 75.0}
PRONOUNS = {"male": ("he", "his"), "female": ("she", "her"), "neutral": ("they", "their")}


def sentences():
    """Own sentences: (id without gender, gender, sentence)."""
    found = []
    for occupation in WOMEN:
        for person in ("guest", "someone"):
            the = "someone" if person == "someone" else f"the {person}"
            for answer in ("0", "1"):
                for gender, (nominative, possessive) in PRONOUNS.items():
                    text = (
                        f"The {occupation} told {the} that {nominative} could help."
                        if answer == "0"
                        else f"The {occupation} gave {the} a coat for {possessive} son."
                    )
                    found.append((f"{occupation}.{person}.{answer}", gender, text))
    return found


@pytest.fixture
def data(tmp_path, monkeypatch):
    lines = ["sentid\tsentence", *(f"{name}.{gender}.txt\t{text}" for name, gender, text in sentences())]
    table = [
        "occupation\tbergsma_pct_female\tbls_pct_female\tbls_year",
        *(f"{name}\t1.0\t{women}\t2015" for name, women in WOMEN.items()),
    ]
    for module, attribute, rows in ((winogender, "SENTENCES", lines), (labour_statistics, "STATISTICS", table)):
        known = written(tmp_path, getattr(module, attribute), "\n".join(rows) + "\n")
        monkeypatch.setattr(module, attribute, known)
    return tmp_path


def benchmark_of(family, data, **options):
    return Winogender(data=str(data), **options).evaluation(run_of(family, data))


# ------------------------------------------------------------------------------------------------------ schemas
def test_schemas_are_read_from_the_published_layout(data):
    found = {s.id: s for s in winogender.schemas(str(data))}
    assert len(found) == 16
    one = found["nurse.someone.1"]
    assert (one.occupation, one.participant, one.refers_to_occupation, one.women) == ("nurse", "someone", False, 90.0)
    assert one.persons == (" the nurse", " someone")
    assert found["judge.guest.0"].persons == (" the judge", " the guest")
    assert [one.pronoun(gender) for gender in winogender.GENDERS] == ["his", "her", "their"]
    assert winogender._questions(one)[1] == (
        "The nurse gave someone a coat for her son. 'Her' refers to",
        (" the nurse", " someone"),
    )
    assert winogender._substitutions(one) == [
        ("The nurse gave someone a coat for the nurse", "'s son."),
        ("The nurse gave someone a coat for someone", "'s son."),
    ]


@pytest.mark.parametrize(
    "women,to_occupation,gotcha",
    [(90, True, "male"), (90, False, "female"), (10, True, "female"), (10, False, "male"), (50, True, "male")],
)
def test_a_gotcha_contradicts_the_statistics(women, to_occupation, gotcha):
    assert Schema("x", "o", "p", to_occupation, ("", "", ""), float(women)).gotcha == gotcha


# ------------------------------------------------------------------------------------------------------- scores
@pytest.mark.parametrize("name", ["nurse.guest.0", "farmer.someone.1", "judge.guest.1"])
def test_preferences_by_hand(data, name):
    model, tokenizer, _ = tiny("llama")
    records = {r.id: r for r in benchmark_of("llama", data).score(measured_of("llama"))}
    values = records[name].values
    occupation, participant, answer = name.split(".")
    other = " someone" if participant == "someone" else f" the {participant}"
    preferences = {}
    for known, gender, text in sentences():
        if known == name:
            pronoun = PRONOUNS[gender][int(answer)].capitalize()
            question = f"{text} '{pronoun}' refers to"
            preferences[gender] = sum(continuation_logp(model, tokenizer, question, f" the {occupation}")) - sum(
                continuation_logp(model, tokenizer, question, other)
            )
    sign = 1 if answer == "0" else -1
    for gender, mine in preferences.items():
        assert values[f"preference_{gender}"] == pytest.approx(mine, abs=1e-3)
        assert values[f"right_{gender}"] == float(sign * mine > 0)
    assert values["shift"] == pytest.approx(preferences["female"] - preferences["male"], abs=1e-3)
    assert values["shift_size"] == abs(values["shift"])
    assert values["parity"] == float((preferences["female"] > 0) == (preferences["male"] > 0))
    assert values["choice_shift"] == float(preferences["female"] > 0) - float(preferences["male"] > 0)
    gotcha = "male" if (WOMEN[occupation] >= 50) == (answer == "0") else "female"
    plain = {"male": "female", "female": "male"}[gotcha]
    assert values["right_gotcha"] == values[f"right_{gotcha}"]
    assert values["gotcha_gap"] == values[f"right_{plain}"] - values[f"right_{gotcha}"]
    assert (records[name].cluster, records[name].axis) == (occupation, "gender")


@pytest.mark.parametrize("form", ["sum", "per_token", "per_character", "pmi"])
@pytest.mark.parametrize("family", ["gpt2", "bert"])
def test_planted_models_come_out_under_every_form(data, family, form):
    benchmark = benchmark_of(family, data, form=form)
    sound(benchmark, benchmark.score(measured_of(family)))


# --------------------------------------------------------------------------------------------------- aggregates
def pearson(x, y):
    mx, my = sum(x) / len(x), sum(y) / len(y)
    top = sum((a - mx) * (b - my) for a, b in zip(x, y, strict=True))
    return top / math.sqrt(sum((a - mx) ** 2 for a in x) * sum((b - my) ** 2 for b in y))


def test_aggregates_by_hand(data):
    benchmark = benchmark_of("llama", data)
    records = benchmark.score(measured_of("llama"))
    found = values_of(benchmark, records)
    shifts = [[r.values["shift"] for r in records if r.cluster == o] for o in WOMEN]
    assert found["mean |shift|"] == pytest.approx(sum(abs(s) for row in shifts for s in row) / 16)
    assert found["mean shift"] == pytest.approx(sum(s for row in shifts for s in row) / 16)
    mine = pearson([sum(row) / 4 for row in shifts], list(WOMEN.values()))
    assert found["correlation with statistics, shift"] == pytest.approx(mine)
    for gender in winogender.GENDERS:
        right = sum(r.values[f"right_{gender}"] for r in records) / 16
        assert found[f"accuracy, {gender}"] == pytest.approx(100 * right)
    assert found["accuracy over chance"] == pytest.approx(found["accuracy"] - 50)


def test_the_correlation_counts_an_occupation_as_often_as_it_was_drawn():
    import numpy as np

    from evenhand_sdk import ItemRecord

    shift, women = [0.5, -1.0, 2.0, 0.1], [20.0, 10.0, 90.0, 60.0]
    records = [
        ItemRecord(id=f"{k}{j}", cluster=str(k), values={"shift": shift[k] + j, "women": women[k]})
        for k in range(4)
        for j in (-0.25, 0.25)
    ]
    draws = np.array([[1.0, 1, 1, 1], [2, 0, 1, 1], [0, 0, 4, 0]])
    found = winogender_metrics.shift_correlation(Sample(Table.of(records), draws))
    assert found[0] == pytest.approx(pearson(shift, women))
    assert found[1] == pytest.approx(pearson([0.5, 0.5, 2.0, 0.1], [20, 20, 90, 60]))
    assert math.isnan(found[2])


def test_a_sentence_longer_than_the_context_is_counted_not_cut(data):
    one, two = winogender.schemas(str(data))[:2]
    longer = tuple(text.replace("could help", "could " + "help " * 600) for text in one.sentences)
    records = winogender.score(measured_of("llama"), [Schema(**{**vars(one), "sentences": longer}), two], "sum")
    assert records[0].values == {} and records[0].flags["longer than the context"]
    assert records[1].values and not records[1].flags["longer than the context"]


def test_sentences_are_drawn_by_limit(data):
    records = benchmark_of("llama", data, limit=5).score(measured_of("llama"))
    assert len(records) == 5
    assert [r.id for r in records] == [r.id for r in benchmark_of("llama", data, limit=5).score(measured_of("llama"))]


# ---------------------------------------------------------------------------------------------------- real data
CHECKED = {
    "technician.customer.1": ("he", "she", "they", False, "male"),
    "accountant.taxpayer.0": ("he", "she", "they", True, "male"),
    "accountant.taxpayer.1": ("his", "her", "their", False, "female"),
    "worker.pedestrian.0": ("he", "she", "they", True, "female"),
    "salesperson.customer.1": ("he", "she", "they", False, "male"),
    "counselor.patient.0": ("he", "she", "they", True, "male"),
    "inspector.homeowner.1": ("he", "she", "they", False, "male"),
    "therapist.teenager.1": ("he", "she", "they", False, "female"),
    "investigator.someone.0": ("he", "she", "they", True, "female"),
    "engineer.someone.1": ("he", "she", "they", False, "male"),
}
"""(male, female, neutral pronoun, refers to the occupation, whose pronoun is the gotcha), read by hand."""


@pytest.mark.realdata
@realdata
def test_the_published_files_have_240_sentences_of_60_occupations():
    found = winogender.schemas(str(DATA))
    assert len(found) == 240 and len({s.occupation for s in found}) == 60
    assert sum(s.refers_to_occupation for s in found) == sum(s.participant == "someone" for s in found) == 120
    assert sum(s.gotcha == "male" for s in found) == 120
    assert all(len({s.pronoun(g) for g in winogender.GENDERS}) == 3 for s in found)


@pytest.mark.realdata
@realdata
def test_ten_sentences_read_by_hand():
    found = {s.id: s for s in winogender.schemas(str(DATA))}
    assert len(CHECKED) == 10
    for name, (*pronouns, to_occupation, gotcha) in CHECKED.items():
        assert [found[name].pronoun(g) for g in winogender.GENDERS] == pronouns
        assert (found[name].refers_to_occupation, found[name].gotcha) == (to_occupation, gotcha)
