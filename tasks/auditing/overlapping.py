"""``task=audit audit.against=[…]``: copies of test images in training sets, and how they change the metrics."""

from collections.abc import Mapping, Sequence
from math import isnan
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import yaml
from numpy.typing import NDArray

from benchmarks.evaluation import Result, Subset, measured, subsets
from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.intervals.ends import interval_of
from benchmarks.metrics import choose
from benchmarks.predictions import Predictions, read_predictions
from conf.build import build
from conf.cli.groups import group_options, search_words
from conf.cli.typed import typed_node
from conf.compose import compose
from contracts.errors import ConfigError, DataError, nearest
from contracts.files import csv_text, write_atomically
from contracts.names import given_path
from contracts.words import counted
from datamodules.auditing.overlap import Hashed, Overlap, hashed, overlap, read_hashes
from datamodules.loading.stores import FileStore
from datamodules.tables.manifest import Manifest
from tasks.experiment.named_dumps import dumps_of
from tasks.experiment.run import DATA, LOCK, Run

METRICS = ("auroc", "average_precision")
FILE = "hashes.parquet"
TIDY = ("id", "generator", "label", "set", "copy", "exact", "bits")


def audit_overlap(run: Run) -> None:
    """Finds copies of the test images in every set of ``audit.against``; writes overlap.md, overlap.csv and hashes.

    Raises:
        ConfigError: a set is neither a data module, a manifest nor a table of hashes.
        DataError: a set cannot be read, or the dump holds other images.
    """
    options = run.config.audit
    out = run.out(options.out)
    dump = None
    if options.dump:
        dump = read_predictions(dumps_of("audit.dump", options.dump, ("test", "predict"))[-1])
    datamodule = run.datamodule()
    whole = hashed("the test images", datamodule.manifest(), datamodule.store(), datamodule.max_pixels)
    tested = whole.of("test")
    out.mkdir(parents=True, exist_ok=True)
    whole.save(out / FILE)
    found = []
    for number, name in enumerate(options.against, 1):
        against, is_new = _against(run, name)
        if is_new:
            file = out / f"hashes_{number}.parquet"
            against.save(file)
            print(f"hashes of {name} are in {file}; audit.against can name that file instead")
        found.append(overlap(tested, against.of("train", "valid")))
    text = markdown(found, dump)
    write_atomically(out / "overlap.md", text.encode())
    write_atomically(out / "overlap.csv", tidy(found).encode())
    print(text)
    print(f"{out / 'overlap.md'} and {out / 'overlap.csv'}")


def _against(run: Run, name: str) -> tuple[Hashed, bool]:
    """A set of ``audit.against``, and whether its images had to be read."""
    option, _, place = name.partition(":")
    known = group_options("datamodule", *run.composed.folders)
    if option in known:
        words = [f"datamodule={option}", *([f"datamodule.path={given_path(place)}"] if place else [])]
        composed = compose([*search_words(run.composed.overrides), "task=audit", *words], run.composed.folder)
        return _hashed_data(name, composed.config.datamodule, trained=False), True
    lock = DATA / name / LOCK
    if lock.is_file():
        node = yaml.safe_load(lock.read_text(encoding="utf-8"))["config"]["datamodule"]
        return _hashed_data(name, typed_node(node), trained=True), True
    path = given_path(name)
    if not path.is_file():
        raise ConfigError(
            f"audit.against: {name!r} is neither an experiment, a file nor a data module",
            f"{nearest(option, known)} Give OPTION:PATH, an experiment, a manifest, or hashes of an earlier audit.",
        )
    if path.suffix == ".parquet" and "dhash" in pq.read_schema(path).names:
        return read_hashes(path), False
    manifest = Manifest.load(path)
    if (manifest.column("row") >= 0).any():
        raise ConfigError(
            f"audit.against: images of {name} are in containers, which cannot be read from a manifest alone",
            "Give OPTION:PATH of its data module, for example parquet:FOLDER.",
        )
    return hashed(path.name, manifest, FileStore(manifest)), True


def _hashed_data(name: str, node: dict[str, Any], trained: bool) -> Hashed:
    """Hashes of a data module; folds count as splits only of data that an experiment was trained on."""
    module: Any = build(node, f"audit.against={name}: datamodule")
    found = hashed(name, module.manifest(), module.store(), module.max_pixels)
    return found.whole() if module.folded and not trained else found


def copied(found: Sequence[Overlap]) -> NDArray[np.bool_]:
    """[N] test images with a copy in any of the sets."""
    have: NDArray[np.bool_] = np.logical_or.reduce([one.copy >= 0 for one in found])
    return have


