"""How COPY … TO STDOUT writes rows, read from the statement's options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from appliance.sql.walker import Node, strings

_TRUE = frozenset({"true", "on", "1"})
_FALSE = frozenset({"false", "off", "0"})
_PLAIN = {"null", "delimiter", "quote", "escape", "encoding"}


@dataclass(frozen=True, slots=True)
class CopyOptions:
    """The options in force, the server's defaults filled in.

    ``format``: text | csv | binary. ``quote`` and ``escape``: "" unless csv. ``encoding``: "" =
    the session's. ``force_quote``: columns whose values are always quoted, ("*",) = all.
    """

    format: str = "text"
    delimiter: str = "\t"
    null: str = "\\N"
    quote: str = ""
    escape: str = ""
    header: bool = False
    encoding: str = ""
    force_quote: tuple[str, ...] = ()


def copy_options(options: list[Node]) -> CopyOptions | None:
    """Return what the options of a COPY say; None: something in them is not understood."""
    given: dict[str, str] = {}
    header = False
    forced: tuple[str, ...] = ()
    for option in options:
        body = option["DefElem"]
        name, arg = str(body.get("defname", "")), body.get("arg")
        if name in given:
            return None
        if name == "force_quote":
            given[name] = ""
            forced = _columns(arg or {})
            continue
        text = "true" if arg is None else _text(arg)
        if text is None or (arg is None and name != "header"):
            return None
        given[name] = text
        if name == "header":
            if text.lower() not in _TRUE | _FALSE:
                return None
            header = text.lower() in _TRUE
        elif name not in _PLAIN and name != "format":
            return None
    form = given.get("format", "text")
    if form not in ("text", "csv", "binary"):
        return None
    csv = form == "csv"
    quote = given.get("quote", '"') if csv else ""
    return CopyOptions(
        form,
        given.get("delimiter", "," if csv else "\t"),
        given.get("null", "" if csv else "\\N"),
        quote,
        given.get("escape", quote) if csv else "",
        header,
        given.get("encoding", ""),
        forced,
    )


def _columns(arg: Node) -> tuple[str, ...]:
    return ("*",) if "A_Star" in arg else tuple(strings(arg.get("List", {}).get("items")))


def _text(arg: Any) -> str | None:
    """Return a value as the server reads it where a text is wanted."""
    if "String" in arg:
        return str(arg["String"].get("sval", ""))
    if "Boolean" in arg:
        return "true" if arg["Boolean"].get("boolval", False) else "false"
    if "Integer" in arg:
        return str(arg["Integer"].get("ival", 0))
    if "Float" in arg:
        return str(arg["Float"].get("fval", ""))
    return None
