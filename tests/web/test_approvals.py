"""Approvals: who sees what, who decides, once; what the page says of it."""

from __future__ import annotations

import csv
import io
import re
from datetime import timedelta

import orjson
import pytest

from appliance.approvals.requests import Estimate, RequestState
from appliance.entities import PermissionRole
from appliance.store import approvals, audit, identities, sign_ins
from appliance.store.actors import Actor
from appliance.store.identities import IdentitySpec
from tests.web.asking import ADA, ANA, AUD, BO, CY, EVE, TEXT, cast, hold
from tests.web.browsing import Browser, words
from tests.web.conftest import AT, BY, World
from tests.web.recorded import Ran, Recorded, record

SESSION = "00000000000000a1"
ORDERS = "DELETE FROM orders"


@pytest.fixture
def held(world: World) -> int:
    """A statement of ana that waits, with what she ran before it."""
    cast(world)
    ran = (Ran("select 1"), Ran("select 2"), Ran("begin"), Ran(TEXT, "hold", "held"))
    record(world.store, Recorded(ANA, AT - timedelta(minutes=3), ran, id=SESSION))
    return hold(world.store, AT)


def decide(browser: Browser, number: int, what: str, reason: str = "", **headers: str) -> str:
    """Send the form of a request's page, and return the words of the answer."""
    page = f"/approvals/{number}"
    form = {"decision": what, "reason": reason}
    answer = browser.submit("/me", form, f"{page}/decide", **headers)
    assert answer.status_code in (200, 303), words(answer.text)
    return words(browser.get(page).text if answer.status_code == 303 else answer.text)


def test_a_card_says_who_what_where_why_and_how_long(world: World, held: int) -> None:
    page = world.signed_in(BO).get("/approvals").text
    text = words(page)
    assert "ana@example.com wants to run this on shop , production , as app_rw" in text
    assert "WHERE customer_id = $1 $1 '4711'" in text and 'class="kw">DELETE' in page
    assert "bulk-writes-need-a-human : delete on public.orders" in text
    assert "about 5,000 rows, says the planner" in text
    assert "Transaction none open" in text and "INC-42: double orders" in text
    assert "10.2.0.7 , psql" in text
    assert "Before it begin ran select 2 ran select 1 ran" in text
    assert "until 12:10 UTC" in text and "it cannot be undone" in text


def test_an_open_transaction_and_a_missing_estimate_are_said(world: World) -> None:
    cast(world)
    why = Estimate(None, "it calls a function")
    hold(world.store, AT, estimate=why, transaction_since=AT - timedelta(minutes=2))
    text = words(world.signed_in(BO).get("/approvals").text)
    assert "no estimate: it calls a function" in text
    assert "open since 2 min ago : what it locked stays locked" in text


@pytest.mark.parametrize(
    ("name", "sees", "decides"),
    [
        (BO, True, True),
        (ANA, True, False),
        (ADA, True, False),
        (AUD, True, False),
        (EVE, False, False),
    ],
)
def test_each_sees_and_decides_what_is_theirs(
    world: World, held: int, name: str, sees: bool, decides: bool
) -> None:
    browser = world.signed_in(name)
    page = browser.get("/approvals")
    assert page.status_code == 200
    assert ("customer_id" in page.text) is sees
    assert ('value="approve"' in page.text) is decides
    for path in ("", "/card", "/text"):
        answer = browser.get(f"/approvals/{held}{path}")
        assert answer.status_code == (200 if sees else 404)
        assert ("customer_id" in answer.text) is sees
    if decides:
        return
    answer = browser.submit(
        "/me", {"decision": "approve", "reason": "x"}, f"/approvals/{held}/decide"
    )
    assert answer.status_code == (403 if sees else 404)
    assert approvals.get(world.store, held).state is RequestState.WAITING
    assert audit.find(world.store, action="approval.approve").total == 0


def test_who_may_not_decide_is_told_why_and_who_can(world: World, held: int) -> None:
    own = words(world.signed_in(ANA).get("/approvals").text)
    assert "Yours: somebody else decides it. bo@example.com, cy@example.com can decide." in own
    admin = words(world.signed_in(ADA).get("/approvals").text)
    assert "ada@example.com is no approver: that takes the permission role approver." in admin


