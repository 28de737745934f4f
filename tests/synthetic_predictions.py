"""Random predictions from a seed, for tests of what is made of them."""

from typing import Any

import numpy as np

from benchmarks.predictions import Predictions, from_crops


def draw(
    seed: int = 0,
    images: int = 120,
    generators: tuple[str, ...] = ("alpha", "beta_2", "gamma-10"),
    crops: int = 1,
    decimals: int | None = None,
    **columns: Any,
) -> Predictions:
    """Half real, half generated; ``decimals`` rounds logits so that some are equal."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(images) % 2
    names = ("", *generators)
    ids = [f"set/img#{i:04d}" for i in range(images)]
    made = np.where(labels == 1, rng.integers(1, len(names), images), 0)
    logits = np.repeat(rng.normal(2.0 * labels - 1, 1.3), crops) + rng.normal(0, 0.3 * (crops > 1), images * crops)
    if decimals is not None:
        logits = np.round(logits, decimals)
    given: dict[str, Any] = {
        "source": np.where(rng.random(images) < 0.5, "here", "there"),
        "group": [f"photo{i // 3}" if i % 5 else "" for i in range(images)],
        "provenance": {
            "experiment": "drawn",
            "stage": "test",
            "threshold": 0.4,
            "seen_generators": list(generators[:-1]),
        },
    }
    return from_crops(
        logits, np.repeat(np.arange(images), crops), labels, made, ids, generator_id_to_name=names, **(given | columns)
    )
