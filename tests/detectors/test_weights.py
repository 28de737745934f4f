import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from contracts.errors import CheckpointError
from detectors.weights import load_weights, read_checkpoint


def _net(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


FORMS = {
    "bare": lambda state: state,
    "state_dict": lambda state: {"state_dict": state, "epoch": 3},
    "model": lambda state: {"model": state, "total_steps": 7, "optimizer": {"state": {}, "param_groups": []}},
    "model_state_dict": lambda state: {"model_state_dict": state, "optimizer_state_dict": {}, "loss": 0.5},
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
    with pytest.raises(CheckpointError, match="state dict alone"):
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
def test_what_is_no_checkpoint_is_told_by_how_it_begins(tmp_path, content):
    (tmp_path / "w.ckpt").write_bytes(content)
    with pytest.raises(CheckpointError, match="is no checkpoint: it begins with"):
        read_checkpoint(tmp_path / "w.ckpt")
