"""Open pages as somebody: a sign-in without typing a password."""

from __future__ import annotations

from playwright.sync_api import Page

from appliance.clock import SystemClock
from appliance.entities import PermissionRole
from appliance.store import identities, sign_ins
from appliance.store.identities import IdentitySpec
from tests.browser.conftest import BY, Served


def sign_in(
    page: Page, served: Served, *roles: PermissionRole, name: str = "ada@example.com"
) -> None:
    """Make somebody with these permission roles and sign their browser in."""
    now = SystemClock().now()
    spec = IdentitySpec(name, "human")
    identities.create(served.store, BY, now, spec, permission_roles=frozenset(roles))
    token = sign_ins.open_one(served.store, BY, now, name, address="", user_agent="")
    page.context.add_cookies([{"name": "gatepost_sign_in", "value": token, "url": served.url}])
