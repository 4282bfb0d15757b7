"""At the yes everything is checked again; second tries and yeses given before pass once."""

from __future__ import annotations

from datetime import UTC, datetime

import psycopg
import pytest
from psycopg import errors

from appliance.approvals.requests import RequestKind, RequestState
from appliance.entities import PermissionRole
from appliance.store import approvals, identities, pre_approvals, rules
from appliance.store.actors import Actor
from appliance.store.pre_approvals import PreApprovalSpec
from tests.e2e import raw
from tests.e2e.held import (
    BO,
    CY,
    RULE,
    Client,
    decide,
    left,
    recorded,
    settled,
    state_of,
    waiting,
)
from tests.e2e.raw import RawClient, query
from tests.e2e.raw import errors as raw_errors
from tests.harness.gateway import ADMIN, ANA, CI, Gateway
from tests.harness.polling import eventually


def refusal(client: Client) -> str:
    error = client.ended()
    assert isinstance(error, errors.InsufficientPrivilege), error
    return str(error)


def test_a_view_that_was_replaced_is_not_what_was_approved(orders: Gateway) -> None:
    orders.database.run(
        "CREATE TABLE IF NOT EXISTS other (id int, note text); INSERT INTO other VALUES (1);"
        " CREATE OR REPLACE VIEW chosen AS SELECT id, note FROM orders"
    )
    with orders.connect() as connection:
        client = Client(connection, "DELETE FROM chosen -- view")
        request = waiting(orders, "-- view")
        orders.database.run("CREATE OR REPLACE VIEW chosen AS SELECT id, note FROM other")
        decide(orders, request, approve=True)
        message = refusal(client)
        assert "what was approved is not what would run now" in message
        assert connection.execute("SELECT count(*) FROM other").fetchone() == (1,)
    assert left(orders) == 42
    assert state_of(orders, request) is RequestState.APPROVED
    assert recorded(orders, "-- view") == ("refused", "42501", "approved")


def test_a_table_that_was_replaced_is_not_what_was_approved(orders: Gateway) -> None:
    with orders.connect() as connection:
        client = Client(connection, "DELETE FROM orders -- replaced")
        request = waiting(orders, "-- replaced")
        orders.database.run(
            "DROP TABLE orders CASCADE; CREATE TABLE orders (id int, note text);"
            " INSERT INTO orders VALUES (1)"
        )
        decide(orders, request, approve=True)
        assert "is not what would run now" in refusal(client)
    assert left(orders) == 1


def test_a_search_path_that_a_batch_changes_before_its_bind_counts(orders: Gateway) -> None:
    """Approved was the table that the name meant when somebody looked."""
    orders.database.run("CREATE SCHEMA IF NOT EXISTS aside")
    orders.database.run("CREATE TABLE IF NOT EXISTS aside.orders (id int, note text)")
    with RawClient(orders.port) as client:
        client.log_in(CI, orders.passwords[CI])
        client.send(
            raw.parse("DELETE FROM orders -- path", "gone"),
            raw.parse("SET search_path = aside"),
            raw.bind(),
            raw.execute(),
            raw.bind("", "gone"),
            raw.execute(),
            raw.SYNC,
        )
        decide(orders, waiting(orders, "-- path"), approve=True)
        (error,) = raw_errors(client.until())
        assert "search_path changed" in error["M"]
    assert left(orders) == 42


def test_an_approver_who_lost_the_right_has_approved_nothing(orders: Gateway) -> None:
    now = datetime.now(UTC)
    with orders.connect() as connection:
        client = Client(connection, "DELETE FROM orders -- lost")
        request = waiting(orders, "-- lost")
        with orders.store.transaction():
            decide(orders, request, approve=True, by=CY)
            identities.set_permission_roles(orders.store, ADMIN, now, CY, frozenset())
        message = client.ended()
        identities.set_permission_roles(
            orders.store, ADMIN, now, CY, frozenset({PermissionRole.APPROVER})
        )
        orders.settle()
        assert "the approval does not hold any more" in str(message)
    assert left(orders) == 42


def test_a_rule_that_blocks_by_now_wins_over_the_yes(orders: Gateway) -> None:
    with orders.connect() as connection:
        client = Client(connection, "DELETE FROM orders -- blocked")
        request = waiting(orders, "-- blocked")
        orders.rule("nothing-goes", "block", commands=("delete",), tables=("public.orders",))
        now = datetime.now(UTC)
        names = ("nothing-goes", "brief", "later", RULE)
        rules.reorder(orders.store, ADMIN, now, names)
        orders.settle()
        decide(orders, request, approve=True)
        message = refusal(client)
        rules.delete(orders.store, ADMIN, now, "nothing-goes")
        orders.settle()
        assert 'blocked by rule "nothing-goes"' in message
    assert left(orders) == 42


