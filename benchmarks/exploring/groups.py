"""The groups of images that the page compares: real images, each generator's, and those of unknown label."""

import numpy as np
from numpy.typing import NDArray

from datamodules.tables.manifest import Manifest

UNNAMED = "(unnamed generator)"
CLASSES = {0: "real", 1: "generated", -1: "unknown"}
SPLITS = ("train", "valid", "test", "")
NO_SPLIT = "no split"


def group_names(manifest: Manifest) -> list[str]:
    """Names of the groups that occur: real first, then generators by name, unknown last."""
    labels = manifest.labels
    made = np.unique(manifest.generator_index[labels == 1]).tolist()
    names = ["real"] if (labels == 0).any() else []
    names += [manifest.generator_names[k] or UNNAMED for k in made]
    return names + (["unknown"] if (labels == -1).any() else [])


def groups_of(manifest: Manifest) -> NDArray[np.int64]:
    """[N] position of each image's group in `group_names`."""
    labels = manifest.labels
    made = np.unique(manifest.generator_index[labels == 1])
    found = np.searchsorted(made, manifest.generator_index).astype(np.int64) + int((labels == 0).any())
    found[labels == 0] = 0
    found[labels == -1] = len(group_names(manifest)) - 1
    return found


def kinds_of(manifest: Manifest) -> list[int]:
    """Label of each group: 0, 1 or -1."""
    labels = manifest.labels
    count = len(np.unique(manifest.generator_index[labels == 1]))
    return [0] * bool((labels == 0).any()) + [1] * count + [-1] * bool((labels == -1).any())
