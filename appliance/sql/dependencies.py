"""What a decision about masks rests on in the target's catalog, to be asked again when it runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What is looked at: each has a part of its own in the standing question."""

    NAME = "name"  # a relation's name as the text has it
    RELATION = "relation"  # by OID: columns, view text, rules, triggers, policies, children
    FUNCTION = "function"  # every function of that name that is not built in
    OPERATOR = "operator"  # the like
    TYPE = "type"  # the like, with the checks of domains
    CASTS = "casts"  # all casts that are not built in
    PATH = "path"  # the search_path in force


@dataclass(frozen=True, slots=True, order=True)
class Dependency:
    """One look-up and what it must give. ``name``: of an OID its digits; "a"."b" of a NAME.

    ``expected`` of a NAME: the digits of an OID, "temp" for the session's own, "" for nothing.
    """

    kind: Kind
    name: str
    expected: str


def quoted(schema: str | None, name: str) -> str:
    """Return a relation's name as to_regclass reads it."""
    parts = [part for part in (schema, name) if part is not None]
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def in_order(dependencies: Iterable[Dependency], kind: Kind) -> list[Dependency]:
    """Return those of one kind in the order in which the question asks for them."""
    return sorted(found for found in dependencies if found.kind is kind)


def path_pin(path: Iterable[str]) -> str:
    """Return a search_path in force as one text.

    The schema for temporary objects is left out: no function or operator is looked for in it, and
    a relation's name is a dependency of its own.
    """
    return "/".join(quoted(None, schema) for schema in path if not is_temporary(schema))


def is_temporary(schema: str) -> bool:
    """Return whether a schema is the session's own for temporary objects."""
    return schema == "pg_temp" or schema.startswith("pg_temp_")
