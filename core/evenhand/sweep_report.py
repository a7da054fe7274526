"""What a sweep found, as a table on the terminal and as a page: the front, and every configuration that was tried."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evenhand.configurations import badness, metric_of
from evenhand.front_figure import Scatter, scatter
from evenhand.front_measures import hypervolume, knee
from evenhand.report_numbers import bounds, counted, listing, number
from evenhand.report_record import RunRecord
from evenhand.report_wording import metric_decimals
from evenhand.search_page import PageView, TableView, print_page, write_page
from evenhand.toml_writing import toml_literal
from evenhand.verdict_text import BY_CONSTRUCTION

if TYPE_CHECKING:
    from rich.console import Console

    from evenhand.report_results import MetricResult
    from evenhand.sweep import Sweep
    from evenhand.sweep_study import Trial


def write_sweep_report(found: Sweep) -> Path:
    """Write `report.html` into the folder of a sweep; gives its path."""
    return write_page(sweep_page(found), found.folder)


def print_sweep(found: Sweep, console: Console | None = None) -> None:
    """Print the front, and how each of its configurations is reported on the items that the search did not see."""
    from evenhand.summary import plain_console, tidy

    page = sweep_page(found)
    places = [("report", str(found.folder / "report.html"))]
    places += [(f"next: configuration {k}", f"toolkit run {path}") for k, path in found.recipes.items()]
    with tidy(console or plain_console()) as out:
        print_page(page, page.tables[:1], places, out)


def sweep_page(found: Sweep) -> PageView:
    """The page of a sweep."""
    front = sorted((t for t in found.trials if t.front), key=lambda t: tuple(t.objectives))
    states = [t.state for t in found.trials]
    failed, running = states.count("failed"), states.count("running")
    told = f"{counted(found.tried, 'configuration')} tried on the validation items, {len(front)} on the front"
    more = [counted(failed, "trial") + " failed"] if failed else []
    more += [counted(running, "trial") + " still running"] if running else []
    header = ["configuration", *(label(found.untouched, name) for name in found.objectives), "budget", "settings"]
    plain = ["untouched", *(_cell(found.untouched, name, change=False) for name in found.objectives), "", ""]
    rest = [t for t in found.trials if not t.front]
    side = _side(found)
    aside = ["untouched", *(_cell(found.untouched, name, change=False) for name in side)]
    beside = TableView(
        title="What was not searched for",
        about="The decisive metric of every other benchmark, for the configurations on the front: what they cost or "
        "gain besides.",
        header=["configuration", *(label(found.untouched, name) for name in side)],
        rows=[aside, *([str(t.number), *(_cell_of(found, t, name) for name in side)] for t in front)],
    )
    return PageView(
        kind="sweep",
        title=f"Sweep of {found.recipe.name}: {found.untouched.model_label}",
        answer=[". ".join([told, *more]) + ".", *_constructed(found), _within(found, front), *worth(found, front)],
        scatters=_scatters(found),
        tables=[
            TableView(
                title="The front",
                about="No other configuration is as good in every objective and better in one. Changes are against "
                "the untouched model, paired by item, with intervals.",
                header=header,
                rows=[plain, *(_row(found, t) for t in front)],
            ),
            *([beside] if side and front else []),
            TableView(title="All other trials", header=header, rows=[_row(found, t) for t in rest]),
        ],
        notes=[
            "All numbers here are of the validation half of the items. The best of many is partly the luckiest of "
            "many: what is chosen must be run again on the other half. The recipes in front/ do so, and say how many "
            "configurations were tried.",
            f"Objectives: {listing(list(found.objectives))}. Search: {_sampler(found)}, seed {found.recipe.run.seed}, "
            f"study {found.study}.",
            "Controls and served traffic are left out of a search; the final run has them.",
        ],
    )


def label(record: RunRecord, name: str) -> str:
    """An objective as a heading: benchmark, metric, unit and what is better."""
    from evenhand.report_wording import direction

    ident, _, _ = name.partition(".")
    benchmark = next(b for b in record.benchmarks if b.id == ident)
    metric = metric_of(record, name)
    assert metric is not None
    unit = f", {metric.unit}" if metric.unit else ""
    return f"{benchmark.label}: {metric.name}{unit} ({direction(metric)})"


def _constructed(found: Sweep) -> list[str]:
    """A sentence for each objective all of whose items use words that the steps of a configuration work with."""
    verdicts = {(b.id, b.verdict) for record in found.records.values() for b in record.benchmarks}
    names = [name for name in found.objectives if (name.partition(".")[0], BY_CONSTRUCTION) in verdicts]
    return [
        f"All items of {label(found.untouched, name)} use words that the steps work with: what the search found there "
        f"is {BY_CONSTRUCTION}."
        for name in names
    ]


def _sampler(found: Sweep) -> str:
    section = found.recipe.sweep
    assert section is not None
    names = {"nsga2": f"NSGA-II with generations of {section.population}", "tpe": "tree-structured Parzen estimators"}
    return names[section.sampler]


def _within(found: Sweep, front: Sequence[Trial]) -> str:
    for trial in front:
        quality = found.records[trial.number].quality
        if quality is not None and quality.verdict == "within budget":
            return (
                f"The best in {found.objectives[0]} among those shown to be within the budget of {quality.budget:g} is "
                f"configuration {trial.number}."
            )
    if not front:
        return "No configuration came to an end."
    near = [(q.ratio.value, t.number, q.budget) for t in front if (q := found.records[t.number].quality) and q.ratio]
    costs = sorted((cost, number, budget) for cost, number, budget in near if cost is not None)
    if not costs:
        return "Language quality was not held against a budget."
    if few := too_few(found.untouched):
        return few
    cost, configuration, budget = costs[0]
    return (
        f"None on the front was shown to be within the budget of {budget:g}; the nearest is configuration "
        f"{configuration}, with a cost ratio of {cost:.4f}."
    )


def too_few(untouched: RunRecord) -> str:
    """That nothing can be shown to be within the budget on so few items; empty where there are enough."""
    quality = untouched.quality
    few = [f"{p.benchmark}: {p.reason}" for p in (quality.parts if quality is not None else []) if p.reason]
    if quality is None or not few:
        return ""
    return (
        f"No configuration can be shown to be within the budget of {quality.budget:g}, whatever it costs, on the "
        f"validation items: {'; '.join(few)}. A longer held-out text or another `limit` has more."
    )


def worth(found: Sweep, front: Sequence[Trial]) -> list[str]:
    """What the front is worth against the untouched model, and where it bends, as sentences."""
    names = found.objectives
    if len(names) < 2 or not front:
        return []
    of_quality = {b.id for b in found.untouched.quality_benchmarks}
    base, reference, allowances = [], [], []
    for name in names:
        metric = metric_of(found.untouched, name)
        value = None if metric is None else badness(metric, metric.after.value)
        if metric is None or not value:
            return []  # nothing to measure shares of
        most, said = value, ""
        if name.partition(".")[0] in of_quality:
            most, said = _most(metric, value, found.recipe.budget.perplexity)
        base.append(abs(value))
        reference.append(most)
        if said:
            allowances.append(f"{label(found.untouched, name)} may {said}")
    allowed = f", of which {' and '.join(allowances)}" if allowances else ""
    shares = [[x / b for x, b in zip(t.objectives, base, strict=True)] for t in front]
    volume = hypervolume(shares, [r / b for r, b in zip(reference, base, strict=True)])
    told = [
        f"Hypervolume of the front, in shares of what the untouched model has{allowed}: {volume:.3g} (0: nothing is "
        "better in every objective)."
    ]
    if (bend := knee({t.number: t.objectives for t in front})) is not None:
        told.append(f"The front bends at configuration {bend}: to either side, a gain costs more.")
    return told


def _most(metric: MetricResult, value: float, budget: float) -> tuple[float, str]:
    """How bad language quality may become that is so bad (`badness`) now, and that in words; empty for no worse.

    By its own margin in points, as a verdict holds it (`noninferiority`), else by the ratio of the budget.
    """
    margin = metric.definition.get("margin")
    if margin is not None:
        return value + margin, f"lose {margin:g}"
    if budget == 1.0:
        return value, ""
    if value < 0:  # more is better: after / before may be 1 / budget
        return value / budget, f"have {budget:g} times less"
    return value * budget, f"have {budget:g} times as much"


def _side(found: Sweep) -> list[str]:
    """The decisive metric of each benchmark that is no objective."""
    taken = {name.partition(".")[0] for name in found.objectives}
    others = [b for b in found.untouched.benchmarks if b.id not in taken and b.primary is not None]
    return [f"{b.id}.{b.primary.name}" for b in others if b.primary is not None]


def _cell_of(found: Sweep, trial: Trial, name: str) -> str:
    record = found.records.get(trial.number)
    return "\u2013" if record is None else _cell(record, name, change=True)


def _row(found: Sweep, trial: Trial) -> list[str]:
    settings = ", ".join(f"{key} = {_short(value)}" for key, value in trial.values.items())
    record = found.records.get(trial.number)
    if record is None:
        why = trial.reason or trial.state
        return [str(trial.number), *["\u2013"] * len(found.objectives), "", f"{settings}; {trial.state}: {why}"]
    cells = [_cell(record, name, change=True) for name in found.objectives]
    return [str(trial.number), *cells, record.quality.verdict if record.quality else "", settings]


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else toml_literal(value)


def _cell(record: RunRecord, name: str, *, change: bool) -> str:
    metric = metric_of(record, name)
    if metric is None:
        return "\u2013"
    places = max(3, metric_decimals(metric)) if not change else metric_decimals(metric)
    value = number(metric.after.value, places)
    if not change:
        return value
    moved = metric.change
    return f"{value} ({number(moved.value, places, signed=True)} {bounds(moved, places, signed=True)})"


def _scatters(found: Sweep) -> list[Scatter]:
    """The first objective over each other one."""
    first, *others = found.objectives
    made = []
    for other in others:
        points = []
        for kind, name, record in [
            ("untouched", "untouched", found.untouched),
            *(
                ("front" if t.front else "other", str(t.number), found.records[t.number])
                for t in found.trials
                if t.number in found.records
            ),
        ]:
            x, y = (metric_of(record, objective) for objective in (other, first))
            if x is not None and y is not None and x.after.value is not None and y.after.value is not None:
                points.append((name, kind, x.after.value, y.after.value))
        made.append(scatter(label(found.untouched, other), label(found.untouched, first), points))
    return made
