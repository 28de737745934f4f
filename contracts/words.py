"""Text for terminals: numbers with a noun, and names without control characters."""

import re

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Control characters, line breaks, and marks that reverse the direction of text."""


def counted(number: int, noun: str) -> str:
    """``1 image``, ``2 images``, ``12,000 images``; the plural is the noun with an s."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def printable(text: str, keep: str = "") -> str:
    r"""The text on one line, so that a name cannot move the cursor, hide itself or imitate another line.

    Args:
        text: contains names of files or other text from outside.
        keep: control characters of our own, such as the line breaks of a message.

    Returns:
        The text with each control character as ``\n``, ``\x1b`` and so on.
    """
    return _CONTROL.sub(lambda one: one[0] if one[0] in keep else ascii(one[0])[1:-1], text)
