"""Batches, failures and exact resumption, under Lightning where it matters."""

import io
import logging
import multiprocessing
import pickle
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest
import pytorch_lightning as L
import torch
from PIL import Image
from torch import Tensor, nn

from contracts.batch import Batch
from contracts.errors import ConfigError, DataError
from contracts.keys import sample_key
from contracts.stage import Stage
from contracts.view import View
from datamodules.deliveries.deliveries import delivery
from datamodules.image_datamodule import ImageDataModule
from datamodules.loading.dataset import _alone
from datamodules.loading.options import Loading
from datamodules.loading.stores import ImageStore
from datamodules.tables.manifest import Manifest

COUNT = 22


class Drawn:
    """A store of drawn pictures: row k is filled with k, except that the broken ones are no images."""

    def __init__(self, sizes: list[tuple[int, int]], broken: frozenset[int], encoded: bool) -> None:
        self.sizes, self.broken, self.encoded = sizes, broken, encoded

    def read(self, row: int) -> Any:
        if row in self.broken:
            return b"broken"
        pixels = np.full((*self.sizes[row], 3), row, np.uint8)
        pixels[:, ::2] += 100
        if not self.encoded:
            return pixels
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "PNG")
        return stream.getvalue()


class DrawnModule(ImageDataModule):
    def __init__(
        self,
        sizes: list[tuple[int, int]] | None = None,
        broken: frozenset[int] = frozenset(),
        encoded: bool = False,
        known: bool = True,
        **options: Any,
    ) -> None:
        super().__init__("drawn", **options)
        self.sizes, self.broken = sizes or [(8, 8)] * COUNT, broken
        self.encoded, self.known = encoded, known

    def build_manifest(self) -> Manifest:
        count = len(self.sizes)
        columns: dict[str, Any] = {
            "id": [f"id-{row}" for row in range(count)],
            "label": [row % 2 for row in range(count)],
            "generator": ["" if row % 2 == 0 else f"gan-{row % 4}" for row in range(count)],
        }
        if self.known:
            columns |= {"height": [h for h, _ in self.sizes], "width": [w for _, w in self.sizes]}
        return Manifest.from_columns(columns)

    def build_store(self, manifest: Manifest) -> ImageStore:  # noqa: ARG002
        return Drawn(self.sizes, self.broken, self.encoded)


def test_shared_loading_arguments_are_those_of_the_base_class() -> None:
    base = get_type_hints(ImageDataModule.__init__)
    assert get_type_hints(Loading) == {name: kind for name, kind in base.items() if name not in ("path", "return")}


def ready(
    train: View | None = None, evaluation: View | None = None, degrade: Any = None, **options: Any
) -> DrawnModule:
    module = DrawnModule(**options)
    module.use(train or View(), evaluation or View(), degrade)
    rows = np.arange(len(module.sizes))
    module.enter(Stage(0, "all", rows, rows))
    module.evaluate(rows)
    MADE.append(module)
    return module


MADE: list[DrawnModule] = []


@pytest.fixture(autouse=True)
def _no_worker_outlives_its_test() -> Iterator[None]:
    yield
    while MADE:
        MADE.pop().teardown("")


def test_a_training_batch_says_what_its_images_are() -> None:
    module = ready(View(crop=6, flip=0.5), batch_size=5, seed=3)
    batches = list(module.train_dataloader())
    assert len(batches) == len(module.train_dataloader()) == 4
    for batch in batches:
        assert isinstance(batch, Batch)
        assert batch.images.shape == (5, 3, 6, 6)
        assert batch.images.dtype == torch.uint8
        assert batch.images.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(batch.images.amin((1, 2, 3)).long(), batch.row)
        assert torch.equal(batch.label, batch.row % 2)
        names = module.manifest().generator_names
        assert names == ["", "gan-1", "gan-3"]
        assert [names[k] for k in batch.generator] == [("", "gan-1", "", "gan-3")[row % 4] for row in batch.row]
        assert batch.crop_to_image.tolist() == list(range(5))
        assert batch.key.tolist() == [sample_key(3, 0, f"id-{row}") for row in batch.row.tolist()]
        assert {tensor.dtype for tensor in batch[1:]} == {torch.int64}


