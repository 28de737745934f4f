"""Scores become one set of predictions, each image exactly once."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch

from benchmarks.predictions import sigmoid
from callbacks.collector import Collector
from contracts.batch import Batch
from contracts.errors import DataError
from contracts.view import View
from detectors.base import Scores


def collected(folder: Path, verb: str = "test", module: Any = None, detector: Any = None, **given: Any) -> Any:
    collector = Collector(**given)
    module = module or tiny.data(folder)
    torch.manual_seed(0)
    getattr(tiny.trainer(collector), verb)(detector or tiny.Tiny(), datamodule=module, **QUIET[verb])
    return collector, module


QUIET: dict[str, Any] = {
    "test": {"verbose": False},
    "validate": {"verbose": False},
    "predict": {"return_predictions": False},
}


@pytest.mark.parametrize(
    ("verb", "split", "count"), [("test", "test", 5), ("validate", "valid", 6), ("predict", "test", 5)]
)
def test_every_verb_collects_its_images_in_the_manifests_order(
    verb: str, split: str, count: int, tmp_path: Path
) -> None:
    collector, _ = collected(tmp_path, verb)
    found = collector.predictions
    assert found.fused_ids.tolist() == [f"{split}-{k}" for k in range(count)]
    assert found.fused_labels.tolist() == [k % 2 for k in range(count)]
    assert found.generators.tolist() == ["", "repeat-a", "", "repeat-b", "", "repeat-a"][:count]
    assert found.group.tolist() == [f"{split}-{k // 4}" for k in range(count)]
    assert found.fused_logits.dtype == found.fused_scores.dtype == np.float32
    np.testing.assert_array_equal(found.fused_scores, sigmoid(found.fused_logits))
    np.testing.assert_array_equal(found.extra["doubled"], 2 * found.fused_logits)
    np.testing.assert_array_equal(found.extra["pair_1"], -found.fused_logits)


def test_batches_do_not_matter(tmp_path: Path) -> None:
    ways = [collected(tmp_path, module=tiny.data(tmp_path, batch_size=size))[0].predictions for size in (1, 2, 5)]
    for way in ways[1:]:
        assert way.fused_ids.tolist() == ways[0].fused_ids.tolist()
        np.testing.assert_allclose(way.fused_logits, ways[0].fused_logits, rtol=1e-6)


@pytest.mark.parametrize("fusion", ["mean_probability", "mean_logit", "maximum", lambda logits: np.median(logits, 1)])
def test_crops_are_kept_and_fused(fusion: Any, tmp_path: Path) -> None:
    module = tiny.data(tmp_path)
    module.use(View(), View(crop=8, crops="five"))
    collector, _ = collected(tmp_path, module=module, fusion=fusion)
    found = collector.predictions
    crops = found.crop_logits.reshape(5, 5).astype(np.float64)
    probability = 1 / (1 + np.exp(-crops))
    wanted = {
        "mean_probability": np.log(probability.mean(1) / (1 - probability).mean(1)),
        "mean_logit": crops.mean(1),
        "maximum": crops.max(1),
    }.get(fusion if isinstance(fusion, str) else "", np.median(crops, 1))
    np.testing.assert_allclose(found.fused_logits, wanted, rtol=1e-5)
    assert found.crop_to_image_index.tolist() == np.repeat(np.arange(5), 5).tolist()


class Twice(tiny.Tiny):
    """Says everything of an image twice, as ranks would that share an image."""

    def __init__(self, which: slice) -> None:
        super().__init__()
        self.which = which

    def test_step(self, batch: Batch | None, batch_idx: int) -> Scores | None:  # type: ignore[override]  # noqa: ARG002
        (collector,) = [c for c in self.trainer.callbacks if isinstance(c, Collector)]  # type: ignore[attr-defined]
        assert batch is not None
        scores = self.score(batch)
        some = Batch(*(part[self.which] if part.ndim else part for part in batch))
        again = some._replace(crop_to_image=torch.arange(len(some.row)))
        collector._add(
            self.trainer,
            self,
            Scores(scores.logits[self.which], {n: v[self.which] for n, v in scores.extras.items()}),
            again,
        )
        return scores


@pytest.mark.parametrize("which", [slice(None), slice(1)], ids=["all", "some"])
def test_an_image_scored_twice_is_refused(which: slice, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'test-0' was scored more than once"):
        collected(tmp_path, detector=Twice(which))


def test_nothing_to_score_is_an_error(tmp_path: Path) -> None:
    module = tiny.data(tmp_path)
    module.evaluate(np.zeros(0, np.int64))
    collector = Collector()
    collector._start()
    made = tiny.trainer(collector)
    made.datamodule = module  # type: ignore[attr-defined]
    with pytest.raises(DataError, match="no image could be scored"):
        collector._finish(made, tiny.Tiny())
