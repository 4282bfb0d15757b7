"""Who gets in, as what, and what those who do not are told."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from appliance.entities import (
    Identity,
    IdentityStatus,
    Snapshot,
    UpstreamRole,
)
from appliance.identity.login import (
    Admission,
    Refused,
    Way,
    admit,
    authentication_failed,
    choose_way,
)
from appliance.identity.login_request import LoginRequest, parse_startup
from tests.policy.world import NOW, credential, grant, identity, later, snapshot, target

ANA = identity()


def request(user: str = "ana@example.com", database: str = "shop", **more: str) -> LoginRequest:
    source = more.pop("source", "127.0.0.1")
    made = parse_startup({"user": user, "database": database, **more}, source, True)
    assert isinstance(made, LoginRequest), made
    return made


def enter(world: Snapshot, asked: LoginRequest, who: Identity | None = None) -> Admission | Refused:
    who = who or world.identities[asked.user]
    return admit(world, asked, who.credentials[0].id, NOW)


def admitted(world: Snapshot, asked: LoginRequest) -> Admission:
    outcome = enter(world, asked)
    assert isinstance(outcome, Admission), outcome
    return outcome


def refused(world: Snapshot, asked: LoginRequest) -> Refused:
    outcome = enter(world, asked)
    assert isinstance(outcome, Refused), outcome
    assert outcome.message.startswith("gatepost: ")
    assert "\n" not in outcome.message + outcome.hint
    assert len(outcome.message) <= 80
    assert len(outcome.hint) <= 80
    return outcome


def test_the_first_grant_in_order_decides_the_role_and_all_are_granted() -> None:
    world = snapshot(grants=(grant(role="app_rw"), grant(role="app_ro")))
    found = admitted(world, request())
    assert found.role.name == "app_rw"
    assert found.granted_roles == {"app_rw", "app_ro"}
    assert (found.target.name, found.database) == ("shop", "shop")
    assert found.upstream_startup() == {"user": "app_rw", "database": "shop"}


def test_a_role_can_be_picked_and_the_others_stay_granted() -> None:
    world = snapshot(grants=(grant(role="app_ro"), grant(role="app_rw")))
    found = admitted(world, request(options="-c gatepost.role=app_rw -c work_mem=1MB"))
    assert found.role.name == "app_rw"
    assert found.granted_roles == {"app_rw", "app_ro"}
    assert found.upstream_startup()["options"] == "-c work_mem=1MB"


@pytest.mark.parametrize("who", ["*", "identity:ana@example.com", "group:analysts", "kind:human"])
def test_a_grant_reaches_whom_it_names(who: str) -> None:
    world = snapshot((identity(groups=frozenset({"analysts"})),), (grant(who),))
    assert admitted(world, request()).role.name == "app_ro"


@pytest.mark.parametrize("who", ["identity:bo@example.com", "group:dba", "kind:ci", "ana", ""])
def test_a_grant_for_others_opens_nothing(who: str) -> None:
    outcome = refused(snapshot(grants=(grant(who),)), request())
    assert outcome.sqlstate == "28000"
    assert outcome.hint == "you can reach nothing yet: ask an admin of Gatepost for a grant"


@pytest.mark.parametrize(
    ("conditions", "asked", "message", "hint"),
    [
        (
            {"expires_at": NOW},
            {},
            "your access on shop as app_ro has ended",
            "ask an admin to grant it again",
        ),
        (
            {},
            {"database": "shop/other"},
            'no access to database "other" of shop',
            "your grant there is for: shop",
        ),
        (
            {"databases": ("shop", "crm")},
            {"database": "shop/other"},
            'no access to database "other" of shop',
            "your grant there is for: shop, crm",
        ),
        (
            {"databases": ("crm",)},
            {},
            'no access to database "shop" of shop',
            "your grant there is for: crm",
        ),
        (
            {},
            {"replication": "database"},
            "no replication on shop as app_ro",
            "ask an admin for a grant with replication: true",
        ),
        (
            {"sources": ("10.2.0.0/16",)},
            {"source": "10.3.0.1"},
            "no access on shop as app_ro from 10.3.0.1",
            "ask an admin to add your network to the grant",
        ),
        (
            {"application_names": ("ci-*", "etl")},
            {"application_name": "psql"},
            "no access on shop as app_ro for application psql",
            "set application_name to one of: ci-*, etl",
        ),
        (
            {"application_names": ("ci-*",)},
            {},
            "no access on shop as app_ro for application (none)",
            "set application_name to one of: ci-*",
        ),
        (
            {"hours": "Mon-Fri 00:00-06:00 Europe/Oslo"},
            {},
            "no access on shop as app_ro at this hour",
            "your grant there is for Mon-Fri 00:00-06:00 Europe/Oslo",
        ),
        (
            {"hours": "not hours at all"},
            {},
            "no access on shop as app_ro at this hour",
            "your grant there is for not hours at all",
        ),
    ],
)
def test_a_condition_that_does_not_hold_is_said(
    conditions: dict[str, object], asked: dict[str, str], message: str, hint: str
) -> None:
    outcome = refused(snapshot(grants=(grant(**conditions),)), request(**asked))
    assert (outcome.sqlstate, outcome.message) == ("28000", f"gatepost: {message}")
    assert outcome.hint == hint


@pytest.mark.parametrize(
    ("conditions", "asked"),
    [
        ({"expires_at": later(seconds=1)}, {}),
        ({"databases": ("*",)}, {"database": "shop/anything"}),
        ({"databases": ("shop", "other")}, {"database": "shop/other"}),
        ({"replication": True}, {"replication": "true"}),
        ({"sources": ("10.2.0.0/16",)}, {"source": "10.2.9.9"}),
        ({"sources": ("10.2.0.0/16",)}, {"source": "::ffff:10.2.9.9"}),
        ({"sources": ("::1/128", "10.0.0.0/8")}, {"source": "::1"}),
        ({"application_names": ("ci-*",)}, {"application_name": "ci-nightly"}),
        ({"hours": "Mon 12:00-13:00"}, {}),
        ({"hours": "Mon-Fri 13:00-14:00 Europe/Oslo"}, {}),
    ],
)
def test_a_condition_that_holds_lets_in(
    conditions: dict[str, object], asked: dict[str, str]
) -> None:
    admitted(snapshot(grants=(grant(**conditions),)), request(**asked))


def test_a_grant_whose_conditions_fail_leaves_room_for_the_next() -> None:
    world = snapshot(grants=(grant(role="app_rw", sources=("10.0.0.0/8",)), grant(role="app_ro")))
    found = admitted(world, request())
    assert found.role.name == "app_ro"
    assert found.granted_roles == {"app_ro"}


def test_a_source_that_is_no_address_meets_no_network() -> None:
    world = snapshot(grants=(grant(sources=("0.0.0.0/0",)),))
    assert refused(world, request(source="")).sqlstate == "28000"


def test_a_role_without_a_grant_is_answered_with_what_is_in_reach() -> None:
    world = snapshot(grants=(grant(role="app_ro"),))
    outcome = refused(world, request(**{"gatepost.role": "app_rw"}))
    assert outcome.message == "gatepost: no grant for role app_rw on shop"
    assert outcome.hint == "you can reach: shop (app_ro)"


def test_a_grant_for_a_role_that_the_target_lacks_opens_nothing() -> None:
    world = snapshot(grants=(grant(role="gone"),))
    assert refused(world, request()).sqlstate == "28000"


@pytest.mark.parametrize(
    ("database", "message", "hint"),
    [
        (
            "nowhere",
            'no target "nowhere" that you have a grant on',
            "did you mean shop/nowhere? you can reach: shop (app_ro)",
        ),
        (
            "shpo",
            'no target "shpo" that you have a grant on',
            "did you mean shop? you can reach: shop (app_ro)",
        ),
        (
            "other",
            'no target "other" that you have a grant on',
            "did you mean shop/other? you can reach: shop (app_ro)",
        ),
        (
            "nowhere/x",
            'no target "nowhere" that you have a grant on',
            "you can reach: shop (app_ro)",
        ),
        ("", "no target given: connect with dbname=TARGET", "you can reach: shop (app_ro)"),
        (
            "ana@example.com",
            "no target given: connect with dbname=TARGET",
            "you can reach: shop (app_ro)",
        ),
    ],
)
def test_a_wrong_target_is_answered_with_what_is_in_reach(
    database: str, message: str, hint: str
) -> None:
    outcome = refused(snapshot(grants=(grant(),)), request(database=database))
    assert (outcome.sqlstate, outcome.message) == ("28000", f"gatepost: {message}")
    assert outcome.hint == hint


def test_a_target_without_a_grant_sounds_like_one_that_is_not_there() -> None:
    world = snapshot(grants=(grant(),))
    there, gone = (refused(world, request(database=name)) for name in ("crm", "dwh"))
    assert there.message == gone.message.replace("dwh", "crm")
    assert there.hint == gone.hint.replace("dwh", "crm")


def test_a_database_is_guessed_where_a_grant_allows_it() -> None:
    grants = (grant(), replace(grant(databases=("crmdata",)), target="crm"))
    outcome = refused(snapshot(grants=grants), request(database="crmdata"))
    assert outcome.hint == "did you mean crm/crmdata? you can reach: shop (app_ro), crm (app_ro)"


def test_only_some_of_many_targets_are_listed() -> None:
    targets = tuple(target(f"t{number}") for number in range(9))
    grants = tuple(replace(grant(), target=one.name) for one in targets)
    outcome = refused(snapshot(grants=grants, targets=targets), request(database="nothing"))
    assert outcome.hint == "you can reach: t0 (app_ro), t1 (app_ro), t2 (app_ro) and 6 more"


@pytest.mark.parametrize(
    ("identity_is_for", "target_is", "gets_in"),
    [
        ("", "production", True),
        ("", "", True),
        ("production", "production", True),
        ("staging", "production", False),
        ("production", "staging", False),
        ("staging", "", False),
    ],
)
def test_an_identity_stays_in_its_environment(
    identity_is_for: str, target_is: str, gets_in: bool
) -> None:
    world = snapshot(
        (identity(environment=identity_is_for),),
        (grant(),),
        targets=(target(environment=target_is),),
    )
    outcome = enter(world, request())
    assert isinstance(outcome, Admission) is gets_in
    if isinstance(outcome, Refused):
        assert outcome.sqlstate == "28000"
        assert f"is for {identity_is_for}" in outcome.message


@pytest.mark.parametrize(
    ("grant_for", "identity_ends", "max_session_s", "ends"),
    [
        (None, None, 3600, timedelta(hours=1)),
        (timedelta(minutes=5), None, 3600, timedelta(minutes=5)),
        (None, timedelta(minutes=7), 3600, timedelta(minutes=7)),
        (timedelta(days=9), timedelta(days=8), 60, timedelta(minutes=1)),
    ],
)
def test_a_session_ends_with_whatever_ends_first(
    grant_for: timedelta | None,
    identity_ends: timedelta | None,
    max_session_s: int,
    ends: timedelta,
) -> None:
    who = identity(expires_at=NOW + identity_ends if identity_ends else None)
    given = grant(expires_at=NOW + grant_for if grant_for else None, max_session_s=max_session_s)
    assert admitted(snapshot((who,), (given,)), request()).ends_at == NOW + ends


def test_the_end_of_a_token_ends_no_session_but_the_end_of_a_rotated_secret_does() -> None:
    expiring = identity(credentials=(credential(7, expires_at=later(minutes=1)),))
    rotated = identity(credentials=(credential(7, ends_at=later(minutes=1)),))
    hours = NOW + timedelta(hours=12)
    assert admitted(snapshot((expiring,), (grant(),)), request()).ends_at == hours
    assert admitted(snapshot((rotated,), (grant(),)), request()).ends_at == later(minutes=1)


# -- before anybody is authenticated ---------------------------------------------------------

NOBODY: dict[str, tuple[Identity, str]] = {
    "unknown": (identity("bo@example.com"), "unknown identity"),
    "suspended": (identity(status=IdentityStatus.SUSPENDED), "ana@example.com is suspended"),
    "disabled": (identity(status=IdentityStatus.DISABLED), "ana@example.com is disabled"),
    "retired": (identity(status=IdentityStatus.RETIRED), "ana@example.com is retired"),
    "ended": (identity(expires_at=NOW), "ana@example.com has expired"),
    "none": (identity(credentials=()), "no live password credential"),
    "expired": (identity(credentials=(credential(5, expires_at=NOW),)), "c-5 is expired"),
    "revoked": (identity(credentials=(credential(5, revoked_at=NOW),)), "c-5 is revoked"),
    "rotated": (identity(credentials=(credential(5, ends_at=NOW),)), "c-5 is expired"),
}


@pytest.mark.parametrize("case", NOBODY)
def test_whoever_cannot_log_in_meets_the_same_mock_and_the_same_words(case: str) -> None:
    who, fault = NOBODY[case]
    world = snapshot((who,), (grant("*"),))
    assert choose_way(world, request(), NOW) == Way("scram", ())
    told = authentication_failed(world, request(), NOW)
    assert told.sqlstate == "28P01"
    assert fault in told.reason
    right = snapshot(grants=(grant(),))
    wrong_password = authentication_failed(right, request(), NOW)
    assert (told.message, told.hint) == (wrong_password.message, wrong_password.hint)
    assert wrong_password.reason == "wrong password"


@pytest.mark.parametrize("case", [case for case in NOBODY if case != "unknown"])
def test_a_credential_that_died_during_the_exchange_opens_nothing(case: str) -> None:
    who, _ = NOBODY[case]
    world = snapshot((who,), (grant("*"),))
    for number in (5, sum(b"ana@example.com"), 999):
        outcome = admit(world, request(), number, NOW)
        assert isinstance(outcome, Refused)
        assert outcome.sqlstate == "28P01"


def test_another_identitys_credential_opens_nothing() -> None:
    world = snapshot((identity(), identity("bo@example.com")), (grant("*"),))
    outcome = admit(world, request(), world.identities["bo@example.com"].credentials[0].id, NOW)
    assert isinstance(outcome, Refused)
    assert outcome.sqlstate == "28P01"


def test_every_live_password_may_pass() -> None:
    live = (credential(1), credential(2, ends_at=later(hours=1)))
    dead = (credential(3, revoked_at=NOW), replace(credential(4), kind="federated"))
    world = snapshot((identity(credentials=live + dead),), (grant(),))
    assert choose_way(world, request(), NOW) == Way("scram", live)
    assert choose_way(world, request(**{"gatepost.auth": "password"}), NOW) == Way("scram", live)


@pytest.mark.parametrize("way", ["token", "browser", "oauth"])
@pytest.mark.parametrize("user", ["ana@example.com", "nobody@example.com"])
def test_a_way_that_is_not_set_up_is_refused_for_every_name_alike(user: str, way: str) -> None:
    world = snapshot(grants=(grant(),))
    outcome = choose_way(world, request(user, **{"gatepost.auth": way}), NOW)
    assert isinstance(outcome, Refused)
    assert outcome.sqlstate == "28000"
    assert outcome.message == f"gatepost: signing in by {way} is not set up here"


def test_upstream_roles_of_the_target_are_what_the_admission_carries() -> None:
    sealed = UpstreamRole("app_ro", sealed_secret=b"sealed")
    world = snapshot(grants=(grant(),), targets=(target(roles=(sealed,)),))
    assert admitted(world, request()).role is sealed
