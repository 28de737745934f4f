"""Published sizes on the meta device, official file names, and what happens when a file does not fit."""

from pathlib import Path

import pytest
import safetensors.torch
import torch

from contracts.errors import CheckpointError, DataError
from detectors.tracer.models.load import available_variants, build, find_file, identify, load_model, parameter_count
from detectors.tracer.models.rar_transformer import RarTransformer
from detectors.tracer.models.rar_vqgan import RarVqgan
from detectors.tracer.models.sizes import (
    FILES,
    LABELS,
    RAR_SIZES,
    VAR_SIZES,
    RarSize,
    RarVqganSize,
    VarSize,
    VarVqvaeSize,
)
from detectors.tracer.models.state import fit_state, read_state
from detectors.tracer.models.tokenizer import from_unit, nearest_code, to_uint8
from detectors.tracer.models.var_transformer import VarTransformer
from detectors.tracer.models.var_vqvae import VarVqvae
from tests.detectors.tracer.tracer_golden_models import GoldenPath, key_shapes

PUBLISHED = {
    "var_vae_full": ("var_vqvae", 108.9e6),
    "rar_vqgan_full": ("rar_vqgan", (23.8 + 30.5 + 0.26) * 1e6),
    "var_d16": ("var16", 310e6),
    "var_d20": ("var20", 601e6),
    "var_d24": ("var24", 1033e6),
    "var_d30": ("var30", 2010e6),
    "rar_b": ("rarb", 261e6),
    "rar_l": ("rarl", 462e6),
    "rar_xl": ("rarxl", 955e6),
    "rar_xxl": ("rarxxl", 1499e6),
}
SMALL_VAR = VarSize(depth=1, width=64, heads=1, classes=3, codebook=8, latent=4, patch_nums=(1, 2))
SMALL_RAR = RarSize(width=16, depth=2, heads=2, mlp=24, classes=3, codebook=8, length=4)


def published(name: str) -> VarVqvae | RarVqgan | VarTransformer | RarTransformer:
    with torch.device("meta"):
        if name == "var_vqvae":
            return VarVqvae(VarVqvaeSize())
        if name == "rar_vqgan":
            return RarVqgan(RarVqganSize())
        return VarTransformer(VAR_SIZES[name]) if name in VAR_SIZES else RarTransformer(RAR_SIZES[name])


@pytest.mark.golden
@pytest.mark.parametrize("keys", PUBLISHED)
def test_published_keys_and_shapes(golden_path: GoldenPath, keys: str) -> None:
    name, parameters = PUBLISHED[keys]
    expected = key_shapes(golden_path, keys)
    model = published(name)
    assert {key: tuple(value.shape) for key, value in model.state_dict().items()} == expected
    assert list(model.state_dict()) == list(expected)
    assert parameter_count(model) == pytest.approx(parameters, rel=5e-3)
    state = {key: torch.empty(shape, device="meta") for key, shape in expected.items()}
    with torch.device("meta"):
        rebuilt = build(state, keys)
    assert identify(rebuilt) == name


def test_every_label_has_a_file() -> None:
    assert set(LABELS) - {"outlier"} == set(FILES) - {"var_vqvae", "rar_vqgan"}
    assert LABELS == ("var16", "var20", "var24", "var30", "rarb", "rarl", "rarxl", "rarxxl", "outlier")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("kind", ["var_vqvae", "rar_vqgan", "var", "rar"])
def test_files_round_trip(tmp_path: Path, kind: str, suffix: str) -> None:
    torch.manual_seed(0)
    model = {
        "var_vqvae": lambda: VarVqvae(VarVqvaeSize(channels=32, latent=4, codebook=8, patch_nums=(1, 2))),
        "rar_vqgan": lambda: RarVqgan(RarVqganSize(channels=32, latent=4, codebook=8)),
        "var": lambda: VarTransformer(SMALL_VAR),
        "rar": lambda: RarTransformer(SMALL_RAR),
    }[kind]()
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save(model.state_dict(), path)
    else:
        safetensors.torch.save_file(model.state_dict(), path)
    loaded = load_model(path)
    assert loaded.size == model.size
    assert not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())
    for key, value in model.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[key], value)
    with pytest.raises(CheckpointError, match="not var16"):
        load_model(path, name="var16")


