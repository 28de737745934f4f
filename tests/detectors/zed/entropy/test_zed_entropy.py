"""Exact entropy: closed forms, the golden table, and agreement of all routes."""

import math
import os
import subprocess
import sys
from pathlib import Path

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from detectors.zed.entropy.entropy import entropy, entropy_by_edges, entropy_by_log_probs
from detectors.zed.entropy.logistic import Mixture, mixture_log_prob, sample


def single(mu: float, s: float, dtype: torch.dtype = torch.float64) -> Mixture:
    return Mixture(*(torch.tensor([[v]], dtype=dtype) for v in (0.0, mu, math.log(s))))


def random_mixture(n: int, k: int, seed: int, low: float = -7.0, high: float = 7.0) -> Mixture:
    g = torch.Generator().manual_seed(seed)
    return Mixture(
        2 * torch.randn(n, k, generator=g),
        torch.rand(n, k, generator=g) * 355 - 50,
        torch.rand(n, k, generator=g) * (high - low) + low,
    )


@pytest.mark.parametrize(
    ("mu", "s", "nats"),
    [
        (128.0, 1.0, 2.013684),
        (127.5, 1.0, 2.013685),
        (128.0, 0.5, 1.358419),
        (128.0, 0.25, 0.739006),
        (127.5, 10.0, 4.302704),
        (0.0, 1.0, 1.129656),
        (255.0, 1.0, 1.129656),
        (128.0, 1e-3, 0.0),
        (128.5, 1e-3, math.log(2)),
        # a very wide logistic puts everything into the two absorbing end bins: ln 2, not ln 256
        (127.5, 100.0, 4.0952),
        (127.5, 1000.0, 1.2366),
        (127.5, 1e6, 0.6941),
    ],
)
@pytest.mark.parametrize("backend", ["torch", "numba"])
def test_entropy_of_single_logistic_matches_closed_form(mu, s, nats, backend):
    tolerance = 1e-4 if s >= 100 else 5e-6
    assert entropy(single(mu, s), backend).item() == pytest.approx(nats, abs=tolerance)


@pytest.mark.parametrize("backend", ["torch", "numba"])
def test_spikes_are_uniform_over_their_integers(backend):
    ten = Mixture(torch.zeros(1, 10), torch.arange(10.0)[None] * 25, torch.full((1, 10), -7.0))
    everything = Mixture(torch.zeros(1, 256), torch.arange(256.0)[None], torch.full((1, 256), -7.0))
    assert entropy(ten, backend).item() == pytest.approx(math.log(10), abs=2e-6)
    assert entropy(everything, backend).item() == pytest.approx(math.log(256), abs=5e-6)


def test_two_far_components_add_one_bit_and_copies_add_none():
    far = Mixture(torch.zeros(1, 2), torch.tensor([[64.0, 192.0]]), torch.zeros(1, 2))
    weights = torch.randn(1, 7, generator=torch.Generator().manual_seed(0))  # the last bits depend on them
    copies = Mixture(weights, torch.full((1, 7), 128.0), torch.zeros(1, 7))
    assert entropy(far).item() == pytest.approx(math.log(2) + 2.013684, abs=5e-6)
    assert entropy(copies).item() == pytest.approx(2.013684, abs=5e-6)


@given(st.integers(0, 2**31), st.integers(1, 10))
@settings(max_examples=30)
def test_fused_kernel_agrees_with_both_plain_routes(seed, k):
    mixture = random_mixture(64, k, seed)
    exact = entropy_by_edges(Mixture(*(p.double() for p in mixture)))
    torch.testing.assert_close(entropy_by_log_probs(Mixture(*(p.double() for p in mixture))), exact, atol=1e-10, rtol=0)
    torch.testing.assert_close(entropy(mixture, "numba").double(), exact, atol=2e-5, rtol=0)
    torch.testing.assert_close(entropy(mixture, "torch").double(), exact, atol=2e-5, rtol=0)


