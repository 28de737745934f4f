"""Every recipe in conf/experiment trains and validates on synthetic images, with few arguments that make it small."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import synthetic
import torch
import zoo_commands
from PIL import Image
from synthetic_ai_genbench import miniature

from benchmarks.ai_genbench.protocol.generators import load_generators
from conf.cli.groups import CONF, group_options
from conf.compose import compose
from lightning_main import main
from tasks.experiment.run import Run
from tests.detectors.tracer import tracer_zoo

EXPERIMENTS = group_options("experiment")
SIDE = 32
QUIET = (
    "trainer=cpu trainer.max_epochs=1 trainer.enable_progress_bar=false trainer.enable_model_summary=false logger=[csv]"
)
HDF5 = "datamodule=hdf5 datamodule.path=drawn.h5"
TOKENIZER = "{_target_:detectors.tracer.autoencoders.Tokenizer,weights:tokenizers/var_vqvae.safetensors}"
FROZEN = "detector.backbone=timm/test_vit detector.weights=test_vit.pth"
FOUR = [generator.name for generator in load_generators()[:4]]

OWN_WORDS = {
    "ai_genbench": [
        *["datamodule.path=ai_genbench", "benchmark.mode=full", "benchmark.augmentation_factor=1"],
        *f"benchmark.global_batch=4 benchmark.crop_size={SIDE} detector.backbone=timm/test_resnet".split(),
        f"benchmark.generators=[{','.join(repr(name) for name in FOUR)}]",
    ],
    "aiornot_convnext_tiny": [*HDF5.split(), "detector.backbone=timm/test_convnext"],
    "aiornot_resnet18": [*HDF5.split(), "tune.lr=false", "tune.batch_size=false"],
    "dda": [*HDF5.split(), *FROZEN.split(), "detector.positions=timm", f"datamodule.pair.autoencoders=[{TOKENIZER}]"],
    **{name: [*HDF5.split(), *FROZEN.split()] for name in ("rigid", "minder", "warpad", "probe_")},
    "tracer_inverse": ["datamodule.path=tracer", "detector.weights=zoo", "detector.target=roundtrip"],
    "tracer_toy": [
        *HDF5.split(),
        "datamodule.path=large.h5",
        "detector.train_view.resize=48",
        "detector.eval_view.resize=48",
    ],
    "zed": [*HDF5.split(), "datamodule.path=large.h5"],
}
"""By the beginning of their names, what recipes need that cannot do with the common words; the longest one counts."""

SMALLER = {
    "detector.pretrained": "false",
    "detector.image_size": str(SIDE),
    "detector.train_view.crop": str(SIDE),
    "detector.train_view.resize": str(SIDE),
    "detector.train_view.short_side": f"[{SIDE},{SIDE + 16}]",
    "detector.eval_view.crop": str(SIDE),
    "detector.eval_view.resize": str(SIDE),
    "detector.hidden": "8",
    "detector.blocks": "1",
    "datamodule.num_workers": "0",
    "trainer.check_val_every_n_epoch": "1",
}
"""Values for keys that a recipe sets (to something); others are left alone."""


@pytest.fixture(scope="module", autouse=True)
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Synthetic images in every layout that a recipe asks for; the working directory."""
    folder = tmp_path_factory.mktemp("experiments")
    synthetic.hdf5(folder / "drawn.h5", {"train": 4, "valid": 4, "test": 4}, size=SIDE + 8)
    synthetic.hdf5(folder / "large.h5", {"train": 8, "valid": 8, "test": 4}, size=48)
    miniature(folder / "ai_genbench", train=1, validation=1, size=48, names=FOUR)
    zoo_commands.backbone(folder)
    tracer_zoo.zoo(folder / "tokenizers")
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for label in ("rarb", "rarl", "rarxl", "rarxxl", "var16", "var20", "var24", "var30"):
            for k in range(2):
                file = folder / "tracer" / split / label / f"{k}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(synthetic.picture(rng, 48, True)).save(file)
    with contextlib.chdir(folder):
        yield folder


def value_at(node: Any, place: str) -> Any:
    for key in place.split("."):
        node = node.get(key) if isinstance(node, dict) else None
    return node


def small(name: str) -> list[str]:
    """The arguments that run a recipe on synthetic images."""
    own = OWN_WORDS.get(
        max((start for start in OWN_WORDS if name.startswith(start)), key=len, default=""), HDF5.split()
    )
    chosen = [f"experiment={name}", *QUIET.split(), *own]
    config = compose(chosen).resolved
    set_by_hand = {word.partition("=")[0] for word in own}
    batch = 4 if name.startswith("ai_genbench") else 2
    smaller = [f"{key}={value}" for key, value in SMALLER.items() if key not in set_by_hand and value_at(config, key)]
    return [*chosen, *smaller, f"datamodule.batch_size={batch}", "datamodule.eval_batch_size=2"]


@pytest.mark.parametrize("name", EXPERIMENTS)
@pytest.mark.filterwarnings("ignore")
def test_a_recipe_trains_and_validates(name: str, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*small(name), f"experiment_id={name}"]
    if name.startswith("tracer_inverse") and not (data / "zoo").exists():
        Run(compose(small("tracer_toy"))).detector().export(data / "zoo")
    assert main(words) == 0, capsys.readouterr().err
    (stage,) = (data / "experiments_data" / name).glob("window_*")
    assert (stage / "done").exists()
    last = torch.load(stage / "checkpoints/last.ckpt", weights_only=True)
    assert last["global_step"] >= 1
    for file in ("best.ckpt", "last.ckpt"):
        passport = torch.load(stage / "checkpoints" / file, weights_only=True)["pixelproof"]
        assert passport["detector"]["_target_"].startswith("detectors.")


def test_the_tables_here_name_what_there_is() -> None:
    assert {start for start in OWN_WORDS if not any(name.startswith(start) for name in EXPERIMENTS)} == set()
    assert {file.stem for file in (CONF / "experiment").glob("*.yaml")} == set(EXPERIMENTS)
