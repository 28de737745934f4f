"""``python -m bench.parts.first_step WORD …``: PixelProof's command line, which ends after the first training step."""

import importlib.util
import multiprocessing
import os
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

MODULE = "torch.optim.optimizer"


class LeaveAfterStep(MetaPathFinder):
    """Registers `leave` with torch's optimisers once torch is imported, without importing it earlier than usual."""

    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        """Torch's own spec of `MODULE`, with the registration after its execution; None for any other module."""
        if fullname != MODULE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            module.register_optimizer_step_post_hook(leave)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def leave(*_: object) -> None:
    """Ends this process and its workers at once."""
    for child in multiprocessing.active_children():
        child.kill()
    os._exit(0)


if __name__ == "__main__":
    sys.meta_path.insert(0, LeaveAfterStep())
    import lightning_main

    lightning_main.main()
    sys.exit("no training step was taken")
