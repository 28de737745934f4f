"""A person's answers: a file of JSON lines that grows with every answer.

The first line names the person and the images in the order in which they are shown; each further line is an answer, an
undone answer, or the end. A line counts once its line feed is on the disk, so a process that is killed while
it writes loses at most the line that it was writing.
"""

import fcntl
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from benchmarks.predictions import Predictions, from_crops
from contracts.errors import DataError
from contracts.files import sync

FORMAT = "pixelproof answers 1"
CERTAIN = 120.0
"""Logit of "generated" in a dump, whose score is exactly 1 in float32; that of its negative is exactly 0."""


@dataclass(frozen=True)
class Shown:
    """An image that a person is shown."""

    id: str  # the manifest's id
    label: int  # 0 real, 1 generated
    generator: str = ""  # "" for a real image


@dataclass(frozen=True)
class Sitting:
    """The images one person is shown: the first line of the file."""

    person: str  # their name, any text
    seed: int  # that chose the images and their order
    reveal: str  # "each" if the truth was shown after every answer, "end" if only at the end
    images: tuple[Shown, ...]  # in the order in which they are shown

    def line(self) -> dict[str, Any]:
        """As it is written."""
        return {"format": FORMAT, **asdict(self), "images": [asdict(image) for image in self.images]}


@dataclass(frozen=True)
class Answers:
    """The answers of one person, of n images in the order in which they were shown."""

    sitting: Sitting  # what they were asked; the first n of its images are answered
    called: NDArray[np.int64]  # [n] 0 for "real", 1 for "generated"
    seconds: NDArray[np.float64]  # [n] from the image's appearance to the answer, without pauses
    finished: bool = False  # whether the person has seen the result

    def __len__(self) -> int:
        return len(self.called)

    @property
    def shown(self) -> tuple[Shown, ...]:
        """The images that are answered."""
        return self.sitting.images[: len(self)]

    @property
    def labels(self) -> NDArray[np.int64]:
        """[n] 0 real, 1 generated."""
        return np.array([image.label for image in self.shown], dtype=np.int64)

    @property
    def right(self) -> NDArray[np.bool_]:
        """[n] whether each answer is right."""
        return np.asarray(self.called == self.labels)

    def predictions(self) -> Predictions:
        """The answers as a dump whose scores are 0 and 1."""
        names = ["", *sorted({image.generator for image in self.shown} - {""})]
        return from_crops(
            np.where(self.called == 1, CERTAIN, -CERTAIN),
            np.arange(len(self)),
            self.labels,
            np.array([names.index(image.generator) for image in self.shown], dtype=np.int64),
            [image.id for image in self.shown],
            generator_id_to_name=names,
            provenance={"person": self.sitting.person, "stage": "guess", "seed": self.sitting.seed},
        )


def read_answers(path: Path) -> Answers:
    """Reads a file of answers; an incomplete last line is no answer yet.

    Raises:
        DataError: there is no such file, or it is damaged.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror or error}", "Give a file that task=guess wrote."
        ) from error
    return _parsed(path, content[: content.rfind(b"\n") + 1])


class Journal:
    """The file while a person answers; used as a context manager, which keeps others from writing to it.

    Args:
        path: the file; created, or continued where it was left.
        sitting: the questions.

    Attributes:
        answers: the answers on disk.

    Raises:
        DataError: the file holds answers to something else, is damaged, or is open elsewhere.
    """

    def __init__(self, path: Path, sitting: Sitting) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+b")
        try:
            self._begin(sitting)
        except BaseException:
            self._file.close()
            raise

    def _begin(self, sitting: Sitting) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DataError(
                f"{self.path} is open in another task=guess", "Stop that one, or give another guess.person."
            ) from error
        self._file.seek(0)
        content = self._file.read()
        complete = content.rfind(b"\n") + 1
        self._file.truncate(complete)
        if complete:
            self.answers = _parsed(self.path, content[:complete])
            if self.answers.sitting != sitting:
                raise DataError(
                    f"{self.path} holds {sitting.person}'s answers to other images, or with another guess.reveal",
                    "Repeat the command that started it, or give another guess.out or guess.person.",
                )
        else:
            self._write(sitting.line())
            sync(self.path.parent)
            self.answers = _answers(sitting, [])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the file."""
        self._file.close()

    def answer(self, called: int, seconds: float) -> None:
        """Adds the answer to the next image; it is on the disk when this returns."""
        self._add({"image": len(self.answers), "called": called, "seconds": round(seconds, 3)})

    def undo(self) -> None:
        """Takes the last answer back."""
        self._add({"undo": len(self.answers) - 1})

    def finish(self) -> None:
        """Notes that the result is shown."""
        self._add({"finished": True})

    def _add(self, record: dict[str, Any]) -> None:
        changed = _after(self.answers, record)  # first, so that nothing wrong is written
        self._write(record | {"at": datetime.now(UTC).isoformat(timespec="milliseconds")})
        self.answers = changed

    def _write(self, record: dict[str, Any]) -> None:
        self._file.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())


def _parsed(path: Path, content: bytes) -> Answers:
    number = 1
    try:
        first, *lines = content.decode().split("\n")[:-1]  # other line breaks may be part of a name
        head = json.loads(first)
        if head.pop("format") != FORMAT:
            raise ValueError("it has another format")
        images = tuple(Shown(**image) for image in head.pop("images"))
        answers = _answers(Sitting(**head, images=images), [])
        if any(image.label not in (0, 1) for image in images):
            raise ValueError("a label is neither 0 nor 1")
        for line in lines:
            number += 1
            answers = _after(answers, json.loads(line))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path} does not hold a person's answers (line {number}: {error})", "Give a file that task=guess wrote."
        ) from error
    return answers


def _after(answers: Answers, record: dict[str, Any]) -> Answers:
    """The answers after one more line.

    Raises:
        ValueError: the line cannot follow.
    """
    given = list(zip(answers.called.tolist(), answers.seconds.tolist(), strict=True))
    if answers.finished:
        raise ValueError("something follows the end")
    if "finished" in record:
        return _answers(answers.sitting, given, finished=True)
    if "undo" in record:
        if not given or record["undo"] != len(given) - 1:
            raise ValueError(f"answer {record['undo']} cannot be undone after {len(given)}")
        return _answers(answers.sitting, given[:-1])
    called, seconds = record["called"], float(record["seconds"])
    if record["image"] != len(given) or len(given) >= len(answers.sitting.images):
        raise ValueError(f"answer {record['image']} cannot follow {len(given)} of {len(answers.sitting.images)}")
    if called not in (0, 1) or isinstance(called, bool) or not (isfinite(seconds) and seconds >= 0):
        raise ValueError(f"{called} after {seconds} s is not an answer")
    return _answers(answers.sitting, [*given, (called, seconds)])


def _answers(sitting: Sitting, given: Sequence[tuple[int, float]], finished: bool = False) -> Answers:
    called, seconds = np.array([c for c, _ in given], np.int64), np.array([s for _, s in given], np.float64)
    return Answers(sitting, called, seconds, finished)
