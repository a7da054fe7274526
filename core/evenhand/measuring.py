"""Benchmarks before and after: the same items, the same engine, and a baseline that is never scored twice."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand import shelf
from evenhand.cache import Json, atomic_folder, cache_dir, damage, digest_of, sha256_text
from evenhand.contributions import Benchmark, DecodingRule, ItemRecord
from evenhand.devices import arithmetic
from evenhand.errors import UsageError, WrongModelKind
from evenhand.item_halves import Items, counting
from evenhand.processes import agreed, is_first

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from evenhand.compose import Composer
    from evenhand.context import RunContext
    from evenhand.models import LoadedModel
    from evenhand.recipe import Recipe, ResolvedStep

Records = Mapping[str, Sequence[ItemRecord]]
"""By benchmark id."""


def benchmarks_of(
    composer: Composer, steps: Sequence[ResolvedStep], context: Any
) -> dict[str, tuple[ResolvedStep, Benchmark]]:
    """Ask each benchmark plugin for its benchmarks; ids are the steps' ids, with a suffix when one gives several.

    Raises PluginFault for a benchmark that misjudges a model with known answers.
    """
    from evenhand.planted import check_planted

    found: dict[str, tuple[ResolvedStep, Benchmark]] = {}
    for step in steps:
        run: RunContext = context(step)
        given = composer.call("evaluation", step, run=run)
        for benchmark in given:
            check_planted(benchmark)
            name = step.id if len(given) == 1 else f"{step.id}-{benchmark.name}"
            found[name] = (step, benchmark)
    return found


def demand_trained_head(model: PreTrainedModel, benchmarks: Iterable[Benchmark], name: str) -> None:
    """Refuse every benchmark but those of language quality on a model whose head was never trained: WrongModelKind."""
    from evenhand.models import untrained_head

    if untrained_head(model) and (refused := [b.name for b in benchmarks if not b.quality]):
        entry = shelf.find(name)
        train = f"`toolkit run {entry.recipe}`" if entry and entry.recipe else "a `train` step on the whole model"
        raise WrongModelKind(
            f"its language-model head is untrained, so {' and '.join(refused)} would measure random weights",
            where=f"model {name!r}",
            known="only language quality can be measured on it, to see what a training of the head achieves",
            do=f"train the head ({train}), and measure the model that comes out; docs/models.md shows how",
        )


def demand_finite(loaded: LoadedModel) -> None:
    """Refuse a model whose own outputs are not finite, before anything is done with it: UsageError."""
    import torch

    from evenhand.proofs import probe_logits

    logits = probe_logits(loaded.model, loaded.tokenizer)
    # A model may forbid tokens by minus infinity, but it must allow one.
    if not (logits.isnan().any() or logits.max(-1).values.isinf().any()):
        return
    odd = [name for name, weights in loaded.model.named_parameters() if not torch.isfinite(weights).all()]
    more = f" and {len(odd) - 1} more" if len(odd) > 1 else ""
    known = f"weights that are not finite: {odd[0]}{more}" if odd else "its weights are finite: its numbers overflow"
    raise UsageError(
        "the model's own outputs are not finite, so nothing can be measured on it",
        where=f"model {loaded.info.name!r}",
        known=known,
        do="copy or download its files again, or name another model" if odd else "load it with dtype = 'float32'",
    )


def measure(
    benchmarks: Mapping[str, tuple[ResolvedStep, Benchmark]],
    loaded: LoadedModel,
    rules: Sequence[DecodingRule],
    recipe: Recipe,
    *,
    when: str,
    on_event: Any,
    items: Items | None = None,
) -> tuple[dict[str, list[ItemRecord]], str]:
    """Score every benchmark on the model as it is; gives the records by benchmark id and the scoring mode.

    `when` stands behind the benchmark's name in the progress; `items` are those that count, by default the recipe's.
    """
    from evenhand.measured import Measured

    demand_trained_head(loaded.model, [benchmark for _, benchmark in benchmarks.values()], loaded.info.name)
    records = {}
    mode = ""
    for name, (_, benchmark) in benchmarks.items():
        measured = Measured(
            loaded.model,
            loaded.tokenizer,
            loaded.info.kind,
            rules,
            recipe.model.dtype,
            recipe.evaluation.batch_tokens,
            on_event,
            recipe.run.seed,
            title=f"Measuring {name} {when}".rstrip(),
        )
        mode = measured.mode
        records[name] = counting(list(benchmark.score(measured)), items or recipe.evaluation.items, name)
    return records, mode


def baseline(
    benchmarks: Mapping[str, tuple[ResolvedStep, Benchmark]],
    loaded: LoadedModel,
    recipe: Recipe,
    *,
    on_event: Any,
    when: str = "before",
    on_reuse: Callable[[str], None] | None = None,
) -> tuple[dict[str, list[ItemRecord]], str]:
    """The untouched model's records, from the cache where the same model met the same items before.

    `on_reuse` is told of each benchmark that was not measured again. Raises UsageError for a model whose outputs are
    not finite.
    """
    from evenhand.item_records import read_records, write_records
    from evenhand.measured import Measured

    demand_finite(loaded)
    demand_trained_head(loaded.model, [benchmark for _, benchmark in benchmarks.values()], loaded.info.name)
    mode = Measured(loaded.model, loaded.tokenizer, loaded.info.kind, (), recipe.model.dtype, seed=recipe.run.seed).mode
    records: dict[str, list[ItemRecord]] = {}
    for name, (step, benchmark) in benchmarks.items():
        folder = cache_dir() / "baselines" / digest_of(identity_of(step, benchmark, loaded, recipe, mode))[:32]
        if agreed(folder.is_dir() and not damage(folder, full=True)):
            records[name] = read_records(folder / "records.parquet")["before"]
            if on_reuse is not None:
                on_reuse(name)
            continue
        found, _ = measure({name: (step, benchmark)}, loaded, (), recipe, when=when, on_event=on_event, items="all")
        records[name] = found[name]
        if not is_first():
            continue
        with atomic_folder(folder) as temporary:
            write_records(temporary / "records.parquet", found[name], [])
    # What is kept is whole: one measurement serves both halves.
    return {name: counting(found, recipe.evaluation.items, name) for name, found in records.items()}, mode


def identity_of(
    step: ResolvedStep, benchmark: Benchmark, loaded: LoadedModel, recipe: Recipe, mode: str
) -> dict[str, Json]:
    """All that a baseline depends on: model, tokenizer, items, the code that scores them, and what it runs on."""
    import torch
    import transformers

    info = loaded.info
    code = source_digests(ENGINE)
    if step.plugin is not None:
        package = step.plugin.__module__.partition(".")[0]
        code |= {name: package_digest(name) for name in ("evenhand_sdk", package) if name in sys.modules}
    return {
        "model": info.digest,
        "tokenizer": info.tokenizer_fingerprint,
        "benchmark": [benchmark.name, benchmark.version, benchmark.mode, benchmark.data_digest],
        "items": digest_of(dict(benchmark.texts())) if benchmark.texts is not None else None,
        "options": step.options.model_dump(mode="json"),
        "code": code,
        "mode": mode,
        "seed": recipe.run.seed,
        "batch": recipe.evaluation.batch_tokens,
        "on": [*arithmetic(str(loaded.model.device)), torch.__version__, transformers.__version__],
    }


ENGINE = (
    "around_requests", "asked_contexts", "attached_rules", "closing", "decoding_loop", "decoding_reader", "entering",
    "evaluation_mode", "failing_requests", "fast_products", "filling", "finite_logits", "generation", "given_up",
    "laid_out", "measured", "memory_errors", "model_insides", "own_way", "pairs", "positions", "processes",
    "processor", "prompt_texts", "ready_masks", "replaced_generate", "request_settings", "rule_application",
    "rule_contexts", "rule_processor", "scored_text", "scoring", "scoring_continuations", "scoring_forward",
    "scoring_gold", "scoring_packing", "scoring_precision", "scoring_rules", "sound_requests", "special_tokens",
    "stop_strings",
)  # fmt: skip
"""The modules of the core that decide a score."""


def source_digests(names: Sequence[str]) -> dict[str, Json]:
    """Module of the core -> digest of its source."""
    folder = Path(__file__).parent
    return {f"evenhand.{name}": sha256_text((folder / f"{name}.py").read_text(encoding="utf-8")) for name in names}


def package_digest(name: str) -> str:
    """The digest of all source files of an imported package: a benchmark may use any of them."""
    module = sys.modules[name]
    path = Path(inspect.getsourcefile(module) or "")
    files = sorted(path.parent.rglob("*.py")) if hasattr(module, "__path__") else [path]
    return digest_of([[file.name, sha256_text(file.read_text(encoding="utf-8"))] for file in files])
