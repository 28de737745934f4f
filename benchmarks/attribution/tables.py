"""A tracer's figures and confusion matrix as tables: for the terminal, Markdown and tidy CSV."""

from collections.abc import Sequence
from dataclasses import asdict
from math import isnan

from rich import box
from rich.table import Table

from benchmarks.attribution.measures import Attribution, Figure
from contracts.files import csv_text

TITLES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "family_accuracy": "family right",
    "variant_accuracy": "variant right",
    "recall": "recall",
    "known_auroc": "known against outlier, AUROC",
    "oscr": "OSCR",
}


def lines(figures: Sequence[Figure]) -> list[tuple[str, str, str, str, str]]:
    """(title, images, value, interval, chance) of each figure."""
    return [
        (
            TITLES.get(figure.metric, figure.metric) + (f" ({figure.of})" if figure.of else ""),
            str(figure.images),
            "–" if isnan(figure.value) else f"{figure.value:.3f}",
            "" if isnan(figure.low) else f"{figure.low:.3f}–{figure.high:.3f}",
            "" if isnan(figure.chance) else f"{figure.chance:.3f}",
        )
        for figure in figures
    ]


def rich_table(figures: Sequence[Figure], title: str = "") -> Table:
    """For a terminal."""
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for name in ("attribution", "images", "value", "95 %", "chance"):
        table.add_column(name, justify="left" if name == "attribution" else "right")
    for line in lines(figures):
        table.add_row(*line)
    return table


def markdown(figures: Sequence[Figure], answers: Attribution) -> str:
    """Both tables as pipe tables."""
    text = ["| attribution | images | value | 95 % | chance |", "|---|--:|--:|--:|--:|"]
    text += ["| " + " | ".join(line) + " |" for line in lines(figures)]
    text += ["", "| truth \\ answer | " + " | ".join(answers.classes) + " |", "|---|" + "--:|" * len(answers.classes)]
    for name, counts in zip(answers.classes, answers.confusion().tolist(), strict=True):
        text.append(f"| {name} | " + " | ".join(map(str, counts)) + " |")
    return "\n".join([*text, ""])


def tidy_csv(figures: Sequence[Figure]) -> str:
    """One row per figure."""
    return csv_text([Figure.__dataclass_fields__, *(asdict(figure).values() for figure in figures)])