def test_buffers_may_be_absent_and_weights_may_not() -> None:
    state = VarTransformer(SMALL_VAR).state_dict()
    model = VarTransformer(SMALL_VAR)
    fit_state(model, {k: v for k, v in state.items() if k not in ("attn_bias_for_masking", "lvl_1L")}, "file")
    assert model.attn_bias_for_masking.isneginf().sum() == 4
    broken = {k: v for k, v in state.items() if k != "head.bias"} | {"heads.bias": torch.zeros(8)}
    broken["word_embed.bias"] = torch.zeros(65)
    with pytest.raises(CheckpointError) as caught:
        fit_state(model, broken, "file")
    message = str(caught.value)
    assert "1 missing: head.bias" in message
    assert "1 unexpected: heads.bias" in message
    assert "word_embed.bias [65] instead of [64]" in message


def test_bad_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "rar_b.bin").write_bytes(b"<html>not found</html>")
    with pytest.raises(CheckpointError, match=r"rar_b\.bin"):
        read_state(tmp_path / "rar_b.bin")
    (tmp_path / "x.safetensors").write_bytes(b"short")
    with pytest.raises(CheckpointError, match="not a readable safetensors"):
        read_state(tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match=r"no checkpoint file .*rar_c\.bin"):
        read_state(tmp_path / "rar_c.bin")
    torch.save({"a": torch.zeros(1), "step": 3}, tmp_path / "trainer.pth")
    with pytest.raises(CheckpointError, match=r"contains no state dict; its entries are \['a', 'step'\]"):
        read_state(tmp_path / "trainer.pth")
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="contains a list"):
        read_state(tmp_path / "list.pth")
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="neither a VAR nor a RAR file; its first keys are a"):
        load_model(tmp_path / "other.pth")
    torch.save({"pos_1LC": torch.zeros(1, 5, 64)}, tmp_path / "half.pth")
    with pytest.raises(CheckpointError, match=r"lacks lvl_embed\.weight"):
        load_model(tmp_path / "half.pth")


def test_pickles_that_run_code_are_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return eval, ("1+1",)

    torch.save({"a": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(CheckpointError, match="could run code"):
        read_state(tmp_path / "evil.pth")


def test_the_512_pixel_model_is_refused() -> None:
    state = {"pos_1LC": torch.zeros(1, 2240, 2304), "lvl_embed.weight": torch.zeros(10, 2304)}
    with pytest.raises(CheckpointError, match="512-pixel"):
        build(state, "var_d36.pth")


def test_files_are_found_by_official_name(tmp_path: Path) -> None:
    (tmp_path / "var_d16.pth").touch()
    (tmp_path / "var_d30.safetensors").touch()
    assert find_file(tmp_path, "var16").name == "var_d16.pth"
    assert find_file(tmp_path, "var30").name == "var_d30.safetensors"
    assert available_variants(tmp_path, "var") == (["var16", "var30"], ["var20", "var24"])
    with pytest.raises(CheckpointError, match=r"neither var_d20\.pth nor var_d20\.safetensors"):
        find_file(tmp_path, "var20")
    with pytest.raises(CheckpointError, match="did you mean 'var16'"):
        find_file(tmp_path, "var_16")


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(1, 1, 32, 32), "RGB"),
        (torch.zeros(3, 32, 32), "RGB"),
        (torch.zeros(1, 3, 64, 32), "not resampled"),
        (torch.zeros(1, 3, 32, 32, dtype=torch.uint8), "Divide uint8 pixels by 255"),
        (torch.full((1, 3, 32, 32), 255.0), "got 255 … 255"),
        (torch.full((1, 3, 32, 32), -0.5), "-0.5"),
        (torch.full((1, 3, 32, 32), torch.nan), "nan"),
    ],
)
def test_wrong_images_are_refused(images: torch.Tensor, message: str) -> None:
    vqvae = VarVqvae(VarVqvaeSize(channels=32, latent=4, codebook=8, patch_nums=(1, 2)))
    with pytest.raises(DataError, match=message):
        from_unit(vqvae, images)


def test_ranges_and_truncation() -> None:
    vqvae = VarVqvae(VarVqvaeSize(channels=32, latent=4, codebook=8, patch_nums=(1, 2)))
    levels = torch.tensor([0.0, 0.5, 1.0]).view(3, 1, 1, 1).expand(3, 3, 32, 32)
    assert from_unit(vqvae, levels)[:, 0, 0, 0].tolist() == [-1.0, 0.0, 1.0]
    assert to_uint8(torch.tensor([0.0, 0.999, 127.9 / 255, 1.0])).tolist() == [0, 254, 127, 255]


def test_nearest_code_in_float32_and_lowest_index_wins() -> None:
    codebook = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    x = torch.tensor([[0.9, 0.1], [0.1, 0.0]])
    assert nearest_code(x, codebook).tolist() == [1, 0]
    with torch.autocast("cpu", torch.bfloat16):
        assert nearest_code(x.bfloat16(), codebook).tolist() == [1, 0]
