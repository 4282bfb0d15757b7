"""Read typed values from a YAML mapping; whatever is wrong is noted with its path."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar

import yaml

from appliance.declarative.source import Problems, child
from appliance.errors import Invalid
from appliance.identity.spans import end_of_day, parse_span

_TAG = "tag:yaml.org,2002:"
_TEXTUAL = {f"{_TAG}{kind}" for kind in ("str", "int", "float", "timestamp")}
_INTEGER = re.compile(r"-?[0-9]{1,18}")
_FLAGS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}

Value = TypeVar("Value")
Check = Callable[[str, str], object]


class Table:
    """One mapping of the file. Every reader returns None where the key is absent or wrong."""

    def __init__(self, node: yaml.MappingNode, path: str, problems: Problems) -> None:
        self.path = path
        self.problems = problems
        self._asked: set[str] = set()
        self._values: dict[str, yaml.Node] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag != f"{_TAG}str":
                problems.add(path, "expected plain words as keys")
            elif key.value in self._values:
                problems.add(child(path, key.value), "is there twice")
            else:
                self._values[key.value] = value

    def has(self, key: str) -> bool:
        """Return whether the key is written at all."""
        self._asked.add(key)
        return key in self._values

    def text(self, key: str, check: Check | None = None, *, required: bool = False) -> str | None:
        """Return text; numbers and dates count as text, true, false and null do not."""
        node = self._node(key, required)
        found = self._text_of(node, child(self.path, key)) if node is not None else None
        return self._checked(key, check, found)

    def word(self, key: str) -> str | None:
        """Return a scalar exactly as written: also null, off, yes."""
        node = self._node(key, False)
        if node is None:
            return None
        if not isinstance(node, yaml.ScalarNode):
            self._wrong(key, "expected a word")
            return None
        return str(node.value)

    def is_word(self, key: str) -> bool:
        """Return whether a scalar is written there, whatever it is."""
        return isinstance(self._node(key, False), yaml.ScalarNode)

    def number(self, key: str) -> int | None:
        """Return a whole number."""
        node = self._node(key, False)
        if node is None:
            return None
        if not isinstance(node, yaml.ScalarNode) or node.tag != f"{_TAG}int":
            self._wrong(key, "expected a whole number")
        elif not _INTEGER.fullmatch(node.value):
            self._wrong(key, "expected a whole number in decimal digits")
        else:
            return int(node.value)
        return None

    def flag(self, key: str) -> bool | None:
        """Return true or false."""
        node = self._node(key, False)
        if node is None:
            return None
        if not isinstance(node, yaml.ScalarNode) or node.tag != f"{_TAG}bool":
            self._wrong(key, "expected true or false")
            return None
        return _FLAGS[str(node.value).lower()]

    def texts(
        self, key: str, check: Check | None = None, *, alone: bool = False, empty: bool = True
    ) -> tuple[str, ...] | None:
        """Return a list of texts. ``alone``: one text may stand for a list of one.

        ``empty`` False refuses ``[]``: an empty list of conditions would mean "any".
        """
        node = self._node(key, False)
        if node is None:
            return None
        path = child(self.path, key)
        if alone and isinstance(node, yaml.ScalarNode):
            one = self._checked(key, check, self._text_of(node, path))
            return None if one is None else (one,)
        if not isinstance(node, yaml.SequenceNode):
            self._wrong(key, "expected a list in [brackets] or with dashes")
            return None
        if not node.value and not empty:
            self._wrong(key, "is empty", "leave it out if it should not limit anything")
            return None
        found = []
        for index, item in enumerate(node.value):
            text = self._text_of(item, f"{path}[{index}]")
            text = self._checked(f"{key}[{index}]", check, text)
            if text is not None:
                found.append(text)
        if len(set(found)) != len(found):
            self._wrong(key, "names something twice")
        return tuple(found)

    def end(self, key: str) -> datetime | None:
        """Return a date's end (exclusive), or a moment. Lengths such as 90d would never settle."""
        text = self.text(key)
        if text is None:
            return None
        try:
            if len(text) == len("2027-01-31"):
                return end_of_day(date.fromisoformat(text))
            at = datetime.fromisoformat(text)
            return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, OverflowError):
            self._wrong(key, f"expected a day such as 2027-01-31, got {text[:40]!r}")
            return None

    def span(self, key: str) -> timedelta | None:
        """Return a length of time such as 2h."""
        text = self.text(key)
        return self.parsed(key, parse_span, text)

    def parsed(
        self, key: str, parse: Callable[[str, str], Value], text: str | None
    ) -> Value | None:
        """Return what ``parse(path, text)`` makes of a text, noting its ``Invalid``."""
        if text is None:
            return None
        try:
            return parse(child(self.path, key), text)
        except Invalid as error:
            self.problems.add(child(self.path, key), error.message, error.hint)
            return None

    def table(self, key: str) -> Table | None:
        """Return the mapping under a key."""
        node = self._node(key, False)
        if node is None:
            return None
        if not isinstance(node, yaml.MappingNode):
            self._wrong(key, "expected keys and values")
            return None
        return Table(node, child(self.path, key), self.problems)

    def tables(self, key: str) -> tuple[Table, ...] | None:
        """Return the mappings of the list under a key."""
        node = self._node(key, False)
        if node is None:
            return None
        if not isinstance(node, yaml.SequenceNode):
            self._wrong(key, "expected a list of entries, each with a dash")
            return None
        found = []
        for index, item in enumerate(node.value):
            path = f"{child(self.path, key)}[{index}]"
            if isinstance(item, yaml.MappingNode):
                found.append(Table(item, path, self.problems))
            else:
                self.problems.add(path, "expected keys and values")
        return tuple(found)

    def refuse(self, key: str, what: str) -> None:
        """Refuse a key that a later version will know: silently dropping it would be unsafe."""
        if self.has(key):
            self._wrong(key, f"{what} not available in this version of Gatepost yet; remove it")

    def end_of_keys(self) -> None:
        """Refuse the keys that nobody asked for."""
        for key in self._values.keys() - self._asked:
            near = difflib.get_close_matches(key, sorted(self._asked), 1)
            known = ", ".join(sorted(self._asked))
            self._wrong(
                key,
                "is no key that Gatepost knows here",
                f"did you mean {near[0]}?" if near else f"known are {known}",
            )

    def wrong(self, error: Invalid) -> None:
        """Note an ``Invalid`` whose field is relative to this table."""
        path = child(self.path, error.field) if error.field else self.path
        self.problems.add(path, error.message, error.hint)

    def _node(self, key: str, required: bool) -> yaml.Node | None:
        self._asked.add(key)
        node = self._values.get(key)
        if node is None and required:
            self.problems.add(self.path, f"lacks the key {key}")
        return node

    def _text_of(self, node: yaml.Node, path: str) -> str | None:
        if not isinstance(node, yaml.ScalarNode):
            self.problems.add(path, "expected text")
        elif node.tag not in _TEXTUAL:
            shown = node.value or "nothing"
            self.problems.add(path, f"expected text, got {shown}", "put it in quotes")
        else:
            return str(node.value)
        return None

    def _checked(self, key: str, check: Check | None, text: str | None) -> str | None:
        if text is None or check is None:
            return text
        found = self.parsed(key, check, text)
        return str(found) if found is not None else None

    def _wrong(self, key: str, message: str, hint: str = "") -> None:
        self.problems.add(child(self.path, key), message, hint)
