"""``models/``: checkpoints under short names, for ``pixelproof look``."""

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from contracts.errors import CheckpointError, ConfigError, nearest
from contracts.files import atomic_file, write_atomically
from contracts.names import EXPORTED, is_exported
from tasks.experiment.run import DATA

MODELS = Path("models")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Entry:
    """A registered checkpoint."""

    name: str  # short name
    detector: str  # class of the detector
    sha256: str  # hash of the file
    source: str  # path it was copied from
    licence: str = ""  # of the weights, "" if not stated

    @property
    def file(self) -> Path:
        """The checkpoint."""
        return MODELS / f"{self.name}.ckpt"


def entries() -> list[Entry]:
    """Registered checkpoints by name.

    Raises:
        CheckpointError: a record is damaged.
    """
    found = []
    for file in sorted(MODELS.glob("*.json")):
        try:
            found.append(Entry(**json.loads(file.read_text(encoding="utf-8"))))
        except (ValueError, TypeError) as error:
            raise CheckpointError(
                f"{file} is not a record of a model: {error}", f"Delete it and {file.stem}.ckpt."
            ) from error
    return found


def add(file: Path, name: str, licence: str = "") -> Entry:
    """Checks a checkpoint by loading it, and copies it into ``models/``.

    Raises:
        ConfigError: the name is taken by another file, or is not a valid name.
        CheckpointError: the file is not a checkpoint of ours.
    """
    from tasks.models.model import load  # slow: torch

    if not NAME.fullmatch(name):
        raise ConfigError(f"name={name!r} is not a valid name of a model", "Use letters, digits, '.', '_' and '-'.")
    loaded = load(file, device="cpu").loaded
    entry = Entry(name, type(loaded.detector).__name__, loaded.sha256, str(file), licence)
    taken = {one.name: one for one in entries()}.get(name)
    if taken is not None and taken.sha256 != entry.sha256:
        raise ConfigError(
            f"models/{name}.ckpt is another checkpoint (from {taken.source})",
            f"Choose another name; or delete models/{name}.json and models/{name}.ckpt first to replace it.",
        )
    MODELS.mkdir(exist_ok=True)
    with atomic_file(entry.file) as target, file.open("rb") as source:
        shutil.copyfileobj(source, target)
    write_atomically(MODELS / f"{name}.json", (json.dumps(asdict(entry), indent=1) + "\n").encode())
    return entry


def checkpoint(name: str) -> Path:
    """The file that a path, the name of a registered model or the name of an experiment stands for.

    Raises:
        ConfigError: it is none of these.
    """
    known: Mapping[str, Any] = {entry.name: entry for entry in entries()}
    if name in known:
        return Path(known[name].file)
    path = Path(name).expanduser()
    if path.is_file() or is_exported(path):
        return path
    windows = list((DATA / name).glob("window_*/checkpoints/best.ckpt"))
    if windows:
        return max(windows, key=lambda file: int(file.parts[-3].removeprefix("window_")))
    if path.is_dir():
        raise ConfigError(
            f"ckpt={name} is a folder without {EXPORTED}, not one that task=export wrote",
            "Give a checkpoint in it, such as window_0/checkpoints/best.ckpt in the folder of an experiment.",
        )
    experiments = [folder.name for folder in DATA.glob("*") if (folder / "window_0").is_dir()]
    raise ConfigError(
        f"ckpt={name}: no such file, model or experiment",
        f"Give a file, or a registered model or experiment ({nearest(name, [*known, *experiments])}).",
    )
