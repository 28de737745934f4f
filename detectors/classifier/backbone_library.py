"""What is asked of a library of backbones."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from detectors.parts.normalise import Channels

State = dict[str, Tensor]


@dataclass(frozen=True)
class Built:
    """A backbone as its library makes it.

    Attributes:
        module: normalised images [B, 3, H, W] → features [B, D].
        mean: of each channel, the library's record.
        std: of each channel, the library's record.
        image_size: side of the square it was made for.
        fixed_size: whether it takes images of that size alone.
        quick_gelu: whether QuickGELU was put in because the weights' record says so; by its name it has GELU.
    """

    module: nn.Module
    mean: Channels
    std: Channels
    image_size: int
    fixed_size: bool
    quick_gelu: bool = False


class Library(ABC):
    """What is asked of each library."""

    @abstractmethod
    def names(self) -> list[str]:
        """All model names, without the library's prefix."""

    @abstractmethod
    def build(self, name: str, pretrained: bool, pooling: str | None, image_size: int | None) -> Built:
        """Make a model without its classifier; raises the library's own errors."""

    @abstractmethod
    def adapt(self, name: str, module: nn.Module, state: State) -> State:
        """A state dict as published, classifier and all, → the module's own keys."""

    @abstractmethod
    def heads(self, name: str) -> tuple[str, ...]:
        """Names of the linear classifiers in published state dicts, such as ``fc``; none of towers without one."""

    @abstractmethod
    def source(self, name: str) -> str:
        """Where the pretrained weights come from: a URL, or words."""

    def ambiguity(self, name: str) -> str | None:  # noqa: ARG002 - for libraries whose names leave something open
        """What weights from a file may need that the name does not say, as a sentence; None where it says all."""
        return None

    def knows(self, name: str) -> bool:
        """Whether `build` accepts the name."""
        return name in self.names()


def without(state: Mapping[str, Tensor], heads: Collection[str], wanted: Collection[str]) -> State:
    """A state dict less the entries of the named parts, unless the module wants them."""
    gone: Callable[[str], bool] = lambda key: any(key.startswith(f"{head}.") for head in heads)  # noqa: E731
    return {key: value for key, value in state.items() if key in wanted or not gone(key)}
