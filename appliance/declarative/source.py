"""A YAML file as nodes with line numbers, and the list of everything that is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass, field

import yaml

from appliance.errors import GatepostError, Invalid

MAX_BYTES = 16 << 20
_MAX_DEPTH = 20
_QUOTES = 'put what begins with * in "quotes"'


class InvalidFile(GatepostError):
    """The file was not applied; ``errors`` names every wrong place with file, line and path."""

    exit_code = 2

    def __init__(self, errors: tuple[Invalid, ...]) -> None:
        self.errors = errors
        super().__init__("; ".join(str(error) for error in errors))


@dataclass(slots=True)
class Problems:
    """Collect what is wrong; ``lines`` maps dotted paths to lines of the file."""

    file: str
    lines: dict[str, int] = field(default_factory=dict)
    found: list[Invalid] = field(default_factory=list)

    def add(self, path: str, message: str, hint: str = "") -> None:
        """Note a problem at ``path``; each place is reported once."""
        shown = path or "the file"
        if all(error.field != shown for error in self.found):
            self.found.append(Invalid(shown, message, hint, where=f"{self.file}:{self.line(path)}"))

    def line(self, path: str) -> int:
        """Return the line of a path, or of the nearest one around it."""
        while path and path not in self.lines:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.lines.get(path, 1)

    def raise_if_any(self) -> None:
        """Raise ``InvalidFile``, in the order of the file, if anything was found."""
        if self.found:
            self.found.sort(key=lambda error: int(error.where.rpartition(":")[2]))
            raise InvalidFile(tuple(self.found))


def compose(text: bytes, problems: Problems) -> yaml.MappingNode | None:
    """Return the file's one mapping, with the line of every path noted in ``problems``."""
    if len(text) > MAX_BYTES:
        problems.add("", f"is larger than {MAX_BYTES >> 20} MiB")
        return None
    try:
        decoded = text.decode("utf-8-sig")
        loader = yaml.SafeLoader(decoded)
        _refuse_aliases(decoded, problems)
        node = None if problems.found else loader.get_single_node()
    except UnicodeDecodeError as error:
        line = text[: error.start].count(b"\n") + 1
        problems.lines[""] = line
        problems.add("", "is not UTF-8")
        return None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problems.lines[""] = mark.line + 1 if mark else 1
        hint = _QUOTES if error.context == "while scanning an alias" else ""
        problems.add("", f"is not YAML: {error.problem or error.context}", hint)
        return None
    except (yaml.YAMLError, RecursionError):
        problems.add("", "is not YAML that Gatepost can read")
        return None
    if node is None or problems.found:
        return None
    if not isinstance(node, yaml.MappingNode):
        problems.add("", "expected keys such as targets:, identities:, grants:")
        return None
    _note_lines(node, "", problems, 0)
    return node


def child(path: str, key: str) -> str:
    """Return the dotted path of a key."""
    return f"{path}.{key}" if path else key


def _refuse_aliases(text: str, problems: Problems) -> None:
    """Refuse ``*alias``: a few lines of them can stand for billions of entries."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent) or depth > _MAX_DEPTH:
            problems.lines[""] = event.start_mark.line + 1 if event.start_mark else 1
            if isinstance(event, yaml.AliasEvent):
                problems.add("", "YAML aliases are not read", _QUOTES)
            else:
                problems.add("", "is nested too deeply")
            return


def _note_lines(node: yaml.Node, path: str, problems: Problems, depth: int) -> None:
    problems.lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                inner = child(path, key.value)
                problems.lines.setdefault(inner, key.start_mark.line + 1)
                _note_lines(value, inner, problems, depth + 1)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _note_lines(item, f"{path}[{index}]", problems, depth + 1)
