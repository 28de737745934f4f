import pytest
import torch

from detectors.parts.training.schedules import NPRDecay, OneCycle


def _sgd(lr: float) -> torch.optim.SGD:
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr)


def test_npr_decay_is_the_authors_rule() -> None:
    optimizer = _sgd(2e-4)
    schedule = NPRDecay(optimizer)
    seen, expected, rate = [], [], 2e-4
    for epoch in range(50):
        expected.append(rate)
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
        if epoch > 0 and epoch % 10 == 0:  # at the end of the epoch, as their train.py does
            rate *= 0.9
    assert seen == pytest.approx(expected, rel=1e-12)
    rates = [round(rate, 10) for rate in seen]
    assert [(r, rates.count(r)) for r in dict.fromkeys(rates)] == [
        (2e-4, 11), (1.8e-4, 10), (1.62e-4, 10), (1.458e-4, 10), (1.3122e-4, 9),
    ]  # fmt: skip


def test_one_cycle_peaks_at_the_optimisers_rate() -> None:
    optimizer = _sgd(0.01)
    schedule = OneCycle(optimizer, total_steps=100, warmup=0.25)
    rates = []
    for _ in range(100):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step() if len(rates) < 100 else None
    assert max(rates) == pytest.approx(0.01)
    assert rates.index(max(rates)) in (23, 24, 25)
    assert rates[0] == pytest.approx(0.01 / 25)
    assert rates[-1] < 1e-6
