"""Our source files as syntax trees: where a dotted name is defined, and what a module imports."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from conf.keys.targets import is_own
from contracts.errors import ConfigError, nearest

ROOT = Path(__file__).resolve().parents[2]  # The folder that contains our packages

Definition = ast.ClassDef | ast.FunctionDef


@cache
def source(file: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


def first_line(node: ast.Module | Definition) -> str:
    """First line of a docstring."""
    return (ast.get_docstring(node) or "").partition("\n")[0]


def module_file(module: str, root: Path = ROOT) -> Path | None:
    """The source file of a module of ours."""
    path = root.joinpath(*module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def find(target: str, root: Path) -> tuple[str, Definition]:
    """The module a target is defined in, and its definition; imports between our modules are followed."""
    module, _, name = target.rpartition(".")
    file = module_file(module, root)
    if file is None:
        raise ConfigError(f"{target!r}: module {module!r} does not exist", nearest(module, _modules(target, root)))
    definitions = {node.name: node for node in _statements(source(file)) if isinstance(node, Definition)}
    if name in definitions:
        return module, definitions[name]
    origin = imports(module, root).get(name)
    if origin is not None and (is_own(origin) or not is_own(target)):
        return find(origin, root)
    if origin is not None:
        raise ConfigError(f"{target!r} is defined outside PixelProof: it is {origin}", nearest(name, definitions))
    raise ConfigError(f"{module} has no class or function {name!r}", nearest(name, definitions))


def _modules(target: str, root: Path) -> Iterator[str]:
    """Dotted names of all modules of the package a target begins with."""
    for file in (root / target.partition(".")[0]).rglob("*.py"):
        parts = file.relative_to(root).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _statements(node: ast.AST) -> Iterator[ast.stmt]:
    """Statements at module level, including those inside if and try."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            yield child
        if isinstance(child, ast.If | ast.Try | ast.ExceptHandler):
            yield from _statements(child)


def imports(module: str, root: Path) -> dict[str, str]:
    """Names a module imports, with their full dotted names."""
    file = module_file(module, root)
    assert file is not None  # noqa: S101 - the module's definitions have been read already
    package = module.split(".") if file.name == "__init__.py" else module.split(".")[:-1]
    found: dict[str, str] = {}
    for node in _statements(source(file)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                found[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*start, *([node.module] if node.module else [])])
            found |= {alias.asname or alias.name: f"{origin}.{alias.name}" for alias in node.names}
    return found
