"""From a parse tree to ``Parsed``: one walk per statement."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from appliance.sql.facts import WHOLE_TEXT, Effect, EffectClass
from appliance.sql.fingerprint import of_text
from appliance.sql.parsed import Parsed, ParsedStatement
from appliance.sql.statements import CALM_TAGS, HANDLERS, QUERY_TAGS, STATEMENTS
from appliance.sql.walker import Texts, Walk

Fingerprint = Callable[[str, dict[str, Any], bytes], int]  # tag, tree, text


def extract(
    tree: bytes,
    text: bytes,
    texts: Texts,
    fingerprint: Fingerprint,
    doubtful: bool,
    variables: frozenset[str] | None = None,
) -> Parsed:
    """Return what the statements of a text say. ``tree``: what ``PgQuery.parse`` gave for it.

    ``variables``: not None for a body: what in it may be a variable or a parameter.

    ``doubtful``: some of its literals have another value when standard_conforming_strings is off.

    Raises:
        ValueError: the tree nests deeper than can be decoded.
    """
    found = orjson.loads(tree)["stmts"] if b'"stmts"' in tree else []
    statements, sensitive = [], False
    places = _places(found, text)
    for raw, (start, end, piece) in zip(found, places, strict=True):
        statement, is_sensitive = _one(
            raw["stmt"], start, end, piece, texts, fingerprint, 0, doubtful, variables
        )
        statements.append(statement)
        sensitive = sensitive or is_sensitive
    return Parsed(tuple(statements), "", sensitive or len(statements) != 1, len(text))


def extract_inner(
    tree: bytes,
    texts: Texts,
    fingerprint: Fingerprint,
    depth: int,
    doubtful: bool,
    variables: frozenset[str] | None = None,
) -> list[ParsedStatement]:
    """Return the statements of a text that stood in a literal of another statement.

    Raises:
        ValueError: as of ``extract``.
    """
    found = orjson.loads(tree).get("stmts", [])
    return [
        _one(raw["stmt"], 0, 0, b"", texts, fingerprint, depth, doubtful, variables)[0]
        for raw in found
    ]


def _one(
    wrapper: dict[str, Any],
    start: int,
    end: int,
    piece: bytes,
    texts: Texts,
    fingerprint: Fingerprint,
    depth: int,
    doubtful: bool,
    variables: frozenset[str] | None,
) -> tuple[ParsedStatement, bool]:
    ((tag, node),) = wrapper.items()
    known = STATEMENTS.get(tag)
    value = fingerprint(tag, node, piece) if piece else 0
    if known is None:
        reason = f"statements of the kind {tag} are not known here"
        code = (of_text(piece.decode("utf-8", "replace")),)
        return unknown_statement(reason, tag, start, end, value, code), True
    cls, handler = known
    walk = Walk(HANDLERS, texts, depth, doubtful, variables)
    walk.changes_state = tag not in CALM_TAGS
    walk.literal_sensitive = tag not in QUERY_TAGS
    walk.selects = tag == "SelectStmt"
    base = walk.level(None, cls, reads=cls, tracks=False)
    handler(walk, node, base)
    walk.run()
    return walk.statement(tag, cls, start, end, value), walk.literal_sensitive


def unknown_statement(
    reason: str,
    tag: str = "",
    start: int = 0,
    end: int = WHOLE_TEXT,
    fingerprint: int = 0,
    code: tuple[str, ...] = (),
) -> ParsedStatement:
    """Return the statement of which nothing is known but why."""
    return ParsedStatement(
        kind=tag,
        start=start,
        end=end,
        fingerprint=fingerprint,
        effects=(Effect(EffectClass.UNKNOWN),),
        unknown=reason,
        changes_state=True,
        code=code,
    )


def _places(found: list[dict[str, Any]], text: bytes) -> list[tuple[int, int, bytes]]:
    """Return (start, end, bytes) of each statement; start and end in characters."""
    if len(found) == 1:
        return [(0, WHOLE_TEXT, text)]
    places = []
    at = characters = 0
    for raw in found:
        start = raw.get("stmt_location", 0)
        length = raw.get("stmt_len", 0)
        piece = text[start : start + length] if length else text[start:]
        stripped = piece.lstrip()
        start += len(piece) - len(stripped)
        characters += len(text[at:start].decode("utf-8", "replace"))
        size = len(stripped.decode("utf-8", "replace"))
        places.append((characters, characters + size, stripped))
        at = start + len(stripped)
        characters += size
    return places
