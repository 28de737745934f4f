"""The rows that subjects return, and the page that shows them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.parts.timing import Timing, spread

HEADER = ("what", "baseline", "this project", "unit", "ratio", "target", "note")


@dataclass(frozen=True)
class Row:
    """One comparison, or one figure without a baseline."""

    subject: str  # name of the work measured, e.g. "prepare".
    way: str  # inputs and settings, e.g. "1024² JPEG → 512²".
    baseline: float | None  # the baseline's figure, or None
    ours: float  # this project's figure
    unit: str  # unit of both
    ratio: float | None  # how many times better this project is, or None
    target: float | None  # smallest accepted ratio, or, without one, largest accepted figure; None for no target
    note: str = ""  # the baseline, the spread, and anything else a reader must know

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None if there is none."""
        if self.target is None:
            return None
        return self.ours <= self.target if self.ratio is None else self.ratio >= self.target


def rate(
    subject: str, way: str, baseline: Timing, ours: Timing, count: int, target: float | None = None, note: str = "",
    unit: str = "images/s",
) -> Row:  # fmt: skip
    """A row of throughputs: the best repetition of each way, with `count` items in each.

    The note ends with the ratio of the medians and of the CPU seconds.
    """
    parts = [part for part in (note, spread(baseline, ours)) if part]
    ratio = baseline.best / ours.best
    return Row(subject, way, count / baseline.best, count / ours.best, unit, ratio, target, "; ".join(parts))


@dataclass(frozen=True)
class Section:
    """Results of one subject's last run."""

    title: str  # first line of the subject's docstring
    machine: dict[str, str]  # date, machine and versions
    rows: list[Row]  # its rows


def load(path: Path) -> dict[str, Section]:
    """Sections of earlier runs by subject; none if the file does not exist."""
    if not path.exists():
        return {}
    stored: dict[str, dict[str, Any]] = json.loads(path.read_text())
    return {
        name: Section(entry["title"], entry["machine"], [Row(**row) for row in entry["rows"]])
        for name, entry in stored.items()
    }


def save(path: Path, sections: Mapping[str, Section]) -> None:
    """Writes the page's rows as JSON."""
    content = {name: asdict(sections[name]) for name in sorted(sections)}
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def record(docs: Path, name: str, section: Section) -> None:
    """Replaces a subject's rows in ``speed.json`` and ``speed.md``; the others keep those of their last run."""
    sections = load(docs / "speed.json") | {name: section}
    save(docs / "speed.json", sections)
    (docs / "speed.md").write_text(page(sections))


def page(sections: Mapping[str, Section]) -> str:
    """All sections as a Markdown page, each with the machine on which it was measured."""
    lines = [
        "# Speed",
        "",
        "`make bench` (`python -m bench [subject …]`) writes this page; `speed.json` has the same rows. Each section",
        "names the machine of its last run. The baseline and this project are timed in turn within one run. Figures",
        "are those of the best repetition, and a ratio above 1 means that this project is better. Notes also give the",
        "ratios of the medians and of the CPU seconds.",
    ]
    for name in sorted(sections):
        section = sections[name]
        lines += ["", f"## {name}: {section.title}", "", _sentence(section.machine), ""]
        lines += markdown(section.rows)
    return "\n".join(lines) + "\n"


def markdown(rows: Sequence[Row]) -> list[str]:
    """Rows as a Markdown table."""
    return [_line(HEADER), _line(["---", "---:", "---:", "---", "---:", "---:", "---"]), *map(_row, rows)]


def _row(row: Row) -> str:
    missed = "" if row.met else " (missed)"
    target = "" if row.target is None else f"{'≤' if row.ratio is None else '≥'} {row.target:g}{missed}"
    return _line(
        [
            f"{row.subject}: {row.way}",
            "" if row.baseline is None else _number(row.baseline),
            _number(row.ours),
            row.unit,
            "" if row.ratio is None else f"{row.ratio:.2f}×",
            target,
            row.note,
        ]
    )


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _number(value: float) -> str:
    """Three significant digits without an exponent, or more if the integer part has more."""
    return (
        f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}" if abs(value) >= 1e-3 or not value else f"{value:.1e}"
    )


def _sentence(machine: Mapping[str, str]) -> str:
    return ", ".join(f"{key} {value}" if key not in ("cpu", "date") else value for key, value in machine.items()) + "."