def test_five_crops_of_an_image_stay_together() -> None:
    module = ready(evaluation=View(crop=4, crops="five"), eval_batch_size=8)
    batches = list(module.test_dataloader())
    assert [len(batch.row) for batch in batches] == [8, 8, 6]
    for batch in batches:
        assert batch.images.shape[0] == 5 * len(batch.row)
        assert torch.equal(batch.images.amin((1, 2, 3)).long(), batch.row[batch.crop_to_image])
        assert batch.crop_to_image.tolist() == [k for k in range(len(batch.row)) for _ in range(5)]


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("encoded", [True, False])
def test_native_sizes_share_a_batch_only_with_their_like(known: bool, encoded: bool) -> None:
    sizes = [((4, 6), (6, 4), (5, 5))[row % 3] for row in range(20)]
    module = ready(sizes=sizes, known=known, encoded=encoded, eval_batch_size=4)
    batches = list(module.predict_dataloader())
    assert sorted(row for batch in batches for row in batch.row.tolist()) == list(range(20))
    assert len(batches) == 6
    for batch in batches:
        assert {sizes[row] for row in batch.row.tolist()} == {tuple(batch.images.shape[2:])}
    assert not module.failures


def by_row(loader: Any) -> dict[int, Tensor]:
    return {row: image for batch in loader for row, image in zip(batch.row.tolist(), batch.images, strict=True)}


def jitter(image: Tensor, rng: np.random.Generator) -> Tensor:
    return (image * float(rng.uniform(0.2, 1))).to(torch.uint8)


def test_looks_depend_on_seed_epoch_and_id_alone() -> None:
    view = View(crop=5, flip=0.5, augment=(jitter,))
    alone = by_row(ready(view, degrade=jitter, batch_size=1).train_dataloader())
    many = by_row(ready(view, degrade=jitter, batch_size=11).train_dataloader())
    workers = by_row(ready(view, degrade=jitter, batch_size=11, num_workers=2).train_dataloader())
    other = by_row(ready(view, degrade=jitter, batch_size=1, seed=1).train_dataloader())
    assert alone.keys() == many.keys() == workers.keys() == other.keys()
    assert all(torch.equal(alone[row], many[row]) and torch.equal(alone[row], workers[row]) for row in alone)
    assert not all(torch.equal(alone[row], other[row]) for row in alone)


def test_evaluation_does_not_depend_on_its_batches() -> None:
    view = View(resize=6, augment=(jitter,))
    one = by_row(ready(evaluation=view, degrade=jitter, eval_batch_size=1).val_dataloader())
    seven = by_row(ready(evaluation=view, degrade=jitter, eval_batch_size=7, num_workers=2).test_dataloader())
    assert one.keys() == seven.keys() == set(range(COUNT))
    assert all(torch.equal(one[row], seven[row]) for row in one)


def brighten_some(image: Tensor, rng: np.random.Generator) -> Tensor:
    return image.to(torch.float32) / 255 * 2 if rng.random() < 0.5 else image


def test_a_batch_of_whole_and_floating_images_floats() -> None:
    batch = next(iter(ready(View(augment=(brighten_some,)), batch_size=COUNT).train_dataloader()))
    assert batch.images.dtype == torch.float32
    ratio = batch.images.amin((1, 2, 3)) * 255 / batch.row
    assert {round(value, 3) for value in ratio[batch.row > 0].tolist()} == {1.0, 2.0}


def workers_end() -> None:
    """Waits until they have ended, as they were told; PyTorch waits a few seconds only."""
    limit = time.monotonic() + 300
    while multiprocessing.active_children():
        assert time.monotonic() < limit
        time.sleep(0.01)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_unreadable_images_are_left_out_of_evaluation_and_recorded_once(num_workers: int) -> None:
    module = ready(evaluation=View(crop=4), broken=frozenset({3, 4, 5, 20}), eval_batch_size=2, num_workers=num_workers)
    for _ in range(2):
        batches = list(module.test_dataloader())
        assert [row for batch in batches for row in batch.row.tolist()] == [
            row for row in range(COUNT) if row not in module.broken
        ]
    assert [failure.id for failure in module.failures] == ["id-3", "id-4", "id-5", "id-20"]
    assert all("no image of a known format" in failure.reason for failure in module.failures)


