"""Staged augmentations: the published schedule, closed forms, and reproducibility."""

from collections import Counter

import pytest
import torch

from detectors.tracer.augment import OPERATIONS, STAGES, Operation, apply, augment, stage_at

# the strengths at which the paper measures robustness
ATTACKS: dict[Operation, float] = {
    "noise": 0.05,
    "blur": 9,
    "jpeg": 60,
    "brightness": 1.6,
    "contrast": 2.0,
    "saturation": 2.0,
    "resize": 0.5,
}


def images(n: int = 4) -> torch.Tensor:
    return torch.rand(n, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 0.5 + 0.1


def test_published_schedule_and_its_proportions() -> None:
    assert Counter(stage_at(e, 50) for e in range(50)) == {"none": 5, "weak": 5, "medium": 20, "strong": 20}
    assert [stage_at(e, 10) for e in range(10)] == ["none", "weak", *["medium"] * 4, *["strong"] * 4]
    assert [stage_at(e, 3) for e in range(3)] == ["none", "medium", "strong"]
    with pytest.raises(ValueError, match="outside 0 to 9"):
        stage_at(10, 10)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_operations_change_pixels_but_neither_shape_nor_range(operation: Operation) -> None:
    x = images()
    got = apply(x, operation, ATTACKS[operation], noise=torch.randn_like(x))
    assert got.shape == x.shape
    assert got.dtype == x.dtype
    assert got.min() >= 0
    assert got.max() <= 1
    assert (got - x).abs().mean() > 1e-3


def test_closed_forms() -> None:
    x = images()
    torch.testing.assert_close(apply(x, "brightness", 1.5), (1.5 * x).clamp(0, 1))
    grey = x.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    torch.testing.assert_close(apply(grey, "saturation", 2.5), grey, atol=1e-3, rtol=0)
    flat = torch.full((2, 3, 32, 32), 0.25)
    for operation, amount in (("blur", 9), ("resize", 0.5), ("contrast", 2.0)):
        torch.testing.assert_close(apply(flat, operation, amount), flat, atol=1e-3, rtol=0)  # type: ignore[arg-type]
    torch.testing.assert_close(apply(x, "noise", 0.1, noise=torch.ones_like(x)), x + 0.1)
    with pytest.raises(ValueError, match="needs a noise tensor"):
        apply(x, "noise", 0.1)
    with pytest.raises(ValueError, match="unknown operation 'rotate'"):
        apply(x, "rotate", 1.0)  # type: ignore[arg-type]


def test_about_half_the_images_are_touched_and_the_seed_decides() -> None:
    x = images(64)
    one, two = (augment(x, "strong", torch.Generator().manual_seed(5)) for _ in range(2))
    torch.testing.assert_close(one, two)
    other = augment(x, "strong", torch.Generator().manual_seed(6))
    assert not torch.equal(one, other)
    touched = (one != x).flatten(1).any(1).float().mean()
    assert 0.3 < touched < 0.7
    torch.testing.assert_close(augment(x, "none", torch.Generator()), x)
    torch.testing.assert_close(augment(x, "strong", torch.Generator(), probability=0.0), x)


def test_stages_grow_harder_and_unknown_ones_are_named() -> None:
    x = images(48)
    change = []
    for stage in STAGES:
        seen = augment(x, stage, torch.Generator().manual_seed(1), probability=1.0)
        change.append((seen - x).abs().mean().item())
    assert change == sorted(change)
    assert change[0] == 0
    with pytest.raises(ValueError, match="unknown stage 'hard'"):
        augment(x, "hard", torch.Generator())
