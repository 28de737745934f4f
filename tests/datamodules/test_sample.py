"""The sample corpus is whole, and is what its README says."""

import hashlib
import re
from collections import Counter

import pytest

from datamodules.loading.decode import decode
from datamodules.sample import CORPUS, SampleDataModule


@pytest.fixture(scope="module")
def sample():
    return SampleDataModule()


def test_the_files_are_those_of_the_readme():
    sums = re.findall(r"^([0-9a-f]{64})  (\S+)$", (CORPUS / "README.md").read_text(), re.MULTILINE)
    assert len(sums) == 2
    for digest, name in sums:
        assert hashlib.sha256((CORPUS / name).read_bytes()).hexdigest() == digest


def test_its_columns_are_mapped(sample):
    manifest = sample.manifest()
    assert len(manifest) == 354
    assert not sample.ignored
    counts = Counter(zip(manifest.column("split"), manifest.labels.tolist(), strict=True))
    assert counts["train", 0] == 120
    assert counts["test", 1] == 67
    assert set(manifest.column("control")) == {"", "bicubic-x4"}
    assert all(manifest.labels[manifest.column("control") != ""] == 0)
    assert all((group == "") == name.endswith(("face64", "eye128")) for group, name in zip(
        manifest.column("group"), manifest.column("generator"), strict=True))  # fmt: skip
    train = {name for name, split in zip(manifest.column("generator"), manifest.column("split"), strict=True)
             if split == "train"}  # fmt: skip
    assert set(manifest.generator_names) - train == {"realcugan-se", "style-arbitrary"}


def test_no_photograph_is_in_two_splits(sample):
    manifest = sample.manifest()
    found = {}
    for group, split in zip(manifest.column("group"), manifest.column("split"), strict=True):
        found.setdefault(group, set()).add(split)
    assert all(len(splits) == 1 for group, splits in found.items() if group)


def test_its_images_decode_at_the_size_stated(sample):
    manifest, store = sample.manifest(), sample.store()
    for row in range(0, 354, 7):
        assert decode(store.read(row)).shape == (3, manifest.column("height")[row], manifest.column("width")[row])


def test_every_row_has_a_licence_and_an_author(sample):
    assert all(sample.manifest().column("licence"))
    assert all(sample.manifest().column("author"))
    assert (CORPUS / "CREDITS.md").stat().st_size > 10_000
