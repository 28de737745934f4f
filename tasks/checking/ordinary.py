"""Trainers that Lightning accepts and that can score without it, because its import is slow."""

import os
from collections.abc import Mapping
from typing import Any

from contracts.process.stop import one_of_several

ORDINARY: dict[str, list[Any]] = {
    "_target_": ["pytorch_lightning.Trainer"],
    "accelerator": ["auto", "cpu", "gpu", "cuda"],
    "devices": [1, "1", "auto"],
    "strategy": ["auto"],
    "num_nodes": [1],
    "precision": [None, 32, "32", "32-true", "bf16-mixed"],
    "num_sanity_val_steps": [0],
    "enable_progress_bar": [True, False],
    "enable_model_summary": [True, False],
    "use_distributed_sampler": [True, False],
}
"""Values of keys."""
COUNTS = ("max_epochs", "log_every_n_steps", "accumulate_grad_batches", "check_val_every_n_epoch")
"""Further keys, of whole numbers from 1."""


def ordinary_device(trainer: Mapping[str, Any], env: Mapping[str, str] = os.environ) -> str | None:
    """``cpu`` or ``cuda`` for a trainer of one process with common keys; None for every other trainer.

    Args:
        trainer: its resolved node.
        env: environment, which may make this process one of several, or change Lightning's defaults.
    """
    for key, value in trainer.items():
        of_kind = [one for one in ORDINARY.get(key, ()) if type(one) is type(value)]
        if value not in of_kind and not (key in COUNTS and type(value) is int and value > 0):
            return None
    if one_of_several(env) or any(name.startswith("PL_TRAINER_") for name in env):
        return None
    import torch  # slow

    accelerator = trainer.get("accelerator", "auto")
    if accelerator == "cpu":
        return "cpu"
    if torch.cuda.is_available():
        return "cuda" if trainer.get("devices", "auto") != "auto" or torch.cuda.device_count() == 1 else None
    return "cpu" if accelerator == "auto" and not torch.backends.mps.is_available() else None
