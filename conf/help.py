"""What ``--help`` prints."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from textwrap import dedent, fill, indent

from conf.cli.words import group_names, group_options
from conf.help_one import parts_for
from conf.keys.documented import clean
from conf.keys.schema import VERB_OPTIONS, root_keys, verb_options
from conf.keys.verbs import verbs

EXAMPLES = """
    pixelproof experiment_id=first                                   train and validate on the sample corpus
    pixelproof task=test experiment_id=first                         score its test images
    pixelproof task=prepare datamodule=parquet datamodule.path=DIR   parquet files into one HDF5 file
    pixelproof datamodule=hdf5 datamodule.path=data.h5 trainer=gpu trainer.max_epochs=30
    pixelproof task=predict ckpt=best.ckpt datamodule=folder datamodule.path=IMAGE|FOLDER|GLOB|LIST.txt|TABLE.csv
    pixelproof task=review review.inputs=[a.npz,b.npz] review.out=DIR
    pixelproof -m seed=1,2,3                                         one run after another
    pixelproof task=doctor trainer=ddp                               the whole configuration, and what is wrong with it
"""

WIDEST = 48
"""Characters of the first column; a longer name has a line of its own."""


def help_for(words: Sequence[str], folder: Path) -> str:
    """Help for what the words name (tasks, groups, options, keys), or all of it where there are none.

    Raises:
        ConfigError: a word names nothing there is.
    """
    if not words:
        return help_text(folder)
    return "\n\n".join(_section(fill(title, 118), lines) for title, lines in parts_for(words, folder))


def help_text(folder: Path) -> str:
    """Tasks, keys, groups and their options, the options of verbs, examples.

    Args:
        folder: of YAML groups.
    """
    tasks = {f"task={name}": clean(meaning) for name, meaning in verbs().items()}
    keys = {
        f"{name}={_default(field)}": field.metadata["help"]
        for name, field in root_keys().items()
        if "help" in field.metadata and name not in ("task", "experiment")
    }
    groups = {name: ", ".join(group_options(name, folder)) or "(none)" for name in group_names()}
    options = {
        f"{verb}.{name}={_default(field)}": field.metadata["help"]
        + (f" ({'|'.join(field.metadata['choices'])})" if field.metadata["choices"] else "")
        for verb in VERB_OPTIONS
        for name, field in verb_options(verb).items()
    }
    parts = (
        "PixelProof trains, benchmarks and explains detectors of AI-generated images.",
        "pixelproof [-m] [key=value …]      or: python lightning_main.py …\n"
        "pixelproof task=VERB | GROUP | GROUP=OPTION | KEY --help      says more of one",
        _section("Tasks", tasks),
        _section("Keys", keys),
        _section("Groups: GROUP=OPTION chooses, GROUP.KEY=VALUE sets any argument of what was chosen", groups),
        _section("Options of tasks", options),
        "Examples\n" + indent(dedent(EXAMPLES).strip("\n"), "  "),
    )
    return "\n\n".join(parts)


def _default(field: "dataclasses.Field[object]") -> str:
    value = [] if field.default is dataclasses.MISSING else field.default
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _section(title: str, lines: dict[str, str]) -> str:
    width = min(max(map(len, lines), default=0) + 4, WIDEST)
    rows = []
    for name, meaning in lines.items():
        if len(name) + 4 > width and meaning:
            rows.append(f"  {name}")
            rows.append(fill(meaning, 118, initial_indent=" " * width, subsequent_indent=" " * width))
        else:
            begin = f"  {name}".ljust(width)
            rows.append(fill(meaning, 118, initial_indent=begin, subsequent_indent=" " * width) or begin.rstrip())
    return "\n".join([title, *rows])