def test_the_owner_of_a_machine_sees_its_request_and_may_not_decide_it(world: World) -> None:
    cast(world)
    identities.create(world.store, BY, AT, IdentitySpec("ci-nightly", "ci", owner=BO))
    hold(world.store, AT, identity="ci-nightly", identity_kind="ci", owner=BO, retry_s=900)
    text = words(world.signed_in(BO).get("/approvals").text)
    assert "ci-nightly (ci, owner bo@example.com) was stopped on shop" in text
    assert "bo@example.com owns ci-nightly: somebody else must decide." in text
    assert 'value="approve"' in world.signed_in(CY).get("/approvals").text


def test_approving_runs_it_once_and_says_what_happened(both: World) -> None:
    cast(both)
    ran = (Ran("select 1"), Ran("x"), Ran("y"), Ran(TEXT, "hold", "done", tag="DELETE 42"))
    record(both.store, Recorded(ANA, AT - timedelta(minutes=3), ran, id=SESSION))
    number = hold(both.store, AT)
    text = decide(both.signed_in(BO), number, "approve", "fine")
    assert "Approved by you, just now: “fine”. Ran in 1 ms" in text.replace(" ,", ",").replace(
        " :", ":"
    ), text
    stored = approvals.get(both.store, number)
    assert (stored.state, stored.decided_by, stored.decided_via, stored.decision_reason) == (
        RequestState.APPROVED,
        BO,
        "browser",
        "fine",
    )
    [event] = audit.find(both.store, action="approval.approve").items
    assert event.actor == BO
    listed = words(both.signed_in(CY).get("/approvals").text)
    assert "Nothing waits" in listed and "bo@example.com: fine" in listed


def test_until_its_record_is_in_the_card_asks_again(world: World, held: int) -> None:
    browser = world.signed_in(BO)
    part = browser.submit(
        "/approvals", {"decision": "approve"}, f"/approvals/{held}/decide", HX_Request="true"
    ).text
    assert "<html" not in part and "Being handed over" in words(part)
    assert f'hx-get="/approvals/{held}/card"' in part and "load delay:1s" in part


def test_denying_needs_a_reason_and_is_said_to_who_asked(world: World, held: int) -> None:
    browser = world.signed_in(BO)
    answer = browser.submit("/approvals", {"decision": "deny"}, f"/approvals/{held}/decide")
    assert answer.status_code == 422 and "Say why not" in words(answer.text)
    assert approvals.get(world.store, held).state is RequestState.WAITING
    assert "denied" in decide(browser, held, "deny", "not during the sale")
    mine = words(world.signed_in(ANA).get("/me").text)
    assert "by bo@example.com: not during the sale" in mine


def test_a_decision_without_a_word_changes_nothing(world: World, held: int) -> None:
    answer = world.signed_in(BO).submit("/approvals", {}, f"/approvals/{held}/decide")
    assert answer.status_code == 422 and "Choose Approve or Deny" in words(answer.text)
    assert approvals.get(world.store, held).state is RequestState.WAITING


def test_the_second_of_two_is_told_who_won(both: World) -> None:
    cast(both)
    number = hold(both.store, AT)
    decide(both.signed_in(CY), number, "deny", "no")
    bo = both.signed_in(BO)
    answer = bo.submit("/me", {"decision": "approve"}, f"/approvals/{number}/decide")
    assert answer.status_code == 409
    assert "cy@example.com denied it before you" in words(answer.text)
    part = decide(bo, number, "approve", HX_Request="true")
    assert "your decision came second and changed nothing" in part
    stored = approvals.get(both.store, number)
    assert (stored.state, stored.decided_by) == (RequestState.DENIED, CY)
    assert audit.find(both.store, action="approval.approve").total == 0


def test_what_is_over_cannot_be_decided(world: World, held: int) -> None:
    browser = world.signed_in(BO)
    world.clock.advance(timedelta(minutes=10))
    page = browser.get(f"/approvals/{held}").text
    assert "time is over" in page and 'value="approve"' not in page
    answer = browser.submit("/me", {"decision": "approve"}, f"/approvals/{held}/decide")
    assert answer.status_code == 409 and "has expired" in words(answer.text)
    assert approvals.get(world.store, held).state is RequestState.WAITING


