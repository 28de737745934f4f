"""Python's search for circular garbage."""

import atexit
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """No search in the context, for code that makes many small objects and hardly any garbage.

    Composing and checking a configuration takes a quarter less time without it.
    """
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


@atexit.register
def freeze() -> None:
    """No search at the end of the process either, which after a refused command would take as long as all checks.

    Where torch was imported, its libraries would report objects that were not freed.
    """
    if "torch" not in sys.modules:
        gc.freeze()
