"""Weights & Biases as a mirror of our own files: offline unless a key says otherwise, one run a stage."""

import netrc
import os
from pathlib import Path
from urllib.parse import urlparse

from pytorch_lightning.loggers import WandbLogger


def has_key() -> bool:
    """Whether W&B's key stands in the environment or in ``~/.netrc``."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    try:
        return netrc.netrc().authenticators(host) is not None
    except (FileNotFoundError, netrc.NetrcParseError):
        return False


def wandb_logger(
    name: str, group: str, save_dir: str, project: str = "pixelproof", offline: bool | None = None
) -> WandbLogger:
    """A logger of one stage, which the same stage of a restarted run goes on with.

    Args:
        name: ``<experiment>/window_<k>``.
        group: the experiment.
        save_dir: where offline runs and W&B's own files go.
        project: project on the server.
        offline: None asks ``WANDB_MODE``, else is offline exactly when no key is set. Offline runs are sent later
            with ``wandb sync``.
    """
    if offline is None:
        mode = os.environ.get("WANDB_MODE")
        offline = mode == "offline" if mode else not has_key()
    Path(save_dir).mkdir(parents=True, exist_ok=True)
    # inside a sweep W&B sets the id itself and ignores ours
    return WandbLogger(
        name=name,
        id=name.replace("/", "-"),
        group=group,
        job_type="train",
        save_dir=save_dir,
        project=project,
        offline=offline,
        resume="allow",
        log_model=False,
    )
