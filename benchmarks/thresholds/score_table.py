"""Tables of scores: any CSV file with a label column, or a dump of predictions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.evaluation import evaluate
from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.predictions import Predictions, from_crops, read_predictions
from benchmarks.views import VIEW, by_view
from contracts.errors import DataError, nearest
from datamodules.folders.names import LABELS
from datamodules.tables.text_tables import read_table

REAL, GENERATED = (
    (f"{number}", f"{number}.0", *(name for name, label in LABELS.items() if label == number)) for number in (0, 1)
)
DECIMAL_COMMA = r"^\s*([-+]?\d+),(\d+(?:[eE][-+]?\d+)?)\s*$"
NOT_SCORES = ("path", "id", "where", "label", "generator", "source", "group", "generated", "error", "note", "row")
OWN = ("score", "logit")  # What a detector gives every image: P(generated), and its logit
COLUMNS = ["column", "subset", "auroc", "low", "high", "real", "generated"]


@dataclass(frozen=True)
class ScoreTable:
    """Scores of N images."""

    path: Path  # the file
    columns: dict[str, NDArray[np.float64]]  # name of each score to [N] float64, NaN where the image has none
    labels: NDArray[np.int64]  # [N] 0 real, 1 generated, -1 unknown
    generators: NDArray[np.str_]  # [N] "" where unknown
    groups: NDArray[np.str_]  # [N] the photograph, "" where unknown
    sources: NDArray[np.str_]  # [N] the set an image comes from, "" where unknown
    stage: str = ""  # "test", "validate" or "predict" where the file says what its images are, else ""
    probabilities: tuple[str, ...] = ()  # columns known to be P(generated), or its logit
    detector: Mapping[str, str] = field(default_factory=dict)
    """``weights_sha256`` and ``detector_hash`` of the detector that gave the scores, where the file names it."""

    def usable(self, column: str) -> NDArray[np.int64]:
        """Rows with a label and this score.

        Raises:
            DataError: there is no such column.
        """
        if column not in self.columns:
            raise DataError(f"{self.path} has no column {column!r}", nearest(column, self.columns))
        return np.flatnonzero((self.labels >= 0) & ~np.isnan(self.columns[column]))


def read_scores(path: Path, label: str = "label", generated_label: str | None = None) -> ScoreTable:
    """Reads a table (ours, ZED_Rep's, anybody's; any encoding and delimiter, or Parquet) or a dump ``.npz``.

    Args:
        path: the file.
        label: name of the label column of a table, in any case.
        generated_label: value of that column for generated images; None for 1, generated or fake. (ZED_Rep: 0.)

    Raises:
        DataError: the file is missing or unreadable, has no labels, or contains no numbers.
    """
    if path.suffix.lower() == ".npz":
        dump = read_predictions(path)
        found: dict[str, NDArray[Any]] = {"score": dump.fused_scores, "logit": dump.fused_logits, **dump.extra}
        parts = by_view(dump)
        if len(parts) > 1:  # a threshold is chosen on images seen through one view
            own = {k: v for k, v in dump.extra.items() if k != VIEW and not k.startswith(("score@", "logit@"))}
            found = {}
            for part in parts:
                scores, logits = part.predictions.fused_scores, part.predictions.fused_logits
                for name, column in (("score", scores), ("logit", logits)):
                    found[f"{name}@{part.view}"] = np.full(len(dump), np.nan)
                    found[f"{name}@{part.view}"][part.images] = column
            found |= own
        values = {name: v.astype(np.float64) for name, v in found.items() if v.dtype.kind in "fiu"}
        stage = str(dump.about.get("stage", ""))
        detector = {key: str(dump.about[key]) for key in ("weights_sha256", "detector_hash") if dump.about.get(key)}
        return ScoreTable(
            path, values, dump.fused_labels, dump.generators, dump.group, dump.source, stage, OWN, detector
        )
    if not path.is_file():
        raise DataError(f"{path}: no such table of scores", "Give a CSV, or a predictions_*.npz.")
    frame = _frame(path, label)
    label = next((name for name in frame if name.lower() == label.lower()), label)
    if label not in frame:
        raise DataError(f"{path} has no column {label!r} of labels", nearest(label, frame.columns))
    numbers = {n: pd.to_numeric(frame[n], errors="coerce").to_numpy(np.float64) for n in frame if n not in NOT_SCORES}
    columns = {n: v for n, v in numbers.items() if n != label and not np.isnan(v).all()}
    if not columns:
        raise DataError(f"{path} holds no column of numbers", f"Its columns are {', '.join(frame.columns)}.")
    none = np.full(len(frame), "", dtype=np.str_)
    return ScoreTable(
        path,
        columns,
        _labels(frame[label], generated_label, path),
        frame["generator"].to_numpy(np.str_) if "generator" in frame else none,
        frame["group"].to_numpy(np.str_) if "group" in frame else none,
        frame["source"].to_numpy(np.str_) if "source" in frame else none,
        probabilities=OWN if {*OWN, "generated"} <= set(frame.columns) else (),  # our own predict.csv
    )


def _frame(path: Path, label: str) -> pd.DataFrame:
    """The cells of a table as text, "" where one is empty."""
    if path.suffix.lower() == ".parquet":
        try:
            frame = pd.read_parquet(path, columns=_flat(path))
        except (OSError, ValueError) as error:
            raise DataError(f"{path} cannot be read as Parquet: {error}", "Write it again.") from error
        return frame.map(lambda cell: "" if pd.isna(cell) else str(cell))
    table = read_table(path, (label.lower(), *NOT_SCORES))
    frame = pd.DataFrame(table.rows, columns=table.header, dtype=str)
    if table.delimiter != ",":  # as spreadsheets write numbers where the comma is the decimal point
        frame = frame.replace(DECIMAL_COMMA, r"\1.\2", regex=True)
    return frame


def _flat(path: Path) -> list[str]:
    """Columns of a Parquet file without lists and structs, such as images or embeddings, which are no scores."""
    import pyarrow.parquet as pq  # slow
    from pyarrow.types import is_nested

    return [field.name for field in pq.read_schema(path) if not is_nested(field.type)]


def _labels(column: Any, generated_label: str | None, path: Path) -> NDArray[np.int64]:
    text = column.str.strip().str.lower().to_numpy(np.str_)
    generated = GENERATED if generated_label is None else (generated_label.lower(),)
    real = REAL if generated_label is None else tuple({*REAL, *GENERATED} - {generated_label.lower()})
    labels = np.where(np.isin(text, generated), 1, np.where(np.isin(text, real), 0, -1)).astype(np.int64)
    strange = set(text[labels < 0].tolist()) - {"", "-1", "-1.0", "unknown", "err"}
    if strange:
        raise DataError(
            f"{path}: label {min(strange)!r} is unknown",
            "Give the label of generated images: threshold.generated_label=…",
        )
    return labels


def aurocs(table: ScoreTable, bootstrap: Bootstrap | None = None) -> list[dict[str, Any]]:
    """AUROC of every score, higher taken as generated: on all images, and on each generator's against all real ones.

    Intervals come from a bootstrap of photographs where the table knows them, else of images.
    """
    rows: list[dict[str, Any]] = []
    for column, values in table.columns.items():
        kept = table.usable(column)
        labels = table.labels[kept]
        if set(labels.tolist()) != {0, 1}:
            continue
        dump = _as_predictions(values[kept], labels, table.generators[kept], table.groups[kept])
        results = (bootstrap or Bootstrap(resamples=400))(dump, evaluate(dump, metrics=["auroc"]), ["auroc"])
        for r in results:
            if r.kind in ("pooled", "generator"):
                cells = [column, r.generator or "all", r.value, r.low, r.high, r.real, r.generated]
                rows.append(dict(zip(COLUMNS, cells, strict=True)))
    return rows


def _as_predictions(
    values: NDArray[np.float64], labels: NDArray[np.int64], generators: NDArray[np.str_], groups: NDArray[np.str_]
) -> Predictions:
    """The scores' ranks as logits: no AUROC changes, and no probability is rounded to 1."""
    _, rank = np.unique(values, return_inverse=True)
    logits = (rank - rank.mean()) / max(1, rank.max()) * 8
    names = ["", *sorted(set(generators[labels == 1].tolist()) - {""})]
    index = np.array([names.index(g) if one else 0 for g, one in zip(generators, labels == 1, strict=True)])
    count = np.arange(len(values))
    ids = [str(k) for k in count]
    return from_crops(logits, count, labels, index, ids, generator_id_to_name=names, group=groups)
