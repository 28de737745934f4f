"""The real command, noting the order of images, and held at a named point until a signal has come.

``HOLD=point`` holds the first life of a job there: at a "step" of the first epoch, in the "validation" of the second,
in the "write" of a checkpoint, or behind a "window"; each rank then makes ``$HELD.<rank>``.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

import torch

import lightning_main
from contracts.process.stop import STOP
from detectors.base import Detector
from tasks.experiment.stage_folder import StageFolder


def held(point: str) -> None:
    """Waits here for a signal, once in a job's lives."""
    file = Path(f"{os.environ.get('HELD', 'held')}.{os.environ.get('SLURM_PROCID', 0)}")
    if point == os.environ.get("HOLD") and not file.exists():
        file.touch()
        limit = time.monotonic() + 3600
        while STOP.signum is None and time.monotonic() < limit:
            time.sleep(0.05)


def prepare() -> None:
    """Before the command is run."""
    lightning_main.__file__ = str(Path(__file__).with_name("program.py"))  # what is launched is that program again
    _patch()
    _note_where()


def _patch() -> None:
    step, judge, finish, save = Detector.training_step, Detector.validation_step, StageFolder.finish, torch.save

    def training_step(self: Detector, batch: Any, batch_idx: int) -> Any:
        manifest = self.trainer.datamodule.manifest()
        ids = [manifest.image_id(row) for row in batch.row.tolist()]
        where = Path(self.trainer.datamodule._order)
        with where.with_name(f"order_{self.global_rank}").open("a") as file:
            file.write(json.dumps([self.current_epoch, batch_idx, ids]) + "\n")
        if batch_idx == 2:
            held("step")
        return step(self, batch, batch_idx)

    def validation_step(self: Detector, batch: Any, batch_idx: int) -> Any:
        if self.current_epoch == 1 and not self.trainer.sanity_checking:
            held("validation")
        return judge(self, batch, batch_idx)

    def finished(self: StageFolder) -> None:
        finish(self)
        held("window")

    def saved(content: Any, file: Any, **further: Any) -> None:
        save(content, file, **further)
        if "optimizer_states" in content:
            held("write")

    Detector.training_step = training_step  # type: ignore[method-assign]
    Detector.validation_step = validation_step  # type: ignore[method-assign]
    StageFolder.finish = finished  # type: ignore[method-assign]
    torch.save = saved


def _note_where() -> None:
    """The order goes beside the stage's checkpoints, whichever experiment and window this is."""
    from datamodules.image_datamodule import ImageDataModule
    from tasks.experiment.run import Run

    enter, build = ImageDataModule.enter, Run.datamodule

    def datamodule(self: Run, **extra: Any) -> Any:
        made = build(self, **extra)
        made._home = self.folder
        return made

    def entered(self: Any, stage: Any) -> None:
        folder = self._home / f"window_{stage.index}"
        folder.mkdir(parents=True, exist_ok=True)
        self._order = folder / "order"
        enter(self, stage)

    Run.datamodule = datamodule  # type: ignore[method-assign]
    ImageDataModule.enter = entered  # type: ignore[method-assign]
