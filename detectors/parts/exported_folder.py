"""Folders of ``task=export`` as checkpoints: weights beside a plain configuration."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from contracts.errors import CheckpointError
from contracts.names import EXPORTED, is_exported
from detectors.base import PASSPORT


def weights_file(path: Path) -> Path:
    """The file that holds a checkpoint's weights: itself or, for a folder, the one that its configuration names.

    Raises:
        CheckpointError: the configuration is damaged, or does not name a file in the folder.
    """
    if not is_exported(path):
        return path
    name = _settings(path)["export"]["weights"]
    file = path / str(name)
    if Path(str(name)).name != name or not file.is_file():
        raise CheckpointError(f"{path / EXPORTED} names {name!r}, which is not a file beside it", "Export it again.")
    return file


def read_folder(path: Path) -> dict[str, Any]:
    """The entries of a checkpoint, from a folder: its weights, and its configuration as the passport.

    Raises:
        CheckpointError: a file is damaged, or the weights are not those that were exported.
    """
    settings, file = _settings(path), weights_file(path)
    content = file.read_bytes()
    if hashlib.sha256(content).hexdigest() != settings["export"]["sha256"]:
        raise CheckpointError(
            f"{file} is not the file that was exported: its SHA-256 differs", "Copy the folder again."
        )
    further = {"backbone": settings["backbone"]} if "backbone" in settings else {}
    if file.suffix == ".onnx":
        return {"state_dict": {"graph": torch.frombuffer(bytearray(content), dtype=torch.uint8)}, PASSPORT: settings}
    try:
        return {"state_dict": dict(load_file(file)), PASSPORT: settings, **further}
    except SafetensorError as error:
        raise CheckpointError(f"{file} is not a readable safetensors file: {error}", "Copy it again.") from error


def _settings(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((path / EXPORTED).read_text(encoding="utf-8"))
        found["export"]["weights"], found["export"]["sha256"], found["detector"]["_target_"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path / EXPORTED} is not a configuration that task=export wrote: {type(error).__name__} {error}",
            "Export it again.",
        ) from error
    return found
