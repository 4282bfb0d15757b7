"""A shop with approvers, and statements that ask for a yes: what the approvals' tests share."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from appliance.approvals import eligible
from appliance.approvals.requests import Deed, Estimate, RequestKind, Settlement, StatementAsk
from appliance.entities import PermissionRole
from appliance.store import approvals, identities, snapshots
from appliance.store.actors import Actor
from appliance.store.database import Store
from appliance.store.identities import IdentitySpec
from tests.store.conftest import BY, NOW

ANA, BO, CY, CI = "ana@example.com", "bo@example.com", "cy@example.com", "ci-nightly"
AS_BO = Actor(BO, "browser", "10.0.0.2")
AS_CY = Actor(CY, "browser", "10.0.0.3")
FINGERPRINT = "0123456789abcdef"
HELD_FOR = timedelta(minutes=10)


def with_approvers(shop: Store) -> Store:
    """Make bo and cy approvers; ana, who owns ci-nightly, is one too."""
    identities.create(shop, BY, NOW, IdentitySpec(CY, "human"))
    for name in (ANA, BO, CY):
        identities.set_permission_roles(shop, BY, NOW, name, frozenset({PermissionRole.APPROVER}))
    return shop


def deed(of: str, session: str = "s-1") -> Deed:
    deed_hash = hashlib.sha256(of.encode()).hexdigest()
    return Deed(hashlib.sha256(f"{of} {session}".encode()).hexdigest(), deed_hash)


def statement(of: str = "DELETE FROM orders", **changes: Any) -> StatementAsk:
    """A statement of ana's that a rule of any approver holds."""
    ask = StatementAsk(
        deed=deed(of),
        session_id="s-1",
        seqs=(3,),
        worker="host/proxy-1",
        identity=ANA,
        identity_kind="human",
        owner=None,
        credential_id=None,
        target="shop",
        environment="production",
        database="shop",
        role="app_rw",
        source="10.0.0.1",
        application_name="psql",
        reason="INC-42",
        text=of,
        parameters=("7", None, {"hex": "00ff", "oid": 17}),
        effects=(("delete", "public.orders"),),
        fingerprint=FINGERPRINT,
        rule="bulk-writes",
        why="rule bulk-writes: a person must look",
        approvers=(eligible.BY_ROLE,),
        owner_may_approve=False,
        eligible=(BO, CY),
        estimate=Estimate(42),
        transaction_since=NOW - timedelta(seconds=5),
        expires_at=NOW + HELD_FOR,
    )
    return replace(ask, **changes)


def machine(of: str = "DELETE FROM orders", **changes: Any) -> StatementAsk:
    """The same by ci-nightly, under a rule with ``retry: 15m``."""
    values = {"identity": CI, "identity_kind": "ci", "owner": ANA, "retry_s": 900}
    return statement(of, **values | changes)


def held(store: Store, now: datetime = NOW, **changes: Any) -> Settlement:
    return approvals.ask(store, now, statement(**changes))


def deciders(store: Store, ask: StatementAsk, now: datetime = NOW) -> tuple[str, ...]:
    question = eligible.Question(
        ask.identity,
        RequestKind.STATEMENT,
        ask.credential_id,
        ask.approvers,
        ask.owner_may_approve,
    )
    return eligible.approvers(snapshots.load(store, now), question, now)
