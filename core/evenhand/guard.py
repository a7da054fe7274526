"""Whose fault it was: every function that a hook returned answers for itself, by step, plugin, version and hook.

A contribution runs long after its hook has returned, inside the training, the decoding loop or the scorer. `guarded`
gives the same contribution with functions that turn their own errors, and answers of the wrong type, into
`PluginFault`. `blamed` finds the owner of an error that came up where no such function was called, such as in a
forward hook that `apply` had registered.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

from evenhand.cache import STORAGE_ERRORS
from evenhand.contributions import (
    Artifact,
    Benchmark,
    Criterion,
    DataTransform,
    DecodingRule,
    ItemRecord,
    LossTerm,
    ModelTransform,
    Monitor,
    Response,
    RowAccount,
)
from evenhand.errors import EvenhandError, PluginFault
from evenhand.memory_errors import memory_ran_out
from evenhand.plan import stages_of
from evenhand.stopping import stopped

if TYPE_CHECKING:
    from evenhand.recipe import ResolvedStep

Contribution = TypeVar("Contribution")
OWN = ("evenhand", "evenhand_sdk")


def describe(step: ResolvedStep, stage: str = "") -> str:
    """Where a fault happened: step, plugin, distribution with version, hook."""
    row = step.row
    provider = f" of {row.provider}" if row else ""
    return f"step {step.id!r}, plugin {step.use!r}{provider}" + (f", hook `{stage}`" if stage else "")


def fault(step: ResolvedStep, stage: str, error: BaseException) -> PluginFault:
    """The plugin's own error as ours, with the place it came from."""
    return PluginFault(
        f"{type(error).__name__}: {error}" if str(error) else type(error).__name__,
        where=describe(step, stage),
        do="this is a fault of the plugin or of its options; --debug shows where it was raised",
    )


def named(error: EvenhandError, step: ResolvedStep, stage: str) -> None:
    """Note on an error of the toolkit in which step it happened; the innermost one is enough."""
    if not getattr(error, "__notes__", ()) and not (error.where and error.where == describe(step, stage)):
        error.add_note(f"in {describe(step, stage)}")


def guarded(contribution: Contribution, step: ResolvedStep, stage: str) -> Contribution:
    """The same contribution with functions that name their owner when they fail.

    Monitors are left as they are: the host isolates and records each of their calls where it makes it.
    """
    if isinstance(contribution, Monitor):
        return contribution
    changed: dict[str, Any] = {}
    for field in fields(contribution):  # type: ignore[arg-type]
        value = getattr(contribution, field.name)
        if callable(value):
            check = CHECKS.get((type(contribution), field.name))
            changed[field.name] = _guard(value, step, stage, field.name, check)
    if isinstance(contribution, LossTerm) and contribution.needs.counterfactual is not None:
        pairing = contribution.needs.counterfactual
        pairing = replace(pairing, pair=_guard(pairing.pair, step, stage, "pair", None))
        if pairing.of_row is not None:
            pairing = replace(pairing, of_row=_guard(pairing.of_row, step, stage, "of_row", None))
        changed["needs"] = replace(contribution.needs, counterfactual=pairing)
    return replace(contribution, **changed)  # type: ignore[type-var]


def _guard(
    fn: Callable[..., Any],
    step: ResolvedStep,
    stage: str,
    name: str,
    check: Callable[[tuple[Any, ...], Any], str | None] | None,
) -> Callable[..., Any]:
    @functools.wraps(fn, updated=())
    def inner(*args: Any, **kwargs: Any) -> Any:
        try:
            out = fn(*args, **kwargs)
            out = list(out) if isinstance(out, Iterator) else out
        except EvenhandError as error:
            named(error, step, stage)
            raise
        except BaseException as error:
            if (
                stopped(error)
                or memory_ran_out(error)
                or (isinstance(error, OSError) and error.errno in STORAGE_ERRORS)
            ):
                raise  # the host halves the batch and tries again, or says what a full disk means
            raise fault(step, stage, error) from error
        problem = check(args, out) if check else None
        if problem:
            raise PluginFault(f"`{name}` {problem}", where=describe(step, stage))
        return out

    return inner


