"""``task=prepare``: any data module's images into one HDF5 file that is fast to train from."""

import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from contracts.files import write_atomically
from contracts.screen import display
from contracts.stop import Stopped
from datamodules.preparing.hdf5_writer import Hdf5Writer, Prepared
from datamodules.preparing.job import Failure, TooManyFailuresError
from datamodules.preparing.journal import InUseError
from datamodules.preparing.parts import Parts
from tasks.experiment.run import Run
from tasks.scoring.failures import told
from tasks.scoring.shards import own_number

LABELS = {0: "real", 1: "generated", -1: "unknown"}


def prepare(run: Run) -> None:
    """Prepare images for training: one HDF5 file, written whole, resumed where a kill left off.

    Raises:
        ConfigError: storage and size do not go together, or the file is there with other settings.
        DataError: nothing can be prepared, the disk is full, or too many images cannot be read.
    """
    options = run.prepare
    out = Path(options.out).expanduser() if options.out else run.folder / "data.h5"
    datamodule = run.datamodule()
    writer = Hdf5Writer(
        out,
        storage=options.storage,  # type: ignore[arg-type]  # checked against its choices when composed
        size=options.size,
        limit=options.limit,
        workers=options.workers,
        max_failures=options.max_failures,
        decoder=datamodule.decoder,
        max_pixels=datamodule.max_pixels,
    )
    failures = out.parent / "failures.csv"
    try:
        if options.shards == 1:
            prepared = writer.write(datamodule.manifest(), datamodule.store())
        elif (merged := _in_shards(run, writer, datamodule)) is None:
            return
        else:
            prepared = merged
    except TooManyFailuresError as error:
        _write_failures(failures, error.failures)
        raise
    except (KeyboardInterrupt, Stopped):
        print(f"\n{out} is not complete: the same command goes on where this one stopped", file=sys.stderr)
        raise
    if not prepared.already:
        _write_failures(failures, prepared.failures)
    display(_table(prepared))
    print(_summary(prepared))
    if prepared.failures:
        print(told(len(prepared.failures), failures))
    print(_next(prepared, out))


def _in_shards(run: Run, writer: Hdf5Writer, datamodule: Any) -> Prepared | None:
    """One part; and the whole, once the last part is there and nobody else is putting them together."""
    manifest, count = datamodule.manifest(), run.prepare.shards
    number = own_number(run.prepare.shard, count, "prepare")
    settings = writer.settings(manifest, writer.rows(manifest))
    parts = Parts(writer.path.with_name(f"{writer.path.name}.parts"), count, settings)
    if not writer.path.exists():
        if not parts.done(number):
            writer.write_part(manifest, datamodule.store(), parts, number)
        missing = parts.missing()
        if missing and not writer.path.exists():
            print(f"shard {number} of {count} is prepared; {len(missing)} are missing: {missing[:10]}")
            return None
    try:
        prepared = writer.merge(manifest, parts)
    except InUseError:
        print(f"shard {number} of {count} is prepared; another process is putting all of them together")
        return None
    parts.remove()
    return prepared


def _write_failures(path: Path, failures: Sequence[Failure]) -> None:
    """``failures.csv`` beside the prepared file; an older one goes where there is nothing to list."""
    if not failures:
        path.unlink(missing_ok=True)
        return
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("id", "where", "row", "reason"))
    writer.writerows((failure.id, failure.where, failure.row, failure.reason) for failure in failures)
    write_atomically(path, text.getvalue().encode())


def _next(prepared: Prepared, out: Path) -> str:
    """What the file is good for."""
    where = f"datamodule=hdf5 datamodule.path={out}"
    if any(split == "train" and count for (split, _), count in prepared.images.items()):
        return f"train on it: {where}"
    return (
        f"test on it: task=test {where}\nno image is for training; to have all images dealt into folds, prepare trees, "
        "roots and tables with datamodule.split=folds"
    )


def _summary(prepared: Prepared) -> str:
    size = f"{prepared.nbytes / 2**20:,.1f} MiB"
    if prepared.already:
        return f"{prepared.path} ({size}) was there already, prepared with the same settings: nothing to do"
    speed = f"{prepared.read / prepared.seconds:,.0f} images/s, " if prepared.read else ""
    return f"{size} in {prepared.seconds:.1f} s: {speed}{len(prepared.failures)} unreadable"


def _table(prepared: Prepared) -> Table:
    table = Table(title=str(prepared.path))
    labels = sorted({label for _, label in prepared.images}, reverse=True)
    table.add_column("split")
    for label in labels:
        table.add_column(LABELS[label], justify="right")
    table.add_column("all", justify="right")
    for split in ("train", "valid", "test"):
        counts = [prepared.images.get((split, label), 0) for label in labels]
        table.add_row(split, *map(str, counts), str(sum(counts)))
    counts = [sum(n for (_, known), n in prepared.images.items() if known == label) for label in labels]
    table.add_row("all", *map(str, counts), str(sum(counts)))
    return table
