"""Who may open which page: a table of role by route. A route that is not in it fails."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask

from appliance.entities import MaskingRule, PermissionRole, PolicyRule
from appliance.masking.values import Method
from appliance.store import identities, masking_rules, rules
from appliance.store.database import Store
from tests.web.browsing import token_in
from tests.web.conftest import AT, BY, World
from tests.web.filled import fill
from tests.web.recorded import Ran, Recorded, record
from web.access import access_of

ALL = frozenset(PermissionRole)
ADMIN = frozenset({PermissionRole.ADMIN})
READERS = ALL - {PermissionRole.USER}
AUDITORS = frozenset({PermissionRole.ADMIN, PermissionRole.AUDITOR})
PUBLIC = "public"

# endpoint -> who may; the methods and addresses come from the application itself
TABLE: dict[str, frozenset[PermissionRole] | str] = {
    "static": PUBLIC,
    "health.healthz": PUBLIC,
    "health.readyz": PUBLIC,
    "health.metrics": PUBLIC,  # asks for this machine or a sign-in by itself
    "sign_in.page": PUBLIC,
    "sign_in.enter": PUBLIC,
    "sign_in.leave": ALL,
    "setup.page": PUBLIC,
    "setup.make_admin": PUBLIC,
    "setup.invited": PUBLIC,
    "setup.accept": PUBLIC,
    "home.page": ALL,
    "home.first_session": READERS,
    "home.feed": READERS,
    "my_access.page": ALL,
    "access_requests.ask": ALL,
    "approvals.page": ALL,  # what each sees of it: test_approvals.py
    "approvals.events": ALL,
    "approvals.detail": ALL,
    "approvals.card": ALL,
    "approvals.text": ALL,
    "approvals.decide": ALL,
    "approvals.cancel": ALL,
    "pre_approvals.page": ALL,
    "pre_approvals.new": ALL,
    "pre_approvals.create": ALL,
    "pre_approvals.ask_revoke": ALL,
    "pre_approvals.revoke": ALL,
    "identities.page": READERS,
    "identities.detail": READERS,
    "identities.new": ADMIN,
    "identities.create": ADMIN,
    "identities.edit": ADMIN,
    "identities.change": ADMIN,
    "identities.ask_status": ADMIN,
    "identities.set_status": ADMIN,
    "identities.join": ADMIN,
    "credentials.new": ADMIN,
    "credentials.issue": ADMIN,
    "credentials.shown": ADMIN,
    "credentials.ask_rotate": ADMIN,
    "credentials.rotate": ADMIN,
    "credentials.ask_revoke": ADMIN,
    "credentials.revoke": ADMIN,
    "grants.new": ADMIN,
    "grants.create": ADMIN,
    "grants.edit": ADMIN,
    "grants.change": ADMIN,
    "grants.ask_remove": ADMIN,
    "grants.remove": ADMIN,
    "groups.page": READERS,
    "groups.detail": READERS,
    "groups.new": ADMIN,
    "groups.create": ADMIN,
    "groups.add": ADMIN,
    "groups.remove": ADMIN,
    "groups.change_claim": ADMIN,
    "groups.delete": ADMIN,
    "targets.page": READERS,
    "targets.detail": READERS,
    "targets.first_session": READERS,
    "targets.connecting": ALL,
    "targets.new": ADMIN,
    "targets.create": ADMIN,
    "targets.check_form": ADMIN,
    "targets.check_stored": ADMIN,
    "targets.edit": ADMIN,
    "targets.change": ADMIN,
    "targets.ask_remove": ADMIN,
    "targets.remove": ADMIN,
    "target_roles.page": ADMIN,
    "target_roles.put": ADMIN,
    "target_roles.remove": ADMIN,
    "settings.page": ADMIN,
    "settings.change": ADMIN,
    "settings.people": ADMIN,
    "settings.invite": ADMIN,
    "settings.set_roles": ADMIN,
    "settings.sign_out": ADMIN,
    "settings.authority": ALL,
    "channels.page": ADMIN,
    "channels.put_mail": ADMIN,
    "channels.remove_mail": ADMIN,
    "channels.test_mail": ADMIN,
    "channels.put_webhook": ADMIN,
    "channels.remove_webhook": ADMIN,
    "channels.test_webhook": ADMIN,
    "audit.page": AUDITORS,
    "policies.page": READERS,
    "policies.reorder": ADMIN,
    "policies.set_default": ADMIN,
    "policies.add_proposed": ADMIN,
    "policies.restore": ADMIN,
    "policy_rules.new": ADMIN,
    "policy_rules.words": ADMIN,
    "policy_rules.dry_run": ADMIN,
    "dry_runs.page": AUDITORS,
    "dry_runs.order": AUDITORS,
    "dry_runs.default": AUDITORS,
    "policy_rules.create": ADMIN,
    "policy_rules.edit": ADMIN,
    "policy_rules.change": ADMIN,
    "policy_rules.switch": ADMIN,
    "policy_rules.ask_remove": ADMIN,
    "policy_rules.remove": ADMIN,
    "try_box.page": READERS,
    "try_box.attempt": READERS,
    "masking.page": AUDITORS,
    "masking.reorder": ADMIN,
    "masking.uncovered": AUDITORS,
    "masking.look": AUDITORS,
    "masking.accept": ADMIN,
    "masking_columns.tree": AUDITORS,
    "masking_columns.columns": AUDITORS,
    "masking_columns.sampled": AUDITORS,
    "masking_columns.read_now": ADMIN,
    "masking_rules.new": ADMIN,
    "masking_rules.create": ADMIN,
    "masking_rules.words": ADMIN,
    "masking_rules.preview_method": ADMIN,
    "masking_rules.edit": ADMIN,
    "masking_rules.change": ADMIN,
    "masking_rules.switch": ADMIN,
    "masking_rules.ask_remove": ADMIN,
    "masking_rules.remove": ADMIN,
    "masking_rules.restore": ADMIN,
    "profiles.page": ALL,  # owners and readers of statements only: test_profiles.py
    "profiles.sign": ALL,
    "profiles.ask_mode": ALL,
    "profiles.set_mode": ALL,
    "search.page": READERS,
    "sessions.page": READERS,
    "sessions.live": READERS,
    "sessions.detail": AUDITORS,
    "sessions.tail": AUDITORS,
    "sessions.statement": AUDITORS,
    "sessions.why": AUDITORS,
    "sessions.find_next": AUDITORS,
    "sessions.export": AUDITORS,
    "sessions.ask_kill": ADMIN,
    "sessions.kill": ADMIN,
    "my_sessions.page": ALL,
    "my_sessions.live": ALL,
    "my_sessions.detail": ALL,  # one's own only: test_sessions.py
    "my_sessions.tail": ALL,
    "my_sessions.statement": ALL,
    "my_sessions.find_next": ALL,
    "my_sessions.export": ALL,
}
STREAMS = ("home.feed", "approvals.events")  # they have no end
# Values for the parts of addresses; ``filled`` makes what they name.
PARTS = {
    "name": "shop",
    "number": "1",
    "token": "nothing",
    "wanted": "suspended",
    "session_id": "00000000000000a1",
    "seq": "1",
    "oid": "16400",
}
NAMES = {
    "identities": "ci-nightly",
    "credentials": "ci-nightly",
    "groups": "analysts",
    "policy_rules": "no-ddl",
    "masking_rules": "cards",
    "profiles": "ci-nightly",
}


@pytest.fixture
def filled_world(make_world: Callable[..., World], sqlite_store: Store) -> World:
    world = make_world(sqlite_store)
    fill(world)
    rules.create(world.store, BY, AT, PolicyRule("no-ddl", "block", commands=("ddl",)))
    cards = MaskingRule(0, "cards", "shop", ("*.*.card",), Method.REDACT, None)
    masking_rules.create(world.store, BY, AT, cards)
    session = Recorded("ci-nightly", AT, (Ran("select 1"),), kind="ci", id=PARTS["session_id"])
    record(world.store, session)
    for role in PermissionRole:
        world.person(f"{role.value}@example.com", role)
    return world


def routes(app: Flask) -> list[tuple[str, str, str]]:
    """Return endpoint, method and address of every route."""
    found = []
    for rule in app.url_map.iter_rules():
        parts = PARTS | {"name": NAMES.get(rule.endpoint.partition(".")[0], "shop")}
        address = rule.rule
        for name in rule.arguments:
            converter = "int:" if f"<int:{name}>" in address else "path:"
            address = address.replace(f"<{converter}{name}>", parts.get(name, "app.css"))
            address = address.replace(f"<{name}>", parts.get(name, "x"))
        methods = (rule.methods or set()) & {"GET", "POST"}
        found += [(rule.endpoint, method, address) for method in sorted(methods)]
    return found


def test_every_route_stands_in_the_table(world: World) -> None:
    known = {endpoint for endpoint, _, _ in routes(world.app)}
    assert known - TABLE.keys() == set(), "say in TABLE who may open these"
    assert TABLE.keys() - known == set(), "these routes are gone: take them from TABLE"


def test_every_view_declares_what_the_table_says(world: World) -> None:
    for endpoint, allowed in TABLE.items():
        access = access_of(world.app, endpoint)
        assert access.is_public is (allowed == PUBLIC), endpoint
        if not access.is_public:
            assert access.roles == allowed, endpoint


@pytest.mark.parametrize("role", list(PermissionRole))
def test_a_role_opens_what_the_table_says_and_nothing_else(
    filled_world: World, role: PermissionRole
) -> None:
    browser = filled_world.signed_in(f"{role.value}@example.com")
    token = token_in(browser.get("/me").text)
    for endpoint, method, address in routes(filled_world.app):
        allowed = TABLE[endpoint]
        may = allowed == PUBLIC or role in allowed
        if method == "POST":
            if not may:
                answer = browser.post(address, {"csrf": token})
                assert answer.status_code == 403, (endpoint, address)
                assert "not open to you" in answer.text, (endpoint, address)
        elif endpoint not in STREAMS or not may:
            status = browser.get(address).status_code
            if may:
                assert status not in (401, 403, 405, 500), (endpoint, address, status)
            else:
                assert status == 403, (endpoint, address, status)


def test_nobody_opens_only_what_is_public(filled_world: World) -> None:
    for endpoint, method, address in routes(filled_world.app):
        if TABLE[endpoint] == PUBLIC:
            continue
        browser = filled_world.browser()
        answer = browser.get(address) if method == "GET" else browser.post(address)
        if method == "GET":
            assert answer.status_code == 303, (endpoint, address)
            assert answer.headers["Location"].startswith("/sign-in"), (endpoint, address)
        else:
            assert answer.status_code == 403, (endpoint, address)


def test_somebody_who_loses_a_role_loses_its_pages_at_once(filled_world: World) -> None:
    browser = filled_world.signed_in("auditor@example.com")
    assert browser.get("/audit").status_code == 200
    identities.set_permission_roles(filled_world.store, BY, AT, "auditor@example.com", frozenset())
    assert browser.get("/audit").status_code == 403
