"""Conformance checks that run a plugin: results, seeds, inputs, strength, company, network."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Sequence
from typing import Any

from evenhand.context import RunContext
from evenhand.contributions import LossTerm, ModelTransform
from evenhand.errors import NoEffect, UsageError
from evenhand.row_account import derived_account
from evenhand.scoring_rules import mapping_rules
from evenhand_sdk import testing
from evenhand_sdk.conformance_case import Case, CheckFailed, Skipped
from evenhand_sdk.conformance_neighbours import NEIGHBOURS, flatter_at_masks
from evenhand_sdk.conformance_outcomes import (
    Outcome,
    decoded,
    exact,
    guarding,
    hook,
    of_stage,
    outcome,
    state_digest,
    trained,
    watching,
)
from evenhand_sdk.conformance_shared import done_offline, outcome_of


def check_result_types(case: Case) -> str | None:
    """Each hook returns contributions that the host can use, and at least one hook returns something."""
    found = outcome_of(case)
    if all(part is None for part in found.values()):
        raise CheckFailed("with its default options no hook returned anything, so there is nothing to check")
    return _note_of_no_effect(case, found)


def _note_of_no_effect(case: Case, found: Outcome) -> str | None:
    """That a mitigation changed nothing on the small texts of the checks. Some find nothing to change there for good
    reasons, so it is no failure."""
    if not case.has_strength or set(found) - {"data", "decoding", "architecture"}:
        return None  # it looks on, or a training shows what it does
    run, rows = case.run(case.instance()), testing.sample_rows(plugin=case.plugin)
    without: Any
    idle = []
    for stage, done in found.items():
        if stage == "data":
            without, what = [dict(row) for row in rows], f"none of the {len(rows)} rows"
        elif stage == "architecture":
            without, what = exact(testing.logits(run)), "no logit on the texts"
        else:
            without, what = exact(testing.next_token_logprobs(run)), "no distribution on the texts"
            done = done and done["distributions"]
            if found[stage] and done is None:
                return None  # it acts around requests
        if done is not None and done != without:
            return None
        idle.append(what)
    return (
        f"note: it changed {' and '.join(idle)} of the checks; in a run a step that changes nothing fails, so try it "
        "on a text of yours"
    )


def check_seeded(case: Case) -> None:
    """The same seed gives the same rows, losses, tokens and records, whatever other steps draw in between."""
    first, second = outcome_of(case), outcome(case, noise=2)
    for stage, value in first.items():
        if second[stage] != value:
            raise CheckFailed(
                f"two runs with one seed differ at the stage {stage}: draw from a generator seeded with "
                "run.seed_for(...)"
            )


def check_inputs_untouched(case: Case) -> None:
    """Neither the data set, nor a batch, nor the model change, except where a model transform is applied."""
    plugin = case.instance()
    run = case.run(plugin)
    model, tokenizer = run.services.model, run.tokenizer
    rows = testing.sample_rows(plugin=case.plugin)
    content, fingerprint = rows.to_dict(), rows._fingerprint
    before = state_digest(model), len(tokenizer), tokenizer.padding_side
    broken: list[str] = []

    def demand(what: str) -> None:
        if broken:
            raise CheckFailed(broken[0])
        if rows.to_dict() != content or rows._fingerprint != fingerprint:
            raise CheckFailed(f"{what} changed the data set that it was given: return a new one")
        if (state_digest(model), len(tokenizer), tokenizer.padding_side) != before:
            raise CheckFailed(f"{what} changed the model or the tokenizer; only ModelTransform.apply may")

    own = rows
    for stage in type(plugin).stages():
        parts = hook(plugin, stage, run)
        demand(f"the hook `{stage}`")
        if stage == "data":
            own = testing.fold_rows(parts, rows)
        elif stage == "decoding":
            decoded(run, [guarding(rule) for rule in parts])
        elif stage == "architecture":
            for part in parts:
                if part.fit:
                    part.fit(model)
            demand("fitting")
            testing.place(parts, run, own)  # what comes later in a run sees the changed model
            before = state_digest(model), len(tokenizer), tokenizer.padding_side
        elif stage == "objective":
            apart = case.run(plugin, model=copy.deepcopy(model), tokenizer=tokenizer)
            trained(apart, [watching(t, broken) if isinstance(t, LossTerm) else t for t in parts], own)
        else:
            of_stage(run, stage, parts, own)
        demand(f"the stage {stage}")


def check_rows_accounted(case: Case) -> None:
    """What a data transform says about its rows adds up, and rows that hold no text are in its quarantine."""
    if "data" not in case.plugin.stages():
        raise Skipped("it changes no data")
    plain, odd = testing.sample_rows(plugin=case.plugin), testing.odd_rows(plugin=case.plugin)
    for options, rows in (({}, plain), ({}, odd), ({"strength": 0.0} if case.has_strength else {}, plain)):
        plugin = case.instance(**options)
        run = case.run(plugin)
        for transform in hook(plugin, "data", run):
            if transform.account is None and rows is odd:
                continue  # the host never gives it such rows from a source, only another step could
            out = testing.fold_rows([transform], rows)
            account = transform.account() if transform.account is not None else derived_account(rows, out)
            if account is None:
                raise CheckFailed("its `account` gives None for a data set: count its rows")
            if problem := account.problem(len(rows), len(out)):
                raise CheckFailed(f"its account does not add up: {problem}")
            if options and account.kept != len(rows):
                raise CheckFailed(f"with strength = 0 it says that it kept {account.kept} of {len(rows)} rows")
            if transform.looks_on != case.plugin.looks_on:
                said, other = ("transform", "class") if transform.looks_on else ("class", "transform")
                raise CheckFailed(
                    f"its {said} says that it looks on, so say `looks_on=True` of the {other}, too: a training that no "
                    "step spells out comes for the sake of a step that changes the text, and not of one that reads it"
                )
            if transform.looks_on:
                if out is not rows:
                    raise CheckFailed("it looks on, so it must return the very rows that it was given")
                continue
            if rows is odd and sum(account.quarantined.values()) < testing.ODD:
                raise CheckFailed(
                    f"of {testing.ODD} rows without text {sum(account.quarantined.values())} are in its quarantine"
                )
            rows = out


# ------------------------------------------------------------------------------------------------ strength 0
def check_strength_zero(case: Case) -> None:
    """At strength 0 everything is as without the step: rows, trained weights, logits, generated tokens."""
    if not case.has_strength:
        raise Skipped("it has no option `strength`")
    plugin = case.instance(strength=0.0)
    rows = testing.sample_rows(plugin=case.plugin)
    for stage in type(plugin).stages():
        if stage not in NEIGHBOURS:
            continue  # it looks on
        run = case.run(plugin)
        parts = hook(plugin, stage, run)
        if stage == "data":
            _same(testing.fold_rows(parts, rows).to_dict(), rows.to_dict(), "the rows differ")
        elif stage == "objective":
            with_step = trained(run, parts, rows)["model"]
            without = trained(case.run(plugin), [], rows)["model"]
            _same(with_step, without, "the trained weights differ from a training without it")
        elif stage == "architecture":
            _identical_model(case, run, parts)
        elif stage == "decoding":
            mapping = mapping_rules(parts, run.kind)
            ruled, free = testing.next_token_logprobs(run, mapping), testing.next_token_logprobs(run)
            _same(exact(ruled), exact(free), "next-token distributions differ")
            _same(testing.answers(run, parts), testing.answers(run), "generated tokens differ")


def _same(found: Any, expected: Any, what: str) -> None:
    if found != expected:
        raise CheckFailed(f"with strength = 0 {what}: it must be exactly the identity")


def _identical_model(case: Case, run: RunContext, parts: Sequence[ModelTransform]) -> None:
    before = exact(testing.logits(run))
    with contextlib.suppress(NoEffect):  # what is selected at 0 need not move: that is what is looked for
        testing.place(parts, run)
    after = exact(testing.logits(run))
    allowed = [before]
    if case.plugin.example_steps:
        # A step that takes over what other steps placed leaves, at 0, the model that all of them began with.
        allowed.append(exact(testing.logits(run, run.services.load_base())))
    if any(part.trainable or part.finish for part in parts):
        # A selection at 0 either leaves the model as it was, or does not select: then all is trained.
        free = case.run(case.instance())
        testing.train(free)
        allowed.append(exact(testing.logits(free)))
    if after not in allowed:
        raise CheckFailed("with strength = 0 the logits differ: it must be exactly the identity")


# -------------------------------------------------------------------------------------------------- company
def check_composes(case: Case) -> None:
    """Two of it work in one recipe, with another step of the same stage before, between and after them."""
    # Of a plugin that `claims` a part of the model, the second may be refused with a UsageError; then one must work.
    for flip in (False, True):
        first, second, refused = case.instance(), case.instance(), False
        run = case.run(first, step_id="first")
        other = case.run(second, step_id="second", model=run.services.model, tokenizer=run.tokenizer)
        for stage in type(first).stages():
            if stage not in NEIGHBOURS:
                # Monitors, sections and benchmarks never see each other: two sets of them must only come about.
                hook(first, stage, run)
                if not refused:
                    hook(second, stage, other)
                continue
            one, two = hook(first, stage, run), hook(second, stage, other)
            near = flatter_at_masks if stage == "decoding" and case.kind == "masked" else NEIGHBOURS[stage]
            ring = [near(), *one, near(), *two, near()]
            try:
                _together(case, stage, ring[::-1] if flip else ring)
            except UsageError:
                if not first.claims:
                    raise
                # A part of the model that one step has to itself: the second is refused with the reason.
                two, refused = [], True
                _together(case, stage, [near(), *one, near()])
            if stage == "architecture":
                testing.place([*one, *two], run)  # what comes later in a run sees the changed model


def _together(case: Case, stage: str, parts: list[Any]) -> None:
    run = case.run(case.instance())
    rows = testing.sample_rows(plugin=case.plugin)
    if stage == "data":
        if not len(testing.fold_rows(parts, rows)):
            raise CheckFailed("together with other data steps no row is left")
    elif stage == "objective":
        aggregators = [k for k, part in enumerate(parts) if not isinstance(part, LossTerm)]
        kept = [part for k, part in enumerate(parts) if k not in aggregators[1:]]  # one in a training
        trained(run, kept, rows)
    elif stage == "architecture":
        before = exact(testing.logits(run)) if not any(p.trainable or p.finish for p in parts) else None
        placed = testing.place(parts, run, rows)
        for one in reversed(placed):
            if one.transform.revert:
                one.transform.revert(run.services.model)
        if before is not None and exact(testing.logits(run)) != before:
            raise CheckFailed("applied twice among other steps and reverted, it leaves other logits than before")
    else:
        decoded(run, parts)


# -------------------------------------------------------------------------------------------------- network
def check_offline(case: Case) -> None:
    """Nothing is fetched, and published files that it reads are declared, so that a recipe is checked for them."""
    declared = case.plugin.files_for(case.instance().options)
    done = done_offline(case)
    if done.tried:
        raise CheckFailed(f"it connects to {done.tried[0]}: bring files with the package instead")
    if undeclared := [file.path for file in done.files if file not in declared]:
        raise CheckFailed(
            f"it reads {undeclared[0]}, which it does not declare: put `data_files = (...)` with its KnownFile into "
            "the class, or override `files_for`, so that `toolkit validate` can look for it"
        )
    if isinstance(done.outcome, Exception):
        raise done.outcome
