"""Several dumps side by side, joined on the images' ids."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.predictions import Predictions, Strings, read_predictions
from benchmarks.views import by_view
from contracts.errors import DataError
from contracts.words import counted


@dataclass(frozen=True, eq=False)
class Joined:
    """D dumps over the K images that any of them scored; the scores of each view count as a dump of their own."""

    names: list[str]  # D short names
    paths: list[Path]  # D files
    dumps: list[Predictions]  # D predictions
    ids: Strings  # [K] ids, in the order of the first dump, then of the others
    place: NDArray[np.int64]  # [D, K] position of each image in each dump, -1 where it was not scored
    whole: list[Predictions]  # the dumps as they were read, all views of each together

    @property
    def owner(self) -> NDArray[np.int64]:
        """[K] the first dump that holds each image."""
        return np.asarray((self.place >= 0).argmax(axis=0))

    def column(self, name: str) -> NDArray[Any]:
        """[K] a column of `Predictions` (or ``generators``), from the first dump that holds the image."""
        owner = self.owner
        parts = [getattr(dump, name)[self.place[d, owner == d]] for d, dump in enumerate(self.dumps)]
        values = np.empty(self.ids.size, dtype=np.result_type(*parts))
        for d, part in enumerate(parts):
            values[owner == d] = part
        return values

    def measured(self, dump: int, name: str) -> NDArray[np.float32]:
        """[K] a float column of one dump, NaN where it did not score the image."""
        column = getattr(self.dumps[dump], name)
        values = np.full(self.ids.size, np.nan, dtype=np.float32)
        held = self.place[dump] >= 0
        values[held] = column[self.place[dump, held]]
        return values

    @property
    def thresholds(self) -> list[float]:
        """The threshold of each dump: the one chosen on validation, else 0.5."""
        return [float(t) if (t := dump.about.get("threshold")) is not None else 0.5 for dump in self.dumps]


def join(inputs: Sequence[Path]) -> Joined:
    """Reads dumps and joins them.

    Raises:
        DataError: there is none, one cannot be read, or two disagree on an image's label.
    """
    if not inputs:
        raise DataError("There is nothing to review", "Give review.inputs=[predictions_test_all.npz].")
    whole = [read_predictions(path) for path in inputs]
    parts = [
        (f"{name} · {part.view}" if part.view else name, Path(path), part.predictions)
        for name, path, dump in zip(_names(whole, inputs), inputs, whole, strict=True)
        for part in by_view(dump)
    ]
    names, paths, dumps = [p[0] for p in parts], [p[1] for p in parts], [p[2] for p in parts]
    ids: Strings = np.unique(np.concatenate([dump.fused_ids for dump in dumps]))
    place = np.full((len(dumps), ids.size), -1, dtype=np.int64)
    for d, dump in enumerate(dumps):
        place[d, np.searchsorted(ids, dump.fused_ids)] = np.arange(len(dump))
    owner = (place >= 0).argmax(axis=0)
    order = np.lexsort((place[owner, np.arange(ids.size)], owner))
    joined = Joined(names, paths, dumps, ids[order], place[:, order], whole)
    labels = joined.column("fused_labels")
    for d, dump in enumerate(dumps):
        held = joined.place[d] >= 0
        wrong = np.flatnonzero(held)[dump.fused_labels[joined.place[d, held]] != labels[held]]
        if wrong.size:
            raise DataError(
                f"{paths[d]} and an earlier dump disagree on the label of {counted(wrong.size, 'image')}, "
                f"first {str(joined.ids[wrong[0]])!r}",
                "Compare dumps of one data set.",
            )
    return joined


def _names(dumps: Sequence[Predictions], paths: Sequence[Path]) -> list[str]:
    """Experiment and stage where the provenance names them, else the file's name; numbered where equal."""
    names = []
    for dump, path in zip(dumps, paths, strict=True):
        about = dump.about
        parts = [str(about[key]) for key in ("experiment", "stage") if about.get(key)]
        names.append(" · ".join(parts) or Path(path).stem)
    folders = [Path(path).resolve().parent.name for path in paths]
    doubled = {name for name in names if names.count(name) > 1}
    names = [f"{name} ({folder})" if name in doubled else name for name, folder in zip(names, folders, strict=True)]
    return [name if names.count(name) == 1 else f"{name} #{i + 1}" for i, name in enumerate(names)]
