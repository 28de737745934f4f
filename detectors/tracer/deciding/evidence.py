"""Results of the passes for N images as arrays, and the feature matrices made from them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detectors.tracer.deciding.thresholds import family_features

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Evidence:
    """Evidence on N images under all variants."""

    families: Mapping[str, str]  # Variant → family, in the order of the classes
    lengths: Mapping[str, tuple[int, ...]]  # Variant → tokens of every scale
    names: Mapping[str, tuple[str, ...]]  # Family → names of the F features
    features: Mapping[str, npt.NDArray[np.float32]]  # Variant → float32 [N, F]
    lp: Mapping[str, npt.NDArray[np.float32]]
    """Variant → float32 [N, L, 2], conditional and null log-probability of each token."""
    quant_loss: Mapping[str, npt.NDArray[np.float32]]  # Family → [N]
    enc_loss: Mapping[str, npt.NDArray[np.float32]]  # Family → [N]

    def __len__(self) -> int:
        return len(next(iter(self.quant_loss.values())))

    def take(self, rows: Rows) -> "Evidence":
        """The evidence on some of the images."""

        def some(arrays: Mapping[str, npt.NDArray[np.float32]]) -> dict[str, npt.NDArray[np.float32]]:
            return {name: array[rows] for name, array in arrays.items()}

        return Evidence(
            self.families, self.lengths, self.names, some(self.features), some(self.lp), some(self.quant_loss),
            some(self.enc_loss),
        )  # fmt: skip

    @property
    def scores(self) -> dict[str, Floats]:
        """Family → provenance score [N]."""
        return {
            family: self.quant_loss[family].astype(np.float64) * self.enc_loss[family] for family in self.quant_loss
        }

    def family_matrix(self) -> tuple[Floats, list[str]]:
        """Logarithms of both losses of every family [N, 2 × families], and their names."""
        names = [f"{family}/{loss}" for family in self.quant_loss for loss in ("log_quant", "log_enc")]
        return family_features(self.quant_loss, self.enc_loss), names

    def variant_matrix(self, family: str | None = None) -> tuple[Floats, list[str]]:
        """All features of a family's variants (or of every variant) side by side, and their names."""
        chosen = [name for name, own in self.families.items() if family in (None, own)]
        columns = [self.features[name].astype(np.float64) for name in chosen]
        names = [f"{name}/{feature}" for name in chosen for feature in self.names[self.families[name]]]
        return np.concatenate(columns, 1), names
