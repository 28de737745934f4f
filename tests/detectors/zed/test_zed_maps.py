"""Maps and scores: bands equal the whole, batches equal single images, D is fair under the model's own samples."""

import math

import pytest
import torch

from detectors.zed.maps import LevelMaps, level_maps
from detectors.zed.models.coding import coding_cost, lossless_bits_per_subpixel
from detectors.zed.models.networks import make_model
from detectors.zed.models.srec import SReC
from detectors.zed.scores import delta_map, filled, scores_of_maps
from tests.detectors.zed.scored import score_image


def picture(h: int, w: int, n: int = 1, seed: int = 0) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, 3, max(h // 6, 2), max(w // 6, 2), generator=g) * 255
    smooth = torch.nn.functional.interpolate(coarse, size=(h, w), mode="bilinear")
    return (smooth + 6 * torch.randn(smooth.shape, generator=g)).clamp(0, 255).to(torch.uint8)


@pytest.fixture(scope="module")
def srec() -> SReC:
    torch.manual_seed(1)
    return SReC(features=8, mixtures=3, blocks=1, means="residual").eval()


@pytest.fixture(scope="module")
def heads():
    torch.manual_seed(2)
    model = make_model("heads", 2, 8, 1).eval()
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.1)
    return model


@pytest.mark.parametrize("size", [(96, 20), (99, 21), (2, 2), (3, 2)])
def test_bands_equal_the_whole_image(srec, heads, size):
    image = picture(*size)
    for model, levels in ((srec, (0, 1, 2)), (heads, (0, 1))):
        whole = level_maps(model, image, levels)
        bands = level_maps(model, image, levels, positions=3 * size[1])
        for level in levels:
            assert torch.equal(bands[level].coded, whole[level].coded)
            torch.testing.assert_close(bands[level].d, whole[level].d, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["srec", "heads"])
def test_halo_is_no_wider_than_needed(name, request):
    """With one row less, some row next to a band's edge changes: the stated halo is exact."""
    model, image = request.getfixturevalue(name), picture(160, 8)
    exact = level_maps(model, image, (0,))[0].d
    halo, type_ = model.halo(0), type(model)
    short = type("Short", (type_,), {"halo": lambda *_: halo - 1})
    model.__class__ = short
    try:
        wrong = level_maps(model, image, (0,), positions=4 * 30)[0].d
    finally:
        model.__class__ = type_
    assert not torch.equal(exact, wrong)


def test_batch_equals_single_images_and_levels_do_not_disturb_each_other(srec):
    batch = picture(24, 30, n=3)
    together = score_image(srec, batch, (0, 1, 2))
    for i in range(3):
        alone = score_image(srec, batch[i : i + 1], (0, 1))
        for name, value in alone.items():
            assert value.item() == pytest.approx(together[name][i].item(), abs=1e-5), name


def test_lossless_size_from_maps_equals_that_of_the_coder(srec):
    for size in ((24, 16), (21, 11)):
        image = picture(*size)
        scores = score_image(srec, image, (0, 1, 2))
        with torch.no_grad():
            costs = coding_cost(srec, image)
        assert scores["bpsp"].item() == pytest.approx(lossless_bits_per_subpixel(costs, *size).item(), abs=1e-5)
    with pytest.raises(ValueError, match=r"\[2\] were not computed"):
        lossless_bits_per_subpixel({0: costs[0], 1: costs[1]}, *size)


def test_loss_reaches_every_parameter_of_srec():
    torch.manual_seed(0)
    model = SReC(features=8, mixtures=2, blocks=1, means="residual")
    image = picture(16, 17, n=2)
    lossless_bits_per_subpixel(coding_cost(model, image), 16, 17).mean().backward()
    # the context after the finest level's last phase goes nowhere
    last = {"decoders.2.feat_convs.2.weight", "decoders.2.feat_convs.2.bias"}
    assert {name for name, p in model.named_parameters() if p.grad is None} == last
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", ["srec", "heads"])
def test_d_is_fair_under_samples_of_the_model(name, request):
    """NLL minus entropy is a martingale difference: its mean over the model's own pixels is zero within its error."""
    model, image = request.getfixturevalue(name), picture(128, 128)
    maps = level_maps(model, image, (0, 1), draw=torch.Generator().manual_seed(5))
    for found in maps.values():
        gap = found.d[0][found.coded]
        assert abs(gap.mean().item()) < 4 * gap.std().item() / math.sqrt(gap.numel())
    # which the picture itself, not drawn from the model, is not
    own = level_maps(model, image, (0,))[0]
    gap = own.d[0][own.coded]
    assert abs(gap.mean().item()) > 8 * gap.std().item() / math.sqrt(gap.numel())


def test_reduced_precision_of_convolutions_hardly_moves_the_scores(srec):
    image = picture(32, 32)
    exact, reduced = (score_image(srec, image, conv_dtype=t) for t in (torch.float32, torch.bfloat16))
    assert abs(exact["D0"].item() - reduced["D0"].item()) < 1e-3
    assert exact["D0"].item() != reduced["D0"].item()


def test_temperature_flattens_the_mixture(srec):
    image = picture(16, 16)
    assert score_image(srec, image, temperature=50.0)["H0"].item() != score_image(srec, image)["H0"].item()
    with pytest.raises(ValueError, match="temperature 0: give a positive number"):
        score_image(srec, image, temperature=0)


def test_scores_of_hand_made_maps():
    coded = torch.tensor([[True, True], [True, False]])
    fine = LevelMaps(torch.tensor([[[3.0, 1.0], [2.0, 0.0]]]), torch.tensor([[[1.0, 1.0], [1.0, 0.0]]]), coded)
    coarse = LevelMaps(torch.tensor([[[1.0]]]), torch.tensor([[[3.0]]]), torch.ones(1, 1, dtype=torch.bool))
    scores = {k: v.item() for k, v in scores_of_maps({0: fine, 1: coarse}, (50, 100)).items()}
    assert list(scores)[:5] == ["D1", "D0", "Delta01", "AbsDelta01", "AbsD0"]
    assert scores["D0"] == pytest.approx(1.0)
    assert scores["D1"] == pytest.approx(-2.0)
    assert scores["Delta01"] == scores["AbsDelta01"] == pytest.approx(3.0)
    assert scores["bits0"] == pytest.approx(2 / math.log(2))
    assert scores["D0_p50"] == pytest.approx(1.0)
    assert scores["D0_p100"] == pytest.approx(2.0)
    assert scores["AbsDelta01_p100"] == pytest.approx(4.0)
    # the free pixel takes its block's mean
    assert filled(fine.d, coded).tolist() == [[[2.0, 0.0], [1.0, 1.0]]]
    assert delta_map({0: fine, 1: coarse}, "bilinear").tolist() == [[[4.0, 2.0], [3.0, 3.0]]]
    with pytest.raises(ValueError, match=r"within 0\.\.100"):
        scores_of_maps({0: fine}, (101,))


def test_bad_requests_are_named(srec):
    with pytest.raises(ValueError, match=r"levels \[3\] are not among the model's levels 0..2"):
        level_maps(srec, picture(8, 8), (3,))
    with pytest.raises(ValueError, match=r"\(1, 1, 8, 8\)"):
        level_maps(srec, picture(8, 8)[:, :1], (0,))
    with pytest.raises(TypeError, match="float32"):
        level_maps(srec, picture(8, 8).float(), (0,))
