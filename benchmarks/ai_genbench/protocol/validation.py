"""Order of AI-GenBench's validation images and the pairing of real images with generators.

All random numbers are the original's: the order determines each image's degradation under `v1`, and the pairing the
real images that are scored together with a window's generators.
"""

import random
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.ai_genbench.protocol.windows import Rows, as_rows
from contracts.errors import DataError

BALANCE_SEED = 1338
ORDER_SEED = 1340
PAIRING_SEEDS = {"validate": 1341, "test": 1340}  # The original pairs the same images differently in its two stages

UNPAIRED = -1  # Pairing of a generated image


def validation_order(generator_ids: NDArray[np.int64], names: tuple[str, ...] | None = None) -> Rows:
    """Rows of the validation (and test) set in the order they are evaluated.

    Both classes are made equally large: surplus real rows are dropped at random, surplus generated rows by a split
    stratified by generator. Then all rows are shuffled.

    Args:
        generator_ids: Shape (rows,), 0 for a real row.
        names: Generator name of every id, by which to stratify; by default the ids themselves, which gives the same
            order of strata if ids follow the names' byte order.

    Returns:
        Row indices in order of evaluation.
    """
    ids = np.asarray(generator_ids)
    real = np.flatnonzero(ids == 0).astype(np.int64)
    generated = np.flatnonzero(ids != 0).astype(np.int64)
    if real.size > generated.size:
        real = as_rows(random.Random(BALANCE_SEED).sample(real.tolist(), generated.size))
    elif generated.size > real.size:
        from sklearn.model_selection import train_test_split  # slow to import and only needed for unbalanced sets

        strata = ids[generated] if names is None else np.asarray(names)[ids[generated]]
        kept, _ = train_test_split(generated, train_size=real.size, stratify=strata, random_state=BALANCE_SEED)
        generated = as_rows(kept)
    rows = np.concatenate([real, generated])
    return rows[np.random.default_rng(ORDER_SEED).permutation(rows.size)]


def pair_reals(ordered_generator_ids: NDArray[np.int64], stage: Literal["validate", "test"]) -> NDArray[np.int64]:
    """The generator with which each real image is paired.

    Args:
        ordered_generator_ids: Shape (N,), generator ids in the order of evaluation.
        stage: The benchmark's stage, which determines the seed.

    Returns:
        Shape (N,): a generator id for real images, −1 for generated ones.

    Raises:
        ValueError: Unknown stage.
        DataError: Unequal numbers of real and generated images.
    """
    if stage not in PAIRING_SEEDS:
        raise ValueError(f"stage {stage!r} is none of {', '.join(map(repr, PAIRING_SEEDS))}.")
    ids = np.asarray(ordered_generator_ids)
    real = np.flatnonzero(ids == 0).tolist()
    generated = ids[ids != 0]
    if len(real) != generated.size:
        raise DataError(
            f"{len(real)} real and {generated.size} generated images cannot be paired",
            "Pair the rows that `validation_order` returns.",
        )
    random.Random(PAIRING_SEEDS[stage]).shuffle(real)
    pairing = np.full(ids.size, UNPAIRED, dtype=np.int64)
    pairing[real] = generated
    return pairing
