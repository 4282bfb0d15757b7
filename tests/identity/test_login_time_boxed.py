"""Time-boxed access: its role is asked for by name, and a session of it ends with it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from appliance.entities import Grant, Snapshot
from appliance.identity.login import Admission, Refused, admit, parse_startup, recheck, renew
from appliance.identity.login_request import LoginRequest
from tests.policy.world import NOW, credential, grant, identity, snapshot

STANDING = grant(role="app_ro")
END = NOW + timedelta(hours=2)


def boxed(role: str = "app_rw", number: int = 77) -> Grant:
    return grant(role=role, id=number, is_time_boxed=True, expires_at=END)


def world(*grants: Grant) -> Snapshot:
    return snapshot((identity(credentials=(credential(1),)),), grants)


def enter(at: Snapshot, role: str = "") -> Admission | Refused:
    options = {"options": f"-c gatepost.role={role}"} if role else {}
    asked = parse_startup({"user": "ana@example.com", "database": "shop", **options}, "::1", True)
    assert isinstance(asked, LoginRequest)
    return admit(at, asked, 1, NOW)


def entered(at: Snapshot, role: str = "") -> Admission:
    outcome = enter(at, role)
    assert isinstance(outcome, Admission), outcome
    return outcome


def test_it_is_used_only_when_its_role_is_asked_for() -> None:
    for grants in ((STANDING, boxed()), (boxed(), STANDING)):
        assert entered(world(*grants)).role.name == "app_ro"
        made = entered(world(*grants), "app_rw")
        assert (made.role.name, made.grant.id, made.ends_at) == ("app_rw", 77, END)


def test_another_session_cannot_slip_into_the_role() -> None:
    at = world(STANDING, boxed())
    assert entered(at).granted_roles == {"app_ro"}
    assert entered(at, "app_rw").granted_roles == {"app_ro", "app_rw"}
    assert renewed(at, entered(at)).granted_roles == {"app_ro"}


def test_who_has_nothing_else_is_told_the_option() -> None:
    outcome = enter(world(boxed()))
    assert isinstance(outcome, Refused)
    assert outcome.sqlstate == "28000"
    assert outcome.message == (
        "gatepost: your access on shop as app_rw is for a time: ask for it by name"
    )
    assert outcome.hint == "connect with options='-c gatepost.role=app_rw'"
    assert entered(world(boxed()), "app_rw").role.name == "app_rw"


def test_the_session_ends_with_it_and_says_so() -> None:
    at = world(STANDING, boxed())
    made = entered(at, "app_rw")
    assert recheck(at, made, END - timedelta(seconds=1)) is None
    for later in (at, world(STANDING)):  # its time is over; an admin took it away
        ended = recheck(later, made, END)
        assert ended is not None and ended.sqlstate == "57P01"
        assert ended.message == ("gatepost: session ended: your access on shop as app_rw has ended")


def test_it_goes_on_where_another_yes_carries_on() -> None:
    longer = boxed(number=78)
    longer = replace(longer, expires_at=END + timedelta(hours=1))
    made = entered(world(boxed()), "app_rw")
    again = renewed(world(boxed(), longer), made, END)
    assert (again.grant.id, again.ends_at) == (78, END + timedelta(hours=1))


def test_a_session_of_a_standing_grant_is_not_kept_by_a_time_boxed_one() -> None:
    standing = grant(role="app_rw")
    made = entered(world(standing))
    assert isinstance(recheck(world(boxed()), made, NOW), Refused)


def test_after_its_end_one_is_told_to_ask_again() -> None:
    over = replace(boxed(), expires_at=NOW)
    outcome = enter(world(over), "app_rw")
    assert isinstance(outcome, Refused)
    assert outcome.message == "gatepost: your access on shop as app_rw has ended"
    assert "My access" in outcome.hint and len(outcome.hint) <= 80


def renewed(at: Snapshot, made: Admission, now: datetime = NOW) -> Admission:
    outcome = renew(at, made, now)
    assert isinstance(outcome, Admission), outcome
    return outcome
