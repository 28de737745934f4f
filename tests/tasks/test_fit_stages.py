"""Walking the stages: whose weights each starts from, where its steps begin, and the batch arithmetic."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tasks.fit
from contracts.errors import ConfigError
from contracts.stage import Stage
from datamodules.tables.manifest import Manifest
from tasks.experiment.stage_folder import StageFolder
from tasks.fit import accumulation, fit


class Stub:
    """A run of three stages whose training is noted, not done."""

    composed = SimpleNamespace(resolved={}, overrides=())
    config = SimpleNamespace(trainer={})
    experiment_id = "stub"
    ckpt: Path | None = None

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def datamodule(self) -> "Stub":
        return self

    def benchmark(self) -> "Stub":
        return self

    def manifest(self) -> Manifest:
        return Manifest.from_columns({"id": ["a", "b"], "label": [0, 1], "split": ["train", "train"]})

    def stages(self, manifest: Manifest) -> list[Stage]:
        rows = manifest.rows("train")
        return [Stage(index, f"window {index}", rows, np.sort(rows)) for index in range(3)]


def test_each_stage_starts_from_the_one_before_and_its_axis_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[tuple[int, Path | None, int]] = []

    def note(
        _run: Any, _data: Any, _bench: Any, stage: Stage, folder: StageFolder, start: Path | None, steps: int
    ) -> None:
        begun.append((stage.index, start, steps))
        folder.checkpoints.mkdir(parents=True)
        (folder.checkpoints / "best.ckpt").touch()
        folder.write_json("steps.json", {"before": steps, "steps": 10 + stage.index})
        if stage.index == 2 and len(begun) == 3:
            raise InterruptedError
        folder.finish()

    monkeypatch.setattr(tasks.fit, "_fit_stage", note)
    run: Any = Stub(tmp_path)
    with pytest.raises(InterruptedError):
        fit(run)
    best = [StageFolder(tmp_path, index).checkpoints / "best.ckpt" for index in range(3)]
    assert begun == [(0, None, 0), (1, best[0], 10), (2, best[1], 21)]
    begun.clear()
    best[2].unlink()
    best[2].parent.rmdir()
    run.ckpt = tmp_path / "mine.ckpt"
    fit(run)  # goes on with what is not done, from the same weights and step
    assert begun == [(2, best[1], 21)]


def test_the_protocols_batch_is_reached_by_accumulation() -> None:
    assert accumulation(512, 16, 1) == 32
    assert accumulation(512, 8, 8) == 8
    assert accumulation(512, 512, 1) == 1
    with pytest.raises(ConfigError, match=r"not a multiple of .*=48 on 2 devices[\s\S]*batch_size to 16, 32, 64"):
        accumulation(512, 48, 2)
    with pytest.raises(ConfigError, match=r"not a multiple of .*=512 on 2 devices"):
        accumulation(512, 512, 2)
    with pytest.raises(ConfigError, match="Use fewer devices"):
        accumulation(4, 1, 8)
    with pytest.raises(ConfigError, match="Remove it, since it is computed"):
        accumulation(512, 16, 1, given=32)