def jittered_late(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Earlier images take longer, so that threads finish in another order."""
    sum(range(200_000 // (1 + int(image[0, 1, 0]))))
    return jitter(image, rng)


@pytest.mark.parametrize("encoded", [False, True])
def test_threads_change_neither_images_nor_order_nor_failures(encoded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def loaded() -> tuple[list[Batch], list[str]]:
        module = ready(
            evaluation=View(crop=4), degrade=jittered_late, broken=frozenset({0, 7, 8}), encoded=encoded,
            eval_batch_size=9,
        )  # fmt: skip
        return list(module.test_dataloader()), [f"{failure.id} {failure.reason}" for failure in module.failures]

    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    one = loaded()
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    three = loaded()
    assert [len(batch.row) for batch in one[0]] == [6, 9, 4]
    assert one[1] == three[1]
    assert len(one[1]) == 3
    for first, second in zip(one[0], three[0], strict=True):
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_training_stops_at_an_unreadable_image(num_workers: int) -> None:
    module = ready(broken=frozenset({7}), batch_size=11, num_workers=num_workers)
    with pytest.raises(DataError, match=r"'id-7' .* cannot be trained on: no image of a known format"):
        list(module.train_dataloader())
    workers_end()


def test_training_continues_within_the_share_of_failures_allowed() -> None:
    module = ready(broken=frozenset({7, 8}), batch_size=11, max_failures=0.1)
    loader = module.train_dataloader()
    for _ in range(2):  # each image counts once, however often it is met
        assert sum(len(batch.row) for batch in loader) == COUNT - 2
    assert sorted(failure.id for failure in module.failures) == ["id-7", "id-8"]
    with pytest.raises(DataError, match=r"3 of 22 images failed"):
        list(ready(broken=frozenset({1, 7, 8}), batch_size=22, max_failures=0.1).train_dataloader())
    with pytest.raises(DataError, match="cannot be trained on"):  # a batch of nothing cannot be stepped on
        list(ready(broken=frozenset({7}), batch_size=1, max_failures=0.1).train_dataloader())


def test_delivered_images_share_a_batch_where_their_size_is_known() -> None:
    sizes = [(16, 16)] * 3 + [(24, 16)] * 2
    for name, expected in {"side-8": [(8, 5)] * 2 + [(8, 8)] * 3, "resize-0.5..0.9": [None] * 5}.items():
        module = ready(degrade=delivery(name), sizes=sizes, batch_size=4)
        batches = [batch for batch in module.test_dataloader() if batch is not None]
        assert sorted(len(batch.row) for batch in batches) == ([1] * 5 if None in expected else [2, 3])
        shapes = sorted(tuple(batch.images.shape[2:]) for batch in batches for _ in batch.row)
        assert None in expected or shapes == expected
        assert sorted(row for batch in batches for row in batch.row.tolist()) == list(range(5))


def test_training_images_of_several_sizes_need_a_size() -> None:
    with pytest.raises(ConfigError, match="Set resize or crop"):
        list(ready(sizes=[(4, 4), (5, 5)] * 4, batch_size=8).train_dataloader())


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"batch_size": 0}, "batch_size=0"),
        ({"eval_batch_size": -1}, "eval_batch_size=-1"),
        ({"num_workers": -1}, "num_workers=-1"),
        ({"prefetch": 0}, "prefetch=0"),
        ({"max_failures": 1.0}, "max_failures=1.0"),
        ({"max_pixels": 0}, "max_pixels=0"),
        ({"decoder": "torchvison"}, "did you mean 'torchvision'"),
    ],
)
def test_values_out_of_range_are_named(options: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError, match=word.replace(".", r"\.")):
        DrawnModule(**options)


def test_calls_out_of_order_are_named() -> None:
    module = DrawnModule()
    with pytest.raises(ConfigError, match="enter"):
        module.train_dataloader()
    with pytest.raises(ConfigError, match="evaluate"):
        module.test_dataloader()
    module.evaluate(np.arange(3))
    with pytest.raises(ConfigError, match="use"):
        module.test_dataloader()
    with pytest.raises(DataError, match="row 22 is not among the manifest's 22 rows"):
        module.evaluate(np.array([0, COUNT]))
    with pytest.raises(DataError, match="occurs twice"):
        module.enter(Stage(0, "", np.array([1, 1]), np.array([2])))


class Recorder(L.LightningModule):
    """A net of one weight that notes what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(1, 1), nn.Dropout(0.5))
        self.seen: list[tuple[int, int, tuple[int, ...], tuple[int, ...]]] = []

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.seen.append((self.current_epoch, batch_idx, tuple(batch.row.tolist()), tuple(batch.key.tolist())))
        loss: Tensor = self.net(batch.images.float().mean((1, 2, 3))[:, None] / 255).square().mean()
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None: ...

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class SaveEverywhere(L.Callback):
    """Checkpoints after each training batch, each validation and each epoch, named by what had been seen."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.count = folder, 0

    def _save(self, trainer: L.Trainer, when: str) -> None:
        self.count += 1
        seen = len(trainer.lightning_module.seen)  # type: ignore[union-attr, arg-type]
        trainer.save_checkpoint(self.folder / f"{self.count:03d}-{when}-{seen}.ckpt")

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        self._save(trainer, "batch")

    def on_train_epoch_end(self, trainer: L.Trainer, *_: Any) -> None:
        self._save(trainer, "epoch")

    def on_validation_end(self, trainer: L.Trainer, *_: Any) -> None:
        if not trainer.sanity_checking:
            self._save(trainer, "validation")


@pytest.fixture
def quiet() -> Iterator[None]:
    logger = logging.getLogger("pytorch_lightning")
    level = logger.level
    logger.setLevel(logging.ERROR)
    yield
    logger.setLevel(level)


def fit(checkpoint: Path | None = None, callbacks: Any = (), num_workers: int = 0, **options: Any) -> Recorder:
    torch.manual_seed(0)
    module = ready(View(crop=6, flip=0.5), batch_size=4, seed=7, num_workers=num_workers)
    trainer = L.Trainer(
        max_epochs=3, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=list(callbacks), **options,
    )  # fmt: skip
    net = Recorder()
    trainer.fit(net, module, ckpt_path=checkpoint)
    return net


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize(
    "options",
    [{}, {"val_check_interval": 2}, {"accumulate_grad_batches": 2}, {"limit_train_batches": 3}, {"max_steps": 9}],
    ids=lambda options: "".join(options) or "plain",
)
def test_a_resumed_fit_sees_what_an_uninterrupted_one_sees(tmp_path: Path, options: dict[str, Any]) -> None:
    whole = fit(callbacks=[SaveEverywhere(tmp_path)], **options)
    assert len({rows for _, _, rows, _ in whole.seen}) == len(whole.seen)  # every epoch has an order of its own
    checkpoints = sorted(tmp_path.glob("*.ckpt"))
    assert len(checkpoints) > len(whole.seen)
    for checkpoint in checkpoints:
        seen = int(checkpoint.stem.split("-")[2])
        assert fit(checkpoint, **options).seen == whole.seen[seen:], checkpoint.name


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("quiet")
def test_workers_change_nothing_and_end_with_the_fit(tmp_path: Path) -> None:
    alone = fit()
    several = fit(callbacks=[SaveEverywhere(tmp_path)], num_workers=2)
    workers_end()
    assert several.seen == alone.seen
    # the loader draws nothing from the generator that belongs to training
    assert all(map(torch.equal, several.state_dict().values(), alone.state_dict().values()))
    checkpoint = tmp_path / "008-batch-6.ckpt"
    assert fit(checkpoint, num_workers=2).seen == alone.seen[6:]


def test_a_pickled_loader_as_spawned_workers_get_it_delivers_the_same() -> None:
    module = ready(View(crop=5, flip=0.5, augment=(jitter,)), degrade=jitter, encoded=True, batch_size=4)
    dataset = module.train_dataloader()._loader.dataset
    copy = pickle.loads(pickle.dumps(dataset))  # noqa: S301 - our own bytes
    items = [(row, 2) for row in range(COUNT)]
    assert all(map(torch.equal, dataset.__getitems__(items).batch, copy.__getitems__(items).batch))  # type: ignore[attr-defined]


def test_a_crop_is_kept_without_the_image_it_was_cut_from() -> None:
    image = torch.arange(3 * 40 * 30, dtype=torch.int32).to(torch.uint8).view(40, 30, 3).permute(2, 0, 1)
    crop = image[:, 3:11, 5:13]
    alone = _alone(crop)
    assert torch.equal(alone, crop)
    assert alone.untyped_storage().nbytes() == crop.nbytes
    assert _alone(image) is image
