"""ZED as a detector: what it trains on, what its checkpoints hold, what its score means."""

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor

from benchmarks.predictions import read_predictions
from conf.compose import compose
from contracts.batch import Batch
from contracts.errors import CheckpointError, ConfigError, DataError
from contracts.stage import Stage
from contracts.view import View
from datamodules.loading.stores import ParquetStore
from datamodules.tables.manifest import Manifest
from detectors.parts.training.schedules import Warmup, WarmupCosine
from detectors.parts.weights import load_weights, read_checkpoint
from detectors.zed.augment import Jpeg
from detectors.zed.averaged_detector import ENTRY
from detectors.zed.calibration import calibrate
from detectors.zed.detector import ZED
from detectors.zed.models.averaging import WeightAverage
from detectors.zed.scores import FIRST_COLUMNS
from tasks.experiment.run import Run
from tasks.fit import fit, readable
from tests import synthetic
from tests.detectors.zed.scored import score_image
from tests.detectors.zed.zed_golden_models import filled_state, images

SMALL = {"mixtures": 2, "hidden": 8, "blocks": 1}


def detector(**options: Any) -> ZED:
    torch.manual_seed(0)
    return ZED(View(crop=16), View(least=2), **{**SMALL, **options})


def batch(pixels: Tensor) -> Batch:
    n = torch.arange(len(pixels))
    return Batch(pixels, n % 2, n, n, n, n)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def unreadable_fakes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set whose generated images are no images: whoever reads one fails."""
    file = synthetic.parquet(tmp_path_factory.mktemp("data"), {"train": 24, "valid": 8, "test": 6})
    rows = pq.read_table(file).to_pylist()
    for row in rows:
        if row["label"] == 1 and row["split"] != "test":
            row["image"] = {"bytes": b"not an image", "path": None}
    pq.write_table(pa.Table.from_pylist(rows), file, row_group_size=8)
    return file


def words(data: Path, name: str) -> list[str]:
    return [
        *("experiment=zed_heads_mix5", f"experiment_id={name}", "datamodule=parquet", f"datamodule.path={data}"),
        "datamodule.columns={id: id, image: image, label: label, generator: generator, split: split, group: photo}",
        *("datamodule.batch_size=4", "trainer=cpu", "trainer.max_epochs=2", "+trainer.enable_progress_bar=false"),
        *("detector.hidden=8", "detector.blocks=1", "detector.mixtures=2", "detector.train_view.crop=16"),
        *("trainer.enable_model_summary=false", "callbacks.checkpoints.minutes=0", "logger=[csv]"),
    ]


@pytest.fixture(scope="module")
def trained(unreadable_fakes: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, set[int]]]:
    """The folder of a whole training, and every row that was read during it."""
    read: set[int] = set()
    original = ParquetStore.read

    def noting(self: ParquetStore, row: int) -> Any:
        read.add(row)
        return original(self, row)

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("work"))
        patch.setattr(ParquetStore, "read", noting)
        run = Run(compose(words(unreadable_fakes, "whole")))
        fit(run)
        yield run.folder.resolve(), read


@pytest.mark.filterwarnings("ignore")
def test_generated_images_are_never_read(trained: tuple[Path, set[int]], unreadable_fakes: Path) -> None:
    folder, read = trained
    table = pq.read_table(unreadable_fakes, columns=["label", "split"]).to_pylist()
    assert read == {i for i, row in enumerate(table) if row["label"] == 0 and row["split"] != "test"}
    validated = read_predictions(folder / "window_0/predictions_validate_all.npz")
    assert set(validated.fused_labels.tolist()) == {0}
    assert not (folder / "failures.csv").exists()


@pytest.mark.filterwarnings("ignore")
def test_a_detector_that_reads_all_images_fails_on_the_same_set(
    unreadable_fakes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ZED, "trains_on", "all")
    with pytest.raises(DataError, match="cannot be trained on"):
        fit(Run(compose(words(unreadable_fakes, "all"))))


def test_a_stage_without_real_images_is_refused() -> None:
    labels = [0, 1, 0, 1, 1]
    manifest = Manifest.from_columns({"id": list("abcde"), "label": labels, "split": ["train"] * 5})
    stage = Stage(0, "all", np.array([0, 1, 3]), np.array([2, 4]))
    kept = readable(stage, manifest, "real")
    assert (kept.train.tolist(), kept.validate.tolist()) == ([0], [2])
    assert readable(stage, manifest, "all") is stage
    with pytest.raises(DataError, match="no real image to validate on"):
        readable(Stage(0, "all", np.array([0]), np.array([4])), manifest, "real")


@pytest.mark.filterwarnings("ignore")
def test_a_killed_training_ends_as_an_uninterrupted_one(
    trained: tuple[Path, set[int]], unreadable_fakes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = trained
    monkeypatch.chdir(tmp_path)
    step = ZED.training_step
    calls = []

    def killed(self: ZED, batch: Batch, batch_idx: int) -> Tensor:
        calls.append(batch_idx)
        if len(calls) == 5:  # in the middle of the second epoch of three batches
            raise OSError("killed")
        return step(self, batch, batch_idx)

    run = partial(Run, compose(words(unreadable_fakes, "killed")))
    monkeypatch.setattr(ZED, "training_step", killed)
    with pytest.raises(OSError, match="killed"):
        fit(run())
    fit(run())
    assert len(calls) == 5 + 2
    for name in ("best.ckpt", "last.ckpt"):
        ours, theirs = (
            read_checkpoint(folder / "window_0/checkpoints" / name) for folder in (tmp_path / run().folder, whole)
        )
        assert set(ours["state_dict"]) == set(theirs["state_dict"])
        for key, tensor in theirs["state_dict"].items():
            assert torch.equal(ours["state_dict"][key], tensor), key
    assert ours[ENTRY]["smoothed"] == theirs[ENTRY]["smoothed"]
    assert ours[ENTRY]["weights"]["updates"] == theirs[ENTRY]["weights"]["updates"] == 6
    for key, tensor in theirs[ENTRY]["weights"]["average"].items():
        assert torch.equal(ours[ENTRY]["weights"]["average"][key], tensor), key


def test_checkpoints_to_score_with_hold_the_average(trained: tuple[Path, set[int]]) -> None:
    folder = trained[0] / "window_0/checkpoints"
    best, last = read_checkpoint(folder / "best.ckpt"), read_checkpoint(folder / "last.ckpt")
    average = last[ENTRY]["weights"]["average"]
    name = "model.heads.0.stem.weight"
    # the second epoch is the better one, so both are of the same step
    assert torch.equal(best["state_dict"][f"net.{name}"], average[name])
    assert not torch.equal(last["state_dict"][f"net.{name}"], average[name])
    centre, spread = best["state_dict"]["net.calibration"].tolist()
    assert spread > 0
    assert centre > 0
    made = detector()
    load_weights(made, folder / "best.ckpt")
    assert made.net.calibration.tolist() == [centre, spread]


def test_the_training_lowers_the_cost(trained: tuple[Path, set[int]]) -> None:
    metrics = [line for f in trained[0].parents[1].rglob("metrics.csv") for line in f.read_text().splitlines()]
    column = metrics[0].split(",").index("val/bits")
    values = [float(line.split(",")[column]) for line in metrics[1:] if line.split(",")[column]]
    assert len(values) == 2
    assert values[1] < values[0] < 12


def test_the_average_follows_its_formula_and_swaps() -> None:
    net = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(net.weight, 1.0)
    average = WeightAverage(net, 0.25)
    torch.nn.init.constant_(net.weight, 2.0)
    average.update()  # (1 + 1) / (10 + 1) of the old one
    expected = 2 / 11 * 1 + 9 / 11 * 2
    assert average.average()["weight"].item() == pytest.approx(expected)
    average.swap()
    assert net.weight.item() == pytest.approx(expected)
    assert average.raw()["weight"].item() == 2
    average.swap()
    assert net.weight.item() == 2
    for _ in range(3):
        average.update()
    assert average.average()["weight"].item() == pytest.approx(2 - (2 - expected) * 0.25**2 * 3 / 12, rel=1e-6)


def test_calibration_puts_the_tail_of_real_images_at_one_half() -> None:
    scores = np.random.default_rng(0).normal(3.0, 0.5, 5001)
    centre, spread = calibrate(scores.tolist())  # type: ignore[misc]
    p = 1 / (1 + np.exp(-(scores - centre) / spread))
    assert (p > 0.5).mean() == pytest.approx(0.05, abs=1e-3)
    assert np.median(p) == pytest.approx(0.05, abs=1e-3)
    assert calibrate([1.0]) is None
    assert calibrate([2.0] * 9) is None


def test_the_logit_is_the_chosen_score_and_all_scores_are_extras() -> None:
    made = detector(score="D0", percentiles=[75])
    made.net.calibration.copy_(torch.tensor([0.25, 0.5]))
    scores = made.score(batch(noise(2, 3, 18, 21)))
    assert list(scores.extras)[:5] == list(FIRST_COLUMNS)
    assert "D0_p75" in scores.extras
    torch.testing.assert_close(scores.logits, (scores.extras["D0"] - 0.25) / 0.5)
    direct = score_image(made.net.model, noise(2, 3, 18, 21), (0, 1), [75])
    for name, values in direct.items():
        torch.testing.assert_close(scores.extras[name], values.float())
    alone = torch.cat([made.score(batch(one[None])).logits for one in noise(2, 3, 18, 21)])
    torch.testing.assert_close(alone, scores.logits, atol=1e-5, rtol=0)
    floats = noise(2, 3, 18, 21).float() / 255
    torch.testing.assert_close(made.score(batch(floats)).logits, scores.logits)


def test_a_reduced_image_is_scored_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="removes the evidence"):
        made = detector(max_side=12)
    assert made.sized(noise(1, 3, 24, 20)).shape == (1, 3, 12, 10)
    assert made.sized(noise(1, 3, 12, 10)).shape == (1, 3, 12, 10)
    assert made.maps(noise(3, 24, 20))["D0_native"].shape == (12, 10)


def test_maps_are_of_native_size_and_add_up() -> None:
    made = detector()
    maps = made.maps(noise(3, 19, 22))
    assert list(maps) == ["D0_native", "D1_native", "Delta01_vis", "NLL0", "H0", "NLL1", "H1"]
    assert maps["D0_native"].shape == maps["Delta01_vis"].shape == (19, 22)
    assert maps["D1_native"].shape == (10, 11)
    torch.testing.assert_close(maps["D0_native"], maps["NLL0"] - maps["H0"])
    up = maps["D1_native"].repeat_interleave(2, 0).repeat_interleave(2, 1)[:19, :22]
    torch.testing.assert_close(maps["Delta01_vis"], maps["D0_native"] - up)


@pytest.mark.parametrize(("model", "levels", "moving"), [("heads", [0], "heads.0."), ("srec", [1], "decoders.1.")])
def test_levels_train_separately(model: str, levels: list[int], moving: str) -> None:
    made = detector(model=model, train_levels=levels, optimizer=partial(torch.optim.SGD, lr=0.1), levels=2)
    free = {name for name, p in made.net.model.named_parameters() if p.requires_grad}
    made.loss(batch(noise(2, 3, 16, 16))).backward()
    reached = {name for name, p in made.net.model.named_parameters() if p.grad is not None}
    assert reached == free  # nothing idle waits for a gradient, as ranks would
    if model == "heads":
        assert all(name.startswith(moving) for name in free)
    else:
        assert not any(name.startswith(moving) for name in free)  # decoders.1 is level 0 of two


def test_bits_of_a_lossless_model_are_the_size_of_its_file() -> None:
    made = detector(model="srec", levels=3)
    pixels = noise(2, 3, 16, 16)
    costs = made.costs(pixels)
    share = {0: 0.75, 1: 0.75 / 4, 2: 0.75 / 16}
    coded = sum(share[level] * costs[f"bits{level}"] for level in share)
    torch.testing.assert_close(costs["bits"], coded + 0.78125 + 0 * coded)
    assert set(made.score(batch(pixels)).extras) >= set(FIRST_COLUMNS)


@pytest.mark.golden
def test_golden_weights_of_srec_load_as_published(golden_path: Any, tmp_path: Path) -> None:
    vectors = np.load(golden_path("srec.npz"), allow_pickle=False)
    name = next(key.removesuffix("_fillseed") for key in vectors if key.endswith("_fillseed"))
    state = filled_state(vectors, name)
    torch.save({"nets": state, "epoch": 3, "best_bpsp": 3.0}, tmp_path / "openimages.pth")
    made = detector(model="srec")
    load_weights(made, tmp_path / "openimages.pth")
    loaded = made.net.model.state_dict()
    assert len(loaded) == len(state)
    assert torch.equal(loaded["decoders.0.rgb_decs.0.head.weight"], state["1.0.rgb_decs.0.head.weight"])
    assert made.score(batch(noise(1, 3, 16, 16))).logits.isfinite().all()


@pytest.mark.golden
def test_golden_heads_of_zed_rep_load_and_score_as_there(golden_path: Any, tmp_path: Path) -> None:
    vectors = np.load(golden_path("zed_rep.npz"), allow_pickle=False)
    torch.save(filled_state(vectors, "mixture", 0, "_fillsum"), tmp_path / "level0.pt")
    torch.save(filled_state(vectors, "residual", 1, "_fillsum_seedplus1"), tmp_path / "level1.pt")
    made = detector(model="zed_rep", legacy=True, level1=str(tmp_path / "level1.pt"))
    load_weights(made, tmp_path / "level0.pt")
    rows = vectors["cli_ckpt1residual_ckpt0mixture"]
    for i in images(vectors):
        found = made.scores(torch.from_numpy(vectors[f"loaded_im{i}"])[None])
        assert list(found) == list(FIRST_COLUMNS)
        np.testing.assert_allclose([v.item() for v in found.values()], rows[i], atol=2e-5, rtol=0)
    with pytest.raises(CheckpointError, match=r"detector\.level1=FILE"):
        load_weights(detector(model="zed_rep"), tmp_path / "level0.pt")


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ({"score": "Delta1"}, "'Delta01'"),
        ({"score_levels": [0, 2]}, "levels 0 to 1"),
        ({"train_levels": [3]}, "train_levels"),
        ({"model": "serc"}, "'srec'"),
        ({"temperature": [1.0]}, "temperature"),
        ({"legacy": True}, "zed_rep"),
        ({"conv_dtype": "bf16"}, "bfloat16"),
        ({"hidden": 0}, "hidden"),
        ({"ema_decay": 1.0}, "ema_decay"),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], place: str) -> None:
    with pytest.raises(ConfigError, match=place):
        detector(**options)


def test_jpeg_compresses_within_its_range() -> None:
    pixels = noise(3, 32, 32)
    rng = np.random.default_rng(0)
    good, bad = Jpeg([100, 100])(pixels, rng), Jpeg([5, 5])(pixels, rng)
    errors = [(p.float() - pixels.float()).abs().mean() for p in (good, bad)]
    assert 0 < errors[0] < errors[1]
    assert torch.equal(Jpeg(probability=0)(pixels, rng), pixels)
    with pytest.raises(ConfigError, match="quality"):
        Jpeg([90, 80])


def test_warm_up_rises_and_the_cosine_falls_to_zero() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    rates: dict[type, list[float]] = {}
    for kind, make in (
        (Warmup, partial(Warmup, steps=4)),
        (WarmupCosine, partial(WarmupCosine, total_steps=20, steps=4)),
    ):
        schedule = make(optimizer)
        rates[kind] = []
        for _ in range(20):
            rates[kind].append(schedule.get_last_lr()[0])
            optimizer.step()
            schedule.step()
        rates[kind].append(schedule.get_last_lr()[0])
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    assert rates[Warmup][:5] == [0.5, 1.0, 1.5, 2.0, 2.0]
    assert rates[Warmup][-1] == 2.0
    assert rates[WarmupCosine][:5] == [0.5, 1.0, 1.5, 2.0, 2.0]
    assert rates[WarmupCosine][12] == pytest.approx(1 + math.cos(math.pi / 2))
    assert rates[WarmupCosine][20] == pytest.approx(0, abs=1e-12)
