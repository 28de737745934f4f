"""Reading weight files without running code from them, and fitting them to a model strictly."""

import difflib
import pickle
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

# Entries that hold no learnt weight: a usage counter of training, and tables the model builds for itself.
# They may be present, absent or of another type.
IGNORED = ("ema_vocab_hit_SV", "lvl_1L", "attn_bias_for_masking", "zero_k_bias", "attn_mask")
SHOWN = 5


class WeightsError(ValueError):
    """A weight file that cannot be read, or does not fit the model it is meant for."""


def ignored(key: str) -> bool:
    """Whether an entry of a checkpoint holds no learnt weight."""
    return key.rpartition(".")[2] in IGNORED


def read_state(path: Path) -> dict[str, Tensor]:
    """A state dict from a safetensors file or a weights-only pickle, on the CPU.

    Args:
        path: ``*.safetensors``, or what ``torch.save`` wrote.

    Raises:
        FileNotFoundError: If there is no such file; names the files of that kind that are there.
        WeightsError: If the file is damaged, holds anything but tensors, or would have to run code to load.
    """
    if not path.is_file():
        beside = sorted(p.name for p in path.parent.iterdir()) if path.parent.is_dir() else []
        near = difflib.get_close_matches(path.name, beside, n=3)
        hint = f"; near it: {', '.join(near)}" if near else ""
        raise FileNotFoundError(f"no weight file {path}{hint}")
    try:
        if path.suffix == ".safetensors":
            return dict(safetensors.torch.load_file(path))
    except safetensors.SafetensorError as error:
        raise WeightsError(f"{path} is no sound safetensors file ({error}); download it again") from error
    loaded = read_pickle(path)
    state = {key: value for key, value in loaded.items() if isinstance(value, Tensor)}
    strangers = [key for key in loaded if key not in state]
    if strangers:
        raise WeightsError(
            f"{path} holds more than tensors: {_some(strangers)}; give the file of the state dict itself"
        )
    return state


def read_pickle(path: Path) -> Mapping[str, object]:
    """A dictionary that ``torch.save`` wrote, loaded without running code, on the CPU.

    Raises:
        WeightsError: If the file is damaged, would have to run code, or holds no dictionary.
    """
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise WeightsError(
            f"{path} cannot be read as plain tensors ({type(error).__name__}: {str(error).splitlines()[0]}); "
            "download it again, or convert it to safetensors"
        ) from error
    if not isinstance(loaded, Mapping):
        raise WeightsError(f"{path} holds a {type(loaded).__name__}, not a dictionary of weights")
    return loaded


def fit_state(model: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Load weights in place: every learnt entry must be there, none too many, each of the right shape.

    Args:
        model: Receives the weights; its own buffers named in :data:`IGNORED` stay as built.
        state: From :func:`read_state`.
        source: Named in errors.

    Raises:
        WeightsError: Naming the keys that are missing, unknown or of another shape.
    """
    expected = {key: value for key, value in model.state_dict().items() if not ignored(key)}
    given = {key: value for key, value in state.items() if not ignored(key)}
    problems = []
    if missing := [key for key in expected if key not in given]:
        problems.append(f"{len(missing)} missing ({_some(missing)})")
    if unknown := [key for key in given if key not in expected]:
        problems.append(f"{len(unknown)} unknown ({_some(unknown)})")
    shapes = [
        f"{key}: {tuple(given[key].shape)} where {tuple(expected[key].shape)} belongs"
        for key in expected
        if key in given and given[key].shape != expected[key].shape
    ]
    if shapes:
        problems.append(f"{len(shapes)} of another shape ({_some(shapes)})")
    if problems:
        raise WeightsError(f"{source} does not fit {type(model).__name__}: {'; '.join(problems)}")
    model.load_state_dict(given, strict=False)


def _some(items: list[str]) -> str:
    """The first few of a list, and how many more there are."""
    more = f", and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(items[:SHOWN]) + more
