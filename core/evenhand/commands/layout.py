"""Plain terminal layout: aligned columns that wrap, and words in colour on a terminal only."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence

import rich_click as click

COLOURS = {
    **dict.fromkeys(("ok", "passed"), "green"),
    **dict.fromkeys(("broken", "failed"), "red"),
    **dict.fromkeys(("incompatible", "clash", "skipped"), "yellow"),
}
"""Words that a table shows in colour."""
LEAST = 24
"""Letters that the last column of a table needs in a narrow terminal, unless all its cells are shorter; else half."""
NARROW = 80
"""A terminal with fewer columns is narrow."""


def styled(text: str, *, colour: str | None = None, bold: bool = False, error: bool = False) -> str:
    """Text with colour codes when the stream is a terminal and NO_COLOR is not set."""
    stream = sys.stderr if error else sys.stdout
    if not stream.isatty() or os.environ.get("NO_COLOR"):
        return text
    return click.style(text, fg=colour, bold=bold or None)


def columns(header: Sequence[str], rows: Sequence[Sequence[str]], *, indent: str = "  ") -> list[str]:
    """Lines of an aligned table; the last column takes the rest of the line and wraps.

    Columns that are empty in every row are left out. Where the terminal leaves the last one no room, each row
    becomes lines: its first cell, and below it the others with their names.
    """
    kept = [i for i in range(len(header)) if any(row[i] for row in rows)]
    table = [[line[i] for i in kept] for line in (header, *rows)]
    if not kept:
        return []
    widths = [max(len(line[i]) for line in table) for i in range(len(kept) - 1)]
    start = len(indent) + sum(widths) + 2 * len(widths)
    width = shutil.get_terminal_size((100, 24)).columns
    room, about = width - start, [line[-1] for line in table]
    least = min(LEAST if width < NARROW else LEAST // 2, max(map(len, about)))
    if room < max(least, longest_word(about)):
        if sys.stdout.isatty() or "COLUMNS" in os.environ:
            return _in_lines(table, width, indent)
        room = LEAST  # in a file or a pipe, each row begins in one line, for `grep` and its kin
    lines = []
    for number, line in enumerate(table):
        first, *more = textwrap.wrap(line[-1], room, break_on_hyphens=False, break_long_words=False) or [""]
        cells = [
            styled(cell.ljust(width), colour=COLOURS[cell]) if cell in COLOURS else cell.ljust(width)
            for cell, width in zip(line, widths, strict=False)
        ]
        last = styled(first, colour=COLOURS[first]) if first in COLOURS else first
        text = (indent + "  ".join([*cells, last])).rstrip()
        lines.append(styled(text, bold=True) if number == 0 else text)
        lines += [" " * start + part for part in more]
    return lines


def _in_lines(table: Sequence[Sequence[str]], width: int, indent: str) -> list[str]:
    """Each row as its first cell, and below it the others that say something, with their names."""
    header, *rows = table
    lines = []
    for cells in rows:
        named = 1 if header[0] else 2  # a number has no name of its own: it stands before what it counts
        lines.append(styled(indent + " ".join(cells[:named]), bold=True))
        for name, cell in zip(header[named:], cells[named:], strict=True):
            if cell:
                lines += textwrap.wrap(
                    f"{name}: {cell}", max(LEAST, width), initial_indent=indent * 3, subsequent_indent=indent * 4,
                    break_on_hyphens=False, break_long_words=False,
                )  # fmt: skip
    return lines


def longest_word(texts: Iterable[str]) -> int:
    """Letters of the longest word."""
    return max((len(word) for text in texts for word in text.split()), default=0)


def counted(number: int, singular: str, plural: str = "") -> str:
    """`1 step`, `2 steps`."""
    return f"{number} {singular if number == 1 else plural or singular + 's'}"
