"""What a statement would do, as values: the vocabulary between parser, policy, masks and proxy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class EffectClass(StrEnum):
    """The classes of 3-gateway.md section 3; policy rules name them under ``commands``."""

    SELECT = "select"
    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"
    MERGE = "merge"
    TRUNCATE = "truncate"
    COPY_IN = "copy_in"
    COPY_OUT = "copy_out"
    COPY_PROGRAM = "copy_program"
    DDL = "ddl"
    TEMP_DDL = "temp_ddl"
    DCL = "dcl"
    CALL = "call"
    DO = "do"
    EXPLAIN = "explain"
    MAINTENANCE = "maintenance"
    LOCK = "lock"
    LISTEN = "listen"
    SESSION = "session"
    ROLE = "role"
    TRANSACTION = "transaction"
    PREPARE = "prepare"
    EXECUTE = "execute"
    CURSOR = "cursor"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Name:
    """A qualified name. ``schema`` is None while unresolved (bare in the text)."""

    schema: str | None
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}" if self.schema else self.name


@dataclass(frozen=True, slots=True)
class Effect:
    """One (class, object). ``relation`` and ``function`` are both None where there is no object.

    ``columns``: the names the statement touches on that relation, None = could be any.
    ``without_where``: for delete / update; see 3-gateway.md section 3.
    ``via``: the relation through which it was reached ("public.v_orders"), "" when named itself.
    ``default_exempt``: ``default_action`` does not touch it, only a rule whose conditions name it:
    transaction control, FETCH / CLOSE, SHOW, RESET / DISCARD, DEALLOCATE (by class); functions on
    the reviewed list of pure built-ins (by ``functions``); relations reached through what was
    named: partitions and inheritance parents, a dropped index, what a system view reads (by
    ``tables``, ``columns`` or class).
    """

    cls: EffectClass
    relation: Name | None = None
    function: Name | None = None
    columns: tuple[str, ...] | None = None
    without_where: bool = False
    via: str = ""
    default_exempt: bool = False

    @property
    def object(self) -> str:
        """Return what people read: ``public.orders``, ``pg_catalog.pg_read_file()`` or ``""``."""
        if self.relation:
            return str(self.relation)
        return f"{self.function}()" if self.function else ""


@dataclass(frozen=True, slots=True)
class SettingChange:
    """A SET / RESET / set_config with a known name. ``value`` None = reset or not a constant.

    ``scope``: "session" | "local". ``name`` is lower case; "all" for RESET ALL / DISCARD ALL.
    """

    name: str
    value: str | None
    scope: str = "session"


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a message, resolved.

    ``kind``: libpg_query's node tag ("SelectStmt"). ``unknown``: "" or why it cannot be known
    (then ``effects`` holds an UNKNOWN effect too).
    ``fingerprint``: 16 hex digits of a hash over FINGERPRINT_VERSION, the statement's tree without
    constants, the sorted (class, resolved object, without_where) of its effects, and its
    literals that are code or names: bodies, texts that functions run, file names, sequences, casts
    to regclass, settings that decide about names and rights. Constants do not change it, nor do
    white space, comments and the number of values in a list; another search_path that reaches
    another table does. The same in every process. Of a definition (CREATE TABLE, POLICY,
    FUNCTION …) all constants count; where passwords may stand (roles, servers, subscriptions) no
    literal does. Of a text that cannot be analysed it is the text itself; of EXECUTE, what was
    prepared counts too.
    ``changes_state``: a barrier: nothing after it is forwarded until it has finished.
    ``start``/``end``: its place in the text, in characters; ``text[start:end]`` is right. The
    only statement of a text has 0 and ``WHOLE_TEXT``, so that facts hold for every text alike.
    ``prepares`` / ``executes`` / ``deallocates``: names of SQL-level prepared statements
    (``deallocates`` "*" = all). ``transaction``: "begin" | "commit" | "rollback" | "savepoint" |
    "release" | "rollback_to" | "prepare" | "" . ``copy``: "in" | "out" | "" (STDIN / STDOUT only).
    ``flags``: what built-in rules look at: password, login, superuser (also BYPASSRLS, REPLICATION,
    CREATEROLE and membership in a predefined role), alter_system, load, server_file, program,
    dblink, foreign, subscription, untrusted_language, set_role. ``flag_details`` has (flag, object)
    pairs, a flag more than once when it has several objects: ("set_role", "app_rw"), ("password",
    "ana"). "*" = could be any; "none" for SET ROLE NONE and RESET ROLE, "default" for SET SESSION
    AUTHORIZATION DEFAULT and its RESET.
    """

    kind: str
    effects: tuple[Effect, ...]
    fingerprint: str
    start: int
    end: int
    unknown: str = ""
    changes_state: bool = False
    settings: tuple[SettingChange, ...] = ()
    prepares: str | None = None
    executes: str | None = None
    deallocates: str | None = None
    transaction: str = ""
    copy: str = ""
    flags: frozenset[str] = frozenset()
    flag_details: tuple[tuple[str, str], ...] = ()


WHOLE_TEXT = 2**31 - 1
# Part of every fingerprint, and kept beside those that are stored: when the grammar or the recipe
# changes, so does this, and what was stored under another version can be told and learned anew.
FINGERPRINT_VERSION = "18.2"
NO_GRAMMAR = "PostgreSQL's grammar does not accept it: "  # begins such a statement's ``unknown``


@dataclass(frozen=True, slots=True)
class Facts:
    """All statements of one Query or Parse message. Empty text has no statements.

    ``refusal``: "" or why no rule is even asked (tokens depend on standard_conforming_strings,
    invalid UTF-8, NUL): the text is refused whatever the policy. ``needs_catalog``: a relation
    that the catalog does not know was named: refresh and resolve once more before deciding.
    ``by_path``: functions of one name stand in several schemas, so that even the classes of the
    effects depend on the search_path.
    """

    statements: tuple[Statement, ...]
    refusal: str = ""
    needs_catalog: bool = False
    by_path: bool = False


@dataclass(frozen=True, slots=True)
class NameContext:
    """What the meaning of a bare name depends on in one session.

    ``search_path``: schemas in order, as ``current_schemas(true)`` gives them; None = not known,
    every schema counts. ``temp_relations``: names of the session's temporary relations, None = not
    known: every bare name may be one. ``temp_views``: definition by name, for those that are views.
    ``prepared``: facts of SQL-level prepared statements by name.
    """

    search_path: tuple[str, ...] | None = None
    role: str = ""
    temp_relations: frozenset[str] | None = None
    prepared: Mapping[str, Facts] = field(default_factory=dict)
    temp_views: Mapping[str, str] = field(default_factory=dict)
