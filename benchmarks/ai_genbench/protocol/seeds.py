"""Seeds of AI-GenBench's deterministic augmentations: by position (`v1`) and by image id (`fixed`).

Under `v1` an item's seed depends on its row in the current data set, so a subset or another order changes every
image's degradation; under `fixed` it depends on nothing but the image's id.
"""

from dataclasses import dataclass
from typing import Literal

from contracts.keys import random_key

Protocol = Literal["v1", "fixed"]
"""`v1`: bit-identical to the benchmark's first release. `fixed`: its mistakes corrected, keyed by image id."""

PROTOCOLS: tuple[Protocol, ...] = ("v1", "fixed")

BASE_SEED = 4321
"""Default `augmentations_base_seed`; evaluation always uses it with copy 0."""

_COPY_STRIDE = 2**27
_MODULUS = 2**31


@dataclass(frozen=True)
class ItemSeeds:
    """Seeds of the independent streams one item draws from.

    Attributes:
        torch: Decisions, offsets and boxes (a torch CPU generator).
        python: Codecs, qualities, sizes and interpolations (`random.Random`).
        noise: Whether there is noise, how much, and the noise itself.
        dropout: Whether there is a hole, its size and place.
    """

    torch: int
    python: int
    noise: int
    dropout: int


def source_row(index: int, augmentation_factor: int) -> tuple[int, int]:
    """Row of the data set and number of the copy shown as item `index`.

    Args:
        index: Item, 0 .. rows × `augmentation_factor` − 1.
        augmentation_factor: Deterministic copies of each row.

    Returns:
        `(row, copy)`.

    Raises:
        ValueError: `augmentation_factor` is not positive or `index` is negative.
    """
    if augmentation_factor < 1 or index < 0:
        raise ValueError(f"item {index} of {augmentation_factor} copies: need an item >= 0 and at least one copy.")
    return divmod(index, augmentation_factor)


def position_seed(row: int, copy: int = 0, base_seed: int = BASE_SEED) -> int:
    """The benchmark's seed of copy `copy` of row `row`: (base + copy × 2²⁷) mod 2³¹ + row.

    Copies 16, 17, … repeat the seeds of copies 0, 1, …
    """
    return (base_seed + copy * _COPY_STRIDE) % _MODULUS + row


def v1_seeds(row: int, copy: int = 0, base_seed: int = BASE_SEED) -> ItemSeeds:
    """One seed for all streams, as the original sets it: its noise decisions repeat the draws of its codecs."""
    seed = position_seed(row, copy, base_seed)
    return ItemSeeds(seed, seed, seed, seed)


def fixed_seeds(image_id: str, copy: int = 0, base_seed: int = BASE_SEED) -> ItemSeeds:
    """Independent seeds for each stream, from the image's id, the copy and the base seed alone."""
    return ItemSeeds(*(random_key(base_seed, copy, image_id, stream) for stream in ItemSeeds.__dataclass_fields__))
