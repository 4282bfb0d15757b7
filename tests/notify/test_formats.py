"""What the channels carry: no markup of clients, no headers of theirs, no row's value."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from appliance.approvals.requests import Request, RequestKind, RequestState
from appliance.notify import chat, notice, payload
from appliance.notify.mails import MailTemplates, mail
from appliance.store.outbox import Event
from tests.harness.receiver import Receiver
from tests.notify.conftest import SECRET, URL, Post
from tests.store.approving import held
from tests.store.conftest import NOW

HOSTILE = (
    "SELECT '<script>alert(1)</script> [click](https://evil.example) <https://evil.example|hi>'\r\n"
    "  -- <!channel> \x1b[31m \u202ereversed ``` *bold* {{ 7 * 7 }}\n"
    "\r\nBcc: everybody@example.com"
)
REQUEST = Request(
    id=17,
    kind=RequestKind.STATEMENT,
    state=RequestState.WAITING,
    identity="ana@example.com",
    identity_kind="human",
    target="shop",
    role="app_rw",
    text="DELETE FROM orders\nWHERE id < $1",
    created_at=NOW,
    expires_at=NOW + timedelta(minutes=10),
    database="shop",
    environment="production",
    source="10.0.0.1",
    application_name="psql",
    reason="INC-42",
    parameters=("a value", None),
    rule="bulk-writes",
    why="rule bulk-writes: a person must look",
    detail={"estimate": {"rows": 1, "why": ""}, "transaction_since": None},
)


def texts(node: Any) -> list[str]:
    """Every string in a document."""
    if isinstance(node, str):
        return [node]
    parts = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return [text for part in parts for text in texts(part)]


def hostile() -> Request:
    return replace(
        REQUEST, text=HOSTILE, reason=HOSTILE, application_name=HOSTILE, rule="r", why=HOSTILE
    )


def test_slack_gets_blocks_with_a_button_and_reads_no_markup_of_clients() -> None:
    body = chat.slack(notice.asks(hostile(), URL))
    assert "<" not in body["text"] and len(body["text"]) < 300
    markdown = [b for b in body["blocks"] if b.get("text", {}).get("type") == "mrkdwn"]
    assert markdown == []
    (button,) = body["blocks"][-1]["elements"]
    assert (button["url"], button["type"]) == (f"{URL}/approvals/17", "button")
    assert len(body["blocks"][0]["text"]["text"]) <= 150
    statement = next(
        block["elements"][0]["elements"][0]["text"]
        for block in body["blocks"]
        if block["type"] == "rich_text"
    )
    assert statement.startswith("SELECT '<script>")  # as typed: this element reads none of it
    assert "\x1b" not in statement and "\\u202e" in statement and "\n" in statement


def test_teams_gets_an_adaptive_card_that_reads_no_markdown_of_clients() -> None:
    body = chat.teams(notice.asks(hostile(), URL))
    (attachment,) = body["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    card = attachment["content"]
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
    assert card["actions"][0]["url"] == f"{URL}/approvals/17"
    kinds = {part["type"] for part in card["body"]}
    assert '"TextBlock"' not in json.dumps(card) and "RichTextBlock" in kinds


def test_the_json_has_stable_fields_and_no_parameter() -> None:
    body = payload.event(Event.REQUESTED, "5-1", NOW, REQUEST, URL, ("bo@example.com",))
    assert set(body) == {"version", "id", "event", "at", "request", "approvers", "decision"}
    assert (body["version"], body["event"], body["decision"]) == (1, "approval.requested", None)
    request = body["request"]
    assert request["url"] == f"{URL}/approvals/17"
    assert (request["statement"], request["parameters"]) == (REQUEST.text, 2)
    assert not any("a value" in text for text in texts(body))
    assert json.loads(json.dumps(body)) == body


def test_the_signature_is_over_timestamp_and_body(post: Post, hook: Receiver) -> None:
    post.post_to(hook.url())
    held(post.store)
    post.deliver()
    (posted,) = hook.posted
    stamp, _, given = posted.headers["X-Gatepost-Signature"].partition(",v1=")
    assert stamp == f"t={int(NOW.timestamp())}"
    signed = f"{stamp[2:]}.".encode() + posted.body
    assert given == hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    assert posted.headers["X-Gatepost-Event"] == "approval.requested"
    assert posted.headers["Content-Type"].startswith("application/json")


def test_without_a_secret_nothing_is_signed_and_chats_get_theirs(
    post: Post, hook: Receiver
) -> None:
    post.post_to(hook.url(), "slack", None)
    held(post.store)
    post.deliver()
    post.post_to(hook.url(), "teams", None)
    held(post.store)
    post.deliver()
    assert "X-Gatepost-Signature" not in hook.posted[0].headers
    assert "blocks" in hook.posted[0].json and hook.posted[1].json["type"] == "message"


def test_nobody_injects_a_header_into_a_mail() -> None:
    evil = "ana\r\nBcc: everybody@example.com\r\n\r\nhello"
    request = replace(hostile(), identity=evil, target=evil, role=evil)
    found = mail(
        MailTemplates(),
        notice.asks(request, URL),
        sender="gate@example.com",
        receiver="bo@example.com",
        now=NOW,
        message_id="1",
    )
    head = found.as_bytes().split(b"\n\n", 1)[0]
    assert b"Bcc:" not in head.replace(b"ana Bcc:", b"")
    assert found.get_all("Bcc") is None and found.get_all("To") == ["bo@example.com"]
    assert len(found["Subject"]) <= 150
    for address in ("bo@example.com\r\nBcc: x@y.z", "bo, cy@example.com", "", "bo@"):
        with pytest.raises(Exception, match=r".+"):
            mail(
                MailTemplates(),
                notice.asks(REQUEST, URL),
                sender="gate@example.com",
                receiver=address,
                now=NOW,
                message_id="1",
            )


def test_the_html_escapes_what_clients_chose() -> None:
    page = MailTemplates().html(notice.asks(hostile(), URL))
    assert "<script" not in page and "&lt;script&gt;" in page and "{{ 7 * 7 }}" in page
    assert "src=" not in page and "url(" not in page  # nothing is loaded from anywhere


def test_a_long_statement_is_cut_and_says_so() -> None:
    request = replace(REQUEST, text="\n".join(f"-- line {n} " + "x" * 500 for n in range(500)))
    told = notice.asks(request, URL)
    assert len(told.statement) < 15 * 161
    assert told.remark == "Not all of the statement is shown. 2 parameters: see the page."
    assert len(json.dumps(chat.slack(told))) < 20_000
    assert len(json.dumps(chat.teams(told))) < 28_000  # Teams takes no more


@pytest.mark.parametrize("kind", list(RequestKind))
@pytest.mark.parametrize("state", list(RequestState))
def test_every_kind_and_ending_has_words(kind: RequestKind, state: RequestState) -> None:
    request = replace(
        REQUEST,
        kind=kind,
        state=state,
        decided_by="bo@example.com",
        decided_at=NOW,
        decision_reason="because",
        retry_until=NOW + timedelta(minutes=15),
        detail={"duration_s": 7200},
    )
    for told in (notice.asks(request, URL), notice.tells(request, URL)):
        for document in (chat.slack(told), chat.teams(told)):
            assert any("ana@example.com" in text for text in texts(document))
        assert (
            MailTemplates()
            .text(told)
            .endswith((f"{URL}/approvals/17\n", "this mail alone decides nothing.\n"))
        )
