"""Interface of a library of backbones."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from detectors.parts.normalise import Channels

State = dict[str, Tensor]


@dataclass(frozen=True)
class Built:
    """A backbone created by its library."""

    module: nn.Module  # normalised images [B, 3, H, W] → features [B, D]
    mean: Channels  # mean of each channel on the unit range, from the library's record
    std: Channels  # standard deviation of each channel on the unit range, from the library's record
    image_size: int  # side of the square images it was made for
    fixed_size: bool  # whether it accepts only images of that size
    quick_gelu: bool = False
    """Whether QuickGELU was chosen because of the weights' record, although the name implies GELU."""


class Library(ABC):
    """A library of backbones."""

    @abstractmethod
    def names(self) -> list[str]:
        """All model names, without the library's prefix."""

    @abstractmethod
    def build(self, name: str, pretrained: bool, pooling: str | None, image_size: int | None) -> Built:
        """Create a model without its classifier; raises the library's own errors."""

    @abstractmethod
    def adapt(self, name: str, module: nn.Module, state: State) -> State:
        """Convert a published state dict, including its classifier, to the module's keys."""

    @abstractmethod
    def heads(self, name: str) -> tuple[str, ...]:
        """Names of the linear classifiers in published state dicts, such as ``fc``."""

    @abstractmethod
    def source(self, name: str) -> str:
        """Source of the pretrained weights: a URL or a description."""

    def ambiguity(self, name: str) -> str | None:  # noqa: ARG002 - names are ambiguous in some libraries only
        """Sentence about an activation that weights from a file may need but the name does not specify, or None."""
        return None

    def knows(self, name: str) -> bool:
        """Whether `build` accepts the name."""
        return name in self.names()


def without(state: Mapping[str, Tensor], heads: Collection[str], wanted: Collection[str]) -> State:
    """A state dict without the entries of the named parts that the module does not have."""
    prefixes = tuple(f"{head}." for head in heads)
    return {key: value for key, value in state.items() if key in wanted or not key.startswith(prefixes)}
