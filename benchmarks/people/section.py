"""The part about people of a page: tables, accuracy over time, and the images that were missed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isnan
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from rich import box
from rich.table import Table
from rich.text import Text

from benchmarks.drawing.svg import Plot
from benchmarks.evaluation import evaluate
from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.people.answers import Answers
from benchmarks.people.measures import Against, Measures, Share, against, measure, names_of, running
from benchmarks.predictions import Predictions
from benchmarks.tables import Table as MetricTable
from contracts.errors import DataError
from contracts.files import csv_text, write_atomically
from contracts.web.pages import policy

TEMPLATES = Path(__file__).parent / "templates"
THRESHOLDED = (("accuracy", "0.5"), ("balanced_accuracy", "0.5"))
SHOWN = 12  # Images shown of each list; the files name all

Source = Callable[[str], str]  # Data URL of an image by its id; raises `DataError` where it has none


@dataclass(frozen=True)
class People:
    """Several people, measured."""

    names: list[str]  # of the people, each different
    answers: list[Answers]  # theirs
    measures: list[Measures]  # of each
    against: list[list[Against]]  # of each, the detectors that judged some of the same images

    @staticmethod
    def of(answers: Sequence[Answers], dumps: Mapping[str, Predictions]) -> "People":
        """Measures people, and compares each with the detectors' dumps.

        Raises:
            DataError: answers and a dump disagree on a label.
        """
        pairs = [[found for name, dump in dumps.items() if (found := against(a, dump, name))] for a in answers]
        return People(names_of(answers), list(answers), [measure(a) for a in answers], pairs)

    @property
    def css(self) -> str:
        """Text of the section's style element."""
        return (TEMPLATES / "people.css").read_text(encoding="utf-8")

    def section(self, source: Source | None = None) -> Markup:
        """HTML of the section, which brings its own style."""
        found = _environment().get_template("people.html.j2").render(
            people=[
                {"name": name, "answers": a, "m": m, "against": pairs, "plot": _over_time(a), "lists": _lists(a, pairs)}
                for name, a, m, pairs in zip(self.names, self.answers, self.measures, self.against, strict=True)
            ],
            image=lambda name: _shown(name, source),
            figure=_figure,
            shown=SHOWN,
            css=Markup(self.css),  # noqa: S704  our own file
        )  # fmt: skip
        return Markup(found)  # noqa: S704  rendered with escaping

    def page(self, source: Source | None = None) -> str:
        """A page of this section alone."""
        css = (TEMPLATES / "result.css").read_text(encoding="utf-8")
        return _environment().get_template("result.html.j2").render(
            section=self.section(source),
            names=self.names,
            css=Markup(css),  # noqa: S704  our own file
            policy=policy([self.css, css]),
            written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        )  # fmt: skip

    def files(self, out: Path) -> list[Path]:
        """Writes people.csv, people_answers.csv, people_against.csv and people_missed.csv."""
        contents = {
            "people.csv": (("person", "measure", "value", "low", "high", "right", "of"), self._measure_rows()),
            "people_answers.csv": (
                ("person", "place", "id", "label", "generator", "called", "right", "seconds", "accuracy_so_far"),
                self._answer_rows(),
            ),
            "people_against.csv": (
                ("person", "dump", "threshold", "images", "person_accuracy", "dump_accuracy", "only_person_right",
                 "only_dump_right", "mcnemar_p"), self._against_rows(),
            ),
            "people_missed.csv": (("person", "dump", "missed_by", "id"), self._missed_rows()),
        }  # fmt: skip
        for name, (head, rows) in contents.items():
            write_atomically(out / name, csv_text([head, *rows]).encode())
        return [out / name for name in contents]

    def tables(self) -> list[Table]:
        """For the terminal: the people, then each against the detectors."""
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        heads = list(self.measures[0].shares)
        for head in ("person", "n", *heads, "TP", "FN", "FP", "TN", "seconds"):
            table.add_column(head)
        pairs = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for head in ("person", "dump", "n", "person", "dump", "only person right", "only dump right", "McNemar's p"):
            pairs.add_column(head)
        for name, answers, m, others in zip(self.names, self.answers, self.measures, self.against, strict=True):
            cells = [" ".join(_figure(m.shares[head])).strip() for head in heads]
            table.add_row(Text(name), str(len(answers)), *cells, *map(str, m.confusion), f"{m.seconds:.1f}")
            for other in others:
                pairs.add_row(
                    Text(name), Text(other.name), str(other.images), f"{other.person.value:.3f}",
                    f"{other.machine.value:.3f}", str(other.test.gained), str(other.test.lost), f"{other.test.p:.3g}",
                )  # fmt: skip
        return [table, pairs] if pairs.row_count else [table]

    def metric_tables(self, bootstrap: Bootstrap) -> list[MetricTable]:
        """Rows for the table of detectors' metrics, with thresholded metrics only, since a person gives no scores."""
        found = []
        for answers in self.answers:
            dump = answers.predictions()
            found.append(MetricTable.of(bootstrap(dump, evaluate(dump)), columns=THRESHOLDED))
        return found

    def points(self) -> list[dict[str, Any]]:
        """Each person's false- and true-positive rate, precision and recall for the curves; None if undefined."""
        found = []
        for name, m in zip(self.names, self.measures, strict=True):
            recall, real = m.shares["accuracy on generated (recall)"], m.shares["accuracy on real"]
            precision = m.shares["precision"].value
            values = {"fpr": 1 - real.value, "tpr": recall.value, "recall": recall.value, "precision": precision}
            found.append({"name": name} | {key: None if isnan(v) else v for key, v in values.items()})
        return found

    def _measure_rows(self) -> Iterable[Sequence[Any]]:
        for name, m in zip(self.names, self.measures, strict=True):
            halves = {f"accuracy, {half} half": s for half, s in zip(("first", "second"), m.halves, strict=True)}
            for title, s in (m.shares | halves).items():
                yield name, title, s.value, s.low, s.high, s.right, s.of
            for title, value in zip(("TP", "FN", "FP", "TN"), m.confusion, strict=True):
                yield name, title, value, "", "", "", ""
            yield name, "p of equal halves (Fisher)", m.improved, "", "", "", ""
            yield name, "median seconds", m.seconds, "", "", "", ""

    def _answer_rows(self) -> Iterable[Sequence[Any]]:
        for name, a in zip(self.names, self.answers, strict=True):
            rows = zip(a.shown, a.called.tolist(), a.right.tolist(), a.seconds.tolist(), running(a.right), strict=True)
            for place, (image, called, right, seconds, s) in enumerate(rows, 1):
                yield name, place, image.id, image.label, image.generator, called, int(right), seconds, s.value

    def _against_rows(self) -> Iterable[Sequence[Any]]:
        for name, others in zip(self.names, self.against, strict=True):
            for o in others:
                yield (
                    name, o.name, o.threshold, o.images, o.person.value, o.machine.value, o.test.gained, o.test.lost,
                    o.test.p,
                )  # fmt: skip

    def _missed_rows(self) -> Iterable[Sequence[Any]]:
        for name, others in zip(self.names, self.against, strict=True):
            for o in others:
                for by, ids in (("both", o.both_missed), ("person", o.person_missed), ("dump", o.machine_missed)):
                    yield from ((name, o.name, by, image) for image in ids)


