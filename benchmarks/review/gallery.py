"""Which images a page shows: the confidently wrong first, limited in number and in bytes."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice, zip_longest

import numpy as np
from numpy.typing import NDArray

from benchmarks.review.join import Joined
from benchmarks.review.original import Facts, described
from benchmarks.review.packing import distinct
from benchmarks.review.pixels import PageImage, PixelReader, page_image
from contracts.errors import DataError

ImageSource = Callable[[str], "bytes | NDArray[np.uint8]"]
"""Encoded bytes or pixels [H, W, 3] of an image by its id; raises `DataError` where it has none."""


@dataclass
class Gallery:
    """Images of a page."""

    shown: dict[int, PageImage] = field(default_factory=dict)  # position among the joined images to its pixels
    facts: dict[int, Facts] = field(default_factory=dict)  # position to what the original bytes say, see `described`
    problems: dict[str, int] = field(default_factory=dict)  # message to the number of images it kept from being shown


def collect(joined: Joined, images: ImageSource | None, number: int, size: int) -> Gallery:
    """Reads the images most worth seeing.

    Args:
        joined: the dumps.
        images: where pixels come from; None reads them from where the dumps say.
        number: largest number of images.
        size: most bytes of page they may take together.
    """
    readers = [PixelReader(dump) for dump in joined.dumps]
    owner, gallery, used = joined.owner, Gallery(), 0
    for position in worth_seeing(joined, 3 * number + 1):
        if len(gallery.shown) >= number or used >= size or sum(gallery.problems.values()) >= 2 * number:
            break
        dump = int(owner[position])
        try:
            if images is not None:
                content = images(str(joined.ids[position]))
            else:
                content = readers[dump].read(int(joined.place[dump, position]))
            shown = page_image(content)
            gallery.facts[position] = described(content)
        except DataError as error:
            gallery.problems[error.what] = gallery.problems.get(error.what, 0) + 1
            continue
        gallery.shown[position] = shown
        used += len(shown.src)
    return gallery


def worth_seeing(joined: Joined, most: int | None = None) -> list[int]:
    """Joined positions, those most worth seeing first: all, or at least the first ``most``.

    Three of five are confidently wrong, real and generated in turn; the others are in turn flips between dumps, the
    hardest of every generator, the undecided, and the surest of every generator.
    """
    labels, generator = joined.column("fused_labels"), distinct(joined.column("generators"))[1]
    wrong: list[NDArray[np.int64]] = []
    flips: list[NDArray[np.int64]] = []
    hard: list[NDArray[np.int64]] = []
    undecided: list[NDArray[np.int64]] = []
    sure: list[NDArray[np.int64]] = []
    margins: list[NDArray[np.float64]] = []
    for d, threshold in enumerate(joined.thresholds):
        logits = np.nan_to_num(joined.measured(d, "fused_logits").astype(np.float64), posinf=1e3, neginf=-1e3)
        called = joined.measured(d, "fused_scores") > threshold
        held = joined.place[d] >= 0
        margin = logits - _logit(threshold)
        margins.append(np.where(held, margin, 0.0))
        for kind in (1, 0):
            chosen = np.flatnonzero(held & (labels == kind) & (called != (kind == 1)))
            wrong.append(chosen[np.argsort(-np.abs(margin[chosen]), kind="stable")][:most])
        truth = np.where(labels == 1, margin, -margin)
        for code in np.unique(generator[held]).tolist():
            chosen = np.flatnonzero(held & (generator == code))
            order = chosen[np.argsort(truth[chosen], kind="stable")]
            hard.append(order[:most])
            sure.append(order[::-1][:most])
        chosen = np.flatnonzero(held)
        undecided.append(chosen[np.argsort(np.abs(margin[chosen]), kind="stable")][:most])
    for other in margins[1:]:
        chosen = np.flatnonzero(margins[0] * other < 0)
        flips.append(chosen[np.argsort(-np.abs(margins[0] - other)[chosen], kind="stable")][:most])
    rest = _turns([list(_turns(group)) for group in (flips, hard, undecided, sure) if group])
    others = range(joined.ids.size) if most is None else ()
    return list(dict.fromkeys([*_errors_first(_turns(wrong), rest), *others]))


def _errors_first(errors: Iterable[int], rest: Iterable[int]) -> list[int]:
    """Three of the first for two of the second, then whatever is left."""
    first, second = iter(errors), iter(rest)
    result: list[int] = []
    while turn := [*islice(first, 3), *islice(second, 2)]:
        result += turn
    return result


def _turns(groups: Iterable[Iterable[int]]) -> Iterator[int]:
    """One of each group in turn."""
    for row in zip_longest(*groups):
        yield from (int(value) for value in row if value is not None)


def _logit(probability: float) -> float:
    p = min(max(probability, 1e-12), 1 - 1e-12)
    return float(np.log(p) - np.log1p(-p))
