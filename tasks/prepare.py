"""``task=prepare``: convert any data module's images to one HDF5 file that is fast to train from."""

import sys
from pathlib import Path
from typing import Any

from rich.table import Table

from contracts.process.stop import Stopped
from contracts.screen import display, table_of
from datamodules.preparing.hdf5_writer import Hdf5Writer, Prepared
from datamodules.preparing.job import TooManyFailuresError
from datamodules.preparing.journal import InUseError
from datamodules.preparing.parts import Parts
from tasks.experiment.run import Run
from tasks.scoring.failures import write_failures
from tasks.scoring.shards import shard_number

COLUMNS = ("id", "where", "row", "reason")
LABELS = {0: "real", 1: "generated", -1: "unknown"}


def prepare(run: Run) -> None:
    """Prepares images for training in one HDF5 file; an interrupted preparation resumes where it stopped.

    Raises:
        ConfigError: storage and size are incompatible, or the file exists with other settings.
        DataError: there is no image, the disk is full, or too many images cannot be read.
    """
    options = run.config.prepare
    out = run.out(options.out, "data.h5")
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
        verify=options.verify,  # type: ignore[arg-type]  # likewise
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
        write_failures(failures, error.failures, COLUMNS)
        raise
    except (KeyboardInterrupt, Stopped):
        print(f"\n{out} is not complete: the same command resumes it", file=sys.stderr)
        raise
    if not prepared.already:
        write_failures(failures, prepared.failures, COLUMNS)
    display(_table(prepared))
    print(_summary(prepared))
    print(_next(prepared, out))


def _in_shards(run: Run, writer: Hdf5Writer, datamodule: Any) -> Prepared | None:
    """Prepares one shard; merges all of them once the last is complete, unless another process is merging."""
    manifest, count = datamodule.manifest(), run.config.prepare.shards
    number = shard_number(run.config.prepare.shard, count, "prepare")
    settings = writer.settings(manifest, writer.rows(manifest))
    parts = Parts(writer.path.with_name(f"{writer.path.name}.parts"), count, settings)
    if not writer.path.exists():
        if not parts.done(number):
            writer.write_part(manifest, datamodule.store(), parts, number)
        missing = parts.missing()
        if missing and not writer.path.exists():
            print(f"shard {number} of {count} is prepared; shards still missing ({len(missing)}): {missing[:10]}")
            return None
    try:
        prepared = writer.merge(manifest, parts)
    except InUseError:
        print(f"shard {number} of {count} is prepared; another process is merging all shards")
        return None
    parts.remove()
    return prepared


def _next(prepared: Prepared, out: Path) -> str:
    where = f"datamodule=hdf5 datamodule.path={out}"
    if any(split == "train" and count for (split, _), count in prepared.images.items()):
        return f"train on it: {where}"
    return (
        f"test on it: task=test {where}\nthere are no training images; to split all images into folds, prepare trees, "
        "roots and tables with datamodule.split=folds"
    )


def _summary(prepared: Prepared) -> str:
    size = f"{prepared.nbytes / 2**20:,.1f} MiB"
    if prepared.already:
        return f"{prepared.path} ({size}) exists already with the same settings: nothing to do"
    speed = f"{prepared.read / prepared.seconds:,.0f} images/s, " if prepared.read else ""
    return f"{size} in {prepared.seconds:.1f} s: {speed}{len(prepared.failures)} unreadable"


def _table(prepared: Prepared) -> Table:
    labels = sorted({label for _, label in prepared.images}, reverse=True)
    table = table_of("split", *(LABELS[label] for label in labels), "all", title=str(prepared.path))
    for split in ("train", "valid", "test"):
        counts = [prepared.images.get((split, label), 0) for label in labels]
        table.add_row(split, *map(str, counts), str(sum(counts)))
    counts = [sum(n for (_, known), n in prepared.images.items() if known == label) for label in labels]
    table.add_row("all", *map(str, counts), str(sum(counts)))
    return table
