"""The plain protocol, whose test images are also scored after re-encoding, resizing and other deliveries."""

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.plain import Plain
from benchmarks.predictions import Predictions, read_predictions
from benchmarks.robustness.results import CLEAN, measured
from benchmarks.robustness.results import Robustness as Results
from benchmarks.robustness.show import figure, table, tidy
from contracts.files import write_atomically
from contracts.view import SampleFunction
from contracts.words import counted
from datamodules.deliveries.cache import delivered
from datamodules.deliveries.deliveries import chosen


class Robustness(Plain):
    """The plain protocol with a dump for each delivery.

    Every test image is delivered with random numbers of its own id, so results depend neither on the other images nor
    on the number of workers. The threshold is the checkpoint's, chosen on undelivered validation images.

    Args:
        seed: see `Plain`.
        validation_share: see `Plain`.
        deliveries: names of deliveries or presets, see `datamodules.deliveries.deliveries`.
        own: further deliveries: functions ``(image [3, H, W] uint8, rng) -> image`` by name.
        cache: folder for delivered images, shared by all detectors and runs; None keeps none.

    Raises:
        ConfigError: a delivery is unknown.
    """

    def __init__(
        self,
        seed: int,
        validation_share: float = 0.1,
        deliveries: Sequence[str] = ("grid",),
        own: Mapping[str, SampleFunction] | None = None,
        cache: str | Path | None = None,
    ) -> None:
        super().__init__(seed, validation_share)
        self.deliveries = delivered(chosen(deliveries, own), None if cache is None else Path(cache).expanduser())

    def summarise(self, experiment: Path) -> list[Any]:
        """Writes ``robustness.{csv,md,tex,png}`` beside each stage's dumps; returns the tables to show."""
        shown = []
        for clean in sorted(experiment.glob("window_*/predictions_test_all.npz")):
            results = self._results(clean)
            content = table(results)
            for suffix, text in (("csv", tidy(results)), ("md", content.markdown()), ("tex", content.latex())):
                write_atomically(clean.with_name(f"robustness.{suffix}"), text.encode())
            write_atomically(clean.with_name("robustness.png"), figure(results))
            shown.append(content.rich())
        return shown

    def _results(self, clean: Path) -> Results:
        dumps: dict[str, Predictions] = {CLEAN: read_predictions(clean)}
        missing = {}
        for name in self.deliveries:
            dump = delivery_dump(clean.parent, name)
            if dump.is_file():
                dumps[name] = read_predictions(dump)
            else:
                missing[name] = _reason(delivery_failures(clean.parent, name))
        return replace(measured(dumps), missing=missing)


def _reason(failures: Path) -> str:
    """Why no image could be scored after a delivery, from the list of failures."""
    with failures.open(encoding="utf-8", newline="") as file:
        reasons = Counter(line["reason"] for line in csv.DictReader(file))
    (first, count), *others = reasons.most_common()
    return f"{first} ({counted(count, 'image')})" + (f" and {counted(len(others), 'other reason')}" if others else "")


def delivery_dump(folder: Path, name: str) -> Path:
    """File of a delivery's dump in a stage's folder."""
    return folder / "deliveries" / f"predictions_{name}_all.npz"


def delivery_failures(folder: Path, name: str) -> Path:
    """File that lists the images that could not be scored after a delivery."""
    return folder / "deliveries" / f"failures_{name}.csv"
