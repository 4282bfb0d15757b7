"""Which live sessions a newer snapshot ends, and which go on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from appliance.entities import IdentityStatus, Snapshot, UpstreamRole
from appliance.identity.login import Admission, Refused, admit, recheck, renew
from appliance.identity.login_request import LoginRequest, parse_startup
from tests.policy.world import NOW, credential, grant, identity, later, snapshot, target

WORLD = snapshot((identity(credentials=(credential(1),)),), (grant(), grant(role="app_rw")))
LATER = later(minutes=30)


def admission(database: str = "shop", source: str = "127.0.0.1") -> Admission:
    asked = parse_startup({"user": "ana@example.com", "database": database}, source, True)
    assert isinstance(asked, LoginRequest)
    made = admit(WORLD, asked, 1, NOW)
    assert isinstance(made, Admission)
    return made


def ana(**changes: object) -> Snapshot:
    changes.setdefault("credentials", (credential(1),))
    return replace(WORLD, identities={"ana@example.com": identity(**changes)})


def shop(**changes: object) -> Snapshot:
    return replace(WORLD, targets={"shop": target(**changes)})


ENDING: dict[str, tuple[Callable[[], Snapshot], str]] = {
    "identity removed": (lambda: replace(WORLD, identities={}), "gone"),
    "another of the same name": (lambda: ana(id=99), "gone"),
    "suspended": (lambda: ana(status=IdentityStatus.SUSPENDED), "suspended"),
    "disabled": (lambda: ana(status=IdentityStatus.DISABLED), "disabled"),
    "retired": (lambda: ana(status=IdentityStatus.RETIRED), "retired"),
    "identity ended": (lambda: ana(expires_at=LATER), "expired"),
    "credential revoked": (
        lambda: ana(credentials=(credential(1, revoked_at=NOW),)),
        "c-1 was revoked",
    ),
    "credential removed": (lambda: ana(credentials=(credential(2),)), "c-1 was revoked"),
    "credential rotated": (
        lambda: ana(credentials=(credential(1, ends_at=LATER), credential(2))),
        "c-1 was rotated",
    ),
    "environment changed": (lambda: ana(environment="staging"), "has ended"),
    "target removed": (lambda: replace(WORLD, targets={}), "removed"),
    "target moved": (lambda: shop(host="10.0.0.9"), "changed"),
    "target's port": (lambda: shop(port=5433), "changed"),
    "another target of that name": (lambda: shop(id=77), "changed"),
    "target's database": (lambda: shop(database="shop2"), "has ended"),
    "role removed": (lambda: shop(roles=(UpstreamRole("app_rw"),)), "has ended"),
    "no grants": (lambda: replace(WORLD, grants=()), "as app_ro has ended"),
    "only the other role": (
        lambda: replace(WORLD, grants=(grant(role="app_rw"),)),
        "as app_ro has ended",
    ),
    "grant ended": (
        lambda: replace(WORLD, grants=(grant(expires_at=LATER),)),
        "as app_ro has ended",
    ),
    "grant elsewhere": (
        lambda: replace(WORLD, grants=(grant(sources=("10.0.0.0/8",)),)),
        "as app_ro has ended",
    ),
    "grant for an application": (
        lambda: replace(WORLD, grants=(grant(application_names=("etl",)),)),
        "as app_ro has ended",
    ),
    "shorter sessions": (
        lambda: replace(WORLD, grants=(grant(max_session_s=1800),)),
        "it has reached the end of its time",
    ),
}


@pytest.mark.parametrize("case", ENDING)
def test_a_session_ends_when_what_opened_it_is_gone(case: str) -> None:
    change, says = ENDING[case]
    outcome = recheck(change(), admission(), LATER)
    assert outcome is not None, case
    assert outcome.sqlstate == "57P01"
    assert outcome.message.startswith("gatepost: session ended: ")
    assert says in outcome.message
    assert outcome.reason in outcome.message


GOING_ON: dict[str, Callable[[], Snapshot]] = {
    "nothing changed": lambda: WORLD,
    "a newer version": lambda: replace(WORLD, version=2),
    "the token expired": lambda: ana(credentials=(credential(1, expires_at=NOW),)),
    "out of hours": lambda: replace(WORLD, grants=(grant(hours="Sun 00:00-01:00"),)),
    "grants in another order": lambda: replace(WORLD, grants=WORLD.grants[::-1]),
    "the grant was written anew": lambda: replace(WORLD, grants=(grant("kind:human"),)),
    "a display change": lambda: ana(purpose="reports", owner="bo"),
    "the target's rules": lambda: shop(default_action="block"),
    "another secret": lambda: shop(roles=(UpstreamRole("app_ro", sealed_secret=b"new"),)),
    "a new password beside it": lambda: ana(credentials=(credential(1), credential(2))),
}


@pytest.mark.parametrize("case", GOING_ON)
def test_a_session_goes_on_when_what_opened_it_stands(case: str) -> None:
    assert recheck(GOING_ON[case](), admission(), LATER) is None


def test_a_session_takes_over_what_is_new() -> None:
    allowing = grant(allow_builtin=frozenset({"load"}), max_session_s=7200)
    renewed = renew(replace(WORLD, grants=(allowing,)), admission(), LATER)
    assert isinstance(renewed, Admission)
    assert renewed.grant.allow_builtin == {"load"}
    assert renewed.granted_roles == {"app_ro"}
    assert renewed.ends_at == NOW + timedelta(hours=2)
    assert renewed.admitted_at == NOW


def test_a_session_in_another_database_needs_that_database() -> None:
    wide = replace(WORLD, grants=(grant(databases=("shop", "crm")),))
    asked = parse_startup({"user": "ana@example.com", "database": "shop/crm"}, "::1", True)
    assert isinstance(asked, LoginRequest)
    made = admit(wide, asked, 1, NOW)
    assert isinstance(made, Admission)
    assert made.database == "crm"
    assert recheck(wide, made, LATER) is None
    assert isinstance(renew(wide, made, LATER), Admission)
    outcome = recheck(WORLD, made, LATER)
    assert isinstance(outcome, Refused)
    assert "has ended" in outcome.message


@pytest.mark.parametrize("at", [later(hours=12), later(days=30)])
def test_a_session_does_not_outlive_its_time(at: datetime) -> None:
    outcome = recheck(WORLD, admission(), at)
    assert outcome is not None
    assert outcome.reason == "it has reached the end of its time"


def test_a_session_that_asked_for_its_role_keeps_it() -> None:
    parameters = {"user": "ana@example.com", "database": "shop", "gatepost.role": "app_rw"}
    asked = parse_startup(parameters, "127.0.0.1", True)
    assert isinstance(asked, LoginRequest)
    made = admit(WORLD, asked, 1, NOW)
    assert isinstance(made, Admission)
    renewed = renew(WORLD, made, LATER)
    assert isinstance(renewed, Admission)
    assert renewed.role.name == "app_rw"
    assert renewed.granted_roles == {"app_ro", "app_rw"}
