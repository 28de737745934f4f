"""Small siblings: codes in use, both phases learn, weights go round through task=generate's export."""

from types import SimpleNamespace

import pytest
import torch

from contracts.batch import Batch
from contracts.errors import ConfigError
from contracts.view import View
from detectors.tracer.measuring.zoo import Zoo
from detectors.tracer.siblings_detector import SiblingsDetector
from tests.detectors.tracer.tracer_zoo import IMAGE, SIBLINGS, SIDE, siblings

NODES = {"var_s": {"family": "var", "depth": 1, "width": 32}, "rar_s": {"family": "rar", "depth": 1, "width": 32}}
VIEW = View(resize=IMAGE)


def batch(n=4):
    images = torch.randint(0, 256, (n, 3, IMAGE, IMAGE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    numbers = torch.arange(n)
    return Batch(images, numbers % 2, numbers % 3, numbers, numbers, numbers + 7)


def detector(**settings):
    torch.manual_seed(0)
    made = SiblingsDetector(NODES, VIEW, VIEW, side=SIDE, codebook=8, classes=4, **settings)
    made.log = lambda *_, **__: None
    return made


def test_codes_are_in_use_at_once():
    """Untrained encoders give nearly constant features; standardised, every image has tokens of its own."""
    net = siblings()
    images = torch.rand(8, 3, IMAGE, IMAGE, generator=torch.Generator().manual_seed(0))
    net.place_codes(images, torch.Generator().manual_seed(1))
    for family, tokens in net.tokens(images).items():
        f = net.tokenizer(family).encode(images * (2 if family == "var" else 1) - (1 if family == "var" else 0))
        torch.testing.assert_close(f.std((0, 2, 3)), torch.ones(f.shape[1]), atol=1e-2, rtol=0)
        assert len(tokens.unique(dim=0)) == 8
        assert len(tokens.unique()) >= 6


@pytest.mark.parametrize("phase", ["decoders", "variants"])
def test_each_phase_learns_and_moves_its_own_part(phase):
    made = detector(tokenizer_epochs=1 if phase == "decoders" else 0)
    made._trainer = SimpleNamespace(max_epochs=10, current_epoch=0)
    given = batch()
    first = made.loss(given)
    before = {key: value.clone() for key, value in made.net.state_dict().items()}
    optimiser = torch.optim.AdamW(made.net.parameters(), lr=3e-3)
    for _ in range(5):
        loss = made.loss(given)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < first
    moved = {key for key, value in made.net.state_dict().items() if not torch.equal(value, before[key])}
    if phase == "decoders":
        assert moved
        assert all(".decoder." in key or "post_quant_conv" in key for key in moved)
    else:
        assert {key.split(".")[0] for key in moved} == {"variants"}


def test_scores_are_likelihoods_of_the_tokens():
    made = detector().eval()
    made.net.place_codes(torch.rand(4, 3, IMAGE, IMAGE), torch.Generator())
    scores = made.score(batch())
    parts = torch.stack([scores.extras["lp_var_s"], scores.extras["lp_rar_s"]])
    torch.testing.assert_close(scores.logits, parts.amax(0))
    assert (parts < 0).all()


def test_export_round_trip(tmp_path):
    made = detector()
    made.export(tmp_path)
    zoo = Zoo.of(tmp_path)
    assert zoo.names == ("var_s", "rar_s")
    torch.testing.assert_close(zoo.model(zoo.variants[1]).state_dict(), made.net.variant("rar_s").state_dict())


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"family": "var", "depth": 1}, "lacks width"),
        ({"family": "vqr", "depth": 1, "width": 32}, "family='vqr'"),
        ({"family": "var", "depht": 1, "width": 32}, "did you mean 'depth'"),
        ({"family": "rar", "depth": 1, "width": 32, "sampling": {"cfg": 1}}, r"sampling\.cfg is unknown"),
    ],
)
def test_bad_siblings_are_reported(node, message):
    with pytest.raises(ConfigError, match=message):
        SiblingsDetector({"x": node}, VIEW, VIEW, side=SIDE)


def test_a_view_of_another_size_is_reported():
    with pytest.raises(ConfigError, match=r"gives 32 pixels, detector\.side=4 needs 64"):
        SiblingsDetector(NODES, VIEW, VIEW, side=4)
    assert set(SIBLINGS) >= set(NODES)
