"""Random images for the subjects: JPEG files, and Parquet files of them with the aiornot columns."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F
from PIL import Image

DISTINCT = 32  # Number of different images in a set; every row has its own id


def jpegs(size: int, count: int = DISTINCT, quality: int = 90) -> list[bytes]:
    """Encoded images of about 1.5 bits per pixel, like those of cameras and generators."""
    rng = np.random.default_rng(size)
    found = []
    for _ in range(count):
        layers: list[torch.Tensor] = [
            F.interpolate(
                torch.from_numpy(rng.normal(0, spread, (1, 3, side, side))), size=(size, size), mode="bicubic"
            )
            for side, spread in ((8, 45), (size // 16, 20), (size // 4, 9), (size, 3))
        ]
        pixels = (sum(layers) + 128).clamp(0, 255)[0].permute(1, 2, 0).to(torch.uint8).numpy()  # type: ignore[union-attr]
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
        found.append(buffer.getvalue())
    return found


def parquet(path: Path, images: list[bytes], count: int, rows_a_group: int = 256) -> Path:
    """``count`` rows of ``id``, ``image`` and ``label``; images repeat."""
    schema = pa.schema(
        {"id": pa.string(), "image": pa.struct({"bytes": pa.binary(), "path": pa.string()}), "label": pa.int64()}
    )
    with pq.ParquetWriter(path, schema, use_dictionary=False) as writer:  # images repeat, unlike real ones
        for start in range(0, count, rows_a_group):
            rows = [
                {"id": str(row), "image": {"bytes": images[row % len(images)], "path": None}, "label": row % 2}
                for row in range(start, min(start + rows_a_group, count))
            ]
            writer.write_table(pa.Table.from_pylist(rows, schema))
    return path
