"""What ``--help`` prints."""

from pathlib import Path


def help_text(folder: Path) -> str:
    """Tasks, groups and options."""
    return ""
