"""Training on the images of some generators only, as an inverse decoder is trained."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from benchmarks.plain import Plain
from contracts.errors import DataError, nearest
from contracts.stage import Rows, Stage
from contracts.words import counted
from datamodules.tables.manifest import Manifest


class OwnImages(Plain):
    """The plain protocol on generated images of some generators; the others are not used at all.

    Args:
        seed: as `Plain`.
        generators: names of generators; all by default.
        validation_share: as `Plain`.
    """

    def __init__(self, seed: int, generators: Sequence[str] | None = None, validation_share: float = 0.1) -> None:
        super().__init__(seed, validation_share, classes=())
        self.generators = None if generators is None else tuple(generators)

    def stages(self, manifest: Manifest) -> list[Stage]:
        """The one stage.

        Raises:
            DataError: a generator has no image, or a split has no image of any of them.
        """
        for name in self.generators or ():
            if name not in manifest.generator_names:
                raise DataError(
                    f"benchmark.generators: the data set has no image of {name!r}",
                    nearest(name, manifest.generator_names[1:]),
                )
        stages = []
        for stage in super().stages(manifest):
            train, validate = self._own(manifest, stage.train), self._own(manifest, stage.validate)
            if not len(train) or not len(validate):
                raise DataError(
                    f"{counted(len(train), 'image')} to train on, {len(validate)} to validate on",
                    "Give images of the generators in both splits.",
                )
            stages.append(replace(stage, train=train, validate=validate))
        return stages

    def _own(self, manifest: Manifest, rows: Rows) -> Rows:
        kept = manifest.labels[rows] == 1
        if self.generators is not None:
            kept &= np.isin(manifest.column("generator")[rows].astype(str), self.generators)
        return np.asarray(rows[kept])
