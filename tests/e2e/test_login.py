"""Who gets in, as what, and what those who do not are told."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from appliance.embedded import PostgresServer
from appliance.entities import IdentityStatus
from appliance.identity import credentials
from appliance.store import identities, targets
from appliance.store.identities import IdentitySpec
from appliance.store.targets import TargetSpec
from tests.e2e.raw import ErrorCame, Message, RawClient, errors, frame, values
from tests.harness.gateway import ADMIN, ANA, CI, Gateway, running_gateway
from tests.harness.postgres import fresh_database

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
WRONG = ("wrong1", "expir1", "oldex1", "revok1", "suspe1", "ended1", "nocre1", "nobod1")


@pytest.fixture(scope="module")
def balanced(
    postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """A gateway behind a load balancer: every client of a test can have its own address."""
    with (
        fresh_database(postgres) as database,
        running_gateway(
            database,
            tmp_path_factory.mktemp("gateway"),
            GATEPOST_PROXY_PROTOCOL_FROM="127.0.0.0/8",
            GATEPOST_PLAINTEXT_FROM="10.0.0.0/8",
        ) as running,
    ):
        yield running


def from_address(address: str, port: int = 40000) -> bytes:
    return f"PROXY TCP4 {address} 127.0.0.1 {port} 5432\r\n".encode()


def refusal(gateway: Gateway, user: str = ANA, address: str = "", **how: Any) -> dict[str, str]:
    """Log in with the right password, expect a refusal, return its fields."""
    with RawClient(gateway.port, from_address(address) if address else b"") as client:
        with pytest.raises(ErrorCame) as caught:
            client.log_in(user, gateway.passwords[user], **how)
        assert client.message() is None
        return caught.value.fields


# -- proof -------------------------------------------------------------------------------------


def shape(message: Message, user: str) -> object:
    """Return what a prober can see of a message, without what is random in every login."""
    if message.kind == "R" and message.body[:4] == struct.pack("!i", 11):
        nonce, salt, iterations = message.body[4:].split(b",")
        return len(nonce), len(salt), iterations
    return message.kind, message.body.replace(user.encode(), b"NAME")


def faulty_identities(gateway: Gateway) -> None:
    """Make one identity for each reason why a password may not open anything."""
    store, sealer, now = gateway.store, gateway.sealer, datetime.now(UTC)
    day = timedelta(days=1)
    for name in WRONG[:-1]:
        ends = LONG_AGO + day if name == "ended1" else None
        spec = IdentitySpec(name, "service", expires_at=ends)
        identities.create(store, ADMIN, LONG_AGO, spec)
    for name in ("wrong1", "suspe1", "ended1"):
        gateway.passwords[name] = credentials.issue(store, ADMIN, now, sealer, name).secret
    for name, ends in (("expir1", now - timedelta(hours=1)), ("oldex1", LONG_AGO + day)):
        expired = credentials.issue(store, ADMIN, LONG_AGO, sealer, name, expires_at=ends)
        gateway.passwords[name] = expired.secret
    revoked = credentials.issue(store, ADMIN, now, sealer, "revok1")
    gateway.passwords["revok1"] = revoked.secret
    credentials.revoke(store, ADMIN, now, revoked.id)
    identities.set_status(store, ADMIN, now, "suspe1", IdentityStatus.SUSPENDED)
    gateway.settle()


def test_all_faults_of_a_credential_look_the_same_to_the_client(balanced: Gateway) -> None:
    faulty_identities(balanced)
    seen = set()
    salts: dict[str, set[bytes]] = {}
    for number, name in enumerate(WRONG):
        known = balanced.passwords.get(name, "not the password")
        right = known if name != "wrong1" else "not the password"
        for attempt, password in enumerate(("not the password", right)):
            address = f"10.0.{number}.{attempt}"
            with RawClient(balanced.port, from_address(address)) as client:
                with pytest.raises(ErrorCame) as caught:
                    client.log_in(name, password)
                assert client.message() is None
                assert caught.value.fields["C"] == "28P01"
                seen.add(tuple(shape(message, name) for message in client.login))
                salts.setdefault(name, set()).add(client.login[1].body.split(b",")[1])
    assert len(seen) == 1, seen
    assert all(len(found) == 1 for found in salts.values())  # also unknown names keep theirs
    assert len({salt for found in salts.values() for salt in found}) == len(WRONG)
    reasons = {event["actor"]: event["detail"]["reason"] for event in refused_logins(balanced)}
    assert reasons["wrong1"] == "wrong password"
    assert reasons["nobod1"] == "unknown identity"
    assert reasons["nocre1"] == reasons["oldex1"] == "no live password credential"
    assert re.fullmatch(r"credential c-\d+ is expired", reasons["expir1"])
    assert re.fullmatch(r"credential c-\d+ is revoked", reasons["revok1"])
    assert "suspended" in reasons["suspe1"]
    assert "expired" in reasons["ended1"]


def refused_logins(gateway: Gateway) -> list[dict[str, Any]]:
    return gateway.events("login refused")


def test_a_name_in_other_letters_is_another_one(balanced: Gateway) -> None:
    with RawClient(balanced.port, from_address("10.1.0.1")) as client:
        with pytest.raises(ErrorCame) as caught:
            client.log_in("Ana@example.com", balanced.passwords[ANA])
        assert caught.value.fields["C"] == "28P01"


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
def test_the_password_never_crosses_the_wire(balanced: Gateway, tls: bool) -> None:
    with RawClient(balanced.port, from_address("10.1.0.2")) as client:
        if tls:
            client.start_tls(alpn=True)
        client.startup(user=ANA, database="shop")
        request = client.message()
        assert request is not None
        mechanisms = request.body[4:].rstrip(b"\0").split(b"\0")
        plus = [b"SCRAM-SHA-256-PLUS"] if tls else []
        assert mechanisms == [*plus, b"SCRAM-SHA-256"]


def test_channel_binding_cannot_be_taken_away_without_notice(balanced: Gateway) -> None:
    """A client that could bind says so with "y": the server offered it, so somebody lied."""
    with RawClient(balanced.port, from_address("10.1.0.3")) as client:
        client.start_tls(alpn=True)
        client.startup(user=ANA, database="shop")
        client.message()
        first = b"y,,n=,r=abcdefghijklmnopqrstuvwx"
        client.send(frame("p", b"SCRAM-SHA-256\0" + struct.pack("!i", len(first)) + first))
        message = client.message()
        assert message is not None
        assert (message.kind, message.fields["C"]) == ("E", "28000")


# -- grants ------------------------------------------------------------------------------------


def test_a_wrong_target_lists_what_one_can_reach(balanced: Gateway) -> None:
    owner = balanced.database.owner.name
    fields = refusal(balanced, address="10.2.0.1", database="warehouse")
    assert fields["C"] == "28000"
    assert fields["M"] == 'gatepost: no target "warehouse" that you have a grant on'
    assert fields["H"] == f"did you mean shop/warehouse? you can reach: shop ({owner})"
    stranger = "stranger"
    balanced.add_identity(stranger, "service")
    balanced.settle()
    fields = refusal(balanced, stranger, "10.2.0.2")
    assert fields["M"] == 'gatepost: no target "shop" that you have a grant on'
    assert "you can reach nothing yet" in fields["H"]
    reasons = [event["detail"]["reason"] for event in refused_logins(balanced)]
    assert reasons[-2:] == ["no grant on target warehouse", "no grant on target shop"]


def test_another_database_of_the_target_needs_a_grant_for_it(balanced: Gateway) -> None:
    assert refusal(balanced, address="10.2.0.3", database="shop/postgres")["C"] == "28000"
    balanced.add_identity("roamer", "service")
    owner = balanced.database.owner.name
    balanced.grant("identity:roamer", owner, databases=("postgres",))
    balanced.settle()
    with RawClient(balanced.port, from_address("10.2.0.4")) as client:
        client.log_in("roamer", balanced.passwords["roamer"], database="shop/postgres")
        assert values(client.ask("SELECT current_database()")) == [b"postgres"]
    assert refusal(balanced, "roamer", "10.2.0.4")["C"] == "28000"


def test_the_role_that_is_asked_for_is_the_one_that_acts(balanced: Gateway) -> None:
    database = balanced.database
    balanced.add_identity("chooser", "service")
    balanced.grant("identity:chooser", database.ro.name)
    balanced.grant("identity:chooser", database.rw.name)
    balanced.settle()
    password = balanced.passwords["chooser"]
    for asked, role in ((None, database.ro.name), (database.rw.name, database.rw.name)):
        options: dict[str, Any] = {"options": f"-c gatepost.role={asked} -c gatepost.reason=INC-42"}
        with RawClient(balanced.port, from_address("10.2.0.5")) as client:
            client.log_in("chooser", password, **(options if asked else {}))
            assert values(client.ask("SELECT session_user")) == [role.encode()]
            assert values(client.ask("SELECT current_setting('gatepost.role', true)")) == [None]
    session = balanced.sessions()[-1]
    assert (session["role"], session["reason"]) == (database.rw.name, "INC-42")
    options = {"options": f"-c gatepost.role={database.owner.name}"}
    fields = refusal(balanced, "chooser", "10.2.0.5", **options)
    assert fields["C"] == "28000"
    assert f"no grant for role {database.owner.name} on shop" in fields["M"]
    assert f"you can reach: shop ({database.ro.name}, {database.rw.name})" in fields["H"]


def test_the_conditions_of_a_grant_are_enforced(balanced: Gateway) -> None:
    balanced.add_identity("fenced", "service")
    balanced.grant(
        "identity:fenced",
        balanced.database.ro.name,
        sources=("10.3.0.0/24",),
        application_names=("ci-*",),
    )
    balanced.settle()
    inside, name = "10.3.0.7", "ci-pipeline"
    with RawClient(balanced.port, from_address(inside)) as client:
        client.log_in("fenced", balanced.passwords["fenced"], application_name=name)
    fields = refusal(balanced, "fenced", "10.3.1.7", application_name=name)
    assert (fields["C"], "from 10.3.1.7" in fields["M"]) == ("28000", True)
    fields = refusal(balanced, "fenced", inside, application_name="psql")
    assert (fields["C"], "application psql" in fields["M"]) == ("28000", True)
    assert "ci-*" in fields["H"]
    assert refusal(balanced, "fenced", inside)["C"] == "28000"


def test_a_grant_that_has_ended_opens_nothing(balanced: Gateway) -> None:
    balanced.add_identity("late", "service")
    ends = datetime.now(UTC) + timedelta(seconds=1.5)
    balanced.grant("identity:late", balanced.database.ro.name, expires_at=ends)
    balanced.settle()
    with RawClient(balanced.port, from_address("10.2.0.6")) as client:
        client.log_in("late", balanced.passwords["late"])
        ended = client.message()  # the session that was open ends with it
        assert ended is not None
        assert ended.fields["C"] == "57P01"
    assert datetime.now(UTC) >= ends
    assert refusal(balanced, "late", "10.2.0.6")["C"] == "28000"


# -- start-up parameters -----------------------------------------------------------------------


def test_start_up_parameters_reach_the_target_and_the_record(balanced: Gateway) -> None:
    with RawClient(balanced.port, from_address("10.4.0.1", 41234)) as client:
        client.log_in(
            CI,
            balanced.passwords[CI],
            application_name="nightly",
            options="-c work_mem=5MB -c search_path=a,\\ b --geqo=off",
            DateStyle="German",
        )
        for name, value in (
            ("work_mem", b"5MB"),
            ("search_path", b"a, b"),
            ("geqo", b"off"),
            ("application_name", b"nightly"),
            ("datestyle", b"German, DMY"),
        ):
            assert values(client.ask(f"SHOW {name}")) == [value]
    session = balanced.sessions()[-1]
    assert (session["identity"], session["target"]) == (CI, "shop")
    assert (session["source"], session["source_port"]) == ("10.4.0.1", 41234)
    assert (session["peer"], session["application_name"]) == ("127.0.0.1", "nightly")
    assert session["ended_at"] is not None


@pytest.mark.parametrize(
    ("parameters", "sqlstate", "words"),
    [
        ({"options": "-c role=postgres"}, "42501", "built-in rule set-role"),
        ({"options": "--role=postgres"}, "42501", "built-in rule set-role"),
        ({"role": "postgres"}, "42501", "built-in rule set-role"),
        ({"options": "-c session_authorization=postgres"}, "42501", "built-in rule set-role"),
        ({"client_encoding": "SJIS"}, "42501", "client_encoding SJIS cannot be read safely"),
        ({"options": "-c client_encoding=big5"}, "42501", "client_encoding big5"),
        ({"options": "-c gatepost.rolle=x"}, "42704", "unknown option gatepost.rolle"),
        ({"options": "-c gatepost.auth=magic"}, "22023", "unknown value of gatepost.auth"),
        ({"options": "-c gatepost.auth=browser"}, "28000", "browser is not set up"),
        ({"replication": "database"}, "28000", "replication"),
        ({"replication": "TRUE"}, "28000", "replication"),
        ({"replication": "maybe"}, "22023", "replication"),
        ({"work_mem": "much"}, "22023", "work_mem"),
        ({"nonsense": "1"}, "42704", "nonsense"),
        ({"options": "nonsense"}, "42601", ""),
    ],
)
def test_a_start_up_parameter_that_may_not_be_is_refused(
    balanced: Gateway, parameters: dict[str, str], sqlstate: str, words: str
) -> None:
    fields = refusal(balanced, CI, "10.4.0.2", **parameters)
    assert (fields["S"], fields["C"]) == ("FATAL", sqlstate)
    assert words in fields["M"]


def test_an_unsafe_encoding_is_refused_in_the_session_too(balanced: Gateway) -> None:
    with RawClient(balanced.port, from_address("10.4.0.3")) as client:
        client.log_in(CI, balanced.passwords[CI], client_encoding="LATIN1")
        assert client.parameters["client_encoding"] == "LATIN1"
        for text in (
            "SET client_encoding = 'SJIS'",
            "SET NAMES 'gbk'",
            "SELECT set_config('client_encoding', 'BIG5', false)",
        ):
            (error,) = errors(client.ask(text))
            assert error["C"] == "42501"
        client.send(frame("Q", b"SELECT length('\xe9')\0"))
        assert values(client.until()) == [b"1"]
        client.ask("SET client_encoding = 'UTF8'")
        client.send(frame("Q", b"SELECT length('\xe9')\0"))
        assert [error["C"] for error in errors(client.until())] == ["42501"]


# -- the target --------------------------------------------------------------------------------


def test_a_target_that_cannot_be_reached_is_named_as_what_failed(gateway: Gateway) -> None:
    now, owner = datetime.now(UTC), gateway.database.owner.name
    for name, port in (("gone", 1), ("locked", gateway.database.server.port)):
        spec = TargetSpec(name, "127.0.0.1", gateway.database.name, port)
        targets.create(gateway.store, ADMIN, now, spec)
        targets.put_role(
            gateway.store, ADMIN, now, name, owner, sealer=gateway.sealer, secret="outdated"
        )
        gateway.grant(f"identity:{CI}", owner, name)
    gateway.settle()
    fields = refusal(gateway, CI, database="gone")
    assert fields["C"] == "08006"
    assert "target gone cannot be reached: connection refused" in fields["M"]
    fields = refusal(gateway, CI, database="locked")
    assert fields["C"] == "08006"  # 28P01 would say that the client's own password is wrong
    assert (
        f"target locked cannot be reached: it does not let the gateway in as {owner}"
        in (fields["M"])
    )


def test_a_client_without_tls_from_elsewhere_is_told_to_use_it(gateway: Gateway) -> None:
    """From loopback it is let in by default; the balanced gateway's list is another one."""
    with gateway.connect(sslmode="disable") as connection:
        assert not connection.pgconn.ssl_in_use


def test_without_tls_only_listed_networks_get_in(balanced: Gateway) -> None:
    fields = refusal(balanced, CI, "192.0.2.1")
    assert fields["C"] == "28000"
    assert "need TLS" in fields["M"]
    with RawClient(balanced.port, from_address("192.0.2.1")) as client:
        client.start_tls(alpn=True)
        client.log_in(CI, balanced.passwords[CI])
        assert values(client.ask("SELECT 1")) == [b"1"]
    assert balanced.sessions()[-1]["tls"].startswith("TLSv1.3 ")
