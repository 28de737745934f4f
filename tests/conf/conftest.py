"""A small folder of YAML groups, so that what is tested does not change when real ones come or go."""

import shutil
from pathlib import Path

import pytest

from conf.cli.groups import CONF

FILES = {
    "datamodule/sample.yaml": "_target_: datamodules.folder.FolderDataModule\npath: {path}\nbatch_size: 4\n",
    "datamodule/open.yaml": "_target_: datamodules.folder.FolderDataModule\npath: ???\n",
    "detector/npr.yaml": """
_target_: detectors.npr.detector.NPR
train_view: {{_target_: contracts.view.View, crop: 32}}
eval_view: {{_target_: contracts.view.View, resize: 32}}
optimizer: {{_target_: torch.optim.AdamW, _partial_: true, lr: 1e-3}}
""",
    "trainer/auto.yaml": "_target_: pytorch_lightning.Trainer\ndevices: 1\nmax_epochs: 2\n",
    "experiment/tiny.yaml": "# @package _global_\nseed: 7\ntrainer:\n  max_epochs: 1\n",
    "local/default.yaml": "# @package _global_\nlocal:\n  root: {path}\ntrainer:\n  accelerator: cpu\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    conf = tmp_path / "conf"
    for group in ("benchmark", "logger", "callbacks"):
        shutil.copytree(CONF / group, conf / group)
    shutil.copy(CONF / "config.yaml", conf)
    for name, text in FILES.items():
        (conf / name).parent.mkdir(exist_ok=True)
        (conf / name).write_text(text.format(path=tmp_path))
    return conf
