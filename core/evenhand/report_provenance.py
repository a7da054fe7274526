"""What was measured, as a table: all that is needed to measure it again."""

from __future__ import annotations

from evenhand.report_numbers import listing, plain
from evenhand.report_record import RunRecord


def _baseline(run: RunRecord) -> str:
    """Which scores of the untouched model were taken from an earlier run; empty where none were."""
    if not run.baseline.reused:
        return ""
    new = f"; measured in this run: {listing(run.baseline.measured)}" if run.baseline.measured else ""
    return f"taken from an earlier run of the same model, items and code: {listing(run.baseline.reused)}{new}"


def provenance(run: RunRecord) -> list[tuple[str, str]]:
    """Everything needed to know what was measured, and to measure it again."""
    model, data = run.model, run.data
    adds = {True: "yes", False: "no", None: "not recorded"}[model.adds_bos]
    environment = {k: plain(v) for k, v in run.environment.items()}
    versions = [f"{k} {environment.pop(k)}" for k in ("python", "torch", "transformers") if k in environment]
    machine = [f"{k}: {v}" for k, v in environment.items() if v]
    facts = [
        ("Model", run.model_label),
        ("Model source", model.source),
        ("How the model was made", str(model.origin.get("made") or "")),
        ("Model licence", model.licence),
        ("Model digest (SHA-256)", model.digest),
        ("Model size", f"{model.parameters:,} parameters" if model.parameters else ""),
        ("Number format of the weights", model.dtype),
        ("Tokenizer fingerprint", model.tokenizer_fingerprint),
        ("Beginning-of-sequence token added", adds),
        ("Training data", data.source),
        ("Training data licence", data.licence),
        ("Training data rows", _data_rows(data.rows, data.rows_after)),
        ("Training data digest (SHA-256)", data.digest),
        ("Saved model", _loaded_again(run)),
        ("Scores of the untouched model", _baseline(run)),
        ("Seed", str(run.seed)),
        ("Overrides", listing(run.overrides) or "none"),
        ("evenhand", run.evenhand),
        ("Versions", ", ".join(versions)),
        ("Machine", ", ".join(machine)),
        ("Started", run.started),
        ("Finished", run.finished),
        ("Status", run.status),
        ("Attempts", str(run.attempts) if run.attempts > 1 else ""),
    ]
    return [(label, value) for label, value in facts if value]


def _loaded_again(run: RunRecord) -> str:
    shown = run.portability
    if shown is None or shown.largest_difference is None:
        return ""
    said = f"loaded again at the end of the run: logits differ by {shown.largest_difference:.2g} at most"
    return said + (f", {shown.answers} answers are the same" if shown.answers else "")


def _data_rows(rows: int | None, after: int | None) -> str:
    if rows is None:
        return ""
    return f"{rows:,}" if after is None or after == rows else f"{rows:,}; {after:,} after the data steps"
