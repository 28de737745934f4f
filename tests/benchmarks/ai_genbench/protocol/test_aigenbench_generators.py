"""The table of generators and the windows their dates make."""

import json
from datetime import date

import pytest

from benchmarks.ai_genbench.protocol.generators import (
    Generator,
    check_leaderboard_names,
    find_generators,
    load_generators,
    names_by_id,
    sliding_windows,
)
from contracts.errors import ConfigError, DataError


def made(*days):
    return [Generator(number, f"g{number}", date(2020, 1, day)) for number, day in enumerate(days, 1)]


def ids(windows):
    return [[generator.id for generator in window] for window in windows]


@pytest.mark.golden
def test_official_windows_and_ids(golden_path):
    for case in json.loads(golden_path("aigenbench_windows/windows.json").read_text())["cases"].values():
        assert [[g.name for g in window] for window in sliding_windows()] == case["windows_timeline"]
        assert list(names_by_id()) == case["generator_id_to_name"]


def test_table_is_complete():
    generators = load_generators()
    assert len(generators) == 36
    assert sorted(g.id for g in generators) == list(range(1, 37))
    assert [g.name for g in sorted(generators, key=lambda g: g.id)] == sorted(g.name for g in generators)


def test_equal_dates_stay_together():
    assert ids(sliding_windows(made(1, 2, 2, 2, 3, 4, 5), size=2)) == [[1, 2, 3, 4], [5, 6], [7]]
    assert ids(sliding_windows(made(5, 1, 3), size=2)) == [[2, 3], [1]]


def test_step_smaller_than_size_overlaps():
    assert ids(sliding_windows(made(1, 2, 3, 4, 5), size=3, step=1)) == [[1, 2, 3], [2, 3, 4], [3, 4, 5]]
    assert ids(sliding_windows(made(1, 2, 3, 4, 5), size=3, step=2)) == [[1, 2, 3], [3, 4, 5]]
    assert ids(sliding_windows(made(1, 2, 2, 3, 4), size=2, step=1)) == [[1, 2, 3], [4, 5]]


@pytest.mark.parametrize(("size", "step"), [(0, None), (2, 3), (2, 0)])
def test_impossible_windows_are_refused(size, step):
    with pytest.raises(ConfigError, match="window"):
        sliding_windows(size=size, step=step)


def test_names_are_checked_with_suggestions():
    assert [g.name for g in find_generators(["StyleGAN2", "CycleGAN"])] == ["CycleGAN", "StyleGAN2"]
    with pytest.raises(ConfigError, match=r"(?s)'StyleGan2'.*'StyleGAN2'"):
        find_generators(["StyleGan2"])
    with pytest.raises(ConfigError, match="2 times"):
        find_generators(["ADM", "ADM"])


def test_leaderboard_needs_exactly_the_36():
    everything = list(names_by_id())
    check_leaderboard_names(everything)
    with pytest.raises(DataError, match="lacks 1 of AI-GenBench's 36 generators: VQGAN"):
        check_leaderboard_names(everything[:-1])
    with pytest.raises(DataError, match="AI-GenBench lacks: Sora"):
        check_leaderboard_names([*everything, "Sora"])
