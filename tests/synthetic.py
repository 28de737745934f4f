"""Synthetic images for tests: real ones are smooth noise, generated ones carry an up-sampling pattern."""

import io
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image


def picture(rng: np.random.Generator, size: int, generated: bool) -> np.ndarray:
    """[size, size, 3] uint8; a generated one repeats every pixel twice in both directions."""
    small = size // 2 if generated else size
    pixels = rng.normal(0, 40, (small, small, 3)) + rng.uniform(60, 190, 3)
    pixels = np.clip(pixels, 0, 255).astype(np.uint8)
    return pixels.repeat(2, 0).repeat(2, 1) if generated else pixels


def encoded(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    """The bytes of an image file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def parquet(folder: Path, counts: dict[str, int], sizes: Sequence[int] = (32,), seed: int = 0) -> Path:
    """A small set in the sample corpus's columns: ``counts`` images a split, half generated, by two generators."""
    rng = np.random.default_rng(seed)
    rows = []
    for split, count in counts.items():
        for index in range(count):
            fake = index % 2
            size = int(sizes[index // 2 % len(sizes)])
            rows.append(
                {
                    "id": f"{split}/{index}",
                    "image": {"bytes": encoded(picture(rng, size, bool(fake))), "path": None},
                    "label": fake,
                    "generator": ("repeat-a", "repeat-b")[index // 2 % 2] if fake else "",
                    "source": "drawn",
                    "photo": f"{split}-{index // 4}",
                    "control": "",
                    "width": size,
                    "height": size,
                    "split": split,
                }
            )
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "drawn.parquet"
    pq.write_table(pa.Table.from_pylist(rows), file, row_group_size=8)
    return file


def hdf5(file: Path, counts: dict[str, int], size: int = 32, seed: int = 0) -> Path:
    """Pixels in the layout ``task=prepare`` writes: ``counts`` images a group, half generated, by two generators."""
    rng = np.random.default_rng(seed)
    names = h5py.string_dtype()
    file.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(file, "w") as made:
        for split, count in counts.items():
            labels = np.arange(count) % 2
            group = made.create_group(split)
            group["image"] = np.stack([picture(rng, size, bool(label)) for label in labels])
            group["target"] = labels
            group["id"] = np.array([f"{split}-{k}" for k in range(count)], object).astype(names)
            group["group"] = np.array([f"{split}-{k // 4}" for k in range(count)], object).astype(names)
            makers = [("repeat-a", "repeat-b")[k // 2 % 2] if k % 2 else "" for k in range(count)]
            group["generator"] = np.array(makers, object).astype(names)
    return file
