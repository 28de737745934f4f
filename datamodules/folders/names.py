"""Folder names of image trees and their meaning; labels never depend on alphabetical order."""

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TypeVar

from contracts.errors import ConfigError, nearest
from datamodules.tables.manifest import SPLITS as MANIFEST_SPLITS

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
    "testing": "test",
}
"""Folders of one split, in lower case."""

MEANINGS = MANIFEST_SPLITS[:3]

COLLECTIONS = (
    "ForenSynths", "ForenSynths_test", "ForenSynths_train_val", "CNN_synth_testset", "progan_train", "progan_val",
    "GANGen-Detection", "DiffusionForensics", "UniversalFakeDetect", "diffusion_datasets", "Diffusion1kStep",
    "AIGCDetectBenchmark", "AIGCDetectionBenchMark", "GenImage", "Tiny-GenImage", "Chameleon", "DRCT-2M",
    "Generalization_Test", "images",
)  # fmt: skip
"""Folders that only collect sets (from the trees in the data sets' READMEs)."""

CORPORA = {name.lower() for name in COLLECTIONS} - {"generalization_test", "images"}
"""The collections, in lower case, that name the corpus of their sets."""


T = TypeVar("T")


def names_from_corpus(root: Path, corpora: Collection[str]) -> tuple[str, ...]:
    """Names from the nearest corpus folder at or above a root down to the root itself; empty if there is none.

    The path is tried as typed, then with its links resolved.
    """
    for parts in (Path(os.path.abspath(root)).parts, root.resolve().parts):  # noqa: PTH100 - `absolute` keeps ".."
        places = [place for place, name in enumerate(parts) if name.lower() in corpora]
        if places:
            return parts[places[-1] :]
    return ()


def lower_keys(names: Mapping[str, T], where: str) -> dict[str, T]:
    """The map with its names in lower case.

    Raises:
        ConfigError: two names differ only by case but have different meanings.
    """
    found: dict[str, T] = {}
    for name, value in names.items():
        if found.setdefault(name.lower(), value) != value:
            raise ConfigError(f"{where}.{name} has two meanings", "Keep one: case is ignored in folder names.")
    return found


def split_names(splits: Mapping[str, str | None]) -> dict[str, str]:
    """Split names, known and given; a given name of a split replaces its synonyms.

    Raises:
        ConfigError: a name's meaning is not a split, or two names differ only by case but have different meanings.
    """
    given = lower_keys(splits, "datamodule.splits")
    for name, meaning in given.items():
        if meaning is not None and meaning not in MEANINGS:
            raise ConfigError(f"datamodule.splits.{name}={meaning!r} is not a split", nearest(str(meaning), MEANINGS))
    synonyms = {SPLITS[name]: meaning for name, meaning in given.items() if name in SPLITS and meaning is not None}
    known = {name: synonyms.get(meaning, meaning) for name, meaning in SPLITS.items()} | dict(given)
    return {name: meaning for name, meaning in known.items() if meaning is not None}
