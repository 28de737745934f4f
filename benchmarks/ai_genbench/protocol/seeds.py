"""Seeds of AI-GenBench's deterministic augmentations: by position (`v1`) and by image id (`fixed`).

Under `v1` a seed depends on the image's row in the current data set, so a subset or another order changes every
image's degradation; under `fixed` it depends only on the image's id.
"""

from dataclasses import dataclass
from typing import Literal

from contracts.keys import random_key

Protocol = Literal["v1", "fixed"]
"""`v1`: bit-identical to the benchmark's first release. `fixed`: its mistakes corrected, keyed by image id."""

PROTOCOLS: tuple[Protocol, ...] = ("v1", "fixed")

BASE_SEED = 4321  # Default `augmentations_base_seed`; evaluation always uses it with copy 0

_COPY_STRIDE = 2**27
_MODULUS = 2**31


@dataclass(frozen=True)
class ItemSeeds:
    """Seeds of the independent random streams of one image."""

    torch: int  # Decisions, offsets and boxes (a torch CPU generator)
    python: int  # Codecs, qualities, sizes and interpolations (`random.Random`)
    noise: int  # Whether there is noise, how much, and the noise itself
    dropout: int  # Whether there is a hole, its size and place


def position_seed(row: int, copy: int = 0, base_seed: int = BASE_SEED) -> int:
    """The benchmark's seed of copy `copy` of row `row`: (base + copy × 2²⁷) mod 2³¹ + row.

    Copies 16, 17, … repeat the seeds of copies 0, 1, …
    """
    return (base_seed + copy * _COPY_STRIDE) % _MODULUS + row


def v1_seeds(row: int, copy: int = 0, base_seed: int = BASE_SEED) -> ItemSeeds:
    """One seed for all streams, as in the original, whose noise therefore repeats the random numbers of its codecs."""
    seed = position_seed(row, copy, base_seed)
    return ItemSeeds(seed, seed, seed, seed)


def fixed_seeds(image_id: str, copy: int = 0, base_seed: int = BASE_SEED) -> ItemSeeds:
    """Independent seeds for each stream, which depend only on the image's id, the copy and the base seed."""
    return ItemSeeds(*(random_key(base_seed, copy, image_id, stream) for stream in ItemSeeds.__dataclass_fields__))
