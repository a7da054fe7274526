"""Every data technique on data without a row, and on a stream that lacks a column: rows out, or a plain refusal."""

from __future__ import annotations

from typing import Any

import pytest
from data_steps import applied
from datasets import Dataset, Features, IterableDataset, Value

from evenhand_sdk import UsageError
from evenhand_standard.data.bias_filter import BiasFilter
from evenhand_standard.data.corpus_audit import CorpusAudit
from evenhand_standard.data.counterfactual_augmentation import CounterfactualAugmentation
from evenhand_standard.data.counterfactual_substitution import CounterfactualSubstitution
from evenhand_standard.data.cultural_mix import CulturalMix
from evenhand_standard.data.demographic_mix import DemographicMix
from evenhand_standard.data.diversified_synthesis import DiversifiedSynthesis
from evenhand_standard.data.group_balancing import GroupBalancing
from evenhand_standard.data.healthy_data_diet import HealthyDataDiet
from evenhand_standard.data.learned_rewriting import LearnedRewriting
from evenhand_standard.data.names_intervention import NamesIntervention
from evenhand_standard.data.neutral_rewriting import NeutralRewriting
from evenhand_standard.data.preference_pairs import PreferencePairs

COLUMNS = ("text", "author_group", "locale")
NO_ROWS = Dataset.from_dict({name: [] for name in COLUMNS}, features=Features(dict.fromkeys(COLUMNS, Value("string"))))


@pytest.fixture
def run(tiny: Any, run_of: Any) -> Any:
    return run_of(*tiny())


@pytest.mark.parametrize(
    ("plugin", "options"),
    [
        (CounterfactualAugmentation, {}),
        (CounterfactualSubstitution, {}),
        (NamesIntervention, {"counts": "pack"}),
        (LearnedRewriting, {"rewriter": "engine"}),
        (GroupBalancing, {}),
        (GroupBalancing, {"method": "temperature", "apply": "weigh"}),
        (HealthyDataDiet, {"selection": "random"}),
        (BiasFilter, {"classifier": "vader"}),
        (DiversifiedSynthesis, {"sets": 1, "sources": ("templates",)}),
        (NeutralRewriting, {"strength": 1.0}),
        (CorpusAudit, {}),
    ],
)
def test_no_row_in_is_no_row_out(run: Any, plugin: type, options: dict[str, Any]) -> None:
    out, _, account = applied(plugin, run, NO_ROWS, **options)
    assert len(out) == account.read == account.out == 0
    assert set(COLUMNS) <= set(out.column_names)


def test_pairs_are_added_to_no_rows(run: Any) -> None:
    out, _, account = applied(PreferencePairs, run, NO_ROWS, limit=1)
    assert (account.read, account.added, len(out)) == (0, 2, 2)


@pytest.mark.parametrize(
    ("plugin", "options", "message"),
    [
        (HealthyDataDiet, {}, "no row has a text to score"),
        (DemographicMix, {"consent": "synthetic metadata"}, "names 0 groups"),
        (CulturalMix, {"locales": ("en-GB", "en-IN")}, "no text of en-GB, en-IN"),
    ],
)
def test_what_needs_rows_says_so(run: Any, plugin: type, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        applied(plugin, run, NO_ROWS, **options)


@pytest.mark.parametrize(
    ("plugin", "options"), [(CounterfactualSubstitution, {"document": "book"}), (CorpusAudit, {"labels": "book"})]
)
def test_a_stream_without_the_column_is_refused_by_name(run: Any, plugin: type, options: dict[str, Any]) -> None:
    rows = IterableDataset.from_generator(lambda: iter([{"text": "She left."}]))
    with pytest.raises(UsageError, match="the data have no column 'book'\n  their columns: text\n"):
        list(plugin(**options).data(run, "train", run.services.model).fn(rows))
