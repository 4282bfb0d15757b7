"""Open the store: SQLite in WAL mode, or PostgreSQL; connections, transactions, faults."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import peewee
from playhouse.pool import MaxConnectionsExceeded, PooledSqliteDatabase
from playhouse.postgres_ext import PooledPsycopg3Database

from appliance.errors import Invalid, StoreUnavailable

_POOL_SIZE = 20
_POOL_WAIT_S = 5
_BUSY_S = 5
_CONNECT_S = 5
_PG_OPTIONS = "-c lock_timeout=10s -c idle_in_transaction_session_timeout=60s"
_SQLITE_PRAGMAS = {
    "journal_mode": "wal",
    "synchronous": "full",
    "foreign_keys": 1,
    "cache_size": -16_000,
}


@dataclass(slots=True)
class _Scope:
    """One checked-out connection; ``bumped``: the version already grew in this transaction."""

    database: Any
    in_transaction: bool = False
    bumped: bool = False


_scope: ContextVar[_Scope | None] = ContextVar("gatepost_store_scope", default=None)


class CurrentDatabase:
    """Stand for the database of the ``Store`` whose scope the caller is in.

    The models are bound to this, so that a process can have several stores (tests do), and a query
    outside of ``Store.reading`` / ``Store.transaction`` is an error instead of a leaked connection.
    """

    def __getattr__(self, name: str) -> Any:
        scope = _scope.get()
        if scope is None:
            raise RuntimeError("a store query needs store.reading() or store.transaction()")
        return getattr(scope.database, name)


@dataclass(frozen=True, slots=True)
class Store:
    """The one meeting point of the appliance's processes. Open once per process; thread-safe."""

    place: str  # without a password, for people
    is_sqlite: bool
    path: Path | None  # of the SQLite file
    database: Any = field(repr=False)

    @contextmanager
    def reading(self, *, consistent: bool = False) -> Iterator[None]:
        """Give the caller a connection; ``consistent`` = all queries see one moment.

        Raises: StoreUnavailable.
        """
        with self._connected() as scope:
            if consistent and not scope.in_transaction:
                mode = "DEFERRED" if self.is_sqlite else "REPEATABLE READ"
                with self._begun(scope, mode):
                    yield
            else:
                yield

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Do all or nothing; inside another one it joins that.

        Raises: StoreUnavailable; then nothing was changed.
        """
        with self._connected() as scope:
            if scope.in_transaction:
                yield
            else:
                with self._begun(scope, "IMMEDIATE" if self.is_sqlite else None):
                    yield

    def bump_once(self) -> bool:
        """Return True the first time it is called in the present transaction."""
        scope = _scope.get()
        if scope is None or not scope.in_transaction:
            raise RuntimeError("a change that decides needs a transaction")
        first, scope.bumped = not scope.bumped, True
        return first

    def close(self) -> None:
        """Close every connection of this process."""
        self.database.close_all()

    @contextmanager
    def _connected(self) -> Iterator[_Scope]:
        outer = _scope.get()
        if outer is not None and outer.database is self.database:
            yield outer
            return
        with self._faults():
            self.database.connect()
            scope = _Scope(self.database)
            token = _scope.set(scope)
            try:
                yield scope
            finally:
                _scope.reset(token)
                self.database.close()

    @contextmanager
    def _begun(self, scope: _Scope, mode: str | None) -> Iterator[None]:
        with self.database.transaction(mode):
            scope.in_transaction = True
            try:
                yield
            finally:
                scope.in_transaction = scope.bumped = False

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except peewee.IntegrityError:
            raise
        except (peewee.DataError, OverflowError, UnicodeEncodeError):
            # what a URL or a form can send: NUL, half a surrogate pair, a number of 30 digits
            raise Invalid(
                "value",
                "holds what no store can keep",
                "leave out NUL and broken characters, and keep numbers in range",
            ) from None
        except peewee.ProgrammingError as error:
            if not _is_missing_table(error):
                raise
            raise StoreUnavailable(*self._unmigrated()) from None
        except (peewee.DatabaseError, peewee.InterfaceError) as error:
            if _is_missing_table(error):
                raise StoreUnavailable(*self._unmigrated()) from None
            raise StoreUnavailable(
                f"the store {self.place} did not answer: {_one_line(error)}",
                "see that it runs and can be reached; nothing was changed",
            ) from None
        except MaxConnectionsExceeded:
            raise StoreUnavailable(
                f"all {_POOL_SIZE} connections to the store are busy", "try again in a moment"
            ) from None

    def _unmigrated(self) -> tuple[str, str]:
        return f"the store {self.place} lacks a table", "run: gatepost migrate"


def open_store(url: str) -> Store:
    """Return the store at ``sqlite:///FILE`` or ``postgresql://…``; connects at the first use."""
    path = sqlite_path(url)
    if path is not None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # before SQLite does: 0644
        except OSError as error:
            raise StoreUnavailable(
                f"cannot open {path}: {error.strerror}", "see GATEPOST_DATA_DIR"
            ) from None
        return Store(str(path), True, path, _sqlite(path))
    if url.startswith(("postgresql://", "postgres://")):
        normal = "postgresql://" + url.partition("://")[2]
        parts = urlsplit(normal)
        place = f"postgresql://{parts.hostname or ''}:{parts.port or 5432}{parts.path}"
        return Store(place, False, None, _postgresql(normal))
    raise Invalid("GATEPOST_STORE_URL", "expected sqlite:///FILE or postgresql://…")


def sqlite_path(url: str) -> Path | None:
    """Return the file of a SQLite store's URL, None for another kind of store."""
    prefix = "sqlite:///"
    return Path(unquote(url.removeprefix(prefix))) if url.startswith(prefix) else None


def _sqlite(path: Path) -> Any:
    return PooledSqliteDatabase(
        str(path),
        pragmas=_SQLITE_PRAGMAS,
        max_connections=_POOL_SIZE,
        timeout=_POOL_WAIT_S,
        check_same_thread=False,  # the pool lends a connection to one thread at a time
        autoconnect=False,
    )


def _postgresql(url: str) -> Any:
    own = {"connect_timeout": _CONNECT_S, "application_name": "gatepost", "options": _PG_OPTIONS}
    query = urlsplit(url).query
    return PooledPsycopg3Database(
        url,
        max_connections=_POOL_SIZE,
        timeout=_POOL_WAIT_S,
        autoconnect=False,
        **{name: value for name, value in own.items() if f"{name}=" not in query},
    )


def _is_missing_table(error: Exception) -> bool:
    text = str(error)
    return "no such table" in text or ("relation" in text and "does not exist" in text)


def _one_line(error: Exception) -> str:
    cause = error.args[0] if error.args else error
    lines = str(cause).strip().splitlines()
    return lines[0] if lines else type(cause).__name__
