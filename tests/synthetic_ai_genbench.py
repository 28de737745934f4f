"""A miniature AI-GenBench: its 36 names, its columns and its layout on disk, with synthetic images.

``python -m tests.synthetic_ai_genbench FOLDER [--train 16] [--validation 8] [--size 96]`` writes what ``save_to_disk``
would: real images are crops of the sample corpus's photographs, generated ones the same kind of crop reduced and
enlarged again, with a faint grid; filter, factor and grid differ from generator to generator, and later ones leave
fainter traces.
"""

import argparse
import io
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image

from benchmarks.ai_genbench.protocol.generators import load_generators
from datamodules.sample import CORPUS

FILTERS = (Image.Resampling.NEAREST, Image.Resampling.BOX, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)
SHARD_ROWS = 100

TEXTS = (
    "generator", "file_id", "description", "positive_prompt", "negative_prompt", "conditioning", "origin_dataset"
)  # fmt: skip

LARGE_IMAGE = pa.struct([("bytes", pa.large_binary()), ("path", pa.string())])
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@cache
def photographs() -> tuple[np.ndarray, ...]:
    """The sample corpus's real images of 256 pixels and more, [H, W, 3] uint8."""
    found = []
    for file in sorted(CORPUS.glob("*.parquet")):
        table = pq.read_table(file, columns=["image", "label", "control", "width", "height"])
        real = pc.and_(pc.equal(table["label"], 0), pc.equal(table["control"], ""))
        for cell in table.filter(pc.and_(real, pc.equal(table["width"], 256)))["image"].to_pylist()[:60]:
            found.append(np.asarray(Image.open(io.BytesIO(cell["bytes"])).convert("RGB")))
    return tuple(found)


def real_image(rng: np.random.Generator, size: int) -> np.ndarray:
    """A crop of a photograph, [size, size, 3] uint8, mirrored or not."""
    photographs_ = photographs()
    photograph = photographs_[int(rng.integers(len(photographs_)))]
    top, left = rng.integers(0, photograph.shape[0] - size + 1), rng.integers(0, photograph.shape[1] - size + 1)
    crop: np.ndarray = photograph[top : top + size, left : left + size]
    return np.asarray(crop[:, ::-1] if rng.random() < 0.5 else crop)


def generated_image(rng: np.random.Generator, size: int, number: int) -> np.ndarray:
    """What generator ``number`` (0 is the oldest) makes, [size, size, 3] uint8."""
    window, place = divmod(number, 4)
    factor = (2, 3, 4, 2)[place]
    small = max(2, size // factor)
    crop = Image.fromarray(real_image(rng, size)).resize((small, small), Image.Resampling.BOX)
    pixels = np.asarray(crop.resize((size, size), FILTERS[(window + place) % 4]), dtype=np.float64)
    period = 4 + (window + place) % 5
    y, x = np.mgrid[:size, :size]
    grid = np.cos(2 * np.pi * x / period) + np.cos(2 * np.pi * y / period)
    pixels = pixels + (14 - window) * grid[:, :, None] * (1, 0.8, 0.6)
    levels: np.ndarray = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    return levels


def encoded(pixels: np.ndarray, index: int) -> bytes:
    """PNG, or JPEG of quality 95 for every third image of either class."""
    buffer = io.BytesIO()
    image = Image.fromarray(pixels)
    image.save(buffer, "JPEG", quality=95) if index % 3 == 0 else image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def split_table(
    split: str, per_generator: int, size: int, names: Sequence[str], seed: int, large: bool = True
) -> pa.Table:
    """One split in the release's columns and order: generated images first, then as many real ones."""
    rng = np.random.default_rng([seed, len(split)])
    numbers = {generator.name: number for number, generator in enumerate(load_generators())}
    rows = []
    for name in names:
        for index in range(per_generator):
            pixels = generated_image(rng, size, numbers.get(name, 0))
            rows.append((1, name, f"Drawn/{name.replace(' ', '_')}/{split}/{index}", encoded(pixels, index), "Drawn"))
    for index in range(per_generator * len(names)):
        pixels = real_image(rng, size)
        rows.append((0, "", f"Sample_{split}/{index}", encoded(pixels, index), ("Sample_a", "Sample_b")[index % 2]))
    labels, generators, ids, images, origins = zip(*rows, strict=True)
    count = len(rows)
    texts = pa.array([""] * count, pa.large_string())
    return pa.table(
        {
            "image": pa.array([{"bytes": b, "path": None} for b in images], LARGE_IMAGE if large else IMAGE),
            "height": pa.array([size] * count, pa.uint32()),
            "width": pa.array([size] * count, pa.uint32()),
            "label": pa.array(labels, pa.int64()),
            "generator": pa.array(generators, pa.large_string()),
            "file_id": pa.array(ids, pa.large_string()),
            "description": texts,
            "positive_prompt": texts,
            "negative_prompt": texts,
            "conditioning": texts,
            "origin_dataset": pa.array(origins, pa.large_string()),
            "paired_real_images": pa.array([[]] * count, pa.large_list(pa.large_string())),
        }
    )


def features(large: bool) -> dict[str, object]:
    """What Hugging Face's library notes of the columns."""
    text = {"dtype": "large_string", "_type": "Value"}
    return {
        "image": {"_type": "LargeImage" if large else "Image"},
        "height": {"dtype": "uint32", "_type": "Value"},
        "width": {"dtype": "uint32", "_type": "Value"},
        "label": {"names": ["real", "fake"], "_type": "ClassLabel"},
        **dict.fromkeys(TEXTS, text),
        "paired_real_images": {"feature": text, "_type": "LargeList"},
    }


def save_to_disk(folder: Path, tables: dict[str, pa.Table], large: bool = True) -> Path:
    """Write splits as Hugging Face's ``DatasetDict.save_to_disk`` does."""
    folder.mkdir(parents=True)
    (folder / "dataset_dict.json").write_text(json.dumps({"splits": list(tables)}))
    note = json.dumps({"info": {"features": features(large)}})
    for split, table in tables.items():
        place = folder / split
        place.mkdir()
        table = table.replace_schema_metadata({"huggingface": note})
        count = -(-len(table) // SHARD_ROWS)
        names = [f"data-{number:05d}-of-{count:05d}.arrow" for number in range(count)]
        for number, name in enumerate(names):
            with pa.OSFile(str(place / name), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
                writer.write_table(table.slice(number * SHARD_ROWS, SHARD_ROWS), max_chunksize=32)
        state = {"_data_files": [{"filename": name} for name in names], "_fingerprint": "drawn", "_split": split}
        (place / "state.json").write_text(json.dumps(state))
        (place / "dataset_info.json").write_text(json.dumps({"features": features(large)}))
    return folder


def miniature(
    folder: Path,
    train: int = 2,
    validation: int = 2,
    size: int = 64,
    names: Sequence[str] | None = None,
    seed: int = 0,
    large: bool = True,
    splits: tuple[str, ...] = ("train", "validation"),
) -> Path:
    """A whole miniature data set; ``train`` and ``validation`` are images of each generator."""
    chosen = [generator.name for generator in load_generators()] if names is None else names
    counts = {"train": train, "validation": validation, "test": validation}
    tables = {split: split_table(split, counts[split], size, sorted(chosen), seed, large) for split in splits}
    return save_to_disk(folder, tables, large)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", type=int, default=16)
    parser.add_argument("--validation", type=int, default=8)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(miniature(options.folder, options.train, options.validation, options.size, seed=options.seed))
