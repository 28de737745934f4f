"""Checkpoints in every published form, read without running code and loaded strictly."""

import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from contracts.errors import CheckpointError
from contracts.names import is_exported
from contracts.process.ranks import rank_zero_info
from detectors.base import PASSPORT, Detector
from detectors.parts.exported_folder import read_folder
from detectors.parts.plain_pickle import Array, plain_globals

STATE_KEYS = (
    "state_dict_ema", "model_ema", "ema", "params_ema", "state_dict", "model_state_dict", "model", "nets", "net",
    "network", "netC", "module", "weights", "params", "teacher",
)  # fmt: skip
"""Entries in which training scripts store weights, possibly nested, in order of preference. Averaged weights come
first: they are the ones such scripts evaluate."""

MAGIC = (b"PK", b"\x80")  # First bytes of checkpoints: zip archives, and pickles of protocol 2 or later in older ones

WRAPPERS = ("module.", "model.", "net.", "_orig_mod.")
"""Prefixes that DataParallel, an outer module, Lightning modules and ``torch.compile`` add to every key."""

COUNT = "n_averaged"  # Beside the keys ``module.…`` of torch's ``AveragedModel``: the number of averaged models


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint's plain containers and tensors, on the CPU.

    Args:
        path: a ``.safetensors`` file, a pickle of tensors and plain containers (``.pth``, ``.pt``, ``.ckpt``), or a
            folder that ``task=export`` wrote.

    Raises:
        CheckpointError: the file is missing, unreadable, or contains Python objects, whose loading could run code.
    """
    path = Path(path)
    if is_exported(path):
        return read_folder(path)
    if not path.is_file():
        raise CheckpointError(f"no checkpoint file {path}", "Check the path; folders and glob patterns are not read.")
    if path.suffix == ".safetensors":
        try:
            return dict(load_file(path))
        except SafetensorError as error:
            raise CheckpointError(f"{path} is not a readable safetensors file: {error}", "Copy it again.") from error
    if not _begins(path).startswith(MAGIC):
        raise CheckpointError(
            f"{path} is not a checkpoint: it begins with {_begins(path)!r}",
            "Give a .safetensors, .pth, .pt or .ckpt file; fetch it again if a web page was saved in its place.",
        )
    try:
        with plain_globals():
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        _refuse(path, error)
    except (RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path} cannot be read as a checkpoint: {first_line(error)}", "It may be truncated; copy it again."
        ) from error
    if isinstance(checkpoint, Mapping):
        return dict(checkpoint)
    raise CheckpointError(
        f"{path} contains a {type(checkpoint).__name__}, not a dictionary of tensors",
        "Save model.state_dict() instead.",
    )


def _begins(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(16)


def _refuse(path: Path, error: pickle.UnpicklingError) -> NoReturn:
    """Distinguish a rejected Python object from a file that is not a pickle."""
    text = str(error)
    if "GLOBAL" in text or "Unsupported" in text or zipfile.is_zipfile(path):
        name = next((line.strip() for line in text.splitlines() if "GLOBAL" in line or "Unsupported" in line), text)
        raise CheckpointError(
            f"{path} contains Python objects, and loading those could run code from the file; refused ({name[:200]})",
            "Ask for (or save) only the state dict: tensors in plain containers, or safetensors.",
        ) from error
    raise CheckpointError(
        f"{path} is not a checkpoint: {first_line(error)}", "Give a .safetensors, .pth, .pt or .ckpt file."
    ) from error


def first_line(error: Exception) -> str:
    """First line of an error's message, or its type's name."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


@dataclass(frozen=True)
class Found:
    """The weights inside a checkpoint."""

    state: dict[str, Tensor]  # tensors by name
    entries: tuple[str, ...] = ()  # keys of the entries that contain them, outermost first
    prefix: str = ""  # the prefix removed from every name

    def __str__(self) -> str:
        entry = "".join(f" of its entry {key!r}" for key in reversed(self.entries))
        return f"{len(self.state)} tensors{entry}" + (f", without the prefix {self.prefix!r}" if self.prefix else "")


