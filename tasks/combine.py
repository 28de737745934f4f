"""``task=combine``: make one score of several detectors, or of columns of a dump."""

import json
from pathlib import Path

from benchmarks.predictions import read_predictions, write_predictions
from benchmarks.real_stats.combine import Columns, columns_of, dump
from benchmarks.real_stats.combine import combine as combined
from contracts.errors import ConfigError
from contracts.words import counted
from tasks.experiment.named_dumps import dumps_of
from tasks.experiment.run import Run
from tasks.experiment.stage_folder import SELECTION
from tasks.scoring.compared import titles
from tasks.scoring.ensembles import write_ensemble

VALIDATION = ("validate", SELECTION)


def combine(run: Run) -> None:
    """Combines the scores of ``combine.inputs`` by ``combine.rule`` and writes a dump, with each score as a column.

    Rules other than the mean are fitted on ``combine.reference``, by default the inputs' validation images. With
    ``combine.checkpoint`` the experiments' best checkpoints become one, which scores like any detector.

    Raises:
        ConfigError: no input, or an unknown rule.
        DataError: a dump that does not exist or does not fit the others.
    """
    options = run.config.combine
    if not options.inputs:
        raise ConfigError("combine.inputs is empty", "Give experiments or dumps, e.g. combine.inputs=[a,b].")
    paths = [dumps_of("combine.inputs", name, ("test", "predict"))[-1] for name in options.inputs]
    names = [name.replace(".", "_") for name in titles(paths)]
    reference: Columns | None = None
    if options.checkpoint and options.published:
        raise ConfigError(
            "combine.checkpoint with combine.published=true",
            "A checkpoint combines exact p-values: remove one of the two.",
        )
    if options.rule != "mean" or options.checkpoint:
        others = options.reference or options.inputs
        if len(others) != len(paths):
            raise ConfigError(
                f"combine.reference names {counted(len(others), 'dump')}, combine.inputs {len(paths)}",
                "Give one reference for each input, in the same order.",
            )
        found = [dumps_of("combine.reference", name, VALIDATION)[-1] for name in others]
        same = [path for path, other in zip(paths, found, strict=True) if path == other]
        if same:
            raise ConfigError(
                f"{same[0]} would be fitted on the images that it scores",
                "Give combine.reference, dumps of other images, or experiments.",
            )
        reference = columns_of(dict(zip(names, map(read_predictions, found), strict=True)), options.columns)
    columns = columns_of(dict(zip(names, map(read_predictions, paths), strict=True)), options.columns)
    result = combined(columns, options.rule, reference, options.independence, options.published)
    provenance = {
        "experiment": run.experiment_id,
        "stage": "test",
        "rule": options.rule,
        "inputs": [str(path) for path in paths],
        **result.about,
    }
    out = run.out(options.out)
    out.mkdir(parents=True, exist_ok=True)
    write_predictions(out / "predictions_test_all.npz", dump(columns, result, provenance))
    if options.checkpoint:
        members = {name: path.parent / "checkpoints" / "best.ckpt" for name, path in zip(names, paths, strict=True)}
        write_ensemble(Path(options.checkpoint).expanduser(), members, result, columns, reference)
        print(f"the ensemble as one detector: ckpt={options.checkpoint}")
    if result.about:
        print(json.dumps(result.about))
    print(f"{counted(len(columns.images), 'image')}: {out / 'predictions_test_all.npz'}")
