"""The Content Security Policy of pages that are one file."""

import base64
import hashlib
from collections.abc import Iterable

from markupsafe import Markup


def policy(styles: Iterable[str], scripts: Iterable[str] = (), *, attributes: bool = False) -> Markup:
    """A policy under which a page loads nothing, and applies only the given style and script elements.

    Args:
        styles: exact texts of the style elements.
        scripts: texts of the script elements.
        attributes: whether elements may have ``style`` attributes, as lengths of bars do.
    """
    parts = ["default-src 'none'", "img-src 'self' data:", "base-uri 'none'", "form-action 'none'"]
    parts.append(f"style-src {_sources(styles)}")
    if attributes:
        parts.append("style-src-attr 'unsafe-inline'")
    # only fixed words and hashes, so it may be put into an attribute without escaping
    return Markup("; ".join([*parts, f"script-src {_sources(scripts)}"]))  # noqa: S704


def _sources(texts: Iterable[str]) -> str:
    digests = (hashlib.sha256(text.encode()).digest() for text in texts)
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests) or "'none'"
