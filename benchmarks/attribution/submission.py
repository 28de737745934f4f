"""``submission.csv``: one answer per file, checked against the files before it is written."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from contracts.errors import DataError, nearest
from contracts.files import csv_text, write_atomically

HEADER = ["image_name", "label"]


def write_submission(
    path: Path, answers: Iterable[tuple[str, str]], files: Iterable[str], classes: Iterable[str]
) -> None:
    """Write the answers, sorted by name, if they answer every file once.

    Args:
        path: the CSV.
        answers: (file name with suffix, class).
        files: names that must be answered, each once.
        classes: allowed answers, in their exact spelling.

    Raises:
        DataError: names are given twice, missing or belong to no file, or classes are unknown; each with an example.
    """
    rows = sorted(answers)
    _check(rows, list(files), list(classes))
    write_atomically(path, csv_text([HEADER, *rows]).encode())


def _check(pairs: list[tuple[str, str]], files: list[str], classes: list[str]) -> None:
    for what, names in (("files to answer for", files), ("answers", [name for name, _ in pairs])):
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise DataError(
                f"the answers: {len(twice)} name{'s' * (len(twice) > 1)} given more than once among the {what}, "
                f"{twice[0]!r} first",
                "File names must be unique over the whole test set, whatever their folders.",
            )
    answered = {name for name, _ in pairs}
    if missing := sorted(set(files) - answered):
        raise DataError(
            f"the answers: {len(missing)} of {len(files)} files have no answer, {missing[0]!r} first",
            "Give every file an answer; trace.refused=outlier gives one to images that no generator can have saved.",
        )
    if strange := sorted(answered - set(files)):
        raise DataError(
            f"the answers: {len(strange)} answers belong to no file, {strange[0]!r} first", "Check the folder."
        )
    for name, label in pairs:
        if label not in classes:
            raise DataError(f"the answers: {name} is answered {label!r}", nearest(label, classes))
