"""Bodies by name: the small networks that read a front end's output."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from detectors.npr.net import NPRNet
from detectors.parts.named import made_by_name
from detectors.parts.precision import linear_float32
from detectors.residual.ferret import FerretNet
from detectors.residual.freqnet import FreqNet
from detectors.residual.patch_nets import LaDeDa, TinyLaDeDa


class ShallowResNet(NPRNet):
    """The first half of a ResNet-50, as in NPR (one output) and SAFE (real and generated), with their keys.

    Args:
        inputs: channels of the residual.
        outputs: 1, or 2 whose difference is the logit: the sigmoid of it is the softmax of the second.
        exact: see `NPRNet`.
    """

    def __init__(self, inputs: int = 3, outputs: int = 1, exact: bool = False) -> None:
        super().__init__(exact)
        if inputs != 3:
            self.conv1 = nn.Conv2d(inputs, 64, 3, stride=2, padding=1, bias=False)
            nn.init.kaiming_normal_(self.conv1.weight, mode="fan_out", nonlinearity="relu")
        self.fc1 = nn.Linear(512, outputs)

    def forward(self, residual: Tensor) -> Tensor:
        """[B, inputs, H, W] → logits [B] float32."""
        outputs = self.outputs(residual)
        return outputs[:, -1] - outputs[:, 0] if outputs.shape[1] == 2 else outputs[:, 0]

    def outputs(self, residual: Tensor) -> Tensor:
        """[B, inputs, H, W] → [B, outputs] float32."""
        return linear_float32(self.features(residual), self.fc1)


def npr(inputs: int, exact: bool) -> ShallowResNet:
    """NPR's ResNet with one output."""
    return ShallowResNet(inputs, 1, exact)


def safe(inputs: int, exact: bool) -> ShallowResNet:
    """SAFE's ResNet with two outputs."""
    return ShallowResNet(inputs, 2, exact)


BODIES: dict[str, Callable[..., nn.Module]] = {
    "npr": npr, "safe": safe, "ferretnet": FerretNet, "ladeda": LaDeDa, "tiny_ladeda": TinyLaDeDa,
    "freqnet": FreqNet,
}  # fmt: skip


def make_body(name: str, options: Mapping[str, Any] | None, inputs: int, exact: bool = False) -> nn.Module:
    """A body by its name.

    Args:
        name: a name of `BODIES`.
        options: further arguments of the body.
        inputs: channels of the front end's output.
        exact: the original's arithmetic, without folded batch norms.

    Raises:
        ConfigError: an unknown name or option.
    """
    return made_by_name(BODIES, name, options, "detector.body", inputs=inputs, exact=exact)
