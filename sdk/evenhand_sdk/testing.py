"""Unit tests of a plugin: a run context on a tiny model, and contributions put to work as in a run.

run = run_context(tmp_path, plugin)
rows = apply_data(plugin, run)                       # what the plugin makes of some sentences
result = train(run, contributions(plugin, "objective", run))
result.terms["my term"]["gradient_norm"]
"""

from __future__ import annotations

import copy
import logging
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand.compose import TYPES
from evenhand.context import RunContext, StepHandle, axes_of
from evenhand.contributions import (
    Aggregator,
    Artifact,
    Criterion,
    DataTransform,
    DecodingRule,
    Kind,
    LossTerm,
    ModelTransform,
    TrainingStart,
)
from evenhand.errors import PluginFault
from evenhand.hookspecs import PROJECT, LifeCycle
from evenhand.recipe_model import TrainingSection
from evenhand.services import Services
from evenhand_sdk.tiny import tiny_causal, tiny_masked, tiny_sentences

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from transformers import PreTrainedModel

    from evenhand.plugin import Plugin
    from evenhand.training_result import TrainingResult

PROMPTS = ("The nurse said that", "He is an engineer and", "My sister works as a", "The farmer and his son")
"""Beginnings of sentences on which models are compared."""


@dataclass(kw_only=True)
class Placed:
    """A model transform that acts on a model."""

    transform: ModelTransform
    artifact: Artifact


def run_context(
    folder: str | Path,
    plugin: Plugin | None = None,
    kind: Kind = "causal",
    *,
    model: PreTrainedModel | None = None,
    tokenizer: Any = None,
    steps: Mapping[str, StepHandle] | None = None,
    step_id: str = "",
    seed: int = 0,
    max_steps: int = 2,
) -> RunContext:
    """What a hook gets as `run`, on a tiny model that `run.services.model` holds.

    `steps` are the earlier steps that options may refer to. Trainings take `max_steps` steps of four rows.
    """
    if model is None or tokenizer is None:
        model, tokenizer = tiny_causal() if kind == "causal" else tiny_masked()
    base = copy.deepcopy(model)
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    settings = TrainingSection(
        max_steps=max_steps,
        batch_size=4,
        learning_rate=1e-3,
        max_length=48,
        precision="float32",
        save_every=1000,
    )
    services = Services(
        model=model,
        tokenizer=tokenizer,
        kind=kind,
        seed=seed,
        folder=place,
        settings=settings,
        load_base=lambda: copy.deepcopy(base),
    )
    name = step_id or (type(plugin).name if plugin is not None else "") or "step"
    return RunContext(
        step_id=name,
        seed=seed,
        kind=kind,
        tokenizer=tokenizer,
        device=str(model.device),
        folder=place,
        axes=axes_of([plugin.options] if plugin is not None else []),
        offline=True,
        logger=logging.getLogger(f"evenhand.{name}"),
        services=services,
        steps=dict(steps or {}),
    )


def contributions(plugin: Plugin, stage: str, run: RunContext, **arguments: Any) -> list[Any]:
    """What a hook returns, called through pluggy as in a run, its random state seeded; always a list.

    `arguments` replace or add what the hook gets, such as `result` for `transparency`. Raises PluginFault
    for a result of the wrong type.
    """
    import inspect

    import pluggy
    import torch

    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(LifeCycle)
    manager.register(plugin)
    manager.check_pending()
    given = {"run": run, "model": run.services.model, "split": "train", "result": None, **arguments}
    wanted = list(inspect.signature(getattr(LifeCycle, stage)).parameters)[1:]
    torch.manual_seed(run.seed_for(stage))
    answers = getattr(manager.hook, stage)(**{name: given[name] for name in wanted})
    found = [c for answer in answers for c in (answer if isinstance(answer, list) else [answer])]
    for contribution in found:
        if not isinstance(contribution, TYPES[stage]):
            allowed = " or ".join(t.__name__ for t in TYPES[stage])
            what = f"it returned {type(contribution).__name__}, it must return {allowed}, a list, or None"
            raise PluginFault(what, where=f"hook `{stage}`")
    return found


def sample_rows(count: int = 24, *, plugin: Plugin | type[Plugin] | None = None) -> Dataset:
    """A data set with a column `text` of plain sentences, most of them about people.

    With `plugin`, it has the columns of its `example_columns`, too.
    """
    return _sample(tiny_sentences()[:count], plugin)


def _sample(texts: Sequence[str | None], plugin: Plugin | type[Plugin] | None) -> Dataset:
    from datasets import Dataset

    columns = dict(plugin.example_columns) if plugin is not None else {}
    more = {name: [values[k % len(values)] for k in range(len(texts))] for name, values in columns.items()}
    return Dataset.from_dict({"text": list(texts), **more})


ODD = 3
"""Rows of `odd_rows` that hold no text."""


def odd_rows(*, plugin: Plugin | type[Plugin] | None = None) -> Dataset:
    """The sample with three rows among it that hold no text: nothing, an empty one, and spaces."""
    texts = tiny_sentences()[:24]
    return _sample([texts[0], None, *texts[1:12], "", *texts[12:], "  \n"], plugin)


