import pytest
import torch

from bench.detectors.zed import _likelihood, mixtures, plain, smooth_image
from bench.parts.timing import EFFORT
from detectors.zed.models.legacy import legacy_scores
from detectors.zed.models.published_heads import MixtureHead


def test_a_quick_run_measures_the_likelihood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EFFORT, "quick")
    rows = _likelihood()
    assert [row.target for row in rows] == [150, None]
    for row in rows:  # how much faster is the bench's to say, on a machine with nothing else to do
        assert row.baseline is not None
        assert row.ours > 0
        assert row.ratio == pytest.approx(row.baseline / row.ours)


def test_the_baseline_is_the_code_it_replaces() -> None:
    torch.manual_seed(0)
    heads = [MixtureHead(2, 8, 1).eval() for _ in range(2)]
    found, expected = plain(heads, smooth_image(32)), legacy_scores(*heads, smooth_image(32))
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name])


def test_what_is_timed_is_drawn_alike_every_time() -> None:
    for first, second in zip(mixtures(8)[1], mixtures(8)[1], strict=True):
        assert torch.equal(first, second)
    assert torch.equal(smooth_image(32), smooth_image(32))
    assert smooth_image(32).shape == (1, 3, 32, 32)
