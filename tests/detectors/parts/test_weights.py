import argparse
import pickle
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from contracts.errors import CheckpointError
from detectors.parts.weights import load_weights, read_checkpoint


def _net(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


OPTIONS = argparse.Namespace(
    lr=np.float64(1e-3), seed=np.int64(3), out=Path("a/b"), more=argparse.Namespace(name=np.str_("x"))
)

FORMS = {
    "bare": lambda state: state,
    "state_dict": lambda state: {"state_dict": state, "epoch": 3},
    "model": lambda state: {"model": state, "total_steps": 7, "optimizer": {"state": {}, "param_groups": []}},
    "net": lambda state: {"net": state, "acc": np.float32(97.5), "epoch": 3},
    "nested": lambda state: {"model": {"state_dict": state}, "step": 1},
    "state_dict_ema": lambda state: {"state_dict_ema": state, "arch": "resnet50", "args": OPTIONS},
    "model_ema": lambda state: {"model": {k: v + 1 for k, v in state.items()}, "model_ema": state, "args": OPTIONS},
    "no averages": lambda state: {"state_dict": state, "state_dict_ema": None, "args": vars(OPTIONS)},
    "arrays": lambda state: {"state_dict": {k: v.numpy() for k, v in state.items()}},
    "simple namespace": lambda state: {"model": state, "args": types.SimpleNamespace(a=[1, np.bool_(True)])},
    "model_state_dict": lambda state: {"model_state_dict": state, "optimizer_state_dict": {}, "loss": 0.5},
    "PatchCraft": lambda state: {"netC": state},
    "AveragedModel": lambda state: {
        "state_dict": {"n_averaged": torch.tensor(3), **{f"module.{key}": value for key, value in state.items()}}
    },
}


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "net.", "model.module.", "_orig_mod."])
@pytest.mark.parametrize("form", FORMS)
def test_every_published_form_loads(tmp_path: Path, form: str, prefix: str) -> None:
    source, target = _net(0), _net(1)
    torch.save(FORMS[form]({prefix + k: v for k, v in source.state_dict().items()}), tmp_path / "w.pth")
    load_weights(target, tmp_path / "w.pth")
    for key, value in source.state_dict().items():
        assert torch.equal(target.state_dict()[key], value), key


