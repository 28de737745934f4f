"""The activation of CLIP's weights is the one their library's record names."""

import warnings
from pathlib import Path
from typing import Any

import open_clip
import pytest
import timm
import torch
import yaml
from safetensors.torch import save_file
from torch import nn

from conf.cli.groups import CONF
from contracts.errors import CheckpointError
from detectors.backbones.backbones import create_backbone
from detectors.backbones.libraries import OpenClip
from detectors.backbones.quick_gelu import has_quick_gelu
from detectors.backbones.timm_library import Timm, natively_quick_gelu
from detectors.classifier.detector import Classifier
from detectors.parts.weights import load_weights

B32 = "open_clip/ViT-B-32:openai"
TIMM = "timm/vit_base_patch32_clip_224.openai"


class AskedError(Exception):
    """Ends the building of a net; holds what was asked for."""


@pytest.fixture(autouse=True)
def small_nets(monkeypatch: pytest.MonkeyPatch) -> None:
    """CLIP's towers with two blocks of width 64, under their own names and records."""
    create_timm, config_of = timm.create_model, open_clip.factory.get_model_config

    def small_config(name: str) -> Any:
        config = config_of(name)
        if config is not None and "layers" in config["vision_cfg"] and name.startswith("ViT-B"):
            config["vision_cfg"] |= {"layers": 2, "width": 64, "head_width": 32}
            config["text_cfg"] |= {"layers": 1, "width": 32, "heads": 2, "vocab_size": 16}
        return config

    def small_timm(name: str, **options: Any) -> nn.Module:
        size = {"depth": 2, "embed_dim": 64, "num_heads": 2} if "_clip_" in name else {}
        return create_timm(name, **(options | size))

    monkeypatch.setattr(timm, "create_model", small_timm)
    monkeypatch.setattr(open_clip.factory, "get_model_config", small_config)


def test_every_tag_of_open_clip_is_built_as_its_record_says(monkeypatch: pytest.MonkeyPatch) -> None:
    def create_model(name: str, force_quick_gelu: bool = False, **_: Any) -> None:
        raise AskedError(force_quick_gelu or bool(open_clip.get_model_config(name).get("quick_gelu")))

    monkeypatch.setattr(open_clip, "create_model", create_model)
    forced = 0
    for name, tag in open_clip.list_pretrained():
        with pytest.raises(AskedError) as caught:
            OpenClip().build(f"{name}:{tag}", pretrained=False, pooling=None, image_size=None)
        wanted = open_clip.get_pretrained_cfg(name, tag).get("quick_gelu")
        own = bool(open_clip.get_model_config(name).get("quick_gelu"))
        assert caught.value.args[0] == (own if wanted is None else wanted), (name, tag)
        forced += bool(wanted) and not own
    assert forced >= 27


def test_every_clip_tower_of_timm_is_built_as_its_record_says() -> None:
    quick = set()
    for name in timm.list_models("vit_*_clip_*.*", pretrained=True):
        with torch.device("meta"):
            built = Timm().build(name, pretrained=False, pooling=None, image_size=None)
        wanted = natively_quick_gelu(timm.get_pretrained_cfg(name).to_dict())
        assert has_quick_gelu(built.module) == wanted, name
        assert built.quick_gelu == (wanted and "quickgelu" not in name)
        quick |= {name} if built.quick_gelu else set()
    assert {"vit_base_patch32_clip_224.openai", "vit_large_patch14_clip_336.openai"} <= quick


@pytest.mark.parametrize(
    ("plain", "by_name"),
    [
        (B32, "open_clip/ViT-B-32-quickgelu:openai"),
        ("open_clip/ViT-B-16:dfn2b", "open_clip/ViT-B-16-quickgelu:dfn2b"),
        (TIMM, "timm/vit_base_patch32_clip_quickgelu_224.openai"),
    ],
)
def test_weights_from_a_file_give_the_features_of_the_quickgelu_model(tmp_path: Path, plain: str, by_name: str) -> None:
    torch.manual_seed(0)
    reference = create_backbone(by_name, image_size=32)
    save_file(reference.module.state_dict(), tmp_path / "w.safetensors")
    made = create_backbone(plain, weights=tmp_path / "w.safetensors", image_size=32)
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(made.module.eval()(images), reference.module.eval()(images))
    assert made.quick_gelu
    assert not reference.quick_gelu  # nothing to note: its name says it


