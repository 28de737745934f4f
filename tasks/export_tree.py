"""``task=export_tree``: export any data module's images as a tree of files, ``{split}/{set}/{0_real,1_fake}/…``."""

import io
import json
import re
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from contracts.errors import DataError
from contracts.files import write_atomically
from contracts.names import utf8_path
from contracts.words import counted
from datamodules.folders.names import LABELS
from datamodules.loading.dataset import Failure
from datamodules.loading.decode import read_header
from datamodules.tables.manifest import Manifest
from tasks.experiment.run import Run
from tasks.scoring.failures import write_failures

SPLITS = {"train": "train", "valid": "val", "test": "test", "": "test"}
NOTE = ".export.json"


def export_tree(run: Run) -> None:
    """Writes every image, its bytes unchanged (pixel arrays as PNG), in one set per generator; can be resumed.

    Real images form a separate set (``export_tree.reals``) in each split, since a manifest assigns them to no
    generator.

    Raises:
        DataError: an image has no label, a generator has the name of that set, or the folder contains other data.
    """
    datamodule = run.datamodule()
    manifest, store = datamodule.manifest(), datamodule.store()
    out = run.out(run.config.export_tree.out, "tree")
    places = [out / utf8_path(place) for place in folders(manifest, safe(run.config.export_tree.reals))]
    _claim(out, manifest)
    failures: list[Failure] = []
    for row, folder in enumerate(tqdm(places, unit="image", disable=None)):
        stem = file_stem(manifest.image_id(row))
        if any(folder.glob(f"{utf8_path(stem)}.*")):
            continue
        try:
            suffix, content = encoded(store.read(row))
        except DataError as error:
            failures.append(Failure(manifest.image_id(row), manifest.place(row), error.what))
            continue
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / utf8_path(f"{stem}.{suffix}"), content)
    write_failures(out / "failures.csv", failures)
    written = counted(len(places) - len(failures), "image")
    print(f"{written} in {out}; datamodule=forensynths datamodule.path={out} reads them")


def folders(manifest: Manifest, reals: str) -> list[str]:
    """The folder of each row's image, relative to the root."""
    found = []
    columns = (manifest.column(name).tolist() for name in ("id", "split", "label", "generator"))
    for image_id, split, label, generator in zip(*columns, strict=True):
        if label not in (0, 1):
            raise DataError(f"image {image_id!r} has no label", "Export a labelled data set.")
        name = safe(generator or "unnamed") if label else reals
        if name.lower() in LABELS or (label and name == reals):
            step = "Set export_tree.reals to another name, or rename the generator."
            raise DataError(f"a set called {name!r} would be read as a class folder or the real images", step)
        found.append(f"{SPLITS[split]}/{name}/{('0_real', '1_fake')[label]}")
    return found


def file_stem(image_id: str) -> str:
    """A readable file name for an id, different for different ids."""
    name = safe(image_id)
    if name == image_id and "." not in name:
        return name
    return f"{name.replace('.', '_')[-80:]}-{blake2b(image_id.encode(), digest_size=4).hexdigest()}"


def safe(name: str) -> str:
    """A name without characters that are special in paths and globs."""
    return re.sub(r"[^\w.-]+", "_", name).strip("._") or "_"


def encoded(content: Any) -> tuple[str, bytes]:
    """Suffix and bytes of an image from a store.

    Raises:
        DataError: the bytes are not an image.
    """
    if isinstance(content, np.ndarray):
        buffer = io.BytesIO()
        Image.fromarray(content).save(buffer, "PNG")
        return "png", buffer.getvalue()
    kind = read_header(content).format.lower()
    return {"jpeg": "jpg"}.get(kind, kind), content


def _claim(out: Path, manifest: Manifest) -> None:
    """Rejects a folder that contains anything but a part of this tree."""
    note = out / NOTE
    fingerprint = manifest.fingerprint()
    if note.is_file():
        if json.loads(note.read_text())["fingerprint"] != fingerprint:
            raise DataError(f"{out} contains the tree of another data set", "Give another export_tree.out.")
        return
    if out.is_dir() and any(out.iterdir()):
        raise DataError(f"{out} is not empty", "Give an empty or new folder as export_tree.out.")
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(note, (json.dumps({"fingerprint": fingerprint, "images": len(manifest)}) + "\n").encode())
