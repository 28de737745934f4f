"""Folder names of image trees and what they mean; labels never come from alphabetical order."""

from collections.abc import Mapping
from typing import TypeVar

from contracts.errors import ConfigError

LABELS = {
    "0_real": 0, "real": 0, "reals": 0, "nature": 0, "authentic": 0,
    "1_fake": 1, "fake": 1, "fakes": 1, "ai": 1, "generated": 1, "synthetic": 1,
}  # fmt: skip
"""Folders of one class, in lower case: ForenSynths and UniversalFakeDetect (0_real, 1_fake), GenImage (nature, ai),
CIFAKE (REAL, FAKE), DiffusionForensics (real)."""

SPLITS = {
    "train": "train",
    "training": "train",
    "val": "valid",
    "valid": "valid",
    "validation": "valid",
    "test": "test",
}
"""Folders of one split, in lower case."""

COLLECTIONS = (
    "ForenSynths", "ForenSynths_test", "ForenSynths_train_val", "CNN_synth_testset", "progan_train", "progan_val",
    "GANGen-Detection", "DiffusionForensics", "UniversalFakeDetect", "diffusion_datasets", "Diffusion1kStep",
    "AIGCDetectBenchmark", "AIGCDetectionBenchMark", "GenImage", "Tiny-GenImage", "Chameleon", "DRCT-2M",
    "Generalization_Test", "images",
)  # fmt: skip
"""Folders that only hold sets together (from the trees in the sets' READMEs)."""


T = TypeVar("T")


def lower_keys(names: Mapping[str, T], where: str) -> dict[str, T]:
    """A map of names in lower case.

    Raises:
        ConfigError: two names differ by case alone and in meaning.
    """
    found: dict[str, T] = {}
    for name, value in names.items():
        if found.setdefault(name.lower(), value) != value:
            raise ConfigError(f"{where}.{name} means two things, by case alone", "Folder names are read in any case.")
    return found
