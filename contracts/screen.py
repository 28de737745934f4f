"""Prints tables without truncation, on terminals of any width and into files."""

import os
import select
import sys
from collections.abc import Iterator
from typing import Any

from rich import box
from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from contracts.words import printable

WIDE = 10_000  # Columns of an output that is not a terminal, where lines may have any length


class Screen(Console):
    """A console that shows control characters, markup and codes of emoji in names instead of obeying them."""

    def render_str(self, text: str, **options: Any) -> Text:
        """The text as it is; line breaks are kept."""
        return super().render_str(printable(text, "\n"), **options | {"markup": False, "emoji": False})


def screen() -> Console:
    """The console; without a width limit, even by ``COLUMNS``, if it is not a terminal."""
    console = Screen()
    return console if console.is_terminal else Screen(width=WIDE)


def display(*parts: RenderableType, console: Console | None = None) -> None:
    """Prints tables and texts below each other; a table wider than the terminal is printed with one line per cell."""
    console = console or screen()
    for part in parts:
        wide = console.options.update(width=WIDE)
        if isinstance(part, Table) and Measurement.get(console, wide, part).maximum > console.width:
            part = stacked(part)
        console.print(part)


def table_of(*heads: str, **options: Any) -> Table:
    """An empty table of names and numbers: the first column is aligned left, the others right."""
    made = Table(**options)
    for place, head in enumerate(heads):
        made.add_column(head, justify="right" if place else "left")
    return made


def stacked(table: Table) -> Table:
    """The table with a line for each non-empty cell: the row's first cell, the column's title, the cell."""
    made = Table(
        box=box.SIMPLE_HEAD, title=table.title, caption=table.caption, title_justify=table.title_justify,
        caption_justify=table.caption_justify, pad_edge=False, show_header=False,
    )  # fmt: skip
    for position in range(3):
        made.add_column(overflow="fold", justify="right" if position == 2 else "left")
    for name, cells in _rows(table):
        for place, (head, cell) in enumerate(cells or [("", "")]):
            made.add_row("" if place else name, head, cell, end_section=place == len(cells) - 1)
    return made


def _rows(table: Table) -> Iterator[tuple[RenderableType, list[tuple[RenderableType, RenderableType]]]]:
    first, *others = table.columns
    columns = [list(column.cells) for column in others]
    for row, name in enumerate(first.cells):
        yield name, [(c.header, cells[row]) for c, cells in zip(others, columns, strict=True) if str(cells[row])]


def reader_is_gone() -> bool:
    """Whether the reader of standard output has closed it, as in ``pixelproof --help | head``."""
    watch = select.poll()
    watch.register(sys.stdout.fileno(), 0)
    if not any(event & select.POLLERR for _, event in watch.poll(0)):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # output flushed at exit is discarded
    return True
