"""Runs the code of a notebook cell by cell, as Jupyter does, without Jupyter.

``python -P tests/notebook.py docs/first_steps.ipynb`` runs it in the current folder and stores its outputs.
"""

import ast
import contextlib
import io
import json
import re
import sys
import warnings
from pathlib import Path
from typing import Any

COLOUR = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
OVERWRITTEN = re.compile(r"^.*\r(?=[^\n])", re.MULTILINE)


def executed(notebook: dict[str, Any], names: dict[str, Any] | None = None) -> dict[str, Any]:
    """The notebook with the outputs of its code cells, which share one namespace that begins with ``names``."""
    scope = {"__name__": "__main__"} | (names or {})
    cells = []
    for number, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] == "code":
            count = sum(each["cell_type"] == "code" for each in notebook["cells"][: number + 1])
            cells.append(cell | {"execution_count": count, "outputs": _outputs("".join(cell["source"]), scope, count)})
        else:
            cells.append(cell)
    return notebook | {"cells": cells}


def _outputs(code: str, scope: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """What a cell prints, and the value of its last expression."""
    *body, last = ast.parse(code).body
    shown = isinstance(last, ast.Expr)
    printed, value = io.StringIO(), None
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed), warnings.catch_warnings():
        exec(compile(ast.Module(body if shown else [*body, last], []), "cell", "exec"), scope)  # noqa: S102 - ours
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), "cell", "eval"), scope)  # noqa: S307
    outputs: list[dict[str, Any]] = []
    if text := OVERWRITTEN.sub("", COLOUR.sub("", printed.getvalue())):
        outputs.append({"name": "stdout", "output_type": "stream", "text": text.splitlines(keepends=True)})
    if value is not None:
        data = {"text/plain": repr(value).splitlines(keepends=True)}
        if hasattr(value, "_repr_html_"):
            data["text/html"] = value._repr_html_().splitlines(keepends=True)
        outputs.append({"data": data, "execution_count": count, "metadata": {}, "output_type": "execute_result"})
    return outputs


def main(file: Path) -> None:
    done = executed(json.loads(file.read_text()))
    file.write_text(json.dumps(done, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
