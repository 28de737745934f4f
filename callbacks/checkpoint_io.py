"""Checkpoints on disk: written whole or not at all, read without running code."""

import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO

from contracts.errors import CheckpointError


def sync_folder(folder: Path) -> None:
    """Makes a rename inside a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a small file whole or not at all: temporary name, fsync, rename."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint's plain content on the CPU.

    Raises:
        CheckpointError: the file is missing, cut short, or holds more than tensors and plain containers.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint", "Give ckpt= the path of an existing file.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} holds more than tensors and plain containers ({str(error).splitlines()[0]})",
            "It is not loaded, since doing so could run code. Ask its author for safetensors or a bare state dict.",
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"{path} is cut short or no checkpoint ({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''})",
            "Copy it again, or use the checkpoint before it.",
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not a state dict", "Give another file.")
    return content


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoint plugin with a temporary name, fsync and rename; reads plain content only."""

    def save_checkpoint(self, checkpoint: Mapping[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Saves whole or not at all; a full disk leaves the older checkpoint as it was.

        Raises:
            CheckpointError: the disk is full or the folder cannot be written.
        """
        if storage_options is not None:
            raise TypeError("AtomicCheckpointIO writes to local files and takes no storage options")
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        try:
            with temporary.open("wb") as file:
                torch.save(dict(checkpoint), file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        except (OSError, RuntimeError) as error:
            raise CheckpointError(
                f"{target} could not be written ({error})",
                "Free some space or choose another disk, and run the same command again: it resumes from the "
                "checkpoint before.",
            ) from error
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(target.parent)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Plain content only, whatever ``weights_only`` says."""
        return read_checkpoint(Path(path))
