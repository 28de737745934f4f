"""Image trees for tests, and what a data module makes of them."""

from pathlib import Path
from typing import Any

from PIL import Image

from datamodules.trees import TreeDataModule


def lay(root: Path, *names: str, size: int = 8) -> Path:
    """Draws an image at each of these places."""
    for number, name in enumerate(names):
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (size, size), (number * 20 % 256, 0, 0)).save(file)
    return root


def told(root: Path, **options: Any) -> dict[str, tuple[str, int, str, str]]:
    """Id → (split, label, generator, source)."""
    manifest = TreeDataModule(root, **options).manifest()
    columns = [manifest.column(name).tolist() for name in ("id", "split", "label", "generator", "source")]
    return {row[0]: row[1:] for row in zip(*columns, strict=True)}
