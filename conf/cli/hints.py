"""The next step for a word of the command line that cannot be used, ready to paste where possible."""

import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from hydra.core.override_parser.types import Override, Quote, QuotedString

from conf.cli.flags import flag_names, hydras_step
from conf.cli.grammar import as_word
from conf.keys.schema import root_keys
from conf.keys.synonyms import key_for, task_for
from conf.keys.verbs import verbs
from conf.keys.written import as_text
from contracts.errors import nearest

WEIGHTS = (".ckpt", ".pth", ".pt", ".safetensors", ".bin")
SWEEP = re.compile(r"(range|interval|choice|glob|shuffle|sort|tag)\(")  # Functions that list values
IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif", ".heic", ".heif", ".jxl")


def ready(key: str, text: str) -> str:
    """A key with a text, quoted for Hydra and for the shell."""
    quote = Quote.single if '"' in text and "'" not in text else Quote.double
    return shlex.quote(f"{key}={QuotedString(text, quote).with_quotes()}")


def in_yaml(key: str, text: str) -> str:
    """The same as a line of a YAML file."""
    return f"{key.rpartition('.')[2].lstrip('+~')}: " + "'" + text.replace("'", "''") + "'"


def parse_step(word: str, experiments: Sequence[str]) -> str:
    """The next step for a word that Hydra's grammar cannot read."""
    key, equals, value = word.partition("=")
    if not equals:
        return _bare_step(word, experiments)
    if not re.fullmatch(r"[~+]*[\w$][\w$./@-]*", key):
        return "Write key=value."
    return f"Quote it. In a shell: {ready(key, value)}   In a YAML file: {in_yaml(key, value)}"


def several_step(word: str) -> str:
    """The next step for a list of values without ``-m``."""
    key, _, value = word.partition("=")
    as_list = "" if SWEEP.match(value) else f"or write a list: {shlex.quote(f'{key}=[{value}]')}, "
    return (
        f"Add -m to run them one by one, {as_list}or quote a text that is a single value. "
        f"In a shell: {ready(key, value)}   In a YAML file: {in_yaml(key, value)}"
    )


def flag_step(word: str) -> str:
    """The next step for a word that begins with a dash."""
    name, equals, value = word.lstrip("-").partition("=")
    key = name if name.partition(".")[0] in root_keys() else key_for(name)
    if key is None:
        return hydras_step(word) or nearest(word.partition("=")[0], flag_names())
    return f"Write {shlex.quote(f'{key}={value}' if equals else f'{key}=VALUE')}; overrides have no dashes"


def key_step(override: Override, options: Callable[[str], list[str]]) -> str:
    """The next step for a root key that does not exist: the key that was probably meant, with the typed value."""
    name, value = override.key_or_group, "" if override.is_delete() else as_text(override.get_value_string())
    key = key_for(name) or key_for(name.rpartition(".")[2])
    if key is None:
        return nearest(name.partition(".")[0], root_keys())
    named = [each.strip() for each in value.strip("[]").split(",") if each.strip()]
    if (key in root_keys() and root_keys()[key].metadata.get("group")) or key == "experiment":
        wrong = next((each for each in named if each not in options(key)), None)
        if wrong is not None and key == "datamodule":
            path = shlex.quote(f"datamodule.path={value}")
            return f"Write {path} to set where the data is; datamodule=NAME sets how it is read (see --help)"
        if wrong is not None and key == "detector":
            backbone = shlex.quote(f"detector.backbone={wrong}")
            return f"Write detector=NAME; {nearest(wrong, options(key))}; a backbone is detector=classifier {backbone}"
        if wrong is not None:
            step = f"Write {key}=NAME; {nearest(wrong, options(key))}"
            backbone = " (a backbone: detector=classifier detector.backbone=LIBRARY/NAME)"
            return step + (backbone if key == "detector" else "")
    return f"Write {shlex.quote(f'{key}={value}' if value else f'{key}=VALUE')}; pixelproof {key} --help explains it"


def _bare_step(word: str, experiments: Sequence[str]) -> str:
    """The next step for a word without ``=``."""
    meant = word if word in verbs() else task_for(word)
    suffix = Path(word).suffix.lower()
    if suffix in WEIGHTS:
        return f"Name weights by their key: {shlex.quote(f'ckpt={as_word(word)}')}"
    if suffix == ".npz":
        return f"Name a dump by its key: task=review {shlex.quote(f'review.inputs=[{as_word(word)}]')}"
    if suffix in IMAGES or any(sign in word for sign in "*?/") or (meant is None and Path(word).exists()):
        path = shlex.quote(f"datamodule.path={as_word(word)}")
        return f"Images are named by the data module's key: datamodule=folder {path}"
    if meant is not None:
        return f"Write task={meant}"
    if word in experiments:
        return f"Write experiment={word}"
    if word in root_keys():
        return f"Write {word}=VALUE; pixelproof {word} --help explains it"
    return f"Write {key_for(word) or word}=VALUE."
