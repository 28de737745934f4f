"""Which images a person is shown, and in which order."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from contracts.errors import DataError
from contracts.keys import generator, random_key
from datamodules.tables.manifest import Manifest
from datamodules.tables.turns import in_turns


def candidates(manifest: Manifest, scored: Sequence[NDArray[np.str_]] = ()) -> NDArray[np.int64]:
    """Rows of the images with a label that every given detector has scored.

    Args:
        manifest: the data set.
        scored: ids of the images in each detector's dump.

    Raises:
        DataError: no such image is real, or none is generated.
    """
    kept = manifest.labels >= 0
    for ids in scored:
        kept &= np.isin(manifest.column("id").astype(str), ids)
    for label, name in ((0, "real"), (1, "generated")):
        if not (kept & (manifest.labels == label)).any():
            among = " that the dumps of guess.against have scored" if scored else ""
            raise DataError(
                f"the data set has no {name} image{among}",
                "Give dumps of this data set." if scored else "Give a data set with labels and both classes.",
            )
    return np.flatnonzero(kept)


def choose(
    manifest: Manifest, rows: NDArray[np.int64], count: int, seed: int, readable: Callable[[int], bool]
) -> list[int]:
    """Rows of the images to show, in an order that reveals nothing about the labels.

    Every image is real or generated with the same probability, independently of those before it, so that nobody can
    infer the last answers by counting. Within the generated images the generators take turns. The choice depends on
    the seed, the ids and the generators alone.

    Args:
        manifest: the data set.
        rows: the candidates, see `candidates`.
        count: number of images to show.
        seed: random seed of the choice.
        readable: whether a row's image can be shown; the next one of its class takes the place of one that cannot.

    Returns:
        [count] rows; fewer if no more can be shown.
    """
    labels = generator(random_key("guess", seed)).integers(0, 2, count).tolist()
    if count > 1 and len(set(labels)) == 1:  # accuracy on a class needs an image of it
        labels[int(generator(random_key("guess", seed, "other")).integers(count))] ^= 1
    queues = {kind: iter(in_turns(manifest, rows[manifest.labels[rows] == kind], "guess", seed)) for kind in (0, 1)}
    found: list[int] = []
    for label in labels:
        for kind in (label, 1 - label):
            if (row := next((row for row in queues[kind] if readable(row)), None)) is not None:
                found.append(row)
                break
    return found
