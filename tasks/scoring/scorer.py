"""Scoring on one device as Lightning's trainer does it, without Lightning, whose import takes seconds."""

from collections.abc import Sequence
from inspect import isfunction
from itertools import takewhile
from types import SimpleNamespace
from typing import Any

import torch
from rich.progress import track

from contracts.batch import Batch
from contracts.process.memory import keep_freed_memory
from detectors.base import Detector
from detectors.npr.fold import folded_once

BASES = ("detectors.base", "datamodules.image_datamodule")
HOOKS = ("setup", "teardown", "prepare_data", "transfer_batch_to_device", "configure_callbacks")


class Scorer:
    """Takes the place of an ordinary trainer (`tasks.checking.ordinary`); attributes are named as the trainer's.

    Args:
        callbacks: ours, which use only these attributes of a trainer.
        device: ``cpu`` or ``cuda``.
        precision: as the trainer's.
        bar: show a progress bar.
    """

    world_size = 1
    global_rank = 0
    is_global_zero = True
    loggers: Sequence[Any] = ()

    def __init__(self, callbacks: Sequence[Any], device: str, precision: Any = None, bar: bool = False) -> None:
        if device == "cpu":
            keep_freed_memory()
        self.callbacks = callbacks
        self.root_device = torch.device(device, 0) if device == "cuda" else torch.device(device)
        self.precision = "bf16-mixed" if precision == "bf16-mixed" else "32-true"
        self.bar = bar
        self.state = SimpleNamespace(fn=None)
        self.datamodule: Any = None
        self.max_batches = [0]
        self.strategy = self.precision_plugin = self.test_loop = self.predict_loop = self  # whose attributes are above

    def forward_context(self) -> torch.autocast:
        """The precision of a detector's computations."""
        mixed = self.precision == "bf16-mixed"
        return torch.autocast(self.root_device.type, torch.bfloat16, enabled=mixed, cache_enabled=False)

    def score(self, verb: str, detector: Detector, datamodule: Any) -> None:
        """Does what ``Trainer.test`` (verb "test") or ``Trainer.predict`` ("predict") do."""
        self.state.fn, self.datamodule = verb, datamodule
        if self.root_device.type == "cuda":
            torch.cuda.set_device(self.root_device)
        self._call("setup", detector, verb)
        detector.configure_model()
        detector.to(self.root_device)
        training = [module for module in detector.modules() if module.training]
        with torch.inference_mode(), folded_once():
            loader = getattr(datamodule, f"{verb}_dataloader")()
            self.max_batches = [len(loader)]
            if len(loader):
                self._batches(verb, detector.eval(), loader)
        for module in training:
            module.training = True
        detector.cpu()
        datamodule.teardown(verb)
        self._call("teardown", detector, verb)

    def _batches(self, verb: str, detector: Detector, loader: Any) -> None:
        step, device = getattr(detector, f"{verb}_step"), self.root_device
        self._call(f"on_{verb}_start", detector)
        self._call(f"on_{verb}_epoch_start", detector)
        for index, batch in enumerate(track(loader, f"{verb}ing".capitalize()) if self.bar else loader):
            moved = Batch(*(tensor.to(device, non_blocking=device.type != "cpu") for tensor in batch))
            with self.forward_context():
                scores = step(moved, index)
            self._call(f"on_{verb}_batch_end", detector, scores, moved, index)
        self._call(f"on_{verb}_epoch_end", detector)
        self._call(f"on_{verb}_end", detector)

    def _call(self, hook: str, detector: Detector, *arguments: Any) -> None:
        for callback in self.callbacks:
            if hasattr(callback, hook):
                getattr(callback, hook)(self, detector, *arguments)


def needs_trainer(thing: Any, verb: str) -> bool:
    """Whether the class of a detector or data module has hooks that a `Scorer` does not call, or asks for a trainer."""
    own = takewhile(lambda cls: cls.__module__ not in BASES, type(thing).__mro__)
    members = [member for cls in own for member in vars(cls).items()]
    begin = (f"on_{verb}_", "on_before_", "on_after_")
    hooks = any(name in HOOKS or name.startswith(begin) for name, _ in members)
    return hooks or any("trainer" in one.__code__.co_names for _, one in members if isfunction(one))
