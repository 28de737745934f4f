"""Few values, which are converted without pyarrow's conversions, give what many give."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.review import packing
from benchmarks.review.export import _column, _flags
from benchmarks.review.packing import distinct

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=9)


@settings(deadline=None, max_examples=50)
@given(st.lists(TEXT, min_size=1))
def test_texts(texts: list[str]) -> None:
    values = np.array(texts)
    few = _column(values), distinct(values)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "FEW", 0)
        names, codes = distinct(values)
    few[0].validate(full=True)
    assert few[0].equals(pa.array(values))
    assert few[1][0] == names
    assert few[1][1].tolist() == codes.tolist()


@pytest.mark.parametrize("kind", ["i1", "u1", "i4", "i8", "u8", "f2", "f4", "f8", "?"])
@pytest.mark.parametrize("step", [1, 2])
def test_numbers(kind: str, step: int) -> None:
    values = np.arange(11).astype(kind)[::step]
    assert _column(values).equals(pa.array(values))


def test_flags_are_null_where_they_are_unknown() -> None:
    values, known = np.arange(21) % 2 == 0, np.arange(21) % 3 > 0
    assert _flags(values, known).equals(pa.array(values, mask=~known))