def test_other_tags_and_towers_without_the_activation_stay_as_they_were() -> None:
    for name in ("open_clip/ViT-B-32:laion2b_s34b_b79k", "open_clip/RN50:openai", "timm/test_vit.r160_in1k"):
        made = create_backbone(name)
        assert not has_quick_gelu(made.module)
        assert not made.quick_gelu


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("open_clip/ViT-B-32", r"built with GELU; ViT-B-32:openai, .* were trained with QuickGELU"),
        ("timm/vit_base_patch32_clip_224", r"built with GELU; .*vit_base_patch32_clip_224\.openai.* with QuickGELU"),
    ],
)
def test_a_file_for_a_name_that_leaves_the_activation_open_is_warned_about(
    tmp_path: Path, name: str, message: str
) -> None:
    save_file(create_backbone(name, image_size=32).module.state_dict(), tmp_path / "w.safetensors")
    with pytest.warns(UserWarning, match=message):
        create_backbone(name, weights=tmp_path / "w.safetensors", image_size=32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        create_backbone(name, image_size=32)


def _detector(mode: str, weights: Path | None = None) -> Classifier:
    torch.manual_seed(1)
    return Classifier(B32, mode=mode, pretrained=False, weights=weights, image_size=32).eval()


def test_a_checkpoint_from_before_is_used_as_it_was_trained(tmp_path: Path) -> None:
    source = _detector("tune")
    checkpoint: dict[str, Any] = {"state_dict": source.state_dict()}
    source.on_save_checkpoint(checkpoint)
    assert checkpoint["backbone"] == {"name": B32, "sha256": None, "activation": "quick_gelu"}
    torch.save(checkpoint, tmp_path / "new.ckpt")
    del checkpoint["backbone"]["activation"]
    torch.save(checkpoint, tmp_path / "old.ckpt")
    new, old = _detector("tune"), _detector("tune")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_weights(new, tmp_path / "new.ckpt")
    with pytest.warns(UserWarning, match="was trained with GELU in open_clip/ViT-B-32:openai"):
        load_weights(old, tmp_path / "old.ckpt")
    assert has_quick_gelu(new.net)
    assert not has_quick_gelu(old.net)
    assert sum(type(part) is nn.GELU for part in old.net.modules()) == 2
    again: dict[str, Any] = {}
    old.on_save_checkpoint(again)
    assert again["backbone"] == {"name": B32, "sha256": None}


def test_a_probe_from_before_is_read_and_not_resumed(tmp_path: Path) -> None:
    save_file(create_backbone(B32, image_size=32).module.state_dict(), tmp_path / "w.safetensors")
    probe = _detector("probe", tmp_path / "w.safetensors")
    checkpoint: dict[str, Any] = {"state_dict": probe.state_dict()}
    probe.on_save_checkpoint(checkpoint)
    part = probe.frozen_part()
    assert part is not None
    assert part.settings["activation"] == "quick_gelu"  # features kept by an older version are not taken for these
    probe.on_load_checkpoint(checkpoint)
    del checkpoint["backbone"]["activation"]
    torch.save(checkpoint, tmp_path / "old.ckpt")
    target = _detector("probe", tmp_path / "w.safetensors")
    with pytest.warns(UserWarning, match="as it was trained"):
        load_weights(target, tmp_path / "old.ckpt")
    part = target.frozen_part()
    assert part is not None
    assert "activation" not in part.settings
    with pytest.warns(UserWarning, match="as it was trained"), pytest.raises(CheckpointError, match="Start it again"):
        probe.on_load_checkpoint(checkpoint)


def test_timm_is_built_as_open_clips_records_of_the_same_weights_say() -> None:
    """timm's notes are incomplete: one name of theirs has its activation from elsewhere."""
    wanted = {}
    for name, tag in open_clip.list_pretrained():
        record = open_clip.get_pretrained_cfg(name, tag)
        size = {"ViT-B-16": "base_patch16", "ViT-L-14": "large_patch14", "ViT-H-14": "huge_patch14"}.get(name)
        if size and "quick_gelu" in record:
            wanted[f"vit_{size}_clip_224.{tag}"] = bool(record["quick_gelu"])
    known = set(timm.list_models(pretrained=True))
    library = Timm()
    found = {name: natively_quick_gelu(library._record(name)) for name in wanted if name in known}
    assert len(found) > 5
    assert found == {name: wanted[name] for name in found}


@pytest.mark.parametrize("file", sorted((CONF / "experiment").glob("probe_*.yaml")), ids=lambda file: file.stem)
def test_a_recipe_of_a_probe_names_the_variant_with_its_activation(file: Path) -> None:
    name = yaml.safe_load(file.read_text())["detector"]["backbone"].partition("/")[2]
    library = Timm()
    assert library.knows(name)
    assert natively_quick_gelu(library._record(name)) == ("quickgelu" in name)
