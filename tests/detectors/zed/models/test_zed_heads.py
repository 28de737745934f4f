"""Heads: ZED_Rep parity, the exact scores from the same weights, and training of the new ones."""

import copy
import math

import numpy as np
import pytest
import torch
from PIL import Image

from detectors.zed.models.coding import coding_cost
from detectors.zed.models.density import scale_input
from detectors.zed.models.heads import HalfResolutionHead, Heads
from detectors.zed.models.legacy import legacy_maps, legacy_scores, load_legacy
from detectors.zed.models.networks import make_model
from detectors.zed.models.published_heads import MixtureHead, RawMaps, ResidualHead, load_published_head
from detectors.zed.models.pyramid import build_pyramid, upsample_nearest
from detectors.zed.scores import FIRST_COLUMNS
from tests.detectors.zed.scored import score_image
from tests.detectors.zed.zed_golden_models import exactly, filled_state, head, images

KINDS = ("residual", "mixture")


@pytest.fixture(scope="module")
def vectors(golden_dir):
    file = golden_dir / "zed_rep.npz"
    if not file.exists():
        pytest.skip(f"{golden_dir} holds no zed_rep.npz: this family's vectors are absent there")
    return np.load(file, allow_pickle=False)


@pytest.fixture(scope="module")
def heads(vectors):
    return {(kind, level): exactly(head(vectors, kind, level)) for kind in KINDS for level in (0, 1)}


@pytest.mark.golden
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", [0, 1])
@torch.inference_mode()
def test_golden_raw_and_legacy_maps(vectors, heads, kind, level):
    image = torch.from_numpy(vectors["small_image"]).permute(2, 0, 1)[None]
    pyramid = build_pyramid(image, 3, "half_even")
    x, y = pyramid.x[level], pyramid.y[level]
    raw, prefix = heads[kind, level].maps(upsample_nearest(y, tuple(x.shape[-2:]))), f"small_{kind}_L{level}_"
    if kind == "residual":
        named = [("mean", raw.mu[0, 0], 1e-4), ("log_s", raw.log_s[0, 0], 2e-5)]
    else:
        named = [("pi_logits", raw.logits[0], 2e-5), ("mu", raw.mu[0], 5e-4), ("log_s", raw.log_s[0], 2e-5)]
    for name, found, tolerance in named:
        np.testing.assert_allclose(found, vectors[f"{prefix}{name}_f32"], atol=tolerance, rtol=0)
    # in float32, as scores are made with, whatever the CPU
    for plain, exact in zip(head(vectors, kind, level).maps(upsample_nearest(y, x.shape[-2:])), raw, strict=True):
        torch.testing.assert_close(plain, exact, rtol=0, atol=1e-5 * float(exact.abs().max()))
    if kind == "mixture":  # of the vectors' own parameters, whose errors the entropy would enlarge
        stored = RawMaps(*(torch.from_numpy(vectors[f"{prefix}{name}_f32"])[None] for name, _, _ in named))
        given = copy.copy(heads[kind, level])
        given.maps = lambda _: stored
        found = legacy_maps(given, x, y).entropy[0]
        np.testing.assert_allclose(found, vectors[f"{prefix}H_f32"], atol=1e-4, rtol=0)
    maps = legacy_maps(heads[kind, level], x, y)
    # a float32 difference of sigmoids loses its last digits in the right tail: an error of 1e-7 in p = exp(-NLL)
    tolerance = 2e-5 + 1e-6 * np.exp(vectors[f"{prefix}NLL_f32"].astype(np.float64))
    entropy = tolerance + 1e-4 if kind == "mixture" else 1e-4  # weighted by what these masses say of the components
    assert (np.abs(maps.entropy[0].numpy() - vectors[f"{prefix}H_f32"]) < entropy).all()
    assert (np.abs(maps.nll[0].numpy() - vectors[f"{prefix}NLL_f32"]) < tolerance).all()
    assert (np.abs(maps.d[0].numpy() - vectors[f"{prefix}D_f32"]) < tolerance + 1e-4).all()
    if f"{prefix}D_pitemp1.3_f32" in vectors:
        warm = legacy_maps(heads[kind, level], x, y, temperature=1.3).d[0].numpy()
        assert (np.abs(warm - vectors[f"{prefix}D_pitemp1.3_f32"]) < tolerance + 1e-4).all()


@pytest.mark.golden
@pytest.mark.parametrize("coarse", KINDS)
@pytest.mark.parametrize("fine", KINDS)
def test_golden_command_line_scores(vectors, heads, coarse, fine):
    for i, expected in enumerate(vectors[f"cli_ckpt1{coarse}_ckpt0{fine}"]):
        image = torch.from_numpy(vectors[f"loaded_im{i}"])[None]
        found = legacy_scores(heads[fine, 0], heads[coarse, 1], image)
        assert list(found) == [str(c) for c in vectors["cli_columns"]] == list(FIRST_COLUMNS)
        np.testing.assert_allclose([v.item() for v in found.values()], expected, atol=2e-5, rtol=0)


