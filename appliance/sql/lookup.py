"""What a name may mean in a session: search_path, temporary relations, what a script made."""

from __future__ import annotations

from dataclasses import dataclass, field

from appliance.sql.catalog import TEMP_SCHEMA, Catalog, Function, Relation
from appliance.sql.facts import Name, NameContext

TEMP = TEMP_SCHEMA


def is_temp(schema: str | None) -> bool:
    """Return whether a schema is the session's own for temporary objects."""
    return schema is not None and (schema == TEMP or schema.startswith("pg_temp_"))


@dataclass(slots=True)
class Found:
    """What a relation's name may mean. Nothing at all = unknown.

    ``names``: temporary or just created relations, of which the catalog knows nothing.
    ``views``: definitions of temporary views. ``doubt``: it might also be something else.
    """

    relations: list[Relation] = field(default_factory=list)
    names: list[Name] = field(default_factory=list)
    views: list[str] = field(default_factory=list)
    doubt: str = ""

    @property
    def is_empty(self) -> bool:
        return not (self.relations or self.names or self.views)


class Scope:
    """Names as one session sees them, while a script is being resolved.

    ``by_path``: what was looked up so far may do something else with another search_path.
    """

    def __init__(self, catalog: Catalog, names: NameContext) -> None:
        self.catalog = catalog
        self.names = names
        self.created: dict[str, Name] = {}
        self.by_path = False
        self.path = None if names.search_path is None else self._path(names.search_path)

    def _path(self, path: tuple[str, ...]) -> tuple[str, ...]:
        """Return the schemas to look through, those that are looked through unasked included."""
        named = [self.names.role if schema == "$user" else schema for schema in path]
        if not any(is_temp(schema) for schema in named):
            named.insert(0, TEMP)
        if "pg_catalog" not in named:
            named.insert(1 if is_temp(named[0]) else 0, "pg_catalog")
        return tuple(named)

    def forget_path(self) -> None:
        """From here on search_path may be anything: a script changed it, or may have."""
        self.path = None

    def creation_schema(self) -> str | None:
        """Return where a bare CREATE goes; None when that is not known."""
        for schema in self.path or ():
            if schema not in ("pg_catalog", "information_schema") and not is_temp(schema):
                return schema
        return None

    def create(self, name: Name) -> None:
        """Note that the script makes a relation of that name."""
        self.created[name.name] = name

    def relation(self, name: Name) -> Found:
        """Return what a relation's name may mean."""
        found = Found()
        if name.schema is not None:
            self._qualified(name, found)
        elif self.path is None:
            self._temporary(name.name, found)
            found.relations += self.catalog.named(name.name)
        else:
            self._through_path(name.name, found)
        made = self.created.get(name.name)
        if made is not None and (name.schema is None or name.schema == made.schema):
            found.names.append(made)
        if not name.name.isascii() and self.catalog.encoding not in ("UTF8", "SQL_ASCII"):
            # A single-byte server folds accented letters by its locale; the grammar here does not.
            found.doubt = "the server folds this name by its locale"
        return found

    def _qualified(self, name: Name, found: Found) -> None:
        if is_temp(name.schema):
            self._temporary(name.name, found)
            if self.names.temp_relations is None:
                found.names.append(Name(TEMP, name.name))
            return
        relation = self.catalog.relation(name.schema or "", name.name)
        if relation is not None:
            found.relations.append(relation)

    def _through_path(self, name: str, found: Found) -> None:
        for schema in self.path or ():
            if is_temp(schema):
                self._temporary(name, found)
                if not found.is_empty:
                    return
                continue
            relation = self.catalog.relation(schema, name)
            if relation is not None:
                found.relations.append(relation)
                return

    def _temporary(self, name: str, found: Found) -> None:
        if self.names.temp_relations is None:
            found.doubt = "it may be a temporary relation"
        elif name in self.names.temp_relations or name in self.names.temp_views:
            if name in self.names.temp_views:
                found.views.append(self.names.temp_views[name])
            found.names.append(Name(TEMP, name))

    def functions(self, name: Name) -> list[Function]:
        """Return the functions, not built in, that a call of that name may reach."""
        found = self.catalog.functions(name.name)
        if name.schema is not None:
            return [function for function in found if function.name.schema == name.schema]
        self.by_path |= len({function.name.schema for function in found}) > 1
        if self.path is None:
            return list(found)
        # Which of several schemas wins depends on argument types: each may be meant.
        return [function for function in found if function.name.schema in self.path]
