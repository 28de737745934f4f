"""The tasks, and the parts of the configuration that each one uses, read from their source."""

import ast
import re
from pathlib import Path

from conf.keys.schema import root_keys
from conf.keys.syntax import ROOT, first_line, module_file, source

REQUIRED = {
    "predict": ("ckpt",),
    "export": ("ckpt",),
    "review": ("review.inputs",),
    "threshold": ("threshold.input",),
    "calibrate": ("calibrate.input",),
}
"""Keys that a task requires, besides those of its parts."""

BUILDERS = {name: name for name, field in root_keys().items() if field.metadata.get("group")} | {"loggers": "logger"}
"""Methods of `tasks.experiment.run.Run` that build a group."""


def verbs(root: Path = ROOT) -> dict[str, str]:
    """Tasks with the first line of their docstring: files of ``tasks/`` whose function of the same name takes a run."""
    found = {}
    for file in sorted((root / "tasks").glob("*.py")):
        for node in source(file).body:
            if isinstance(node, ast.FunctionDef) and node.name == file.stem and _takes_run(node):
                found[file.stem] = first_line(node)
    return found


def verb_text(task: str, root: Path = ROOT) -> str:
    """The docstring of a task's function, without its sections."""
    for node in source(root / "tasks" / f"{task}.py").body:
        if isinstance(node, ast.FunctionDef) and node.name == task:
            return re.split(r"^(?:Args|Returns|Raises):", ast.get_docstring(node) or "", flags=re.MULTILINE)[0].strip()
    return ""


def groups_used(task: str, root: Path = ROOT) -> list[str]:
    """Groups a task builds: those it, or a module of ``tasks/`` it imports, asks of ``run``."""
    used: set[str] = set()
    seen: set[str] = {"tasks.experiment.run"}
    waiting = [f"tasks.{task}"]
    while waiting:
        module = waiting.pop()
        file = module_file(module, root)
        if module in seen or file is None:
            continue
        seen.add(module)
        for node in ast.walk(source(file)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tasks."):
                waiting.append(str(node.module))
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "run" and node.attr in BUILDERS:
                used.add(BUILDERS[node.attr])
    return [name for name in root_keys() if name in used]


def _takes_run(function: ast.FunctionDef) -> bool:
    return [argument.arg for argument in function.args.args] == ["run"]
