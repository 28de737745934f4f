"""AI-GenBench as released: a ``save_to_disk`` folder, or Parquet files with the same columns."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from contracts.errors import DataError, nearest
from contracts.names import as_text
from contracts.process.ranks import rank_zero_info
from datamodules.arrow.files import open_table
from datamodules.arrow.shards import ArrowStore, shards, split_folders
from datamodules.arrow.stream import ParquetStreamStore
from datamodules.folders.walk import below, unlisted
from datamodules.image_datamodule import ImageDataModule
from datamodules.tables.columns import as_labels, as_texts, class_names
from datamodules.tables.manifest import Manifest

IMAGE = "image"
NEEDED = (IMAGE, "label", "generator", "file_id")  # Required columns of the release
FURTHER = ("origin_dataset", "width", "height")
LABELS = {"real": 0, "fake": 1, "0": 0, "1": 1}

SPLITS = {"train": "train", "validation": "valid", "valid": "valid", "val": "valid", "test": "test"}
"""Split names of the data set → ours."""

SHARD = re.compile(r"(?P<split>[a-z]+)(?:-(?P<number>\d+)-of-(?P<count>\d+))?\.parquet")


class AiGenBenchDataModule(ImageDataModule):
    """The images of AI-GenBench: ids are its ``file_id``, the source its ``origin_dataset``.

    The release has the splits ``train`` and ``validation``; its leaderboard uses the latter. Where there is no
    ``test``, the images of ``validation`` therefore become test images, which training and checkpoint selection
    never see, and a log line says so.

    Args:
        path: the folder that ``save_to_disk`` wrote, or a folder of Parquet files named after their splits
            (``train-00000-of-00057.parquet``, or in folders ``train/``, ``validation/``).
    """

    def build_manifest(self) -> Manifest:
        """Read all required columns except the images; rows keep their order within each split.

        Raises:
            DataError: there is no data set, it is incomplete, a column is missing, a split is unknown, or labels and
                generators contradict each other.
        """
        files = self._files()
        if "test" not in files and "valid" in files:
            rank_zero_info(f"{self.path} has no split 'test': the images of 'validation' are the test images.")
            files = {"test" if split == "valid" else split: listed for split, listed in files.items()}
        columns: dict[str, list[object]] = {}
        for split in sorted(files, key=list(SPLITS.values()).index):
            for file in files[split]:
                for name, values in self._part(file, split).items():
                    columns.setdefault(name, []).extend(values)
        return Manifest.from_columns(columns)

    def build_store(self, manifest: Manifest) -> ArrowStore | ParquetStreamStore:
        """Read the image column, and files that it names below the data set's folder."""
        root = self.path if self.path.is_dir() else self.path.parent
        if self._is_arrow:
            return ArrowStore(manifest, IMAGE, root)
        return ParquetStreamStore(manifest, IMAGE, root)

    @property
    def _is_arrow(self) -> bool:
        return (self.path / "dataset_dict.json").is_file() or (self.path / "state.json").is_file()

    def _files(self) -> dict[str, list[Path]]:
        """Files of each split, by our split names."""
        if self._is_arrow:
            splits = {_split(name, folder): shards(folder) for name, folder in split_folders(self.path).items()}
            unlisted(self.path, [file for files in splits.values() for file in files], self.ignored)
            return splits
        files: dict[str, list[Path]] = {}
        for file in below(self.path, (".parquet",), self.ignored) if self.path.is_dir() else [self.path]:
            files.setdefault(_split(_split_name(file), file), []).append(file)
        if not files:
            raise DataError(
                f"datamodule.path={self.path} holds neither dataset_dict.json nor Parquet files",
                "Give the folder that save_to_disk wrote (ai_gen_bench_v1.0.0), or one of Parquet files.",
            )
        for listed in files.values():
            _check_count(listed)
        return files

    def _part(self, file: Path, split: str) -> dict[str, Sequence[object]]:
        opened = open_table(file)
        schema, count = opened.schema, opened.rows
        for name in NEEDED:
            if name not in schema.names:
                step = nearest(name, schema.names)
                raise DataError(f"{file} has no column {name!r}, which AI-GenBench requires", step)
        table = opened.read((*NEEDED[1:], *FURTHER))
        labels = as_labels(table["label"], _label_map(schema), class_names(schema, "label"), f"{file}: column 'label'")
        generators = as_texts(table["generator"], class_names(schema, "generator")).to_pylist()
        wrong = np.flatnonzero((labels == 1) != (np.array(generators, dtype=object) != ""))
        if len(wrong):
            row = int(wrong[0])
            raise DataError(
                f"{file}[{row}] has label {labels[row]} and generator {generators[row]!r}",
                "A generated image (1) needs a generator; a real image (0) must not have one.",
            )
        part: dict[str, Sequence[object]] = {
            "id": as_texts(table["file_id"]).to_pylist(),
            "label": labels.tolist(),
            "generator": generators,
            "split": [split] * count,
            "where": [as_text(file)] * count,
            "row": range(count),
        }
        if "origin_dataset" in table.column_names:
            part["source"] = as_texts(table["origin_dataset"]).to_pylist()
        for name in ("width", "height"):
            known = name in table.column_names
            part[name] = [value or 0 for value in table[name].to_pylist()] if known else [0] * count
        return part


def _label_map(schema: pa.Schema) -> dict[str, int] | None:
    return LABELS if class_names(schema, "label") else None


def _split(name: str, place: Path) -> str:
    if name not in SPLITS:
        raise DataError(f"{place} belongs to split {name!r}, which AI-GenBench does not have", nearest(name, SPLITS))
    return SPLITS[name]


def _split_name(file: Path) -> str:
    """The split named by a Parquet file's name, or by its folder's."""
    found = SHARD.fullmatch(file.name)
    if found and found["split"] in SPLITS:
        return found["split"]
    return file.parent.name


def _check_count(files: Sequence[Path]) -> None:
    """Refuse a split whose file names show that some files are missing."""
    for folder, counts in _counts(files).items():
        if missing := sorted(set(range(max(counts))) - counts[max(counts)]):
            raise DataError(
                f"{folder}: {len(missing)} of {max(counts)} Parquet files are missing, first number {missing[0]}",
                "Download the complete data set again.",
            )


def _counts(files: Sequence[Path]) -> dict[Path, dict[int, set[int]]]:
    """For each folder, the file numbers found, by the total that their names give."""
    found: dict[Path, dict[int, set[int]]] = {}
    for file in files:
        name = SHARD.fullmatch(file.name)
        if name and name["count"]:
            found.setdefault(file.parent, {}).setdefault(int(name["count"]), set()).add(int(name["number"]))
    return found
