"""Channels that refuse, hang, are away or forget: nothing is lost, nothing is sent twice."""

from __future__ import annotations

import ssl
from datetime import timedelta

import pytest

from appliance.approvals.requests import RequestState
from appliance.errors import NotDelivered
from appliance.notify import webhook
from appliance.selfsigned import ensure_certificate
from appliance.store import approvals, channels, identities, outbox
from appliance.store.channels import SmtpSpec
from appliance.store.database import Store
from appliance.store.outbox import Channel, OutboxRow
from tests.harness.mailbox import Mailbox, mailbox
from tests.harness.receiver import Receiver, receiver
from tests.notify.conftest import Post
from tests.store.approving import BO, CY, held
from tests.store.conftest import BY, NOW


def rows(store: Store, channel: Channel) -> list[tuple[str, int, str]]:
    with store.reading():
        found = OutboxRow.select().where(OutboxRow.channel == channel.value)
        return [(r.state, r.attempts, r.problem) for r in found.order_by(OutboxRow.id)]


def test_a_receiver_that_fails_is_tried_again_with_growing_delay(
    post: Post, hook: Receiver
) -> None:
    hook.answers = [500, 503, 429, 302]
    hook.location = hook.url("/elsewhere")
    hook.answer_body = b"a secret of theirs"
    post.post_to(hook.url("/very/secret"))
    held(post.store, expires_at=NOW + timedelta(days=2))
    place = f"http://127.0.0.1:{hook.port}"
    for attempt, (status, delay) in enumerate([(500, 5), (503, 10), (429, 20), (302, 40)], 1):
        post.deliver()
        post.deliver()
        assert len(hook.posted) == attempt
        ((state, attempts, problem),) = rows(post.store, Channel.WEBHOOK)
        assert (state, attempts) == ("waiting", attempt)
        assert problem.startswith(f"{place} answered {status}")
        assert "secret" not in problem
        health = outbox.health(post.store, post.clock.now(), Channel.WEBHOOK)
        assert (health.retrying, health.failed, health.problem) == (1, 0, problem)
        post.clock.advance(timedelta(seconds=delay - 1))
        post.deliver()
        assert len(hook.posted) == attempt
        post.clock.advance(timedelta(seconds=1))
    hook.location = ""
    post.deliver()
    assert rows(post.store, Channel.WEBHOOK) == [("sent", 5, "")]
    assert [posted.path for posted in hook.posted] == ["/very/secret"] * 5
    assert len({posted.headers["X-Gatepost-Delivery"] for posted in hook.posted}) == 1
    assert outbox.health(post.store, post.clock.now(), Channel.WEBHOOK).is_well


def test_after_a_day_it_is_given_up_and_shown(post: Post) -> None:
    with receiver() as gone:
        url = gone.url()
    post.post_to(url)
    held(post.store, expires_at=NOW + timedelta(days=7))
    courier = post.courier(Channel.WEBHOOK)
    for _ in range(400):
        courier.step()
        post.clock.advance(timedelta(minutes=10))
        if rows(post.store, Channel.WEBHOOK)[0][0] == "failed":
            break
    ((state, attempts, problem),) = rows(post.store, Channel.WEBHOOK)
    assert state == "failed" and 140 < attempts < 160
    assert problem.endswith("cannot be reached: Connection refused")
    assert post.clock.now() < NOW + timedelta(days=1, hours=1)
    health = outbox.health(post.store, post.clock.now(), Channel.WEBHOOK)
    assert (health.retrying, health.failed, health.is_well) == (0, 1, False)


def test_a_receiver_that_never_answers_is_left_after_the_timeout(
    post: Post, hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "TIMEOUT_S", 0.3)
    hook.let_go.clear()
    with pytest.raises(NotDelivered) as caught:
        webhook.post(hook.url("/secret"), b"{}", {})
    assert caught.value.message.startswith(f"http://127.0.0.1:{hook.port} ")
    assert "no answer within" in caught.value.message
    assert "secret" not in str(caught.value)


def test_an_address_may_only_be_http() -> None:
    for url in ("file:///etc/passwd", "ftp://example.com/x", "data:,x", "gopher://127.0.0.1:6379"):
        with pytest.raises(NotDelivered):
            webhook.post(url, b"{}", {})


