"""The paper's twelve settings: composed, checked, and their batch arithmetic on one and on eight devices."""

from pathlib import Path

import pytest

from conf.check import check
from conf.cli.groups import CONF
from conf.compose import compose

NAMES = sorted(file.stem for file in (CONF / "experiment").glob("ai_genbench_*_*_*.yaml"))
SMALL = {"ai_genbench_rn50_probe_multicrop", "ai_genbench_clip_vitl14_probe_multicrop"}
"""The two that the original trains with batches of 64."""


def test_there_are_twelve() -> None:
    models = ("rn50", "clip_vitl14", "dinov2_vitl14")
    expected = {f"ai_genbench_{m}_{a}_{b}" for m in models for a in ("tune", "probe") for b in ("resize", "multicrop")}
    assert set(NAMES) == expected


@pytest.mark.parametrize("name", [*NAMES, "ai_genbench"])
def test_each_composes_and_its_batches_add_up(name: str, tmp_path: Path) -> None:
    from tasks.fit import accumulation

    words = [f"experiment={name}", f"datamodule.path={tmp_path}"]
    composed = compose(words)
    assert check(composed) == []
    resolved = composed.resolved
    batch, whole = resolved["datamodule"]["batch_size"], resolved["benchmark"]["global_batch"]
    assert whole == (64 if name in SMALL else 512)
    assert accumulation(whole, batch, 1) * batch == whole
    share = min(batch, whole // 8)
    assert accumulation(whole, share, 8) * share * 8 == whole
    crops = ("random_crop", "multicrop") if name.endswith("multicrop") else ("resize", "resize")
    assert (resolved["benchmark"]["train_cropping"], resolved["benchmark"]["eval_cropping"]) == crops
    assert resolved["benchmark"]["crop_size"] == resolved["detector"]["image_size"] == 224
    optimizer = resolved["detector"]["optimizer"]
    assert optimizer["_target_"] == "torch.optim.SGD"
    assert resolved["trainer"]["max_epochs"] == 1
