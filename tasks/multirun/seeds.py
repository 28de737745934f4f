"""The final table of a ``-m``: each job's metrics, and means over seeds."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev

from conf.compose import Composed
from contracts.files import write_atomically
from tasks.experiment.names import SHARED_KEYS, labels_of

STAGES = {"test": "test", "fit": "validate", "validate": "validate"}
"""Tasks that compute metrics, with the stage they evaluate, in order of preference."""

SHOWN = ("auroc", "average_precision", "accuracy", "balanced_accuracy")

Measured = dict[str, float]


def close(jobs: Sequence[Composed], data: Path, out: Path) -> bool:
    """Prints a row per experiment, and mean ± standard deviation of experiments that differ only in seed.

    The same table is written to ``seeds.md`` in the folder ``out``.

    Returns:
        Whether there was a table: at least two named experiments have metrics.
    """
    stage = next((STAGES[task] for task in STAGES if any(job.config.task == task for job in jobs)), None)
    by_name = {job.config.experiment_id: job for job in jobs if job.config.experiment_id}
    found = {name: values for name in by_name if stage and (values := _measured(data / name, stage))}
    if len(found) < 2:
        return False
    rows = _rows({name: by_name[name] for name in found}, found)
    metrics = [metric for metric in SHOWN if any(metric in values for values in found.values())]
    from contracts.screen import display, table_of  # slow to import, not needed by rejected commands

    table = table_of("experiment", *metrics, title=f"{stage}: {len(found)} experiments", title_justify="left")
    for name, cells in rows:
        table.add_row(name, *(cells.get(metric, "–") for metric in metrics))
    display(table)
    lines = [f"| experiment | {' | '.join(metrics)} |", "|---" * (len(metrics) + 1) + "|"]
    lines += [f"| {name} | {' | '.join(cells.get(metric, '–') for metric in metrics)} |" for name, cells in rows]
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "seeds.md", ("\n".join(lines) + "\n").encode())
    print(out / "seeds.md")
    return True


def _rows(jobs: dict[str, Composed], found: dict[str, Measured]) -> list[tuple[str, dict[str, str]]]:
    """Rows grouped by experiments that differ only in seed, each group followed by its mean."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, job in jobs.items():
        arguments = tuple(word for word in job.overrides if word.partition("=")[0] not in (*SHARED_KEYS, "seed"))
        groups.setdefault(arguments, []).append(name)
    labels = labels_of(list(groups)) if len(groups) > 1 else dict.fromkeys(groups, "")
    rows = []
    for arguments, names in groups.items():
        rows += [(name, {metric: f"{value:.4f}" for metric, value in found[name].items()}) for name in names]
        if len(names) > 1:
            title = f"mean ± sd of {len(names)} seeds" + (f" ({labels[arguments]})" if labels[arguments] else "")
            shared = set.intersection(*(set(found[name]) for name in names))
            lists = {metric: [found[name][metric] for name in names] for metric in shared}
            rows.append((title, {metric: f"{mean(each):.4f} ± {stdev(each):.4f}" for metric, each in lists.items()}))
    return rows


def _measured(folder: Path, stage: str) -> Measured:
    """Pooled metrics of an experiment's last stage, at the threshold chosen on validation images if one is needed."""
    windows = sorted(folder.glob("window_*/metrics.json"), key=lambda file: (len(file.parent.name), file))
    results = json.loads(windows[-1].read_text(encoding="utf-8")).get(stage, []) if windows else []
    values: Measured = {}
    for one in results:
        wanted = one["metric"] not in values or one["at"] == "validation"
        if one["kind"] == "pooled" and one["value"] is not None and wanted:
            values[one["metric"]] = float(one["value"])
    return values
