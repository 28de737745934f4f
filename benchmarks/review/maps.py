"""Maps written with a dump (``maps/index.json`` of ``task=predict predict.maps=N``), for the page's viewer."""

import json
from collections.abc import Iterable
from pathlib import Path

from benchmarks.review.join import Joined
from benchmarks.review.pixels import data_url
from contracts.errors import DataError

BYTES = 16 * 2**20
"""Most bytes of page that maps take."""


def collect_maps(joined: Joined, positions: Iterable[int], most: int = BYTES) -> dict[int, dict[str, str]]:
    """Maps of some images as data URLs.

    Args:
        joined: the dumps.
        positions: positions of the joined images, the most important first.
        most: bytes they may take together; further images go without.

    Returns:
        Position to the maps by name.

    Raises:
        DataError: an index is damaged.
    """
    indexes = [_index(path.parent / "maps" / "index.json") for path in joined.paths]
    found: dict[int, dict[str, str]] = {}
    used = 0
    for position in positions:
        name = str(joined.ids[position])
        files = next((index[name] for index in indexes if name in index), {})
        shown = {title: data_url(file.read_bytes()) for title, file in files.items() if file.is_file()}
        size = sum(map(len, shown.values()))
        if shown and used + size <= most:
            found[position] = shown
            used += size
    return found


def _index(path: Path) -> dict[str, dict[str, Path]]:
    """Image id to files by name; empty where there are no maps."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {
            name: {title: path.parent / file for title, file in files.items() if ".." not in Path(file).parts}
            for name, files in content.items()
        }
    except (ValueError, AttributeError, TypeError) as error:
        raise DataError(
            f"{path} is not an index of maps: {error}", "Write it again with task=predict predict.maps=N."
        ) from error
