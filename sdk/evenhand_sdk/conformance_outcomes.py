"""What a plugin does at each stage, on a tiny model, as values that can be compared."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from evenhand.context import RunContext
from evenhand.contributions import (
    Aggregator,
    Benchmark,
    Criterion,
    DecodingRule,
    Finding,
    Intervention,
    ItemRecord,
    LossTerm,
    Monitor,
    Observation,
    Request,
    Response,
)
from evenhand.guard import CHECKS as GUARDS
from evenhand.rule_application import same
from evenhand.scoring_rules import mapping_rules
from evenhand_sdk import testing
from evenhand_sdk.conformance_case import Case, CheckFailed

if TYPE_CHECKING:
    import torch
    from datasets import Dataset

    from evenhand.plugin import Plugin

Outcome = dict[str, Any]
"""By stage: values without identity, so that equal work gives equal outcomes."""


def outcome(case: Case, *, noise: int = 0, **options: Any) -> Outcome:
    """Everything that one fresh step does, stage by stage.

    `noise` is put into the global random state between a hook and its work, because in a run other steps come
    in between. Raises CheckFailed where a stage gives something that the host cannot use.
    """
    plugin = case.instance(**options)
    found: Outcome = {}
    run = case.run(plugin)
    rows = testing.sample_rows(plugin=case.plugin)
    for stage in type(plugin).stages():
        if stage in CHANGING:
            run = case.run(plugin)  # each begins with a fresh model
        parts = hook(plugin, stage, run)
        if stage not in CHANGING:
            _stir(noise)
        if stage == "data":
            rows = testing.fold_rows(parts, rows)
        found[stage] = of_stage(run, stage, parts, rows) if parts else None
    return found


CHANGING = ("objective", "architecture")
"""Stages whose work changes the model."""


def hook(plugin: Plugin, stage: str, run: RunContext) -> list[Any]:
    """The contributions to one stage; `transparency` gets the result of an empty run."""
    extra = {"result": _result(run)} if stage == "transparency" else {}
    return [answering(part) for part in testing.contributions(plugin, stage, run, **extra)]


def answering(part: Any) -> Any:
    """The same contribution, but its functions are held to what the host holds them to in a run.

    CheckFailed for an answer of another type or shape than the host can use.
    """
    changed: dict[str, Any] = {}
    for (owner, name), problem in GUARDS.items():
        value = getattr(part, name, None)
        if isinstance(part, owner) and callable(value):
            own = getattr(part, "name", "")
            label = type(part).__name__ + (f" {own!r}" if own else "")
            changed[name] = _checked(value, f"{label}: `{name}`", problem)
    return replace(part, **changed) if changed else part


def _checked(fn: Callable[..., Any], label: str, problem: Callable[[tuple[Any, ...], Any], str | None]) -> Any:
    def inner(*args: Any, **kwargs: Any) -> Any:
        out = fn(*args, **kwargs)
        out = list(out) if isinstance(out, Iterator) else out
        if found := problem(args, out):
            raise CheckFailed(f"{label} {found}")
        return out

    return inner


def of_stage(run: RunContext, stage: str, parts: Sequence[Any], rows: Dataset) -> Any:
    """What contributions to one stage do; `rows` are those that data transforms gave."""
    if stage == "data":
        return [dict(row) for row in rows]
    if stage == "objective":
        return trained(run, parts, rows)
    if stage == "architecture":
        testing.place(parts, run, rows)
        return exact(testing.logits(run))
    if stage == "decoding":
        return decoded(run, parts)
    if stage == "monitoring":
        return [watched(run, monitor) for monitor in parts]
    if stage == "evaluation":
        return [measured(run, benchmark) for benchmark in parts]
    return plain(parts)


def trained(run: RunContext, terms: Sequence[LossTerm | Aggregator | Criterion], rows: Dataset) -> Any:
    """A short training: first and last value of each term, and a digest of the model afterwards."""
    facts = testing.train(run, terms, rows=rows).terms
    return {"terms": facts, "model": state_digest(run.services.model)}


def decoded(run: RunContext, rules: Sequence[DecodingRule]) -> Any:
    """Answers under the rules, and the distributions of those rules that map logits."""
    mapping = mapping_rules(rules, run.kind)
    given = exact(testing.next_token_logprobs(run, mapping)) if mapping else None
    return {"answers": testing.answers(run, rules), "distributions": given}


def watched(run: RunContext, monitor: Monitor) -> Any:
    """What a monitor says about two responses and its own probes; CheckFailed for other than findings."""
    said: list[Any] = []
    asked: list[Any] = []
    for prompt in testing.PROMPTS[:2]:
        seen = Observation(response=_answer(run, Request(prompt=prompt, max_new_tokens=6)))
        probes = _listed(monitor, "probes", monitor.probes(seen), "requests") if monitor.probes else []
        asked += [(r.prompt, r.max_new_tokens, r.seed) for r in probes]
        rest = [Observation(response=_answer(run, r), probe_of=seen) for r in probes]
        for observation in [seen, *rest]:
            said += _listed(monitor, "observe", monitor.observe(observation), "findings and interventions")
    if monitor.summary:
        said.append(monitor.summary())
    for item in said:
        if not isinstance(item, Finding | Intervention):
            raise CheckFailed(f"monitor {monitor.name!r} gave {type(item).__name__}, not a Finding or Intervention")
    return {"findings": plain(said), "probes": asked}


def _listed(monitor: Monitor, name: str, answer: Any, what: str) -> list[Any]:
    if isinstance(answer, str) or not isinstance(answer, Iterable):
        raise CheckFailed(
            f"monitor {monitor.name!r}: `{name}` returned {type(answer).__name__}, it must return a list of {what}, "
            "which may be empty"
        )
    return list(answer)


def _answer(run: RunContext, request: Request) -> Response:
    if run.kind == "masked":
        return Response(request=request, text="a doctor and was proud of it", token_ids=(1, 2, 3))
    return run.services.generate([replace(request, max_new_tokens=min(8, request.max_new_tokens))])[0]


def measured(run: RunContext, benchmark: Benchmark) -> Any:
    """The records of a benchmark. Raises CheckFailed when they do not carry what its metrics add up."""
    from evenhand.measured import Measured
    from evenhand.sample import Table, value_of

    model = Measured(run.services.model, run.tokenizer, run.kind, dtype="float32")
    records = list(benchmark.score(model))
    if not records:
        raise CheckFailed(f"benchmark {benchmark.name!r} gave no records")
    primary = [metric for metric in benchmark.metrics if metric.primary]
    if len(primary) != 1:
        raise CheckFailed(f"benchmark {benchmark.name!r}: exactly one metric must be primary, here are {len(primary)}")
    # The other metrics may be about items that are not among the few of a check.
    keys = {key for key in (primary[0].value, primary[0].per) if key}
    for record in records:
        if not isinstance(record, ItemRecord):
            raise CheckFailed(f"benchmark {benchmark.name!r} gave {type(record).__name__}, not ItemRecord")
    known = {key for record in records for key in record.values}
    if missing := sorted(keys - known):
        raise CheckFailed(f"benchmark {benchmark.name!r}: no record has the value {missing[0]!r}")
    if len({record.id for record in records}) != len(records):
        raise CheckFailed(f"benchmark {benchmark.name!r}: two records have the same id")
    texts = benchmark.texts() if benchmark.texts else None
    if texts is not None and (without := next((r.id for r in records if r.id not in texts), None)) is not None:
        raise CheckFailed(f"benchmark {benchmark.name!r}: `texts` has no text for item {without!r}")
    if primary[0].statistic is not None:
        # nan is a value: a statistic may be undefined on the few items of a check.
        value_of(primary[0], Table.of(records))
    return plain(records)


def _result(run: RunContext) -> Any:
    from evenhand.execution import RunResult

    record: dict[str, Any] = {
        "name": "conformance",
        "benchmarks": [],
        "sections": [],
        "samples": [],
        "steps": [],
    }
    record |= {"training": [], "quality": None, "monitoring": {"requests": 0, "probes": 0, "findings": []}}
    return RunResult(run.folder, record)


def _stir(noise: int) -> None:
    import random

    import numpy as np
    import torch

    torch.manual_seed(noise)
    np.random.seed(noise)
    random.seed(noise)


def exact(tensor: torch.Tensor) -> tuple[list[int], bytes]:
    """A tensor as its shape and its bytes."""
    import torch

    flat = tensor.detach().cpu().contiguous().flatten()
    return list(tensor.shape), flat.view(torch.uint8).numpy().tobytes()


def plain(value: Any) -> Any:
    """Contributions as nested lists of ordinary values; functions and addresses left out."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return None if callable(value) else repr(value) if isinstance(value, float) else value