def _figure(s: Share) -> tuple[str, str]:
    """Value and interval in brief."""
    return ("–", "") if isnan(s.value) else (f"{s.value:.3f}", f"{s.low:.2f}–{s.high:.2f}")


def _lists(answers: Answers, pairs: Sequence[Against]) -> list[tuple[str, tuple[str, ...]]]:
    """Titles and ids of the images that were missed, without empty lists."""
    missed = tuple(image.id for image, right in zip(answers.shown, answers.right.tolist(), strict=True) if not right)
    found = [] if pairs else [("missed", missed)]
    for o in pairs:
        found += [
            (f"missed by both the person and {o.name}", o.both_missed),
            (f"missed by the person, not by {o.name}", o.person_missed),
            (f"missed by {o.name}, not by the person", o.machine_missed),
        ]
    return [(title, ids) for title, ids in found if ids]


def _shown(image: str, source: Source | None) -> str:
    """Data URL of an image, "" where it cannot be shown."""
    try:
        return source(image) if source else ""
    except DataError:
        return ""  # the id is shown; the gallery, or failures.csv, has the reason


def _over_time(answers: Answers) -> dict[str, Markup]:
    """Accuracy so far with its interval, and the seconds of every answer."""
    if not len(answers):
        return {}
    so_far, count = running(answers.right), len(answers)
    accuracy = Plot("accuracy after every answer", (1, max(count, 2)), (0, 1), 420, 190, y_title="accuracy so far")
    accuracy.band([(k, s.low) for k, s in enumerate(so_far, 1)], [(k, s.high) for k, s in enumerate(so_far, 1)], "band")
    accuracy.line([(1, 0.5), (max(count, 2), 0.5)], "chance")
    accuracy.line([(k, s.value) for k, s in enumerate(so_far, 1)], "curve")
    most = max(float(answers.seconds.max()), 1.0)
    seconds = Plot(
        "seconds of every answer", (0.5, count + 0.5), (0, most), 420, 120, x_title="answer", y_title="seconds"
    )
    for k, (value, right) in enumerate(zip(answers.seconds.tolist(), answers.right.tolist(), strict=True), 1):
        note = f"answer {k}: {'right' if right else 'wrong'}, {value:.1f} s"
        seconds.bar((k - 0.4, k + 0.4), (0, value), "right" if right else "wrong", note)
    return {"accuracy": accuracy.svg(), "seconds": seconds.svg()}


def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
