"""The connection test: name resolves, port answers, TLS, password, database, catalog readable."""

from __future__ import annotations

import psycopg

from appliance.entities import Target
from appliance.targets.catalogs import read_catalog
from appliance.targets.connect import DATABASE, PASSWORD, Connection, connected, said
from appliance.targets.reach import reach
from appliance.targets.steps import Step, StepFailed

__all__ = ["Step", "check"]

_CATALOG = "catalog readable"
_READ_S = 10


def check(
    target: Target, secret: str, *, role: str | None = None, database: str | None = None
) -> list[Step]:
    """Test a target step by step, up to the first that fails.

    ``role``: by default the one that reads the catalog. Each step is bounded in time (3 s to
    connect); no text holds the password.
    """
    name = role or (target.reader.name if target.reader else "")
    where = database or target.database
    steps: list[Step] = []
    try:
        reached = reach(target, steps)
        if not name:
            raise StepFailed(
                PASSWORD, "the target has no upstream role", "Add one, with a password."
            )
        with connected(target, name, where, secret, reached) as connection:
            steps.append(_logged_in(connection, name))
            steps.append(_database(connection, where))
            steps.append(_catalog(connection, secret))
    except StepFailed as failed:
        if failed.step.name == DATABASE:  # the server looks at the password first
            steps.append(Step(PASSWORD, True, f"role {name} is let in"))
        steps.append(failed.step)
    except psycopg.Error as error:
        steps.append(Step(_CATALOG, False, said(error, secret), "The server's log says more."))
    return steps


def _logged_in(connection: Connection, role: str) -> Step:
    row = connection.execute(
        "SELECT rolsuper, rolbypassrls FROM pg_catalog.pg_roles WHERE rolname = session_user"
    ).fetchone()
    if row and row[0]:
        return Step(
            PASSWORD,
            True,
            f"role {role} is let in, as a superuser",
            "A superuser can do what no rule sees: use a role with just the rights it needs.",
        )
    return Step(PASSWORD, True, f"role {role} is let in")


def _database(connection: Connection, database: str) -> Step:
    version = connection.info.parameter_status("server_version") or "?"
    return Step(DATABASE, True, f"{database}, PostgreSQL {version.split(' ')[0]}")


def _catalog(connection: Connection, secret: str) -> Step:
    try:
        catalog = read_catalog(connection, timeout_s=_READ_S)
    except psycopg.errors.QueryCanceled:
        return Step(
            _CATALOG,
            False,
            f"the catalog could not be read within {_READ_S} s",
            "Is the server busy, or does something hold locks on its catalogs?",
        )
    except psycopg.Error as error:
        return Step(
            _CATALOG,
            False,
            f"the catalog cannot be read: {said(error, secret)}",
            "Let the catalog role read pg_catalog, as every role may by default.",
        )
    except ValueError as error:
        return Step(_CATALOG, False, str(error), "Is this PostgreSQL 13 or later?")
    own = [one for one in catalog.relations() if one.kind in "rpvmf" and not one.is_system]
    return Step(_CATALOG, True, "1 table" if len(own) == 1 else f"{len(own)} tables and views")