def fold_rows(found: Iterable[DataTransform], rows: Dataset) -> Dataset:
    """Data transforms one after another; PluginFault when one gives no data set with a column `text`."""
    from datasets import Dataset

    for transform in found:
        rows = transform.fn(rows)
        if not isinstance(rows, Dataset) or "text" not in rows.column_names:
            what = "the transform must return a datasets.Dataset with a column `text`"
            raise PluginFault(what, where="hook `data`")
    return rows


def apply_data(plugin: Plugin, run: RunContext, rows: Dataset | None = None) -> Dataset:
    """The rows after the plugin's data transforms; without `rows`, of `sample_rows()`."""
    return fold_rows(contributions(plugin, "data", run), sample_rows(plugin=plugin) if rows is None else rows)


def train(
    run: RunContext,
    terms: Sequence[LossTerm | Aggregator | Criterion] = (),
    *,
    rows: Dataset | None = None,
    transforms: Sequence[ModelTransform] = (),
) -> TrainingResult:
    """Train the context's model in place for a few steps, with loss terms and what model transforms select.

    Terms of equal name are numbered, because a training tells its terms apart by name.
    """
    from evenhand.training import train as host_train

    seen: dict[str, int] = {}
    distinct: list[LossTerm | Aggregator | Criterion] = []
    for term in terms:
        seen[term.name] = count = seen.get(term.name, 0) + 1
        distinct.append(term if count == 1 else replace(term, name=f"{term.name} ({count})"))
    model = run.services.model
    rows = sample_rows() if rows is None else rows
    for transform in transforms:
        if transform.on_start is not None:
            begun = TrainingStart(model=model, rows=rows, tell=run.logger.info, settings=run.services.settings)
            transform.on_start(begun)
    selections = [t.trainable for t in transforms if t.trainable is not None]
    names = {name for select in selections for name in select(model)}
    return host_train(
        model,
        run.tokenizer,
        rows,
        distinct,
        kind=run.kind,
        settings=run.services.settings,
        folder=Path(tempfile.mkdtemp(prefix="training-", dir=run.folder)),
        seed=run.seed,
        trainable=names if selections else None,
        transforms=transforms,
        reference=run.services.reference,
        title="Training the tiny model",
    )


def place(found: Iterable[ModelTransform], run: RunContext, rows: Dataset | None = None) -> list[Placed]:
    """Fit and apply transforms in order; where one selects parameters, train them and let it finish."""
    model = run.services.model
    placed = []
    for transform in found:
        artifact = (transform.fit(model) if transform.fit else None) or Artifact()
        if transform.apply:
            transform.apply(model, artifact)
        placed.append(Placed(transform=transform, artifact=artifact))
    if any(p.transform.trainable or p.transform.finish for p in placed):
        train(run, rows=rows, transforms=[p.transform for p in placed])
        for p in placed:
            if p.transform.finish:
                p.artifact = p.transform.finish(model) or p.artifact
    return placed


def apply_architecture(plugin: Plugin, run: RunContext, rows: Dataset | None = None) -> list[Placed]:
    """The plugin's model transforms on the context's model, trained where they ask for it."""
    return place(contributions(plugin, "architecture", run), run, rows)


def logits(run: RunContext, model: PreTrainedModel | None = None) -> torch.Tensor:
    """The logits of the context's model, or of another one, on `PROMPTS`: [tokens, V], float32."""
    import torch

    target = (model or run.services.model).eval()
    with torch.no_grad():
        rows = [target(**run.tokenizer(text, return_tensors="pt")).logits[0].float() for text in PROMPTS]
    return torch.cat(rows)


def next_token_logprobs(run: RunContext, rules: Sequence[DecodingRule] = ()) -> torch.Tensor:
    """Teacher-forced log-probabilities [tokens, V] on `PROMPTS` with decoding rules, in float32.

    Masked models: of each token that is not special, when it is masked.
    """
    import torch

    from evenhand.scoring import distributions

    ids = [list(run.tokenizer(text)["input_ids"]) for text in PROMPTS]
    special = set(run.tokenizer.all_special_ids) if run.kind == "masked" else set()
    where = [[k for k, token in enumerate(row) if token not in special] for row in ids]
    mask = run.tokenizer.mask_token_id if run.kind == "masked" else None
    return torch.cat(distributions(run.services.model, ids, where, rules=rules, mask_id=mask, dtype="float32"))


def answers(run: RunContext, rules: Sequence[DecodingRule] = (), max_new_tokens: int = 8) -> list[list[int]]:
    """The token ids that the context's model continues `PROMPTS` with, greedily, under decoding rules.

    Masked models: the five likeliest ones at a mask behind each prompt.
    """
    from evenhand.contributions import Request

    if run.kind == "masked" and all(rule.mask_logits is not None for rule in rules):
        from evenhand.filling import fill

        texts = [f"{text} {run.tokenizer.mask_token}." for text in PROMPTS]
        found = fill(run.services.model, run.tokenizer, texts, rules=rules)
        return [[filling.token for filling in fillings] for fillings in found]
    requests = [Request(prompt=text, max_new_tokens=max_new_tokens) for text in PROMPTS]
    return [list(r.token_ids) for r in run.services.generate(requests, rules=rules)]
