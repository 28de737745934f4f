"""An exponential moving average of weights, for evaluation and checkpoints."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


class WeightAverage:
    """The running average of a network's parameters.

    Random initial weights would dominate the first averages, so the decay of update n is
    min(decay, (1 + n) / (10 + n)), the rule of TensorFlow's ``ExponentialMovingAverage``.

    Args:
        net: the network that is trained.
        decay: fraction of the old average kept at each update.
    """

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.net = net
        self.decay = decay
        self.updates = 0
        self.swapped = False
        self._other = {name: p.detach().clone() for name, p in net.named_parameters()}

    @torch.no_grad()
    def update(self) -> None:
        """Update the average after an optimiser step."""
        self.updates += 1
        keep = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for name, parameter in self.net.named_parameters():
            self._other[name] = self._other[name].to(parameter.device).lerp_(parameter, 1 - keep)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the network's weights with those stored here."""
        for name, parameter in self.net.named_parameters():
            held = parameter.detach().clone()
            parameter.copy_(self._other[name])
            self._other[name] = held
        self.swapped = not self.swapped

    def raw(self) -> dict[str, Tensor]:
        """The trained weights, whether they are in the network or stored here."""
        return dict(self._other) if self.swapped else self._current()

    def average(self) -> dict[str, Tensor]:
        """Their average, whether it is in the network or stored here."""
        return self._current() if self.swapped else dict(self._other)

    def state_dict(self) -> dict[str, Any]:
        """The number of updates and the average."""
        return {"updates": self.updates, "average": self.average()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a state; the network must hold its trained weights."""
        self.updates = int(state["updates"])
        self._other = {name: tensor.clone() for name, tensor in state["average"].items()}

    def _current(self) -> dict[str, Tensor]:
        return {name: p.detach() for name, p in self.net.named_parameters()}
