"""Reads a target database's catalog, as the role that is for that."""

from __future__ import annotations

from contextlib import suppress

import psycopg
from psycopg.types.json import set_json_loads

from appliance.entities import Target
from appliance.errors import NotFound, Unreachable
from appliance.sql.catalog import CATALOG_SQL, Catalog
from appliance.targets.connect import Connection, connected, said
from appliance.targets.reach import reach
from appliance.targets.steps import StepFailed

READ_S = 30
_TRIES = 4
# A definition is asked for by the OID that the same question has just found.
_DROPPED_MEANWHILE = (
    psycopg.errors.InternalError_,  # cache lookup failed, could not open relation with OID
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedObject,
    psycopg.errors.UndefinedFunction,
    psycopg.errors.UndefinedColumn,
)
ASK_S = 5


def load_catalog(target: Target, database: str, secret: str) -> Catalog:
    """Read the catalog of one database of a target, as its catalog role.

    Raises: ``Unreachable`` that says what is wrong and how to mend it.
    """
    role = target.reader
    if role is None:
        raise NotFound(f"target {target.name} has no upstream role", "add one that may read it")
    try:
        with connected(target, role.name, database, secret, reach(target, [])) as connection:
            for _ in range(_TRIES - 1):
                with suppress(*_DROPPED_MEANWHILE):
                    return read_catalog(connection)
            return read_catalog(connection)
    except StepFailed as failed:
        step = failed.step
        raise Unreachable(f"target {target.name}: {step.detail}", step.hint) from None
    except (psycopg.Error, ValueError) as error:
        raise Unreachable(
            f"target {target.name}: the catalog cannot be read: {_said(error, secret)}",
            "the catalog role needs no more than CONNECT; the server's log says more",
        ) from None


def ask(target: Target, database: str, secret: str, sql: str) -> bytes | None:
    """Return the one text that a question about the catalog gives, asked as the catalog role.

    Raises: ``Unreachable``.
    """
    role = target.reader
    if role is None:
        return None
    try:
        with connected(target, role.name, database, secret, reach(target, [])) as connection:
            connection.execute("SET default_transaction_read_only = on")
            connection.execute(f"SET statement_timeout = '{ASK_S}s'".encode())
            row = connection.execute(sql.encode()).fetchone()
    except StepFailed as failed:
        raise Unreachable(f"target {target.name}: {failed.step.detail}", failed.step.hint) from None
    except psycopg.Error as error:
        raise Unreachable(f"target {target.name}: {said(error, secret)}", "try again") from None
    return str(row[0]).encode() if row and row[0] is not None else None


def _said(error: psycopg.Error | ValueError, secret: str) -> str:
    return said(error, secret) if isinstance(error, psycopg.Error) else str(error)


def read_catalog(connection: Connection, timeout_s: int = READ_S) -> Catalog:
    """Read the catalog over an open connection; nothing of the role's own settings takes part."""
    set_json_loads(lambda data: data, connection)
    connection.execute("SET search_path = pg_catalog")
    connection.execute("SET default_transaction_read_only = on")
    connection.execute(f"SET statement_timeout = '{int(timeout_s)}s'".encode())
    row = connection.execute(CATALOG_SQL.encode()).fetchone()
    data = row[0] if row else b"{}"
    if not isinstance(data, bytes | bytearray | memoryview):
        data = str(data).encode()
    return Catalog.from_json(bytes(data))
