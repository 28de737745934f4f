"""The inverse decoder as a detector: both kinds of target, what is saved, what cannot work."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from contracts.batch import Batch
from contracts.errors import ConfigError
from detectors.base import PASSPORT
from detectors.tracer.inverse_detector import InverseDecoderDetector
from detectors.tracer.measuring.inverse_decoder import load_inverse, trained_modules
from detectors.tracer.measuring.provenance import provenance_signals
from detectors.tracer.measuring.zoo import Zoo
from detectors.tracer.models.sampling import sample
from detectors.tracer.models.sizes import RarSampling, VarSampling
from tests.detectors.tracer.tracer_zoo import zoo


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return zoo(tmp_path_factory.mktemp("zoo"))


def made(folder, family, **settings):
    detector = InverseDecoderDetector(folder, family, **{"staged": False, **settings})
    detector._trainer = SimpleNamespace(max_epochs=4, current_epoch=0, datamodule=None)
    return detector


def generated(folder, family, n=6):
    """A batch as saved to disk, and a data module that knows its tokens."""
    found = Zoo.of(folder)
    variant = found.family(family)[0]
    source = torch.Generator().manual_seed(0)
    sampling = VarSampling(top_k=0) if family == "var" else RarSampling()
    drawn = sample(found.model(variant), found.tokenizer(family), torch.zeros(n, dtype=torch.int64), sampling, source)
    rows = torch.arange(n)
    batch = Batch(drawn.images, torch.ones(n, dtype=torch.int64), rows * 0, rows, rows, rows)
    return batch, SimpleNamespace(tokens=lambda asked, which: _tokens(drawn, asked, which, family))


def _tokens(drawn, rows, which, family):
    assert which == family
    return drawn.tokens[torch.from_numpy(rows)].numpy()


@pytest.mark.parametrize("family", ["var", "rar"])
@pytest.mark.parametrize("target", ["generated", "roundtrip"])
def test_it_learns_to_undo_the_decoder(folder, family, target):
    """The loss falls, only the encoder moves, and more of the true tokens come back."""
    batch, datamodule = generated(folder, family)
    detector = made(folder, family, target=target)
    detector._trainer.datamodule = datamodule
    before = {key: value.clone() for key, value in detector.net.state_dict().items()}
    optimiser = torch.optim.Adam(detector.trainable(), lr=2e-3)
    losses = []
    for _ in range(8):
        loss = detector.loss(batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    moved = {
        key.split(".")[0] for key, value in detector.net.state_dict().items() if not torch.equal(value, before[key])
    }
    assert moved == set(trained_modules(detector.net))
    # the target is what the images were decoded from
    pair = detector.pair(batch)
    if target == "generated":
        tokens = torch.from_numpy(datamodule.tokens(np.arange(6), family))
        torch.testing.assert_close(pair.features, detector.original.features(tokens))


def test_staged_augmentation_changes_what_is_seen_not_the_target(folder):
    batch, datamodule = generated(folder, "rar", n=16)
    plain, staged = made(folder, "rar"), made(folder, "rar", staged=True)
    for detector in (plain, staged):
        detector._trainer.datamodule = datamodule
    assert plain.loss(batch) == staged.loss(batch)  # the first tenth of training is not augmented
    for detector in (plain, staged):
        detector._trainer.current_epoch = 3
    assert plain.loss(batch) != staged.loss(batch)
    torch.testing.assert_close(plain.pair(batch).features, staged.pair(batch).features)


def test_the_score_is_minus_the_logarithm_of_both_losses(folder):
    batch, _ = generated(folder, "rar", n=3)
    detector = made(folder, "rar")
    x = batch.images.float() / 255
    signals = provenance_signals(detector.original, x)
    scores = detector.score(batch)  # untrained: the AEDR baseline
    torch.testing.assert_close(scores.logits, -(signals.quant_loss * signals.enc_loss).log())
    torch.testing.assert_close(scores.extras["quant_loss"], signals.quant_loss)
    with torch.no_grad():
        for parameter in detector.trainable():
            parameter.mul_(1.5)
    assert not torch.allclose(detector.score(batch).logits, scores.logits)


def test_task_fits_checkpoint_is_read_as_it_is(folder, tmp_path):
    detector = made(folder, "var")
    with torch.no_grad():
        for parameter in detector.trainable():
            parameter.add_(0.5)
    state = {f"net.{key}": value for key, value in detector.net.state_dict().items()}
    assert not any("_original" in key for key in detector.state_dict())
    torch.save({"state_dict": state, PASSPORT: {"format": 1}}, tmp_path / "best.ckpt")
    fresh = Zoo.of(folder).tokenizer("var")
    load_inverse(fresh, tmp_path / "best.ckpt")
    torch.testing.assert_close(fresh.state_dict(), detector.net.state_dict())


def test_what_cannot_work_is_reported(folder):
    with pytest.raises(ConfigError, match="family='vra'"):
        InverseDecoderDetector(folder, "vra")
    with pytest.raises(ConfigError, match="target='tokens'"):
        InverseDecoderDetector(folder, "var", target="tokens")
    batch, _ = generated(folder, "var")
    with pytest.raises(ConfigError, match="has no tokens"):
        made(folder, "var", target="generated").loss(batch)
