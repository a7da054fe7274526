"""`report.html`: one run, or one evaluation, on one page, made from `run.json` alone.

The page needs no script, no network and no other file. All text from models and data sets is escaped by the
template engine, and a content security policy in the page refuses whatever might still get through.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand import report_contamination as contamination
from evenhand import report_figures as figures
from evenhand import report_numbers as numbers
from evenhand import report_unchanged as unchanged
from evenhand import report_values as values
from evenhand import report_verdicts as verdicts
from evenhand import report_wording as wording
from evenhand.cache import write_atomic
from evenhand.report_answer import answers
from evenhand.report_caveats import failed_parts, how_to_read, limits, missing
from evenhand.report_controls import controls
from evenhand.report_cost import what_it_cost
from evenhand.report_expectations import reproductions
from evenhand.report_provenance import provenance
from evenhand.report_reading import read_run
from evenhand.report_record import RunRecord

if TYPE_CHECKING:
    import jinja2

FILE = "report.html"
"""Name of the report in a run folder."""


def write_report(folder: Path | str) -> Path:
    """Write `report.html` into a run folder and give its path; RunNotFound when the folder holds no run."""
    path = Path(folder) / FILE
    write_atomic(path, render_report(read_run(folder)))
    return path


def render_report(run: RunRecord) -> str:
    """The whole page as HTML."""
    made = templates()
    if run.kind == "evaluation":
        return str(made.get_template("evaluation_template.html.j2").render(_evaluation_view(run)))
    if run.unchanged:
        return str(made.get_template("unchanged_template.html.j2").render(_unchanged_view(run)))
    return str(made.get_template("report_template.html.j2").render(_view(run)))


def templates() -> jinja2.Environment:
    """The templates of all pages, with the filters that they share."""
    import jinja2

    here = Path(__file__).parent
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(here),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=numbers.number,
        percent=numbers.percent,
        duration=numbers.duration,
        plain=numbers.plain,
        literal=numbers.literal,
        moment=numbers.moment,
        tight=numbers.tight,
        tone=wording.tone,
        listing=numbers.listing,
        counted=numbers.counted,
    )
    return environment


def _values_view(run: RunRecord) -> dict[str, Any]:
    """What pages about one model have in common: its values, without anything to compare them with."""
    return {
        "run": run,
        "model": run.model_label,
        "level": numbers.percent(run.confidence),
        "benchmarks": [*run.bias_benchmarks, *run.quality_benchmarks],
        "rows": values.rows,
        "size": values.size,
        "tallies": values.tallies,
        "axis_rows": values.axis_rows,
        "caution": values.caution,
        "direction": wording.direction,
        "provenance": provenance(run),
    }


def _evaluation_view(run: RunRecord) -> dict[str, Any]:
    from evenhand.evaluation_summary import notes

    return {**_values_view(run), "notes": notes(run), "how_to_read": values.how_to_read(run)}


def _steps_view(run: RunRecord) -> dict[str, Any]:
    """What the parts about steps, explanations and samples need."""
    return {
        "states": wording.STATES,
        "step_label": wording.step_label,
        "proof_label": wording.proof_label,
        "proof_expected": wording.proof_expected,
        "heat_tokens": figures.heat_tokens,
        "bars": figures.bars,
        "differing": figures.differing,
        "subjects": {s.id: "the training text" for s in run.active_steps if s.state == "reading"},
    }


def _unchanged_view(run: RunRecord) -> dict[str, Any]:
    return {
        **_values_view(run),
        **_steps_view(run),
        "heading": unchanged.heading(run),
        "answers": answers(run),
        "reproductions": reproductions(run),
        "missing": missing(run),
        "failed": len(failed_parts(run)),
        "how_to_read": unchanged.limits(run),
        "same_answers": all(sample.before == sample.after for sample in run.samples),
    }


def _view(run: RunRecord) -> dict[str, Any]:
    quality = run.quality
    places = 3 if quality is None else max(3, numbers.decimals(quality.ratio))
    return {
        **_steps_view(run),
        "run": run,
        "model": run.model_label,
        "level": numbers.percent(run.confidence),
        "answers": answers(run),
        "rows": wording.rows,
        "n_secondary": sum(max(0, len(b.metrics) - 1) for b in run.benchmarks),
        "direction": wording.direction,
        "decimals": numbers.value_decimals,
        "forest": figures.forest(run),
        "budget": None if quality is None else figures.budget_panel(quality),
        "ratio_places": places,
        "bounds": numbers.bounds,
        "controls": controls(run),
        "learnt": run.contamination is not None and bool(run.contamination.compared),
        "degrees": contamination.degrees(run),
        "overlaps": contamination.lines(run),
        "compared_with": contamination.against(run),
        "axis_rows": verdicts.axis_rows,
        "p_shown": verdicts.p_shown,
        "left_out": verdicts.left_out(run),
        "seed_lines": verdicts.seed_lines(run),
        "has_axes": any(b.axes for b in run.bias_benchmarks),
        "quality_words": what_it_cost(run.model_copy(update={"seconds": 0.0})),
        "reproductions": reproductions(run),
        "missing": missing(run),
        "failed": len(failed_parts(run)),
        "how_to_read": how_to_read(run),
        "limits": limits(run),
        "provenance": provenance(run),
    }
