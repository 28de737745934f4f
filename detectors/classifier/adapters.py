"""How much of a backbone is tuned: all of it, the smallest singular directions of its attention, or adapters."""

from dataclasses import dataclass

from torch import nn

from contracts.errors import ConfigError, nearest
from detectors.backbones.hf_clip import from_hf_clip, is_hf_clip
from detectors.backbones.library import State
from detectors.classifier.lora import add_adapters, merged_adapters, translated_adapters
from detectors.classifier.svd import merged_splits, split_attention

TUNES = ("all", "svd", "lora")
RANKS = {"all": None, "svd": 1, "lora": 8}


@dataclass(frozen=True)
class Tuning:
    """Which weights of a backbone are tuned.

    Raises:
        ConfigError: an unknown ``tune``, or options of another tuning method.
    """

    tune: str = "all"  # one of `TUNES`
    rank: int | None = None  # see `detectors.classifier.detector.Classifier`, as all others
    alpha: float | None = None  # of LoRA
    rank_stabilised: bool = False  # of LoRA
    modules: str | None = None  # of LoRA
    regulariser: float = 0.0  # of Effort

    def __post_init__(self) -> None:
        if self.tune not in TUNES:
            raise ConfigError(f"detector.tune={self.tune!r} is unknown", nearest(self.tune, TUNES))
        for name, value, default, fits in (
            ("rank", self.rank, None, self.tune != "all"),
            ("alpha", self.alpha, None, self.tune == "lora"),
            ("rank_stabilised", self.rank_stabilised, False, self.tune == "lora"),
            ("tuned_modules", self.modules, None, self.tune == "lora"),
            ("regulariser", self.regulariser, 0.0, self.tune == "svd"),
        ):
            if value != default and not fits:
                raise ConfigError(
                    f"detector.{name}={value} with detector.tune={self.tune}", f"Leave detector.{name} out."
                )
        if self.regulariser < 0:
            raise ConfigError(f"detector.regulariser={self.regulariser}", "Give 0, or a positive weight.")

    def apply(self, module: nn.Module, name: str) -> None:
        """Freeze the weights that are not tuned, in place.

        Raises:
            ConfigError: the backbone has nothing to tune in this way.
        """
        rank = self.rank if self.rank is not None else RANKS[self.tune]
        if self.tune == "svd":
            split_attention(module, name, rank or 0, self.regulariser > 0)
        if self.tune == "lora":
            alpha = float(rank or 0) if self.alpha is None else self.alpha
            add_adapters(module, name, rank or 0, alpha, self.rank_stabilised, self.modules)

    def merged(self, module: nn.Module) -> State:
        """The state dict of a backbone with plain weights that computes the same."""
        if self.tune == "svd":
            return merged_splits(module)
        return merged_adapters(module) if self.tune == "lora" else dict(module.state_dict())

    def translated(self, state: State) -> State:
        """A whole published state dict, with its adapters under our names."""
        return translated_adapters(state) if self.tune == "lora" else state


def from_transformers(state: State) -> State:
    """A backbone's state dict, translated if it is of transformers' CLIP tower."""
    return from_hf_clip(state) if is_hf_clip(state) else state
