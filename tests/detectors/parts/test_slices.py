"""Slices change the speed of an evaluation, and nothing else."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from contracts.batch import Batch
from contracts.view import View
from detectors.backbones.frozen import Frozen
from detectors.base import Detector
from detectors.classifier.detector import Classifier
from detectors.npr.detector import NPR
from detectors.npr.multiscale import NPRMultiScale
from detectors.parts import slices
from detectors.parts.precision import linear_float32
from detectors.parts.slices import in_slices
from detectors.residual.bodies import BODIES
from detectors.residual.detector import Residual

VIEW = View()


def _batch(count: int, side: int) -> Batch:
    images = torch.randint(
        0, 256, (count, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    rows = torch.arange(count)
    return Batch(images, rows % 2, rows, rows, rows, rows)


def test_slices_hold_about_as_many_pixels_whatever_the_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "PIXELS", 100)
    assert [len(part) for part in slices.slices(torch.zeros(7, 3, 5, 10))] == [1] * 7  # where two would do
    assert [len(part) for part in slices.slices(torch.zeros(2, 3, 50, 50))] == [1, 1]
    assert [len(part) for part in slices.slices(torch.zeros(9, 3, 4, 5))] == [4, 5]  # none is left alone
    assert [len(part) for part in slices.slices(torch.zeros(9, 3, 4, 5), pixels=20)] == [1] * 9
    assert len(slices.slices(torch.zeros(500, 8))) == 1
    assert len(slices.slices(torch.zeros(7, 3, 5, 10, device="meta"))) == 1


@pytest.mark.parametrize("make", [lambda: NPR(VIEW, VIEW), lambda: NPRMultiScale(VIEW, VIEW, scales=(0.5, 0.75))])
def test_scores_do_not_depend_on_the_slices(make: Callable[[], Detector], monkeypatch: pytest.MonkeyPatch) -> None:
    detector, batch = make().eval(), _batch(9, 32)
    seen: list[int] = []
    detector.net.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    with torch.inference_mode():
        whole = detector.score(batch)
        monkeypatch.setattr(slices, "PIXELS", 4 * 32 * 32)
        parts = detector.score(batch)
    assert seen == [9, 4, 5]
    assert torch.allclose(whole.logits, parts.logits, atol=1e-6)
    assert whole.extras.keys() == parts.extras.keys()
    for name, values in whole.extras.items():
        assert torch.allclose(torch.as_tensor(values), torch.as_tensor(parts.extras[name]), atol=1e-6)


def test_a_frozen_backbone_is_sliced_while_the_head_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "PIXELS", 16)
    seen: list[int] = []

    class Mean(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            seen.append(len(images))
            return images.mean((2, 3))

    images = torch.rand(3, 3, 4, 4)
    assert torch.equal(Frozen(Mean())(images), images.mean((2, 3)))
    assert seen == [1, 1, 1]  # large images are not padded
    assert torch.equal(in_slices(lambda part: part + 1, images), images + 1)


def classifier(backbone: str) -> Classifier:
    return Classifier(backbone, pretrained=False)


@pytest.mark.parametrize(
    ("make", "side"),
    [
        (lambda: NPR(VIEW, VIEW), 32),
        (lambda: NPR(VIEW, VIEW), 64),
        (lambda: NPRMultiScale(VIEW, VIEW, scales=(0.5, 0.75)), 64),
        *((lambda body=body: Residual(VIEW, VIEW, "dwt_hh", body), 64) for body in BODIES),
        *((lambda front_end=each: Residual(VIEW, VIEW, front_end, "npr"), 64) for each in ("median", "srm")),
        (lambda: classifier("timm/test_resnet"), 64),
        (lambda: classifier("timm/test_vit"), 160),
    ],
)
def test_equal_images_get_equal_bits_at_any_place_of_any_batch(make: Callable[[], Detector], side: int) -> None:
    detector = make().eval()
    found = set()
    with torch.inference_mode():
        for count in (2, 3, 4, 5, 6, 9, 11):
            images = _batch(1, side).images.expand(count, -1, -1, -1)
            rows = torch.arange(count)
            found |= set(detector.score(Batch(images, rows % 2, rows, rows, rows, rows)).logits.tolist())
    assert len(found) == 1


@pytest.mark.parametrize(("inputs", "outputs"), [(64, 2), (512, 1), (2048, 1), (256, 16), (128, 128)])
def test_equal_rows_get_equal_bits_from_a_head(inputs: int, outputs: int) -> None:
    """MKL's products differ among 8, 12 and 100 rows, and among places, on processors with AVX-512."""
    layer, row = nn.Linear(inputs, outputs), torch.randn(1, inputs)
    with torch.inference_mode():
        found = [linear_float32(row.expand(count, -1), layer) for count in (2, 4, 7, 8, 20, 100)]
        for place in range(20):
            rows = torch.randn(20, inputs)
            rows[place] = row[0]
            found.append(linear_float32(rows, layer)[place : place + 1])
    assert len(torch.cat(found).unique(dim=0)) == 1
