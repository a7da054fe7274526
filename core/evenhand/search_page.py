"""What pages about several configurations share: a table on the terminal, and a page with figures and tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from evenhand.front_figure import Scatter
from evenhand.report_figures import Panel

if TYPE_CHECKING:
    from rich.console import Console

PAGE = "report.html"
KEYS = (20, 36)
"""Letters of a word, such as the key of a setting, for which the last column of a table on the terminal is as wide."""


@dataclass(frozen=True, kw_only=True)
class TableView:
    """A table of text; the first cell of a row is its name."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    about: str = ""


@dataclass(frozen=True, kw_only=True)
class PanelView:
    """Intervals on one axis, with what they show."""

    title: str
    caption: str
    panel: Panel


@dataclass(frozen=True, kw_only=True)
class PageView:
    """All that stands on a page."""

    kind: str
    title: str
    answer: Sequence[str]
    """Sentences."""
    tables: Sequence[TableView]
    notes: Sequence[str]
    scatters: Sequence[Scatter] = ()
    panels: Sequence[PanelView] = field(default=())


def write_page(page: PageView, folder: Path) -> Path:
    """Write the page into a folder; gives its path."""
    from evenhand.cache import write_atomic
    from evenhand.report import templates

    path = folder / PAGE
    write_atomic(path, str(templates().get_template("search_template.html.j2").render(vars(page))))
    return path


def print_page(page: PageView, tables: Sequence[TableView], places: Sequence[tuple[str, str]], out: Console) -> None:
    """Print the answer of a page, some tables, and where things are."""
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    from evenhand.commands.layout import longest_word

    out.print(Text(page.title, style="bold"))
    for sentence in page.answer:
        out.print(Padding(Text(sentence), (0, 0, 0, 2)))
    for view in tables:
        out.print()
        out.print(Text(view.title, style="bold"))
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_edge=False)
        last = len(view.header) - 1
        whole = longest_word(row[last] for row in view.rows)
        fixed = whole if KEYS[0] <= whole <= KEYS[1] else None  # rich would break the word before it narrows the others
        for column, name in enumerate(view.header):
            side: Literal["left", "right"] = "left" if column in (0, last) else "right"
            table.add_column(name, overflow="fold", justify=side, width=fixed if column == last else None)
        for row in view.rows:
            table.add_row(*(Text(cell) for cell in row))
        out.print(Padding(table, (0, 0, 0, 2)))
    out.print()
    width = max((len(name) for name, _ in places), default=0)
    for name, place in places:
        out.print(Padding(Text(f"{name.ljust(width)}  {place}"), (0, 0, 0, 2)))