def test_a_form_that_is_not_ours_decides_nothing(world: World, held: int) -> None:
    bo = world.signed_in(BO)
    form = {"decision": "approve", "csrf": "made up"}
    for data in (form, {"decision": "approve"}):
        assert bo.post(f"/approvals/{held}/decide", data).status_code == 403
        assert bo.post(f"/approvals/{held}/cancel", data).status_code == 403
    other = world.signed_in(CY)
    token = re.search(r'name="csrf" value="([^"]+)"', other.get("/approvals").text)
    assert token
    stolen = {"decision": "approve", "csrf": token[1]}
    assert bo.post(f"/approvals/{held}/decide", stolen).status_code == 403
    site = {"Sec_Fetch_Site": "cross-site"}
    assert other.post(f"/approvals/{held}/decide", stolen, **site).status_code == 403
    assert approvals.get(world.store, held).state is RequestState.WAITING


def test_without_a_sign_in_the_link_of_the_mail_comes_back_to_it(world: World, held: int) -> None:
    answer = world.browser().get(f"/approvals/{held}")
    assert answer.headers["Location"] == f"/sign-in?next=/approvals/{held}"


def test_nothing_that_was_asked_becomes_markup(world: World) -> None:
    cast(world)
    bad = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    number = hold(
        world.store,
        AT,
        f"delete from t where a = '{bad}' -- {bad}",
        reason=bad,
        application_name=bad,
        why=bad,
        parameters=(bad,),
        source=bad,
        estimate=Estimate(None, bad),
    )
    bo = world.signed_in(BO)
    pages = [bo.get(path).text for path in ("/approvals", f"/approvals/{number}")]
    decide(bo, number, "deny", bad)
    pages += [bo.get(path).text for path in ("/approvals", f"/approvals/{number}")]
    pages += [world.signed_in(ANA).get("/me").text, world.signed_in(ADA).get("/search?q=1").text]
    for page in pages:
        assert "<script>alert" not in page and "<img src=x" not in page
        assert "&lt;script&gt;" in page


def test_characters_that_turn_a_statement_round_are_written_out(world: World) -> None:
    cast(world)
    hold(world.store, AT, "delete from a /*\u202e } \u2066if (admin)\u2069 \u2066 begin*/")
    page = world.signed_in(BO).get("/approvals").text
    assert "⟨U+202E⟩" in page and "\u202e" not in page
    hold(world.store, AT, "select $1", parameters=("\u202e1",), application_name="\u202epsql")
    page = world.signed_in(BO).get("/approvals").text
    assert page.count("⟨U+202E⟩") == 3 and "\u202e" not in page


def test_a_text_too_long_for_the_queue_is_decided_on_its_own_page(world: World) -> None:
    cast(world)
    number = hold(world.store, AT, "select 1; " * 1000 + "drop table orders")
    bo = world.signed_in(BO)
    queue = bo.get("/approvals").text
    assert "Read more of it before you decide" in queue and 'value="approve"' not in queue
    alone = bo.get(f"/approvals/{number}").text
    assert 'value="approve"' in alone and "orders" in alone
    hold(world.store, AT, "select $1", parameters=("x" * 2_000 + "hidden",))
    queue = bo.get("/approvals").text
    assert "Not all of its parameters are shown." in queue and 'value="approve"' not in queue
    assert "hidden" in bo.get(f"/approvals/{number + 1}").text
    file = bo.get(f"/approvals/{number + 1}/text")
    assert file.text.endswith("hidden'\"\nselect $1\n") and file.mimetype == "application/sql"


def test_the_navigation_counts_what_one_may_decide(world: World, held: int) -> None:
    for name, number in ((BO, "1"), (ANA, ""), (ADA, "")):
        page = world.signed_in(name).get("/me").text
        assert ('title="1 waiting"' in page) is bool(number), name
    assert "Waits for you" in words(world.signed_in(BO).get("/").text)
    assert "Waits for you" not in words(world.signed_in(ADA).get("/").text)


def test_the_number_of_a_request_is_found_by_the_search(world: World, held: int) -> None:
    for text in (str(held), f"%23{held}"):
        page = world.signed_in(BO).get(f"/search?q={text}").text
        assert f'href="/approvals/{held}"' in page
    world.person("rev@example.com", PermissionRole.REVIEWER)
    reviewer = world.signed_in("rev@example.com")
    assert f'href="/approvals/{held}"' not in reviewer.get(f"/search?q={held}").text


