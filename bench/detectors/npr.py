"""NPR evaluation at 256², batch 32, against plain eager PyTorch of the same net.

The baseline is a straightforward implementation of the published network: convolution, batch norm, activation, in the
default memory order.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from bench.parts.npr import compared, disturb_norms, plain_residual_features, ready, textured
from bench.parts.table import Row
from bench.parts.timing import pick
from contracts.view import View
from datamodules.loading.parallel import cores
from detectors.npr.detector import NPR
from detectors.npr.net import NPRNet
from detectors.parts.normalise import normalise

SIZE = 256
BATCH = 32


def measure() -> list[Row]:
    """Measures images/s of the default, ``compile=true`` and bf16, each with the largest difference of its logits."""
    torch.set_num_threads(cores())
    count = pick(4, BATCH)
    batch = textured(count)
    state = plain_weights()
    plain = NPRNet(exact=True).eval()
    plain.load_state_dict(state)
    ours = _detector(state)
    compiled = _detector(state, compile_net=True)

    def bf16() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return ours.score(batch).logits

    ways: dict[str, Callable[[], Tensor]] = {
        "plain": lambda: _plain(plain, normalise(batch.images)),
        "default": lambda: ours.score(batch).logits,
        "compile=true": lambda: compiled.score(batch).logits,
        "precision=bf16-mixed": bf16,
    }
    if pick(True, False):
        del ways["compile=true"]  # compiling takes a minute
    targets = {"default": 1.8, "compile=true": 3.0, "precision=bf16-mixed": None}
    return compared("npr", f"{SIZE}², batch {count}", count, ways, targets)


def plain_weights() -> dict[str, Tensor]:
    """Weights with batch norms that are not the identity; the head's products reach 3, and scores are near 0.5.

    There a score changes most with its logit, so the reported errors are close to the largest possible.
    """
    torch.manual_seed(0)
    net = NPRNet()
    images = normalise(textured(8).images)
    disturb_norms(net, images)
    with torch.no_grad():
        net.fc1.bias.zero_()
        net.fc1.weight.mul_(3 / net(images).abs().max())
        net.fc1.bias.sub_(net(images).mean())
    return net.state_dict()


def _detector(state: dict[str, Tensor], compile_net: bool = False) -> NPR:
    view = View(resize=SIZE)
    return ready(NPR(view, view, compile=compile_net), state)


def _plain(net: NPRNet, images: Tensor) -> Tensor:
    """The network operation by operation: nothing folded, nothing in place, in the default memory order."""
    return net.fc1(plain_residual_features(net, images)).squeeze(1)  # type: ignore[no-any-return]
