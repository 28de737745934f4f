"""Near copies of one set of images in another, such as of test images in a training set."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from contracts.errors import DataError
from datamodules.auditing.metadata import describe
from datamodules.auditing.perceptual import nearest_copies
from datamodules.loading.decode import MAX_PIXELS
from datamodules.loading.stores import ImageStore
from datamodules.tables.manifest import Manifest

COLUMNS = {"id": pa.string(), "label": pa.int8(), "generator": pa.string(), "split": pa.string(),
           "digest": pa.string(), "dhash": pa.uint64()}  # fmt: skip


@dataclass(frozen=True)
class Hashed:
    """Hashes of a set of images."""

    name: str  # of the set, for tables
    table: pa.Table  # columns of `COLUMNS`: SHA-256 of the bytes and difference hash, with the manifest's description
    unreadable: int = 0  # number of images that could not be read

    def __len__(self) -> int:
        return len(self.table)

    def column(self, name: str) -> NDArray[np.generic]:
        """A column as an array."""
        return np.asarray(self.table[name].to_numpy())

    def of(self, *splits: str) -> "Hashed":
        """The images of these splits, or all if there are none."""
        chosen = np.isin(self.column("split").astype(str), splits)
        return Hashed(self.name, self.table.filter(pa.array(chosen)), self.unreadable) if chosen.any() else self

    def whole(self) -> "Hashed":
        """The images without their splits."""
        place = self.table.column_names.index("split")
        return Hashed(self.name, self.table.set_column(place, "split", pa.array([""] * len(self))), self.unreadable)

    def save(self, path: Path) -> None:
        """Writes the table, which `read_hashes` reads."""
        part = path.with_name(f".{path.name}.part")
        pq.write_table(self.table, part, compression="zstd")
        part.replace(path)


def hashed(name: str, manifest: Manifest, store: ImageStore, max_pixels: int = MAX_PIXELS) -> Hashed:
    """Hashes of all images of a manifest that can be read."""
    found, failed = describe(manifest, store, max_pixels=max_pixels, title=f"hashes of {name}")
    columns = {key: manifest.column(key)[found["row"]] for key in ("id", "label", "generator", "split")}
    columns |= {key: found[key] for key in ("digest", "dhash")}
    return Hashed(name, pa.table({key: pa.array(columns[key], kind) for key, kind in COLUMNS.items()}), len(failed))


def read_hashes(path: Path) -> Hashed:
    """Hashes that an earlier audit wrote.

    Raises:
        DataError: the file cannot be read or holds no hashes.
    """
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read: {error}", "Give a hashes.parquet of task=audit.") from error
    missing = [name for name, kind in COLUMNS.items() if name not in table.column_names or table[name].type != kind]
    if missing:
        raise DataError(f"{path} lacks hashes (column {missing[0]!r})", "Give a hashes.parquet of task=audit.")
    return Hashed(path.stem, table.select(list(COLUMNS)))


@dataclass(frozen=True)
class Overlap:
    """Test images and their copies in another set."""

    tested: Hashed  # the test images
    against: Hashed  # the other set
    copy: NDArray[np.int64]  # [N] position of an image's copy in the other set, -1 for none
    bits: NDArray[np.int64]  # [N] bits in which the hashes differ, 0 to 3; -1 for none
    exact: NDArray[np.bool_]  # [N] whether the copy has the same bytes


def overlap(tested: Hashed, against: Hashed) -> Overlap:
    """The copy of each test image: one with the same bytes if there is one, else that with the nearest hash.

    Hashes differ in at most 3 of 64 bits, which re-encoding and resizing rarely exceed. Flat images are compared by
    their bytes alone.
    """
    copy, bits = nearest_copies(
        tested.column("dhash").astype(np.uint64), against.column("dhash").astype(np.uint64), distance=3
    )
    place = np.asarray(
        pc.index_in(tested.table["digest"], value_set=against.table["digest"].combine_chunks())
        .fill_null(-1).to_numpy()
    ).astype(np.int64)  # fmt: skip
    exact = place >= 0
    return Overlap(tested, against, np.where(exact, place, copy), np.where(exact, 0, bits), exact)
