"""Reads users' lists and tables; detects any common encoding and delimiter, and logs them."""

import codecs
import csv
import logging
import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from io import StringIO
from itertools import islice
from pathlib import Path

from contracts.errors import DataError

logger = logging.getLogger(__name__)

SINGLE = "\x1f"  # Delimiter of a table with one column, in which file names may contain every common delimiter
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig", "UTF-8 with a byte order mark"),
    (codecs.BOM_UTF32_LE, "utf-32", "UTF-32"),  # begins like UTF-16
    (codecs.BOM_UTF32_BE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"),
)
csv.field_size_limit(2**31 - 1)  # a cell may hold a whole prompt or workflow; the delimiter is found with it too
SINGLE_BYTE = ("cp1252", "latin-1")  # Tried in this order if a line is not UTF-8; the second defines every byte


@dataclass(frozen=True)
class Text:
    """A text file."""

    content: str  # the whole text, with its line ends
    encoding: str  # for messages

    @cached_property
    def lines(self) -> list[str]:
        """Lines, split only at the three usual line ends: `str.splitlines` would also split at rarer separators."""
        lines = re.split(r"\r\n|\n|\r", self.content)
        return lines if lines[-1] else lines[:-1]

    @property
    def guessed(self) -> bool:
        """Whether some line is not UTF-8, so its characters are a guess."""
        return self.encoding == SINGLE_BYTE[0]


@dataclass(frozen=True)
class TextTable:
    """A table with a header line."""

    path: Path  # the table
    header: list[str]  # names of its columns, without surrounding spaces
    rows: list[list[str]]  # cells of every row that is not blank, one per column
    numbers: list[int]  # line of the file in which each row ends
    text: Text  # the file's text
    delimiter: str  # delimiter between cells

    def find(self, name: str) -> str | None:
        """The column of that name as written in the header, in any case; None if there is none."""
        return name if name in self.header else next((h for h in self.header if h.lower() == name.lower()), None)

    def column(self, name: str) -> list[str]:
        """Cells of a column, without surrounding spaces."""
        place = self.header.index(name)
        return [row[place].strip() for row in self.rows]


def read_text(path: Path) -> Text:
    """Read a text file in UTF-8, UTF-16 or UTF-32; lines in none of these are read as Windows-1252.

    Raises:
        DataError: the file cannot be read, or is not in the encoding that its first bytes announce.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    codec, name = next(((codec, name) for mark, codec, name in MARKS if data.startswith(mark)), ("utf-8", "UTF-8"))
    if codec == "utf-8" and b"\0" in data[:4096]:
        low_first = data[1:4096:2].count(0) > data[0:4096:2].count(0)
        codec, name = ("utf-16-le", "UTF-16") if low_first else ("utf-16-be", "UTF-16")
    try:
        return Text(data.decode(codec), name)
    except UnicodeDecodeError as error:
        if codec not in ("utf-8", "utf-8-sig"):
            raise DataError(f"{path} is not {name} text: {error}", "Save it as UTF-8.") from error
    lines = re.split(rb"(\r\n|\n|\r)", data.removeprefix(codecs.BOM_UTF8))
    return Text("".join(map(_decoded, lines)), SINGLE_BYTE[0])


def read_table(path: Path, known: Collection[str] = ()) -> TextTable:
    """Read a table separated by commas, semicolons, tabs or bars; the format is logged unless it is UTF-8 with commas.

    Excel's first line ``sep=;`` is understood; empty rows are left out, as are empty cells after the last
    column.

    Args:
        path: the table.
        known: expected column names in lower case, which help to detect the delimiter.

    Raises:
        DataError: the file cannot be read, a row has too few or too many cells, a quoted cell does not end, or a
            column name occurs twice.
    """
    text = read_text(path)
    said = re.fullmatch(r'"?sep=(.)"?', text.lines[0]) if text.lines else None
    content = text.content[len(said[0]) :].lstrip("\r\n") if said else text.content
    delimiter = said[1] if said else _delimiter(content, known)
    header, rows, numbers = _cells(path, content, delimiter, 1 if said else 0)
    if repeated := {name for name in header if name and header.count(name) > 1}:
        raise DataError(f"{path}: column {min(repeated)!r} occurs twice", "Rename or remove one of them.")
    if delimiter not in (",", SINGLE) or text.encoding != "UTF-8":
        logger.warning(
            "%s: read as %s, cells separated by %s", path, text.encoding, DELIMITERS.get(delimiter, delimiter)
        )
    return TextTable(path, header, rows, numbers, text, delimiter)


def _cells(path: Path, content: str, delimiter: str, skipped: int) -> tuple[list[str], list[list[str]], list[int]]:
    reader = csv.reader(StringIO(content, newline=""), delimiter=delimiter, strict=True)
    header: list[str] = []
    rows: list[list[str]] = []
    numbers: list[int] = []
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if not header:
                header = [cell.strip() for cell in cells]
                while header and not header[-1]:
                    header.pop()
                continue
            if len(cells) < len(header) or any(cell.strip() for cell in cells[len(header) :]):
                raise DataError(
                    f"{path}: row {len(rows) + 2}, line {reader.line_num + skipped} does not have {len(header)} cells",
                    f"Quote cells that contain {DELIMITERS.get(delimiter, delimiter)}.",
                )
            rows.append(cells[: len(header)])
            numbers.append(reader.line_num + skipped)
    except csv.Error as error:
        raise DataError(
            f"{path}: line {reader.line_num + skipped}: {error}", "Check the quotes around cells."
        ) from error
    return header, rows, numbers


def _delimiter(content: str, known: Collection[str]) -> str:
    """The delimiter that gives most known columns, then rows of equal length, then most columns; else `SINGLE`."""
    best, rank = SINGLE, (0, False, 1)
    for delimiter in DELIMITERS:
        try:
            reader = csv.reader(StringIO(content, newline=""), delimiter=delimiter)
            first = list(islice((cells for cells in reader if any(cells)), 20))
        except csv.Error:
            continue
        header = [cell.strip().lower() for cell in first[0]] if first else []
        found = (len(set(known) & set(header)), len({len(cells) for cells in first}) == 1, len(header))
        if len(header) > 1 and found > rank:
            best, rank = delimiter, found
    return best


def _decoded(line: bytes) -> str:
    for codec in ("utf-8", *SINGLE_BYTE):
        try:
            return line.decode(codec)
        except UnicodeDecodeError:
            continue
    raise AssertionError(line)  # latin-1 decodes everything
