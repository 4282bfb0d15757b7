"""SQL for people: highlighted, laid out where that is safe, parameters in words."""

from __future__ import annotations

import struct
from collections import OrderedDict
from typing import Any

from flask import current_app
from flask.sansio.blueprints import BlueprintSetupState
from markupsafe import Markup, escape
from pygments.lexers.sql import PostgresLexer
from pygments.token import Comment, Keyword, Literal, Name, Number, Operator, String, _TokenType

from appliance.sql.format import MAX_CHARACTERS, format_sql
from appliance.sql.parser import Parser
from appliance.sql.planner import Planner
from web.services import off_loop

EXTENSION = "gatepost_sql"
MOST_HIGHLIGHTED = 40_000
_REMEMBERED = 200  # texts, of up to 20,000 characters each
_NUMBERS = {
    16: ("bool", "!?"),
    20: ("int8", "!q"),
    21: ("int2", "!h"),
    23: ("int4", "!i"),
    700: ("float4", "!f"),
    701: ("float8", "!d"),
}
_TEXTS = frozenset({18, 19, 25, 114, 142, 1042, 1043})  # char, name, text, json, xml, varchar
_CLASSES: tuple[tuple[_TokenType, str], ...] = (
    (Comment, "co"),
    (Keyword, "kw"),
    (Name.Builtin, "ty"),
    (String.Name, "id"),
    (String, "st"),
    (Number, "nu"),
    (Literal, "st"),
    (Operator.Word, "kw"),
)


class Sql:
    """Reads SQL of clients. Hostile text is parsed in a process of its own (the planner)."""

    def __init__(self) -> None:
        self.planner = Planner()
        self.parser = Parser(self.planner)
        self._laid_out: OrderedDict[str, str] = OrderedDict()

    def laid_out(self, text: str) -> str:
        """Return a statement over several lines, or as it came.

        Remembered: a text made to be slow costs its seconds once, not at each look at a page.
        """
        if len(text) > MAX_CHARACTERS:
            return text
        known = self._laid_out.get(text)
        if known is None:
            known = self._laid_out[text] = format_sql(text, self.planner)
            while len(self._laid_out) > _REMEMBERED:
                self._laid_out.popitem(last=False)
        return known


def install(state: BlueprintSetupState) -> None:
    """Give the application its reader when a blueprint that needs it is registered."""
    state.app.extensions.setdefault(EXTENSION, Sql())
    state.app.jinja_env.filters["parameter"] = parameter


def sql() -> Sql:
    """Return the reader of the application that answers this request."""
    found: Sql = current_app.extensions[EXTENSION]
    return found


def highlighted(text: str) -> Markup:
    """Return SQL as HTML with classes; what is very long stays plain."""
    if len(text) > MOST_HIGHLIGHTED:
        return escape(text)
    return off_loop(lambda: _highlight(text))


def parameter(value: Any) -> str:
    """Return a recorded parameter as people read it (see appliance/recording/parameters.py)."""
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return f"'{value}'"
    if value.get("redacted"):
        return "not recorded: it may be a secret"
    if (known := _number(value)) is not None:
        return known
    if "hex" in value:
        return _binary(value)
    return f"'{value['text']}'… (the beginning of {value['length']:,} bytes)"


def _binary(value: Any) -> str:
    """Return a binary value as text where it is one, else as hex with the text it may be."""
    begins = f"… (the beginning of {value['length']:,} bytes)" if "length" in value else ""
    try:
        text = bytes.fromhex(value["hex"]).decode()
    except UnicodeDecodeError:
        text = ""
    if text and value["oid"] in _TEXTS:
        return f"'{text}'{begins}"
    shown = f"\\x{value['hex']}{begins} (binary, type {value['oid']})"
    return f"{shown}, as text '{text}'" if text.isprintable() and text else shown


def _number(value: Any) -> str | None:
    """Return a binary number as a number, by its type's OID; None for every other value."""
    name, form = _NUMBERS.get(value.get("oid", 0), ("", "?"))
    data = bytes.fromhex(value.get("hex", ""))
    if not name or len(data) != struct.calcsize(form):
        return None
    return f"{struct.unpack(form, data)[0]} ({name})"


def _highlight(text: str) -> Markup:
    lexer = PostgresLexer(stripnl=False, ensurenl=False)
    parts = []
    for token, piece in lexer.get_tokens(text):
        name = next((name for kind, name in _CLASSES if token[: len(kind)] == kind), "")
        made = escape(piece)
        parts.append(Markup('<span class="{}">{}</span>').format(name, made) if name else made)
    return Markup("").join(parts)
