"""``datamodule.align``: generated images get the JPEG tables and sizes of real ones, and nothing else changes."""

import io
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from synthetic import hdf5, picture

from contracts.errors import ConfigError, DataError
from contracts.view import View
from datamodules.aligning.donors import aligned_manifest
from datamodules.aligning.store import AlignedStore
from datamodules.auditing.audit import audit
from datamodules.auditing.metadata import read_metadata
from datamodules.hdf5 import Hdf5DataModule
from datamodules.loading.decode import decode
from datamodules.parquet import ParquetDataModule
from datamodules.photographs import PhotographsDataModule
from datamodules.tables.manifest import Manifest
from datamodules.tracer import TracerDataModule

COUNT = 60


def saved(pixels: np.ndarray, kind: str = "JPEG", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def photograph(k: int) -> bytes:
    """JPEGs of three qualities, samplings and sizes."""
    pixels = picture(np.random.default_rng(k), 96, False)[: 64 + 16 * (k % 3), :80]
    return saved(pixels, quality=(95, 83, 70)[k % 3], subsampling=k % 3)


def all_test(_: int) -> str:
    return "test"


def set_of(folder: Path, real: Any = photograph, generated: Any = None, split: Any = all_test, side: int = 0) -> Path:
    """Real and generated images in turn; ``side`` is the width and height that the table states."""
    generated = generated or (lambda k: saved(picture(np.random.default_rng(k), 100, True), "PNG"))
    names = [f"{('real', 'made')[k % 2]}-{k}" for k in range(COUNT)]
    rows = [
        {"id": name, "label": k % 2, "generator": "gan" if k % 2 else "", "split": split(k), "width": side,
         "height": side, "image": {"bytes": generated(k) if k % 2 else real(k // 2)}}
        for k, name in enumerate(names)
    ]  # fmt: skip
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / "a.parquet")
    return folder / "a.parquet"


def module(path: Path, align: Any, **options: Any) -> ParquetDataModule:
    names = ("id", "image", "label", "generator", "split", "width", "height")
    return ParquetDataModule(path, {name: name for name in names}, align=align, **options)


def described(data: ParquetDataModule, label: int) -> list[Any]:
    manifest = data.manifest()
    return [read_metadata(data.store().read(row)) for row in np.flatnonzero(manifest.labels == label)]


def test_both_gives_the_joint_distribution_of_tables_sampling_and_size(tmp_path: Path) -> None:
    data = module(set_of(tmp_path), "both")
    kinds = {(m.format, m.tables, m.chroma, m.width, m.height) for m in described(data, 0)}
    made = Counter((m.format, m.tables, m.chroma, m.width, m.height) for m in described(data, 1))
    assert len(kinds) == 3
    assert set(made) == kinds
    assert audit(data.manifest(), data.store(), workers=1).one_sided == []
    plain = audit(*(lambda m: (m.manifest(), m.store()))(module(tmp_path / "a.parquet", None)), workers=1)
    assert plain.one_sided != []


def test_real_images_keep_their_bytes(tmp_path: Path) -> None:
    data, plain = module(set_of(tmp_path), "both"), module(tmp_path / "a.parquet", None)
    for row in np.flatnonzero(plain.manifest().labels == 0):
        assert data.store().read(int(row)) == plain.store().read(int(row))


def test_jpeg_keeps_sizes_and_pixels_within_the_loss_of_compression(tmp_path: Path) -> None:
    data, plain = module(set_of(tmp_path), "jpeg"), module(tmp_path / "a.parquet", None)
    for row in np.flatnonzero(plain.manifest().labels == 1)[:6]:
        one, other = (decode(each.store().read(int(row))).int() for each in (data, plain))
        assert one.shape == other.shape
        assert 0 < (one - other).abs().float().mean() < 25


def test_size_crops_larger_images_without_touching_a_pixel(tmp_path: Path) -> None:
    data, plain = module(set_of(tmp_path), "size"), module(tmp_path / "a.parquet", None)
    for row in np.flatnonzero(plain.manifest().labels == 1):
        one, other = (decode(each.store().read(int(row))) for each in (data, plain))
        top, left = (100 - one.shape[1]) // 2, (100 - one.shape[2]) // 2
        assert (one == other[:, top : top + one.shape[1], left : left + one.shape[2]]).all()


def test_smaller_images_are_enlarged_to_cover_the_donor(tmp_path: Path) -> None:
    small = module(
        set_of(tmp_path, generated=lambda k: saved(picture(np.random.default_rng(k), 20, True), "PNG")), "size"
    )
    sizes = {(m.width, m.height) for m in described(small, 1)}
    assert sizes <= {(m.width, m.height) for m in described(small, 0)}


def test_a_donor_depends_on_ids_alone(tmp_path: Path) -> None:
    data = module(set_of(tmp_path), "both")
    first = dict(zip(data.manifest().column("id"), data.manifest().column("aligned"), strict=True))
    table = pq.read_table(tmp_path / "a.parquet")
    pq.write_table(table.take(np.random.default_rng(0).permutation(COUNT)), tmp_path / "b.parquet")
    other = module(tmp_path / "b.parquet", "both", seed=7).manifest()
    assert dict(zip(other.column("id"), other.column("aligned"), strict=True)) == first
    assert first["real-0"] == ""
    assert first["made-1"].startswith("both as real-")
    assert other.fingerprint() != module(tmp_path / "b.parquet", "jpeg").manifest().fingerprint()


def test_an_image_that_is_alike_already_is_not_compressed_again(tmp_path: Path) -> None:
    def one(k: int) -> bytes:
        return saved(picture(np.random.default_rng(k), 64, bool(k % 2)), quality=90, subsampling=2)

    data, plain = module(set_of(tmp_path, one, one), "jpeg"), module(tmp_path / "a.parquet", None)
    assert all(data.store().read(row) == plain.store().read(row) for row in range(COUNT))


def test_lossless_donors_store_without_loss_and_other_lossy_ones_are_failures(tmp_path: Path) -> None:
    kinds: dict[int, tuple[str, dict[str, Any]]] = {
        0: ("JPEG", {"quality": 80}), 1: ("PNG", {}), 2: ("WEBP", {"quality": 80}), 3: ("WEBP", {"lossless": True})
    }  # fmt: skip

    def mixed(k: int) -> bytes:
        kind, options = kinds[k % 4]
        return saved(picture(np.random.default_rng(k), 64, False), kind, **options)

    data = module(set_of(tmp_path, mixed), "jpeg")
    manifest, found = data.manifest(), Counter[str]()
    for row in np.flatnonzero(manifest.labels == 1).tolist():
        donor = int(str(manifest.column("aligned")[row]).rpartition("-")[2]) // 2
        if donor % 4 != 2:
            found[read_metadata(data.store().read(row)).format] += 1
            continue
        with pytest.raises(DataError, match="cannot be aligned with a real image in lossy WEBP"):
            data.store().read(row)
    assert found["JPEG"] > 0
    assert found["PNG"] > found["JPEG"]


def test_a_cache_is_read_again_and_gives_the_same(tmp_path: Path) -> None:
    path = set_of(tmp_path)
    plain = module(path, "both").store()
    data = module(path, "both", align_cache=tmp_path / "cache").store()
    assert isinstance(data, AlignedStore)
    first = data.read(1)
    (file,) = (f for f in (tmp_path / "cache").rglob("*") if f.is_file() and f.name != "about.json")
    assert first == plain.read(1) == file.read_bytes()
    file.write_bytes(b"kept")
    assert data.read(1) == b"kept"


def test_equal_images_with_other_donors_are_kept_apart(tmp_path: Path) -> None:
    path = set_of(tmp_path, generated=lambda _: saved(picture(np.random.default_rng(0), 100, True), "PNG"))
    plain, kept = module(path, "both").store(), module(path, "both", align_cache=tmp_path / "cache").store()
    made = [kept.read(row) for row in range(1, COUNT, 2)]
    assert made == [plain.read(row) for row in range(1, COUNT, 2)]
    assert len(set(made)) == 3  # kinds of photographs


@pytest.mark.parametrize("sampling", [0, 1, 2, "gray"])
def test_each_chroma_sampling_is_that_of_the_donor(tmp_path: Path, sampling: Any) -> None:
    def real(k: int) -> bytes:
        pixels = picture(np.random.default_rng(k), 96, False)
        if sampling == "gray":
            return saved(pixels[:, :, 0], quality=80)
        return saved(pixels, quality=80, subsampling=sampling)

    donors, made = (described(module(set_of(tmp_path, real=real), "jpeg"), label) for label in (0, 1))
    assert {m.chroma for m in donors} == {{0: "4:4:4", 1: "4:2:2", 2: "4:2:0", "gray": "gray"}[sampling]}
    assert {m.chroma for m in made} == {"4:4:4" if sampling == "gray" else donors[0].chroma}
    if sampling != "gray":
        assert {m.tables for m in made} == {"IJG q80"}  # of luminance and of chrominance


def test_a_jpeg_that_a_tag_turns_is_stored_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6

    def generated(k: int) -> bytes:
        return saved(picture(np.random.default_rng(k), 96, True)[:64, :80], quality=95, subsampling=0, exif=exif)

    def real(k: int) -> bytes:
        return saved(picture(np.random.default_rng(k), 96, False), quality=95, subsampling=0)

    path = set_of(tmp_path, real, generated)
    for row in (1, 3):
        data = module(path, "jpeg").store().read(row)
        assert isinstance(data, bytes)
        assert Image.open(io.BytesIO(data)).size == (64, 80)
        assert Image.open(io.BytesIO(data)).getexif().get(274, 1) == 1


def test_the_manifest_has_the_donors_sizes() -> None:
    columns = {"id": ["a", "b", "c"], "label": [0, 1, 1], "width": [40, 90, 91], "height": [30, 80, 0],
               "format": ["JPEG", "PNG", "PNG"]}  # fmt: skip
    manifest, donors = Manifest.from_columns(columns), np.array([-1, 0, 0])
    for mode, sizes in (("size", [(40, 30)] * 3), ("jpeg", [(40, 30), (90, 80), (91, 0)])):
        found = aligned_manifest(manifest, donors, mode)
        assert list(zip(found.column("width"), found.column("height"), strict=True)) == sizes
        assert found.column("format").tolist() == ["JPEG", "", ""]  # what they will be is known once they are made


def test_batches_of_native_sizes_are_of_the_aligned_ones(tmp_path: Path) -> None:
    data = module(set_of(tmp_path), "both", batch_size=4)
    data.use(View(), View())
    data.evaluate(np.arange(COUNT))
    batches = [batch for batch in data.test_dataloader() if batch is not None]
    assert sum(len(batch.row) for batch in batches) == COUNT
    assert {batch.images.shape[3] for batch in batches} == {80}
    assert data.failures == []


def test_what_has_no_meaning_is_refused(tmp_path: Path) -> None:
    path = set_of(tmp_path)
    png = set_of(tmp_path / "png", lambda k: saved(picture(np.random.default_rng(k), 32, False), "PNG"))
    apart = set_of(tmp_path / "apart", split=lambda k: ("test", "train")[k % 2])
    one = set_of(tmp_path / "one", side=64)
    wrong: list[tuple[str, Any]] = [
        ("datamodule.align='png' is unknown", lambda: module(path, "png")),
        ("with datamodule.pair", lambda: module(path, "jpeg", pair=object())),
        ("a tracer needs images as their generator saved them", lambda: TracerDataModule(tmp_path, align="jpeg")),
        ("none is labelled generated", lambda: PhotographsDataModule(tmp_path / "p", align="jpeg").manifest()),
        ("none of the real images is a JPEG", lambda: module(png, "both").manifest()),
        ("no real ones to align them with", lambda: module(apart, "jpeg").manifest()),
        ("all images have 64x64 pixels already", lambda: module(one, "size").manifest()),
    ]
    (tmp_path / "p").mkdir()
    (tmp_path / "p/a.jpg").write_bytes(photograph(0))
    for text, make in wrong:
        with pytest.raises(ConfigError, match=text):
            make()


def test_pixels_have_no_jpeg_quality(tmp_path: Path) -> None:
    file = hdf5(tmp_path / "a.h5", {"test": 8}, size=16)
    with pytest.raises(ConfigError, match="the data set holds pixels"):
        Hdf5DataModule(file, align="jpeg").manifest()
