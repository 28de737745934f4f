"""Sets up Hydra with our schema, YAML reader and allow-list, without warnings from any supported release."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import MISSING, field, fields, make_dataclass
from functools import cache
from pathlib import Path
from threading import RLock
from typing import Any

import hydra
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra

from conf.keys.schema import VERB_OPTIONS, Config
from conf.keys.targets import HOMES, LIBRARIES, OWN
from conf.keys.written import register_source

BASE: dict[str, str] = {"version_base": "1.3"} if hydra.__version__.startswith("1.3.") else {}
"""Hydra 1.3 warns if ``version_base`` is left out; 1.4 warns if it is given."""
_LOCK = RLock()


@contextmanager
def hydra_on(folders: Sequence[Path]) -> Iterator[ConfigLoader]:
    """Initialises Hydra on folders of YAML files, and yields its loader; one thread at a time.

    Hydra has one global state; that of a program that uses Hydra itself is saved and restored.
    """
    first, *further = [str(folder.resolve()) for folder in folders]
    with _LOCK, _state_put_aside():
        _register()
        with hydra.initialize_config_dir(config_dir=first, **BASE):
            loader: Any = GlobalHydra.instance().config_loader()
            for folder in further:  # as Hydra's own command line does for --config-dir
                loader.get_search_path().prepend("command-line", f"file://{folder}", "schema")
            loader.repository.initialize_sources(loader.get_search_path())
            yield loader


@contextmanager
def _state_put_aside() -> Iterator[None]:
    other = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        yield
    finally:
        GlobalHydra.instance().hydra = other


def only_allowed_targets() -> AbstractContextManager[Any]:
    """Limits the targets that Hydra itself may instantiate to our allow-list; releases before 1.4 have no limit.

    We build objects ourselves (`conf.build`), so this only concerns plugins and users' code that call Hydra.
    """
    limit = getattr(hydra.utils, "execution_whitelist", None)
    names = [f"{name}*" if name.endswith(".") else name for name in dict.fromkeys((*OWN, *LIBRARIES, *HOMES))]
    return nullcontext() if limit is None else limit(names)


@cache
def _register() -> None:
    """Stores the schema under the name that the defaults list of ``config.yaml`` gives it.

    The types of its keys are checked afterwards (`conf.keys.typed_root`): which numbers are text is unknown while Hydra
    composes (`conf.keys.written`).
    """
    ConfigStore.instance().store(name="schema", node=_untyped(Config))
    register_source()


def _untyped(schema: type) -> type:
    """The same dataclass with values of any type; lists and mappings are kept as such."""
    listed: list[tuple[str, Any, Any]] = []
    for each in fields(schema):
        if schema is Config and each.name in VERB_OPTIONS:
            made = _untyped(VERB_OPTIONS[each.name])
            listed.append((each.name, made, field(default_factory=made)))
        elif each.default_factory is not MISSING:
            kind = list[Any] if "list" in str(each.type) else dict[str, Any]
            listed.append((each.name, kind, field(default_factory=each.default_factory)))
        else:
            listed.append((each.name, Any, field(default=each.default)))
    return make_dataclass(schema.__name__, listed)
