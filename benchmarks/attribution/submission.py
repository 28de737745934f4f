"""``submission.csv``: one answer a file, checked against the files before it is published."""

import csv
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from contracts.errors import DataError, nearest
from contracts.files import csv_text, write_atomically

HEADER = ["image_name", "label"]


def write_submission(
    path: Path, answers: Iterable[tuple[str, str]], files: Iterable[str], classes: Iterable[str]
) -> None:
    """Write the answers, sorted by name, after all checks of `check_submission`.

    Args:
        path: the CSV.
        answers: (file name with suffix, class).
        files: names that must be answered, each once.
        classes: allowed answers, in their exact spelling.
    """
    rows = sorted(answers)
    _check(rows, list(files), list(classes), "the answers")
    write_atomically(path, csv_text([HEADER, *rows]).encode())


def check_submission(path: Path, files: Iterable[str], classes: Iterable[str]) -> Mapping[str, str]:
    """Read a submission and check it against the folder.

    Returns:
        File name → class.

    Raises:
        DataError: no such file, another header, lines of another length, names twice, missing or strange, or unknown
            classes; each with examples.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file", "Write it with task=trace.")
    with path.open(newline="", encoding="utf-8") as stream:
        header, *rows = list(csv.reader(stream)) or [[]]
    if header != HEADER:
        raise DataError(f"{path}: header {','.join(header)!r}", f"The header is {','.join(HEADER)!r}, without a BOM.")
    for line, row in enumerate(rows, start=2):
        if len(row) != len(HEADER):
            raise DataError(f"{path}: line {line} has {len(row)} cells", "Each line is image_name,label.")
    pairs = [(row[0], row[1]) for row in rows]
    _check(pairs, list(files), list(classes), str(path))
    return dict(pairs)


def _check(pairs: list[tuple[str, str]], files: list[str], classes: list[str], where: str) -> None:
    for what, names in (("files to answer for", files), ("answers", [name for name, _ in pairs])):
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise DataError(
                f"{where}: {len(twice)} name{'s' * (len(twice) > 1)} given more than once among the {what}, "
                f"{twice[0]!r} first",
                "File names must be unique over the whole test set, whatever their folders.",
            )
    answered = {name for name, _ in pairs}
    if missing := sorted(set(files) - answered):
        raise DataError(
            f"{where}: {len(missing)} of {len(files)} files have no answer, {missing[0]!r} first",
            "Answer every file; trace.refused=outlier answers for images that no generator can have saved.",
        )
    if strange := sorted(answered - set(files)):
        raise DataError(f"{where}: {len(strange)} answers are for no file, {strange[0]!r} first", "Check the folder.")
    for name, label in pairs:
        if label not in classes:
            raise DataError(f"{where}: {name} is answered {label!r}", nearest(label, classes))