def find_state(checkpoint: Mapping[str, Any], path: str | Path) -> Found:
    """Find the state dict of a checkpoint: the checkpoint itself, or its entry under one of `STATE_KEYS`.

    Prefixes that all keys share because of a wrapper (see `WRAPPERS`, nested in any order) are removed, and so is the
    count of torch's ``AveragedModel``.

    Raises:
        CheckpointError: no entry consists of tensors.
    """
    found = _search(checkpoint, ())
    if found is None:
        raise CheckpointError(
            f"{path} contains no state dict; its entries are {sorted(map(str, checkpoint))[:12]}",
            f"Save the weights alone or under one of {', '.join(STATE_KEYS)}.",
        )
    entries, state = found
    if COUNT in state and all(key.startswith("module.") for key in state.keys() - {COUNT}):
        state = {key: value for key, value in state.items() if key != COUNT}
    whole = ""
    while True:
        prefix = next((p for p in WRAPPERS if all(key.startswith(p) for key in state)), None)
        if prefix is None:
            return Found(state, entries, whole)
        whole += prefix
        state = {key.removeprefix(prefix): value for key, value in state.items()}


def _search(node: Mapping[Any, Any], entries: tuple[str, ...]) -> tuple[tuple[str, ...], dict[str, Tensor]] | None:
    state = _tensors(node)
    if state is not None:
        return entries, state
    for key in STATE_KEYS if len(entries) < 3 else ():
        inner = node.get(key)
        found = _search(inner, (*entries, key)) if isinstance(inner, Mapping) else None
        if found is not None:
            return found
    return None


def _tensors(candidate: Mapping[Any, Any]) -> dict[str, Tensor] | None:
    """The mapping, if it is not empty and maps strings only to tensors (or NumPy arrays of numbers)."""
    state: dict[str, Tensor] = {}
    for key, value in candidate.items():
        tensor = (
            torch.from_numpy(value.values) if isinstance(value, Array) and value.values.dtype.kind in "fiub" else value
        )
        if not isinstance(key, str) or not isinstance(tensor, Tensor):
            return None
        state[key] = tensor
    return state or None


def check_state(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], path: str | Path, what: str) -> None:
    """Compare a state dict with a module's.

    Files of torch before 1.0 lack the counters ``num_batches_tracked``, which torch sets to 0.

    Raises:
        CheckpointError: names the missing and unexpected keys, and those with another shape.
    """
    differences = {
        "missing": sorted(k for k in wanted.keys() - state.keys() if not k.endswith("num_batches_tracked")),
        "unexpected": sorted(state.keys() - wanted.keys()),
        "of another shape": [
            f"{key} {list(state[key].shape)} instead of {list(wanted[key].shape)}"
            for key in sorted(wanted.keys() & state.keys())
            if state[key].shape != wanted[key].shape
        ],
    }
    found = [f"{len(keys)} {name}: {_some(keys)}" for name, keys in differences.items() if keys]
    if found:
        raise CheckpointError(
            f"{path} does not fit {what}\n    " + "\n    ".join(found),
            "Choose the detector (and its options) these weights were trained with.",
        )


def _some(keys: list[str], count: int = 6) -> str:
    return ", ".join(keys[:count]) + (f", … and {len(keys) - count} more" if len(keys) > count else "")


def load_weights(module: nn.Module, path: str | Path) -> None:
    """Load a checkpoint of any form strictly, in place; into a `Detector`'s ``net`` after its ``on_load_weights``.

    Raises:
        CheckpointError: the file is unreadable or unsafe, or does not fit.
    """
    checkpoint = read_checkpoint(path)
    found = find_state(checkpoint, path)
    net, state, layout = module, found.state, ""
    if isinstance(module, Detector):
        module.check_checkpoint(checkpoint)
        try:
            net, state = module.net, module.on_load_weights(found.state)
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error.what}", error.step) from error
        layout = module.layout
    check_state(state, net.state_dict(), path, type(module).__name__)
    net.load_state_dict(state)
    if PASSPORT not in checkpoint:
        rank_zero_info(f"{path}: read {found}{layout and f'; {layout}'}")


def tensors_hash(state: Mapping[str, Tensor]) -> str:
    """SHA-256, hexadecimal, of a state dict: names, types, shapes and values, in the order of the names."""
    digest = sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
