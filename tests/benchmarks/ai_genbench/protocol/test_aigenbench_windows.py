"""Index lists of AI-GenBench: training windows, validation order, pairings, seeds, replay."""

import hashlib
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.ai_genbench.protocol.generators import find_generators, sliding_windows
from benchmarks.ai_genbench.protocol.replay import replay_quotas, replayed_rows
from benchmarks.ai_genbench.protocol.seeds import fixed_seeds, position_seed, v1_seeds
from benchmarks.ai_genbench.protocol.validation import pair_reals, validation_order
from benchmarks.ai_genbench.protocol.windows import TrainingWindows
from contracts.errors import ConfigError, DataError

MODES = {"cumulative": "cumulative", "continual_learning": "continual"}


@pytest.fixture(scope="module")
def golden(golden_path):
    with np.load(golden_path("aigenbench_windows/windows.npz")) as arrays:
        return json.loads(golden_path("aigenbench_windows/windows.json").read_text()), dict(arrays)


def sha(rows):
    return hashlib.sha256(np.asarray(rows).astype("<i8").tobytes()).hexdigest()


@pytest.mark.golden
def test_window_lists(golden):
    facts, arrays = golden
    for case, fact in facts["cases"].items():
        known = len(fact["generator_id_to_name"])
        ids = arrays[f"{case}/train_rows_generator"]
        kept = np.flatnonzero(ids < known)
        np.testing.assert_array_equal(kept, arrays[f"{case}/train_ID_column"])
        windows = [find_generators(names) for names in fact["windows_timeline"]]
        training = TrainingWindows(ids[kept], windows)
        for theirs, ours in MODES.items():
            for window in range(len(windows)):
                rows = training.rows(ours, window)
                np.testing.assert_array_equal(
                    rows, arrays[f"{case}/train_{theirs}_w{window}"], err_msg=f"{case} {ours}"
                )


@pytest.mark.golden
def test_validation_order_and_pairings(golden):
    facts, arrays = golden
    for case, fact in facts["cases"].items():
        names = tuple(fact["generator_id_to_name"])
        ids = arrays[f"{case}/val_rows_generator"]
        kept = np.flatnonzero(ids < len(names))
        for strata in (names, None):
            order = validation_order(ids[kept], strata)
            np.testing.assert_array_equal(kept[order], arrays[f"{case}/val_order_ID"], err_msg=case)
        ordered = ids[kept][order]
        np.testing.assert_array_equal(ordered, arrays[f"{case}/val_order_generator_id"])
        for stage in ("validate", "test"):
            np.testing.assert_array_equal(pair_reals(ordered, stage), arrays[f"{case}/pairing_{stage}"], err_msg=case)


