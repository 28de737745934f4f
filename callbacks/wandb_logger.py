"""Weights & Biases as a mirror of our own files: offline unless a key says otherwise, one run a stage."""

import netrc
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.utilities import rank_zero_only


def has_key() -> bool:
    """Whether W&B's key stands in the environment or in ``~/.netrc``."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    try:
        return netrc.netrc().authenticators(host) is not None
    except (FileNotFoundError, netrc.NetrcParseError):
        return False


class StageLogger(WandbLogger):
    """Lightning's logger, which also says which checkpoint a stage ended with.

    Args:
        publish: upload that checkpoint as an artifact, in place of noting where it lies.
        given: of Lightning's logger.
    """

    def __init__(self, publish: bool, **given: Any) -> None:
        super().__init__(**given)
        self.publish = publish

    @rank_zero_only
    def end_stage(self, file: Path, sha256: str) -> None:
        """Notes the chosen checkpoint in the run's summary (``checkpoint/path``, ``checkpoint/sha256``), and ends it.

        With ``publish`` it also becomes version "best" of the artifact ``<run id>-best`` of type "model"; offline it
        is kept with the run until that is synced. The same content a second time makes no second version. A run that
        went on would swallow the next stage's: W&B has one at a time in a process.
        """
        run = self.experiment
        run.summary.update({"checkpoint/path": str(file), "checkpoint/sha256": sha256})
        if self.publish:
            import wandb

            artifact = wandb.Artifact(f"{self._id}-best", type="model", metadata={"sha256": sha256, "path": str(file)})
            artifact.add_file(str(file), name=file.name)
            run.log_artifact(artifact, aliases=["best"])
        run.finish()


def wandb_logger(
    name: str,
    group: str,
    save_dir: str,
    project: str = "pixelproof",
    offline: bool | None = None,
    publish: bool = False,
    tags: Sequence[str] = (),
    job_type: str = "train",
) -> StageLogger:
    """A logger of one stage, which the same stage of a restarted run goes on with.

    Args:
        name: ``<experiment>/window_<k>``.
        group: the experiment.
        save_dir: where offline runs and W&B's own files go.
        project: project on the server.
        offline: None asks ``WANDB_MODE``, else is offline exactly when no key is set. Offline runs are sent later
            with ``wandb sync``.
        publish: upload the chosen checkpoint as an artifact; else its path and hash are noted.
        tags: of the run, by which ``task=candidates`` finds it.
        job_type: what the run is, to group by.
    """
    if offline is None:
        mode = os.environ.get("WANDB_MODE")
        offline = mode == "offline" if mode else not has_key()
    Path(save_dir).mkdir(parents=True, exist_ok=True)
    # inside a sweep W&B sets the id itself and ignores ours
    return StageLogger(
        publish,
        name=name,
        id=name.replace("/", "-"),
        group=group,
        job_type=job_type,
        tags=list(tags),
        save_dir=save_dir,
        project=project,
        offline=offline,
        resume="allow",
        log_model=False,
    )
