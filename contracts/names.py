r"""File names as text that can be written anywhere.

File names are bytes, not always UTF-8, but ids, tables, dumps and pages contain text. Therefore every byte of a name
that is not part of valid UTF-8 is written as ``\xNN`` (``caf\xe9.png``), and a backslash that would look like the start
of such an escape is written as ``\x5c``. `as_path` converts the text back to the original bytes. The text depends only
on the bytes, not on the locale.
"""

import os
import re
from glob import escape, has_magic
from pathlib import Path

_LITERAL = re.compile(r"\\(?=x[0-9a-f]{2})")
_UNDECODED = re.compile("[\udc80-\udcff]")
_ESCAPED = re.compile(r"\\x(5c|[89a-f][0-9a-f])")


def as_text(path: str | os.PathLike[str]) -> str:
    """A path as text without surrogates; `as_path` is its inverse."""
    name = os.fspath(path)
    if name.isascii() and "\\x" not in name:
        return name
    try:
        raw = os.fsencode(name)
    except UnicodeEncodeError:  # text of a configuration that this locale cannot encode
        raw = name.encode("utf-8", "surrogateescape")
    text = _LITERAL.sub(r"\\x5c", raw.decode("utf-8", "surrogateescape"))
    return _UNDECODED.sub(lambda match: f"\\x{ord(match[0]) - 0xDC00:02x}", text)


def as_path(text: str) -> Path:
    """The path that `as_text` wrote."""
    if text.isascii() and "\\x" not in text:
        return Path(text)
    return Path(os.fsdecode(_ESCAPED.sub(_byte, text).encode("utf-8", "surrogateescape")))


def _byte(match: re.Match[str]) -> str:
    return "\\" if match[1] == "5c" else chr(0xDC00 + int(match[1], 16))


def typed(word: str) -> str:
    """An argument of the command line without surrogates, which no grammar accepts; `given_path` finds its file."""
    return as_text(word) if _UNDECODED.search(word) else word


def given_path(text: str | os.PathLike[str]) -> Path:
    """The path named in a configuration: as written, or, if there is no such file, decoded by `as_path`."""
    path = Path(text).expanduser()
    return path if os.path.lexists(path) else as_path(str(path))


def utf8_path(text: str) -> Path:
    """The path whose name is this text in UTF-8, in every locale."""
    return Path(text if text.isascii() else os.fsdecode(text.encode("utf-8", "surrogateescape")))


def glob_pattern(path: Path) -> tuple[Path, str]:
    """The folder before the first wildcard, and the pattern for `glob`.

    Names of existing folders are literal, including brackets: ``photos [old]/*.png`` searches ``photos [old]``.
    """
    fixed = Path(*path.parts[:1]) if path.is_absolute() else Path()
    rest = list(path.parts[1:] if path.is_absolute() else path.parts)
    while rest and (not has_magic(rest[0]) or os.path.lexists(fixed / rest[0])):
        fixed /= rest.pop(0)
    return fixed, os.path.join(escape(str(fixed)), *rest)  # noqa: PTH118 - Path would drop a leading "./"


EXPORTED = "config.json"  # File that describes the weights in a folder of ``task=export``


def is_exported(path: Path) -> bool:
    """Whether a path is a folder that ``task=export`` wrote."""
    return (path / EXPORTED).is_file()
