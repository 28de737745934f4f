"""Group normalisation in place against the library's."""

import copy

import pytest
import torch
from torch import nn

from detectors.zed.models import group_norm
from detectors.zed.models.group_norm import group_norm_


def norm(groups: int, channels: int) -> nn.GroupNorm:
    made = nn.GroupNorm(groups, channels)
    nn.init.uniform_(made.weight, 0.5, 1.5)
    nn.init.uniform_(made.bias, -1, 1)
    return made


@pytest.mark.parametrize(("batch", "groups", "channels", "side"), [(1, 8, 96, 40), (3, 4, 8, 7), (2, 1, 6, 1)])
def test_it_agrees_with_the_library(
    batch: int, groups: int, channels: int, side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_norm, "ROWS", 100)
    monkeypatch.setattr(group_norm, "LARGE", 1)
    torch.manual_seed(0)
    layer = norm(groups, channels)
    x = (3 * torch.randn(batch, channels, side, side + 2) + 50).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        expected = copy.deepcopy(layer).double()(x.double()).float()
        given = x.clone(memory_format=torch.preserve_format)
        found = group_norm_(given, layer)
    assert found.data_ptr() == given.data_ptr(), "in place"
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-5)


def test_the_library_does_it_where_gradients_are_wanted_or_the_order_is_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    layer = norm(2, 4)
    x = torch.randn(2, 4, 5, 5)
    with torch.no_grad():
        assert torch.equal(group_norm_(x.clone(), layer), layer(x))
    monkeypatch.setattr(group_norm, "LARGE", 1)
    with torch.no_grad():
        assert torch.equal(group_norm_(x.clone(), layer), layer(x))
    last = x.contiguous(memory_format=torch.channels_last)
    group_norm_(last, layer).sum().backward()
    assert layer.weight.grad is not None