def test_decided_ones_are_filtered_paged_and_taken_as_a_file(world: World) -> None:
    cast(world)
    for index in range(27):
        number = hold(world.store, AT, f"delete from t{index:02}")
        approvals.decide(
            world.store,
            Actor(BO if index % 2 else CY, "browser"),
            AT + timedelta(seconds=index),
            number,
            approve=index % 9 != 0,
            reason="as agreed",
        )
    bo = world.signed_in(BO)
    assert "27 requests" in words(bo.get("/approvals").text)
    assert "t00" in bo.get("/approvals?page=2").text
    denied = bo.get("/approvals?state=denied").text
    assert "3 requests match" in words(denied) and "t09" in denied and "t08" not in denied
    assert "1 request match" in words(bo.get("/approvals?q=T13").text)
    rows = list(csv.DictReader(io.StringIO(bo.get("/approvals?format=csv").text)))
    assert len(rows) == 27 and rows[0]["decided_by"] == CY and rows[0]["reason"].startswith("INC")
    assert world.signed_in(EVE).get("/approvals?format=csv").text.count("\n") == 1


def test_the_list_of_others_is_right_on_both_stores(both: World) -> None:
    cast(both)
    mine, other = hold(both.store, AT), hold(both.store, AT, ORDERS, approvers=(f"identity:{CY}",))
    for number in (mine, other):
        approvals.decide(both.store, Actor(CY, "browser"), AT, number, approve=True)
    seen = both.signed_in(BO).get("/approvals?q=delete").text
    assert f'id="d-{mine}"' in seen and f'id="d-{other}"' not in seen
    for name in (ANA, CY, ADA, AUD):
        page = both.signed_in(name).get("/approvals?q=delete").text
        assert f'id="d-{mine}"' in page and f'id="d-{other}"' in page, name
    assert 'id="d-' not in both.signed_in(EVE).get("/approvals").text


def streamed(world: World, name: str, change: object) -> list[dict[str, object]]:
    """Return what an open page of somebody hears while ``change`` happens."""
    polls: list[int] = []

    def is_serving() -> bool:
        polls.append(1)
        if len(polls) == 2:
            assert callable(change)
            change()
        return len(polls) <= 2

    world.app.extensions["gatepost_is_serving"] = is_serving
    text = world.signed_in(name).get("/approvals/events").text
    world.app.extensions["gatepost_is_serving"] = lambda: True
    return [orjson.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]


def test_the_stream_tells_what_waits_at_once_and_as_it_changes(world: World, held: int) -> None:
    heard = streamed(world, BO, lambda: hold(world.store, AT, ORDERS))
    assert heard == [
        {"waiting": [held], "mine": 1},
        {"waiting": [held + 1, held], "mine": 2},
    ]


def test_the_stream_tells_nothing_of_what_is_not_theirs(world: World, held: int) -> None:
    def by_bo() -> None:
        approvals.decide(world.store, Actor(BO, "browser"), AT, held, approve=True)

    assert streamed(world, EVE, lambda: hold(world.store, AT, ORDERS)) == [
        {"waiting": [], "mine": 0}
    ]
    [first, second] = streamed(world, ADA, by_bo)
    assert first == {"waiting": [held + 1, held], "mine": 0}
    assert second == {"waiting": [held + 1], "mine": 0}


def test_the_stream_ends_with_the_sign_in(world: World, held: int) -> None:
    def leave() -> None:
        sign_ins.close_others(world.store, BY, AT, BO, None)

    assert streamed(world, BO, leave) == [{"waiting": [held], "mine": 1}]


def test_a_lost_right_is_lost_in_the_stream_too(world: World, held: int) -> None:
    def lose() -> None:
        identities.set_permission_roles(world.store, BY, AT, BO, frozenset())

    assert streamed(world, BO, lose) == [
        {"waiting": [held], "mine": 1},
        {"waiting": [], "mine": 0},
    ]


def test_a_text_made_to_be_slow_costs_its_seconds_once(world: World) -> None:
    cast(world)
    hold(world.store, AT, "select a from t where b = 1")
    deep = f"select {'case when a then ' * 300}1{' end' * 300}"
    hold(world.store, AT, deep)
    bo = world.signed_in(BO)
    bo.get("/approvals")
    reader = world.app.extensions["gatepost_sql"]
    reader.planner.close()  # what is known already needs no planner
    page = bo.get("/approvals").text
    assert 'class="kw">FROM' in page and len(page) < 120_000, "not a page of blanks"
