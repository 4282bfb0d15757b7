"""What one text says, before any catalog is asked: names as they were written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from appliance.sql.facts import Effect, EffectClass, Name, SettingChange


@dataclass(frozen=True, slots=True)
class RelationUse:
    """One relation that a statement names.

    ``where``: for update and delete: "none" (no WHERE, or no column of this relation in it),
    "refers", or "" where the question does not arise. ``maybe``: columns that the WHERE names
    bare inside a sub-select, each with the relations (their places in ``relations``) that would
    capture it first; -1 stands for a source whose columns are not known here.
    ``only``: ONLY was written. ``created``: need not exist. ``optional``: IF EXISTS.
    ``temporary``: created TEMP. ``reads``: what its definition reads counts too (REFRESH).
    ``cascades``: TRUNCATE … CASCADE. ``moves``: it is given another name, schema or parent, which
    could shake off a rule; ``becomes``: what it will be called (what stays is left out).
    ``aside``: what an UPDATE's SET reads of its own target: for rules that name the relation.
    """

    cls: EffectClass
    name: Name
    columns: tuple[str, ...] | None = None
    where: str = ""
    maybe: tuple[tuple[str, tuple[int, ...]], ...] = ()
    only: bool = False
    created: bool = False
    optional: bool = False
    temporary: bool = False
    reads: bool = False
    cascades: bool = False
    moves: bool = False
    becomes: Name | None = None
    aside: bool = False


@dataclass(frozen=True, slots=True)
class FunctionUse:
    """One function that a statement calls or names. ``arguments``: how many, -1 = not known.

    ``optional``: counts only if the catalog has a user's function of that name (the JSON_*
    constructs of newer grammars are functions to older servers). ``created``: CREATE names it.
    """

    cls: EffectClass
    name: Name
    arguments: int = -1
    created: bool = False
    optional: bool = False


@dataclass(frozen=True, slots=True)
class SchemaUse:
    """Every relation of a schema: GRANT … ON ALL TABLES IN SCHEMA, DROP SCHEMA … CASCADE.

    ``moves``: the schema is given another name.
    """

    cls: EffectClass
    schema: str
    moves: bool = False


@dataclass(frozen=True, slots=True)
class ParsedStatement:
    """One statement. What ``facts.Statement`` has under the same name means the same.

    ``effects``: those without an object. ``operators``, ``types``: names that a user's own may
    shadow. ``attributes``: names after a dot, perhaps functions of the row: ``t.f`` is ``f(t)``.
    ``explains``: plain EXPLAIN: everything touched is touched as explain. ``copies_query``:
    COPY (query) TO: what is read is also copied out.
    ``code``: literals that are code or names; they belong to the fingerprint.
    """

    kind: str
    start: int
    end: int
    fingerprint: int = 0
    effects: tuple[Effect, ...] = ()
    relations: tuple[RelationUse, ...] = ()
    functions: tuple[FunctionUse, ...] = ()
    schemas: tuple[SchemaUse, ...] = ()
    operators: tuple[Name, ...] = ()
    types: tuple[Name, ...] = ()
    attributes: tuple[str, ...] = ()
    settings: tuple[SettingChange, ...] = ()
    prepares: str | None = None
    executes: str | None = None
    deallocates: str | None = None
    transaction: str = ""
    copy: str = ""
    flag_details: tuple[tuple[str, str], ...] = ()
    unknown: str = ""
    changes_state: bool = False
    explains: bool = False
    copies_query: bool = False
    code: tuple[str, ...] = ()

    @property
    def names_more(self) -> bool:
        """Return whether it names anything but relations and functions."""
        return bool(self.schemas or self.operators or self.types or self.attributes)


@dataclass(frozen=True, slots=True)
class Parsed:
    """All statements of one text. ``refusal``: as of ``facts.Facts``.

    ``literal_sensitive``: facts may depend on its literals, so they hold for this text only and
    not for others with the same skeleton.
    """

    statements: tuple[ParsedStatement, ...]
    refusal: str = ""
    literal_sensitive: bool = True
    size: int = 0  # of the text, in bytes of UTF-8 (characters, where it was not read)


def encode_parsed(parsed: Parsed) -> bytes:
    """Return it as JSON: what the planner process answers with."""
    return orjson.dumps(parsed)


def decode_parsed(data: bytes) -> Parsed:
    """Read back what ``encode_parsed`` wrote.

    Raises:
        ValueError, KeyError, TypeError: it is something else.
    """
    value = orjson.loads(data)
    return Parsed(
        statements=tuple(_statement(row) for row in value["statements"]),
        refusal=value["refusal"],
        literal_sensitive=value["literal_sensitive"],
        size=value["size"],
    )


def _statement(row: dict[str, Any]) -> ParsedStatement:
    row["effects"] = tuple(
        Effect(**{**e, "cls": EffectClass(e["cls"]), "relation": None, "function": None})
        for e in row["effects"]
    )
    row["relations"] = tuple(_relation(use) for use in row["relations"])
    row["functions"] = tuple(
        FunctionUse(**{**use, "cls": EffectClass(use["cls"]), "name": Name(**use["name"])})
        for use in row["functions"]
    )
    row["schemas"] = tuple(
        SchemaUse(EffectClass(use["cls"]), use["schema"], use["moves"]) for use in row["schemas"]
    )
    row["operators"] = tuple(Name(**name) for name in row["operators"])
    row["types"] = tuple(Name(**name) for name in row["types"])
    row["attributes"] = tuple(row["attributes"])
    row["settings"] = tuple(SettingChange(**change) for change in row["settings"])
    row["flag_details"] = tuple((flag, detail) for flag, detail in row["flag_details"])
    row["code"] = tuple(row["code"])
    return ParsedStatement(**row)


def _relation(use: dict[str, Any]) -> RelationUse:
    use["cls"] = EffectClass(use["cls"])
    use["name"] = Name(**use["name"])
    if use["becomes"] is not None:
        use["becomes"] = Name(**use["becomes"])
    if use["columns"] is not None:
        use["columns"] = tuple(use["columns"])
    use["maybe"] = tuple((column, tuple(inner)) for column, inner in use["maybe"])
    return RelationUse(**use)