@pytest.mark.golden
def test_golden_temperature_and_reduced_size(vectors, heads):
    for i in images(vectors):
        image = torch.from_numpy(vectors[f"loaded_im{i}"])[None]
        found = legacy_scores(heads["mixture", 0], heads["mixture", 1], image, 1.3, 1.3)
        expected = vectors["cli_mixture_pitemp1.3_both"][i]
        np.testing.assert_allclose([v.item() for v in found.values()], expected, atol=2e-5, rtol=0)
        reduced = load_legacy(Image.fromarray(vectors[f"image_{i}"]), int(vectors["cli_max_side_value"]))
        for kind in KINDS:
            found = legacy_scores(heads[kind, 0], heads[kind, 1], reduced[None])
            expected = vectors[f"cli_{kind}_maxside"][i]
            np.testing.assert_allclose([v.item() for v in found.values()], expected, atol=2e-5, rtol=0)


@pytest.mark.golden
def test_golden_loader(vectors):
    for i, image in images(vectors).items():
        picture = Image.fromarray(image[0].permute(1, 2, 0).numpy())
        assert np.array_equal(load_legacy(picture), vectors[f"loaded_im{i}"])
        reduced = load_legacy(picture, int(vectors["cli_max_side_value"]))
        assert np.array_equal(reduced, vectors[f"loaded_maxside_im{i}"])


@pytest.mark.golden
def test_golden_exact_scores_differ_from_the_legacy_ones_by_their_known_bias(vectors, heads):
    """The differential entropy of a mixture lies below the exact one: the legacy D is too large by the gap."""
    image = torch.from_numpy(vectors["loaded_im0"])[None]
    legacy = legacy_scores(heads["mixture", 0], heads["mixture", 1], image)
    exact = score_image(Heads([heads["mixture", 0], heads["mixture", 1]]).eval(), image, rounding="half_even")
    assert list(exact)[:5] == list(FIRST_COLUMNS)
    assert abs(exact["D0"].item() - legacy["D0"].item()) > 0.05


def test_zeroed_residual_head_on_grey_has_the_known_scores():
    head = ResidualHead()
    torch.nn.init.zeros_(head.head.weight)
    torch.nn.init.zeros_(head.head.bias[:3])
    grey = torch.full((1, 3, 32, 32), 128, dtype=torch.uint8)
    scores = score_image(Heads([head, head]), grey)
    assert scores["NLL0"].item() == pytest.approx(2.887331, abs=2e-6)
    assert scores["H0"].item() == pytest.approx(3.500691, abs=5e-6)
    assert scores["D0"].item() == pytest.approx(-0.613360, abs=5e-6)
    assert scores["Delta01"].item() == pytest.approx(0, abs=1e-6)
    assert legacy_scores(head, head, grey)["D0"].item() == pytest.approx(-0.612669, abs=2e-6)


def test_checkpoints_are_recognised_and_misfits_named(tmp_path):
    small = MixtureHead(3, 16, 2)
    torch.save(small.state_dict(), tmp_path / "mix.pt")
    loaded = load_published_head(tmp_path / "mix.pt")
    assert isinstance(loaded, MixtureHead)
    assert loaded.mixtures == 3
    state = small.state_dict()
    for name in ("head_pi", "head_mu", "head_ls"):
        state[f"{name}.weight"] = state[f"{name}.weight"][..., 1:2, 1:2]
    inflated = load_published_head(state)
    centre = inflated.head_mu.weight[..., 1, 1]
    assert torch.equal(centre, small.head_mu.weight[..., 1, 1])
    assert inflated.head_mu.weight.abs().sum().item() == pytest.approx(centre.abs().sum().item())
    state["head_extra.bias"] = torch.zeros(1)
    with pytest.raises(ValueError, match=r"do not fit a MixtureHead: \['head_extra.bias'\]"):
        load_published_head(state)
    with pytest.raises(ValueError, match=r"no stem\.weight"):
        load_published_head({"conv.weight": torch.zeros(1)})


@pytest.mark.golden
def test_golden_counts_of_parameters(vectors):
    for kind in KINDS:
        state = filled_state(vectors, kind)
        assert sum(p.numel() for p in load_published_head(state).parameters()) == sum(v.numel() for v in state.values())


def test_input_scale_moves_the_network_input_and_nothing_else():
    pixels = torch.tensor([0.0, 127.5, 255.0])
    assert scale_input(pixels, "uint8").tolist() == [0, 127.5, 255]
    assert scale_input(pixels, "unit").tolist() == [0, 0.5, 1]
    assert scale_input(pixels, "tanh").tolist() == [-1, 0, 1]
    with pytest.raises(ValueError, match="'byte' is unknown"):
        scale_input(pixels, "byte")
    # an untrained head answers from its biases alone, in pixel units, whatever its input is scaled to
    image = torch.randint(0, 256, (1, 3, 16, 16), dtype=torch.uint8)
    scores = []
    for scale in ("uint8", "unit", "tanh"):
        head = HalfResolutionHead(2, 8, 1, scale)
        torch.nn.init.zeros_(head.head.weight)
        scores.append(score_image(Heads([head]), image, levels=(0,))["D0"].item())
    assert scores[0] == pytest.approx(scores[1]) == pytest.approx(scores[2])


@pytest.mark.parametrize("mixtures", [1, 3])
def test_new_heads_learn_with_live_gradients_everywhere(mixtures):
    torch.manual_seed(0)
    model = make_model("heads", mixtures, 16, 1)
    image = torch.randint(0, 60, (2, 3, 13, 18), dtype=torch.uint8)
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    losses = []
    for _ in range(12):
        loss = sum(cost.per_subpixel.mean() for cost in coding_cost(model, image).values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    # components' logits are alive only where there are two
    dead = [n for n, p in model.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert not dead
    assert all(math.isfinite(v) for v in losses)
