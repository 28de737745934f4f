"""The interface of detectors that can show maps of an image."""

from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class Explainable(Protocol):
    """A detector that can show the artefact maps it scores."""

    @property
    def map_names(self) -> tuple[str, ...]:
        """Short names of the maps. An extra ``attention`` of equal length, if there is one, holds their weights."""
        ...

    def artefact_maps(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W], uint8 or unit-range float32 → [B, K, H', W'] float32; 1 is white minus black."""
        ...
