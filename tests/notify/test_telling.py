"""Approvers are told that something waits, requesters how it ended; each once."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from appliance.approvals.requests import RequestState
from appliance.entities import ProfileMode
from appliance.store import access_requests, approvals, identities, outbox, profiles
from appliance.store.access_requests import AccessAsk
from appliance.store.database import Store
from appliance.store.identities import IdentitySpec
from appliance.store.outbox import Channel, OutboxRow
from tests.harness.mailbox import Mailbox
from tests.harness.receiver import Receiver
from tests.notify.conftest import URL, Post
from tests.store.approving import ANA, AS_BO, BO, CY, held, machine, statement
from tests.store.conftest import BY, NOW
from tests.store.profiled import COUNT, DROP, recorder_in

SOON = timedelta(seconds=1)


def states(store: Store) -> list[tuple[str, str, str]]:
    with store.reading():
        rows = OutboxRow.select().where(OutboxRow.channel != Channel.NEWS.value)
        return [(r.channel, r.receiver, r.state) for r in rows.order_by(OutboxRow.id)]


def test_nothing_is_noted_while_nobody_can_be_told(post: Post) -> None:
    request = held(post.store)
    approvals.settle(post.store, NOW, request.id, RequestState.TIMEOUT)
    with post.store.reading():
        assert OutboxRow.select().count() == 0


def test_each_approver_gets_a_mail_and_the_webhook_one_message(
    post: Post, box: Mailbox, hook: Receiver
) -> None:
    post.mail_to(box.port)
    post.post_to(hook.url())
    request = held(post.store)
    post.deliver()
    post.deliver()
    assert box.envelopes == [("gatepost@example.com", [BO]), ("gatepost@example.com", [CY])]
    (told,) = hook.posted
    assert told.json["event"] == "approval.requested"
    assert told.json["request"]["id"] == request.id
    assert told.json["approvers"] == [BO, CY]
    assert states(post.store) == [
        ("webhook", "", "sent"),
        ("mail", BO, "sent"),
        ("mail", CY, "sent"),
    ]


def test_the_mail_says_who_what_where_why_until_when_and_links_to_the_request(
    post: Post, box: Mailbox
) -> None:
    post.mail_to(box.port)
    request = held(post.store)
    post.clock.advance(timedelta(minutes=2))
    post.deliver()
    (mail,) = box.to(BO)
    assert mail["Subject"] == (
        f"[Gatepost {request.id}] {ANA} waits to run a statement on shop: "
        "please decide by 12:10 UTC"
    )
    assert mail["From"] == "Gatepost <gatepost@example.com>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Date"].datetime == NOW.replace(microsecond=0)  # when it happened
    text = mail.get_body(("plain",))
    page = mail.get_body(("html",))
    assert text is not None and page is not None
    link = f"{URL}/approvals/{request.id}"
    for body in (text.get_content(), page.get_content()):
        for words in (
            ANA,
            "DELETE FROM orders",
            "shop as app_rw",
            "production",
            "10.0.0.1",
            "INC-42",
            "bulk-writes",
            "42 rows",
            "12:10 UTC",
            "3 parameters: see the page",
            "open since 11:59 UTC",
            link,
        ):
            assert words in body, words
        assert "00ff" not in body  # a parameter's value


def test_who_asked_hears_how_it_ended(post: Post, box: Mailbox, hook: Receiver) -> None:
    post.mail_to(box.port)
    post.post_to(hook.url())
    request = held(post.store)
    post.deliver()
    post.clock.advance(SOON)
    approvals.decide(
        post.store, AS_BO, post.clock.now(), request.id, approve=False, reason="use a WHERE"
    )
    post.deliver()
    (mail,) = box.to(ANA)
    assert mail["Subject"] == f"[Gatepost {request.id}] Denied: statement of {ANA} on shop"
    body = mail.get_body(("plain",))
    assert body is not None
    assert "use a WHERE" in body.get_content() and BO in body.get_content()
    assert [posted.json["event"] for posted in hook.posted] == [
        "approval.requested",
        "approval.settled",
    ]
    assert hook.posted[1].json["decision"] == {
        "by": BO,
        "via": "browser",
        "reason": "use a WHERE",
        "at": (NOW + SOON).isoformat(),
    }
    assert len(box.messages) == 3  # bo and cy were asked, ana was told; nobody else


def test_for_a_machine_its_owner_hears(post: Post, box: Mailbox) -> None:
    post.mail_to(box.port)
    request = approvals.ask(post.store, NOW, machine())
    post.deliver()
    assert not box.to(ANA)  # its owner does not decide
    approvals.decide(post.store, AS_BO, NOW, request.id, approve=True)
    post.deliver()
    (mail,) = box.to(ANA)
    assert "Approved: statement of ci-nightly on shop" in mail["Subject"]
    body = mail.get_body(("plain",))
    assert body is not None and "Run it again by 12:15 UTC" in body.get_content()


def test_a_request_for_access_is_asked_about_and_answered(post: Post, box: Mailbox) -> None:
    post.mail_to(box.port)
    ask = AccessAsk(ANA, "shop", "app_rw", 7200, "INC-42")
    request_id = access_requests.ask(post.store, BY, NOW, ask)
    post.deliver()
    assert f"{ANA} asks for app_rw on shop for 2h" in box.to(BO)[0]["Subject"]
    approvals.decide(post.store, AS_BO, NOW, request_id, approve=True)
    post.deliver()
    body = box.to(ANA)[0].get_body(("plain",))
    assert body is not None
    assert "gatepost.role=app_rw" in body.get_content()
    assert "ends by itself at 14:00 UTC" in body.get_content()


def test_names_that_are_no_addresses_get_no_mail(post: Post, box: Mailbox) -> None:
    identities.create(post.store, BY, NOW, IdentitySpec("dora", "human"))
    post.mail_to(box.port)
    request = held(post.store, identity="dora")
    post.deliver()
    asked = len(box.messages)
    approvals.decide(post.store, AS_BO, NOW, request.id, approve=True)
    post.deliver()
    assert asked == 3 and len(box.messages) == 3  # ana, bo and cy were asked; dora has no address


def test_what_was_settled_before_it_could_be_sent_is_not_asked_any_more(
    post: Post, hook: Receiver
) -> None:
    post.mail_to(1)  # nobody listens there
    post.post_to(hook.url())
    request = held(post.store)
    post.deliver()
    approvals.settle(post.store, NOW, request.id, RequestState.TIMEOUT)
    post.clock.advance(timedelta(seconds=6))
    post.deliver()
    asked = [(receiver, state) for kind, receiver, state in states(post.store) if kind == "mail"]
    assert asked == [(BO, "dropped"), (CY, "dropped"), (ANA, "waiting")]


def test_what_began_and_ended_between_two_looks_is_not_told_at_all(
    post: Post, box: Mailbox, hook: Receiver
) -> None:
    post.mail_to(box.port)
    post.post_to(hook.url())
    request = held(post.store)
    approvals.settle(post.store, NOW, request.id, RequestState.CANCELLED, ANA)
    post.deliver()
    assert not box.messages and not hook.posted
    assert states(post.store) == [("webhook", "", "dropped")]


def test_the_webhook_also_hears_that_a_request_was_withdrawn_the_mailboxes_do_not(
    post: Post, box: Mailbox, hook: Receiver
) -> None:
    post.mail_to(box.port)
    post.post_to(hook.url())
    request = held(post.store)
    post.deliver()
    approvals.settle(post.store, NOW, request.id, RequestState.WITHDRAWN)
    post.deliver()
    assert hook.posted[-1].json["request"]["state"] == "withdrawn"
    assert not box.to(ANA)


def test_news_goes_with_the_transaction_that_it_tells_of(post: Post, box: Mailbox) -> None:
    post.mail_to(box.port)
    try:
        with post.store.transaction():
            approvals.ask(post.store, NOW, statement())
            raise RuntimeError("undo")
    except RuntimeError:
        pass
    post.deliver()
    assert not box.messages
    assert outbox.health(post.store, NOW, Channel.MAIL) == outbox.Health(Channel.MAIL)


def test_who_asks_again_and_again_does_not_fill_mailboxes(post: Post, box: Mailbox) -> None:
    post.mail_to(box.port)
    for number in range(25):
        request = held(post.store, post.clock.now(), text=f"DELETE FROM t{number}")
        post.clock.advance(SOON)
        post.deliver()
        approvals.settle(post.store, post.clock.now(), request.id, RequestState.WITHDRAWN)
    post.deliver()
    mails = box.to(BO)
    assert len(mails) == 20
    last = mails[-1].get_body(("plain",))
    assert last is not None and "asked 20 times within an hour" in last.get_content()
    identities.create(post.store, BY, NOW, IdentitySpec("eve@example.com", "human"))
    request = held(post.store, post.clock.now(), identity="eve@example.com")
    post.deliver()
    assert str(request.id) in box.to(BO)[-1]["Subject"]  # another one is heard


def test_what_nobody_can_decide_any_more_is_not_asked(post: Post) -> None:
    post.mail_to(1)
    request = held(post.store)
    post.deliver()
    post.clock.set(approvals.get(post.store, request.id).expires_at)
    post.deliver()
    assert {state for _, _, state in states(post.store)} == {"dropped"}


def test_the_owner_is_asked_to_extend_an_enforced_profile(
    post: Post, box: Mailbox, tmp_path: Path
) -> None:
    post.mail_to(box.port)
    recorder = recorder_in(post.store, tmp_path, post.clock)
    recorder.ran(("select count(*) from orders", COUNT))
    profiles.sign(post.store, BY, NOW, "ci-nightly", [COUNT])
    profiles.set_mode(post.store, BY, NOW, "ci-nightly", ProfileMode.ENFORCE)
    recorder.refused(("drop table orders", DROP))
    recorder.journal.close()
    post.deliver()
    (mail,) = box.messages
    assert mail["To"] == ANA
    assert "ci-nightly was refused a statement that its profile on shop lacks" in mail["Subject"]
    (request,) = approvals.find(post.store).items
    approvals.decide(post.store, BY, NOW, request.id, approve=True)
    post.deliver()
    assert len(box.messages) == 1  # who decided knows
