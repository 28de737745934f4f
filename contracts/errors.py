"""Errors as part of the interface: the value, the place, and the next step."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class PixelProofError(Exception):
    """A mistake the user can mend; printed without a traceback.

    Args:
        what: what is wrong, naming the value and the place (a key, a file, a row).
        step: what to do next, as an imperative sentence.
    """

    def __init__(self, what: str, step: str = "") -> None:
        super().__init__(f"{what}\n  → {step}" if step else what)
        self.what = what
        self.step = step


class ConfigError(PixelProofError):
    """A key, option or pair of options in the configuration that cannot work."""


def refuse(problems: Sequence[ConfigError]) -> None:
    """Raises all problems, if there are any, as one `ConfigError`."""
    if problems:
        raise ConfigError("\n".join(str(problem) for problem in problems))


class DataError(PixelProofError):
    """A path, file, row or split of a data set that cannot be used."""


class CheckpointError(PixelProofError):
    """A checkpoint that cannot be read or does not fit the detector."""


def nearest(name: str, known: Iterable[str], count: int = 3) -> str:
    """The known names nearest to a mistyped one, as the end of a sentence.

    Returns:
        ``"did you mean 'a' or 'b'?"``, or a list of all known names where none is near.
    """
    names = sorted(set(known))
    near = get_close_matches(name, names, n=count, cutoff=0.55)
    if near:
        return "did you mean " + " or ".join(repr(n) for n in near) + "?"
    shown = ", ".join(names[:30]) + (f", … ({len(names)} in all)" if len(names) > 30 else "")
    return f"known: {shown}" if names else "there are none"
