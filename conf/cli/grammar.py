"""One word of the command line by Hydra's grammar, its numbers and truth values marked as they were typed."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import OverrideParseException
from hydra.grammar.gen.OverrideLexer import OverrideLexer

# with the runtime of the grammar, which Hydra 1.4 contains and 1.3 imports from antlr4
from hydra.grammar.gen.OverrideParser import (  # type: ignore[attr-defined]
    CommonTokenStream,
    InputStream,
    OverrideParser,
    ParserRuleContext,
)

from conf.keys.written import mark, text_of, typed_characters

_CANDIDATE = re.compile(r"\d|true|false|inf|nan", re.IGNORECASE)

_KEEPING = ("choice", "shuffle", "tag", "str")
"""Functions of Hydra's grammar that return their arguments; the others compute with numbers."""


@cache
def _parser() -> OverridesParser:
    return OverridesParser.create()


@cache
def parse_word(word: str) -> Override:
    """One word, with marks (`conf.keys.written`) in its values and in ``input_line``.

    Raises:
        OverrideParseException: it is not ``key=value``.
    """
    (parsed,) = _parser().parse_overrides([word])
    marked = _marked(word)
    return parsed if marked == word else _parser().parse_overrides([marked])[0]


def typed_value(override: Override) -> Any:
    """The value of a word with scalars as the characters that were typed; null is None."""
    value = typed_characters(override.value())
    return text_of(value) if isinstance(value, bool | int | float) else value


def quoted(text: str) -> str:
    """A text as Hydra's grammar reads it back, character by character."""
    return QuotedString(text, Quote.single).with_quotes()


def as_word(text: str) -> str:
    """A text as it can be typed after ``key=``: unchanged, or quoted where Hydra would read something else.

    A null, an interpolation, a list and a mapping are left unchanged.
    """
    try:
        override = parse_word(f"key={text}")
    except OverrideParseException:
        return quoted(text)
    if "${" in text:
        return text
    if override.is_sweep_override():
        return quoted(text)
    value = typed_value(override)
    return text if value == text or value is None or isinstance(value, list | dict) else quoted(text)


def _marked(word: str) -> str:
    if not _CANDIDATE.search(word.partition("=")[2]):
        return word
    stream = CommonTokenStream(OverrideLexer(InputStream(word)))
    replaced = word
    tree: Any = OverrideParser(stream).override()  # type: ignore[no-untyped-call]
    for start, stop, text in reversed(list(_scalars(tree))):
        value = _value(text)
        if isinstance(value, bool) or text_of(value) != text:
            replaced = replaced[:start] + mark(text, value) + replaced[stop:]
    return replaced


def _scalars(node: Any) -> Iterator[tuple[int, int, str]]:
    """Places of the scalars that are numbers or truth values, from left to right."""
    if isinstance(node, OverrideParser.FunctionContext) and node.getChild(0).getText() not in _KEEPING:
        return
    if isinstance(node, OverrideParser.PrimitiveContext | OverrideParser.DictKeyContext):
        tokens = [child.symbol for child in node.getChildren() if child.symbol.type != OverrideLexer.WS]
        if [token.type in (OverrideLexer.INT, OverrideLexer.FLOAT, OverrideLexer.BOOL) for token in tokens] == [True]:
            yield tokens[0].start, tokens[0].stop + 1, tokens[0].text
        return
    if isinstance(node, ParserRuleContext):
        for child in node.getChildren():
            yield from _scalars(child)


def _value(text: str) -> bool | int | float:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return int(text)
    except ValueError:
        return float(text)
