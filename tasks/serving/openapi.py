"""The interface of ``task=serve`` in the OpenAPI format."""

from typing import Any

_NUMBERS = {"type": "object", "additionalProperties": {"type": "number"}}
_ANSWER: dict[str, Any] = {
    "type": "object",
    "required": ["verdict", "score", "threshold", "votes"],
    "properties": {
        "verdict": {"type": "string", "enum": ["generated", "real", "unsure"]},
        "score": {"type": "number", "description": "mean P(generated) of the checkpoints"},
        "threshold": {"type": "number", "description": "mean of their thresholds"},
        "votes": {**_NUMBERS, "description": "P(generated) by checkpoint"},
        "deliveries": {**_NUMBERS, "description": "mean P(generated) after each delivery, if asked for"},
        "flips": {"type": "array", "items": {"type": "string"}, "description": "deliveries that change a verdict"},
        "calibrated": {**_NUMBERS, "description": "calibrated P(generated) by checkpoint that has a calibration"},
        "undecidable": {
            "type": "array",
            "items": {"type": "string"},
            "description": "checkpoints whose calibration finds the score undecidable",
        },
        "error": {"type": "string", "description": "checkpoints that could not score the image, and why"},
        "metadata": {"type": "object", "description": "format, size and other facts of the file's header"},
        "maps": {"type": "object", "description": "maps as data: addresses of PNGs, if asked for"},
    },
}
_STATUSES = {
    "400": "the body is incomplete",
    "401": "the token is missing or wrong",
    "403": "a page of another site sent the request",
    "413": "the body is too long",
    "422": "the body is not an image that can be scored; the reason is given",
    "500": "scoring failed; the server's log has the reason",
    "503": "too many images are waiting; Retry-After says when to try again",
    "504": "not scored in time",
}


def description(version: str, most: int, token: bool) -> dict[str, Any]:
    """The document for bodies of at most ``most`` bytes; ``token`` says whether requests must carry one."""
    error = {"type": "object", "properties": {"error": {"type": "string"}}}
    refusals = {
        status: {"description": text, "content": {"application/json": {"schema": error}}}
        for status, text in _STATUSES.items()
    }
    flag = {"in": "query", "schema": {"type": "boolean", "default": False}}
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "PixelProof", "version": version},
        "paths": {
            "/score": {
                "post": {
                    "summary": "Score one image",
                    "parameters": [
                        {**flag, "name": "deliveries", "description": "also score it after each delivery"},
                        {**flag, "name": "maps", "description": "also draw the detectors' maps"},
                    ],
                    "requestBody": {
                        "required": True,
                        "description": f"the bytes of an image file, at most {most:,}",
                        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
                    },
                    "responses": {
                        "200": {"description": "the answer", "content": {"application/json": {"schema": _ANSWER}}},
                        **refusals,
                    },
                }
            },
            "/models": {
                "get": {"summary": "Checkpoints and deliveries", "responses": {"200": {"description": "by name"}}}
            },
        },
    }
    if token:
        document["components"] = {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}}
        document["security"] = [{"token": []}]
    return document
