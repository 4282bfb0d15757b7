"""Sees on a connection of its own that somebody has changed a target's catalog."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Final

import psycopg

from appliance.entities import Target
from appliance.errors import NotFound, Unreachable
from appliance.targets.connect import Connection, connected, said
from appliance.targets.reach import reach
from appliance.targets.steps import StepFailed

_ANSWER_S: Final = 5
# Another value means that a transaction with changes has ended meanwhile.
_MOMENT: Final = b"SELECT pg_catalog.pg_current_snapshot()::pg_catalog.text"
_NOT_TEMPORARY: Final = "NOT IN (SELECT oid FROM pg_namespace WHERE nspname ~ '^pg_(toast_)?temp_')"
_OF_TABLES: Final = "IN (SELECT oid FROM pg_class WHERE relpersistence <> 't')"
# What a catalog is read from, without the temporary tables that come and go. Rows in place of
# others have another xmin; what VACUUM and ANALYZE write in place keeps it.
_PARTS: Final = {
    "pg_class": f"relnamespace {_NOT_TEMPORARY}",
    "pg_attribute": f"attrelid {_OF_TABLES}",
    "pg_attrdef": f"adrelid {_OF_TABLES}",
    "pg_constraint": f"connamespace {_NOT_TEMPORARY}",
    "pg_trigger": f"tgrelid {_OF_TABLES}",
    "pg_rewrite": f"ev_class {_OF_TABLES}",
    "pg_type": f"typnamespace {_NOT_TEMPORARY}",
    "pg_namespace": "nspname !~ '^pg_(toast_)?temp_'",
    "pg_inherits": "true",
    "pg_proc": "true",
    "pg_operator": "true",
    "pg_cast": "true",
    "pg_policy": "true",
    "pg_event_trigger": "true",
}
_MARK: Final = "SELECT concat_ws(' ', {})".format(
    ", ".join(
        f"(SELECT count(*) || ':' || coalesce(sum(xmin::text::bigint), 0) "  # noqa: S608 - constants
        f"FROM {table} WHERE {those})"
        for table, those in _PARTS.items()
    )
).encode()


class CatalogWatch:
    """One connection as the catalog role, opened when it is first asked; blocking."""

    def __init__(self, target: Target, database: str, secret: str) -> None:
        self._target = target
        self._database = database
        self._secret = secret
        self._open = ExitStack()
        self._connection: Connection | None = None
        self._moment: object = None
        self._mark: object = None

    def has_changed(self) -> bool:
        """Return whether the catalog may be another one than when this was asked last.

        True at first, and after a failure: nobody looked meanwhile.

        Raises: ``Unreachable``.
        """
        try:
            connection = self._connection or self._connect()
            moment = connection.execute(_MOMENT).fetchone()
            if moment == self._moment:
                return False
            mark = connection.execute(_MARK).fetchone()
        except StepFailed as failed:
            self.close()
            step = failed.step
            raise Unreachable(f"target {self._target.name}: {step.detail}", step.hint) from None
        except psycopg.Error as error:
            self.close()
            words = said(error, self._secret)
            raise Unreachable(f"target {self._target.name}: {words}", "it is tried again") from None
        # the moment was asked first: what ends between the two is looked at the next time
        self._moment = moment
        before, self._mark = self._mark, mark
        return before != mark

    def close(self) -> None:
        """Let go of the connection; another question opens a new one."""
        self._open.close()
        self._connection = self._moment = self._mark = None

    def _connect(self) -> Connection:
        target, role = self._target, self._target.reader
        if role is None:
            raise NotFound(f"target {target.name} has no upstream role", "add one that may read it")
        found = self._open.enter_context(
            connected(target, role.name, self._database, self._secret, reach(target, []))
        )
        found.execute("SET search_path = pg_catalog")
        found.execute("SET default_transaction_read_only = on")
        found.execute(f"SET statement_timeout = '{_ANSWER_S}s'".encode())
        self._connection = found
        return found