def test_safetensors_and_legacy_pickles_load(tmp_path: Path) -> None:
    source = _net(0)
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    torch.save(source.state_dict(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    for name in ("w.safetensors", "old.pth"):
        target = _net(1)
        load_weights(target, tmp_path / name)
        assert torch.equal(target[0].weight, source[0].weight)  # type: ignore[index]


@pytest.mark.parametrize("zipped", [True, False])
def test_plain_data_beside_the_weights_is_read_as_it_is(tmp_path: Path, zipped: bool) -> None:
    beside = {
        "args": OPTIONS,
        "best": np.float16(0.5),
        "count": np.int32(-7),
        "done": np.bool_(False),
        "z": np.complex64(1 + 2j),
        "name": np.str_("äb"),
        "big": np.array(3.5, dtype=">f8")[()],
        "losses": np.asfortranarray([[1.0, 2.0], [3.0, 4.0]]),
    }
    torch.save({"model": _net(0).state_dict(), **beside}, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    found = read_checkpoint(tmp_path / "w.pth")
    args = vars(found["args"])
    assert (args["lr"], args["seed"], args["out"], vars(args["more"])) == (1e-3, 3, "a/b", {"name": "x"})
    assert type(args["lr"]) is float
    assert [found[key] for key in ("best", "count", "done", "z", "name", "big")] == [0.5, -7, False, 1 + 2j, "äb", 3.5]
    assert found["losses"].values.tolist() == [[1.0, 2.0], [3.0, 4.0]]


@pytest.mark.parametrize(
    "value", [np.array([print, 1], dtype=object), np.datetime64("2026-01-01"), np.zeros(2, [("a", "i4")]), print]
)
def test_other_objects_beside_the_weights_are_refused(tmp_path: Path, value: object) -> None:
    torch.save({"model": _net(0).state_dict(), "beside": value}, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"w\.pth"):
        read_checkpoint(tmp_path / "w.pth")


def test_one_line_says_what_was_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    state = {f"module.{key}": value for key, value in _net(0).state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "w.pth")
    with caplog.at_level("INFO"):
        load_weights(_net(1), tmp_path / "w.pth")
    assert (
        f"{tmp_path / 'w.pth'}: read 7 tensors of its entry 'state_dict', without the prefix 'module.'" in caplog.text
    )


def test_counters_that_old_files_lack_are_filled_in(tmp_path: Path) -> None:
    state = {k: v for k, v in _net(0).state_dict().items() if not k.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "w.pth")
    target = _net(1)
    load_weights(target, tmp_path / "w.pth")
    assert target.state_dict()["1.num_batches_tracked"] == 0


def test_differences_are_named(tmp_path: Path) -> None:
    state = dict(_net(0).state_dict())
    state["0.weight"] = torch.zeros(4, 3, 5, 5)
    state["extra.bias"] = state.pop("0.bias")
    torch.save(state, tmp_path / "w.pth")
    target = _net(1)
    before = {k: v.clone() for k, v in target.state_dict().items()}
    with pytest.raises(CheckpointError) as caught:
        load_weights(target, tmp_path / "w.pth")
    text = str(caught.value)
    assert "1 missing: 0.bias" in text
    assert "1 unexpected: extra.bias" in text
    assert "0.weight [4, 3, 5, 5] instead of [4, 3, 3, 3]" in text
    assert all(torch.equal(before[k], v) for k, v in target.state_dict().items())


class _Hostile:
    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.witness,)


@pytest.mark.parametrize("how", ["torch", "legacy", "bare pickle"])
def test_a_hostile_pickle_is_refused_and_not_run(tmp_path: Path, how: str) -> None:
    content = {"state_dict": _net(0).state_dict(), "args": _Hostile(tmp_path / "ran")}
    file = tmp_path / "w.pth"
    if how == "bare pickle":
        file.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, file, _use_new_zipfile_serialization=how == "torch")
    with pytest.raises(CheckpointError, match=r"could run code|no checkpoint"):
        load_weights(_net(1), file)
    assert not (tmp_path / "ran").exists()


def test_whole_modules_are_refused(tmp_path: Path) -> None:
    torch.save(_net(0), tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="only the state dict"):
        load_weights(_net(1), tmp_path / "w.pth")


@pytest.mark.parametrize("content", [b"", b"not a checkpoint\n", b"PK\x03\x04 truncated", b"\x80\x02}q\x00."])
def test_other_files_are_no_checkpoints(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"w\.pth"):
        load_weights(_net(1), tmp_path / "w.pth")
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"w\.safetensors"):
        load_weights(_net(1), tmp_path / "w.safetensors")


def test_truncated_checkpoint_is_named(tmp_path: Path) -> None:
    torch.save(_net(0).state_dict(), tmp_path / "whole.pth")
    (tmp_path / "w.pth").write_bytes((tmp_path / "whole.pth").read_bytes()[:-300])
    with pytest.raises(CheckpointError, match="copy it again"):
        load_weights(_net(1), tmp_path / "w.pth")


def test_missing_file_and_no_state(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint file"):
        load_weights(_net(0), tmp_path / "none.pth")
    torch.save({"epoch": 1, "model": 3}, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"entries are \['epoch', 'model'\]"):
        load_weights(_net(0), tmp_path / "w.pth")


@pytest.mark.parametrize("content", [b"<!DOCTYPE html>", b"hello", b""])
def test_what_is_no_checkpoint_is_reported_by_how_it_begins(tmp_path, content):
    (tmp_path / "w.ckpt").write_bytes(content)
    with pytest.raises(CheckpointError, match="is not a checkpoint: it begins with"):
        read_checkpoint(tmp_path / "w.ckpt")
