"""Versions of CrowS-Pairs, and the planted models of the older benchmarks."""

from __future__ import annotations

import csv
import io

import pytest
from pair_parts import DATA, READ, differing, measured_of, run_of, sound, values_of, written

from evenhand.errors import PluginFault, UsageError
from evenhand.planted import check_planted
from evenhand_standard.benchmarks import crows_pairs, crows_pairs_data, pair_gap, perplexity
from evenhand_standard.benchmarks.crows_pairs import CrowsPairs

realdata = pytest.mark.skipif(
    not all((DATA / known.path).is_file() for known in crows_pairs_data.FILES.values()),
    reason="the CrowS-Pairs files are not all here: set EVENHAND_DATA",
)
ROWS = [
    ("0", "She saw a red dog and ran.", "He saw a red dog and ran.", "stereo", "gender"),
    ("1", " Old men sleep late in summer. ", "Young men sleep late in summer.", "antistereo", "age"),
    ("409", "Blue people like to sing at home.", "Green people like to sing at home.", "stereo", "Race-color"),
    ("1293", "The poor man took the cake.", "The rich man took the cake.", "stereo", "stereo"),
    ("LA7", "Northern cooks use salt at night.", "Southern cooks use salt at night.", "stereo", "autre"),
]


def table(rows, delimiter):
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator="\n")
    writer.writerow(["", "sent_more", "sent_less", "stereo_antistereo", "bias_type"])
    writer.writerows(rows)
    return buffer.getvalue()


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Own pairs in the place of the published files; in the original, pair 0 reads otherwise."""
    files = {
        name: written(tmp_path, known, table(ROWS, known.delimiter)) for name, known in crows_pairs_data.FILES.items()
    }
    first = [("0", "She saw a dog and ran.", *ROWS[0][2:]), *ROWS[1:3]]
    original = written(tmp_path, crows_pairs.CROWS_PAIRS, table([(*r[:4], "gender") for r in first], ","))
    monkeypatch.setattr(crows_pairs, "FILES", files)
    monkeypatch.setattr(crows_pairs, "CROWS_PAIRS", original)
    return tmp_path


def benchmark_of(data, family="llama", **options):
    return CrowsPairs(data=str(data), **options).evaluation(run_of(family, data))


def test_revisions_are_read_as_what_they_mean(data):
    pairs = crows_pairs.all_pairs("revised-fr-210", str(data))
    assert [p.bias_type for p in pairs] == ["gender", "age", "race-color", "socioeconomic", "other"]
    assert pairs[1].more == "Old men sleep late in summer."
    assert crows_pairs.all_pairs("revised-pikuliak", str(data)) == pairs


def test_other_is_a_type_only_where_a_version_has_it(data):
    with pytest.raises(UsageError) as caught:
        benchmark_of(data, version="revised", bias_types=("other",))
    assert str(caught.value).startswith(
        "crows-pairs: CrowS-Pairs has no bias type 'other'\n  it has race-color, gender"
    )
    chosen = benchmark_of(data, version="revised-210", bias_types=("other",)).score(measured_of("llama"))
    assert [r.id for r in chosen] == ["LA7"]


def test_the_mode_says_which_version_it_is(data):
    assert benchmark_of(data, version="revised-fr").mode == (
        "causal counterpart of the official rule: shared tokens behind the first difference; in French, Névéol et al. "
        "2022: no evidence on a model that was not trained on French"
    )
    assert benchmark_of(data, version="revised-pikuliak", rule="harness").mode.endswith(
        "not normalised; revised by Névéol et al. 2022 and Pikuliak et al. 2023"
    )
    digests = {benchmark_of(data, version=name).data_digest for name in ("original", "revised", "revised-pikuliak")}
    assert len(digests) == 3


@pytest.mark.parametrize("rule", ["official", "harness"])
@pytest.mark.parametrize("family", ["llama", "gpt2", "bert", "roberta"])
def test_planted_models_of_crows_pairs_come_out(data, family, rule):
    benchmark = benchmark_of(data, family, version="revised", rule=rule)
    sound(benchmark, benchmark.score(measured_of(family)))


def test_results_on_sound_pairs_stand_beside_those_on_all(data):
    benchmark = benchmark_of(data, sound_by="revised")
    assert benchmark.mode.endswith("; sound pairs: unchanged in revised")
    records = benchmark.score(measured_of("llama"))
    sound(benchmark, records)
    assert [r.flags["changed by the revision"] for r in records] == [True, False, False]
    found = values_of(benchmark, records)
    kept = [r.values["difference"] for r in records[1:]]
    assert found["mean difference, sound pairs"] == pytest.approx(sum(kept) / 2)
    assert found["mean |difference|, sound pairs"] == pytest.approx(sum(map(abs, kept)) / 2)
    assert found["stereotype preferred, sound pairs"] == pytest.approx(100 * sum(d > 0 for d in kept) / 2)
    assert found["mean difference"] == pytest.approx(sum(r.values["difference"] for r in records) / 3)


def test_sound_pairs_are_pairs_of_the_original(data):
    with pytest.raises(UsageError) as caught:
        benchmark_of(data, version="revised-210", sound_by="revised")
    assert str(caught.value) == (
        "crows-pairs: sound_by compares the original with a revision, but version is 'revised-210'\n"
        '  take version = "original", or leave sound_by out'
    )


@pytest.mark.parametrize("family", ["llama", "bert"])
def test_planted_models_of_pair_gap_and_perplexity_come_out(family, tmp_path):
    for plugin in (pair_gap.PairGap(limit=6), perplexity.Perplexity(limit=2, context=16, stride=5)):
        benchmark = plugin.evaluation(run_of(family, tmp_path))
        sound(benchmark, benchmark.score(measured_of(family)))


def test_a_perplexity_that_scores_a_token_twice_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(perplexity, "windows", lambda ids, context, stride: [(ids[:context], 3), (ids[-context:], 5)])
    benchmark = perplexity.Perplexity(limit=2).evaluation(run_of("llama", tmp_path))
    with pytest.raises(PluginFault, match="word perplexity is"):
        check_planted(benchmark)


def test_a_gap_without_folding_is_refused(tmp_path, monkeypatch):
    benchmark = pair_gap.PairGap(limit=6).evaluation(run_of("llama", tmp_path))
    monkeypatch.setattr(pair_gap, "fold", lambda logp, bins: logp)
    with pytest.raises(PluginFault, match="planted model 'grammar only': JS gap is"):
        check_planted(benchmark)


def test_a_share_counted_the_wrong_way_round_is_refused(data, monkeypatch):
    benchmark = benchmark_of(data, version="revised")
    right = crows_pairs.shared_tokens
    monkeypatch.setattr(
        crows_pairs, "shared_tokens", lambda measured, pairs: [(b, a, n) for a, b, n in right(measured, pairs)]
    )
    with pytest.raises(PluginFault, match="planted model 'always the stereotype': stereotype preferred is 0"):
        check_planted(benchmark)


# ---------------------------------------------------------------------------------------------------- real data
COUNTS = {
    "original": (1508, 1290, [516, 262, 172, 159, 105, 87, 84, 63, 60, 0]),
    "revised": (1467, 1257, [500, 260, 169, 153, 101, 83, 80, 63, 58, 0]),
    "revised-210": (1677, 1466, [508, 320, 190, 216, 111, 91, 93, 72, 65, 11]),
    "revised-fr": (1467, 1257, [453, 261, 176, 189, 105, 83, 78, 63, 59, 0]),
    "revised-fr-210": (1677, 1466, [460, 321, 196, 253, 115, 90, 91, 72, 66, 13]),
    "revised-pikuliak": (1467, 1257, [501, 250, 169, 153, 101, 83, 80, 63, 58, 9]),
}


@pytest.mark.realdata
@realdata
@pytest.mark.parametrize("version", list(COUNTS))
def test_the_files_have_the_published_counts(version):
    pairs = crows_pairs.all_pairs(version, str(DATA))
    rows, stereo, by_type = COUNTS[version]
    assert len(pairs) == len({p.id for p in pairs}) == rows
    assert sum(p.direction == "stereo" for p in pairs) == stereo
    kinds = (*crows_pairs_data.BIAS_TYPES, "other")
    assert [sum(p.bias_type == kind for p in pairs) for kind in kinds] == by_type
    assert all(p.more == p.more.strip() and p.less == p.less.strip() for p in pairs)


CHECKED = {
    "6": False,
    "7": False,
    "14": False,
    "538": False,
    "540": False,
    "0": True,
    "1": True,
    "500": True,
    "1000": True,
    "1507": True,
}
"""Pairs of the original, and whether both sentences stand unchanged in the first revision, read by hand."""


@pytest.mark.realdata
@realdata
def test_ten_pairs_and_their_fate_in_the_revisions():
    original = crows_pairs.all_pairs("original", str(DATA))
    kept = {
        name: crows_pairs_data.unchanged(original, crows_pairs.all_pairs(name, str(DATA)))
        for name in ("revised", "revised-pikuliak")
    }
    assert len(CHECKED) == 10
    assert {name: name in kept["revised"] for name in CHECKED} == CHECKED
    assert {name: len(ids) for name, ids in kept.items()} == {"revised": 1318, "revised-pikuliak": 1300}


@pytest.mark.realdata
@realdata
def test_ten_pairs_read_by_eye():
    pairs = {pair.id: pair for pair in crows_pairs.all_pairs("original", str(DATA))}
    assert len(READ) == 10
    for name, found in READ.items():
        pair = pairs[name]
        assert (pair.direction, pair.axis, differing(pair.more, pair.less)) == found


@pytest.mark.parametrize("family", ["llama", "bert"])
@pytest.mark.parametrize("rule", ["official", "harness"])
def test_aggregates_are_those_of_a_loop_over_both_scores(data, family, rule):
    benchmark = benchmark_of(data, family, version="revised", rule=rule)
    records = benchmark.score(measured_of(family))
    assert {r.group for r in records} == {"stereo", "antistereo"} and all(r.values for r in records)
    found, apart = values_of(benchmark, records), []
    for record in records:
        tokens = record.values["tokens"]
        difference = record.values["more"] - record.values["less"]
        apart.append((difference / tokens if rule == "official" else difference, difference / tokens, record.group))
    sizes = [abs(size) for size, _, _ in apart]
    assert found["mean |difference|"] == pytest.approx(sum(sizes) / len(sizes))
    assert found["mean difference"] == pytest.approx(sum(size for size, _, _ in apart) / len(apart))
    assert found["near-ties"] == pytest.approx(100 * sum(abs(each) < 0.05 for _, each, _ in apart) / len(apart))
    for name, groups in (("", ("stereo", "antistereo")), (", stereo pairs", ("stereo",)),
                         (", antistereo pairs", ("antistereo",))):  # fmt: skip
        wins = [size > 0 for size, _, group in apart if group in groups]
        assert found[f"stereotype preferred{name}"] == pytest.approx(100 * sum(wins) / len(wins))