def state_digest(model: Any) -> str:
    """SHA-256 over all tensors of a model, their names, and which of them may be trained."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict(keep_vars=True).items()):
        digest.update(f"{name} {tensor.dtype} {tensor.requires_grad}".encode())
        digest.update(exact(tensor)[1])
    return digest.hexdigest()


def watching(term: LossTerm, broken: list[str]) -> LossTerm:
    """The same term, but each batch is compared before and after; what it changed is added to `broken`."""

    def fn(batch: Any, outputs: Any) -> Any:
        before = {k: (v, v.detach().clone()) for k, v in _tensors(batch, outputs)}
        value = term.fn(batch, outputs)
        for name, (tensor, copy) in before.items():
            if not same(tensor, copy):
                broken.append(f"loss term {term.name!r} changes {name} in place")
        return value

    return replace(term, fn=fn)


def guarding(rule: DecodingRule) -> DecodingRule:
    """The same rule, but its inputs are compared before and after: CheckFailed for what it changed."""
    change = rule.next_logits or rule.mask_logits
    if change is None:
        return rule

    def guarded(ids: Any, logits: Any, contexts: Any, *places: Any) -> Any:
        given = {"ids": ids, "logits": logits, **{f"contexts[{k}]": c for k, c in enumerate(contexts)}}
        given |= {f"places[{k}]": p for k, p in enumerate(places)}
        before = {name: tensor.clone() for name, tensor in given.items()}
        changed = change(ids, logits, contexts, *places)
        for name, tensor in given.items():
            if not same(tensor, before[name]):
                raise CheckFailed(f"decoding rule {rule.name!r} changes {name} in place")
        return changed

    if rule.next_logits is None:
        return replace(rule, mask_logits=guarded)
    return replace(rule, next_logits=guarded)


def _tensors(batch: Any, outputs: Any) -> list[tuple[str, Any]]:
    own = [(f"batch.{name}", v) for name, v in vars(batch).items()]
    own += [(f"batch.pairs[{key!r}].{n}", v) for key, p in batch.pairs.items() for n, v in vars(p).items()]
    own += [("outputs.logits", outputs.logits)]
    own += [(f"outputs.pairs[{key!r}].logits", p.logits) for key, p in outputs.pairs.items()]
    return [(name, value) for name, value in own if hasattr(value, "clone")]
