"""Discretised logistic: normalisation, symmetry, tails, closed forms and the golden tables."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from detectors.zed.entropy.entropy import entropy
from detectors.zed.entropy.logistic import SREC_CLAMP, Mixture, chain_weights, log_prob, mixture_log_prob, sample

VALUES = torch.arange(256.0)


def lp(value: float, mu: float, s: float, dtype: torch.dtype = torch.float64) -> float:
    return log_prob(*(torch.tensor(v, dtype=dtype) for v in (value, mu, math.log(s)))).item()


@given(st.floats(-50, 305, width=32), st.floats(-7, 7, width=32))
@settings(max_examples=60)
def test_masses_sum_to_one_and_reflect(mu, log_s):
    log_p = log_prob(VALUES, torch.tensor(mu), torch.tensor(log_s))
    assert log_p.exp().double().sum().item() == pytest.approx(1.0, abs=1e-6)
    mirrored = log_prob(VALUES.double().flip(0), 255 - torch.tensor(mu).double(), torch.tensor(log_s).double())
    direct = log_prob(VALUES.double(), torch.tensor(mu).double(), torch.tensor(log_s).double())
    torch.testing.assert_close(mirrored, direct, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("value", "mu", "s", "nats"),
    [
        (128, 128, 1, math.log(math.tanh(0.25))),
        (130, 128, 1, -2.238978),
        (0, 128, 10, -12.750003),
        (255, 128, 10, -12.650003),
        (0, 0, 1, math.log(0.622459)),
        (200, 100, 0.5, -199.145413),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_closed_forms(value, mu, s, nats, dtype):
    assert lp(value, mu, s, dtype) == pytest.approx(nats, rel=2e-6)


def test_gradient_lives_far_in_both_tails():
    mu = torch.tensor([0.0, 255.0], requires_grad=True)
    log_s = torch.tensor([0.0, 0.0], requires_grad=True)
    log_prob(torch.tensor([200.0, 55.0]), mu, log_s).sum().backward()
    torch.testing.assert_close(mu.grad, torch.tensor([1.0, -1.0]))
    assert log_s.grad is not None
    assert torch.isfinite(log_s.grad).all()


def test_clamp_floors_each_component():
    far = Mixture(torch.zeros(2), torch.tensor([0.0, 0.0]), torch.zeros(2))
    assert mixture_log_prob(torch.tensor(200.0), far, SREC_CLAMP).item() == pytest.approx(math.log(1e-12), rel=1e-6)
    assert mixture_log_prob(torch.tensor(200.0), far).item() < -190


def test_chain_weights_factorise_the_joint():
    g = torch.Generator().manual_seed(0)
    shape = (1, 3, 50, 4)
    shared = Mixture(
        torch.randn(1, 1, 50, 4, generator=g, dtype=torch.float64),
        torch.rand(*shape, generator=g, dtype=torch.float64) * 255,
        torch.rand(*shape, generator=g, dtype=torch.float64) * 3,
    )
    value = torch.randint(0, 256, shape[:-1], generator=g)
    per_channel = mixture_log_prob(value, chain_weights(value, shared)).sum(dim=1)
    parts = log_prob(value.unsqueeze(-1), shared.mu, shared.log_s).sum(dim=1)
    joint = torch.logsumexp(torch.log_softmax(shared.logits[:, 0], -1) + parts, dim=-1)
    torch.testing.assert_close(per_channel, joint, rtol=1e-12, atol=1e-10)


def test_chain_keeps_the_surprise_fair():
    """Drawing the hidden component once for all channels, mean NLL equals mean entropy within its error."""
    g = torch.Generator().manual_seed(2)
    n, k = 20_000, 3
    logits = torch.randn(1, 1, n, k, generator=g)
    mu, log_s = torch.rand(1, 3, n, k, generator=g) * 255, torch.rand(1, 3, n, k, generator=g) * 3
    component = torch.multinomial(torch.softmax(logits[0, 0], -1), 1, generator=g).view(1, 1, n, 1).expand(1, 3, n, 1)
    one = Mixture(torch.zeros(1, 3, n, 1), mu.gather(-1, component), log_s.gather(-1, component))
    value = sample(one, g)
    mixture = chain_weights(value, Mixture(logits, mu, log_s))
    gap = (-mixture_log_prob(value, mixture) - entropy(mixture)).sum(dim=1)
    assert abs(gap.mean().item()) < 4 * gap.std().item() / math.sqrt(n)


@pytest.mark.golden
def test_golden_log_masses(golden_path):
    vectors = np.load(golden_path("logistic.npz"), allow_pickle=False)
    mu, log_s, value = (torch.from_numpy(c) for c in vectors["single_mu_logs_v"].T.copy())
    np.testing.assert_allclose(log_prob(value, mu, log_s), vectors["single_logp"], rtol=1e-13, atol=1e-15)
    found32 = log_prob(value.float(), mu.float(), log_s.float())
    np.testing.assert_allclose(found32, vectors["single_logp"], rtol=3e-6, atol=3e-6)
    mixture = Mixture(*(torch.from_numpy(vectors[f"mix_{n}"])[:, None] for n in ("logits", "mu", "logs")))
    np.testing.assert_allclose(
        mixture_log_prob(VALUES.double(), mixture), vectors["mix_logp_all256"], rtol=1e-12, atol=1e-15
    )
