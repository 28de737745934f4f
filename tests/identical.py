"""The same images as real and as generated, laid out as every data module of ``conf/datamodule`` reads them."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import synthetic
import synthetic_ai_genbench

from benchmarks.ai_genbench.protocol.validation import pair_reals, validation_order

SIDES = ((16, 24), (17, 16), (30, 12), (16, 16))
"""Height and width of the images: sizes differ, so that what an image was resized to shows in its score."""


def pictures() -> list[np.ndarray]:
    """The images, [H, W, 3] uint8 each, all of them different."""
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*side, 3), np.uint8) // (k + 1) for k, side in enumerate(SIDES)]


def files(root: Path, *folders: str) -> None:
    """The images in each of these folders."""
    for folder in folders:
        (root / folder).mkdir(parents=True)
        for k, pixels in enumerate(pictures()):
            (root / folder / f"{k}.png").write_bytes(synthetic.encoded(pixels))


def classes(root: Path, *sets: str, real: str = "0_real", fake: str = "1_fake") -> None:
    """The images as both classes of each set."""
    files(root, *(f"{name}/{kind}" for name in sets for kind in (real, fake)))


def rows(*generators: str) -> list[dict[str, object]]:
    """A table's rows: the images as real ones, and as those of each generator."""
    return [
        {"id": f"{maker}/{k}", "image": {"bytes": synthetic.encoded(pixels), "path": None}, "label": int(bool(maker)),
         "generator": maker, "source": "here", "split": "test", "photo": "", "control": "", "licence": "", "author": ""}
        for maker in ("", *generators)
        for k, pixels in enumerate(pictures())
    ]  # fmt: skip


def ai_genbench(root: Path) -> list[str]:
    """All images of each generator; each real image equals the generated one that the benchmark pairs it with."""
    names = sorted(generator.name for generator in synthetic_ai_genbench.load_generators())
    tables = {}
    for split in ("train", "validation"):
        table = synthetic_ai_genbench.split_table(split, len(SIDES), 16, names, 0)
        number = np.arange(len(table)) % len(SIDES)
        one_each = np.where(table["label"].to_numpy() == 1, np.arange(1, len(table) + 1), 0)
        order = validation_order(one_each)
        pairs = pair_reals(one_each[order], "validate")
        number[order[pairs >= 0]] = number[pairs[pairs >= 0] - 1]
        columns = {
            "image": pa.array(
                [{"bytes": synthetic.encoded(pictures()[k]), "path": None} for k in number], table["image"].type
            ),
            "height": pa.array([SIDES[k][0] for k in number], pa.uint32()),
            "width": pa.array([SIDES[k][1] for k in number], pa.uint32()),
            "file_id": pa.array([f"{split}-{row}/{k}" for row, k in enumerate(number)], pa.large_string()),
        }
        for name, column in columns.items():
            table = table.set_column(table.column_names.index(name), name, column)
        tables[split] = table
    synthetic_ai_genbench.save_to_disk(root / "bench", tables)
    return [f"datamodule.path={root / 'bench'}"]


def diffusion_forensics(root: Path) -> list[str]:
    files(root, *(f"DF/images/test/lsun_bedroom/{x}" for x in ("real", "adm", "ddpm", "midjourney", "dalle2")))
    return [f"datamodule.path={root / 'DF/images'}"]


def drct2m(root: Path) -> list[str]:
    files(root, "DRCT-2M/sdxl/val2017", "DRCT-2M/ldm/val2017", "GenImage/ADM/val2017", "MSCOCO/val2017")
    return [f"datamodule.path={root}", f"datamodule.reals=[{root / 'MSCOCO/val2017'}]"]


def folder(root: Path) -> list[str]:
    classes(root, "ADM", "glide")
    lines = [
        f"{name}/{kind}/{k}.png,{int(kind == '1_fake')},{name},{name}"
        for name in ("ADM", "glide") for kind in ("0_real", "1_fake") for k in range(len(SIDES))
    ]  # fmt: skip
    (root / "list.csv").write_text("\n".join(["path,label,generator,source", *lines, ""]))
    return [f"datamodule.path={root / 'list.csv'}"]


