"""Requests for pages to show, asked as the proxy asks; and the people who decide them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from appliance.approvals import eligible
from appliance.approvals.requests import Deed, Estimate, RequestKind, StatementAsk
from appliance.entities import PermissionRole
from appliance.store import approvals, snapshots
from appliance.store.database import Store
from tests.web.conftest import World

ANA, BO, CY = "ana@example.com", "bo@example.com", "cy@example.com"
ADA, AUD, EVE = "ada@example.com", "aud@example.com", "eve@example.com"
TEXT = "delete from orders where customer_id = $1"


def cast(world: World) -> None:
    """Add who asks (ana), who decides (bo, cy), an admin, an auditor, and one with no right."""
    world.person(ANA)
    world.person(BO, PermissionRole.APPROVER)
    world.person(CY, PermissionRole.APPROVER)
    world.person(ADA, PermissionRole.ADMIN)
    world.person(AUD, PermissionRole.AUDITOR)
    world.person(EVE)


def statement(at: datetime, text: str = TEXT, **values: Any) -> StatementAsk:
    """Return a question about a statement of ana; ``values`` replace its fields."""
    digest = sha256(f"{values.get('identity', ANA)} {text}".encode()).hexdigest()
    asked = StatementAsk(
        deed=Deed(digest, digest[::-1]),
        session_id="00000000000000a1",
        seqs=(4,),
        worker="host/proxy-1",
        identity=ANA,
        identity_kind="human",
        owner=None,
        credential_id=None,
        target="shop",
        environment="production",
        database="shop",
        role="app_rw",
        source="10.2.0.7",
        application_name="psql",
        reason="INC-42: double orders",
        text=text,
        parameters=("4711",),
        effects=(("delete", "public.orders"),),
        fingerprint="0123456789abcdef",
        rule="bulk-writes-need-a-human",
        why="delete on public.orders",
        approvers=(eligible.BY_ROLE,),
        owner_may_approve=False,
        eligible=(BO, CY),
        estimate=Estimate(5000),
        transaction_since=None,
        expires_at=at + timedelta(minutes=10),
    )
    return replace(asked, **values)


def hold(store: Store, at: datetime, text: str = TEXT, **values: Any) -> int:
    """Ask about a statement and return the request's number."""
    asked = statement(at, text, **values)
    question = eligible.Question(
        asked.identity,
        RequestKind.STATEMENT,
        asked.credential_id,
        asked.approvers,
        asked.owner_may_approve,
    )
    if "eligible" not in values:
        names = eligible.approvers(snapshots.load(store, at), question, at)
        asked = replace(asked, eligible=names)
    return approvals.ask(store, at, asked).id
