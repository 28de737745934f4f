"""A backbone that is used but not trained."""

from hashlib import sha256
from typing import Any, Self

import torch
from torch import Tensor, nn

from detectors.parts.slices import in_slices


class Frozen(nn.Module):
    """Keeps a module in evaluation mode, without gradients, and out of every state dict.

    Loading a state dict without its weights does not change them; other modules are still loaded strictly.

    Args:
        module: the module to freeze; its parameters no longer require gradients.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module.requires_grad_(False)
        self.register_load_state_dict_pre_hook(_fill_in)  # type: ignore[no-untyped-call]
        self.train(False)

    def train(self, mode: bool = True) -> Self:  # noqa: ARG002 - frozen in every mode of the outer module
        """Stay in evaluation mode."""
        return super().train(False)

    def state_dict(self, *args: Any, destination: Any = None, **kwargs: Any) -> Any:  # noqa: ARG002
        """Return nothing, so that the frozen weights are not saved."""
        return {} if destination is None else destination

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """The module's output, without gradients."""
        return in_slices(self.module, x, fours=True)


def _fill_in(frozen: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Before loading, add the frozen weights to the state dict."""
    module = frozen.get_submodule("module")
    state.update({f"{prefix}module.{key}": value for key, value in module.state_dict().items()})


def state_hash(module: nn.Module) -> str:
    """SHA-256 of a module's names, shapes and values, hexadecimal."""
    digest = sha256()
    for name, value in module.state_dict().items():
        tensor = value.detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.view(-1).view(torch.uint8).numpy().data if tensor.numel() else b"")
    return digest.hexdigest()
