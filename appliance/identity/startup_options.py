"""The ``options`` of a start-up packet, split exactly as the server splits them.

Source: ``pg_split_opts``, ``process_postgres_switches``, ``ParseLongOption`` of PostgreSQL 15-18.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

# What isspace() accepts in the C locale.
_SPACE = frozenset(" \t\n\v\f\r")
# The server's getopt string; a letter in _WITH_VALUE takes the rest of its word or the next word.
_WITH_VALUE = frozenset("BCcDdfhkNprStvW-")
_ALONE = frozenset("bEeFijlnOPsT")
# Letters that are short for a parameter. The others are for the server's own use, and fail there.
_LETTERS = {
    "B": "shared_buffers",
    "F": "fsync",
    "N": "max_connections",
    "O": "allow_system_table_mods",
    "P": "ignore_system_indexes",
    "S": "work_mem",
    "W": "post_auth_delay",
    "d": "log_min_messages",
    "e": "datestyle",
    "f": "plan_methods",
    "h": "listen_addresses",
    "i": "listen_addresses",
    "k": "unix_socket_directories",
    "l": "ssl",
    "p": "port",
    "s": "log_statement_stats",
    "t": "log_statement_stats",
}


class BadOptions(ValueError):
    """The server would refuse these options; the text says why, without a hint."""


@dataclass(frozen=True, slots=True)
class Option:
    """One switch. ``name`` is the parameter that it sets ("" if none), with ``-`` made ``_``."""

    letter: str
    name: str
    value: str

    @property
    def words(self) -> tuple[str, ...]:
        """Return the words that say the same to the server, in their plainest spelling."""
        if self.letter in "c-":
            return ("-c", f"{self.name}={self.value}")
        return (f"-{self.letter}", self.value) if self.value else (f"-{self.letter}",)


def split_words(text: str) -> list[str]:
    """Split at white space; a backslash takes the next character as it is."""
    words: list[str] = []
    position, length = 0, len(text)
    while position < length:
        if text[position] in _SPACE:
            position += 1
            continue
        word: list[str] = []
        while position < length and text[position] not in _SPACE:
            if text[position] == "\\":
                position += 1
                if position == length:  # a lone backslash at the very end is dropped
                    break
            word.append(text[position])
            position += 1
        words.append("".join(word))
    return words


def join_words(words: list[str]) -> str:
    """Join words so that ``split_words`` gives them back."""
    return " ".join(
        "".join("\\" + char if char in _SPACE or char == "\\" else char for char in word)
        for word in words
    )


def parse_options(text: str) -> list[Option]:
    """Parse the whole of ``options``.

    Raises: ``BadOptions`` for whatever the server itself would refuse.
    """
    words = iter(split_words(text))
    found: list[Option] = []
    for word in words:
        if word == "--":
            if next(words, None) is None:
                break
            raise BadOptions("nothing may follow -- in the connection options")
        if len(word) < 2 or word[0] != "-":
            raise BadOptions(f"a connection option begins with -, got {_short(word)}")
        found.extend(_cluster(word, words))
    return found


def _cluster(word: str, rest: Iterator[str]) -> Iterator[Option]:
    """Yield the switches of one word: getopt allows ``-Oc name=value`` and ``-cname=value``."""
    for at, letter in enumerate(word[1:], start=2):
        if letter in _ALONE:
            yield Option(letter, _LETTERS.get(letter, ""), "")
            continue
        if letter not in _WITH_VALUE:
            raise BadOptions(f"unknown connection option -{_short(letter)}")
        value = word[at:] or next(rest, None)
        if value is None:
            raise BadOptions(f"connection option -{letter} needs a value")
        yield _with_value(letter, value)
        return


def _with_value(letter: str, value: str) -> Option:
    if letter not in "c-":
        return Option(letter, _LETTERS.get(letter, ""), value)
    name, equals, setting = value.partition("=")
    if not equals:
        spelling = "-c " if letter == "c" else "--"
        raise BadOptions(f"connection option {spelling}{_short(name)} needs a value: NAME=VALUE")
    return Option(letter, name.replace("-", "_"), setting)


def _short(text: str) -> str:
    return text if len(text) <= 30 else text[:30] + "…"
