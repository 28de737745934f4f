"""A program that uses the package; mypy checks it in strict mode, and a test runs it."""

from pathlib import Path
from typing import assert_type

from pixelproof import (
    Composed,
    Model,
    PixelProofError,
    Predictions,
    compose,
    evaluate,
    load,
    read_dump,
    review,
    run,
)


def program(experiment: str, images: Path) -> list[str]:
    """Scores images, measures a dump, and writes a page."""
    model = load(experiment, device="cpu")
    assert_type(model, Model)
    scores = model.score(images, batch_size=8, decoder="pillow")
    dump = read_dump(f"experiments_data/{experiment}/window_0/predictions_test_all.npz")
    assert_type(dump, Predictions)
    measured = evaluate(dump, metrics=["auroc"], resamples=20)
    assert_type(review([experiment], "page", resamples=20), Path)
    composed = compose(["task=doctor", "detector=npr"])
    assert_type(composed, Composed)
    try:
        code = run(["task=test", "detector=nrp"])
    except PixelProofError as error:
        said = error.what
    else:
        assert_type(code, int)
    return [composed.config.task, said, *scores["id"], *measured["metric"]]
