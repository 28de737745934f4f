"""Which images a person is shown: always the same, balanced, readable, and in an order that tells nothing."""

import numpy as np
import pytest

from benchmarks.people.choose import candidates, choose
from contracts.errors import DataError
from datamodules.tables.manifest import Manifest


def manifest(real=200, generated=(50, 120, 30), unknown=5):
    labels = [0] * real + [1] * sum(generated) + [-1] * unknown
    makers = [""] * real + [f"g{k}" for k, count in enumerate(generated) for _ in range(count)] + [""] * unknown
    return Manifest.from_columns({"id": [f"i{k}" for k in range(len(labels))], "label": labels, "generator": makers})


def test_the_choice_depends_on_seed_and_ids_alone():
    whole = manifest()
    rows = candidates(whole)
    first = choose(whole, rows, 50, 3, lambda _: True)
    order = np.random.default_rng(0).permutation(len(whole))
    other = whole.take(order)
    again = choose(other, candidates(other), 50, 3, lambda _: True)
    assert [whole.image_id(row) for row in first] == [other.image_id(row) for row in again]
    assert first != choose(whole, rows, 50, 4, lambda _: True)
    assert len(set(first)) == 50


def test_classes_are_even_on_average_generators_take_turns_and_counting_tells_nothing():
    whole = manifest()
    rows, labels, places = candidates(whole), whole.labels, whole.generator_index
    shares, last = [], []
    for seed in range(200):
        chosen = choose(whole, rows, 30, seed, lambda _: True)
        made = [places[row] for row in chosen if labels[row] == 1]
        counts = np.bincount(made, minlength=4)[1:]
        assert counts.max() - counts.min() <= 1
        shares.append(len(made))
        last.append(int(labels[chosen[-1]]))
    assert 14 < np.mean(shares) < 16
    assert len(set(shares)) > 5  # the number of generated images is not known beforehand
    assert 70 < sum(last) < 130
    for seed in range(40):
        assert {int(labels[row]) for row in choose(whole, rows, 2, seed, lambda _: True)} == {0, 1}


def test_an_image_that_cannot_be_read_is_replaced_by_one_of_its_class():
    whole = manifest()
    rows = candidates(whole)
    first = choose(whole, rows, 20, 0, lambda _: True)
    asked = []
    second = choose(whole, rows, 20, 0, lambda row: asked.append(row) or row != first[4])
    assert first[4] in asked
    assert first[4] not in second
    assert whole.labels[first].tolist() == whole.labels[second].tolist()
    small = manifest(3, (1,), 4)
    assert sorted(choose(small, candidates(small), 10, 0, lambda _: True)) == [0, 1, 2, 3]


def test_only_images_with_a_label_that_every_detector_scored():
    whole = manifest(3, (2,), 2)
    assert candidates(whole).tolist() == [0, 1, 2, 3, 4]
    assert candidates(whole, [np.array(["i4", "i0", "i6"]), np.array(["i0", "i4", "i1"])]).tolist() == [0, 4]
    with pytest.raises(DataError, match="no generated image that the dumps"):
        candidates(whole, [np.array(["i0"])])
    with pytest.raises(DataError, match="no real image"):
        candidates(manifest(0, (2,)))
