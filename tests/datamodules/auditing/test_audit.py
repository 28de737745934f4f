"""The audit finds what was planted, and stays quiet where nothing was."""

import io

import numpy as np
import pytest
from composed import chunk, encoded, png_with
from PIL import Image

from contracts.errors import DataError
from datamodules.auditing.audit import audit
from datamodules.auditing.jpeg_tables import jpeg_tables
from datamodules.auditing.metadata import is_lossless_webp, read_metadata
from datamodules.auditing.perceptual import difference_hash, near_pairs
from datamodules.auditing.trivial_rule import Rule, _words
from datamodules.loading.stores import FileStore
from datamodules.sample import SampleDataModule
from datamodules.tables.manifest import Manifest


def scene(seed, size=64):
    """A smooth picture that is unlike that of any other seed."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8))
    return small.resize((size, size), Image.Resampling.BICUBIC)


def save(path, image, kind="PNG", **options):
    image.save(path, kind, **options)
    return str(path)


def made(files, **columns):
    count = len(files)
    given = {"id": [f"i{k}" for k in range(count)], "label": [k % 2 for k in range(count)],
             "split": ["train"] * count, "where": files} | columns  # fmt: skip
    manifest = Manifest.from_columns(given)
    return audit(manifest, FileStore(manifest), workers=1)


def test_a_set_without_shortcuts_is_passed(tmp_path):
    found = made([save(tmp_path / f"{k}", scene(k)) for k in range(60)])
    assert found.warnings() == []
    assert found.images == 60
    assert all(0.2 < rule.auroc < 0.7 for rule in found.rules)
    assert not any(rule.significant for rule in found.rules)
    assert found.tables["format"] == {"PNG": {"real": 30, "generated": 30}}


def test_a_format_that_gives_the_label_away_is_named(tmp_path):
    files = [save(tmp_path / f"{k}", scene(k), ("JPEG", "PNG")[k % 2]) for k in range(60)]
    found = made(files)
    rules = {rule.features: rule for rule in found.rules}
    assert rules["format"].auroc == 1
    assert rules["format"].separates
    assert rules["format"].words[0] in (
        "format is JPEG: 100% of 30 are real", "format is PNG: 100% of 30 are generated",
        "format is not JPEG: 100% of 30 are generated", "format is not PNG: 100% of 30 are real",
    )  # fmt: skip
    assert "format JPEG: all 30 are real" in found.one_sided
    assert any("a rule on format alone separates the classes (AUROC 1.00" in line for line in found.warnings())


def test_jpeg_quality_and_size_shortcuts_are_put_in_words(tmp_path):
    files = [save(tmp_path / f"{k}", scene(k), "JPEG", quality=(95, 75)[k % 2]) for k in range(60)]
    rules = {rule.features: rule for rule in made(files).rules}
    assert "size" not in rules  # all are alike
    assert rules["JPEG quality"].words[0] in (
        "JPEG quality ≤ 85: 100% of 30 are generated", "85 < JPEG quality: 100% of 30 are real"
    )  # fmt: skip
    files = [save(tmp_path / f"{k}", scene(k, 64 if k % 2 or k < 20 else 80)) for k in range(60)]
    size = {rule.features: rule for rule in made(files).rules}["size"]
    assert 0.75 < size.auroc < 1
    assert size.words[0] in ("72 < width: 100% of 20 are real", "72 < height: 100% of 20 are real",
                             "5248 < pixels: 100% of 20 are real")  # fmt: skip


def test_limits_of_rules_have_no_exponent():
    assert _words({"pixels": (-np.inf, 40960.5), "bytes per pixel": (0.123456, np.inf)}) == (
        "pixels ≤ 40960 and 0.1235 < bytes per pixel"
    )


def test_copies_across_splits_and_labels_are_found(tmp_path):
    files = [save(tmp_path / f"{k}", scene(k)) for k in range(30)]
    files.append(save(tmp_path / "same", scene(4)))  # i30, generated and real alike by number: label 0
    files.append(save(tmp_path / "small", scene(5).resize((50, 50)), "JPEG", quality=90))  # i31, label 1
    files.append(save(tmp_path / "other", scene(7).resize((96, 96)), "JPEG", quality=80))  # i32, label 0
    splits = ["train"] * 30 + ["test"] * 2 + ["train"]
    found = made(files, split=splits)
    assert found.exact.across_splits == [("i4 (train, real)", "i30 (test, real)")]
    assert found.exact.images == 2
    assert found.near.across_splits == [("i5 (train, generated)", "i31 (test, generated)")]
    assert found.near.across_labels == [("i7 (train, generated)", "i32 (train, real)")]
    assert found.near.within_groups == 0
    text = "\n".join(found.warnings())
    assert "1 pair of exact copies in two splits, first i4" in text
    assert "1 pair of near copies of two labels, first i7" in text


def test_groups_across_splits_and_unreadable_images_are_named(tmp_path):
    files = [save(tmp_path / f"{k}", scene(k)) for k in range(12)]
    (tmp_path / "3").write_bytes(b"\xff\xd8\xff nothing")
    found = made(files, split=["train", "test"] * 6, group=["a", "a", "b", ""] * 3)
    assert found.groups_across_splits == ["a"]
    assert [name for name, _ in found.unreadable] == ["i3"]
    assert found.images == 11
    assert any("1 image cannot be read, first 'i3'" in line for line in found.warnings())


@pytest.mark.parametrize("quality", [1, 10, 49, 50, 51, 75, 90, 95, 100])
def test_jpeg_quality_is_that_it_was_saved_with(quality):
    buffer = io.BytesIO()
    scene(0).save(buffer, "JPEG", quality=quality)
    assert read_metadata(buffer.getvalue()).quality == quality
    assert read_metadata(buffer.getvalue()).tables == f"IJG q{quality}"
    table = np.asarray(Image.open(buffer).quantization[0])
    noisy = jpeg_tables({0: table + np.arange(64) % 2})
    assert noisy.quality == 0
    assert abs(noisy.nearest - quality) <= 3
    assert 0 < noisy.distance <= 0.5
    assert str(noisy).startswith("other ")
    assert str(noisy).endswith(f"{noisy.distance:.2f} from IJG q{noisy.nearest}")
    assert jpeg_tables({}) is None


def test_tables_that_are_not_the_ijgs_are_distinguished_though_one_quality_is_nearest_to_all():
    buffer = io.BytesIO()
    scene(0).save(buffer, "JPEG", quality=93)
    luminance, colours = (np.asarray(Image.open(buffer).quantization[k]) for k in (0, 1))
    shifts = [np.arange(64) % 2 == 0, np.arange(64) < 20, np.arange(64) > 50]
    found = set()
    for shift in shifts:
        buffer = io.BytesIO()
        scene(0).save(buffer, "JPEG", qtables=[(luminance + shift).tolist(), colours.tolist()])
        told = read_metadata(buffer.getvalue())
        assert (told.quality, told.nearest) == (0, 93)
        assert told.distance == pytest.approx(shift.mean())
        assert "from IJG q93" in told.tables
        found.add(told.tables.split(",")[0])
    assert len(found) == 3


def test_other_families_of_tables():
    buffer = io.BytesIO()
    scene(0).save(buffer, "JPEG", quality=75)
    luminance, colours = (np.asarray(Image.open(buffer).quantization[k]) for k in (0, 1))
    assert jpeg_tables({0: luminance}).family == "IJG q75"  # gray
    assert jpeg_tables({0: luminance, 1: luminance}).family == "IJG q75"
    both = jpeg_tables({0: luminance, 1: np.full(64, 1)})
    assert (both.family, both.quality) == ("IJG q75/q100", 0)
    assert jpeg_tables({0: luminance, 1: colours + 1}).quality == 0
    assert jpeg_tables({0: luminance, 1: colours + 1}).family.startswith("other ")
    flat = jpeg_tables({0: np.full(64, 4), 1: np.full(64, 6)})
    assert flat.family == "flat 4/6"
    assert str(flat) == f"flat 4/6, {flat.distance:.2f} from IJG q{flat.nearest}"


def test_tables_of_one_class_alone_are_named_and_put_in_words(tmp_path):
    buffer = io.BytesIO()
    scene(0).save(buffer, "JPEG", quality=90)
    tables = [(np.asarray(Image.open(buffer).quantization[k]) + 1).tolist() for k in (0, 1)]
    files = [
        save(tmp_path / f"{k}", scene(k), "JPEG", **({"qtables": tables} if k % 2 else {"quality": 90}))
        for k in range(60)
    ]
    found = made(files)
    assert found.tables["JPEG quality"]["IJG q90"] == {"real": 30}
    (other,) = set(found.tables["JPEG quality"]) - {"IJG q90"}
    assert other.startswith("other ")
    assert f"JPEG quality {other}: all 30 are generated" in found.one_sided
    (rule,) = (rule for rule in found.rules if rule.features == "JPEG quality")
    assert "distance from IJG's tables" in rule.words[0] or "nearest IJG quality" in rule.words[0]


def test_damaged_metadata_of_one_class_is_named(tmp_path):
    files = []
    for k in range(60):
        data = encoded(scene(k), "PNG")
        if k % 2:
            data = png_with(data, chunk(b"tEXt", b"exif\0b'Exif'"))
        (tmp_path / f"{k}").write_bytes(data)
        files.append(str(tmp_path / f"{k}"))
    found = made(files)
    assert found.unreadable == []
    (note,) = found.tables["damaged metadata"]
    assert note == "PNG chunk tEXt is called exif, but does not contain it"
    assert f"damaged metadata {note}: all 30 are generated" in found.one_sided


def test_a_group_stays_in_one_fold_and_needs_a_split_to_be_across_splits(tmp_path):
    # the size names the photograph, and each photograph has one label: known in a fold only to who saw it in another
    sizes, labels = [16 + 2 * (k // 6) for k in range(96)], [(0, 1, 1, 0)[k // 6 % 4] for k in range(96)]
    files = [save(tmp_path / f"{k}", scene(k, sizes[k])) for k in range(96)]
    group = [f"p{k // 6}" for k in range(96)]
    alone, grouped = (made(files, label=labels, split=["train", *[""] * 95], **g) for g in ({}, {"group": group}))
    by_size = [next(rule for rule in found.rules if rule.features == "size").auroc for found in (alone, grouped)]
    assert by_size[0] > by_size[1] + 0.1
    assert grouped.groups_across_splits == []


def test_a_rule_is_significant_only_outside_the_interval_of_chance():
    assert [Rule("size", auroc, 0.05, ("",)).significant for auroc in (0.55, 0.65)] == [False, True]


def test_a_cell_is_brighter_than_its_neighbour_only_if_it_differs():
    assert difference_hash(Image.new("RGB", (90, 80), "gray")) == 0
    ramp = np.repeat(np.arange(8, -1, -1, dtype=np.uint8)[None, :, None] * 20, 8, axis=0).repeat(3, axis=2)
    assert difference_hash(Image.fromarray(ramp)) == 2**64 - 1


@pytest.mark.parametrize("lossless", [True, False])
def test_chunks_before_the_image_and_frames_are_passed_over(lossless):
    image = b"VP8L" if lossless else b"VP8 "
    odd = b"ICCP" + (3).to_bytes(4, "little") + b"abc\0"
    assert is_lossless_webp(b"RIFF....WEBP" + odd + image + bytes(12)) is lossless
    frame = b"ANMF" + (40).to_bytes(4, "little") + bytes(range(1, 17))
    assert is_lossless_webp(b"RIFF....WEBP" + odd + frame + image + bytes(12)) is lossless


def test_webp_says_whether_it_is_lossless():
    for lossless, options in ((True, {}), (False, {}), (True, {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"})):
        buffer = io.BytesIO()
        scene(1).save(buffer, "WEBP", lossless=lossless, **options)
        assert read_metadata(buffer.getvalue()).format == ("WEBP lossless" if lossless else "WEBP lossy")


def test_truncated_images_are_refused():
    for kind in ("JPEG", "PNG", "WEBP"):
        buffer = io.BytesIO()
        scene(2).save(buffer, kind)
        with pytest.raises(DataError, match="damaged"):
            read_metadata(buffer.getvalue()[:-200])


def test_the_hash_compares_each_cell_with_its_right_neighbour():
    cells = np.random.default_rng(0).permutation(72).reshape(8, 9).astype(np.uint8)
    image = Image.fromarray(cells.repeat(16, 0).repeat(16, 1))
    bits = "".join("1" if cells[y, x] > cells[y, x + 1] else "0" for y in range(8) for x in range(8))
    assert difference_hash(image) == int(bits, 2)


def test_near_pairs_are_those_of_brute_force():
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**63, 300, dtype=np.uint64)
    for k in range(60):  # neighbours at 0 to 5 bits
        flips = rng.choice(64, k % 6, replace=False)
        hashes[200 + k] = hashes[k] ^ np.bitwise_or.reduce(
            np.uint64(1) << flips.astype(np.uint64), initial=np.uint64(0)
        )
    distance = np.bitwise_count(hashes[:, None] ^ hashes[None])
    for most in range(4):
        expected = np.argwhere(np.triu(distance <= most, 1))
        assert np.array_equal(near_pairs(hashes, most), expected)
    with pytest.raises(ValueError, match="distance=4"):
        near_pairs(hashes, 4)


def test_flat_images_and_repetitions_do_not_explode():
    assert len(near_pairs(np.zeros(1000, np.uint64))) == 0
    repeated = np.full(1000, 0x0F0F0F0F0F0F0F0F, np.uint64)
    assert len(near_pairs(repeated)) == 999
    assert len(near_pairs(np.empty(0, np.uint64))) == 0


def test_the_samples_own_confounds_are_found():
    sample = SampleDataModule()
    found = audit(sample.manifest(), sample.store())
    assert "size 64x64: all 20 are generated" in found.one_sided
    assert "size 128x128: all 20 are generated" in found.one_sided
    assert found.tables["format"]["WEBP lossless"] == {"real": 140, "generated": 134}
    assert found.exact.images == 0
    assert found.near.across_splits == []
    # the controls and the super-resolved pictures made of the same crops
    assert 15 <= len(found.near.across_labels) <= 40
    assert all("bicubic-x4" in a + b for a, b in found.near.across_labels)
    assert found.near.within_groups == len(found.near.across_labels)
    assert any("of two labels (" in line and "within a group)" in line for line in found.warnings())
    assert found.groups_across_splits == []
    assert [rule.features for rule in found.rules if rule.separates] == ["all metadata", "size"]
