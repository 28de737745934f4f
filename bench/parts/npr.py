"""Weights, detectors and the comparison of the two NPR subjects."""

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from bench.parts.table import Row, rate
from bench.parts.timing import interleaved
from detectors.base import Detector

D = TypeVar("D", bound=Detector)
TOLERANCE = 1e-5
"""Largest difference of a logit in ways that have a target."""


@torch.no_grad()
def disturb_norms(net: nn.Module, images: Tensor) -> nn.Module:
    """Give batch norms running statistics of the images and weights that are not the identity; sets evaluation mode."""
    for _ in range(10):
        net.train()(images)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.uniform_(0.5, 1.0)
            module.bias.uniform_(-0.1, 0.1)
    return net.eval()


def ready(detector: D, state: dict[str, Tensor]) -> D:
    """The detector with these weights, prepared for evaluation."""
    detector.net.load_state_dict(state)
    detector.eval()
    detector.configure_model()
    return detector


@torch.inference_mode()
def compared(
    subject: str, work: str, count: int, ways: Mapping[str, Callable[[], Tensor]], targets: Mapping[str, float | None]
) -> list[Row]:
    """Images/s of ways to compute logits against ``ways["plain"]``, with the largest differences.

    Args:
        subject: name of the subject.
        work: input of every way.
        count: images in it.
        ways: functions that return logits.
        targets: smallest ratio wanted of each way, or None.

    Raises:
        AssertionError: the logits of a way with a target differ by more than `TOLERANCE`.
    """
    expected = ways["plain"]()
    notes = {}
    for name in [name for name in targets if name in ways]:
        logits = ways[name]()
        error = float((logits - expected).abs().max())
        of_scores = float((logits.sigmoid() - expected.sigmoid()).abs().max())
        if targets[name] is not None and error > TOLERANCE:
            raise AssertionError(f"logits of {name} differ by {error:.1e}, more than {TOLERANCE}")
        notes[name] = f"logits differ by at most {error:.1e}, scores by {of_scores:.1e}"
    timings = interleaved(ways)
    return [
        rate(subject, f"{work}, {name}", timings["plain"], timings[name], count, targets[name], note)
        for name, note in notes.items()
    ]
