"""`README.md` of a run folder: the model card, made from `run.json` alone, valid for the Hugging Face hub.

Every value is escaped on output, as Markdown in the body and as a quoted scalar in the front matter, so that
no text of a model or a data set can open a link, a heading, a table cell or HTML.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from evenhand import report_numbers as numbers
from evenhand import report_unchanged as unchanged
from evenhand import report_values as values
from evenhand import report_wording as wording
from evenhand.cache import write_atomic
from evenhand.report_answer import answers
from evenhand.report_caveats import how_to_read, limits, missing
from evenhand.report_cost import what_it_cost
from evenhand.report_expectations import reproductions
from evenhand.report_provenance import provenance
from evenhand.report_reading import read_run
from evenhand.report_record import RunRecord

FILE = "README.md"
"""Name of the card in a run folder."""

# fmt: off
LICENCES = frozenset((
    "apache-2.0", "mit", "openrail", "bigscience-bloom-rail-1.0", "bigscience-openrail-m",
    "creativeml-openrail-m", "bigcode-openrail-m", "afl-3.0", "bsd", "bsd-2-clause", "bsd-3-clause", "cc",
    "cc0-1.0", "cc-by-2.0", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0",
    "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-4.0", "gpl", "gpl-2.0",
    "gpl-3.0", "lgpl", "lgpl-3.0", "agpl-3.0", "isc", "mpl-2.0", "unlicense", "wtfpl", "artistic-2.0",
    "llama2", "llama3", "llama3.1", "llama3.2", "llama3.3", "gemma",
))
# fmt: on
"""Licence identifiers that the hub knows; another one is written as `other` with its name."""

PIPELINES = {"causal": "text-generation", "masked": "fill-mask"}
"""Kind of model -> the hub's task."""

_SPECIAL = re.compile(r"([\\`*\[\]{}|~^$]|(?<![^\W_])_|_(?![^\W_]))")
_LINE_START = re.compile(r"^(\d*)((?:#{1,6}|[+-]|-{2,}|=+|(?<=\d)[.)])(?=\s|$))")


def write_card(folder: Path | str) -> Path:
    """Write `README.md` into a run folder and give its path; RunNotFound when the folder holds no run."""
    path = Path(folder) / FILE
    write_atomic(path, render_card(read_run(folder)))
    return path


def render_card(run: RunRecord, *, exported: Literal["", "plain", "code"] = "") -> str:
    """The whole card: front matter and Markdown.

    `exported` is for a folder that leaves the run folder: with plain weights, or with code beside them.
    """
    import jinja2

    # The output is Markdown, so it is escaped as Markdown: `finalize` sees every value that is printed.
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=False,
        finalize=_finalize,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        number=numbers.number,
        duration=numbers.duration,
        plain=numbers.plain,
        literal=numbers.literal,
        listing=numbers.listing,
        counted=numbers.counted,
    )
    shared = {
        "run": run,
        "exported": exported,
        "written": _Written,
        "front_matter": _Written(front_matter(run)),
        "model": run.model_label,
        "level": numbers.percent(run.confidence),
        "reproductions": reproductions(run),
        "answers": answers(run),
        "direction": wording.direction,
        "states": wording.STATES,
        "step_label": wording.step_label,
        "proof_label": wording.proof_label,
        "missing": missing(run),
        "provenance": _provenance(run),
    }
    if run.unchanged:
        return environment.get_template("unchanged_card_template.md.j2").render(**shared, **_unchanged(run))
    return environment.get_template("model_card_template.md.j2").render(
        **shared,
        mitigated=mitigated(run),
        quality_words=what_it_cost(run.model_copy(update={"seconds": 0.0})),
        rows=wording.rows,
        limits=limits(run),
        how_to_read=how_to_read(run),
        ratio_places=3 if run.quality is None else max(3, numbers.decimals(run.quality.ratio)),
        bounds=numbers.bounds,
    )


