"""The table of slices against metrics measured afresh on each slice."""

import numpy as np
import pytest
from synthetic_predictions import draw

from benchmarks.evaluation import evaluate
from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.metrics import auroc, counts
from benchmarks.people.measures import share
from benchmarks.predictions import write_predictions
from benchmarks.review.join import join
from benchmarks.review.slices import columns, lines

FEW = Bootstrap(resamples=40)


def made(tmp_path, count=120, **options):
    rng = np.random.default_rng(1)
    quality = np.where(np.arange(count) % 7 == 0, np.nan, rng.normal(size=count))
    extra = {
        "quality": quality, "format": np.where(rng.random(count) < 0.5, "PNG", "JPEG"), "crop": np.arange(count) % 3,
        "width": rng.integers(100, 900, count), "height": rng.integers(100, 900, count), "same": np.ones(count),
        "id": np.arange(count).astype(str),
    }  # fmt: skip
    dump = draw(images=count, decimals=1, extra=extra, **options)
    write_predictions(tmp_path / "a.npz", dump)
    return dump, join([tmp_path / "a.npz"])


def test_columns_with_something_to_compare_are_offered(tmp_path):
    dump, joined = made(tmp_path)
    found = {column.name: column for column in columns(joined)}
    assert list(found) == [
        "generator", "source", "quality", "format", "crop", "width", "height", "longer side",
        "right or wrong at 0.4",
    ]  # fmt: skip
    assert found["generator"].values == ["(real)", "alpha", "beta_2", "gamma-10"]
    assert found["generator"].against == [False, True, True, True]
    assert found["source"].against == [False, False]
    quality, known = found["quality"], ~np.isnan(dump.extra["quality"])
    assert quality.values[-1] == "not measured"
    assert np.array_equal(quality.codes == 4, ~known)
    sizes = np.bincount(quality.codes[known])
    assert sizes.max() - sizes.min() <= 1
    sides = np.maximum(dump.extra["width"], dump.extra["height"])
    band = found["longer side"]
    assert (sides[band.codes == band.values.index("above 256 to 512")] <= 512).all()
    verdict = found["right or wrong at 0.4"]
    assert np.array_equal(verdict.codes == 0, (dump.fused_scores > 0.4) == dump.fused_labels)
    assert [column.answers for column in found.values()] == [-1] * 8 + [0]


def test_every_slice_has_the_numbers_of_its_images_alone(tmp_path):
    dump, joined = made(tmp_path)
    parts = columns(joined)
    scores, labels, checked = dump.fused_scores.astype(np.float64), dump.fused_labels, 0
    for column, table in zip(parts, lines(joined, parts, FEW), strict=True):
        assert sum(line.images for line in table) == len(dump)
        for line in table:
            own = column.codes == line.value
            assert (line.real, line.generated) == tuple(np.bincount(labels[own], minlength=2))
            own |= column.against[line.value] & (labels == 0)
            tp, _, fp, tn = counts(scores[own], labels[own], 0.4)
            assert line.accuracy.value == pytest.approx((tp + tn) / own.sum())
            assert np.isnan(line.fpr.value) if fp + tn == 0 else line.fpr.value == pytest.approx(fp / (fp + tn))
            if own[labels == 1].sum() > 0 and own[labels == 0].sum() > 0:
                assert line.auroc.value == auroc(scores[own], labels[own])
                checked += 1
            else:
                assert line.auroc.reason
            for cell in (line.accuracy, line.fpr):
                assert np.isnan(cell.value) or cell.low <= cell.value <= cell.high
    assert checked > 20


def test_generators_have_the_tables_own_intervals(tmp_path):
    dump, joined = made(tmp_path)
    part = columns(joined)[0]
    table = {part.values[line.value]: line for line in lines(joined, [part], FEW)[0]}
    for result in FEW(dump, evaluate(dump)):
        if result.kind == "generator" and (result.metric, result.at) in (("auroc", ""), ("accuracy", "validation")):
            mine = getattr(table[result.generator], result.metric)
            assert (mine.value, mine.low, mine.high) == (result.value, result.low, result.high)


def test_a_source_that_only_generated_images_have_shares_the_real_images_without_changing_an_interval(tmp_path):
    label = draw().fused_labels
    dump, joined = made(tmp_path, source=np.where(label == 1, np.where(np.arange(120) % 2, "x", "y"), "photos"))
    both = columns(joined)[:2]
    together, alone = lines(joined, both, FEW)[1], lines(joined, [both[1]], FEW)[0]
    assert both[1].against == [False, True, True]
    assert [(r.auroc.low, r.auroc.high) for r in together[1:]] == [(r.auroc.low, r.auroc.high) for r in alone[1:]]
    assert together[1].auroc.value == auroc(
        *(column[(label == 0) | (dump.source == "x")] for column in (dump.fused_scores.astype(float), label))
    )


def test_a_rate_of_one_has_wilsons_interval_of_its_photographs(tmp_path):
    dump, joined = made(tmp_path, group=[f"photo{k // 4}" for k in range(120)])
    part = next(column for column in columns(joined) if column.name.startswith("right"))
    right = lines(joined, [part], FEW)[0][0]
    photographs = np.unique(dump.group[part.codes == 0]).size
    known = share(photographs, photographs)
    assert (right.accuracy.value, right.accuracy.high) == (1, 1)
    assert right.accuracy.low == pytest.approx(known.low)
    assert right.fpr.value == 0
    assert 0 < right.fpr.high < 0.4
