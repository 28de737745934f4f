"""Weights & Biases as a copy of our own files: offline unless a key is set, with one run per stage."""

import netrc
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.utilities import rank_zero_only


def has_key() -> bool:
    """Whether W&B's key is in the environment or in ``~/.netrc``."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    try:
        return netrc.netrc().authenticators(host) is not None
    except (FileNotFoundError, netrc.NetrcParseError):
        return False


class StageLogger(WandbLogger):
    """Lightning's logger, which also records the checkpoint chosen in a stage.

    Args:
        publish: upload that checkpoint as an artifact instead of recording its path.
        given: arguments of Lightning's logger.
    """

    def __init__(self, publish: bool, **given: Any) -> None:
        super().__init__(**given)
        self.publish = publish

    @rank_zero_only
    def end_stage(self, file: Path, sha256: str) -> None:
        """Records the chosen checkpoint in the run's summary (``checkpoint/path``, ``checkpoint/sha256``) and ends it.

        With ``publish`` it also becomes version "best" of the artifact ``<run id>-best`` of type "model"; an offline
        run stores it until it is synced. Equal content does not create another version. The run must end here because
        W&B has only one run at a time per process, which would otherwise receive the next stage's values.
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
    """A logger of one stage; a restarted run continues the same W&B run.

    Args:
        name: name of the run, ``<experiment>/window_<k>``.
        group: name of the experiment.
        save_dir: folder of offline runs and W&B's own files.
        project: project on the server.
        offline: whether to log offline, for a later ``wandb sync``. None uses ``WANDB_MODE`` if it is set; otherwise
            runs are offline if no key is set.
        publish: upload the chosen checkpoint as an artifact; otherwise its path and hash are recorded.
        tags: tags of the run, by which ``task=candidates`` finds it.
        job_type: type of the run, for grouping.
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
