"""Checkpoints on disk: written whole or not at all, read without running code."""
# ruff: noqa: ARG002 - the signatures are Lightning's

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO

from contracts.errors import CheckpointError
from contracts.files import sync
from detectors.parts.weights import read_checkpoint


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
        sync(target.parent)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Plain content only, whatever ``weights_only`` says."""
        return read_checkpoint(Path(path))
