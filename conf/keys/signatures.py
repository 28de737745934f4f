"""Signatures of classes and functions, read from their source without importing anything."""

import ast
import builtins
import inspect
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from conf.keys.syntax import ROOT, find, first_line, imports, module_file
from conf.keys.targets import is_own, resolve
from contracts.errors import ConfigError


@dataclass(frozen=True)
class Parameter:
    """An argument of a constructor or function; annotation and default as written, or "" if absent."""

    name: str
    required: bool
    annotation: str = ""
    default: str = ""


@dataclass(frozen=True)
class Signature:
    """The arguments that a target takes."""

    parameters: dict[str, Parameter]  # arguments by name, in order
    anything: bool = False  # whether further names are taken
    library: str = ""  # dotted name of the library class that takes the names not found here
    attributes: dict[str, Any] = field(default_factory=dict)  # literal class attributes, inherited ones too
    doc: str = ""  # first line of the docstring


def signature(target: str, root: Path = ROOT) -> Signature:
    """The signature of a class or function of ours.

    Base classes are followed if a class has no constructor of its own, or one that passes ``**kwargs`` on.

    Raises:
        ConfigError: the module or name does not exist, or is defined outside our packages.
    """
    module, node = find(target, root)
    if isinstance(node, ast.FunctionDef):
        parameters = _parameters(node)
        return Signature(parameters, node.args.kwarg is not None, doc=first_line(node))
    return _class_signature(module, node, root)


def library_signature(target: str, base_class: bool = False) -> Signature:
    """The signature of a library's class, read from its source where possible, else imported.

    Args:
        target: dotted name.
        base_class: whether the name is a base class in our own source, which need not be on the allow-list.

    Raises:
        ConfigError: the target is not allowed or does not exist.
    """
    if (read := by_source(target)) is not None:
        return read
    if base_class:
        module, _, name = target.rpartition(".")
        found = getattr(__import__(module, fromlist=[name]), name)
    else:
        found = resolve(target)
    kinds = inspect.Parameter
    listed = [p for p in inspect.signature(found).parameters.values() if p.kind is not kinds.VAR_POSITIONAL]
    named = {p.name: Parameter(p.name, p.default is kinds.empty) for p in listed if p.kind is not kinds.VAR_KEYWORD}
    return Signature(named, anything=len(named) < len(listed))


def by_source(target: str) -> Signature | None:
    """A library's class from its source alone: importing torch takes seconds, which a typing error should not."""
    spec = find_spec(target.partition(".")[0])  # for a top-level package this imports nothing
    if spec is None or not spec.submodule_search_locations:
        return None
    root = Path(spec.submodule_search_locations[0]).parent
    try:
        module, node = find(target, root)
        found = _class_signature(module, node, root) if isinstance(node, ast.ClassDef) else None
    except (ConfigError, OSError, SyntaxError, RecursionError):  # names created at run time, or compiled modules
        return None
    return None if found is None or found.library else found


