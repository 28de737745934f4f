"""A large dump of predictions and its measurements, without torch, as on a laptop."""

import numpy as np

from benchmarks.evaluation import evaluate
from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.predictions import Predictions, from_crops

GENERATORS = [f"generator {k:02d}" for k in range(36)]


def predictions(images: int) -> Predictions:
    """A dump whose logits are normally distributed."""
    rng, half = np.random.default_rng(0), images // 2
    labels = np.repeat([0, 1], half)
    photo = np.tile(np.arange(half) % (images // 4), 2)
    made = rng.permutation(np.arange(half) % len(GENERATORS)) + 1
    return from_crops(
        rng.normal(2.0 * labels - 1, 1.3), np.arange(images), labels, np.concatenate([np.zeros(half, np.int64), made]),
        np.char.mod("%d", np.arange(images)), generator_id_to_name=["", *GENERATORS], group=np.char.mod("p%d", photo),
        provenance={"threshold": 0.4, "seen_generators": GENERATORS[:18]},
    )  # fmt: skip


def whole(dump: Predictions) -> None:
    """Computes all metrics, and intervals from 1,000 resamples."""
    Bootstrap()(dump, evaluate(dump))
