"""Benchmarks on a model without any mitigation: `toolkit eval`, and `evenhand.evaluate`.

The same benchmarks, engine and cache as in a run: what one of both has measured, the other does not measure again. The
model is anything that a recipe's `model.name` may be, or a run folder: then the finished model, its decoding rules
in force.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand.cache import storing
from evenhand.compose import Composer
from evenhand.errors import WrongModelKind
from evenhand.evaluated_model import demand_measurable, finished_run, load_evaluated, steps_of
from evenhand.evaluation_call import Asked, checked, entry_of, none_named, short_name
from evenhand.failed_run import recorded
from evenhand.manifest import Manifest, environment, provenance
from evenhand.mirrors import reading_once
from evenhand.plan import Plan
from evenhand.processes import is_first, rank_and_count
from evenhand.recipe import Recipe, ResolvedStep
from evenhand.report_reading import raw_run
from evenhand.run_folders import STATE, new_folder

if TYPE_CHECKING:
    from evenhand.contributions import Benchmark, ItemRecord
    from evenhand.models import LoadedModel

    Benchmarks = Mapping[str, tuple[ResolvedStep, Benchmark]]


@dataclass(frozen=True)
class Evaluation:
    """A finished evaluation."""

    folder: Path
    record: dict[str, Any]
    """run.json."""

    @property
    def benchmarks(self) -> list[dict[str, Any]]:
        """Each benchmark's metrics with intervals (under `after`), items, flags."""
        return list(self.record["benchmarks"])

    @property
    def report(self) -> Path:
        return self.folder / "report.html"

    def records(self, benchmark: str) -> list[ItemRecord]:
        """The scores of a benchmark, item by item; by its id."""
        from evenhand.item_records import read_records

        return read_records(self.folder / "items" / f"{benchmark}.parquet")["after"]

    def __str__(self) -> str:
        from evenhand.evaluation_summary import as_text

        return as_text(self.folder)

    def __repr__(self) -> str:
        return f"<evaluation of {self.record['model']['display_name']}: {', '.join(b['id'] for b in self.benchmarks)}>"


def evaluate(
    model: str | Path,
    benchmarks: Sequence[Asked],
    *,
    overrides: Sequence[str] = (),
    limit: int | None = None,
    data: str | Path | None = None,
    output: str | Path | None = None,
    dtype: str = "auto",
    device: str = "auto",
    seed: int = 0,
    offline: bool = False,
    trust_remote_code: bool = False,
) -> Evaluation:
    """Measure a model by benchmarks, and write an evaluation folder into `output` (default `runs`).

    Under `accelerate launch` or `torchrun` the processes share the work; only the first one's folder is kept.
    `overrides` are `BENCHMARK.key=value`, or keys of the sections model, evaluation and run as in a recipe; `limit` is
    given to each benchmark with such an option. Raises `EvenhandError`; all problems of the call come at once, before
    anything is loaded.
    """
    from evenhand import devices

    recipe, steps = _asked(
        model, benchmarks, overrides=overrides, limit=limit, data=data, dtype=dtype, device=device, seed=seed,
        offline=offline, trust_remote_code=trust_remote_code,
    )  # fmt: skip
    finished = finished_run(recipe.model.name)
    name = recipe.run.name or f"eval-{short_name(recipe.model.name)}"
    rank_and_count()  # joins the processes, each with a device of its own, before anything is loaded
    devices.chosen(recipe.model.device, where="model.device")
    with reading_once():
        demand_measurable(recipe, steps, finished)
        folder = _evaluated(recipe, steps, finished, name, output)
    return Evaluation(folder, raw_run(folder))


def _evaluated(
    recipe: Recipe, steps: Sequence[ResolvedStep], finished: Path | None, name: str, output: str | Path | None
) -> Path:
    """Measure into a new folder."""
    # Of several processes all measure, and only the first leaves something behind.
    place = Path(output or recipe.run.output or "runs") if is_first() else Path(tempfile.mkdtemp(prefix="evenhand-"))
    if not is_first():
        atexit.register(shutil.rmtree, place, ignore_errors=True)
    folder = new_folder(place, name)
    with storing(folder):
        manifest = Manifest(folder, recipe, name)
        manifest["kind"] = "evaluation"
        manifest.write()
        with recorded(manifest, Plan((), tuple(steps)), goes_on="an evaluation is not continued: measure again"):
            _measure(recipe, steps, finished, folder, manifest)
    return folder


def demand_comparable(first: str, second: str, benchmarks: Sequence[Asked], **how: Any) -> None:
    """Refuse what `evaluate` refuses of either of two models, and two of different kinds, before one is loaded."""
    kinds = {}
    asked = {key: value for key, value in how.items() if key != "output"}
    with reading_once():
        for model in (first, second):
            recipe, steps = _asked(model, benchmarks, **asked)
            kinds[model] = demand_measurable(recipe, steps, finished_run(recipe.model.name))
    if len({*kinds.values()}) > 1:
        raise WrongModelKind(
            " and ".join(f"{model} is a {kind} language model" for model, kind in kinds.items()),
            where="compare",
            do="name two models of one kind: the scores of a causal and of a masked one mean different things",
        )