def forensynths(root: Path) -> list[str]:
    classes(root / "test", "ForenSynths_test/progan/car", "ForenSynths_test/crn", "GANGen-Detection/AttGAN", "mine")
    classes(root / "train", "car", "cat", "chair", "horse")
    files(root / "test", "GANGen-Detection/BEGAN/1_fake", "ForenSynths_test/biggan/1_fake", "coco/0_real")
    return [f"datamodule.path={root}"]


def genimage(root: Path) -> list[str]:
    classes(root, "ADM/imagenet_x/val", "stable_diffusion_v_1_4/y/val", real="nature", fake="ai")
    files(root, "stable_diffusion_v_1_4/y/train/ai", "glide/z/val/ai", "photos/val/nature")
    return [f"datamodule.path={root}"]


def hdf5(root: Path) -> list[str]:
    names = h5py.string_dtype()
    pixels = np.stack([image[:12, :12] for image in pictures()])
    with h5py.File(root / "data.h5", "w") as file:
        group = file.create_group("test")
        group["image"], group["target"] = np.concatenate([pixels] * 3), np.repeat([0, 1, 1], len(pixels))
        group["id"] = np.array([f"i{k}" for k in range(3 * len(pixels))], object).astype(names)
        makers = np.repeat(["", "ADM", "glide"], len(pixels))
        group["generator"] = makers.astype(object).astype(names)
        group["source"] = np.where(makers == "", "coco", makers).astype(object).astype(names)
    return [f"datamodule.path={root / 'data.h5'}"]


def image_tree(root: Path) -> list[str]:
    classes(root, "ForenSynths_test/progan", "GANGen-Detection/AttGAN", "AIGCDetectBenchmark/progan", "elsewhere")
    files(root, "UniversalFakeDetect/guided/1_fake", "UniversalFakeDetect/dalle/fake", "coco/real")
    return [f"datamodule.path={root}"]


def parquet(root: Path) -> list[str]:
    pq.write_table(pa.Table.from_pylist(rows("ADM", "glide")), root / "synthetic.parquet")
    columns = [f"datamodule.columns.{name}={name}" for name in ("generator", "source", "split")]
    return [f"datamodule.path={root / 'synthetic.parquet'}", *columns]


def roots(root: Path) -> list[str]:
    files(root, "made/ADM", "made/glide", "photos")
    return [f"datamodule.path={root / 'made'}", f"datamodule.reals=[{root / 'photos'}]"]


def sample(root: Path) -> list[str]:
    pq.write_table(pa.Table.from_pylist(rows("style-26", "mine")), root / "part.parquet")
    return []


def sample_tree(root: Path) -> list[str]:
    files(root / "test", "style-26/1_fake", "esrgan-medium/1_fake", "mine/1_fake", "photographs/0_real")
    return [f"datamodule.path={root}"]


def tracer(root: Path) -> list[str]:
    files(root / "test", "var_d16", "rar_b", "outlier")
    return [f"datamodule.path={root}"]


LAYOUTS: dict[str, Callable[[Path], list[str]]] = {
    "ai_genbench": ai_genbench,
    "diffusion_forensics": diffusion_forensics,
    "drct2m": drct2m,
    "folder": folder,
    "forensynths": forensynths,
    "forensynths_4class": forensynths,
    "genimage": genimage,
    "genimage_sdv4": genimage,
    "hdf5": hdf5,
    "image_tree": image_tree,
    "parquet": parquet,
    "roots": roots,
    "sample": sample,
    "sample_tree": sample_tree,
    "tracer": tracer,
}
"""Name of a data module to what lays its data out and gives the command line's words for them."""

REAL_ALONE = {"photographs"}
"""Data modules without generated images; there is nothing to compare."""
