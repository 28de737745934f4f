"""Random numbers determined by a key, not by the time or process in which they are generated.

Random numbers of (seed, epoch, image id) depend neither on the number of workers or ranks, nor on a restart, nor on the
other images of the set.
"""

from hashlib import blake2b

import numpy as np


def random_key(*parts: int | str) -> int:
    """A 63-bit key of the parts, equal on every machine and Python version (BLAKE2b of their text)."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def sample_key(seed: int, epoch: int, image_id: str) -> int:
    """The key of one image in one epoch."""
    return random_key(seed, epoch, image_id)


def generator(key: int, purpose: str = "") -> np.random.Generator:
    """A counter-based generator for a key; each purpose has its own stream."""
    return np.random.Generator(np.random.Philox(random_key(key, purpose) if purpose else key))
