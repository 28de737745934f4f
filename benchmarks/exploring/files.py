"""The figures of the page as CSV files, one row per observation."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.exploring.explore import Look
from benchmarks.exploring.spectrum import frequencies
from contracts.files import csv_text, write_atomically

Rows = Iterable[Sequence[Any]]


def write_files(look: Look, out: Path) -> list[Path]:
    """Writes counts.csv, images.csv, sample.csv, spectrum.csv, near.csv and rules.csv."""
    contents: dict[str, tuple[Sequence[str], Rows]] = {
        "counts.csv": (("split", "label", "generator", "images", "unreadable"), _counts(look)),
        "images.csv": (
            ("id", "split", "label", "generator", "source", "format", "width", "height", "bytes", "bytes_per_pixel",
             "jpeg_quality", "jpeg_tables", "chroma", "note"), _images(look),
        ),
        "sample.csv": (("id", "label", "generator", "dhash", "npr_residual"), _sample(look)),
        "spectrum.csv": (
            ("label", "generator", "cycles_per_pixel", "mean_log10_power", "sd", "images"), _spectrum(look),
        ),
        "near.csv": (
            ("bits", "id_a", "split_a", "label_a", "generator_a", "id_b", "split_b", "label_b", "generator_b"),
            _near(look),
        ),
        "rules.csv": (("metadata", "auroc", "low", "high", "rule"), _rules(look)),
    }  # fmt: skip
    for name, (head, rows) in contents.items():
        write_atomically(out / name, csv_text([head, *rows]).encode())
    return [out / name for name in contents]


def _counts(look: Look) -> Rows:
    columns = [look.manifest.column(name).tolist() for name in ("split", "label", "generator")]
    keys = list(zip(*columns, strict=True))
    lost = Counter(keys[row] for row in look.failed)
    for key, count in sorted(Counter(keys).items()):
        yield *key, count, lost[key]


def _images(look: Look) -> Rows:
    h, rows = look.headers, look.headers["row"]
    described = [look.manifest.column(name)[rows].tolist() for name in ("id", "split", "label", "generator", "source")]
    area = np.maximum(h["width"] * h["height"], 1)
    encoded = h["nbytes"] > 0
    quality = [value or None for value in h["nearest"].tolist()]
    return zip(
        *described, h["format"].tolist(), h["width"].tolist(), h["height"].tolist(),
        [int(size) if size else None for size in h["nbytes"]], np.where(encoded, h["nbytes"] / area, np.nan).tolist(),
        quality, h["tables"].tolist(), h["chroma"].tolist(), h["notes"].tolist(), strict=True,
    )  # fmt: skip


def _sample(look: Look) -> Rows:
    m = look.measured
    columns = [look.manifest.column(name)[m.rows].tolist() for name in ("id", "label", "generator")]
    hashes = [f"{value:016x}" for value in m.hashes.tolist()]
    return zip(*columns, hashes, m.residual.tolist(), strict=True)


def _spectrum(look: Look) -> Rows:
    group = look.group[look.measured.rows]
    for g, (name, kind) in enumerate(zip(look.groups, look.kinds, strict=True)):
        curves = look.measured.curves[group == g]
        curves = curves[~np.isnan(curves[:, 0])]
        if len(curves):
            spread = curves.std(axis=0, ddof=1) if len(curves) > 1 else np.full(curves.shape[1], np.nan)
            for f, mean, sd in zip(frequencies(look.side), curves.mean(axis=0), spread, strict=True):
                yield kind, name if kind == 1 else "", float(f), float(mean), float(sd), len(curves)


def _near(look: Look) -> Rows:
    columns = [look.manifest.column(name) for name in ("id", "split", "label", "generator")]
    for (a, b), bits in zip(look.pairs.tolist(), look.distances.tolist(), strict=True):
        yield bits, *(column[a] for column in columns), *(column[b] for column in columns)


def _rules(look: Look) -> Rows:
    for rule in look.rules:
        low, high = rule.auroc - 1.96 * rule.error, rule.auroc + 1.96 * rule.error
        yield rule.features, rule.auroc, max(low, 0.0), min(high, 1.0), rule.words[0]
