"""``task=audit``: shortcuts in metadata, copies of test images, and what a trained detector relies on."""

import json
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from contracts.errors import ConfigError
from contracts.files import write_atomically
from contracts.screen import screen
from contracts.words import counted, printable
from datamodules.auditing.audit import Audit
from datamodules.auditing.audit import audit as audit_set
from tasks.experiment.run import Run

SHOWN = 12
CHANCE = "not better than chance"  # Rows of a table on the screen and in Markdown; the JSON file holds all


def audit(run: Run) -> None:
    """Looks for shortcuts in metadata and for copies across splits; writes audit.json and audit.md.

    With ``ckpt=FILE`` it finds what that detector relies on instead: it compares the AUROC when only one class is
    re-encoded, resized or cropped with the AUROC when both classes are; it writes bias.md and bias.csv. With
    ``audit.against`` it finds copies of test images in other sets; it writes overlap.md and overlap.csv.

    Raises:
        ConfigError: an option is out of range or does not go with another.
        DataError: images cannot be read, or lack a class.
    """
    if run.config.audit.dump and not run.config.audit.against:
        raise ConfigError("audit.dump without audit.against", "Give audit.against=[OPTION:PATH], or remove audit.dump.")
    if run.config.audit.against:
        from tasks.auditing.overlapping import audit_overlap  # slow: SciPy

        audit_overlap(run)
    if run.ckpt is not None:
        from tasks.auditing.bias import audit_detector  # needs torch, as metadata do not

        audit_detector(run, run.ckpt)
    if run.config.audit.against or run.ckpt is not None:
        return
    datamodule = run.datamodule()
    out = run.out(run.config.audit.out)
    found = audit_set(datamodule.manifest(), datamodule.store(), max_pixels=datamodule.max_pixels)
    out.mkdir(parents=True, exist_ok=True)
    content = asdict(found) | {"warnings": found.warnings()}
    write_atomically(out / "audit.json", json.dumps(content, indent=1, ensure_ascii=False).encode())
    write_atomically(out / "audit.md", markdown(found).encode())
    show(found, screen())
    print(f"{counted(found.images, 'image')}: {out / 'audit.md'} and {out / 'audit.json'}")


def show(found: Audit, console: Console) -> None:
    """Prints tables and warnings."""
    for title, header, rows in _tables(found):
        table = Table(title=title)
        for place, name in enumerate(header):
            table.add_column(name, justify="right" if _is_number(rows, place) else "left")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    warnings = found.warnings()
    for warning in warnings:
        console.print(Text.assemble(("!", "bold yellow"), f" {printable(warning)}"))
    if not warnings:
        console.print("no warnings")


def markdown(found: Audit) -> str:
    """The audit as a Markdown page."""
    lines = [f"# Audit of {counted(found.images, 'image')}", "", "## Warnings", ""]
    lines += [f"- {warning}" for warning in found.warnings()] or ["None."]
    for title, header, rows in _tables(found):
        rules = ["---:" if _is_number(rows, place) else "---" for place in range(len(header))]
        lines += ["", f"## {title}", "", _row(header), _row(rules), *map(_row, rows)]
    return "\n".join(lines) + "\n"


def _is_number(rows: list[list[str]], place: int) -> bool:
    return place > 0 and all(row[place].replace(".", "", 1).isdigit() for row in rows)


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _tables(found: Audit) -> list[tuple[str, list[str], list[list[str]]]]:
    tables = []
    for name, table in found.tables.items():
        labels = sorted({label for counts in table.values() for label in counts}, reverse=True)
        rows = [[value, *(_number(counts.get(label, 0)) for label in labels)] for value, counts in table.items()]
        if len(rows) > SHOWN:
            others = [_number(sum(c.get(label, 0) for c in list(table.values())[SHOWN:])) for label in labels]
            rows = [*rows[:SHOWN], [f"{len(table) - SHOWN} others", *others]]
        if rows:
            tables.append((f"{name[0].upper()}{name[1:]} against label", [name, *labels], rows))
    copies = [
        [kind, *map(str, (pairs.images, len(pairs.across_splits), len(pairs.across_labels), pairs.within_groups))]
        for kind, pairs in (("exact", found.exact), ("near (dHash)", found.near))
    ]
    tables.append(
        ("Copies", ["kind", "images", "pairs across splits", "pairs across labels", "of these in one group"], copies)
    )
    if found.rules:
        rules = [
            [
                rule.features,
                f"{rule.auroc:.3f} ± {1.96 * rule.error:.3f}",
                rule.words[0] if rule.significant else CHANCE,
            ]
            for rule in found.rules
        ]
        tables.append(("Prediction from metadata alone (5-fold AUROC of a small tree)", ["on", "AUROC", "rule"], rules))
    return tables


def _number(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
