"""``benchmark=forensynths_tables``: train as the plain protocol does, test on the sets of the published tables."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.forensynths_tables.assign import Assigned, assign
from benchmarks.forensynths_tables.published import LOOSE, PublishedTable, load, names
from benchmarks.forensynths_tables.render import authors_form, latex, markdown, terminal, tidy
from benchmarks.forensynths_tables.results import measured
from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.plain import Plain
from benchmarks.predictions import Predictions, read_predictions
from contracts.errors import ConfigError, DataError, check_known, nearest
from contracts.stage import Rows
from contracts.view import View
from datamodules.tables.manifest import Manifest

SIZE_POLICIES = {
    "detector": None,
    "resize256": View(resize=256),
    "native": View(),
    "crop224": View(crop=224, fill="tile"),
}
"""How images are brought to a size: the detector's own view, the whole image at 256 x 256, the whole at native size,
or a central crop of 224 x 224, for which smaller images are repeated."""


class ForenSynthsTables(Plain):
    """The plain protocol's stage, tested on every set of the tables, each by the table's own size policy.

    Test images that no table names are tested too, and shown in tables of other sets without published figures; with
    ``tables`` given, images in none of their folders are left out with a warning.

    Args:
        seed: see `Plain`.
        validation_share: see `Plain`.
        tables: names of the tables; None for all tables of which the data holds a set.
        size_policy: "table" for each table's own, or one of `SIZE_POLICIES` for all.
        method: published method that differences are taken against.

    Raises:
        ConfigError: a name is unknown.
    """

    def __init__(
        self,
        seed: int,
        validation_share: float = 0.1,
        tables: Sequence[str] | None = None,
        size_policy: str = "table",
        method: str = "NPR",
    ) -> None:
        super().__init__(seed, validation_share)
        check_known("benchmark.size_policy", size_policy, ("table", *SIZE_POLICIES))
        self.chosen = tables is not None
        self.tables: list[PublishedTable] = [load(name) for name in (names() if tables is None else tables)]
        known = {other for table in self.tables for other in table.published} | {"NPR"}
        if method not in known:
            raise ConfigError(f"benchmark.method={method!r} is in none of the tables", nearest(method, known))
        self.size_policy = size_policy
        self.method = method

    def test_rows(self, manifest: Manifest) -> Rows:
        """Test images of all sets.

        Raises:
            DataError: no test image belongs to a set of any of the tables.
        """
        rows = super().test_rows(manifest)
        chosen = np.unique(np.concatenate([one.images for one in self._assigned(manifest, rows)]))
        left = np.setdiff1d(np.arange(len(rows)), chosen)
        if len(left):
            names = sorted(set(manifest.column("source")[rows[left]].tolist()))
            shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
            warnings.warn(
                f"{len(left)} test images belong to no set of benchmark.tables or have no label, and are not tested: "
                f"{shown}",
                stacklevel=2,
            )
        return np.asarray(rows[chosen])

    def passes(self, manifest: Manifest, rows: Rows, view: View) -> list[tuple[View, Rows]]:
        """The test rows by size policy; a row of two tables (shared real images) is seen through the view of each."""
        found: dict[int, tuple[View, list[Rows]]] = {}
        views: list[View] = []
        for one in self._assigned(manifest, rows):
            policy = one.table.size_policy if self.size_policy == "table" else self.size_policy
            seen = SIZE_POLICIES[policy] or view
            if seen not in views:
                views.append(seen)
            found.setdefault(views.index(seen), (seen, []))[1].append(rows[one.images])
        return [(seen, np.unique(np.concatenate(parts))) for seen, parts in found.values()]

    def annotated(self, predictions: Predictions, manifest: Manifest, index: int) -> Predictions:  # noqa: ARG002
        """The predictions, marked as those of the tables' sets."""
        return predictions.with_provenance(benchmark={"name": "forensynths_tables"})

    def summarise(self, experiment: Path) -> list[Any]:
        """Writes ``tables/<table>.{csv,md,tex}`` and ``results/<model>_<table>.txt``; returns the tables to show."""
        predictions = read_predictions(experiment / "window_0" / "predictions_test_all.npz")
        shown = []
        for folder in ("tables", "results"):
            (experiment / folder).mkdir(exist_ok=True)
        columns = predictions.source, predictions.generators, predictions.fused_labels
        for one in assign(*columns, self.tables, others=True):
            results, name = measured(predictions, one, Bootstrap()), one.table.name
            for suffix, text in (
                ("csv", tidy(results, self.method)),
                ("md", markdown(results, self.method)),
                ("tex", latex(results, self.method)),
            ):
                (experiment / "tables" / f"{name}.{suffix}").write_text(text, encoding="utf-8")
            (experiment / "results" / f"{experiment.name}_{name}.txt").write_text(
                authors_form(results), encoding="utf-8"
            )
            shown.append(terminal(results, self.method))
        return shown

    def _assigned(self, manifest: Manifest, rows: Rows) -> list[Assigned]:
        """The tables' images as positions in ``rows``."""
        source, generator = manifest.column("source")[rows], manifest.column("generator")[rows]
        found = assign(source, generator, manifest.labels[rows], self.tables, others=True)
        if self.chosen:
            found = [one for one in found if one.table.name != LOOSE.name]
        if not found:
            there = sorted({s.split("/")[0] for s in source.tolist()} - {""})
            raise DataError(
                f"none of the test images' sets ({', '.join(there[:12])}) is in benchmark.tables "
                f"({', '.join(table.name for table in self.tables)})",
                "Name the folders as the tables do, or test with benchmark=plain.",
            )
        return found
