"""Folders of weights: one's own, the published names, and what is wrong with others."""

import json
import shutil

import pytest
import torch

from contracts.errors import CheckpointError
from detectors.tracer.measuring.zoo import ZOO, Zoo
from detectors.tracer.models.cost import variant_cost
from detectors.tracer.models.sizes import FILES
from tests.detectors.tracer.tracer_zoo import IMAGE, SIBLINGS, siblings, zoo


def test_ones_own_models_come_back(tmp_path):
    found = Zoo.of(zoo(tmp_path))
    assert found.names == tuple(SIBLINGS)
    net = siblings()
    for variant in found.variants:
        assert variant.sampling == SIBLINGS[variant.name].sampling_settings
        model = found.model(variant)
        for key, value in net.variant(variant.name).state_dict().items():
            torch.testing.assert_close(model.state_dict()[key], value)
    for family in ("var", "rar"):
        assert found.tokenizer(family).image_size == IMAGE


def test_some_variants_alone(tmp_path):
    found = Zoo.of(zoo(tmp_path)).only(["rar_s"])
    assert found.names == ("rar_s",)
    assert list(found.tokenizers) == ["rar"]


def test_published_names_and_what_is_missing(tmp_path):
    zoo(tmp_path / "own")
    folder = tmp_path / "published"
    folder.mkdir()
    shutil.copy(tmp_path / "own" / "var_vqvae.safetensors", folder / "vae_ch160v4096z32.safetensors")
    shutil.copy(tmp_path / "own" / "var_s.safetensors", folder / "var_d20.safetensors")
    found = Zoo.of(folder)
    assert found.names == ("var20",)
    assert found.absent == ("var16", "var24", "var30", "rarb", "rarl", "rarxl", "rarxxl")
    # the file bears the name of a published variant, but holds another model
    with pytest.raises(CheckpointError, match=r"holds an unpublished size.*not var20"):
        found.model(found.variants[0])
    (folder / "vae_ch160v4096z32.safetensors").unlink()
    with pytest.raises(CheckpointError, match="holds neither vae_ch160v4096z32"):
        Zoo.of(folder)


def test_swapped_files_are_reported(tmp_path):
    folder = zoo(tmp_path)
    (folder / "var_s.safetensors").replace(folder / "kept")
    shutil.copy(folder / "rar_s.safetensors", folder / "var_s.safetensors")
    found = Zoo.of(folder)
    with pytest.raises(CheckpointError, match="not a variant of family var"):
        found.model(found.variants[0])
    shutil.copy(folder / "var_vqvae.safetensors", folder / "rar_vqgan.safetensors")
    with pytest.raises(CheckpointError, match="not the tokenizer of family rar"):
        found.tokenizer("rar")


def test_nothing_there_names_the_files(tmp_path):
    with pytest.raises(CheckpointError, match="no such folder"):
        Zoo.of(tmp_path / "absent")
    with pytest.raises(CheckpointError) as told:
        Zoo.of(tmp_path)
    assert all(name in str(told.value) for name in FILES.values())


@pytest.mark.parametrize(
    "content",
    ["{", "[]", "{}", '{"variants": {"a": {}}}', '{"variants": {"a": {"family": "var", "sampling": {"x": 1}}}}'],
)
def test_a_bad_list_is_reported(tmp_path, content):
    (tmp_path / ZOO).write_text(content)
    with pytest.raises(CheckpointError, match="is not a list of variants"):
        Zoo.of(tmp_path)


def test_a_listed_file_that_is_absent(tmp_path):
    folder = zoo(tmp_path)
    listed = json.loads((folder / ZOO).read_text())
    listed["variants"]["var_l"] = {"family": "var"}
    (folder / ZOO).write_text(json.dumps(listed))
    with pytest.raises(CheckpointError, match="lists var_l"):
        Zoo.of(folder)


@pytest.mark.parametrize(
    ("name", "millions", "tokens"), [("var16", 310, 680), ("var30", 2010, 680), ("rarb", 261, 256)]
)
def test_counted_costs_are_of_the_known_size(name, millions, tokens):
    """About two operations a parameter and token; VAR's AdaLN weights, a third of a block, run once an image."""
    cost = variant_cost(name)
    assert round(cost.parameters / 1e6) == millions
    share = cost.flop / (2 * cost.parameters * tokens)
    assert 0.65 < share < 0.8 if name.startswith("var") else 0.9 < share < 1.1
