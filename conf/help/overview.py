"""The text of ``--help``."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import dedent, fill, indent

from conf.cli.flags import flag_lines
from conf.cli.groups import group_names, group_options, is_search_word, search_folders
from conf.help.topic import help_of, parts_for, with_default
from conf.keys.documented import clean
from conf.keys.schema import VERB_OPTIONS, root_keys, verb_options
from conf.keys.verbs import verbs

EXAMPLES = """
    pixelproof experiment_id=first                                   train and validate on the sample corpus
    pixelproof task=test experiment_id=first                         score its test images
    pixelproof task=prepare datamodule=parquet datamodule.path=DIR   convert Parquet files to one HDF5 file
    pixelproof datamodule=hdf5 datamodule.path=data.h5 trainer=gpu trainer.max_epochs=30
    pixelproof task=predict ckpt=best.ckpt datamodule=folder datamodule.path=IMAGE|FOLDER|GLOB|LIST.txt|TABLE.csv
    pixelproof task=review review.inputs=[a.npz,b.npz] review.out=DIR
    pixelproof -m seed=1,2,3                                         three runs, one after another
    pixelproof task=doctor trainer=ddp                               show the configuration and its problems
"""

WIDEST = 48  # Characters of the first column; a longer name gets its own line


def help_for(words: Sequence[str], folder: Path) -> str:
    """Help for the tasks, groups, options or keys that the words name; without words, for everything.

    Raises:
        ConfigError: a word names nothing that exists.
    """
    if not [word for word in words if not is_search_word(word)]:
        return help_text(search_folders(words, folder))
    return "\n\n".join(
        section(fill(title, 118, break_long_words=False, break_on_hyphens=False), lines)
        for title, lines in parts_for(words, folder)
    )


def help_text(folders: Sequence[Path]) -> str:
    """Flags, tasks, keys, groups and their options, the options of verbs, examples."""
    tasks = {f"task={name}": clean(meaning) for name, meaning in verbs().items()}
    keys = {
        with_default(name, field): help_of(field)
        for name, field in root_keys().items()
        if "help" in field.metadata and name not in ("task", "experiment")
    }
    groups = {name: ", ".join(group_options(name, *folders)) or "(none)" for name in group_names()}
    options = {
        with_default(f"{verb}.{name}", field): help_of(field)
        for verb in VERB_OPTIONS
        for name, field in verb_options(verb).items()
    }
    parts = (
        "PixelProof trains, benchmarks and explains detectors of AI-generated images.",
        "pixelproof [FLAG …] [key=value …]      or: python lightning_main.py …\n"
        "pixelproof task=VERB | GROUP | GROUP=OPTION | KEY --help      explains one of them\n"
        "pixelproof look IMAGE … [ckpt=FILE]      a verdict on images; pixelproof models lists registered checkpoints",
        section("Tasks", tasks),
        section("Keys", keys),
        section("Groups: GROUP=OPTION chooses, GROUP.KEY=VALUE sets any argument of the chosen option", groups),
        section("Options of tasks", options),
        section("Flags", flag_lines()),
        "Examples\n" + indent(dedent(EXAMPLES).strip("\n"), "  "),
    )
    return "\n\n".join(parts)


def section(title: str, lines: dict[str, str]) -> str:
    """A title with names and their meanings below it."""
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
