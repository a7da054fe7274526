"""What an ablation found, as tables on the terminal and as a page: the ledger of each benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from evenhand.ablation import Ablation, Configuration
from evenhand.ablation_front import front_of
from evenhand.ablation_ledger import EARNS, HARMS, SPARE, TOGETHER, Ledger
from evenhand.report_cost import language_quality
from evenhand.report_figures import Mark, Panel, axis_over, position, tick_labels
from evenhand.report_numbers import bounds, decimals, listing, number
from evenhand.report_results import Interval
from evenhand.search_page import PageView, PanelView, TableView, print_page, write_page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

TONE = {EARNS: "good", TOGETHER: "good", HARMS: "bad"}
UNKNOWN = "not known"


def write_ablation_report(found: Ablation) -> Path:
    """Write `report.html` into the folder of an ablation; gives its path."""
    return write_page(ablation_page(found), found.folder)


def print_ablation(found: Ablation, console: Console | None = None) -> None:
    """Print the ledger of each benchmark."""
    from evenhand.summary import plain_console, tidy

    page = ablation_page(found)
    with tidy(console or plain_console()) as out:
        print_page(page, page.tables, [("report", str(found.folder / "report.html"))], out)


def ablation_page(found: Ablation) -> PageView:
    """The page of an ablation."""
    whole = found.of(*found.parts).record
    assert whole is not None
    level = f"{100 * found.recipe.evaluation.confidence:.4g} %"
    shown = [_table(found, ledger) for ledger in found.ledgers]
    return PageView(
        kind="ablation",
        title=f"Ablation of {found.recipe.name}: {whole.model_label}",
        answer=_answer(found, whole.headline.id if whole.headline else ""),
        scatters=front_of(found),
        panels=[
            PanelView(title=f"Who earned it: {x.label}", caption=_caption(x, level), panel=_panel(x))
            for x in found.ledgers
        ],
        tables=[*shown, _all(found)],
        notes=[
            "A gain is the change against the untouched model, turned so that more is better: for a metric with an "
            "ideal value, the change of the distance from it. All gains of a benchmark are of the same items and the "
            f"same resamples; intervals of {level} are not corrected for their number.",
            "Alone: the gain of the part by itself; of one that acts through the training, beyond that of the plain "
            "training. Added: what the whole has and has not without the part. The difference of both is what the "
            "other parts made of it.",
            "The interaction is the gain of all minus the sum of the gains alone: below 0, gains cancelled each other, "
            "above 0, parts helped each other.",
            "Controls and served traffic are left out; `toolkit run` of the whole recipe has them.",
        ],
    )


def _answer(found: Ablation, headline: str) -> list[str]:
    ledger = next((x for x in found.ledgers if x.benchmark == headline), None)
    failed = [c for c in found.configurations if c.record is None]
    said = [f"{len(found.configurations)} configurations of {listing([*found.parts])}."]
    if ledger is not None:
        places = decimals(ledger.total)
        gain = f"{_cell(ledger.total, places)}{_unit(ledger)}"
        said.append(f"{_verdict(ledger.total)} on {ledger.label}: all together gain {gain}.")
        if ledger.decided_by == "construction":
            said.append("All its items use words that the steps work with: this is by construction, not evidence.")
        for words in (EARNS, TOGETHER, SPARE, HARMS):
            if parts := [s.part for s in ledger.shares if s.said == words]:
                said.append(f"{words[0].upper()}{words[1:]}: {listing(parts)}.")
        if ledger.interaction is not None:
            said.append(f"Interaction: {_cell(ledger.interaction, places)}.")
    whole = next((c.record for c in found.configurations if c.parts == frozenset(found.parts)), None)
    if whole is not None and (cost := language_quality(whole)):
        said.append(f"What all together cost: {' '.join(cost)}")
    if undone := [c.name for c in found.configurations if _taken_back(c)]:
        said.append(
            f"Taken back, because no moment of the training kept the budget: {listing(undone)}. "
            f"{'This is' if len(undone) == 1 else 'These are'} the untouched model, without a gain by that."
        )
    if failed:
        said.append(f"Could not be run: {listing([c.name for c in failed])}.")
    return said


def _taken_back(one: Configuration) -> bool:
    return one.record is not None and any(training.taken_back for training in one.record.training)


def _verdict(total: Interval) -> str:
    """Whether all parts together gained, in words."""
    if total.low is not None and total.low > 0:
        return "A gain was demonstrated"
    if total.high is not None and total.high < 0:
        return "A loss was demonstrated"
    return "No gain was demonstrated"


def _unit(ledger: Ledger) -> str:
    return f" {ledger.unit}" if ledger.unit else ""


def _table(found: Ablation, ledger: Ledger) -> TableView:
    intervals = [x for s in ledger.shares for x in (s.alone, s.added) if x is not None]
    places = decimals(*intervals, ledger.total)
    rows = [
        [s.part, _cell(s.alone, places), _cell(s.added, places), _cell(s.others, places), s.said] for s in ledger.shares
    ]
    together = ["all together", _cell(ledger.sum, places), _cell(ledger.total, places)]
    rows.append([*together, _cell(ledger.interaction, places), "sum of the gains alone, gain of all, interaction"])
    about = f"{ledger.items:,} items"
    if ledger.decided_by == "construction":
        about += ", all with words that the steps work with: by construction, not evidence"
    elif ledger.decided_by != "all items":
        about += " without words that the steps work with"
    unit = f" ({ledger.unit})" if ledger.unit else ""
    return TableView(
        title=f"{ledger.label}: {ledger.metric}{unit}, gains",
        header=["part", "alone", "added", "made of it by the others", "what it says"],
        rows=rows,
        about=f"{about}.",
    )


def _cell(found: Interval | None, places: int) -> str:
    if found is None:
        return UNKNOWN
    return f"{number(found.value, places, signed=True)} {bounds(found, places, signed=True)}".strip()


def _all(found: Ablation) -> TableView:
    header = ["configuration", *(x.label for x in found.ledgers), "where"]
    rows = []
    for one in found.configurations:
        cells = [_cell(x.gains.get(one.parts), decimals(x.total)) for x in found.ledgers]
        name = f"{one.name} (taken back)" if _taken_back(one) else one.name
        rows.append([name, *cells, one.reason or (str(one.folder.relative_to(found.folder)) if one.folder else "")])
    return TableView(title="Every configuration: gain over the untouched model", header=header, rows=rows)


def _caption(ledger: Ledger, level: str) -> str:
    return (
        f"What each part adds to the whole (filled) and gains alone (open), with intervals of {level}; {ledger.metric}"
        f"{', in ' + ledger.unit if ledger.unit else ''}, more is better."
    )


def _panel(ledger: Ledger) -> Panel:
    marked: list[tuple[str, str, Interval, str, bool]] = []
    for share in ledger.shares:
        for detail, found in (("added to the whole", share.added), ("alone", share.alone)):
            if found is not None:
                primary = detail != "alone"
                marked.append(
                    (share.part, detail, found, TONE.get(share.said, "neutral") if primary else "neutral", primary)
                )
    if ledger.interaction is not None:
        marked.append(("interaction", "all minus the sum", ledger.interaction, "neutral", False))
    marked.append(("all together", "", ledger.total, "neutral", True))
    ends: Sequence[float] = [x for _, _, i, _, _ in marked for x in (i.value, i.low, i.high) if x is not None]
    axis = axis_over([0.0, *ends])
    marks = [
        Mark(
            label=label, detail=detail, text=_cell(found, decimals(found)), tone=tone, primary=primary,
            x=position(axis, found.value), low=position(axis, found.low), high=position(axis, found.high),
        )
        for label, detail, found, tone, primary in marked
    ]  # fmt: skip
    return Panel(
        title=f"Gain in {ledger.metric}", left="worse", right="better", zero=axis.at(0.0), limit=None,
        ticks=tick_labels(axis, signed=True), marks=marks,
        alternative=" ".join(f"{m.label}, {m.detail}: {m.text}." for m in marks),
    )  # fmt: skip
