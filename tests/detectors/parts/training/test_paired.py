"""Paired training: equal judgements cost nothing, copies depend on the image's key, other detectors refuse it."""

from pathlib import Path
from typing import Any

import pytest
import torch
import zoo_commands as zoo

from contracts.batch import Batch
from contracts.errors import ConfigError
from contracts.view import View
from detectors.classifier.detector import Classifier
from detectors.parts.training.contrast import pair_contrast
from detectors.parts.training.paired import Paired, agreement
from detectors.zed.detector import ZED


def _batch() -> Batch:
    order = torch.arange(6)
    images = torch.randint(0, 256, (6, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return Batch(images, order % 2, order, order, order, order * 104_729)


def test_agreement_is_the_symmetric_divergence() -> None:
    p, q = torch.tensor([0.3, -2.0]), torch.tensor([1.2, -1.5])
    a, b = torch.distributions.Bernoulli(logits=p), torch.distributions.Bernoulli(logits=q)
    wanted = (torch.distributions.kl_divergence(a, b) + torch.distributions.kl_divergence(b, a)).mean()
    assert torch.allclose(agreement(p, q), wanted)
    assert float(agreement(p, p)) == 0


def test_copies_depend_on_the_key_alone() -> None:
    paired, image = Paired(), _batch().images[0]
    copies = [paired.degraded(image, key) for key in range(12)]
    assert all(copy.shape == image.shape and copy.dtype == torch.uint8 for copy in copies)
    assert all(not torch.equal(copy, image) for copy in copies)
    assert torch.equal(paired.degraded(image, 5), copies[5])
    assert int((paired.degraded(image.float() / 255, 5).int() - copies[5].int()).abs().max()) == 0


def test_the_term_is_added_to_the_loss(tmp_path: Path) -> None:
    plain = Classifier("timm/test_vit", weights=zoo.backbone(tmp_path), image_size=32)
    assert plain.paired is None
    paired = Paired(weight=2.0, degraded_weight=0.5)
    detector = Classifier("timm/test_vit", weights=zoo.backbone(tmp_path), image_size=32, paired=paired).eval()
    batch = _batch()
    worse = torch.stack([paired.degraded(i, int(k)) for i, k in zip(batch.images, batch.key, strict=True)])
    clean, degraded = detector.score(batch).logits, detector.score(batch._replace(images=worse)).logits
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(degraded, batch.label.float())
    term = paired(detector, batch)
    assert torch.allclose(term.detach(), 2 * agreement(clean, degraded) + 0.5 * entropy, atol=1e-6)
    term.backward()
    assert detector.net.head.weight.grad is not None
    with pytest.raises(ConfigError, match=r"benchmark\.features"):
        paired(detector, batch._replace(images=torch.zeros(6, 8)))


def test_others_refuse_it() -> None:
    with pytest.raises(ConfigError, match="not trained on labels"):
        ZED(View(), View(), paired=Paired())


@pytest.mark.parametrize(
    "options", [{"weight": -1}, {"qualities": (0, 50)}, {"scales": (0.9, 0.5)}, {"sigmas": (-1, 2)}]
)
def test_bad_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        Paired(**options)


def test_the_contrast_of_opposite_features() -> None:
    x = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.8, 0.6]], requires_grad=True)
    found = pair_contrast(x, torch.tensor([0, 0, 1]))
    far = (2 - 2 * 0.8) ** 0.5
    assert found.item() == pytest.approx(1 - far, abs=1e-5)  # equal features of one class count as no pair
    found.backward()
    assert x.grad is not None
    assert bool(x.grad.isfinite().all())


@pytest.mark.filterwarnings("ignore")
def test_npr_trains_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    zoo.run(
        "detector=npr experiment_id=npr trainer.limit_train_batches=1 datamodule.batch_size=4",
        "detector.train_view.crop=32 detector.train_view.resize=48 detector.eval_view.resize=48",
        "detector.paired={_target_:detectors.parts.training.paired.Paired}",
    )
    assert zoo.area_of_twins(tmp_path, "npr") == 0.5
