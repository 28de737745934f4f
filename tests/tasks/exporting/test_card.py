"""The model card states where the weights come from."""

from typing import Any

import pytest

from tasks.exporting.card import card
from tasks.exporting.compared import Compared


@pytest.mark.parametrize(
    ("seen", "trains_on", "text"),
    [
        (["a", "b"], "all", "Trained on real images and images of 2 generators: a, b."),
        ([], "all", "Trained on real images, or on images of unnamed generators."),
        ([], "real", "Trained on real images alone: it has seen no generator."),
        (None, "real", "The checkpoint does not record the data it was trained on."),
    ],
)
def test_it_says_what_the_detector_was_trained_on(seen: list[str] | None, trains_on: str, text: str) -> None:
    settings: dict[str, Any] = {
        "seen_generators": seen,
        "detector": {},
        "export": {
            "detector": "ZED", "trains_on": trains_on, "format": "safetensors", "precision": "fp32", "weights": "w",
            "sha256": "0", "checkpoint_sha256": "1", "licence": "cc0-1.0", "side": None,
        },
    }  # fmt: skip
    assert f"## Data\n\n{text}\n" in card("name", settings, Compared(1, 1, 0.0, None, None, (1, 1)), None)
