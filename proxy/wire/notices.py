"""ErrorResponse and NoticeResponse: ordered fields, made, read and rewritten."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from proxy.wire import codes
from proxy.wire.framing import Buffer, frame
from proxy.wire.reader import Reader

# What a rewritten error keeps as the server sent it: the severity, which is FATAL under
# exit_on_error. Everything else could carry the poison or a value (8-wire-facts.md A and G).
_KEPT = (b"S", b"V")

Field = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class _Fields:
    """``fields``: (type letter, value) in the order sent. Letters: PostgreSQL's error fields."""

    fields: tuple[Field, ...]

    def get(self, letter: str) -> str:
        """Return a field's text, "" where there is none."""
        wanted = letter.encode()
        found = (value for kind, value in self.fields if kind == wanted)
        return next(found, b"").decode("utf-8", "replace")

    @property
    def severity(self) -> str:
        """Return ERROR, FATAL, PANIC, NOTICE …, never a translation."""
        return self.get("V") or self.get("S")

    @property
    def sqlstate(self) -> str:
        return self.get("C")

    @property
    def message(self) -> str:
        return self.get("M")

    @property
    def detail(self) -> str:
        return self.get("D")

    @property
    def hint(self) -> str:
        return self.get("H")


@dataclass(frozen=True, slots=True)
class ErrorResponse(_Fields):
    kind: ClassVar[int] = codes.ERROR_RESPONSE

    def encode(self) -> bytes:
        return frame(self.kind, _body(self.fields))


@dataclass(frozen=True, slots=True)
class NoticeResponse(_Fields):
    kind: ClassVar[int] = codes.NOTICE_RESPONSE

    def encode(self) -> bytes:
        return frame(self.kind, _body(self.fields))


def parse_error_response(body: Buffer) -> ErrorResponse:
    return ErrorResponse(_parse(body, "ErrorResponse"))


def parse_notice_response(body: Buffer) -> NoticeResponse:
    return NoticeResponse(_parse(body, "NoticeResponse"))


def error_response(
    severity: str,
    sqlstate: str,
    message: str,
    detail: str = "",
    hint: str = "",
    position: int | None = None,
    *,
    fatal: bool = False,
) -> bytes:
    """Return a whole ErrorResponse. ``fatal`` makes it end the connection whatever the severity.

    ``position``: where in the statement, in characters, from 1.
    """
    severity = "FATAL" if fatal else severity
    return _message(codes.ERROR_RESPONSE, severity, sqlstate, message, detail, hint, position)


def notice_response(
    message: str,
    detail: str = "",
    hint: str = "",
    severity: str = "NOTICE",
    sqlstate: str = "00000",
) -> bytes:
    """Return a whole NoticeResponse."""
    return _message(codes.NOTICE_RESPONSE, severity, sqlstate, message, detail, hint, None)


def rewrite_error(
    body: Buffer, sqlstate: str, message: str, hint: str = "", detail: str = ""
) -> bytes:
    """Return the whole ErrorResponse that the client gets in place of the one with ``body``.

    Severity stays as sent; code, message, detail and hint are ours; all else is dropped.
    """
    kept = tuple(field for field in _parse(body, "ErrorResponse") if field[0] in _KEPT)
    own = _fields((("C", sqlstate), ("M", message), ("D", detail), ("H", hint)))
    return frame(codes.ERROR_RESPONSE, _body(kept + own))


def _message(
    kind: int,
    severity: str,
    sqlstate: str,
    message: str,
    detail: str,
    hint: str,
    position: int | None,
) -> bytes:
    texts = (
        ("S", severity),
        ("V", severity),
        ("C", sqlstate),
        ("M", message),
        ("D", detail),
        ("H", hint),
        ("P", "" if position is None else str(position)),
    )
    return frame(kind, _body(_fields(texts)))


def _fields(texts: tuple[tuple[str, str], ...]) -> tuple[Field, ...]:
    """Return the fields that have a text; a NUL inside would end the field early."""
    return tuple(
        (letter.encode(), text.replace("\0", " ").encode("utf-8", "replace"))
        for letter, text in texts
        if text
    )


def _body(fields: tuple[Field, ...]) -> bytes:
    return b"".join(letter + value + b"\0" for letter, value in fields) + b"\0"


def _parse(body: Buffer, message: str) -> tuple[Field, ...]:
    reader = Reader(body, "upstream", message)
    fields: list[Field] = []
    while text := reader.cstring():
        fields.append((text[:1], text[1:]))
    reader.done()
    return tuple(fields)