def test_when_its_time_is_over_the_client_is_told_and_goes_on(orders: Gateway) -> None:
    orders.database.run("CREATE TABLE IF NOT EXISTS brief (n int)")
    with orders.connect() as connection:
        client = Client(connection, "DELETE FROM brief -- timeout")
        request = waiting(orders, "-- timeout")
        error = client.ended()
        assert isinstance(error, errors.QueryCanceled)
        assert f"nobody decided request {request.id} in time" in str(error)
        assert connection.execute("SELECT 1").fetchone() == (1,)
    settled(orders, request, RequestState.TIMEOUT)
    assert recorded(orders, "-- timeout") == ("withdrawn", "57014", "timeout")


def test_a_second_try_passes_once_after_the_yes(orders: Gateway) -> None:
    orders.database.run("CREATE TABLE IF NOT EXISTS later (n int); INSERT INTO later VALUES (1)")
    text = "DELETE FROM later -- a second try"

    def tried() -> str:
        with orders.connect(CI) as connection:  # a session of its own each time
            try:
                return connection.execute(text).statusmessage or ""
            except errors.InsufficientPrivilege as error:
                return f"{error} {error.diag.message_hint}"

    first, again = tried(), tried()
    (request,) = approvals.find(orders.store, text, state="waiting").items
    assert request.kind is RequestKind.RETRY
    for message in (first, again):
        assert f"request {request.id}" in message
        assert "Run it again within 15 min of the approval" in message
        assert f"/approvals/{request.id}" in message
    decide(orders, request, approve=True)
    assert tried() == "DELETE 1"
    assert "needs an approval" in tried()
    states = [(row["state"], row["approval_id"]) for row in orders.statements(text)]
    assert states[:3] == [
        ("refused", request.id),
        ("refused", request.id),
        ("done", request.id),
    ]
    assert states[3][0] == "refused"


def test_what_was_approved_beforehand_passes_at_once_and_is_recorded(orders: Gateway) -> None:
    with orders.connect() as connection:
        client = Client(connection, "DELETE FROM orders -- beforehand")
        request = waiting(orders, "-- beforehand")
        decide(orders, request, approve=False, reason="ask for it beforehand")
        refusal(client)
        spec = PreApprovalSpec(ANA, "shop", request.fingerprint, 1, None, "the monthly clearing")
        bo = Actor(BO, "browser", "127.0.0.1")
        pre_approvals.create(orders.store, bo, datetime.now(UTC), spec)
        cursor = connection.execute("DELETE FROM orders -- beforehand")
        assert cursor.statusmessage == "DELETE 42"
        client = Client(connection, "DELETE FROM orders -- beforehand")
        eventually(lambda: client.notices, what="the notice: it was for once")
        connection.cancel_safe()
        client.ended()
    _, passed, _ = orders.statements("-- beforehand")
    assert (passed["state"], passed["decision"]["via"]) == ("done", "pre-approval")


def test_nobody_is_asked_where_nobody_could_say_yes(orders: Gateway) -> None:
    now = datetime.now(UTC)
    for name in (BO, CY):
        identities.set_permission_roles(orders.store, ADMIN, now, name, frozenset())
    orders.settle()
    try:
        with orders.connect() as connection, pytest.raises(errors.InsufficientPrivilege) as no:
            connection.execute("DELETE FROM orders -- nobody")
        assert "nobody can give it" in str(no.value)
    finally:
        for name in (BO, CY):
            identities.set_permission_roles(
                orders.store, ADMIN, now, name, frozenset({PermissionRole.APPROVER})
            )
        orders.settle()
    assert recorded(orders, "-- nobody") == ("refused", "42501", "")


def test_a_portal_that_a_new_rule_would_hold_has_to_be_bound_again(orders: Gateway) -> None:
    with RawClient(orders.port) as client:
        client.log_in(CI, orders.passwords[CI])
        client.ask("BEGIN")
        client.send(
            raw.parse("SELECT id FROM orders"), raw.bind("p"), raw.execute("p", 1), raw.SYNC
        )
        client.until()
        orders.rule("reads", "approve", commands=("select",), tables=("public.orders",))
        client.send(raw.execute("p", 1), raw.SYNC)
        (error,) = raw_errors(client.until())
        rules.delete(orders.store, ADMIN, datetime.now(UTC), "reads")
        orders.settle()
        assert error["C"] == "42501"
        assert "Run it again" in error["H"]
        client.send(query("ROLLBACK"))
        client.until()


def test_a_start_up_setting_that_would_be_held_is_refused(orders: Gateway) -> None:
    orders.rule("paths", "approve", commands=("session",))
    try:
        with pytest.raises(psycopg.OperationalError) as refused:
            orders.connect(options="-c search_path=public")
        assert "gatepost: " in str(refused.value)
        assert "paths" in str(refused.value)
    finally:
        rules.delete(orders.store, ADMIN, datetime.now(UTC), "paths")
        orders.settle()
