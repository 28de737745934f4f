"""A generated image is only ever compared with real images seen through the same view, in every table and page."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic_predictions import draw

from benchmarks.comparison.compare import compare
from benchmarks.comparison.paired import differences
from benchmarks.evaluation import evaluate
from benchmarks.forensynths_tables.protocol import ForenSynthsTables
from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.metrics import auroc
from benchmarks.predictions import Predictions, from_crops, read_predictions, write_predictions
from benchmarks.review import review
from benchmarks.views import by_view, joined, views_of

SETS = ("ForenSynths_test/progan", "GANGen-Detection/AttGAN")


def scored(images: int = 12, shift: float = 3.0, shared: bool = True, seed: int = 0) -> Predictions:
    """The same images as real and as generated, two sets of them; the second set's view adds ``shift`` to logits."""
    logits = np.random.default_rng(seed).normal(size=images)
    parts = []
    for k, (source, view) in enumerate(zip(SETS, ("resize256", "native"), strict=True)):
        real = [f"{'coco' if shared else source}/0_real/{n}" for n in range(images)]
        parts.append(
            (
                view,
                from_crops(
                    np.tile(logits + k * shift, 2), np.arange(2 * images), np.repeat([0, 1], images),
                    np.repeat([0, k + 1], images), [*real, *(f"{source}/1_fake/{n}" for n in range(images))],
                    generator_id_to_name=["", "progan", "AttGAN"],
                    identifiers=np.concatenate(
                        [np.arange(images) + (0 if shared else 500 * k), 100 + 100 * k + np.arange(images)]
                    ),
                    source=["coco" if shared else source] * images + [source] * images,
                ),
            )
        )  # fmt: skip
    ids = list(dict.fromkeys(one for _, part in parts for one in part.fused_ids.tolist()))
    return joined(parts, ids).with_provenance(seen_generators=["progan"], threshold=0.6)


def test_parts_come_back_as_they_were_scored(tmp_path: Path) -> None:
    write_predictions(tmp_path / "dump.npz", scored())
    dump = read_predictions(tmp_path / "dump.npz")
    assert views_of(dump) == ["resize256", "native"]
    assert len(dump) == len(set(dump.fused_ids.tolist())) == 36
    first, second = by_view(dump)
    for part in (first, second):
        labels, logits = part.predictions.fused_labels, part.predictions.fused_logits
        assert (len(labels), labels.sum()) == (24, 12)
        assert sorted(logits[labels == 0].tolist()) == sorted(logits[labels == 1].tolist())
        assert part.predictions.crop_logits.tolist() == logits.tolist()
        assert not part.predictions.extra
    shift = second.predictions.fused_logits[:12] - first.predictions.fused_logits[:12]
    np.testing.assert_allclose(shift, 3, rtol=1e-5)
    assert views_of(draw()) == [""]


@pytest.mark.parametrize("shared", [True, False])
def test_identical_images_give_an_auroc_of_one_half_in_every_row(tmp_path: Path, shared: bool) -> None:
    dump = scored(shared=shared)
    chosen = np.isin(dump.generators, ("", "AttGAN"))  # all real images, whatever they were seen through
    assert auroc(dump.fused_scores[chosen].astype(float), dump.fused_labels[chosen]) > 0.7
    own: Any = {"mine": auroc}
    for result in Bootstrap(50)(dump, evaluate(dump, metrics=own), own):
        if result.metric in ("auroc", "mine"):
            assert result.value == 0.5, result.key
            assert result.low <= 0.5 <= result.high
        if result.metric == "accuracy" and result.kind == "generator":
            assert result.value == 0.5
    kinds = {(r.kind, r.generator): (r.real, r.generated) for r in evaluate(dump)}
    assert kinds["pooled", ""] == ((12, 24) if shared else (24, 24))
    assert kinds["generator", "AttGAN"] == (12, 12)
    assert kinds["seen", ""] == kinds["unseen", ""] == (12, 12)

    write_predictions(tmp_path / "e/window_0/predictions_test_all.npz", dump)
    tables = ForenSynthsTables(seed=0).summarise(tmp_path / "e")
    assert len(tables) == 2
    review([tmp_path / "e/window_0/predictions_test_all.npz"], tmp_path / "page", bootstrap=Bootstrap(20))
    for file in (tmp_path / "e/tables/forensynths.csv", tmp_path / "e/tables/gangen_detection.csv",
                 tmp_path / "page/metrics.csv"):  # fmt: skip
        with file.open() as text:
            values = [row["value"] for row in csv.DictReader(text) if row["metric"] == "auroc" and row["value"]]
        assert values
        assert {float(value) for value in values} == {0.5}
    page = (tmp_path / "page/index.html").read_text()
    data = json.loads(page.partition('id="data"')[2].partition(">")[2].partition("</script>")[0])
    assert [one["name"].split(" · ")[-1] for one in data["dumps"]] == ["resize256", "native"]


def test_what_is_a_mean_over_images_is_so_over_all_of_them() -> None:
    dump = scored(shared=False)
    pooled = {(r.metric, r.at): r.value for r in evaluate(dump) if r.kind == "pooled"}
    called, fake = dump.fused_scores > 0.5, dump.fused_labels == 1
    assert pooled["accuracy", "0.5"] == pytest.approx((called == fake).mean())
    assert pooled["recall", "0.5"] == pytest.approx(called[fake].mean())
    assert pooled["specificity", "0.5"] == pytest.approx(1 - called[~fake].mean())
    assert pooled["brier", ""] == pytest.approx(np.square(dump.fused_scores - fake).mean())


def test_comparisons_keep_to_the_view_too(tmp_path: Path) -> None:
    one, other = scored(), scored(shift=-2.0, seed=4)
    found = compare([one, other], ["a", "b"], Bootstrap(20))
    aurocs = [run[key] for run in found.values for key in run if key[1] == "auroc"]
    assert len(aurocs) >= 6
    assert set(aurocs) == {0.5}
    for change in differences(one, other, Bootstrap(20)):
        if change.first.metric == "auroc":
            assert (change.first.value, change.second.value) == (0.5, 0.5)
    for name, dump in (("a", one), ("b", other)):
        write_predictions(tmp_path / f"{name}.npz", dump)
    made = review([tmp_path / "a.npz", tmp_path / "b.npz"], tmp_path / "page", bootstrap=Bootstrap(20))
    assert [name.split(" · ")[-1] for name in made.tables] == ["resize256", "native"] * 2


def test_generated_images_without_real_ones_seen_alike_have_no_auroc() -> None:
    dump = scored()
    alone = dump.select(~((dump.fused_labels == 0) & ~np.isnan(dump.extra["logit@native"])))
    row = next(r for r in evaluate(alone) if (r.kind, r.generator, r.metric) == ("generator", "AttGAN", "auroc"))
    assert np.isnan(row.value)
    assert "no real images" in row.reason
