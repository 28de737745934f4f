"""Hydra is quiet in every release we support, and may instantiate only what our allow-list holds."""

import warnings
from pathlib import Path

import hydra
import pytest

from conf.compose import compose
from conf.hydra_setup import only_allowed_targets
from conf.sources import sources


def test_composing_twice_warns_of_nothing(folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for seed in (1, 2):
            assert sources(compose([f"seed={seed}"], folder))["seed"] == "command line"


def test_hydra_gets_our_allow_list() -> None:
    from hydra.utils import instantiate

    limited = hasattr(hydra.utils, "execution_whitelist")
    with only_allowed_targets():
        assert instantiate({"_target_": "contracts.view.View", "crop": 32}).crop == 32
        if limited:  # Hydra 1.4
            with pytest.raises(hydra.errors.InstantiationException):
                instantiate({"_target_": "fractions.Fraction"})
    if not limited:
        assert instantiate({"_target_": "fractions.Fraction"}) == 0
