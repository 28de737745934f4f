"""Checkpoint files: written completely or not at all, read without running code."""
# ruff: noqa: ARG002 - the signatures are Lightning's

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO

from contracts.errors import CheckpointError
from contracts.files import atomic_file
from detectors.parts.weights import read_checkpoint


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoint plugin with atomic writes; reads only plain content."""

    def save_checkpoint(self, checkpoint: Mapping[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Saves completely or not at all; an existing checkpoint survives a failed write.

        Raises:
            CheckpointError: the disk is full or the folder is not writable.
        """
        if storage_options is not None:
            raise TypeError("AtomicCheckpointIO writes to local files and takes no storage options")
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with atomic_file(target) as file:
                torch.save(dict(checkpoint), file)
        except (OSError, RuntimeError) as error:
            raise CheckpointError(
                f"{target} could not be written ({error})",
                "Free some space or choose another disk, and run the same command again: it resumes from the previous "
                "checkpoint.",
            ) from error

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Reads plain content only, for any value of ``weights_only``."""
        return read_checkpoint(Path(path))
