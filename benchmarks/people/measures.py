"""How well a person tells generated images from real ones, and whether a detector does it better."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, fisher_exact

from benchmarks.comparison.compare import McNemar, paired_test
from benchmarks.metrics import counts
from benchmarks.people.answers import Answers
from benchmarks.predictions import Predictions
from contracts.errors import DataError

LEVEL = 0.95


@dataclass(frozen=True)
class Share:
    """A share of images with its interval."""

    right: int  # images counted
    of: int  # images in all
    low: float  # lower end of the 95 % score interval (Wilson, JASA 1927), NaN without images
    high: float  # upper end

    @property
    def value(self) -> float:
        """The share, NaN without images."""
        return self.right / self.of if self.of else nan


@dataclass(frozen=True)
class Measures:
    """Measures of one person's answers."""

    confusion: tuple[int, int, int, int]
    """(true positives, false negatives, false positives, true negatives); generated is positive."""
    shares: dict[str, Share]
    """Accuracy; accuracy on generated images, which is recall; accuracy on real ones; precision."""
    halves: tuple[Share, Share]
    """Accuracy in the first and in the second half of the answers; with an odd number the second is longer."""
    improved: float  # two-sided p of Fisher's exact test that both halves are equally accurate, NaN below two answers
    seconds: float  # median seconds per answer, NaN without answers


@dataclass(frozen=True)
class Against:
    """A person and a detector on exactly the same images."""

    name: str  # of the detector's dump
    threshold: float  # above it the detector calls an image generated
    images: int  # number that both judged
    person: Share  # accuracy of the person on them
    machine: Share  # accuracy of the detector on them
    test: McNemar  # McNemar's exact test; ``gained`` are images that only the person judges correctly
    both_missed: tuple[str, ...]  # ids of images that both judge wrongly, in the order in which they were shown
    person_missed: tuple[str, ...]  # ids that only the person judges wrongly
    machine_missed: tuple[str, ...]  # ids that only the detector judges wrongly


def share(right: int, of: int) -> Share:
    """A share with Wilson's interval."""
    if not of:
        return Share(0, 0, nan, nan)
    interval = binomtest(right, of).proportion_ci(LEVEL, "wilson")
    return Share(right, of, float(interval.low), float(interval.high))


def measure(answers: Answers) -> Measures:
    """Measures of one person."""
    tp, fn, fp, tn = counts(answers.called.astype(np.float64), answers.labels, 0.5)
    right, middle = answers.right, len(answers) // 2
    halves = share(int(right[:middle].sum()), middle), share(int(right[middle:].sum()), len(answers) - middle)
    table = [[half.right, half.of - half.right] for half in halves]
    return Measures(
        (tp, fn, fp, tn),
        {
            "accuracy": share(tp + tn, len(answers)),
            "accuracy on generated (recall)": share(tp, tp + fn),
            "accuracy on real": share(tn, tn + fp),
            "precision": share(tp, tp + fp),
        },
        halves,
        float(fisher_exact(table).pvalue) if middle else nan,
        float(np.median(answers.seconds)) if len(answers) else nan,
    )


def running(right: NDArray[np.bool_]) -> list[Share]:
    """The accuracy after every answer."""
    return [share(int(count), place) for place, count in enumerate(np.cumsum(right), 1)]


def against(answers: Answers, dump: Predictions, name: str) -> Against | None:
    """A person and a detector on the images that both judged; None if there are none.

    The detector calls at the threshold chosen on validation, or at 0.5 if its dump has none.

    Raises:
        DataError: they disagree on an image's label.
    """
    order = np.argsort(dump.fused_ids)
    ids = np.array([image.id for image in answers.shown], dtype=np.str_)
    place = np.searchsorted(dump.fused_ids[order], ids) if len(dump) else np.zeros(len(ids), np.int64)
    found = order[np.minimum(place, max(len(dump) - 1, 0))] if len(dump) else place
    common = np.flatnonzero(dump.fused_ids[found] == ids) if len(dump) else np.zeros(0, np.int64)
    if not common.size:
        return None
    found, labels = found[common], answers.labels[common]
    wrong = np.flatnonzero(dump.fused_labels[found] != labels)
    if wrong.size:
        raise DataError(
            f"{name} and {answers.sitting.person}'s answers disagree on the label of {str(ids[common][wrong[0]])!r}",
            "Compare answers and dumps of one data set.",
        )
    chosen = dump.about.get("threshold")
    threshold = 0.5 if chosen is None else float(chosen)
    machine = (dump.fused_scores[found].astype(np.float64) > threshold) == (labels == 1)
    person = answers.right[common]

    def named(mask: NDArray[np.bool_]) -> tuple[str, ...]:
        return tuple(ids[common][mask].tolist())

    return Against(
        name, threshold, int(common.size), share(int(person.sum()), common.size),
        share(int(machine.sum()), common.size), paired_test(machine, person), named(~person & ~machine),
        named(~person & machine), named(person & ~machine),
    )  # fmt: skip


def names_of(people: Sequence[Answers]) -> list[str]:
    """Names of several people, all numbered if two are equal."""
    given = [answers.sitting.person for answers in people]
    return given if len(set(given)) == len(given) else [f"{name} #{k}" for k, name in enumerate(given, 1)]