def _parameters(function: ast.FunctionDef) -> dict[str, Parameter]:
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
    pairs = [*zip(positional, defaults, strict=True), *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    return {
        arg.arg: Parameter(
            arg.arg,
            default is None,
            ast.unparse(arg.annotation) if arg.annotation else "",
            ast.unparse(default) if default is not None else "",
        )
        for arg, default in pairs
    }


def _class_signature(module: str, node: ast.ClassDef, root: Path) -> Signature:
    name = f"{module}.{node.name}"
    init = _constructor(node)
    if not is_own(module) and init is not None and init.args.kwarg is None:
        return _signature_in([name], root)  # attributes of libraries are of no interest
    return _signature_in(_order(name, root), root)


def _signature_in(order: list[str], root: Path) -> Signature:
    """The signature of the first class in a method resolution order; ``super()`` is the class after it."""
    if not order:
        return Signature({})
    name, *further = order
    if not _readable(name, root):
        behind = _signature_in(further, root)
        # abstract bases and protocols have no constructor of interest
        known = name.partition(".")[0] in ("abc", "builtins", "collections", "enum", "typing")
        return behind if known else replace(behind, library=name)
    module, node = find(name, root)
    assert isinstance(node, ast.ClassDef)  # noqa: S101 - Python itself would refuse another base
    init, inherited = _constructor(node), _signature_in(further, root)
    if init is not None:
        own = dict(list(_parameters(init).items())[1:])
        taken = Signature(own)
        if init.args.kwarg is not None:
            handed = _handed(init, list(inherited.parameters))
            named = _open(init.args.kwarg.annotation, module, root)
            defaults = _changed_defaults(init)
            passed = {
                name: replace(parameter, default=defaults.get(name, parameter.default))
                for name, parameter in inherited.parameters.items()
                if name not in handed | own.keys() and (named is None or name in named)
            }
            taken = replace(inherited, parameters=own | passed, anything=inherited.anything or not further)
    elif "typing.NamedTuple" in further or any("dataclass" in ast.unparse(d) for d in node.decorator_list):
        taken = replace(inherited, parameters=inherited.parameters | _fields(node), library="")
    else:
        taken = inherited
    return replace(taken, attributes=inherited.attributes | _attributes(node), doc=first_line(node))


def _order(name: str, root: Path) -> list[str]:
    """Python's method resolution order (C3); classes whose source is not read count as having no bases."""
    if not _readable(name, root):
        return [name]
    module, node = find(name, root)
    bases = node.bases if isinstance(node, ast.ClassDef) else []
    waiting = [_order(base_name(base, module, root), root) for base in bases]
    waiting.append([order[0] for order in waiting])
    found = [f"{module}.{node.name}"]
    while waiting := [order for order in waiting if order]:
        heads = (order[0] for order in waiting if not any(order[0] in other[1:] for other in waiting))
        found.append(next(heads, waiting[0][0]))  # Python rejects bases without a consistent order
        waiting = [order[1:] if order[0] == found[-1] else order for order in waiting]
    return found


def _readable(name: str, root: Path) -> bool:
    return is_own(name) or (root != ROOT and module_file(name.rpartition(".")[0], root) is not None)


def _constructor(node: ast.ClassDef) -> ast.FunctionDef | None:
    return next((n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)


def base_name(base: ast.expr, module: str, root: Path) -> str:
    """The dotted name of a base class, according to the imports of the module."""
    name = ast.unparse(base.value if isinstance(base, ast.Subscript) else base)
    head, dot, rest = name.partition(".")
    home = f"builtins.{head}" if hasattr(builtins, head) else f"{module}.{head}"
    return imports(module, root).get(head, home) + dot + rest


def _handed(init: ast.FunctionDef, names: list[str]) -> set[str]:
    """Names of the base's parameters that a constructor sets itself in ``super().__init__(…)``."""
    handed: set[str] = set()
    for call in _super_calls(init):
        handed |= {keyword.arg for keyword in call.keywords if keyword.arg}
        handed |= set(names[: len([a for a in call.args if not isinstance(a, ast.Starred)])])
    return handed


def _changed_defaults(init: ast.FunctionDef) -> dict[str | None, str]:
    """Defaults that a constructor gives its base as ``super().__init__(**(Keys(name=default) | kwargs))``."""
    unpacked = [keyword.value for call in _super_calls(init) for keyword in call.keywords if keyword.arg is None]
    calls = [inner for value in unpacked for inner in ast.walk(value) if isinstance(inner, ast.Call)]
    return {keyword.arg: ast.unparse(keyword.value) for call in calls for keyword in call.keywords}


def _super_calls(init: ast.FunctionDef) -> Iterator[ast.Call]:
    for call in ast.walk(init):
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "super().__init__":
            yield call


def _open(annotation: ast.expr | None, module: str, root: Path) -> set[str] | None:
    """Names that ``**kwargs: Unpack[…]`` accepts; None (any name) for another annotation."""
    if isinstance(annotation, ast.Subscript) and base_name(annotation, module, root) == "typing.Unpack":
        return _keys(base_name(annotation.slice, module, root), root)
    return None


def _keys(target: str, root: Path) -> set[str]:
    """Keys of a TypedDict and of those it inherits from."""
    if target == "typing.TypedDict":
        return set()
    module, node = find(target, root)
    assert isinstance(node, ast.ClassDef)  # noqa: S101 - Python itself would refuse to unpack a function
    return set(_fields(node)).union(*(_keys(base_name(base, module, root), root) for base in node.bases))


def _fields(node: ast.ClassDef) -> dict[str, Parameter]:
    found = {}
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            annotation, default = ast.unparse(item.annotation), ast.unparse(item.value) if item.value else ""
            if "ClassVar" in annotation or "init=False" in default:
                continue
            required = not default or (default.startswith("field(") and "default" not in default)
            found[item.target.id] = Parameter(item.target.id, required, annotation, default)
    return found


def _attributes(node: ast.ClassDef) -> dict[str, Any]:
    found = {}
    for item in node.body:
        target = item.targets[0] if isinstance(item, ast.Assign) else getattr(item, "target", None)
        value = getattr(item, "value", None)
        if isinstance(target, ast.Name) and isinstance(value, ast.expr):
            try:
                found[target.id] = ast.literal_eval(value)
            except ValueError:
                continue
    return found
