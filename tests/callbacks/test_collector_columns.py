"""Extras of several values an image become columns of a dump."""

import numpy as np

from callbacks.collector import columns


def test_several_values_an_image_become_as_many_columns() -> None:
    values = np.arange(6, dtype=np.float32).reshape(3, 2)
    split = columns("attention", values)
    assert list(split) == ["attention_0", "attention_1"]
    assert split["attention_1"].tolist() == [1, 3, 5]
    assert list(columns("distance", values[:, 0])) == ["distance"]
