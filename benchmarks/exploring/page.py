"""The page: one file that needs neither scripts nor a network."""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray

from benchmarks.exploring.charts import grey_image, signed_image, spectrum_plots, strips
from benchmarks.exploring.counts import generator_counts, parts_of, split_counts, value_tables
from benchmarks.exploring.explore import PAIRS, Look, Pixels
from benchmarks.exploring.groups import CLASSES
from benchmarks.exploring.thumbnails import Thumbnail, thumbnail
from contracts.errors import DataError
from contracts.names import as_text
from contracts.web.pages import policy
from contracts.words import counted

TEMPLATES = Path(__file__).parent / "templates"
FAILURES = 200
"""Unreadable images listed in the page; failures.csv lists all."""


@dataclass(frozen=True)
class Shown:
    """An image of the page."""

    id: str  # the manifest's id
    label: str  # "real", "generated" or "unknown"
    generator: str  # "" for a real image
    split: str  # as in the manifest
    image: Thumbnail | None  # both forms, None if it could not be decoded
    reason: str  # why it could not, else ""


def render(look: Look, pixels: Pixels, path: Path, name: str) -> str:
    """The page of the data set at ``path``, read by the data module ``name``.

    Images that turn out to be unreadable are added to ``look.failed``.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    cards = _Cards(look, pixels)
    grids = [[cards(row) for row in rows] for rows in look.grids]
    groups = [
        (g, k, [cards(row) for row in rows]) for g, k, rows in zip(look.groups, look.kinds, look.shown, strict=True)
    ]
    pairs = [
        (cards(a), cards(b), bits)
        for (a, b), bits in list(zip(look.pairs.tolist(), look.distances, strict=True))[:PAIRS]
    ]
    manifest, css = look.manifest, (TEMPLATES / "explore.css").read_text(encoding="utf-8")
    return environment.get_template("explore.html.j2").render(
        name=name,
        path=as_text(path),
        look=look,
        images=counted(len(manifest), "image"),
        labels=parts_of(Counter(CLASSES[k] for k in manifest.labels.tolist())),
        splits=split_counts(look),
        generators=generator_counts(look),
        strips=_strips(look),
        tables=value_tables(look),
        grids=grids,
        groups=groups,
        pairs=pairs,
        plots=spectrum_plots(_curves(look), look.side),
        spectra=_spectra(look),
        residual=strips("mean |NPR residual|, grey levels of 255", _by_group(look, look.measured.residual)),
        failed=[(manifest.image_id(row), manifest.place(row), reason) for row, reason in
                list(look.failed.items())[:FAILURES]],
        css=Markup(css),  # noqa: S704  our own file
        policy=policy([css], attributes=True),
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )  # fmt: skip


class _Cards:
    """Reads each image of the page once."""

    def __init__(self, look: Look, pixels: Pixels) -> None:
        self.look, self.pixels = look, pixels
        self.made: dict[int, Shown] = {}

    def __call__(self, row: int) -> Shown:
        if row not in self.made:
            manifest, image, reason = self.look.manifest, None, ""
            try:
                image = thumbnail(self.pixels(row))
            except DataError as error:
                self.look.failed[row] = reason = error.what  # it need not be in the sample
            generator = manifest.generator_names[manifest.generator_index[row]]
            split = str(manifest.table["split"][row].as_py())
            label = CLASSES[int(manifest.labels[row])]
            self.made[row] = Shown(manifest.image_id(row), label, generator, split, image, reason)
        return self.made[row]


def _by_class(look: Look, values: NDArray[np.float64]) -> list[tuple[str, int, NDArray[np.float64]]]:
    """Values of the images whose header was read, by label."""
    labels = look.manifest.labels[look.headers["row"]]
    return [(name, label, values[labels == label]) for label, name in CLASSES.items()]


def _by_group(look: Look, values: NDArray[np.float64]) -> list[tuple[str, int, NDArray[np.float64]]]:
    """Values of the sample by group."""
    group = look.group[look.measured.rows]
    return [
        (name, kind, values[group == g]) for g, (name, kind) in enumerate(zip(look.groups, look.kinds, strict=True))
    ]


def _strips(look: Look) -> list[Any]:
    h = look.headers
    width, height = np.maximum(h["width"], 1).astype(float), np.maximum(h["height"], 1).astype(float)
    encoded = h["nbytes"] > 0
    found = [
        strips("shorter side, pixels", _by_class(look, np.minimum(width, height)), log=True),
        strips("width ÷ height", _by_class(look, width / height), log=True),
        strips("bytes per pixel", _by_class(look, np.where(encoded, h["nbytes"] / (width * height), np.nan)), log=True),
        strips("JPEG quality (nearest IJG tables)", _by_class(look, np.where(h["nearest"] > 0, h["nearest"], np.nan))),
    ]
    return [strip for strip in found if strip is not None]


def _curves(look: Look) -> list[tuple[str, int, NDArray[np.float64]]]:
    group, curves = look.group[look.measured.rows], look.measured.curves
    known = ~np.isnan(curves[:, 0]) if len(curves) else np.zeros(0, bool)
    return [(name, kind, curves[known & (group == g)]) for g, (name, kind) in
            enumerate(zip(look.groups, look.kinds, strict=True))]  # fmt: skip


def _spectra(look: Look) -> list[tuple[str, int, str, str]]:
    """Name, label, image of the mean log spectrum, and image of its difference from the real images' ("" for them)."""
    known = [g for g in range(len(look.groups)) if not np.isnan(look.measured.spectra[g, 0, 0])]
    if not known:
        return []
    means = look.measured.spectra
    low, high = np.quantile(means[known], [0.01, 0.999])
    real = next((means[g] for g in known if look.kinds[g] == 0), None)
    others = [g for g in known if look.kinds[g] != 0]
    limit = float(np.quantile(np.abs(means[others] - real), 0.995)) if real is not None and others else 1.0
    return [
        (look.groups[g], look.kinds[g], grey_image(means[g], low, high),
         signed_image(means[g] - real, limit) if real is not None and g in others else "")
        for g in known
    ]  # fmt: skip
