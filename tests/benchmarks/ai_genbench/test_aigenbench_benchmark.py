"""The protocol over a miniature data set: stages, test rows, images, cache."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from synthetic_ai_genbench import miniature

from benchmarks.ai_genbench.benchmark import AiGenBench
from benchmarks.ai_genbench.images.cropping import evaluation_crops
from benchmarks.ai_genbench.images.degrade import degrade
from benchmarks.ai_genbench.images.train_augmentations import augment
from benchmarks.ai_genbench.protocol.generators import load_generators, names_by_id, sliding_windows
from benchmarks.ai_genbench.protocol.seeds import fixed_seeds, v1_seeds
from benchmarks.ai_genbench.protocol.validation import pair_reals, validation_order
from benchmarks.ai_genbench.protocol.windows import TrainingWindows
from contracts import versioned_folder
from contracts.errors import ConfigError, DataError
from contracts.view import View
from datamodules.ai_genbench import AiGenBenchDataModule
from datamodules.tables.manifest import Manifest

SIDE = 32


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return miniature(tmp_path_factory.mktemp("data") / "set", train=2, validation=2, size=48)


@pytest.fixture
def module(folder: Path) -> AiGenBenchDataModule:
    return AiGenBenchDataModule(folder, batch_size=8)


def bench(**options: Any) -> AiGenBench:
    return AiGenBench(**{"seed": 0, "crop_size": SIDE, **options})


def ids_of(manifest: Manifest, split: str) -> np.ndarray:
    names = {name: number for number, name in enumerate(names_by_id())}
    return np.array([names[name] for name in manifest.column("generator")[manifest.rows(split)]])


def test_stages_are_the_windows_in_the_originals_order(module: AiGenBenchDataModule) -> None:
    manifest = module.manifest()
    train = manifest.rows("train")
    expected = TrainingWindows(ids_of(manifest, "train"), sliding_windows())
    stages = bench().stages(manifest)
    assert [stage.index for stage in stages] == list(range(9))
    for stage in stages:
        assert np.array_equal(stage.train, train[expected.cumulative(stage.index)])
        assert stage.copies == 4
        assert set(stage.validate) <= set(stage.train)
        assert manifest.labels[stage.validate].mean() == 0.5
    assert len(stages[8].train) == len(train)
    continual = bench(mode="continual", replay="harmonic").stages(manifest)
    assert len(continual[8].train) == 2 * len(continual[0].train)
    (full,) = bench(mode="full").stages(manifest)
    assert np.array_equal(full.train, train)


def test_held_out_images_are_never_trained_on_in_any_stage(module: AiGenBenchDataModule) -> None:
    stages = bench(holdout=0.3).stages(module.manifest())
    trained = set().union(*(stage.train.tolist() for stage in stages))
    chosen = set().union(*(stage.validate.tolist() for stage in stages))
    assert chosen
    assert not trained & chosen


def test_a_validation_split_beside_a_test_split_serves_for_choosing(tmp_path: Path) -> None:
    names = [generator.name for generator in load_generators()[:6]]
    splits = ("train", "validation", "test")
    manifest = AiGenBenchDataModule(miniature(tmp_path / "set", size=16, names=names, splits=splits)).manifest()
    first, second = bench(generators=names, window_size=3).stages(manifest)
    valid = set(manifest.rows("valid").tolist())
    assert set(first.validate) <= valid
    assert set(manifest.column("generator")[first.validate]) == {"", *names[:3]}  # no window to come
    assert set(manifest.column("generator")[second.validate]) == {"", *names}


def test_a_stage_is_tested_on_what_its_table_needs(module: AiGenBenchDataModule) -> None:
    manifest = module.manifest()
    test = manifest.rows("test")
    ids = ids_of(manifest, "test")
    order = validation_order(ids)
    protocol = bench()
    assert np.array_equal(protocol.test_rows(manifest), test[order])
    for index, windows in ((0, 2), (7, 9), (8, 9)):
        rows = protocol.stage_test_rows(manifest, index)
        assert len(rows) == windows * 4 * 2 * 2
        assert manifest.labels[rows].mean() == 0.5
    assert len(bench(test_images="all").stage_test_rows(manifest, 0)) == len(test)
    pairing = pair_reals(ids[order], "validate")
    members = [g.id for w in sliding_windows()[:2] for g in w]
    expected = test[order][np.isin(np.where(ids[order] == 0, pairing, ids[order]), members)]
    assert np.array_equal(protocol.stage_test_rows(manifest, 0), expected)


def test_evaluated_images_are_the_originals_bytes(module: AiGenBenchDataModule) -> None:
    """Position in the whole order seeds the chain, whatever subset is evaluated."""
    manifest = module.manifest()
    for protocol in ("v1", "fixed"):
        benchmark = bench(protocol=protocol)
        rows = benchmark.stage_test_rows(manifest, 0)[3:9]
        place = {row: position for position, row in enumerate(benchmark.test_rows(manifest).tolist())}
        module.use(View(), View(), benchmark.degrade)
        module.evaluate(rows)
        (batch,) = module.test_dataloader()
        for image, row in zip(batch.images, batch.row.tolist(), strict=True):
            data = module.store().read(row)
            assert isinstance(data, bytes)
            levels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
            seeds = v1_seeds(place[row]) if protocol == "v1" else fixed_seeds(manifest.image_id(row))
            (expected,) = evaluation_crops(degrade(levels, seeds, protocol), "resize", SIDE)
            assert torch.allclose(image, expected.values(), atol=1e-6, rtol=0)


def test_training_shows_every_copy_once_an_epoch_by_its_own_seed(module: AiGenBenchDataModule) -> None:
    benchmark = bench(augmentation_factor=3, stochastic=False)
    stage = benchmark.stages(module.manifest())[0]
    module.use(View(), View(), benchmark.degrade)
    module.enter(stage)
    place = {row: position for position, row in enumerate(stage.train.tolist())}
    seen: dict[int, list[torch.Tensor]] = {}
    for batch in module.train_dataloader():
        for image, row in zip(batch.images, batch.row.tolist(), strict=True):
            seen.setdefault(row, []).append(image)
    assert sum(map(len, seen.values())) == len(stage.train) * 3 // 8 * 8
    row = next(row for row, images in seen.items() if len(images) == 3)
    data = module.store().read(row)
    assert isinstance(data, bytes)
    levels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    for copy in range(3):
        image = augment(levels, v1_seeds(place[row], copy), "baseline", "v1")
        (expected,) = evaluation_crops(image, "resize", SIDE)
        assert any(torch.allclose(image, expected.values(), atol=1e-6) for image in seen[row])


def test_stochastic_looks_differ_between_epochs_and_repeat_exactly(module: AiGenBenchDataModule) -> None:
    benchmark = bench(train_cropping="random_crop")
    module.use(View(), View(), (benchmark.stages(module.manifest()), benchmark.degrade)[1])
    module.enter(benchmark.stages(module.manifest())[0])

    def epoch() -> torch.Tensor:
        return torch.cat([batch.images.float() for batch in module.train_dataloader()])

    first = epoch()
    assert torch.equal(first, epoch())
    module._position = lambda: (1, 0)  # type: ignore[method-assign]
    assert not torch.equal(first, epoch())


def test_five_crops_of_large_images_and_one_of_small(tmp_path: Path) -> None:
    names = [generator.name for generator in load_generators()[:4]]
    module = AiGenBenchDataModule(miniature(tmp_path / "set", size=96, names=names), eval_batch_size=4)
    # 0.25 of the images become 256 to 512 pixels wide, the others stay at 96
    benchmark = bench(eval_cropping="multicrop", crop_size=112, generators=names)
    rows = benchmark.test_rows(module.manifest())
    module.use(View(), View(), benchmark.degrade)
    assert module.crops_per_image == 5
    module.evaluate(rows)
    counts = torch.cat([torch.bincount(batch.crop_to_image) for batch in module.test_dataloader()]).tolist()
    assert set(counts) == {1, 5}
    assert len(counts) == len(rows)


def images(module: AiGenBenchDataModule, benchmark: AiGenBench) -> tuple[torch.Tensor, list[int]]:
    rows = benchmark.stage_test_rows(module.manifest(), 0)
    module.use(View(), View(), benchmark.degrade)
    module.evaluate(rows)
    batches = list(module.test_dataloader())
    return torch.cat([b.images.float() / (255 if b.images.dtype == torch.uint8 else 1) for b in batches]), rows.tolist()


@pytest.fixture
def chain_calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    from benchmarks.ai_genbench.images import chain

    calls: list[int] = []
    real = chain.degrade
    monkeypatch.setattr(chain, "degrade", lambda levels, *a: (calls.append(1), real(levels, *a))[1])
    return calls


def test_the_cache_gives_the_same_images_and_spares_the_chain(
    folder: Path, tmp_path: Path, chain_calls: list[int]
) -> None:
    module = AiGenBenchDataModule(folder, eval_batch_size=16)
    live, rows = images(module, bench())
    filling, _ = images(module, bench(cache=tmp_path))
    assert len(chain_calls) == 2 * len(rows)
    read, _ = images(module, bench(cache=tmp_path))
    assert len(chain_calls) == 2 * len(rows)
    assert torch.equal(filling, read)
    assert (live - read).abs().max() <= 0.5 / 255 + 1e-6
    images(module, bench(cache=tmp_path, protocol="fixed"))  # other settings, another sub-folder
    assert len(chain_calls) == 3 * len(rows)
    assert len(list(tmp_path.iterdir())) == 2


def test_damaged_or_changed_slots_are_made_again(folder: Path, tmp_path: Path, chain_calls: list[int]) -> None:
    module = AiGenBenchDataModule(folder, eval_batch_size=16)
    whole, rows = images(module, bench(cache=tmp_path))
    chain_calls.clear()
    (store,) = tmp_path.iterdir()
    pixels = np.memmap(store / "crops.u8", np.uint8, "r+").reshape(-1, SIDE * SIDE * 3)
    pixels[rows[5], 100] ^= 1
    pixels.flush()
    assert torch.equal(images(module, bench(cache=tmp_path))[0], whole)
    assert len(chain_calls) == 1
    module.decoder = "pillow"  # may decode to other pixels
    images(module, bench(cache=tmp_path))
    assert len(chain_calls) == 1 + len(rows)


def test_a_cache_of_other_libraries_is_refused(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = AiGenBenchDataModule(folder).manifest()
    bench(cache=tmp_path).select(manifest)
    real = versioned_folder.version
    monkeypatch.setattr(versioned_folder, "version", lambda name: "0.1" if name == "pillow" else real(name))
    with pytest.raises(DataError, match=r"pillow .* → 0\.1[\s\S]*Give another folder"):
        bench(cache=tmp_path).select(manifest)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"protocol": "v2"}, "known: fixed, v1"),
        ({"mode": "cumulativ"}, "did you mean 'cumulative'"),
        ({"train_cropping": "multicrop"}, "benchmark.train_cropping='multicrop' is unknown"),
        ({"eval_cropping": "center"}, "benchmark.eval_cropping='center' is unknown"),
        ({"replay": "uniform"}, "Set benchmark.mode=continual"),
        ({"augmentation_factor": 0}, "benchmark.augmentation_factor=0"),
        ({"fusion": "mean"}, "fusion='mean' is unknown"),
        ({"cache": "x", "eval_cropping": "as_is"}, "Choose another cropping"),
        ({"holdout": 1.0}, "fraction from 0 to below 1"),
    ],
)
def test_mistakes_in_settings_name_what_is_near(options: dict[str, Any], part: str) -> None:
    with pytest.raises(ConfigError) as error:
        bench(**options)
    assert part in str(error.value)


def test_other_data_sets_are_refused(tmp_path: Path) -> None:
    names = [generator.name for generator in load_generators()[:8]]
    manifest = AiGenBenchDataModule(miniature(tmp_path / "set", size=16, names=names)).manifest()
    with pytest.raises(DataError, match="lacks 28 of AI-GenBench's 36 generators"):
        bench().stages(manifest)
    with pytest.raises(DataError, match="no training image of ADM"):
        bench(generators=[*names, "ADM"]).stages(manifest)
    with pytest.raises(ConfigError, match="did you mean 'CycleGAN'"):
        bench(generators=["CycleGan"]).stages(manifest)
    assert len(bench(generators=names).stages(manifest)) == 2
    foreign = AiGenBenchDataModule(miniature(tmp_path / "more", size=16, names=[*names, "MyGAN"])).manifest()
    kept = bench(generators=names).stages(foreign)[1].train
    assert "MyGAN" not in set(foreign.column("generator")[kept])


def test_views_that_would_resize_the_crops_again_are_refused(module: AiGenBenchDataModule) -> None:
    benchmark = bench()
    benchmark.stages(module.manifest())
    with pytest.raises(ConfigError, match="benchmark gives crops of 32 pixels, the detector's train_view takes 224"):
        module.use(View(resize=256, crop=224), View(), benchmark.degrade)
    module.use(View(resize=SIDE), View(resize=SIDE), benchmark.degrade)
