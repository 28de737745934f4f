"""PatchCraft: numbers of the original, order of patches, and the command line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zoo_commands
import zoo_golden as zoo
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from contracts.errors import ConfigError
from contracts.view import View
from detectors.parts.srm_filters import srm_filters
from detectors.patchcraft.detector import PatchCraft
from detectors.patchcraft.patches import TexturePatches, at_least, poor_and_rich, texture


@pytest.fixture
def golden(golden_path: Callable[[str], Path]) -> dict[str, Any]:
    with np.load(golden_path("zoo_patchcraft.npz"), allow_pickle=False) as stored:
        return dict(stored)


@pytest.fixture
def detector(golden: dict[str, Any]) -> PatchCraft:
    made = PatchCraft(View(), View(), 64, 4).eval()
    assert int(golden["crop_size"]) == 64
    assert 2 ** int(golden["patch_num"]) == 4
    state = filled(golden)
    assert list(made.net.state_dict()) == list(state)
    assert sum(p.numel() for p in made.net.parameters()) == int(golden["rptc_n_parameters"])
    made.net.load_state_dict(state)
    made.configure_model()
    return made


def filled(golden: dict[str, Any]) -> dict[str, Tensor]:
    """Weights by the rule, and the filters, which are not filled."""
    keys = golden["rptc_keys"].tolist()
    place = keys.index("group1.hpf.weight")
    rest = {
        f"rptc_{part}": np.delete(golden[f"rptc_{part}"], place) for part in ("keys", "shapes", "dtypes", "fillsum")
    }
    state = zoo.weights({**golden, **rest}, "rptc")
    state["group1.hpf.weight"] = srm_filters()[:, None]
    assert float(state["group1.hpf.weight"].double().sum()) == pytest.approx(golden["rptc_fillsum"][place], abs=1e-6)
    return {key: state[key] for key in keys}


def cut(golden: dict[str, Any], index: int) -> tuple[Tensor, Tensor]:
    """An image, large enough, and its patches at the stored places."""
    image = at_least(zoo.image(golden, f"image_{index}"), 16)
    places = golden[f"positions_{index}"].tolist()
    return image, torch.stack([image[:, top : top + 16, left : left + 16] for top, left in places])


@pytest.mark.golden
def test_golden_patches(golden: dict[str, Any]) -> None:
    assert np.array_equal(srm_filters(), golden["srm_filters_f32"])
    for index in range(len(golden["image_labels"])):
        _, patches = cut(golden, index)
        zoo.close(texture(patches), golden[f"texture_{index}_f64"], 5e-5, f"{index}")
        assert torch.argsort(texture(patches), stable=True).tolist() == golden[f"order_{index}"].tolist()
    image, _ = cut(golden, 0)
    for found, name in zip(poor_and_rich(image, golden["positions_0"], 16, 4), ("poor", "rich"), strict=True):
        assert np.array_equal(found.permute(1, 2, 0), golden[f"{name}_0_u8"])


@pytest.mark.golden
def test_golden_logits(golden: dict[str, Any], detector: PatchCraft) -> None:
    seen: dict[str, Tensor] = {}
    for name in ("group2", "group3", "group4", "group5"):
        detector.net.get_submodule(name).register_forward_hook(
            lambda _module, _inputs, out, name=name: seen.update({name: out[0].double()})
        )
    for index in range(len(golden["image_labels"])):
        image, _ = cut(golden, index)
        both = torch.cat(poor_and_rich(image, golden[f"positions_{index}"], 16, 4), 2)[None]
        seen.clear()
        with torch.inference_mode():
            logit = detector(both)
        for precision in ("f32", "f64"):
            zoo.close(logit[0], golden[f"logits_{precision}"][index], 1e-6, f"{index}")
        if index == 0:
            maps = detector.net.high_pass(both[..., :64].float() / 255)[0].double()
            zoo.close(maps.abs().mean((1, 2)), golden["image0_poor_hpf_channel_mean_abs_f64"], 1e-6)
            for name, value in seen.items():
                assert list(value.shape[1:]) == golden[f"image0_{name}_hw"].tolist()
                zoo.close(value.mean((1, 2)), golden[f"image0_{name}_channel_mean_f64"], 1e-6, name)


@given(st.integers(5, 40), st.integers(5, 40), st.booleans())
@settings(max_examples=10)
def test_patches_are_in_order_and_belong_to_the_pixels(height: int, width: int, floats: bool) -> None:
    pixels = torch.from_numpy(np.random.default_rng(height).integers(0, 256, (3, height, width), np.uint8))
    image = pixels / 255 if floats else pixels
    make = TexturePatches(24, 3)
    first, again = (make(image.clone(), np.random.default_rng(seed)) for seed in (0, 1))
    assert torch.equal(first, again)
    assert first.shape == (3, 24, 48)
    assert first.dtype == image.dtype
    poor, rich = (half.reshape(3, 3, 8, 3, 8).permute(1, 3, 0, 2, 4).flatten(0, 1) for half in first.chunk(2, 2))
    ascending, descending = texture(poor).tolist(), texture(rich).tolist()
    assert ascending == sorted(ascending)
    assert descending == sorted(descending, reverse=True)
    assert ascending[-1] <= descending[-1]
    other = TexturePatches(24, 3, by_pixels=False)
    if min(height, width) > 12:
        looks = [other(image, np.random.default_rng(seed)) for seed in (0, 1)]
        assert not torch.equal(*looks)


def test_sides_that_do_not_fit_are_refused() -> None:
    for side, per_side in ((250, 8), (8, 8), (8, 0)):
        with pytest.raises(ConfigError, match=f"side={side}"):
            PatchCraft(View(), View(), side, per_side)


@pytest.mark.filterwarnings("ignore")
def test_it_trains_and_predicts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    zoo_commands.run("task=prepare datamodule=sample prepare.limit=40 prepare.out=data.h5")
    small = "detector=patchcraft detector.side=32 detector.per_side=4 trainer.limit_train_batches=2"
    zoo_commands.run(f"experiment_id=p datamodule=hdf5 datamodule.path=data.h5 datamodule.batch_size=4 {small}")
    best = torch.load("experiments_data/p/window_0/checkpoints/best.ckpt", weights_only=True)
    assert torch.equal(best["state_dict"]["net.group1.hpf.weight"], srm_filters()[:, None])  # not trained
    assert zoo_commands.area_of_twins(tmp_path, "p") == 0.5
