"""FreqNet: convolutions of spectra between high-pass filters of features and channels, 1.85 million parameters.

Tan et al., AAAI 2024 (arXiv 2403.07240). State-dict keys are those of the authors' code (156 entries). Its first
high-pass filter, of the image, is the front end ``fft_high_pass``.
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detectors.npr.net import Bottleneck, initialise
from detectors.parts.precision import linear_float32
from detectors.residual.frequencies import channel_high_pass, high_pass

STAGES = ((3, 64, 1), (64, 64, 2), (256, 256, 1), (256, 256, 2))
"""Channels in and out, and stride, of each 1x1 convolution before a spectral convolution."""


class FreqNet(nn.Module):
    """High-passed image → logit that it is generated.

    Args:
        inputs: channels of the residual.
        symmetric: see `frequencies`; false as published.
        exact: the original's arithmetic, without folded batch norms.
    """

    def __init__(self, inputs: int = 3, symmetric: bool = True, exact: bool = False) -> None:
        super().__init__()
        self.symmetric, self.exact = symmetric, exact
        for number, (given, channels, _) in enumerate(((inputs, *STAGES[0][1:]), *STAGES[1:]), start=1):
            self.register_parameter(f"weight{number}", nn.Parameter(torch.randn(channels, given, 1, 1)))
            self.register_parameter(f"bias{number}", nn.Parameter(torch.randn(channels)))
            self.add_module(f"realconv{number}", nn.Conv2d(channels, channels, 1, bias=False))
            self.add_module(f"imagconv{number}", nn.Conv2d(channels, channels, 1, bias=False))
        self.layer1 = nn.ModuleList([Bottleneck(64, 64), Bottleneck(256, 64), Bottleneck(256, 64)])
        self.layer2 = nn.ModuleList([Bottleneck(256, 128, stride=2), *(Bottleneck(512, 128) for _ in range(3))])
        self.fc1 = nn.Linear(512, 1)
        for layer in (self.layer1, self.layer2):
            initialise(layer)

    def forward(self, residual: Tensor) -> Tensor:
        """[B, inputs, H, W], the high-passed image → logits [B] float32."""
        x = self._stage(1, residual, channels=True)
        x = self._stage(2, high_pass(x, self.symmetric), channels=True)
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        for block in self.layer1:
            x = block(x, not self.exact)
        for number in (3, 4):
            x = self._stage(number, high_pass(x, self.symmetric))
        for block in self.layer2:
            x = block(x, not self.exact)
        return linear_float32(x.mean((2, 3)), self.fc1).squeeze(1)

    def _stage(self, number: int, x: Tensor, channels: bool = False) -> Tensor:
        """A 1x1 convolution, the high-pass filter of its channels where asked for, and the spectral convolution."""
        weight, bias = self.get_parameter(f"weight{number}"), self.get_parameter(f"bias{number}")
        x = F.relu(F.conv2d(x, weight, bias, STAGES[number - 1][2]), inplace=True)
        return self.spectral(number, channel_high_pass(x, self.symmetric) if channels else x)

    def spectral(self, number: int, x: Tensor) -> Tensor:
        """1x1 convolutions of the real and of the imaginary part of the spectrum; then ReLU.

        The spectrum of a real image is Hermitian, and so it stays: its half is enough, and the result is real. Unless
        ``exact``, there is no transform at all: the real part is the spectrum of the image's even part, (x + x') / 2
        with x' the image reflected at its first pixel, and the imaginary part that of its odd part, (x - x') / 2.
        """
        real, imaginary = (self.get_submodule(f"{part}conv{number}") for part in ("real", "imag"))
        with torch.autocast(x.device.type, enabled=False):
            if self.exact:
                spectrum = torch.fft.rfft2(x.float(), norm="ortho")
                both = torch.complex(real(spectrum.real), imaginary(spectrum.imag))
                made: Tensor = torch.fft.irfft2(both, s=x.shape[-2:], norm="ortho")
            else:
                even, odd = cast(Tensor, real.weight), cast(Tensor, imaginary.weight)
                straight, reflected = F.conv2d(x.float(), torch.cat([even + odd, even - odd]) / 2).chunk(2, dim=1)
                made = straight + reflected.flip(-2, -1).roll((1, 1), (-2, -1))
        return F.relu(made, inplace=True)
