"""What ``--help`` prints."""

import dataclasses
from pathlib import Path
from textwrap import dedent, fill, indent

from conf.schema import VERB_OPTIONS, root_keys, verb_options
from conf.verbs import verbs
from conf.words import group_names, group_options

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


def help_text(folder: Path) -> str:
    """Tasks, keys, groups and their options, the options of verbs, examples.

    Args:
        folder: of YAML groups.
    """
    tasks = {f"task={name}": meaning.partition(": ")[2] or meaning for name, meaning in verbs().items()}
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
        "pixelproof [-m] [key=value …]      or: python lightning_main.py …",
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
    width = max(map(len, lines), default=0) + 4
    rows = [
        fill(meaning, 112, initial_indent=f"  {name}".ljust(width), subsequent_indent=" " * width)
        for name, meaning in lines.items()
    ]
    return "\n".join([title, *rows])
