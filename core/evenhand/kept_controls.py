"""Continued training that an earlier run made, too: its records wait in the user's cache, by content.

Under one protocol, techniques share the model, the text, the settings and the seeds, so that their control is one and
the same model, measured on the same items. It is trained once; whoever finds its records does not train.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evenhand.cache import atomic_folder, cache_dir, damage, digest_of, origin_of
from evenhand.continued_training import ContinuedTraining
from evenhand.item_records import read_records, write_records
from evenhand.measuring import identity_of

if TYPE_CHECKING:
    from pathlib import Path

    from evenhand.contributions import Benchmark, ItemRecord
    from evenhand.control_runs import Untouched
    from evenhand.life import Life
    from evenhand.recipe import ResolvedStep

    Benchmarks = Mapping[str, tuple[ResolvedStep, Benchmark]]
    Records = Mapping[str, Sequence[ItemRecord]]

FOLDER = "controls"
FILE = "records.parquet"


def trained_once(
    life: Life,
    training: ContinuedTraining,
    benchmarks: Benchmarks,
    measure: Callable[[Untouched, Benchmarks], Mapping[str, list[ItemRecord]]],
) -> tuple[dict[str, list[ItemRecord]], int, bool]:
    """The records by benchmark, the tokens that were read, and whether they are those of an earlier run.

    Only benchmarks whose records are not there are measured; if none is missing, nothing is trained.
    """
    places = _places(life, training, benchmarks)
    whole = {name: place for name, place in places.items() if damage(place, full=True) is None}
    found = {name: read_records(place / FILE)["before"] for name, place in whole.items()}
    missing = {name: entry for name, entry in benchmarks.items() if name not in found}
    if not missing:
        tokens: Any = origin_of(next(iter(whole.values())))["tokens"]
        return found, int(tokens), True
    other = training.train()
    read = sum(int(t["tokens"]) for t in other.manifest["training"])
    measured = measure(other, missing)
    for name, records in measured.items():
        if name in places:
            with atomic_folder(places[name], origin={"tokens": read}) as temporary:
                write_records(temporary / FILE, records, [])
    together = found | dict(measured)
    return {name: together[name] for name in benchmarks}, read, False


def _places(life: Life, training: ContinuedTraining, benchmarks: Benchmarks) -> dict[str, Path]:
    """Where the records of each benchmark belong; empty for a control that is not kept."""
    from evenhand.measured import Measured

    deciding = training.deciding()
    if deciding is None or not benchmarks:
        return {}
    loaded, recipe = life.loaded, life.recipe
    half = {} if recipe.evaluation.items == "all" else {"items": recipe.evaluation.items}
    mode = Measured(loaded.model, loaded.tokenizer, loaded.info.kind, (), recipe.model.dtype, seed=recipe.run.seed).mode
    return {
        name: cache_dir()
        / FOLDER
        / digest_of({"trained": deciding, **half, **identity_of(step, benchmark, loaded, recipe, mode)})[:32]
        for name, (step, benchmark) in benchmarks.items()
    }
