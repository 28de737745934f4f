"""An image too small for a detector is a failure with a name; those beside it are scored as without it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import synthetic
import tiny
import torch
from PIL import Image

from callbacks.collector import Collector
from contracts.errors import DataError
from contracts.stage import Stage
from contracts.view import Sides, View
from datamodules.folder import FolderDataModule
from detectors.base import Detector
from detectors.classifier.detector import Classifier
from detectors.npr.detector import NPR
from detectors.npr.multiscale import NPRMultiScale
from detectors.parts.least_side import least_side
from detectors.residual.detector import Residual
from detectors.zed.detector import ZED
from tasks.scoring.failures import failures_listed

MADE: dict[str, tuple[Callable[[], Detector], int]] = {
    "npr": (lambda: NPR(View(), View()), 2),
    "npr, exact": (lambda: NPR(View(), View(), exact=True), 2),
    "multi-scale": (lambda: NPRMultiScale(View(), View(), scales=(0.5, 0.25)), 4),
    "multi-scale, odd": (lambda: NPRMultiScale(View(), View(), scales=(0.3, 0.15)), 7),
    "residual": (lambda: Residual(View(), View(), "median", "npr"), 1),
    "residual, patches": (lambda: Residual(View(), View(), "npr", "tiny_ladeda"), 6),
    "zed": (lambda: ZED(View(), View(), mixtures=2, hidden=8, blocks=1), 2),
    "zed, published": (lambda: ZED(View(), View(), model="srec", mixtures=2, hidden=8, blocks=1), 2),
    "classifier": (lambda: Classifier("timm/resnet18", pretrained=False, train_view=View(), eval_view=View()), 1),
    "classifier, strided": (
        lambda: Classifier("timm/convnext_atto", pretrained=False, train_view=View(), eval_view=View()),
        32,
    ),
}


def folder(path: Path, *sides: tuple[int, int], batch_size: int = 4) -> FolderDataModule:
    path.mkdir()
    rng = np.random.default_rng(0)
    for number, (height, width) in enumerate(sides):
        Image.fromarray(synthetic.picture(rng, 64, False)[:height, :width]).save(
            path / f"{number}-{height}x{width}.png"
        )
    return FolderDataModule(path, batch_size=batch_size)


def scored(module: FolderDataModule, detector: Detector, collector: Collector) -> dict[str, float]:
    module.use(detector.train_view, detector.eval_view, sides=detector.sides)
    module.evaluate(np.arange(len(module.manifest())))
    tiny.trainer(collector).predict(detector, datamodule=module, return_predictions=False)
    assert collector.predictions is not None
    found = collector.predictions
    return dict(zip(found.fused_ids.tolist(), found.fused_logits.tolist(), strict=True))


@pytest.mark.parametrize("name", MADE)
@pytest.mark.filterwarnings("ignore")
def test_a_small_image_is_listed_and_changes_nothing_else(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    make, least = MADE[name]
    detector = make()
    assert detector.sides().least == least
    large = [(40, 40), (40, 40), (least, least), (least, 40)]
    alone = scored(folder(tmp_path / "alone", *large), detector, Collector())
    small = [] if least == 1 else [(1, 1), (least - 1, least - 1), (40, least - 1)]
    collector = Collector()
    assert scored(folder(tmp_path / "both", *large, *small), detector, collector) == alone
    assert [failure.id for failure in collector.failures] == [f"{4 + k}-{h}x{w}.png" for k, (h, w) in enumerate(small)]
    for failure in collector.failures:
        assert f"is too small: the detector needs {least} pixels a side" in failure.reason
        assert failure.where.endswith(failure.id)


@pytest.mark.filterwarnings("ignore")
def test_fit_and_validate_skip_a_small_validation_image_and_name_a_training_image(tmp_path: Path) -> None:
    module = folder(tmp_path / "images", (40, 40), (40, 40), (40, 40), (1, 1), batch_size=2)
    detector = NPR(View(), View(), optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.0))
    module.use(detector.train_view, detector.eval_view, sides=detector.sides)
    module.enter(Stage(0, "all", np.array([0, 1]), np.array([2, 3])))
    collector = Collector()
    tiny.trainer(collector, max_epochs=1).fit(detector, datamodule=module)
    assert [failure.id for failure in collector.failures] == ["3-1x1.png"]
    module.enter(Stage(0, "all", np.array([0, 3]), np.array([1, 2])))
    with pytest.raises(DataError, match=r"3-1x1\.png.*1x1 is too small"):
        tiny.trainer(max_epochs=1).fit(detector, datamodule=module)


@pytest.mark.filterwarnings("ignore")
def test_where_nothing_is_left_the_list_is_written_all_the_same(tmp_path: Path) -> None:
    collector, detector = Collector(), NPR(View(), View())
    module = folder(tmp_path / "images", (1, 1))
    with (
        pytest.raises(DataError, match=r"no image could be scored; the first is '0-1x1\.png': 1x1 is too small"),
        failures_listed(tmp_path / "failures.csv", collector),
    ):
        scored(module, detector, collector)
    assert "0-1x1.png" in (tmp_path / "failures.csv").read_text()


def test_sides_say_what_they_take() -> None:
    Sides(3, None).check(3, 900)
    Sides(exact=8).check(8, 8)
    with pytest.raises(DataError, match="9x8 pixels, but the detector only accepts 8x8: it is like that"):
        Sides(exact=8, reason="it is like that").check(8, 9)


def test_trying_leaves_a_network_as_it_was() -> None:
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 7), torch.nn.BatchNorm2d(4), torch.nn.Conv2d(4, 4, 3, stride=2))
    net[1].train()
    net[0].eval()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    assert least_side(net) == 9
    assert (net[0].training, net[1].training) == (False, True)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    never: Any = torch.nn.Sequential(torch.nn.Conv2d(4, 4, 1))
    assert least_side(never) == 1
