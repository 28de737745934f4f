"""Reads what a review page carries."""

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

import numpy as np


def payload(page: Path) -> dict[str, Any]:
    """The page's data, with its columns where it refers to them."""
    text = page.read_text()
    data, columns = (re.search(rf'id="{name}">(.*?)</script>', text, re.DOTALL)[1] for name in ("data", "columns"))
    content = gzip.decompress(base64.b64decode(columns))

    def unpacked(value: Any) -> Any:
        if isinstance(value, list):
            return [unpacked(v) for v in value]
        if not isinstance(value, dict):
            return value
        if value.keys() != {"kind", "at", "size"}:
            return {name: unpacked(v) for name, v in value.items()}
        part = content[value["at"] : value["at"] + value["size"]]
        return json.loads(part) if value["kind"] == "json" else np.frombuffer(part, f"<{value['kind']}")

    return unpacked(json.loads(data))
