"""A session whose identity has a mask on ``customers.card``, for tests that read as transcripts."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from appliance.approvals.requests import Estimate
from appliance.entities import (
    Identity,
    IdentityKind,
    MaskingRule,
    PolicyRule,
    Settings,
    Snapshot,
    SslMode,
    Target,
    UpstreamRole,
)
from appliance.masking.mask_set import MaskRules
from appliance.masking.texts import TextMasks
from appliance.masking.values import Method
from appliance.policy.engine import Policy
from appliance.policy.subject import Subject
from appliance.sql.catalog import Catalog
from appliance.sql.parser import Parser
from proxy.cache import Room
from proxy.commands import Prepare, Work
from proxy.cursors import PreparedLineages
from proxy.decision import CatalogBox, Precedents
from proxy.judge import Judge
from proxy.masking import Masking
from proxy.prepared_facts import PreparedFacts
from proxy.wire import backend, codes, frontend
from tests.proxy.playbook import IDLE, STATE, Play, done

CUSTOMERS, VIEW = 16400, 16500
CARD = b"4929813726507418"


def catalog(view: str = "SELECT id, card || '' AS x FROM customers") -> Catalog:
    """Return a catalog with a table, and a view on it."""
    columns = [[1, "id", "int4"], [2, "name", "text"], [3, "card", "text"]]
    shown = [[1, "id", "int4"], [2, "x", "text"]]
    return Catalog.from_json(
        orjson.dumps(
            {
                "schemas": ["pg_catalog", "public"],
                "version": 180004,
                "relations": [
                    [CUSTOMERS, "public", "customers", "r", 0, columns],
                    [VIEW, "public", "v", "v", 0, shown],
                ],
                "views": [[VIEW, view]],
                "rules": [[VIEW, "1", True, [CUSTOMERS, VIEW], None, None]],
            }
        )
    )


def field(name: bytes, oid: int = 0, number: int = 0, *, form: int = 0) -> backend.FieldDescription:
    """Return the description of a text column."""
    return backend.FieldDescription(name, oid, number, 25, -1, -1, form)


def described(*fields: backend.FieldDescription) -> backend.RowDescription:
    return backend.RowDescription(fields)


class MaskedPlay(Play):
    """``box`` is the catalog that the worker has; ``stands`` answers the standing question."""

    def __init__(self, directory: Path, *rules: PolicyRule, **options: Any) -> None:
        super().__init__(directory, *rules, **options)
        session = self.session
        roles = (UpstreamRole("app"),)
        target = Target(1, "shop", "h", 5432, "shop", SslMode.PREFER, "", roles, "")
        identity = Identity(1, "ci-nightly", IdentityKind.CI)
        rule = MaskingRule(1, "cards", "shop", ("public.customers.card",), Method.REDACT)
        snapshot = Snapshot(
            1, Settings(), {"shop": target}, {identity.name: identity}, {}, (), rules
        )
        snapshot = replace(snapshot, masking=(rule,))
        masking = MaskRules.of(snapshot, identity, target, "shop")
        subject = Subject(
            identity, target, "shop", "app", None, frozenset({"app"}), "psql", "192.0.2.7"
        )
        make = partial(Policy, snapshot, subject)
        self.precedents = Precedents(make(), True, make, Room(1 << 20), masking)
        self.box = CatalogBox(catalog(), generation=1, is_stale=False)
        session.judge = Judge(
            Parser(),
            lambda _role: self.precedents,
            self.box,
            PreparedFacts(session),
            "app",
            TextMasks(PreparedLineages(session), session.cursors),
        )
        session.judge.tell = session.follow_rules
        session.judge.names_are(STATE)
        session.planner = Masking(session, b"key")

    state = STATE

    def knows_rows(self, rows: int) -> None:
        """Let the target's planner say how many rows it would be."""
        self.session.guard.ask = lambda _question: Estimate(rows)

    def work(self) -> None:
        """Do off the loop what the session asks for."""
        for command in self.session.commands:
            assert isinstance(command, Work)
            command.run()
        self.session.commands.clear()
        self.session.resume()

    def kinds_sent(self) -> str:
        """Return the kinds of what the target got since the last look."""
        return "".join(chr(message.kind) for message in self.upstream())

    def kinds(self) -> str:
        """Return the kinds of what the client got since the last look."""
        return "".join(chr(message.kind) for message in self.received())

    def asked(self) -> list[frontend.Parse]:
        """Return the statements that the target was given since the last look."""
        return [message for message in self.upstream() if message.kind == codes.PARSE]

    def answer(self, *, answer: bytes | None, synced: bool = False) -> MaskedPlay:
        """Let the target answer the standing question."""
        self.target(
            backend.PARSE_COMPLETE,
            backend.BIND_COMPLETE,
            backend.DataRow((answer,)),
            done("SELECT 1"),
            backend.CLOSE_COMPLETE,
            backend.CLOSE_COMPLETE,
            *([IDLE] if synced else []),
        )
        return self

    def read_catalog(self, new: Catalog) -> MaskedPlay:
        """Do what the session waits for: the catalog is read again."""
        (command,) = self.session.commands
        assert isinstance(command, Prepare)
        self.session.commands.clear()
        self.box.catalog, self.box.is_stale = new, False
        self.box.generation += 1
        self.session.resume()
        return self
