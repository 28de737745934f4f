"""Dumps of the windows of one or more runs → AI-GenBench's tables, matrix and heat map. Imports no torch."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.ai_genbench.metrics import Evaluated, StageMetrics, auroc_matrix, stage_metrics, windows_of
from benchmarks.ai_genbench.protocol.rules import Rules
from benchmarks.ai_genbench.tables import matrix_table, over_time_table, save_heat_map, stage_table
from benchmarks.predictions import Predictions, read_predictions
from contracts.errors import DataError

DUMPS = "window_*/predictions_{stage}_all.npz"  # Pattern of the dumps in an experiment's folder, ours or the original's

WINDOW = re.compile(r"window_(\d+)")


@dataclass(frozen=True)
class Result:
    """Results of one run."""

    stages: tuple[StageMetrics, ...]  # Metrics by the window trained last
    windows: int  # Number of windows of the benchmark
    names: tuple[str, ...]  # Generator name of every id
    rules: Rules  # The protocol, and deviations from the leaderboard's rules

    @property
    def complete(self) -> bool:
        """Whether there is a dump for every window, which means over time require."""
        return [stage.stage for stage in self.stages] == list(range(self.windows))


def reported(paths: Sequence[Path], out: Path) -> str:
    """Write the tables of AI-GenBench dumps to a folder: Markdown, JSON, and a heat map for each run.

    Args:
        paths: Dumps of one or more runs; those of other benchmarks are ignored.
        out: Folder for ``ai_genbench.md``, ``ai_genbench.json`` and ``ai_genbench*.png``.

    Returns:
        The Markdown; empty if no dump comes from AI-GenBench.

    Raises:
        DataError: A dump's window is unfinished or unknown, or two dumps belong to one window.
    """
    results = {name: result_of(dumps) for name, dumps in by_run(paths).items()}
    if not results:
        return ""
    out.mkdir(parents=True, exist_ok=True)
    text = markdown(results)
    (out / "ai_genbench.md").write_text(text, encoding="utf-8")
    (out / "ai_genbench.json").write_text(json.dumps({n: as_json(r) for n, r in results.items()}, indent=1) + "\n")
    for name, result in results.items():
        file = out / ("ai_genbench_auroc.png" if len(results) == 1 else f"ai_genbench_auroc_{name}.png")
        save_heat_map(auroc_matrix(result.stages), file, result.rules.protocol, [s.stage for s in result.stages])
    return text


def by_run(paths: Sequence[Path]) -> dict[str, dict[int, Predictions]]:
    """AI-GenBench dumps by run (its experiment, or the folder above the windows) and window."""
    runs: dict[str, dict[int, Predictions]] = {}
    for path in paths:
        dump = read_predictions(path)
        if not dump.windows_timeline.size:
            continue
        refuse_unfinished(path)
        name = str(dump.about.get("experiment") or path.resolve().parent.parent.name)
        dumps = runs.setdefault(name, {})
        window = window_of(path, dump)
        if window in dumps:
            raise DataError(f"{path} is a second dump of window {window} of {name}", "Give one dump for each window.")
        dumps[window] = dump
    return {name: dict(sorted(dumps.items())) for name, dumps in runs.items()}


def window_of(path: Path, dump: Predictions) -> int:
    """Window trained last before a dump, from its provenance or, in the original's layout, from its folder's name.

    Raises:
        DataError: Neither the provenance nor the folder names the window, or there is no such window.
    """
    noted = dump.about.get("benchmark", {}).get("window")
    found = WINDOW.fullmatch(path.resolve().parent.name)
    if noted is None and not found:
        raise DataError(
            f"{path} does not say which window was trained last", "Put the dumps into folders window_0, window_1, …"
        )
    window = int(noted) if noted is not None else int(found[1]) if found else 0
    if not 0 <= window < len(dump.windows_timeline):
        raise DataError(
            f"{path} belongs to window {window}, but its windows_timeline ends at {len(dump.windows_timeline) - 1}",
            "Put the dump into the folder of its window, or test that window again.",
        )
    return window


def refuse_unfinished(path: Path) -> None:
    """Check that a dump's window is finished.

    Raises:
        DataError: The window's folder has checkpoints, but no file ``done``.
    """
    folder = path.parent
    if (folder / "checkpoints").is_dir() and not (folder / "done").exists():
        raise DataError(
            f"{path} belongs to an unfinished window: {folder} has no file 'done'",
            "Let task=fit finish the window, then test it again.",
        )


def result_of(dumps: Mapping[int, Predictions]) -> Result:
    """Metrics of one run's windows.

    Raises:
        DataError: The dumps have different windows.
    """
    first = next(iter(dumps.values()))
    stages = []
    for window, dump in dumps.items():
        if not np.array_equal(dump.windows_timeline, first.windows_timeline):
            raise DataError(
                f"the dumps of windows {next(iter(dumps))} and {window} have different timelines",
                "Give dumps of one run.",
            )
        stages.append(_stage(dump, window))
    noted = first.about.get("benchmark", {})
    rules = Rules(noted.get("protocol", "v1"), tuple(noted.get("deviations", ())))
    return Result(tuple(stages), len(first.windows_timeline), tuple(first.generator_id_to_name.tolist()), rules)


def _stage(dump: Predictions, window: int) -> StageMetrics:
    """Metrics of one dump; the period ``all`` is left out if some windows were not scored."""
    windows = windows_of(dump)
    metrics = stage_metrics(Evaluated.of(dump), window, windows)
    held = set(np.unique(dump.fused_generator_ids).tolist())
    scored = [held >= set(members) for members in windows]
    if not all(scored[: min(window + 2, len(windows))]):
        missing = scored.index(False)
        raise DataError(
            f"the dump of window {window} lacks images of window {missing}", "Score all windows up to the next one."
        )
    if all(scored):
        return metrics
    return replace(metrics, periods={p: m for p, m in metrics.periods.items() if p != "all"})


def markdown(results: Mapping[str, Result]) -> str:
    """All tables: means over time together with the published rows, then each run's stages and matrix."""
    parts = ["# AI-GenBench"]
    complete = {name: result for name, result in results.items() if result.complete}
    for protocol in ("v1", "fixed"):
        runs = {name: r.stages for name, r in complete.items() if r.rules.protocol == protocol}
        if runs:
            parts += ["## Mean over time", over_time_table(runs, protocol)]
    for name, result in results.items():
        parts.append(f"## {name}")
        if sentence := result.rules.sentence():
            parts.append(sentence)
        if not result.complete:
            done = ", ".join(str(stage.stage) for stage in result.stages)
            parts.append(f"Tested windows: {done} of {result.windows}. Means over time need all of them.")
        parts.append(stage_table(result.stages, result.rules.protocol))
        numbers = [stage.stage for stage in result.stages]
        parts.append(matrix_table(auroc_matrix(result.stages), result.rules.protocol, numbers))
    return "\n\n".join(part.strip() for part in parts) + "\n"


def as_json(result: Result) -> dict[str, object]:
    """The figures in plain containers; NaN becomes null."""

    def plain(value: float) -> float | None:
        return None if np.isnan(value) else float(value)

    return {
        "protocol": result.rules.protocol,
        "deviations": list(result.rules.deviations),
        "stages": [
            {
                "window": stage.stage,
                "periods": {
                    period: {name: plain(float(getattr(m, name))) for name in m.__dataclass_fields__}
                    for period, m in stage.periods.items()
                },
                "recall_per_generator": {result.names[one]: value for one, value in stage.recall_per_generator.items()},
                "auroc_per_window": [plain(value) for value in stage.roc_auc_per_window.tolist()],
            }
            for stage in result.stages
        ],
    }
