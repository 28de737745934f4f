"""The images of a trace: read, hashed, and rejected if none of the generators can have saved them."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from contracts.batch import as_unit_float
from contracts.errors import DataError
from contracts.stage import Rows
from datamodules.loading.dataset import Failure
from datamodules.loading.decode import decode, read_header
from tasks.tracing.cache import content_key

THREADS = 4


@dataclass(frozen=True)
class Images:
    """N images of equal size."""

    rows: Rows  # [N] rows of the manifest
    keys: tuple[str, ...]  # [N] hash of each image's content
    refused: tuple[Failure, ...]  # rejected images with the reason


def look(datamodule: Any, rows: Rows, sizes: Iterable[int], refused: str) -> Images:
    """Hashes every image, and rejects those that no generator can have saved: another size, not RGB, or unreadable.

    Args:
        datamodule: data module with a manifest and a store.
        rows: rows of the manifest.
        sizes: side of each family's images; all must be equal.
        refused: ``stop`` raises an error if an image is rejected; ``outlier`` only lists it.

    Raises:
        DataError: an image is rejected (see ``refused``), or the families' sizes differ.
    """
    found = sorted(set(sizes))
    if len(found) != 1:
        raise DataError(
            f"the families make images of different sizes: {found}",
            "Trace one family at a time: detector.variants=[…].",
        )
    manifest, store = datamodule.manifest(), datamodule.store()

    def one(row: int) -> tuple[str, str]:
        """Key, and the reason for rejection or an empty string."""
        try:
            data = store.read(row)
            if isinstance(data, np.ndarray):
                return content_key(np.ascontiguousarray(data).tobytes()), _wrong_size(
                    data.shape[0], data.shape[1], found[0]
                )
            header = read_header(data, datamodule.max_pixels)
            reason = _wrong_size(header.height, header.width, found[0])
            if header.mode != "RGB":
                reason = f"mode {header.mode}, but the generators save RGB"
            return content_key(data), reason
        except DataError as error:
            return "", str(error.what)

    with ThreadPoolExecutor(THREADS) as pool:
        looked = list(pool.map(one, rows.tolist()))
    failures = tuple(
        Failure(manifest.image_id(row), manifest.place(row), reason)
        for row, (_, reason) in zip(rows.tolist(), looked, strict=True)
        if reason
    )
    if failures and refused == "stop":
        shown = "\n    ".join(f"{failure.id}: {failure.reason}" for failure in failures[:5])
        more = f"\n    … and {len(failures) - 5} more" if len(failures) > 5 else ""
        raise DataError(
            f"cannot trace {len(failures)} of {len(rows)} images:\n    {shown}{more}",
            "Remove them, or count them as outliers: trace.refused=outlier.",
        )
    kept = [i for i, (_, reason) in enumerate(looked) if not reason]
    return Images(rows[kept], tuple(looked[i][0] for i in kept), failures)


def load(datamodule: Any, rows: Sequence[int] | NDArray[np.int64]) -> Tensor:
    """Images [B, 3, S, S] float32 in [0, 1].

    Raises:
        DataError: an image cannot be decoded; the message names it.
    """
    manifest, store = datamodule.manifest(), datamodule.store()

    def one(row: int) -> Tensor:
        try:
            data = store.read(row)
            if isinstance(data, np.ndarray):
                return torch.from_numpy(data).permute(2, 0, 1)
            return decode(data, datamodule.decoder, datamodule.max_pixels)
        except DataError as error:
            raise DataError(
                f"{manifest.place(row)}: {error.what}", "Remove the image; only its header is intact."
            ) from error

    with ThreadPoolExecutor(THREADS) as pool:
        return as_unit_float(torch.stack(list(pool.map(one, [int(row) for row in rows]))))


def _wrong_size(height: int, width: int, side: int) -> str:
    if (height, width) == (side, side):
        return ""
    return f"{width}×{height} pixels, but the generators make {side}×{side}; resampling would destroy the traces"