def blamed(error: BaseException, steps: Iterable[ResolvedStep]) -> PluginFault | None:
    """The fault of the plugin whose code raised an error, found from the innermost frame outwards; None: not theirs."""
    owners = [s for s in steps if s.plugin is not None and _package(s) not in OWN]
    trace, modules = error.__traceback__, []
    while trace is not None:
        modules.append(str(trace.tb_frame.f_globals.get("__name__", "")))
        trace = trace.tb_next
    for module in reversed(modules):
        exact = [s for s in owners if s.plugin and s.plugin.__module__ == module]
        near = exact or [s for s in owners if _package(s) == module.partition(".")[0]]
        if near:
            found = fault(near[0], stages_of(near[0])[0] if len(stages_of(near[0])) == 1 else "", error)
            if len(near) == 1:
                return found
            where = "one of " + "; ".join(describe(s) for s in near)
            return PluginFault(found.what, where=where, do=found.do)
    return None


def _package(step: ResolvedStep) -> str:
    return step.plugin.__module__.partition(".")[0] if step.plugin else ""


# ------------------------------------------------------------------------------------------------ what is returned
def _scalar(args: tuple[Any, ...], out: Any) -> str | None:
    import torch

    if isinstance(out, torch.Tensor) and out.numel() == 1:
        return None
    shape = f"a tensor of shape {list(out.shape)}" if isinstance(out, torch.Tensor) else type(out).__name__
    return f"returned {shape}, it must return a tensor with one element"


def _number(args: tuple[Any, ...], out: Any) -> str | None:
    return None if isinstance(out, float) else f"returned {type(out).__name__}, it must return a float"


def _same_shape(args: tuple[Any, ...], out: Any) -> str | None:
    import torch

    logits = args[1]
    if isinstance(out, torch.Tensor) and out.shape == logits.shape:
        return None
    shape = f"a tensor of shape {list(out.shape)}" if isinstance(out, torch.Tensor) else type(out).__name__
    return f"returned {shape}, it must return logits of shape {list(logits.shape)}"


def _instance(allowed: type, *, none: bool = False) -> Callable[[tuple[Any, ...], Any], str | None]:
    def check(args: tuple[Any, ...], out: Any) -> str | None:
        if isinstance(out, allowed) or (none and out is None):
            return None
        return f"returned {type(out).__name__}, it must return {allowed.__name__}{' or None' if none else ''}"

    return check


def _all(allowed: type) -> Callable[[tuple[Any, ...], Any], str | None]:
    def check(args: tuple[Any, ...], out: Any) -> str | None:
        if isinstance(out, str) or not isinstance(out, Iterable):
            return f"returned {type(out).__name__}, it must return a list of {allowed.__name__}"
        wrong = next((x for x in out if not isinstance(x, allowed)), None)
        return None if wrong is None else f"returned a list with {type(wrong).__name__} in it, not {allowed.__name__}"

    return check


def _texts_by_id(args: tuple[Any, ...], out: Any) -> str | None:
    if isinstance(out, Mapping) and all(isinstance(x, str) for pair in out.items() for x in pair):
        return None
    return "must give the text of each item by its id"


CHECKS: dict[tuple[type, str], Callable[[tuple[Any, ...], Any], str | None]] = {
    (DataTransform, "account"): _instance(RowAccount, none=True),
    (LossTerm, "fn"): _scalar,
    (Criterion, "measure"): _number,
    (ModelTransform, "fit"): _instance(Artifact, none=True),
    (ModelTransform, "finish"): _instance(Artifact, none=True),
    (ModelTransform, "trainable"): _all(str),
    (DecodingRule, "next_logits"): _same_shape,
    (DecodingRule, "mask_logits"): _same_shape,
    (DecodingRule, "around"): _instance(Response),
    (Benchmark, "score"): _all(ItemRecord),
    (Benchmark, "texts"): _texts_by_id,
}
"""What functions of contributions must return, where a wrong answer would otherwise fail far away."""