def test_an_address_that_the_server_does_not_know_is_given_up_the_others_get_theirs(
    post: Post, box: Mailbox
) -> None:
    box.refuse[BO] = "550 5.1.1 no such user"
    post.mail_to(box.port)
    held(post.store)
    post.deliver()
    assert [m["To"] for m in box.messages] == [CY]
    assert [state for state, _, _ in rows(post.store, Channel.MAIL)] == ["failed", "sent"]
    health = outbox.health(post.store, NOW, Channel.MAIL)
    assert health.problem.endswith(f"refuses mail to {BO}: 550 5.1.1 no such user")


def test_a_mail_server_that_is_away_or_busy_gets_it_later(post: Post) -> None:
    with mailbox() as gone:
        port = gone.port
    post.mail_to(port)
    held(post.store)
    post.deliver()
    for state, _, problem in rows(post.store, Channel.MAIL):
        assert (state, problem) == (
            "waiting",
            f"the mail server 127.0.0.1:{port} cannot be reached: Connection refused",
        )
    with mailbox(port=port) as back:
        back.on_data = "451 4.3.0 try later"
        post.clock.advance(timedelta(seconds=5))
        post.deliver()
        assert not back.messages
        back.on_data = "250 taken"
        post.clock.advance(timedelta(seconds=10))
        post.deliver()
        assert sorted(m["To"] for m in back.messages) == [BO, CY]


def test_mail_that_waits_for_somebody_who_lost_the_right_is_not_sent(post: Post) -> None:
    post.mail_to(1)
    held(post.store)
    post.deliver()
    identities.set_permission_roles(post.store, BY, NOW, BO, frozenset())
    with mailbox() as box:
        post.mail_to(box.port)
        post.clock.advance(timedelta(seconds=6))
        post.deliver()
        assert [m["To"] for m in box.messages] == [CY]


@pytest.mark.filterwarnings("ignore:Requiring AUTH")
@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_tls_is_verified_and_the_password_goes_only_inside_of_it(
    post: Post,
    security: str,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = ensure_certificate(tmp_path_factory.mktemp("tls"), ("localhost",), NOW)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.server)
    with mailbox(tls=context, starttls=security == "starttls", password="hunter2") as box:
        spec = SmtpSpec("localhost", "gate@example.com", box.port, security, "gate")
        channels.put_smtp(post.store, BY, NOW, post.sealer, spec, password="hunter2")
        held(post.store)
        post.deliver()
        assert not box.messages and not box.logins
        assert "the certificate of the mail server" in rows(post.store, Channel.MAIL)[0][2]
        monkeypatch.setenv("SSL_CERT_FILE", str(made.ca))
        post.clock.advance(timedelta(seconds=6))
        post.deliver()
        assert box.logins == [("gate", "hunter2")]
        assert box.was_tls == [True, True]


@pytest.mark.filterwarnings("ignore:Requiring AUTH")
def test_a_wrong_password_is_said_without_it(post: Post) -> None:
    with mailbox(password="hunter2") as box:
        spec = SmtpSpec("127.0.0.1", "gate@example.com", box.port, "none", "gate")
        channels.put_smtp(post.store, BY, NOW, post.sealer, spec, password="hunter3")
        held(post.store)
        post.deliver()
        problem = rows(post.store, Channel.MAIL)[0][2]
        assert "refused the user gate: 535" in problem and "hunter" not in problem


def test_channels_that_are_gone_keep_nothing_waiting(post: Post, hook: Receiver) -> None:
    post.mail_to(1)
    post.post_to(hook.url())
    hook.answers = [500]
    request = held(post.store)
    post.deliver()
    channels.put_smtp(post.store, BY, NOW, post.sealer, None)
    channels.put_webhook(post.store, BY, NOW, post.sealer, None)
    post.clock.advance(timedelta(seconds=6))
    post.deliver()
    approvals.settle(post.store, post.clock.now(), request.id, RequestState.TIMEOUT)
    post.deliver()
    assert {
        state
        for channel in (Channel.MAIL, Channel.WEBHOOK)
        for state, _, _ in rows(post.store, channel)
    } == {"dropped"}
    assert len(hook.posted) == 1
