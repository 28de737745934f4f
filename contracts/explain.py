"""What a detector offers beside scores, for those who want to see what it looks at."""

from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class Explainable(Protocol):
    """A detector that can show its input maps.

    Attributes:
        map_names: one a map. Where a detector gives an extra ``attention`` with as many values, they are its weights.
    """

    @property
    def map_names(self) -> tuple[str, ...]:
        """Short names of the maps."""
        ...

    def artefact_maps(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W], uint8 or unit-range float32 → [B, K, H', W'] float32 from 0 to 1 (white - black)."""
        ...
