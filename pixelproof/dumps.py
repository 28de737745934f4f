"""Dumps of predictions in Python: reading, metrics, and the review page, without importing torch."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from benchmarks.ai_genbench.report import reported
from benchmarks.evaluation import evaluate as measured
from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.metrics import Metric
from benchmarks.predictions import Predictions, read_predictions
from benchmarks.review import review as make_review
from benchmarks.tables import TIDY
from contracts.errors import ConfigError, DataError
from contracts.words import counted
from tasks.experiment.named_dumps import dumps_of


def read_dump(path: str | Path) -> Predictions:
    """The scores in a dump that a task has written.

    Args:
        path: ``predictions_<stage>_all.npz`` of ours or of AI-GenBench; or the name or folder of an experiment with one
            stage, for the dump of its test images or, if it has not been tested, of its validation images.

    Returns:
        Arrays with one entry per image (``fused_ids``, ``fused_scores`` float32 P(generated) in [0, 1],
        ``fused_logits``, ``fused_labels`` 0 real, 1 generated, -1 unknown, ``generators``, …).

    Raises:
        DataError: there is no such file or experiment, it has no or several dumps, or the file is damaged.
    """
    found = dumps_of("read_dump", str(path))
    if len(found) > 1:
        raise DataError(f"{path} has {len(found)} dumps", f"Name one of them, such as {found[0]}.")
    return read_predictions(found[0])


def evaluate(
    dump: Predictions | str | Path,
    *,
    threshold: float | None = None,
    metrics: Mapping[str, Metric] | Sequence[str] | None = None,
    resamples: int | None = 1000,
) -> pd.DataFrame:
    """Metrics of a dump with 95 % intervals: the numbers that ``task=test`` writes to ``metrics_test.csv``.

    Args:
        dump: predictions, or what `read_dump` takes.
        threshold: on P(generated), for the metrics at "validation"; by default the one that the dump records, chosen on
            validation images.
        metrics: names of registered metrics, all by default; or your own functions ``(scores, labels, threshold) ->
            float`` by name, which are added to all registered ones.
        resamples: bootstrap samples of photographs for the intervals, at least 20; None for no intervals.

    Returns:
        A row for each ``kind`` ("pooled", "seen", "unseen", "macro", "generator", "paired"), ``generator``, ``metric``
        and threshold (``at``: "0.5", "validation", or "" where the metric needs none), with ``threshold``, ``value``,
        ``low`` and ``high`` (NaN where undefined, with the ``reason``), and the images counted, ``real`` and
        ``generated``.

    Raises:
        ConfigError: a metric is unknown, or has a registered metric's name; fewer than 20 resamples.
        DataError: see `read_dump`.
    """
    predictions = dump if isinstance(dump, Predictions) else read_dump(dump)
    results = measured(predictions, threshold, metrics)
    if resamples is not None:
        results = Bootstrap(resamples)(predictions, results, metrics)
    return pd.DataFrame([[getattr(result, name) for name in TIDY] for result in results], columns=list(TIDY))


def review(
    inputs: Sequence[str | Path] | str | Path,
    out: str | Path | None = None,
    *,
    resamples: int | None = None,
    people: Sequence[str | Path] = (),
) -> Path:
    """Writes the page of ``task=review``, with tables and tidy files beside it; warns about images that it cannot show.

    Args:
        inputs: one or more dumps, experiments' names or folders; several are joined on ids and compared.
        out: folder; by default ``review`` beside the first dump.
        resamples: bootstrap samples for the intervals; by default 1000, or none for more than 500,000 images.
        people: files of people's answers (``task=guess``) to be compared with the dumps.

    Returns:
        The page, ``index.html``.

    Raises:
        ConfigError: no dump is named.
        DataError: a dump or a person's answers cannot be read, or they contradict each other.
    """
    named = [inputs] if isinstance(inputs, str | Path) else inputs
    dumps = [dump for name in named for dump in dumps_of("review", str(name))]
    if not dumps:
        raise ConfigError("review needs a dump", "Give a dump or an experiment: review(['NAME']).")
    folder = dumps[0].parent / "review" if out is None else Path(out).expanduser()
    made = make_review(dumps, folder, bootstrap=None if resamples is None else Bootstrap(resamples), people=people)
    reported(dumps, folder)
    for problem, count in made.problems.items():
        warnings.warn(f"{counted(count, 'image')} cannot be shown: {problem}", stacklevel=2)
    return made.page