def _unchanged(run: RunRecord) -> dict[str, Any]:
    """What the card of a model that no step changed shows in the place of before and after."""
    return {
        "heading": unchanged.heading(run),
        "benchmarks": [*run.bias_benchmarks, *run.quality_benchmarks],
        "rows": values.rows,
        "caution": values.caution,
        "how_to_read": unchanged.limits(run),
    }


def mitigated(run: RunRecord) -> bool:
    """Whether any step could change the model and did more than train on plain text."""
    return not run.unchanged and any(step.use != "train" for step in run.active_steps)


class _Written(str):
    """Text that is in its final form."""


def _finalize(value: Any) -> Any:
    return value if isinstance(value, _Written) else escape_markdown(str(value))


def escape_markdown(text: str) -> str:
    """Text that shows as itself on one line of Markdown, in a table cell, too."""
    line = " ".join(text.split())
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    line = _SPECIAL.sub(r"\\\1", line)
    line = line.replace("://", "\\://").replace("www.", "www\\.")
    return _LINE_START.sub(r"\1\\\2", line)


def front_matter(run: RunRecord) -> str:
    """The YAML block at the top of the card, with its fences."""
    lines: list[str] = []

    def scalar(key: str, value: str) -> None:
        if value:
            lines.append(f"{key}: {_yaml(value)}")

    def sequence(key: str, values: Sequence[str]) -> None:
        if values:
            lines.append(f"{key}:")
            lines.extend(f"- {_yaml(value)}" for value in values)

    identifier = run.model.licence.strip().lower()
    if not identifier or identifier in LICENCES:
        scalar("license", identifier or "unknown")
    else:
        scalar("license", "other")
        scalar("license_name", re.sub(r"[^a-z0-9.]+", "-", identifier).strip("-") or "other")
    scalar("base_model", base_model(run))
    scalar("library_name", "transformers")
    scalar("pipeline_tag", PIPELINES.get(run.model.kind, ""))
    sequence("language", languages(run))
    uses = [re.sub(r"[^a-z0-9-]+", "-", s.use.rpartition(":")[2].lower()).strip("-") for s in run.active_steps]
    aims = ["bias-mitigation", "fairness"] if mitigated(run) else []
    sequence(
        "tags",
        list(dict.fromkeys(["evenhand", *aims, *(u for u in uses if u != "train")])),
    )
    return "\n".join(["---", *lines, "---"])


def base_model(run: RunRecord) -> str:
    """The hub identifier that the model was derived from, or nothing where none is known."""
    from evenhand.shelf import find

    known = find(run.model.name)
    original = str(run.model.origin.get("original") or "")
    for name in (run.model.base_model, known.hub_id if known else "", original, run.model.name):
        if re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", name):
            return name
    return ""


def languages(run: RunRecord) -> list[str]:
    """ISO 639 codes of the locales in the options of the steps; text that ships with evenhand is English."""
    found = {"en"} if run.data.source.startswith("builtin:") else set()
    for step in run.steps:
        for key in ("locale", "language"):
            code = str(step.options.get(key) or "").partition("-")[0].partition("_")[0].lower()
            if re.fullmatch(r"[a-z]{2,3}", code):
                found.add(code)
    return sorted(found)


def _provenance(run: RunRecord) -> list[tuple[str, str]]:
    """The facts of the report, the data of each benchmark, and the distributions, as one table."""
    data = [(f"Data of {b.id} (SHA-256)", b.data_digest) for b in run.benchmarks if b.data_digest]
    parts = [f"{d.name} {d.version}" + (f" ({d.shown_origin})" if d.origin else "") for d in run.distributions]
    return [*provenance(run), *data, *([("Distributions", ", ".join(parts))] if parts else [])]


def _yaml(value: str) -> str:
    if re.fullmatch(r"[A-Za-z][\w./-]*", value) and value.lower() not in (
        "no",
        "yes",
        "on",
        "off",
        "true",
        "false",
        "null",
        "y",
        "n",
    ):
        return value
    printable = "".join(c for c in value if c == " " or (c.isprintable() and c != "\ufeff"))
    return json.dumps(printable, ensure_ascii=False)
