"""Errors that keep their text though masked columns are in reach: it cannot hold a stored value.

Two kinds. PostgreSQL's sentences without any value, letter by letter. And what it says of the
statement's own text while reading it: only there does it report a position, and whatever code in
the database runs leaves its context (W) or its own query and position (q, p). So a position and
none of these means that names and literals are those of the client itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# What reading a text can find wrong with it: class 42, and literals that their type does not take.
_OF_TEXT: Final = frozenset({b"22003", b"22007", b"22008", b"22P02"})
_SYNTAX_CLASS: Final = b"42"
_OF_CODE: Final = frozenset({b"W", b"q", b"p"})
_KEPT: Final = (b"M", b"D", b"H")

_COMMANDS: Final = (
    "INSERT", "UPDATE", "DELETE", "MERGE", "TRUNCATE TABLE", "CREATE TABLE", "CREATE TABLE AS",
    "DROP TABLE", "ALTER TABLE", "CREATE INDEX", "DROP INDEX", "nextval()", "COPY FROM",
    "SELECT FOR UPDATE", "LOCK TABLE", "VACUUM", "REINDEX", "CREATE DATABASE", "DROP DATABASE",
)  # fmt: skip
_SENTENCES: Final[Mapping[bytes, frozenset[str]]] = {
    b"25001": frozenset({"there is already a transaction in progress"})
    | {f"{command} cannot run inside a transaction block" for command in _COMMANDS},
    b"25006": frozenset(
        f"cannot execute {command} in a read-only transaction" for command in _COMMANDS
    ),
    b"40001": frozenset(
        {
            "could not serialize access due to concurrent update",
            "could not serialize access due to concurrent delete",
            "could not serialize access due to read/write dependencies among transactions",
            "canceling statement due to conflict with recovery",
        }
    ),
    b"55P03": frozenset({"canceling statement due to lock timeout"}),
    b"57014": frozenset(
        {
            "canceling statement due to user request",
            "canceling statement due to statement timeout",
            "canceling statement due to transaction timeout",
        }
    ),
    b"57P04": frozenset({"database removed"}),
    b"25P04": frozenset({"terminating connection due to transaction timeout"}),
}


def kept(fields: Mapping[bytes, bytes]) -> tuple[bytes, ...]:
    """Return those of an error's fields that may pass: its message, and what goes with it.

    ``fields``: by their letters. Empty: nothing may.
    """
    sqlstate, message = fields.get(b"C", b""), fields.get(b"M", b"")
    if not message:
        return ()
    if message.decode("latin-1") in _SENTENCES.get(sqlstate, ()):
        return (b"M" + message,)
    if not fields.get(b"P", b"").isdigit() or not _OF_CODE.isdisjoint(fields):
        return ()
    if sqlstate[:2] != _SYNTAX_CLASS and sqlstate not in _OF_TEXT:
        return ()
    return tuple(letter + fields[letter] for letter in _KEPT if letter in fields)
