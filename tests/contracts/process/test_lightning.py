"""Objects that are plain until Lightning is needed, and Lightning's from then on."""

import copy
import pickle

import pytest
import pytorch_lightning as L
import tiny
import torch

from callbacks.collector import Collector
from contracts.process.lightning import as_lightning
from contracts.view import View
from detectors.npr.detector import NPR


def plain(cls: type, *arguments: object) -> object:
    """An object as it is made where Lightning is not imported."""
    made = object.__new__(cls)
    made.__init__(*arguments)  # type: ignore[misc]
    return made


def plain_tiny() -> tiny.Tiny:
    made = plain(tiny.Tiny)
    assert isinstance(made, tiny.Tiny)
    return made


def test_objects_are_lightnings_wherever_it_is_imported() -> None:
    made = tiny.Tiny()
    assert isinstance(made, L.LightningModule)
    assert isinstance(Collector(), L.Callback)
    assert (type(made).__name__, type(made).__module__) == ("Tiny", "tiny")
    assert Collector().state_key == "Collector"  # of resumable checkpoints


def test_a_plain_one_becomes_lightnings_with_all_it_holds() -> None:
    made = plain_tiny()
    assert not isinstance(made, L.LightningModule)
    state = {key: value.clone() for key, value in made.state_dict().items()}
    weight, hook = made.net.weight, made.net.register_forward_hook(lambda *_: None)
    assert as_lightning(made) is made
    assert isinstance(made, L.LightningModule)
    assert made.net.weight is weight
    assert list(made.state_dict()) == list(state) == list(tiny.Tiny().state_dict())
    assert hook.id in made.net._forward_hooks
    assert made.training
    assert as_lightning(made) is made


def test_both_are_copied_and_pickled() -> None:
    for made in (tiny.Tiny(), as_lightning(plain_tiny()), plain_tiny()):
        made.make_optimizer = None  # a lambda, which no pickle takes
        for other in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):  # noqa: S301 - our own bytes
            assert type(other) is type(made)
            assert other.net is not made.net
            assert all(torch.equal(value, other.state_dict()[key]) for key, value in made.state_dict().items())


def test_a_converted_detector_trains_as_any_other(tmp_path) -> None:
    weights = []
    for detector in (tiny.Tiny(), as_lightning(plain_tiny())):
        torch.manual_seed(0)
        detector.net.reset_parameters()
        tiny.trainer(as_lightning(plain(Collector))).fit(detector, datamodule=tiny.data(tmp_path))
        weights.append(detector.net.weight.detach().clone())
    assert torch.equal(*weights)


def test_a_plain_one_knows_its_device_and_becomes_lightnings_for_the_rest() -> None:
    made = plain_tiny()
    assert made.device == torch.device("cpu")
    assert not hasattr(made, "no_such_attribute")
    with pytest.raises(AttributeError, match="no_such_attribute"):
        _ = made.no_such_attribute
    assert type(made) is tiny.Tiny
    assert made.current_epoch == 0
    assert isinstance(made, L.LightningModule)
    made.to(torch.float64)
    assert made.dtype == torch.float64


def test_a_constructor_may_use_lightning() -> None:
    class Kept(tiny.Tiny):
        def __init__(self, scale: float) -> None:  # noqa: ARG002
            super().__init__()
            self.save_hyperparameters()

    made = plain(Kept, 2.0)
    assert isinstance(made, Kept)
    assert made.hparams == {"scale": 2.0}
    assert set(made.state_dict()) == set(tiny.Tiny().state_dict())


def test_so_does_a_real_detector() -> None:
    made = plain(NPR, View(), View())
    assert isinstance(made, NPR)
    assert not isinstance(made, L.LightningModule)
    assert list(as_lightning(made).state_dict()) == list(NPR(View(), View()).state_dict())
