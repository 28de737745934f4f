"""Assembles the page: one file that holds everything it needs and opens without a network."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from benchmarks.attribution.measures import Attribution, attribution
from benchmarks.attribution.tables import lines
from benchmarks.comparison.paired import differences
from benchmarks.evaluation import Result, evaluate
from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.predictions import Predictions
from benchmarks.review.export import export
from benchmarks.review.gallery import Gallery, ImageSource, collect
from benchmarks.review.join import Joined, join
from benchmarks.review.learning import learning_curves
from benchmarks.review.payload import aligned, negative, payload
from benchmarks.review.pixels import PixelReader, data_url, page_image
from benchmarks.review.selective import risk_coverage_plot
from benchmarks.review.slices import Line, columns
from benchmarks.review.slices import lines as slice_lines
from benchmarks.tables import Table, column_title, interval, tidy_csv
from contracts.web.pages import policy

if TYPE_CHECKING:
    from benchmarks.people.section import People, Source

TEMPLATES = Path(__file__).parent / "templates"
PEOPLE = Path(__file__).parents[1] / "people" / "templates"
NAMES = ("plots", "marks", "gallery", "measures", "sheet", "picks", "slices", "runs", "matrix", "main")
SCRIPTS = (
    TEMPLATES / "data.js", PEOPLE / "points.js", *(TEMPLATES / f"{name}.js" for name in NAMES),
)  # fmt: skip
STYLES = tuple(TEMPLATES / name for name in ("page.css", "sheet.css", "runs.css"))
COLUMNS = (
    ("auroc", ""), ("average_precision", ""), ("tpr_at_fpr_1", ""), ("tpr_at_fpr_5", ""), ("accuracy", "0.5"),
    ("accuracy", "validation"), ("balanced_accuracy", "validation"), ("ece", ""), ("brier", ""),
    ("aurc", "validation"),
)  # fmt: skip
LARGE = 500_000
"""Images above which intervals are left out unless asked for."""
FACTS = (
    ("experiment", "experiment"), ("stage", "stage"), ("checkpoint", "checkpoint"),
    ("checkpoint_sha256", "checkpoint SHA-256"), ("config_hash", "configuration"), ("decoder", "decoder"),
    ("seed", "seed"), ("format", "written by"),
)  # fmt: skip


@dataclass(frozen=True)
class Reviewed:
    """What `review` made."""

    page: Path  # the HTML file
    files: list[Path]  # tidy files beside it
    tables: dict[str, Table]  # name of each dump to its table
    problems: dict[str, int]  # why images are missing, if any are
    joined: Joined  # the dumps, in the page's order of images
    people: "People | None" = None  # the people beside the dumps, if any are


def review(
    inputs: Sequence[Path | str],
    out: Path | str,
    images: ImageSource | None = None,
    *,
    bootstrap: Bootstrap | None = None,
    max_images: int = 160,
    max_bytes: int = 16 * 2**20,
    people: Sequence[Path | str] = (),
) -> Reviewed:
    """Turns dumps into ``index.html`` and tidy files.

    Args:
        inputs: one or more npz dumps; several are joined on ids and compared.
        out: folder, made if absent.
        images: bytes or pixels of an image by id; by default they are read from where the dumps say.
        bootstrap: how intervals are made; by default 1000 resamples with seed 0, or no intervals for more than `LARGE`
            images.
        max_images: largest number of images in the page.
        max_bytes: largest number of bytes that they take in the page.
        people: files of people's answers, to be compared with the dumps.

    Raises:
        DataError: a dump or a person's answers cannot be read, or they contradict each other.
    """
    joined = join([Path(path) for path in inputs])
    if bootstrap is None and joined.ids.size <= LARGE:
        bootstrap = Bootstrap()
    results = [evaluate(dump) for dump in joined.dumps]
    if bootstrap:
        results = [bootstrap(dump, own) for dump, own in zip(joined.dumps, results, strict=True)]
    tables = [
        Table.of(r, dump.about.get("seen_generators"), tracer=dump.class_names is not None)
        for r, dump in zip(results, joined.dumps, strict=True)
    ]
    gallery = collect(joined, images, max_images, max_bytes)
    asked = _people(people, joined) if people else None
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    files = [*export(joined, out), *(asked.files(out) if asked else ())]
    for name, text in _texts(joined, results, tables).items():
        (out / name).write_text(text, encoding="utf-8")
        files.append(out / name)
    page = out / "index.html"
    temporary = page.with_name(f".index.html.{os.getpid()}.tmp")
    temporary.write_text(_render(joined, results, gallery, bootstrap, asked, images), encoding="utf-8")
    temporary.replace(page)
    return Reviewed(page, files, dict(zip(joined.names, tables, strict=True)), gallery.problems, joined, asked)


def _texts(joined: Joined, results: Sequence[Sequence[Result]], tables: Sequence[Table]) -> dict[str, str]:
    several = len(joined.names) > 1
    csv = []
    for d, (name, own) in enumerate(zip(joined.names, results, strict=True)):
        head, *lines = tidy_csv(own).splitlines()
        quoted = '"' + name.replace('"', '""') + '"'
        csv += ([f"dump,{head}"] if d == 0 else []) + [f"{quoted},{line}" for line in lines]
    named = list(zip(joined.names, tables, strict=True))
    return {
        "metrics.csv": "\n".join(csv) + "\n",
        "table.md": "\n".join((f"### {name}\n\n" if several else "") + t.markdown() for name, t in named),
        "table.tex": "\n".join((f"% {name}\n" if several else "") + t.latex() for name, t in named),
    }


def _render(
    joined: Joined,
    results: Sequence[Sequence[Result]],
    gallery: Gallery,
    bootstrap: Bootstrap | None,
    people: "People | None",
    images: ImageSource | None,
) -> str:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    tables = [
        Table.of(own, dump.about.get("seen_generators"), COLUMNS)
        for own, dump in zip(results, joined.dumps, strict=True)
    ]
    tables += people.metric_tables(bootstrap or Bootstrap()) if people else []
    letters = [chr(ord("A") + d % 26) for d in range(len(joined.names))]
    sliced = columns(joined)
    letters += [f"P{k}" for k in range(1, len(people.names) + 1)] if people else []
    css = "\n".join(file.read_text(encoding="utf-8") for file in STYLES)
    script = "\n".join(file.read_text(encoding="utf-8") for file in SCRIPTS)
    packed = payload(joined, gallery, people.points() if people else [], sliced)
    return environment.get_template("page.html.j2").render(
        names=joined.names,
        letters=letters,
        people=people,
        people_section=people.section(_source(joined, images)) if people else "",
        counts=[_counts(dump) for dump in joined.dumps],
        slices=list(zip(sliced, _slices(slice_lines(joined, sliced, bootstrap)), strict=True)),
        facts=[_facts(dump, path) for dump, path in zip(joined.dumps, joined.paths, strict=True)],
        details=[json.dumps(dump.about, indent=1, sort_keys=True) for dump in joined.dumps],
        heads=max((t.heads for t in tables[: len(joined.names)]), key=len),
        rows=_rows(tables),
        whisker=0 if any(r.metric == "auroc" and r.value < 0.5 for own in results for r in own) else 0.5,
        labelled=any((dump.fused_labels >= 0).any() for dump in joined.dumps),
        caption=_caption(joined, bootstrap),
        intervals=bootstrap is not None,
        changes=_changes(joined, bootstrap) if bootstrap and len(joined.whole) > 1 else [],
        gallery=gallery,
        images=len(joined.ids),
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        css=Markup(css),  # noqa: S704  our own file
        script=Markup(script),  # noqa: S704
        policy=policy([css, *([people.css] if people else [])], [script]),
        sources=_sources(joined),
        looks=_looks(joined),
        training=_training(joined),
        risk=Markup(risk_coverage_plot(joined.names, joined.dumps, bootstrap)),  # noqa: S704  names are escaped there
        negative=negative(joined.dumps),
        aligned=sorted({mode for dump in joined.dumps if (mode := aligned(dump))}),
        clustered=any((dump.group != "").any() for dump in joined.dumps),
        data=Markup(packed.data),  # noqa: S704  escaped there
        columns=packed.columns,
    )


def _rows(tables: Sequence[Table]) -> list[dict[str, Any]]:
    """Rows of all dumps under each other, in the order of the first that has them; cells by head."""
    found: dict[tuple[str, str], dict[int, dict[str, Any]]] = {}
    kept: dict[tuple[str, str], str] = {}
    for d, table in enumerate(tables):
        for row in table.rows:
            key = (row.section != "", row.name)
            cells = {head: _cell(cell) for head, cell in zip(table.heads, row.cells, strict=True)}
            found.setdefault(key, {})[d] = {"count": row.count, "cells": cells}  # type: ignore[arg-type]
            kept.setdefault(key, row.section)  # type: ignore[arg-type]
    order = {"": 0, "generators": 1, "seen": 1, "unseen": 2}
    keys = sorted(found, key=lambda key: order[kept[key]])
    return [{"name": key[1], "section": kept[key], "dumps": found[key]} for key in keys]


def _slices(tables: Sequence[Sequence[Line]]) -> list[dict[int, list[tuple[Line, list[dict[str, Any]]]]]]:
    """Lines and their cells by value, for each column."""
    shown = []
    for table in tables:
        rows: dict[int, list[tuple[Line, list[dict[str, Any]]]]] = {}
        for line in table:
            rows.setdefault(line.value, []).append((line, [_cell(r) for r in (line.auroc, line.accuracy, line.fpr)]))
        shown.append(rows)
    return shown


def _people(paths: Sequence[Path | str], joined: Joined) -> "People":
    from benchmarks.people.answers import read_answers
    from benchmarks.people.section import People  # SciPy's tests are slow to import

    return People.of([read_answers(Path(path)) for path in paths], dict(zip(joined.names, joined.dumps, strict=True)))


def _source(joined: Joined, images: ImageSource | None) -> "Source":
    """Where the images that people missed come from."""
    readers = [PixelReader(dump) for dump in joined.dumps]
    positions = {image: position for position, image in enumerate(joined.ids.tolist())}

    def source(image: str) -> str:
        if images is not None:
            return page_image(images(image)).src
        position = positions[image]
        dump = int(joined.owner[position])
        return page_image(readers[dump].read(int(joined.place[dump, position]))).src

    return source


def _cell(result: Result | None) -> dict[str, Any]:
    shown: dict[str, Any] = {"value": "–", "interval": "", "low": None, "high": None, "number": None, "why": ""}
    if result is None:
        return shown
    if result.metric in ("ece", "brier", "aurc") and result.kind in ("generator", "macro"):
        # one generator against all real images has another share of generated images than the scores are meant for
        return shown | {"value": "", "why": "calibration is measured on all images together"}
    if isnan(result.value):
        return shown | {"why": result.reason}
    shown |= {"value": f"{result.value:.3f}", "interval": interval(result), "number": result.value}
    return shown if isnan(result.low) else shown | {"low": result.low, "high": result.high}


def _changes(joined: Joined, bootstrap: Bootstrap) -> list[dict[str, str]]:
    """First dump less second, on the images both scored."""
    first, second = joined.whole[:2]
    if not np.isin(first.fused_ids, second.fused_ids).any():
        return []
    shown = []
    for d in differences(first, second, bootstrap):
        if d.first.kind == "pooled" and not isnan(d.value) and (d.first.metric, d.first.at) in COLUMNS:
            bounds = "" if isnan(d.low) else f"{d.low:+.3f} to {d.high:+.3f}"
            shown.append(
                {"name": column_title(d.first.metric, d.first.at), "value": f"{d.value:+.3f}", "bounds": bounds}
            )
    return shown


def _training(joined: Joined) -> dict[str, Markup]:
    """Learning curves of the stages the dumps belong to, by name of the dump."""
    curves = {name: learning_curves(path) for name, path in zip(joined.names, joined.paths, strict=True)}
    return {name: plots for name, plots in curves.items() if plots is not None}


def _counts(dump: Predictions) -> str:
    labels = dump.fused_labels
    parts = [f"{(labels == 0).sum():,} {negative([dump])}", f"{(labels == 1).sum():,} generated"]
    if (labels < 0).any():
        parts.append(f"{(labels < 0).sum():,} of unknown label")
    if len(dump.crop_scores) > len(dump):
        parts.append(f"{len(dump.crop_scores):,} crops")
    return ", ".join(parts)


def _sources(joined: Joined) -> list[dict[str, Any]]:
    """Tables and plots of the dumps that name a source for every image."""
    shown = []
    for d, (name, dump, path) in enumerate(zip(joined.names, joined.dumps, joined.paths, strict=True)):
        if dump.class_names is None or dump.fused_multi_logits is None:
            continue
        from benchmarks.attribution.figures import figures  # matplotlib is slow to import

        drawn = [plot for plot in figures(dump, path.parent) if plot.title != "Confusion"]  # a table here
        plots = [{"title": p.title, "note": p.note, "src": data_url(p.png)} for p in drawn]
        answers = Attribution.of(dump)
        table = {"dump": d, "classes": answers.classes, "confusion": answers.confusion().tolist()}
        shown.append({"name": name, "lines": lines(attribution(answers)), "figures": plots, **table})
    return shown


def _looks(joined: Joined) -> list[dict[str, Any]]:
    """The attention plots that ``task=explain`` left beside a dump."""
    titles = {
        "attention_distribution.png": "weight of each scale",
        "attention_heat_map.png": "mean weight by generator",
    }
    shown = []
    for name, path in zip(joined.names, joined.paths, strict=True):
        files = [path.parent / "explain" / file for file in titles]
        plots = [{"title": titles[file.name], "src": data_url(file.read_bytes())} for file in files if file.is_file()]
        if plots:
            shown.append({"name": name, "figures": plots})
    return shown


def _facts(dump: Predictions, path: Path) -> list[tuple[str, str]]:
    about: Mapping[str, Any] = dump.about
    facts = [("dump", str(path))]
    detector = about.get("detector")
    if isinstance(detector, Mapping):
        detector = detector.get("_target_")
    if detector:
        facts.append(("detector", str(detector)))
    for key, title in FACTS:
        if about.get(key) not in (None, ""):
            text = str(about[key])
            facts.append((title, text[:12] if key == "checkpoint_sha256" else text))
    versions = about.get("versions")
    if isinstance(versions, Mapping):
        facts.append(("versions", ", ".join(f"{name} {value}" for name, value in versions.items())))
    return facts


def _caption(joined: Joined, bootstrap: Bootstrap | None) -> str:
    seen = " seen through the same view" if len(joined.dumps) > len(joined.whole) else ""
    others = "real images" if negative(joined.dumps) == "real" else "outliers"
    against = (
        f"Each generator against all {others}{seen}, which therefore dominate its accuracy and lower its AP where "
        "they are many; AUROC and TPR do not depend on that. "
    )
    if not bootstrap:
        return (
            f"{against}Intervals are left out above {LARGE:,} images, where they take a minute or more; "
            "review.resamples=1000 adds them."
        )
    about = [bootstrap.as_json(dump) for dump in joined.dumps]
    unit = "photographs (the dump's groups)" if any(a["clustered"] for a in about) else "images"
    return (
        f"{against}Small figures: {bootstrap.level:.0%} intervals from {bootstrap.resamples:,} bootstrap samples of "
        f"{unit}, seed {bootstrap.seed}; Wilson's for rates of 0 or 1; none for fewer than {bootstrap.least} of "
        "a class."
    )
