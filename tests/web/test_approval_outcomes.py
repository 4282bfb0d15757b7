"""What became of a request, in words: on its page, in the lists, and in the session's replay."""

from __future__ import annotations

from datetime import timedelta

import pytest

from appliance.approvals.requests import RequestState
from appliance.store import approvals
from appliance.store.actors import Actor
from appliance.store.record_models import StatementRow
from tests.web.asking import ADA, ANA, BO, CY, TEXT, cast, hold, statement
from tests.web.browsing import words
from tests.web.conftest import AT, World
from tests.web.recorded import Ran, Recorded, record

SESSION = "00000000000000a1"
AS_BO = Actor(BO, "browser")


def recorded(world: World, number: int | None, **values: object) -> None:
    """Record ana's session; its fourth statement is the held one, with these values."""
    ran = (Ran("select 1"), Ran("select 2"), Ran("select 3"), Ran(TEXT, "hold", "held"))
    record(world.store, Recorded(ANA, AT - timedelta(minutes=1), ran, id=SESSION))
    with world.store.transaction():
        fourth = (StatementRow.session_id == SESSION) & (StatementRow.seq == 4)
        StatementRow.update(approval_id=number, **values).where(fourth).execute()


@pytest.mark.parametrize(
    ("values", "said", "is_final"),
    [
        ({"state": "done", "tag": "DELETE 42", "duration_ms": 12.4}, "Ran in 12 ms, DELETE 42.", 1),
        ({"state": "done", "tag": "DELETE 0", "duration_ms": 4200}, "Ran in 4.2 s, DELETE 0.", 1),
        (
            {"state": "failed", "sqlstate": "23503", "duration_ms": 3},
            "ended in an error (23503)",
            1,
        ),
        ({"state": "sent", "duration_ms": None}, "Running…", 0),
        ({"state": "held"}, "Being handed over…", 0),
        ({"state": "refused"}, "Not run: what the yes was bound to had changed", 1),
        ({"state": "withdrawn"}, "The client left before it could run.", 1),
    ],
)
def test_after_a_yes_the_record_is_told(
    world: World, values: dict[str, object], said: str, is_final: int
) -> None:
    cast(world)
    number = hold(world.store, AT)
    recorded(world, number, **values)
    approvals.decide(world.store, AS_BO, AT, number, approve=True)
    page = world.signed_in(BO).get(f"/approvals/{number}").text
    assert said in words(page)
    assert ("hx-trigger" not in page.split("data-request", 1)[1]) is bool(is_final)


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (RequestState.TIMEOUT, "Nobody decided in time: not run."),
        (RequestState.CANCELLED, "The client cancelled it: not run."),
        (RequestState.WITHDRAWN, "The client left before: not run."),
        (RequestState.KILLED, "Its session was ended before: not run."),
        (RequestState.SHUTDOWN, "The gateway stopped before: not run."),
    ],
)
def test_what_nobody_decided_says_how_it_ended(
    world: World, state: RequestState, said: str
) -> None:
    cast(world)
    number = hold(world.store, AT)
    approvals.settle(world.store, AT, number, state)
    for path in ("/approvals", f"/approvals/{number}"):
        assert said in words(world.signed_in(BO).get(path).text)


def test_a_second_try_is_waited_for_and_told(world: World) -> None:
    cast(world)
    number = hold(world.store, AT, retry_s=900)
    bo = world.signed_in(BO)
    assert "A yes lets this pass once, within 15m" in words(bo.get("/approvals").text)
    approvals.decide(world.store, AS_BO, AT, number, approve=True)
    text = words(bo.get(f"/approvals/{number}").text)
    assert "Waiting for the same statement to be tried again until 2026-11-23 12:15 UTC" in text
    passed = approvals.ask(world.store, AT, statement(AT, retry_s=900, eligible=(BO, CY)))
    assert (passed.id, passed.state) == (number, RequestState.APPROVED)
    assert "It was tried again and let through." in words(bo.get(f"/approvals/{number}").text)
    recorded(world, number, state="done", tag="DELETE 7", at=AT + timedelta(seconds=1))
    text = words(bo.get(f"/approvals/{number}").text)
    assert "Ran in 1 ms, DELETE 7." in text


def test_an_approval_that_was_not_used_lapses(world: World) -> None:
    cast(world)
    number = hold(world.store, AT, retry_s=900)
    approvals.decide(world.store, AS_BO, AT, number, approve=True)
    world.clock.advance(timedelta(minutes=16))
    text = words(world.signed_in(BO).get(f"/approvals/{number}").text)
    assert "It was not tried again in time: the approval has lapsed." in text


def test_a_decision_in_the_shell_is_marked_as_such(world: World) -> None:
    cast(world)
    number = hold(world.store, AT)
    by = Actor(BO, "shell", "root")
    approvals.decide(world.store, by, AT, number, approve=False, reason="late")
    text = words(world.signed_in(BO).get(f"/approvals/{number}").text)
    assert "(shell (OS user root))" in text
    assert "shell (OS user root): late" in words(world.signed_in(BO).get("/approvals").text)


def test_the_replay_names_the_request_and_who_decided(world: World) -> None:
    cast(world)
    number = hold(world.store, AT)
    bad = "<b>late</b>"
    decision = {"approval": number, "approver": BO, "outcome": "denied", "via": "browser"}
    recorded(world, number, state="refused", decision=decision | {"reason": bad})
    ada, ana = world.signed_in(ADA), world.signed_in(ANA)
    for browser, path in ((ada, f"/sessions/{SESSION}"), (ana, f"/me/sessions/{SESSION}")):
        for page in (path, f"{path}/statements/4"):
            html = browser.get(page).text
            assert f'<a href="/approvals/{number}">request {number}</a>' in html
            assert "denied by bo@example.com : “<b>late</b>”" in words(html)
            assert bad not in html
    answer = ada.get(f"/sessions/{SESSION}/next?what=hold")
    assert answer.headers["Location"] == f"/sessions/{SESSION}?s=4#s4"
    link = f'href="/sessions/{SESSION}?s=4#s4"'
    assert link in ada.get(f"/approvals/{number}").text
    assert f'href="/me/sessions/{SESSION}?s=4#s4"' in ana.get(f"/approvals/{number}").text
    assert link not in world.signed_in(BO).get(f"/approvals/{number}").text, "not open to bo"
