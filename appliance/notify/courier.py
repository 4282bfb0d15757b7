"""Deliver what the outbox holds: turn news into messages, send them, try again with patience."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import orjson
import structlog

from appliance.approvals import eligible
from appliance.approvals.requests import Request, RequestState
from appliance.clock import Clock
from appliance.entities import Smtp, Webhook, WebhookFormat
from appliance.errors import GatepostError, NotDelivered, NotFound, Unreachable
from appliance.mail import Mailer
from appliance.notify import chat, notice, payload, webhook
from appliance.notify.mails import MailTemplates, mail
from appliance.notify.notice import Notice
from appliance.notify.secrets import open_password, open_secret, open_url
from appliance.sealing import Sealer
from appliance.store import approvals, outbox, settings, snapshots
from appliance.store.approval_rows import question_of
from appliance.store.database import Store
from appliance.store.outbox import Channel, Claimed, Event, Message

_log = structlog.get_logger("notify")

# The requester hears of what others, or nobody, decided; the rest they did or saw themselves.
_TOLD = (RequestState.APPROVED, RequestState.DENIED, RequestState.TIMEOUT)
_MOST = 50  # messages in one step: then it looks whether it is to stop
# A program that is held again and again must not fill mailboxes and chats: the page has them all.
_MANY = 20
_MANY_WITHIN = timedelta(hours=1)


class Courier:
    """Sends the messages of one channel; several may run at once, also in several processes."""

    def __init__(
        self, store: Store, clock: Clock, sealer: Sealer, public_url: str, channel: Channel
    ) -> None:
        self._store = store
        self._clock = clock
        self._sealer = sealer
        self._public_url = public_url
        self._channel = channel
        self._templates = MailTemplates()

    def step(self) -> int:
        """Send what is due; return how many messages were dealt with.

        Raises: StoreUnavailable; what was claimed meanwhile is tried again by itself.
        """
        try:
            return self._step()
        except Unreachable:
            raise
        except Exception:  # the top of a thread: it goes on with the next look
            _log.exception("defect", channel=self._channel.value)
            return 0

    def _step(self) -> int:
        done = self._spread()
        claimed = self._next()
        if claimed is None:
            return done
        found = settings.get(self._store)
        if self._channel is Channel.MAIL:
            return done + self._mails(claimed, found.smtp)
        return done + self._posts(claimed, found.webhook)

    # news

    def _spread(self) -> int:
        claim = secrets.token_hex(8)
        news = outbox.due(self._store, self._clock.now(), (Channel.NEWS,), claim)
        for one in news:
            self._safely(one, self._spread_one)
        return len(news)

    def _spread_one(self, news: Claimed) -> bool:
        return outbox.replace(self._store, self._clock.now(), news, self._messages(news))

    def _messages(self, news: Claimed) -> list[Message]:
        """Return a message for each who is to be told."""
        request = self._request(news)
        found = settings.get(self._store)
        if request is None:
            return []
        event = news.message.event
        asks = event is Event.REQUESTED
        if (asks and not request.state.is_open) or self._before(request) >= _MANY:
            return []
        messages = []
        if found.webhook is not None:
            messages.append(Message(event, Channel.WEBHOOK, request.id))
        if found.smtp is not None:
            receivers = self._approvers(request) if asks else _requesters(request)
            messages += [
                Message(event, Channel.MAIL, request.id, name) for name in receivers if "@" in name
            ]
        return messages

    def _before(self, request: Request) -> int:
        """Return how often this identity asked within the hour before."""
        since = request.created_at - _MANY_WITHIN
        page = approvals.find(
            self._store, identity=request.identity, since=since, until=request.created_at, size=1
        )
        return page.total

    def _approvers(self, request: Request) -> tuple[str, ...]:
        now = self._clock.now()
        snapshot = snapshots.load(self._store, now)
        return eligible.approvers(snapshot, question_of(request), now)

    # mail

    def _mails(self, first: Claimed, smtp: Smtp | None) -> int:
        if smtp is None:
            return self._drop(first, "no mail server is set up any more")
        try:
            password = open_password(smtp, self._sealer)
        except GatepostError as error:
            stale = self._is_stale(first, self._request(first))
            if stale:
                return self._drop(first, stale)
            return self._failed(first, NotDelivered(error.message, error.hint))
        helo = urlsplit(self._public_url).hostname or "localhost"
        done = 0
        claimed: Claimed | None = first
        with Mailer(smtp, password, helo) as mailer:
            while claimed is not None and done < _MOST:
                done += 1
                if not self._safely(claimed, lambda one: self._mail(mailer, one, smtp)):
                    break
                claimed = self._next() if done < _MOST else None
        return done

    def _mail(self, mailer: Mailer, claimed: Claimed, smtp: Smtp) -> bool:
        """Send one; return whether it is worth going on with this server."""
        request = self._request(claimed)
        stale = self._is_stale(claimed, request)
        if stale or request is None:
            self._drop(claimed, stale)
            return True
        try:
            message = mail(
                self._templates,
                self._notice(claimed, request),
                sender=smtp.sender,
                receiver=claimed.message.receiver,
                now=claimed.created_at,
                message_id=f"{claimed.id}-{int(claimed.created_at.timestamp())}",
            )
            mailer.send(message)
        except NotDelivered as error:
            self._failed(claimed, error)
            return error.is_final
        self._delivered(claimed)
        return True

    # webhook

    def _posts(self, first: Claimed, hook: Webhook | None) -> int:
        if hook is None:
            return self._drop(first, "no webhook is set up any more")
        done = 0
        claimed: Claimed | None = first
        while claimed is not None and done < _MOST:
            done += 1
            if not self._safely(claimed, lambda one: self._post(one, hook)):
                break
            claimed = self._next() if done < _MOST else None
        return done

    def _post(self, claimed: Claimed, hook: Webhook) -> bool:
        request = self._request(claimed)
        stale = self._is_stale(claimed, request)
        if stale or request is None:
            self._drop(claimed, stale)
            return True
        try:
            post_event(
                hook,
                self._sealer,
                self._clock.now(),
                f"{claimed.id}-{int(claimed.created_at.timestamp())}",
                self._notice(claimed, request),
                request,
                self._public_url,
                self._approvers(request) if request.state.is_open else (),
            )
        except NotDelivered as error:
            self._failed(claimed, error)
            return False
        except GatepostError as error:  # a secret that does not open
            self._failed(claimed, NotDelivered(error.message, error.hint))
            return False
        self._delivered(claimed)
        return True

    # both

    def _next(self) -> Claimed | None:
        claim = secrets.token_hex(8)
        found = outbox.due(self._store, self._clock.now(), (self._channel,), claim, most=1)
        return found[0] if found else None

    def _request(self, claimed: Claimed) -> Request | None:
        try:
            return approvals.get(self._store, claimed.message.request_id or 0)
        except NotFound:
            return None

    def _notice(self, claimed: Claimed, request: Request) -> Notice:
        if claimed.message.event is not Event.REQUESTED:
            return notice.tells(request, self._public_url)
        told = notice.asks(request, self._public_url)
        if self._before(request) < _MANY - 1:
            return told
        last = f"{request.identity} asked {_MANY} times within an hour: more come on the page only."
        return replace(told, remark=f"{told.remark} {last}".strip())

    def _is_stale(self, claimed: Claimed, request: Request | None) -> str:
        """Return why a message need not be sent any more, "" if it must."""
        if request is None:
            return "the request is gone"
        if claimed.message.event is Event.REQUESTED:
            if not request.state.is_open:
                return f"the request is {request.state.value} already"
            if request.expires_at <= self._clock.now():
                return "its time to decide is over"
            receiver = claimed.message.receiver
            late = claimed.attempts > 1 and receiver
            if late and receiver not in self._approvers(request):
                return f"{receiver} cannot decide it any more"
        elif self._channel is Channel.WEBHOOK and not outbox.is_told(
            self._store, Event.REQUESTED, Channel.WEBHOOK, request.id
        ):
            return "nobody was told that it waited"
        return ""

    def _safely(self, claimed: Claimed, deal: Callable[[Claimed], bool]) -> bool:
        """Keep a defect that one message brings out from stopping the others."""
        try:
            return deal(claimed)
        except Unreachable:  # the store
            raise
        except Exception as error:  # as the docstring says; it is logged, and counts as a try
            _log.exception("defect", message=claimed.id)
            self._failed(claimed, NotDelivered(f"a defect in Gatepost: {type(error).__name__}"))
            return True

    def _drop(self, claimed: Claimed, why: str) -> int:
        outbox.dropped(self._store, self._clock.now(), claimed, why)
        return 1

    def _delivered(self, claimed: Claimed) -> None:
        outbox.delivered(self._store, self._clock.now(), claimed)
        _log.info(
            "told",
            channel=self._channel.value,
            about=claimed.message.event.value,
            request=claimed.message.request_id,
            attempts=claimed.attempts,
        )

    def _failed(self, claimed: Claimed, error: NotDelivered) -> int:
        again = outbox.failed(
            self._store, self._clock.now(), claimed, str(error), is_final=error.is_final
        )
        _log.warning(
            "could not tell",
            channel=self._channel.value,
            request=claimed.message.request_id,
            why=str(error),
            attempts=claimed.attempts,
            again=again.isoformat() if again else "never",
        )
        return 0 if again else 1


def post_event(
    hook: Webhook,
    sealer: Sealer,
    now: datetime,
    delivery: str,
    told: Notice,
    request: Request | None,
    public_url: str,
    approvers: tuple[str, ...] = (),
) -> int:
    """Post one event in the webhook's format; return the status. Raises: GatepostError."""
    match hook.format:
        case WebhookFormat.SLACK:
            document = chat.slack(told)
        case WebhookFormat.TEAMS:
            document = chat.teams(told)
        case WebhookFormat.JSON:
            document = payload.event(told.event, delivery, now, request, public_url, approvers)
    body = orjson.dumps(document)
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": "Gatepost",
        "X-Gatepost-Event": told.event.value,
        "X-Gatepost-Delivery": delivery,
    }
    secret = open_secret(hook, sealer)
    if secret is not None:
        headers[payload.SIGNATURE] = payload.signature(secret, int(now.timestamp()), body)
    return webhook.post(open_url(hook, sealer), body, headers)


def _requesters(request: Request) -> tuple[str, ...]:
    """Return who asked, for a machine who answers for it, unless they ended it themselves."""
    receiver = request.identity if request.identity_kind == "human" else request.owner
    if request.state not in _TOLD or receiver is None or receiver == request.decided_by:
        return ()
    return (receiver,)
