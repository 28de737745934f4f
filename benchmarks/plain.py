"""The plain protocol: train on one split, validate on the next, test on the last."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from benchmarks.fusion import Fusion, as_fusion
from benchmarks.predictions import Predictions
from contracts.errors import ConfigError, DataError
from contracts.keys import random_key
from contracts.stage import Rows, Stage
from contracts.view import Chain, SampleFunction, View
from contracts.words import counted
from datamodules.tables.manifest import Manifest


class Plain:
    """One stage: the splits ``train``, ``valid`` and ``test`` of the manifest.

    If a data set marks no validation images, some are sampled from the training images: whole groups (photographs), by
    a key of the seed and the group. The sample does not change when other images are added or removed.

    Args:
        seed: random seed of the sampled validation images.
        validation_share: share of the training groups sampled if the data set has no ``valid`` split.
        classes: labels that both splits must hold, of 0 (real) and 1 (generated).
        fusion: how the scores of several crops become one; a name of `benchmarks.fusion`, or such a function.
        features: folder in which ``task=fit`` and ``task=test`` keep the features of a frozen backbone, or None.
    """

    degrade: SampleFunction | Chain | None = None
    deliveries: Mapping[str, SampleFunction] = MappingProxyType({})
    """Further ways in which ``task=test`` sees each test image, by name; each has a dump of its own."""
    features: Path | None
    copies: int = 1  # Fixed variants of each training image per epoch, see `Stage.copies`
    dumps: Mapping[str, tuple[str, ...]] = MappingProxyType({"validate": ("validate",), "test": ("test",)})
    """For each task, the names in ``predictions_<name>_all.npz`` of its dump in a stage's folder."""
    global_batch: int | None = None
    """Number of images per optimiser step over all devices, if the protocol sets it; ``task=fit`` accumulates to it."""

    def __init__(
        self,
        seed: int,
        validation_share: float = 0.1,
        classes: Sequence[int] = (0, 1),
        fusion: str | Fusion = "mean_probability",
        features: str | Path | None = None,
    ) -> None:
        if not 0 < validation_share < 1:
            raise ConfigError(f"benchmark.validation_share={validation_share}", "Give a share between 0 and 1.")
        self.seed = seed
        if not set(classes) <= {0, 1}:
            raise ConfigError(f"benchmark.classes={list(classes)}", "Give labels 0 (real), 1 (generated), or both.")
        self.validation_share = validation_share
        self.classes = set(classes)
        as_fusion(fusion)
        self.features = Path(features).expanduser() if features else None
        self.fusion: str | Fusion = fusion

    def stages(self, manifest: Manifest) -> list[Stage]:
        """The only stage; test rows are never used.

        Raises:
            DataError: there are no training rows, or a required class is missing.
        """
        train = manifest.rows("train")
        if len(train) == 0:
            raise DataError(
                "the data set has no image in split 'train'",
                "Divide all images into folds: datamodule.split=folds (trees, roots, tables); or mark those for "
                "training: in folders named train, val and test, or in a column (datamodule.columns.split=NAME).",
            )
        validate = manifest.rows("valid")
        if len(validate) == 0:
            sampled = self._sampled(manifest, train)
            both = self.classes <= set(manifest.labels[train].tolist())
            train, validate = train[~sampled], train[sampled]
            if both and not all(self.classes <= set(manifest.labels[rows].tolist()) for rows in (train, validate)):
                raise DataError(
                    f"of {len(train)} training images and {len(validate)} sampled for validation, one part lacks a "
                    f"label of {sorted(self.classes)}: groups are few or large",
                    f"Set benchmark.validation_share ({self.validation_share}) closer to 0.5, choose another "
                    "benchmark.seed, or provide a validation split.",
                )
        for name, rows in (("train", train), ("valid", validate)):
            labels = set(manifest.labels[rows].tolist())
            if not self.classes <= labels <= {0, 1}:
                wanted = " and ".join(map(str, sorted(self.classes)))
                raise DataError(
                    f"split '{name}': labels {sorted(labels)} in {counted(len(rows), 'image')}, needed: {wanted}",
                    "Check the label column and its name map (datamodule.columns, datamodule.labels); a detector "
                    "trained on real images only needs no others: benchmark.classes=[0].",
                )
        return [Stage(0, "all", train, validate)]

    def test_rows(self, manifest: Manifest) -> Rows:
        """The rows of split ``test``.

        Raises:
            DataError: there are none.
        """
        rows = manifest.rows("test")
        if len(rows) == 0:
            raise DataError("the data set has no image in split 'test'", "Give a data set that has one.")
        return rows

    def passes(self, manifest: Manifest, rows: Rows, view: View) -> list[tuple[View, Rows]]:  # noqa: ARG002
        """The views of the test rows in ``task=test``: here only the detector's own."""
        return [(view, rows)]

    def stage_test_rows(self, manifest: Manifest, index: int) -> Rows:  # noqa: ARG002 - the protocol's signature
        """The rows to score with the weights of one stage: here all test rows for each."""
        return self.test_rows(manifest)

    def annotated(self, predictions: Predictions, manifest: Manifest, index: int) -> Predictions:  # noqa: ARG002
        """The test predictions of one stage with the protocol's additions: none here."""
        return predictions

    def summarise(self, experiment: Path) -> list[Any]:  # noqa: ARG002 - the protocol's signature
        """Tables that ``task=test`` shows after those of the stages: none, there is only one stage."""
        return []

    def _sampled(self, manifest: Manifest, train: Rows) -> np.ndarray:
        """Mask over the training rows: those sampled for validation."""
        units = [g or i for g, i in zip(manifest.column("group")[train], manifest.column("id")[train], strict=True)]
        limit = int(self.validation_share * 2**63)
        return np.array([random_key(self.seed, "validation", str(unit)) < limit for unit in units], dtype=bool)
