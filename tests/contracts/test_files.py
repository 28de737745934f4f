"""Small files: what is written as comma-separated text is read back."""

import csv
import io

from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.files import csv_text

CELLS = st.text(st.characters(codec="utf-8"), max_size=6) | st.sampled_from(["a\rb", "\r", "\n", 'a"b', "a,b", "\r\n"])


@given(rows=st.lists(st.lists(CELLS, min_size=2, max_size=3), max_size=4))
@settings(deadline=None)
def test_cells_are_read_back(rows: list[list[str]]) -> None:
    text = csv_text(rows)
    assert list(csv.reader(io.StringIO(text, newline=""))) == rows


def test_undefined_cells_are_empty() -> None:
    assert csv_text([["name", "value"], ["a", None], ["b", float("nan")], ["c", 0.5], ["d", 0]]) == (
        "name,value\na,\nb,\nc,0.5\nd,0\n"
    )
