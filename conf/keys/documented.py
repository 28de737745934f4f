"""Docstrings of classes and of their arguments as plain text; nothing is imported."""

import ast
import re

from conf.keys.signatures import base_name
from conf.keys.syntax import ROOT, find
from conf.keys.targets import is_own
from contracts.errors import ConfigError

_ENTRY = re.compile(r"^    (\*{0,2}\w+): (.*)$")


def clean(text: str) -> str:
    """A docstring's text without markup, on one line."""
    text = re.sub(r":\w+:`~?([^`]+)`", r"\1", text)
    text = re.sub(r"``(.+?)``", r"\1", text)
    return " ".join(re.sub(r"`([^`]+)`", r"\1", text).split())


def class_text(target: str) -> str:
    """The first paragraph of a class or function of ours; "" for others."""
    _, text = _documented(target)
    return clean(text.partition("\n\n")[0])


def argument_texts(target: str) -> dict[str, str]:
    """The docstring's text for each argument, or that of a base class to which the docstring refers."""
    bases, text = _documented(target)
    found = _entries(text)
    for base in bases:
        for name, text in argument_texts(base).items():
            if name not in found or found[name].startswith("as "):
                found[name] = text
    return found


def _entries(docstring: str) -> dict[str, str]:
    section = re.search(r"^(?:Args|Attributes):\n((?:    .*\n?|\n)+)", docstring, re.MULTILINE)
    found: dict[str, str] = {}
    name = ""
    for line in section[1].splitlines() if section else []:
        entry = _ENTRY.match(line)
        if entry:
            name, text = entry[1], entry[2]
            found[name] = text
        elif name and line.strip():
            found[name] += f" {line.strip()}"
    return {name: clean(text) for name, text in found.items()}


def _documented(target: str) -> tuple[list[str], str]:
    """Dotted names of the base classes of a class of ours, and its docstring; both empty for other classes."""
    try:
        module, node = find(target, ROOT) if is_own(target) else ("", None)
    except ConfigError:
        return [], ""
    bases = node.bases if isinstance(node, ast.ClassDef) else []
    return [base_name(base, module, ROOT) for base in bases], (node and ast.get_docstring(node)) or ""
