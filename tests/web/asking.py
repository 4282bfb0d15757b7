"""Requests for pages to show, asked as the proxy asks; and the people who decide them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from appliance.approvals.requests import Deed, Estimate, StatementAsk
from appliance.entities import PermissionRole
from appliance.store import approvals
from appliance.store.database import Store
from tests.store import approving
from tests.store.approving import ANA, BO, CY
from tests.web.conftest import World

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
    shown = {
        "deed": Deed(digest, digest[::-1]),
        "session_id": "00000000000000a1",
        "seqs": (4,),
        "source": "10.2.0.7",
        "reason": "INC-42: double orders",
        "parameters": ("4711",),
        "rule": "bulk-writes-need-a-human",
        "why": "delete on public.orders",
        "estimate": Estimate(5000),
        "transaction_since": None,
        "expires_at": at + timedelta(minutes=10),
    }
    return approving.statement(text, **shown | values)


def hold(store: Store, at: datetime, text: str = TEXT, **values: Any) -> int:
    """Ask about a statement and return the request's number."""
    asked = statement(at, text, **values)
    if "eligible" not in values:
        asked = replace(asked, eligible=approving.deciders(store, asked, at))
    return approvals.ask(store, at, asked).id
