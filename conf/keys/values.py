"""Whether a plain value from YAML fits an annotation, and how an ambiguous scalar is read."""

import ast
from typing import Any

from conf.keys.written import Written, text_of

PLAIN: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "bool": (bool,),
    "Path": (str,),
    "list": (list,),
    "tuple": (list,),
    "Sequence": (list,),
    "dict": (dict,),
    "Mapping": (dict,),
    "Tensor": (),
}

NUMBERS = frozenset({"int", "float", "bool"})

TEXTS = frozenset({"str", "Path", "PathLike", "StrPath", "_PATH"})
"""Types that hold text; the last is what Lightning calls its paths."""


def fits(value: Any, annotation: str) -> bool:
    """Whether a plain value fits an annotation as written; annotations that are not plain types accept every value.

    So ``"False"`` (text, and true in Python) is not accepted as a bool, nor 0.5 for an int.
    """
    if not annotation:
        return True
    return any(_fits_one(value, part) for part in alternatives(ast.parse(annotation, mode="eval").body))


def described(annotation: str) -> str:
    """An annotation as an error shows it: ``int or null`` for ``Optional[int]``."""
    parts = [ast.unparse(part) for part in alternatives(ast.parse(annotation, mode="eval").body)]
    return " or ".join("null" if part == "None" else part for part in parts)


def typed_scalar(value: Any, annotation: ast.expr | None) -> Any:
    """A scalar, read as the annotation of its key says.

    If the annotation accepts numbers or truth values, it is one; otherwise, if it accepts text, it is the typed text.

    Args:
        value: from a configuration; `Written` if it is ambiguous.
        annotation: of the key; None if unknown, so that the value is read as the grammar reads it.
    """
    text, plain = (value.text, value.value) if isinstance(value, Written) else (None, value)
    if not isinstance(plain, bool | int | float):
        return value
    typed = text_of(plain) if text is None else text
    parts = alternatives(annotation)
    literals = [each for part in parts if name_of(part) == "Literal" for each in _literals(part)]
    if typed in literals or plain in literals:
        return typed if typed in literals else plain
    taken = {name_of(part) for part in parts}
    if any(isinstance(plain, PLAIN[name]) for name in taken & NUMBERS if isinstance(plain, bool) == (name == "bool")):
        return plain
    return typed if taken & TEXTS else plain


def alternatives(node: ast.expr | None) -> list[ast.expr]:
    """Members of a union, however it is written."""
    if node is None:
        return []
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return [*alternatives(node.left), *alternatives(node.right)]
    if isinstance(node, ast.Subscript) and name_of(node) in ("Optional", "Union", "Annotated"):
        optional: list[ast.expr] = [ast.Constant(None)] if name_of(node) == "Optional" else []
        return [part for each in arguments(node) for part in alternatives(each)] + optional
    return [node]


def arguments(node: ast.Subscript) -> list[ast.expr]:
    """The arguments between an annotation's brackets."""
    return list(node.slice.elts) if isinstance(node.slice, ast.Tuple) else [node.slice]


def name_of(node: ast.expr) -> str:
    """An annotation's name, without its module and its brackets."""
    return ast.unparse(node.value if isinstance(node, ast.Subscript) else node).rpartition(".")[2]


def _fits_one(value: Any, node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return node.value is not None or value is None
    name = name_of(node)
    if name == "Literal":
        return value in _literals(node)
    if name not in PLAIN:
        return True
    if isinstance(value, bool):
        return name == "bool"
    return isinstance(value, PLAIN[name])


def _literals(node: ast.expr) -> list[Any]:
    return [ast.literal_eval(each) for each in arguments(node)] if isinstance(node, ast.Subscript) else []
