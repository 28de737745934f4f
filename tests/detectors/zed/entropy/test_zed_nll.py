"""The fused likelihood says what the plain one says, far tails and end bins included."""

import pytest
import torch

from detectors.zed.entropy.entropy import negative_log_prob
from detectors.zed.entropy.logistic import Mixture, log_prob, mixture_log_prob

GENERATOR = torch.Generator().manual_seed(0)


def drawn(count: int, components: int = 4) -> tuple[torch.Tensor, Mixture]:
    def normal(scale: float) -> torch.Tensor:
        return scale * torch.randn(count, components, generator=GENERATOR)

    value = torch.randint(0, 256, (count,), generator=GENERATOR).float()
    value[: count // 4] = 0
    value[count // 4 : count // 2] = 255
    return value, Mixture(normal(3), 128 + normal(90), (1 + normal(2)).clamp_min(-7))


@torch.inference_mode()
def test_fused_likelihood_is_the_plain_one() -> None:
    value, mixture = drawn(6000)
    value[-1], mixture.mu[-1], mixture.log_s[-1] = 10, 250, -2
    expected = -mixture_log_prob(value.double(), Mixture(*(p.double() for p in mixture)))
    found = negative_log_prob(value, mixture)
    torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=1e-5)
    assert expected.max() > 1500  # beyond float64's masses, so the plain route was asked
    shaped = negative_log_prob(value.view(2, 3, -1), Mixture(*(p.view(2, 3, -1, 4) for p in mixture)))
    assert torch.equal(shaped.flatten(), found)


@torch.inference_mode()
@pytest.mark.parametrize(
    ("value", "mu", "s", "expected"),
    [(200, 100, 0.5, 199.145413), (0, 128, 10, 12.750003), (255, 128, 10, 12.650003), (128, 128, 1, 1.406829)],
)
def test_closed_forms(value: float, mu: float, s: float, expected: float) -> None:
    one = Mixture(torch.zeros(1, 1), torch.tensor([[float(mu)]]), torch.tensor([[float(s)]]).log())
    assert negative_log_prob(torch.tensor([float(value)]), one).item() == pytest.approx(expected, rel=1e-6)


@torch.inference_mode()
def test_unused_components_weigh_nothing() -> None:
    mixture = Mixture(torch.tensor([[0.0, -torch.inf]]), torch.tensor([[10.0, 10.0]]), torch.zeros(1, 2))
    found = negative_log_prob(torch.tensor([10.0]), mixture)
    torch.testing.assert_close(found, -log_prob(torch.tensor([10.0]), torch.tensor([10.0]), torch.zeros(1)))


def test_gradients_and_clamps_take_the_plain_route() -> None:
    value, mixture = drawn(8)
    learnt = Mixture(*(p.clone().requires_grad_() for p in mixture))
    negative_log_prob(value, learnt).sum().backward()
    assert learnt.mu.grad is not None
    clamped = negative_log_prob(value, mixture, 1e-12)
    torch.testing.assert_close(clamped, -mixture_log_prob(value, mixture, 1e-12))