def tidy(found: Sequence[Overlap]) -> str:
    """One line for each test image and each set that holds a copy of it."""
    lines: list[list[object]] = []
    for one in found:
        ids, generators, labels = (one.tested.column(name) for name in ("id", "generator", "label"))
        theirs = one.against.column("id")
        for k in np.flatnonzero(one.copy >= 0).tolist():
            lines.append(
                [ids[k], generators[k], labels[k], one.against.name, theirs[one.copy[k]], bool(one.exact[k]),
                 int(one.bits[k])]
            )  # fmt: skip
    return csv_text([TIDY, *lines])


def markdown(found: Sequence[Overlap], dump: Predictions | None) -> str:
    """Counts of copies by generator and set, and the dump's metrics with and without them."""
    tested = found[0].tested
    total = int(copied(found).sum())
    lines = [
        "# Copies of test images",
        "",
        f"{counted(total, 'test image')} of {len(tested):,} {'has' if total == 1 else 'have'} a copy in another set: "
        "the same bytes, or a difference hash that differs in at most 3 of 64 bits.",
    ]
    lost = tested.unreadable + sum(one.against.unreadable for one in found)
    if lost:
        lines += [f"{counted(lost, 'image')} could not be read and {'was' if lost == 1 else 'were'} not compared."]
    lines += ["", "| set | its images | generator | test images | exact copies | near copies | first copy |"]
    lines += ["|---|--:|---|--:|--:|--:|---|"]
    for one in found:
        for name, own in _groups(tested):
            have = np.flatnonzero(own & (one.copy >= 0))
            exact = int(one.exact[have].sum())
            first = (tested.column("id")[have[0]], one.against.column("id")[one.copy[have[0]]]) if len(have) else ()
            counts = [f"{n:,}" for n in (int(own.sum()), exact, len(have) - exact)]
            cells = [one.against.name, f"{len(one.against):,}", name, *counts, " = ".join(map(str, first))]
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    if dump is not None:
        lines += ["", *_figures(dump, set(tested.column("id")[copied(found)].tolist()), tested)]
    return "\n".join([*lines, ""])


def _groups(tested: Hashed) -> list[tuple[str, NDArray[np.bool_]]]:
    """Real images, each generator's, and unlabelled ones: name and mask [N], without empty ones."""
    generator, label = tested.column("generator").astype(str), tested.column("label")
    found = [("(real)", label == 0)]
    found += [(n or "(unnamed)", (label == 1) & (generator == n)) for n in sorted(set(generator[label == 1].tolist()))]
    return [(name, own) for name, own in [*found, ("(unlabelled)", label == -1)] if own.any()]


def _figures(dump: Predictions, gone: set[str], tested: Hashed) -> list[str]:
    """Metrics of all images and of each generator, with and without images that have a copy."""
    known = np.isin(dump.fused_ids, tested.column("id").astype(str))
    if not known.any():
        raise DataError(
            "audit.dump has no image in common with the test images", "Give a dump of this data set's test images."
        )
    dump = dump.select(np.flatnonzero(known))
    kept = ~np.isin(dump.fused_ids, sorted(gone))
    wanted = [(s.name or "all images", s.images) for s in subsets(dump) if s.kind in ("pooled", "generator")]
    both = {"with": wanted, "without": [(name, images[kept[images]]) for name, images in wanted]}
    bootstrap, specs = Bootstrap(), choose(METRICS)
    values: dict[str, dict[tuple[str, str], Result]] = {}
    draws: dict[str, Mapping[Any, NDArray[np.float64]]] = {}
    for which, sets in both.items():
        found = [Subset("set", name, images) for name, images in sets]
        results = measured(dump, found, {}, specs)
        values[which] = {(r.generator, r.metric): r for r in results}
        draws[which] = bootstrap.draw(dump, results, sets=found, specs=specs)  # the same resamples of photographs
    lines = ["| images | metric | n | with copies | n | without copies | difference |", "|---|---|--:|--:|--:|--:|--:|"]
    for (name, metric), first in values["with"].items():
        second = values["without"][name, metric]
        key = ("set", name, metric, "")
        low, high = interval_of(draws["without"][key] - draws["with"][key], bootstrap.level)
        ends = "" if isnan(low) else f" [{low:+.3f}, {high:+.3f}]"
        change = "–" if second.reason or first.reason else f"{second.value - first.value:+.3f}{ends}"
        cells = [name, specs[metric].title, *(text for r in (first, second) for text in (
            f"{r.real + r.generated:,}", f"{r.value:.3f}" if not r.reason else r.reason)), change]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, "", f"{counted(len(dump), 'image')} of the dump; 95 % intervals, the same resamples for both."]
