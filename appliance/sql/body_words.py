"""The tokens of a PL/pgSQL body, one after another: names, literals, stretches of SQL."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from appliance.sql.native import Token

_LITERALS = frozenset({261, 262, 263, 264})  # SCONST, USCONST, BCONST, XCONST
_COMMENTS = frozenset({275, 276})
OPENING, CLOSING = frozenset("(["), frozenset(")]")
END = ""  # no word is empty


class Kind(Enum):
    """How a piece of SQL is run: as it stands, or as a text that is built first."""

    STATIC = "static"
    DYNAMIC = "dynamic"  # the piece is the expression that builds the text


@dataclass(frozen=True, slots=True)
class Piece:
    """SQL in a body. An expression has SELECT put before it, as PL/pgSQL itself does."""

    kind: Kind
    text: bytes


@dataclass(frozen=True, slots=True)
class Store:
    """A value that goes into a variable: its name in parts, and the statement that gives it.

    ``text`` None: it comes from a loop, a cursor, a text that is built, or is another name.
    """

    name: tuple[str, ...]
    text: bytes | None = None


class NotUnderstood(Exception):
    """The body holds something else than is expected there."""


class Words:
    """A place among a body's words, and the SQL that was found on the way to it.

    A literal is the word ', a quoted name keeps its quotes. ``variables``: names that SQL in the
    body may mean instead of columns.
    """

    def __init__(self, data: bytes, tokens: list[Token]) -> None:
        self.data = data
        self.tokens = [token for token in tokens if token.number not in _COMMENTS]
        self.words = [_word(data, token) for token in self.tokens]
        self.at = 0
        self.variables: set[str] = set()
        self.pieces: list[Piece] = []
        self.stores: list[Store] = []

    def peek(self, ahead: int = 0) -> str:
        place = self.at + ahead
        return self.words[place] if place < len(self.words) else END

    def next(self) -> str:
        word = self.peek()
        self.at += 1
        return word

    def accept(self, *words: str) -> bool:
        """Step over the words if they all come next."""
        if all(self.peek(ahead) == word for ahead, word in enumerate(words)):
            self.at += len(words)
            return True
        return False

    def expect(self, *words: str) -> None:
        if not self.accept(*words):
            raise NotUnderstood

    def name(self) -> str:
        """Step over a name, and return it as variables are kept."""
        word = self.next()
        if not is_name(word):
            raise NotUnderstood
        return plain(word)

    def until(self, *stops: str) -> bytes:
        """Step up to the first of the words outside of parentheses; return the text before it."""
        first, depth = self.at, 0
        while True:
            word = self.peek()
            if word == END:
                raise NotUnderstood
            if depth == 0 and word in stops:
                return self.text(first, self.at)
            if word == ";" or (word in CLOSING and depth == 0):
                raise NotUnderstood
            depth += (word in OPENING) - (word in CLOSING)
            self.at += 1

    def text(self, first: int, after: int) -> bytes:
        if first == after:
            raise NotUnderstood
        return self.data[self.tokens[first].start : self.tokens[after - 1].end]

    def path(self) -> tuple[str, ...]:
        """Step over a name with dots in it, or a parameter's number; return its parts."""
        parts = [self.next() if self.peek().startswith("$") else self.name()]
        while self.accept("."):
            parts.append(self.name())
        return tuple(parts)

    def target_end(self) -> int | None:
        """Return where the = of an assignment stands; None when the statement is another one."""
        place, words = self.at, self.words
        if not (is_name(self.peek()) or self.peek().startswith("$")):
            return None
        place += 1
        while place + 1 < len(words):
            word = words[place]
            if word == "=" or word == ":=":
                return place
            if word == "." and is_name(words[place + 1]):
                place += 2
            elif word == "[":
                depth = 0
                while place < len(words):
                    depth += (words[place] in OPENING) - (words[place] in CLOSING)
                    place += 1
                    if depth == 0:
                        break
            else:
                return None
        return None

    def add(self, text: bytes, kind: Kind = Kind.STATIC) -> None:
        self.pieces.append(Piece(kind, text))

    def expression(self, *stops: str, kind: Kind = Kind.STATIC) -> None:
        self.add(b"SELECT " + self.until(*stops), kind)

    def listed(self, stop: str) -> None:
        self.expression(",", stop)
        while self.accept(","):
            self.expression(",", stop)

    def targets(self) -> None:
        """Step over variables that take values; a loop's own comes into being here."""
        while True:
            if is_name(self.peek()):
                self.variables.add(plain(self.peek()))
            self.stores.append(Store(self.path()))
            if not self.accept(","):
                return

    def type(self, *stops: str) -> None:
        """Step over a type; nothing in one is run but by a cast."""
        first = self.at
        self.until(*stops)
        for word in self.words[first : self.at]:
            if not (is_name(word) or word.isdigit() or word in (".", "%", "(", ")", "[", "]", ",")):
                raise NotUnderstood


def _word(data: bytes, token: Token) -> str:
    """Return a token as it is compared: words folded, names in quotes with them, literals as '."""
    if token.number in _LITERALS:
        return "'"
    text = data[token.start : token.end].decode("utf-8", "replace")
    if text.startswith(("U&", "u&")):
        raise NotUnderstood  # a name in Unicode escapes
    if text.startswith('"'):
        return text
    return "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in text)


def plain(word: str) -> str:
    return word[1:-1].replace('""', '"') if word.startswith('"') else word


def is_name(word: str) -> bool:
    return bool(word) and (word[0].isalpha() or word[0] in '_"' or not word[0].isascii())


def is_literal(word: str) -> bool:
    return word == "'"
