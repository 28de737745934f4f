"""Training losses: what they say of a fresh model, that they go down, and that chance follows the generator."""

import math

import pytest
import torch
from torch import nn

from detectors.tracer.models.rar_transformer import RarTransformer
from detectors.tracer.models.sizes import RarSize, VarSize
from detectors.tracer.models.var_quantiser import VarQuantiser
from detectors.tracer.models.var_transformer import VarTransformer
from detectors.tracer.training import drop_labels, random_order_share, rar_loss, var_loss


def descend(model: nn.Module, loss_of: object, steps: int, lr: float) -> list[float]:
    optimiser = torch.optim.AdamW(model.parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        loss = loss_of()  # type: ignore[operator]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


def test_var_learns_two_images() -> None:
    torch.manual_seed(0)
    model = VarTransformer(VarSize(depth=1, width=64, heads=1, classes=2, codebook=8, latent=4, patch_nums=(1, 2)))
    quantiser = VarQuantiser(8, 4, (1, 2)).requires_grad_(False)
    tokens, labels = torch.randint(0, 8, (2, 5)), torch.tensor([0, 1])
    fed, generator = quantiser.teacher_input(tokens), torch.Generator().manual_seed(0)
    losses = descend(model, lambda: var_loss(model, labels, tokens, fed, generator, drop=0.0), 60, 3e-3)
    assert losses[0] == pytest.approx(math.log(8), abs=0.5)
    assert losses[-1] < 0.2 * losses[0]


def test_rar_learns_two_images_in_any_order() -> None:
    torch.manual_seed(0)
    model = RarTransformer(RarSize(width=32, depth=1, heads=2, mlp=64, classes=2, codebook=8, length=4))
    tokens, labels = torch.randint(0, 8, (2, 4)), torch.tensor([0, 1])
    generator = torch.Generator().manual_seed(0)
    losses = descend(model, lambda: rar_loss(model, labels, tokens, generator, random_orders=0.5, drop=0.0), 120, 1e-2)
    assert losses[0] == pytest.approx(math.log(8), abs=0.5)
    assert losses[-1] < 0.3 * losses[0]
    with torch.no_grad():
        raster = rar_loss(model, labels, tokens, generator, random_orders=0.0, drop=0.0)
        plain = nn.functional.cross_entropy(model(labels, tokens).flatten(0, 1), tokens.flatten())
    torch.testing.assert_close(raster, plain)


def test_label_drop_and_order_schedule() -> None:
    labels = torch.zeros(2000, dtype=torch.int64)
    dropped = drop_labels(labels, 7, 0.1, torch.Generator().manual_seed(0))
    assert set(dropped.tolist()) == {0, 7}
    assert (dropped == 7).float().mean().item() == pytest.approx(0.1, abs=0.03)
    torch.testing.assert_close(drop_labels(labels, 7, 0.0, torch.Generator()), labels)
    assert [random_order_share(p) for p in (0.0, 0.5, 0.625, 0.75, 1.0)] == [1.0, 1.0, 0.5, 0.0, 0.0]