@given(hnp.arrays(np.float32, (3, 4), elements=st.floats(-5, 5, width=32)), st.permutations(range(4)), st.floats(-9, 9))
@settings(max_examples=20)
def test_order_of_components_and_shift_of_logits_do_not_matter(logits, order, shift):
    base = random_mixture(3, 4, 5)._replace(logits=torch.from_numpy(logits))
    moved = Mixture(*(p[:, list(order)] for p in base))
    moved = moved._replace(logits=moved.logits + shift)
    torch.testing.assert_close(entropy(moved), entropy(base), atol=1e-5, rtol=0)


def test_result_depends_neither_on_chunks_nor_on_neighbours_nor_on_threads():
    mixture = random_mixture(9001, 3, 8, -1, 3)
    whole = entropy(mixture, "numba")
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert torch.equal(entropy(mixture, "numba"), whole)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(entropy(Mixture(*(p[17:40] for p in mixture)), "numba"), whole[17:40])
    torch.testing.assert_close(entropy_by_edges(mixture, chunk=7), entropy_by_edges(mixture), atol=1e-6, rtol=0)


def test_surprise_equals_entropy_on_average_under_the_model_itself():
    mixture = random_mixture(40_000, 5, 3, -1, 4)
    value = sample(mixture, torch.Generator().manual_seed(1))
    gap = -mixture_log_prob(value, mixture) - entropy(mixture)
    assert abs(gap.mean().item()) < 4 * gap.std().item() / math.sqrt(len(gap))


def test_parameter_that_is_not_a_number_gives_no_number():
    mixture = random_mixture(3, 4, 0)
    mixture.mu[1, 2] = torch.nan
    assert torch.isnan(entropy(mixture, "numba")).tolist() == [False, True, False]


def test_gradient_flows_through_the_automatic_choice():
    mixture = Mixture(*(p.requires_grad_() for p in random_mixture(4, 3, 1, 0, 3)))
    entropy(mixture).sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() and p.grad.abs().sum() > 0 for p in mixture)


def test_wrong_backend_is_named():
    with pytest.raises(ValueError, match="'cuda-magic' is unknown"):
        entropy(single(1, 1), "cuda-magic")
    with pytest.raises(ValueError, match="runs on cuda"):
        entropy(single(1, 1), "triton")


def test_triton_kernel_in_its_interpreter():
    """The interpreter must be chosen before triton is first imported, hence a process of its own."""
    pytest.importorskip("triton", reason="triton comes only with GPU builds of torch")
    script = """
import torch
from detectors.zed.entropy.entropy_triton import entropy_triton
from tests.detectors.zed.entropy.test_zed_entropy import entropy_by_edges, random_mixture
mixture = random_mixture(70, 5, 4, -3, 6)
found = entropy_triton(torch.softmax(mixture.logits, -1), mixture.mu, torch.exp(-mixture.log_s))
torch.testing.assert_close(found, entropy_by_edges(mixture), atol=2e-5, rtol=0)
"""
    root = Path(__file__).parents[4]
    environment = {
        **os.environ,
        "TRITON_INTERPRET": "1",
        "PYTHONPATH": str(root),
    }
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], env=environment, cwd=root, check=True, timeout=900)


@pytest.mark.golden
@pytest.mark.parametrize("backend", ["torch", "numba"])
def test_golden_entropies(golden_path, backend):
    vectors = np.load(golden_path("logistic.npz"), allow_pickle=False)
    mu, log_s = (torch.from_numpy(column)[:, None] for column in vectors["entropy_mu_logs"].T.copy())
    found = entropy(Mixture(torch.zeros_like(mu), mu, log_s), backend).double().numpy()
    tolerance = {"torch": {"rtol": 1e-12, "atol": 1e-12}, "numba": {"rtol": 0, "atol": 2e-5}}[backend]
    np.testing.assert_allclose(found, vectors["entropy_H"], **tolerance)
    mixture = Mixture(*(torch.from_numpy(vectors[f"mix_{name}"]) for name in ("logits", "mu", "logs")))
    np.testing.assert_allclose(entropy(mixture, backend).double().numpy(), vectors["mix_H"], **tolerance)
