"""Reads a PL/pgSQL body down to the SQL in it: every token is either structure or SQL.

PL/pgSQL's own grammar (pl_gram.y) finds the ends of expressions by token, at the depth of no
parentheses; so does this. What it does not expect makes the whole body unknown: nothing that the
server would run is ever passed over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from appliance.sql.body_words import (
    END,
    Kind,
    NotUnderstood,
    Piece,
    Store,
    Words,
    is_literal,
    is_name,
)
from appliance.sql.native import Token

__all__ = ["Body", "Kind", "NotUnderstood", "Piece", "Store", "read_body"]

MAX_DEPTH = 100  # of blocks in blocks; each takes a few frames of Python


@dataclass(frozen=True, slots=True)
class Body:
    """What a body holds. ``variables``: names that SQL in it may mean instead of columns.

    ``stores``: what its variables, NEW among them, are given; what it returns goes into NEW.
    """

    pieces: tuple[Piece, ...]
    variables: frozenset[str]
    stores: tuple[Store, ...] = ()


def read_body(data: bytes, tokens: list[Token], parameters: tuple[str, ...] = ()) -> Body:
    """Return the SQL in a body.

    Raises:
        NotUnderstood: the body, or something in it, is not PL/pgSQL as it is known here.
    """
    reader = _Reader(data, tokens, parameters)
    reader.body()
    pieces = tuple(dict.fromkeys(reader.pieces))
    return Body(pieces, frozenset(reader.variables), tuple(reader.stores))


class _Reader(Words):
    def __init__(self, data: bytes, tokens: list[Token], parameters: tuple[str, ...]) -> None:
        super().__init__(data, tokens)
        self._depth = 0
        self._cursors: set[str] = set()
        self.variables |= {"found", "sqlstate", "sqlerrm", *parameters}
        self._statements: dict[str, Callable[[], None]] = {
            "if": self._if,
            "case": self._case,
            "loop": self._loop,
            "while": self._while,
            "for": self._for,
            "foreach": self._foreach,
            "declare": self._block,
            "begin": self._block,
            "exit": self._exit,
            "continue": self._exit,
            "return": self._return,
            "raise": self._raise,
            "assert": self._expressions,
            "perform": self._perform,
            "execute": self._execute,
            "open": self._open,
            "fetch": self._plain,
            "move": self._plain,
            "close": self._plain,
            "get": self._plain,
            "null": self._plain,
        }

    # -- blocks ---------------------------------------------------------------------------------

    def body(self) -> None:
        while self.accept("#"):
            self.name()
            self.name()
        self._label()
        self._block()
        self.accept(";")
        if self.peek() != END:
            raise NotUnderstood

    def _label(self) -> bool:
        if not self.accept("<<"):
            return False
        self.variables.add(self.name())
        self.expect(">>")
        return True

    def _block(self) -> None:
        if self.accept("declare"):
            while self.peek() != "begin":
                if not self.accept("declare"):
                    self._declaration()
        self.expect("begin")
        self._list("exception", "end")
        if self.accept("exception"):
            while self.accept("when"):
                while not self.accept("then"):
                    if not (is_name(self.peek()) or is_literal(self.peek())):
                        raise NotUnderstood
                    self.at += 1
                self._list("when", "end")
        self._end()

    def _end(self, *words: str) -> None:
        self.expect("end", *words)
        if self.peek() != ";" and self.peek() != END:
            self.name()  # the label once more

    def _list(self, *stops: str) -> None:
        """Read statements up to one of the words that end their list."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise NotUnderstood
        while self.peek() not in stops or self.target_end() is not None:
            self._statement()
        self._depth -= 1

    def _declaration(self) -> None:
        name = self.name()
        self.variables.add(name)
        if self.accept("alias", "for"):
            self.path()
            self.stores.append(Store((name,)))
        elif self._cursor_follows():
            self._cursors.add(name)
            self._cursor()
        else:
            self.accept("constant")
            self.type(";", "collate", "not", "default", "=", ":=")
            if self.accept("collate"):
                self.path()
            self.accept("not", "null")
            if self.accept("default") or self.accept("=") or self.accept(":="):
                self.expression(";")
                self.stores.append(Store((name,), self.pieces[-1].text))
        self.expect(";")

    def _cursor_follows(self) -> bool:
        return self.accept("cursor") or any(
            self.accept(*words) for words in (("no", "scroll", "cursor"), ("scroll", "cursor"))
        )

    def _cursor(self) -> None:
        if self.accept("("):
            while True:
                self.variables.add(self.name())
                self.type(",", ")")
                if self.next() == ")":
                    break
        if not self.accept("for"):
            self.expect("is")
        self.add(self.until(";"))

    # -- statements -----------------------------------------------------------------------------

    def _statement(self) -> None:
        after = self.target_end()
        if after is not None:
            self._assignment(after)
        elif self._label():
            if self.peek() not in ("declare", "begin", "loop", "while", "for", "foreach"):
                raise NotUnderstood
            self._statements[self.peek()]()
        else:
            self._statements.get(self.peek(), self._sql)()
        self.expect(";")

    def _assignment(self, after: int) -> None:
        if "[" in self.words[self.at : after]:  # subscripts are expressions
            self.add(b"SELECT " + self.text(self.at, after))
        name = self.path()
        self.at = after + 1
        self.expression(";")
        self.stores.append(Store(name, self.pieces[-1].text))

    def _if(self) -> None:
        self.at += 1
        self.expression("then")
        self.at += 1
        self._list("elsif", "elseif", "else", "end")
        while self.accept("elsif") or self.accept("elseif"):
            self.expression("then")
            self.at += 1
            self._list("elsif", "elseif", "else", "end")
        if self.accept("else"):
            self._list("end")
        self.expect("end", "if")

    def _case(self) -> None:
        self.at += 1
        if self.peek() != "when":
            self.expression("when")
        while self.accept("when"):
            self.expression("then")
            self.at += 1
            self._list("when", "else", "end")
        if self.accept("else"):
            self._list("end")
        self.expect("end", "case")

    def _loop(self) -> None:
        self.expect("loop")
        self._list("end")
        self._end("loop")

    def _while(self) -> None:
        self.at += 1
        self.expression("loop")
        self._loop()

    def _for(self) -> None:
        self.at += 1
        self.targets()
        self.expect("in")
        if self.accept("execute"):
            self.expression("using", "loop", kind=Kind.DYNAMIC)
            if self.accept("using"):
                self.listed("loop")
        elif self.peek() in self._cursors and self.peek(1) in ("(", "loop"):
            self.at += 1
            self._arguments()
        else:
            self._range_or_query()
        self._loop()

    def _range_or_query(self) -> None:
        first = self.at
        reverse = self.accept("reverse")
        start = self.at
        self.until("..", "loop")
        if self.peek() == "loop":
            self.add(self.text(first, self.at))
            return
        self.add(b"SELECT " + self.text(start if reverse else first, self.at))
        self.at += 1
        self.expression("by", "loop")
        if self.accept("by"):
            self.expression("loop")

    def _foreach(self) -> None:
        self.at += 1
        self.targets()
        if self.accept("slice"):
            self.at += 1
        self.expect("in", "array")
        self.expression("loop")
        self._loop()

    def _exit(self) -> None:
        self.at += 1
        if self.peek() not in (";", "when"):
            self.name()
        if self.accept("when"):
            self.expression(";")

    def _return(self) -> None:
        self.at += 1
        if self.accept("query"):
            if self.accept("execute"):
                self.expression("using", ";", kind=Kind.DYNAMIC)
                if self.accept("using"):
                    self.listed(";")
            else:
                self.add(self.until(";"))
            return
        if self.peek() == "next" and self.peek(1) != ".":
            self.at += 1
        if self.peek() != ";":
            self.expression(";")
            self.stores.append(Store(("new",), self.pieces[-1].text))

    def _raise(self) -> None:
        """RAISE level 'format' or a condition, then expressions, then USING option = expression."""
        self.at += 1
        while is_name(self.peek()) and self.peek() != "using":
            self.at += 1
        if is_literal(self.peek()):
            self.at += 1
        while self.accept(","):
            self.expression(",", ";", "using")
        if self.accept("using"):
            while True:
                self.name()
                if not self.accept("="):
                    self.expect(":=")
                self.expression(",", ";")
                if not self.accept(","):
                    break

    def _expressions(self) -> None:
        self.at += 1
        self.listed(";")

    def _perform(self) -> None:
        self.at += 1
        self.expression(";")

    def _execute(self) -> None:
        self.at += 1
        self.expression("into", "using", ";", kind=Kind.DYNAMIC)
        while self.peek() != ";":
            if self.accept("into"):
                self.accept("strict")
                self.targets()
                continue
            self.expect("using")
            self.expression(",", "into", ";")
            while self.accept(","):
                self.expression(",", "into", ";")

    def _open(self) -> None:
        self.at += 1
        self.path()
        if self.peek() in ("(", ";"):
            self._arguments()
            return
        self.accept("no")
        self.accept("scroll")
        self.expect("for")
        if self.accept("execute"):
            self.expression("using", ";", kind=Kind.DYNAMIC)
            if self.accept("using"):
                self.listed(";")
        else:
            self.add(self.until(";"))

    def _arguments(self) -> None:
        """A cursor's arguments, perhaps with their names before them."""
        if not self.accept("("):
            return
        while not self.accept(")"):
            if self.peek(1) in (":=", "=>"):
                self.name()
                self.at += 1
            self.expression(",", ")")
            self.accept(",")

    def _plain(self) -> None:
        """A statement of words alone: FETCH, CLOSE, GET DIAGNOSTICS … run no expression."""
        gives = self.peek() in ("fetch", "get")  # any name in it may be one that takes a value
        while self.peek() != ";":
            if gives and is_name(self.peek()):
                self.stores.append(Store(self.path()))
                continue
            word = self.next()
            if not (is_name(word) or word.isdigit() or word in (".", ",", "=", ":=", "-")):
                raise NotUnderstood

    def _sql(self) -> None:
        """Any other statement is SQL; its INTO names variables, but after INSERT and MERGE."""
        first, word = self.at, self.peek()
        if not is_name(word) or word in _NEVER_FIRST:
            raise NotUnderstood
        out: tuple[int, int] | None = None
        known = 0
        while self.peek() != ";":
            word = self.next()
            if word == END or word == "atomic":  # a body in a body, with semicolons of its own
                raise NotUnderstood
            before = self.words[self.at - 2] if self.at - 2 >= first else ""
            if word == "into" and before not in ("insert", "merge"):
                if self.words[first] == "import":
                    continue
                if out is not None:
                    raise NotUnderstood
                start = self.at - 1
                self.accept("strict")
                known = len(self.stores)
                self.targets()
                out = (start, self.at)
        text = self.text(first, self.at)
        if out is not None:
            base = self.tokens[first].start
            begin, end = self.tokens[out[0]].start, self.tokens[out[1] - 1].end
            text = text[: begin - base] + b" " + text[end - base :]
            self.stores[known:] = [replace(one, text=text) for one in self.stores[known:]]
        self.add(text)


_NEVER_FIRST = frozenset({"end", "else", "elsif", "elseif", "when", "then", "exception", "into"})
