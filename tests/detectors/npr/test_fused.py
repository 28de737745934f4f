"""Convolutions fused with what follows them: the same bits as torch's public functions, or not used."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detectors.npr import fused
from detectors.npr.fold import folded_once
from detectors.npr.multiscale_net import ResidualBranch
from detectors.npr.net import NPRNet
from detectors.residual.ferret import FerretNet
from detectors.residual.patch_nets import LaDeDa, TinyLaDeDa

SHAPES = [(4, 96, 64), (4, 96, 64), (4, 96, 64), (4, 96, 64), (1, 96, 64), (4, 96, 64), (2, 71, 75), (2, 71, 75)]
SHAPES += [(2, 71, 75), (1, 20, 20)]


def like_trained(net: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.running_mean, module.bias.data):
                assert values is not None
                values.normal_(0, 0.2)
            assert module.running_var is not None
            for values in (module.running_var, module.weight.data):
                values.uniform_(0.5, 1.5)
    return net.eval().to(memory_format=torch.channels_last)


def images(batch: int, height: int, width: int) -> Tensor:
    return torch.randn(batch, 3, height, width).contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    "make", [NPRNet, lambda: ResidualBranch(16, False), lambda: FerretNet(width=32), LaDeDa, TinyLaDeDa]
)
def test_every_shape_gets_the_same_bits(make: Callable[[], nn.Module]) -> None:
    net = like_trained(make())
    with torch.inference_mode():
        given = [images(*shape) for shape in SHAPES]
        expected = [net(x) for x in given]
        with folded_once():
            for x, logits in zip(given, expected, strict=True):
                assert torch.equal(net(x), logits), x.shape


@pytest.mark.parametrize("hurt", ["weights", "image"])
def test_nan_stays_nan(hurt: str) -> None:
    net = like_trained(NPRNet())
    x = images(4, 96, 64)
    if hurt == "weights":
        net.get_parameter("layer1.1.conv2.weight").data[3, 0, 0, 0] = torch.nan
    with torch.inference_mode(), folded_once():
        for _ in range(2):
            net(images(4, 96, 64))
        if hurt == "image":
            x[2] = torch.nan
        assert net(x).isnan().tolist() == ([True] * 4 if hurt == "weights" else [False, False, True, False])


def layer(relu: bool) -> tuple[fused.Fused, Tensor, Tensor]:
    torch.manual_seed(1)
    conv = nn.Conv2d(16, 8, 3, padding=1)
    x, skip = (torch.randn(2, n, 40, 40).contiguous(memory_format=torch.channels_last) for n in (16, 8))
    return fused.Fused(conv, (conv.weight.detach(), torch.randn(8)), relu), x, skip


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("wrong", ["", "bits", "nan", "absent"])
def test_an_operator_is_used_from_the_third_input_of_a_shape_if_it_is_exact(
    relu: bool, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, x, skip = layer(relu)
    calls = []

    def run(_weight: Tensor, _bias: Tensor, _place: object, relu: bool, x: Tensor, skip: Tensor | None) -> Tensor:
        calls.append(x)
        if wrong == "absent":
            raise RuntimeError("no such operator")
        made = fused.plain(one.conv, one.folded, relu, x, skip)
        return made * (1 + 1e-6) if wrong == "bits" else made.nan_to_num() if wrong == "nan" else made

    monkeypatch.setattr(fused, "_run", run)
    with torch.inference_mode():
        expected = fused.plain(one.conv, one.folded, relu, x, skip)
        counts = []
        for _ in range(4):
            assert torch.equal(one(x, skip), expected)
            counts.append(len(calls))
        if not torch.backends.mkldnn.is_available():
            assert counts == [0] * 4
        elif wrong:
            assert counts[0] == 0 < counts[1] == counts[3]  # tried once
        else:
            assert counts == [0, 3, 4, 5]  # tried with the input and with NaN, and used
            one(x[:1], skip[:1])
            assert torch.equal(one(x, skip), expected)
            assert len(calls) == 6  # one input of another shape does not take its place


def test_inputs_that_torch_gives_to_other_kernels_are_left_to_it() -> None:
    _, x, skip = layer(relu=True)
    assert fused.usable(x, skip) == torch.backends.mkldnn.is_available()
    for other in (x[:, :, :5, :5], x.contiguous(), x.double(), x.bfloat16()):
        assert not fused.usable(other, None)
    assert not fused.usable(x, F.pad(skip, (0, 1))[..., :40])
    with torch.autocast("cpu", torch.bfloat16):
        assert not fused.usable(x, skip)
