"""People's answers for tests."""

import numpy as np

from benchmarks.people.answers import Answers, Shown, Sitting

TRUTH = "00110011010100001001100101100101110111000010011000"
CALLED = "01110111011100101011000111100111110111000010011000"
"""Truth and answers of the aiornot notebook's manual benchmark, in the order of showing; 1 is generated."""


def sample_sitting(images: int, person: str = "Anna", **given) -> Sitting:
    """Every second image is generated, by two generators in turn."""
    shown = tuple(Shown(f"set/{k}", k % 2, ("alpha", "beta")[k // 2 % 2] if k % 2 else "") for k in range(images))
    return Sitting(person, **({"seed": 1, "reveal": "end"} | given), images=shown)


def answered(truth: str, called: str, person: str = "Anna") -> Answers:
    """Answers given as strings of digits."""
    shown = tuple(Shown(f"set/{k}", int(label), "alpha" if label == "1" else "") for k, label in enumerate(truth))
    seconds = 1 + np.arange(len(called)) % 5
    return Answers(
        Sitting(person, 1, "each", shown), np.array([int(c) for c in called], np.int64), seconds.astype(np.float64)
    )
