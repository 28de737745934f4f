"""Models filled by the golden rule, for the parity tests."""

import copy
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from detectors.zed.models.published_heads import MixtureHead, RawMaps, ResidualHead, load_published_head
from detectors.zed.models.srec import SReC
from tests.golden_fill import draw

Vectors = Mapping[str, np.ndarray]


def filled_state(vectors: Vectors, model: str, seed_shift: int = 0, check: str = "_fillsum") -> dict[str, Tensor]:
    seed = int(vectors[f"{model}_fillseed"]) + seed_shift
    shapes = [tuple(int(n) for n in text.split(",") if n) for text in vectors[f"{model}_shapes"]]
    dtypes = [getattr(torch, name) for name in vectors[f"{model}_dtypes"]]
    state = {
        str(key): torch.from_numpy(draw(str(key), shape, seed)).to(dtype)
        for key, shape, dtype in zip(vectors[f"{model}_keys"], shapes, dtypes, strict=True)
    }
    sums = [value.double().sum().item() for value in state.values()]
    np.testing.assert_allclose(sums, vectors[f"{model}{check}"], rtol=1e-12, atol=1e-12)
    return state


def srec(vectors: Vectors, model: str) -> SReC:
    return SReC.from_published(filled_state(vectors, model)).eval()


def head(vectors: Vectors, model: str, level: int) -> ResidualHead | MixtureHead:
    state = filled_state(vectors, model, level, "_fillsum" if level == 0 else "_fillsum_seedplus1")
    return load_published_head(state).eval()


def exactly(head: ResidualHead | MixtureHead) -> ResidualHead | MixtureHead:
    """The head with its network in float64, and answers in float32, so that no CPU's kernels matter.

    Those for AVX2 alone are ten times less exact than those the vectors were made with, and scores enlarge it.
    """
    maps = copy.deepcopy(head).double().maps
    head.maps = lambda y_up: RawMaps(*(each.float() for each in maps(y_up.double())))  # type: ignore[method-assign]
    return head


def images(vectors: Vectors) -> dict[int, Tensor]:
    """Index to uint8 ``[1, 3, H, W]``."""
    names = [k for k in vectors if k.startswith("image_")]
    return {int(k.removeprefix("image_")): torch.from_numpy(vectors[k]).permute(2, 0, 1)[None] for k in names}
