"""Whether a value from YAML fits an annotation, as far as plain values go."""

import ast
from typing import Any

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


def fits(value: Any, annotation: str) -> bool:
    """Whether a plain value can be meant by an annotation as written; names that are not plain types fit all.

    So ``"False"`` (text, and true in Python) does not pass for a bool, nor 0.5 for an int.
    """
    if not annotation:
        return True
    return any(_fits_one(value, part) for part in _parts(ast.parse(annotation, mode="eval").body))


def described(annotation: str) -> str:
    """An annotation as an error shows it: ``int or null`` for ``Optional[int]``."""
    parts = [ast.unparse(part) for part in _parts(ast.parse(annotation, mode="eval").body)]
    return " or ".join("null" if part == "None" else part for part in parts)


def _parts(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return [*_parts(node.left), *_parts(node.right)]
    if isinstance(node, ast.Subscript) and ast.unparse(node.value).rpartition(".")[2] in ("Optional", "Union"):
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        optional = [ast.Constant(None)] if ast.unparse(node.value).endswith("Optional") else []
        return [part for one in inner for part in _parts(one)] + optional
    return [node]


def _fits_one(value: Any, node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return node.value is not None or value is None
    name = ast.unparse(node.value if isinstance(node, ast.Subscript) else node).rpartition(".")[2]
    if name == "Literal" and isinstance(node, ast.Subscript):
        return value in _literals(node.slice)
    if name not in PLAIN:
        return True
    if isinstance(value, bool):
        return name == "bool"
    return isinstance(value, PLAIN[name])


def _literals(node: ast.expr) -> list[Any]:
    listed = ast.literal_eval(node)
    return list(listed) if isinstance(listed, tuple) else [listed]
