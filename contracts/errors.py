"""Errors that name the value, the place and the next step."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class PixelProofError(Exception):
    """An error that the user can fix; printed without a traceback.

    Args:
        what: the problem, with its value and place (a key, a file, a row).
        step: the next step, as an imperative sentence.
    """

    def __init__(self, what: str, step: str = "") -> None:
        super().__init__(f"{what}\n  → {step}" if step else what)
        self.what = what
        self.step = step


class ConfigError(PixelProofError):
    """A key, option or combination of options cannot work."""


def refuse(problems: Sequence[ConfigError]) -> None:
    """Raises all problems, if there are any, as one `ConfigError`."""
    if problems:
        raise ConfigError("\n".join(str(problem) for problem in problems))


class DataError(PixelProofError):
    """A path, file, row or split of a data set cannot be used."""


class CheckpointError(PixelProofError):
    """A checkpoint cannot be read or does not fit the detector."""


def nearest(name: str, known: Iterable[str], count: int = 3) -> str:
    """The known names most similar to a mistyped one, as the end of a sentence.

    Returns:
        ``"did you mean 'a' or 'b'?"``, or a list of the known names if none is similar.
    """
    names = sorted(set(known))
    near = get_close_matches(name, names, n=count, cutoff=0.55)
    if near:
        return "did you mean " + " or ".join(repr(n) for n in near) + "?"
    shown = ", ".join(names[:30]) + (f", … ({len(names)} in all)" if len(names) > 30 else "")
    return f"known: {shown}" if names else "there are none"


def check_known(key: str, value: str, known: Iterable[str]) -> None:
    """Raises a ConfigError if a key has none of the known values."""
    if value not in (names := tuple(known)):
        raise ConfigError(f"{key}={value!r} is unknown", nearest(str(value), names))
