"""Cache of a step's results by image content: a killed run resumes, and only new images are computed."""

import zipfile
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.files import write_atomically, write_npz

KEY = "key"


def content_key(*parts: str | bytes) -> str:
    """Hash (BLAKE2b, 32 hex digits) of everything a result depends on."""
    digest = blake2b(digest_size=16)
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


class BlockCache:
    """One file per block of images, complete or absent; several processes may write at once.

    Args:
        folder: created if absent.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._place: dict[str, tuple[Path, int]] = {}
        self._read: set[Path] = set()

    def known(self) -> set[str]:
        """Keys of all images in the cache; a damaged block is removed, and its images count as absent."""
        for file in sorted(self.folder.glob("*.npz")):
            if file in self._read:
                continue
            try:
                with np.load(file, allow_pickle=False) as block:
                    keys = [str(key) for key in block[KEY]]
            except (zipfile.BadZipFile, KeyError, ValueError, EOFError, OSError):
                print(f"{file} is damaged and was removed; its images will be computed again")
                file.unlink(missing_ok=True)
                continue
            self._read.add(file)
            self._place |= {key: (file, row) for row, key in enumerate(keys)}
        return set(self._place)

    def write(self, keys: Sequence[str], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Stores the results of some images, arrays [len(keys), ...]."""
        write_npz(self.folder / f"{content_key(*keys)}.npz", {KEY: np.array(list(keys)), **arrays})

    def read(self, keys: Sequence[str], names: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Arrays [len(keys), ...] in the order of the keys, all of which must be known."""
        self.known()
        by_file: dict[Path, list[int]] = {}
        for position, key in enumerate(keys):
            by_file.setdefault(self._place[key][0], []).append(position)
        found: dict[str, NDArray[Any]] = {}
        for file, positions in by_file.items():
            rows = [self._place[keys[position]][1] for position in positions]
            with np.load(file, allow_pickle=False) as block:
                for name in names:
                    part = block[name][rows]
                    if name not in found:
                        found[name] = np.empty((len(keys), *part.shape[1:]), part.dtype)
                    found[name][positions] = part
        return found

    def note(self, name: str) -> list[str]:
        """A list of strings stored beside the blocks (such as names of features); empty if absent."""
        file = self.folder / f"{name}.txt"
        return file.read_text(encoding="utf-8").splitlines() if file.is_file() else []

    def write_note(self, name: str, lines: Sequence[str]) -> None:
        """Stores the list that `note` reads."""
        write_atomically(self.folder / f"{name}.txt", ("\n".join(lines) + "\n").encode())
