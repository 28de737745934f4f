"""The tasks, and the parts of the configuration that each one uses, read from their source."""

import ast
import re
from pathlib import Path

from conf.keys.schema import root_keys
from conf.keys.syntax import ROOT, first_line, module_file, source

REQUIRED = {
    "predict": ("ckpt",),
    "export": ("ckpt",),
    "review": ("review.inputs", "review.people", "experiment_id"),
    "threshold": ("threshold.input", "experiment_id"),
    "serve": ("ckpt",),
    "calibrate": ("calibrate.input",),
    "compare": ("compare.inputs",),
    "combine": ("combine.inputs",),
    "convert": ("convert.inputs",),
    "sweep": ("sweep.file",),
}
"""Keys of which a task requires one, besides those of its parts."""

BUILDERS = {name: name for name, field in root_keys().items() if field.metadata.get("group")} | {"loggers": "logger"}
"""Methods of `tasks.experiment.run.Run` that build a group."""


def verbs(root: Path = ROOT) -> dict[str, str]:
    """Tasks with the first line of their docstring: files in ``tasks/`` whose function of the same name takes a run."""
    files = sorted((root / "tasks").glob("*.py"))
    return {file.stem: first_line(node) for file in files if (node := _function(file)) is not None}


def is_verb(task: str, root: Path = ROOT) -> bool:
    """Whether a task exists; files of other tasks are not read."""
    file = root / "tasks" / f"{task}.py"
    return task.isidentifier() and file.is_file() and _function(file) is not None


def verb_text(task: str, root: Path = ROOT) -> str:
    """The docstring of a task's function, without its sections."""
    node = _function(root / "tasks" / f"{task}.py")
    docstring = (ast.get_docstring(node) or "") if node is not None else ""
    return re.split(r"^(?:Args|Returns|Raises):", docstring, flags=re.MULTILINE)[0].strip()


def groups_used(task: str, root: Path = ROOT) -> list[str]:
    """Groups that a task builds by methods of ``run``, itself or in a module of ``tasks/`` that it imports."""
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
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "run":
                used.add(BUILDERS.get(node.attr, ""))
    return [name for name in root_keys() if name in used]


def _function(file: Path) -> ast.FunctionDef | None:
    """A task's function: the one with the file's name, which takes a run."""
    for node in source(file).body:
        if isinstance(node, ast.FunctionDef) and node.name == file.stem:
            return node if [argument.arg for argument in node.args.args] == ["run"] else None
    return None
