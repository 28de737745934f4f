"""``task=export``: the weights of a checkpoint alone, in a file that any program reads."""

import json
from pathlib import Path

from safetensors.torch import save

from contracts.errors import ConfigError
from contracts.files import write_atomically
from tasks.experiment.run import Run
from tasks.scoring.evaluate import load_detector


def export(run: Run) -> None:
    """Writes a checkpoint's weights as safetensors, with adapters and split matrices merged into plain layers.

    Raises:
        ConfigError: no checkpoint is given, or the output exists.
    """
    if run.ckpt is None:
        raise ConfigError("task=export needs the checkpoint to export", "Give ckpt=FILE.")
    given = run.config.export.out
    out = Path(given).expanduser() if given else run.ckpt.with_suffix(".safetensors")
    if out.exists():
        raise ConfigError(f"export.out={out} exists already", "Name another file.")
    loaded = load_detector(run, run.ckpt)
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in loaded.detector.merged().items()}
    about = {"detector": json.dumps(loaded.about.get("detector")), "threshold": json.dumps(loaded.threshold)}
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, save(tensors, metadata=about))
    print(f"{out}: {len(tensors)} tensors; it is read by ckpt={out} with the same detector and detector.tune=all")