@pytest.mark.golden
def test_full_size(golden):
    facts, _ = golden
    full = facts["full_size"]["arrays"]
    ids = {generator.name: generator.id for window in sliding_windows() for generator in window}
    order = [ids[name] for name in facts["full_size"]["generator_order"]]

    def on_disk(count):
        per_generator = count // 2 // len(order)
        return np.concatenate([np.repeat(order, per_generator), np.zeros(count // 2, dtype=np.int64)])

    training = TrainingWindows(on_disk(full["train_ID_column"]["n"]), sliding_windows())
    for name, fact in full.items():
        if name.startswith("train_") and "_w" in name:
            mode, window = name.removeprefix("train_").rsplit("_w", 1)
            assert sha(training.rows(MODES[mode], int(window))) == fact["sha256_int64_le"], name
    validation = on_disk(full["val_order_ID"]["n"])
    order = validation_order(validation)
    assert sha(order) == full["val_order_ID"]["sha256_int64_le"]
    assert sha(validation[order]) == full["val_order_generator_id"]["sha256_int64_le"]
    for stage in ("validate", "test"):
        assert sha(pair_reals(validation[order], stage)) == full[f"pairing_{stage}"]["sha256_int64_le"]


@pytest.mark.golden
def test_seeds(golden):
    for fact in golden[0]["seeds"]:
        row, copy = divmod(fact["dataset_index"], fact["augmentation_factor"])
        assert (row, copy) == (fact["source_row"], fact["copy"])
        assert position_seed(row, copy) == fact["seed"]


def test_v1_seeds_are_one_and_fixed_seeds_are_many():
    assert set(vars(v1_seeds(7)).values()) == {4328}
    seeds = vars(fixed_seeds("COCO2017_train/96923"))
    assert len(set(seeds.values())) == len(seeds)
    assert fixed_seeds("a", 0) != fixed_seeds("a", 16), "copies do not repeat"
    assert fixed_seeds("a") == fixed_seeds("a")


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**20))
@settings(max_examples=30)
def test_overlapping_windows_use_each_real_once_and_stay_balanced(size, step, seed):
    ids = np.random.default_rng(seed).permutation(np.concatenate([np.repeat(np.arange(1, 37), 3), np.zeros(110, int)]))
    windows = sliding_windows(size=size + step - 1, step=step)
    training = TrainingWindows(ids, windows)
    last = len(windows) - 1
    for number, (real, generated) in enumerate(training.own):
        assert len(real) == len(generated) == len(set(real))
        assert set(ids[generated]) == {generator.id for generator in windows[number]}
        assert not ids[real].any()
    everything = training.cumulative(last)
    assert len(everything) == len(set(everything)) == 2 * 36 * 3
    assert set(training.cumulative(last - 1)) <= set(everything)


def test_full_mode_and_bad_windows():
    training = TrainingWindows(np.concatenate([np.arange(1, 37), np.zeros(36, int)]), sliding_windows())
    np.testing.assert_array_equal(training.rows("full", 0), np.arange(72))
    with pytest.raises(ConfigError, match=r"0\.\.0"):
        training.rows("full", 1)
    with pytest.raises(ConfigError, match=r"0\.\.8"):
        training.rows("cumulative", 9)
    with pytest.raises(ConfigError, match=r"(?s)'growing' is unknown.*cumulative"):
        training.rows("growing", 0)


def test_missing_images_are_named():
    with pytest.raises(DataError, match=r"window 0 .*CycleGAN.*no images"):
        TrainingWindows(np.zeros(50, int), sliding_windows()).continual(0)
    with pytest.raises(DataError, match=r"window 2 needs 4 real images and 2 are left of 10"):
        TrainingWindows(np.concatenate([np.arange(1, 37), np.zeros(10, int)]), sliding_windows()).continual(0)
    with pytest.raises(DataError, match="cannot be paired"):
        pair_reals(np.array([0, 0, 3]), "validate")
    with pytest.raises(ValueError, match="stage 'fit'"):
        pair_reals(np.array([0, 3]), "fit")


def test_replay_quotas_follow_age():
    assert replay_quotas("harmonic", [99, 99, 99], 11) == [2, 3, 6]  # 1/3 : 1/2 : 1
    assert replay_quotas("uniform", [99, 99, 99], 11) == [3, 4, 4]
    assert replay_quotas("harmonic", [99, 99, 2], 11) == [4, 5, 2]
    assert replay_quotas("none", [99, 99], 11) == [0, 0]
    assert replay_quotas("uniform", [], 11) == []
    with pytest.raises(ConfigError, match=r"(?s)'harmonics'.*did you mean 'harmonic'"):
        replay_quotas("harmonics", [1], 1)


@given(
    st.sampled_from(["uniform", "harmonic"]),
    st.lists(st.integers(0, 50), max_size=9),
    st.integers(0, 300),
)
def test_replay_fills_the_memory(strategy, capacities, memory):
    quotas = replay_quotas(strategy, capacities, memory)
    assert sum(quotas) == min(memory, sum(capacities))
    assert all(0 <= quota <= capacity for quota, capacity in zip(quotas, capacities, strict=True))


@pytest.mark.parametrize("strategy", ["none", "uniform", "harmonic"])
def test_replayed_rows_are_balanced_and_old(strategy):
    ids = np.random.default_rng(3).permutation(np.concatenate([np.repeat(np.arange(1, 37), 5), np.zeros(180, int)]))
    training = TrainingWindows(ids, sliding_windows())
    rows = replayed_rows(training, 3, strategy, memory=21)
    assert len(rows) == len(set(rows)) == (0 if strategy == "none" else 20)
    assert (ids[rows] == 0).sum() * 2 == len(rows)
    assert set(rows) <= set(training.cumulative(2))
    np.testing.assert_array_equal(rows, replayed_rows(training, 3, strategy, memory=21))
    assert len(replayed_rows(training, 0, strategy)) == 0
    assert len(replayed_rows(training, 5, "uniform")) == len(training.continual(5))