def _asked(
    model: str | Path, benchmarks: Sequence[Asked], *, overrides: Sequence[str] = (), limit: int | None = None,
    data: str | Path | None = None, dtype: str = "auto", device: str = "auto", seed: int = 0, offline: bool = False,
    trust_remote_code: bool = False,
) -> tuple[Recipe, list[ResolvedStep]]:  # fmt: skip
    """The call of an evaluation as a recipe, with its benchmarks."""
    from evenhand.discovery import discover

    catalogue = discover()
    if isinstance(benchmarks, str) or not benchmarks:
        raise none_named(catalogue)
    return checked(
        {
            "model": {
                "name": str(model), "dtype": dtype, "device": device, "trust_remote_code": trust_remote_code,
            },
            "evaluation": {} if data is None else {"data": str(data)},
            "run": {"seed": seed, "offline": offline},
            "benchmarks": [entry_of(asked, limit, catalogue) for asked in benchmarks],
        },
        overrides,
        catalogue,
        limit,
    )  # fmt: skip


def _measure(
    recipe: Recipe, steps: Sequence[ResolvedStep], finished: Path | None, folder: Path, manifest: Manifest
) -> None:
    import datasets
    import torch

    datasets.disable_progress_bars()  # ours are shown instead

    from evenhand import measuring
    from evenhand.contamination import Contamination
    from evenhand.measured import Measured
    from evenhand.report import write_report

    with manifest.timed("loading the model"):
        loaded, rules, plain = load_evaluated(recipe, finished, manifest)
    manifest["environment"] = environment(torch.get_num_threads(), str(loaded.model.device))
    manifest["distributions"] = provenance(steps)
    benchmarks = _benchmarks(recipe, steps, loaded, folder, manifest)
    known = Contamination(
        {name: benchmark for name, (_, benchmark) in benchmarks.items()},
        steps_of(finished, manifest),
        recipe.evaluation.contamination,
    )
    how: dict[str, Any] = {"when": "", "on_event": lambda text: manifest.event("measuring", text)}
    with manifest.timed("measuring"):
        if plain:
            reused = lambda name: manifest.event("measuring", f"{name}: taken from an earlier measurement")  # noqa: E731
            records, _ = measuring.baseline(benchmarks, loaded, recipe, **how, on_reuse=reused)
        else:
            measuring.demand_finite(loaded)
            records, _ = measuring.measure(benchmarks, loaded, rules, recipe, **how)
    records = known.marked(records)
    if finished is not None:
        manifest["contamination"] = known.as_dict()
    mode = Measured(loaded.model, loaded.tokenizer, loaded.info.kind, rules, recipe.model.dtype).mode
    _write_results(recipe, benchmarks, records, mode, folder, manifest)
    manifest.finish("complete")
    write_report(folder)


def _write_results(
    recipe: Recipe, benchmarks: Benchmarks, records: Mapping[str, Sequence[ItemRecord]], mode: str, folder: Path,
    manifest: Manifest,
) -> None:  # fmt: skip
    """Each benchmark's entry of `run.json`, and its records."""
    from evenhand.evaluation_entry import measured_entry
    from evenhand.item_records import write_records
    from evenhand.progress import progress

    settings = recipe.evaluation
    with progress("Resampling items", total=len(benchmarks), unit="benchmarks") as bar:
        for name, (step, benchmark) in benchmarks.items():
            entry = measured_entry(
                benchmark, records[name], resamples=settings.resamples, confidence=settings.confidence,
                seed=recipe.run.seed,
            )  # fmt: skip
            manifest["benchmarks"].append({**entry, "id": name, "use": step.use, "scoring": mode})
            write_records(folder / "items" / f"{name}.parquet", [], records[name])
            bar.advance()


def _benchmarks(
    recipe: Recipe, steps: Sequence[ResolvedStep], loaded: LoadedModel, folder: Path, manifest: Manifest
) -> Benchmarks:
    """The benchmarks of a run that takes no step."""
    from evenhand.life import Life
    from evenhand.measuring import benchmarks_of
    from evenhand.services import Services

    made = [(s, s.plugin(s.options)) for s in steps if s.plugin is not None]
    services = Services(
        model=loaded.model, tokenizer=loaded.tokenizer, kind=loaded.info.kind, seed=recipe.run.seed,
        folder=folder / STATE, settings=recipe.training, load_base=lambda: loaded.model,
    )  # fmt: skip
    life = Life(
        recipe=recipe, manifest=manifest, composer=Composer(made), loaded=loaded, services=services, folder=folder,
        rows=None, resume=False, offline=recipe.run.offline,
    )  # fmt: skip
    return benchmarks_of(life.composer, steps, life.context)
