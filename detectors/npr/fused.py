"""Convolutions with what follows them, a ReLU or an addition, as one kernel of oneDNN: the same bits in less time.

torch reorders the weights of every convolution for oneDNN in every forward pass, and reads and writes its output once
more for a ReLU and for an addition. Where weights do not change (`detectors.npr.fold.folded_once`), they are reordered
once, and the kernel does the rest while the output is in the cache.

oneDNN's own ReLU makes 0 of NaN, so that a network that diverged would look healthy. A leaky one keeps NaN; its slope
is so small that sums do not change.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Folded = tuple[Tensor, Tensor]  # weights and bias
Place = tuple[list[int], list[int], list[int], int]  # padding, stride, dilation, groups
Kernel = Callable[[Tensor, Tensor | None], Tensor]
SLOPE = 1e-30
LEAST = 20480  # torch leaves smaller single images to another kernel, which sums in another order


@dataclass
class Fused:
    """One convolution whose weights stay, followed by a ReLU, an addition, or both.

    The order of weights, and with it that of sums, depends on the input's shape. So there is a kernel for one shape at
    a time: that which last came twice in a row. Other inputs are left to torch's public functions (`plain`).
    """

    conv: nn.Conv2d  # without groups; its own weights are not used
    folded: Folded
    relu: bool  # whether a ReLU follows
    shape: torch.Size | None = None  # of inputs of the kernel
    kernel: Kernel | None = None  # None where torch has none with the same result
    last: torch.Size | None = None  # of the last input without a kernel

    def __call__(self, x: Tensor, skip: Tensor | None) -> Tensor:
        """[B, C, H, W] and what is added before the ReLU, of the output's shape, or None → the output."""
        if usable(x, skip):
            if x.shape != self.shape and x.shape == self.last:
                self.shape, self.kernel = x.shape, self._tried(x, skip)
            if x.shape == self.shape and self.kernel is not None:
                return self.kernel(x, skip)
            self.last = x.shape
        return plain(self.conv, self.folded, self.relu, x, skip)

    def _tried(self, x: Tensor, skip: Tensor | None) -> Kernel | None:
        """A kernel, if its bits agree and NaN stays NaN: torch's operators for this are not public."""
        conv = self.conv
        place: Place = (list(conv.padding), list(conv.stride), list(conv.dilation), conv.groups)  # type: ignore[arg-type]
        nan = torch.full_like(x[:1], torch.nan)
        try:
            weight = torch.ops.mkldnn._reorder_convolution_weight(self.folded[0], *place, list(x.shape))
            kernel = partial(_run, weight, self.folded[1], place, self.relu)
            result, hurt = kernel(x, skip), kernel(nan, None if skip is None else skip[:1])
        except (AttributeError, RuntimeError):
            return None
        result = F.relu(result) if self.relu else result  # without what the slope leaves
        same = torch.equal(result, plain(conv, self.folded, self.relu, x, skip))
        return kernel if same and bool(hurt.isnan().all()) else None


def usable(x: Tensor, skip: Tensor | None) -> bool:
    """Whether torch itself would use oneDNN's float32 kernel for channels-last images on this input."""
    last = torch.channels_last
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and x.numel() > LEAST
        and x.is_contiguous(memory_format=last)
        and (skip is None or skip.is_contiguous(memory_format=last))
        and not torch.is_autocast_enabled("cpu")
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    )


def plain(conv: nn.Conv2d, folded: Folded, relu: bool, x: Tensor, skip: Tensor | None) -> Tensor:
    """The same by torch's public functions."""
    return followed(F.conv2d(x, *folded, conv.stride, conv.padding, conv.dilation, conv.groups), relu, skip)


def followed(x: Tensor, relu: bool, skip: Tensor | None) -> Tensor:
    """The sum with ``skip`` and the ReLU of it, where asked for; in place."""
    x = x if skip is None else x.add_(skip)
    return F.relu(x, inplace=True) if relu else x


def _run(weight: Tensor, bias: Tensor, place: Place, relu: bool, x: Tensor, skip: Tensor | None) -> Tensor:
    operator = torch.ops.mkldnn._convolution_pointwise
    if skip is None:
        after = ("leaky_relu", [SLOPE], "") if relu else ("none", [], "")
        return operator(x, weight, bias, *place, *after)  # type: ignore[no-any-return]
    return followed(operator.binary(x, skip, weight, bias, *place, "add", 1.0, None, [], None), relu, None)
