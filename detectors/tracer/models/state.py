"""State dicts of the tracer's models, loaded strictly except for entries that hold no weights."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from detectors.parts.weights import check_state, find_state, read_checkpoint

# Entries that hold no learnt weight: a usage counter of training, and tables that the model computes.
# They may be present, absent or of another type.
IGNORED = ("ema_vocab_hit_SV", "lvl_1L", "attn_bias_for_masking", "zero_k_bias", "attn_mask")


def ignored(key: str) -> bool:
    """Whether an entry of a checkpoint holds no learnt weight."""
    return key.rpartition(".")[2] in IGNORED


def read_state(path: Path) -> dict[str, Tensor]:
    """A state dict from a safetensors file or a weights-only pickle, on the CPU.

    Raises:
        CheckpointError: If there is no such file, it is damaged, or loading it would run code.
    """
    return find_state(read_checkpoint(path), path).state


def fit_state(model: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Load weights in place: every learnt entry must be present with the right shape, and no other.

    Args:
        model: Receives the weights; its own buffers named in :data:`IGNORED` stay as built.
        state: From :func:`read_state`.
        source: Named in errors.

    Raises:
        CheckpointError: If keys are missing, unexpected or of another shape; the message names them.
    """
    expected = {key: value for key, value in model.state_dict().items() if not ignored(key)}
    given = {key: value for key, value in state.items() if not ignored(key)}
    check_state(given, expected, source, type(model).__name__)
    model.load_state_dict(given, strict=False)
