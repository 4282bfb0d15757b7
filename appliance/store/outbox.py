"""The outbox: what people are to be told, kept until a channel has taken it.

A message is written in the transaction of what it tells of, so that neither is there without the
other. Processes that deliver claim by compare-and-swap: each message goes out once, and again
only when a process died between sending it and noting that.
"""

# mypy: disable-error-code="misc, no-any-return"

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import peewee

from appliance.store.database import Store
from appliance.store.fields import UtcField
from appliance.store.models import StoreModel

FIRST_DELAY = timedelta(seconds=5)
LONGEST_DELAY = timedelta(minutes=10)
GIVES_UP = timedelta(days=1)
CLAIM_LASTS = timedelta(minutes=2)  # longer than any one sending takes
SENT_KEPT = timedelta(days=7)
_MAX_PROBLEM = 300


class Event(StrEnum):
    """What a message tells of."""

    REQUESTED = "approval.requested"
    SETTLED = "approval.settled"
    TEST = "test"


class Channel(StrEnum):
    """Which way it goes. ``NEWS`` is not sent itself: it becomes a message for each receiver."""

    NEWS = "news"
    MAIL = "mail"
    WEBHOOK = "webhook"


class MessageState(StrEnum):
    WAITING = "waiting"
    SENT = "sent"
    DROPPED = "dropped"  # what it asked for was settled before it could be sent
    FAILED = "failed"


class OutboxRow(StoreModel):
    """One message to one receiver. ``receiver``: an e-mail address; "" for the webhook."""

    event = peewee.TextField()
    request_id = peewee.BigIntegerField(null=True)
    channel = peewee.TextField()
    receiver = peewee.TextField(default="")
    state = peewee.TextField(default=MessageState.WAITING.value)
    created_at = UtcField()
    next_at = UtcField()
    attempts = peewee.IntegerField(default=0)
    claimed_by = peewee.TextField(default="")
    ended_at = UtcField(null=True)
    problem = peewee.TextField(default="")

    class Meta:
        table_name = "outbox_message"
        indexes = (
            (("state", "channel", "next_at"), False),
            (("request_id", "event", "channel", "receiver"), False),
        )


@dataclass(frozen=True, slots=True)
class Message:
    """What is to be told to whom."""

    event: Event
    channel: Channel
    request_id: int | None = None
    receiver: str = ""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message that this process, and no other, is to send now."""

    id: int
    message: Message
    created_at: datetime
    attempts: int  # this one included
    claim: str


@dataclass(frozen=True, slots=True)
class Health:
    """How a channel does. ``problem``: of the latest attempt that failed and is not made good.

    ``retrying``: messages that failed at least once and will be tried again. ``failed``: those
    given up within the last seven days.
    """

    channel: Channel
    last_sent_at: datetime | None = None
    retrying: int = 0
    failed: int = 0
    problem: str = ""

    @property
    def is_well(self) -> bool:
        return not (self.retrying or self.failed)


def put(store: Store, now: datetime, *messages: Message) -> None:
    """Write messages; to be called inside of the transaction of what they tell of."""
    with store.transaction():
        rows = [
            {
                "event": message.event.value,
                "request_id": message.request_id,
                "channel": message.channel.value,
                "receiver": message.receiver,
                "state": MessageState.WAITING.value,
                "created_at": now,
                "next_at": now,
                "attempts": 0,
                "claimed_by": "",
                "problem": "",
            }
            for message in messages
        ]
        if rows:
            OutboxRow.insert_many(rows).execute()


def due(
    store: Store, now: datetime, channels: Sequence[Channel], claim: str, *, most: int = 20
) -> list[Claimed]:
    """Claim what is to be sent now, oldest first; ``claim`` is unique to this call.

    A claim lasts ``CLAIM_LASTS``: whoever died with it does not keep the message from going out.
    """
    waiting = OutboxRow.state == MessageState.WAITING.value
    of_channels = OutboxRow.channel.in_([channel.value for channel in channels])
    is_due = OutboxRow.next_at <= now
    with store.reading():
        query = (
            OutboxRow.select(OutboxRow.id)
            .where(waiting & of_channels & is_due)
            .order_by(OutboxRow.next_at, OutboxRow.id)
            .limit(most)
        )
        found = [row.id for row in query]
    if not found:
        return []
    with store.transaction():
        OutboxRow.update(
            next_at=now + CLAIM_LASTS, attempts=OutboxRow.attempts + 1, claimed_by=claim
        ).where(OutboxRow.id.in_(found) & waiting & is_due).execute()
        mine = OutboxRow.select().where(OutboxRow.id.in_(found) & (OutboxRow.claimed_by == claim))
        return [
            Claimed(
                row.id,
                Message(Event(row.event), Channel(row.channel), row.request_id, row.receiver),
                row.created_at,
                row.attempts,
                claim,
            )
            for row in mine.order_by(OutboxRow.id)
        ]


def delivered(store: Store, now: datetime, claimed: Claimed) -> bool:
    """Say that it was taken."""
    return _end(store, now, claimed, MessageState.SENT, "")


def dropped(store: Store, now: datetime, claimed: Claimed, why: str) -> bool:
    """Say that it need not be sent any more."""
    return _end(store, now, claimed, MessageState.DROPPED, why)


def failed(
    store: Store, now: datetime, claimed: Claimed, problem: str, *, is_final: bool = False
) -> datetime | None:
    """Say that it could not be sent; return when it is tried again, None = never.

    ``problem`` is one line for an admin: never a secret, an address' path, or an answer's body.
    """
    delay = min(FIRST_DELAY * 2 ** min(claimed.attempts - 1, 20), LONGEST_DELAY)
    again = now + delay
    if is_final or again >= claimed.created_at + GIVES_UP:
        _end(store, now, claimed, MessageState.FAILED, problem)
        return None
    with store.transaction():
        OutboxRow.update(next_at=again, claimed_by="", problem=problem[:_MAX_PROBLEM]).where(
            _held(claimed)
        ).execute()
    return again


def replace(store: Store, now: datetime, claimed: Claimed, messages: Sequence[Message]) -> bool:
    """Put messages in the place of claimed news, all or nothing; False = the claim was lost."""
    with store.transaction():
        if not _end(store, now, claimed, MessageState.SENT, ""):
            return False
        put(store, claimed.created_at, *messages)  # due at once, and as old as what they tell of
        return True


def is_told(store: Store, event: Event, channel: Channel, request_id: int) -> bool:
    """Return whether this event of the request was sent on this channel, or still will be."""
    gone = (MessageState.DROPPED.value, MessageState.FAILED.value)
    with store.reading():
        return (
            OutboxRow.select()
            .where(
                (OutboxRow.request_id == request_id)
                & (OutboxRow.event == event.value)
                & (OutboxRow.channel == channel.value)
                & OutboxRow.state.not_in(gone)
            )
            .exists()
        )


def health(store: Store, now: datetime, channel: Channel) -> Health:
    """Return how a channel does: for Settings and ``gatepost doctor``."""
    of_channel = OutboxRow.channel == channel.value
    retrying = (
        of_channel & (OutboxRow.state == MessageState.WAITING.value) & (OutboxRow.problem != "")
    )
    lost = (
        of_channel
        & (OutboxRow.state == MessageState.FAILED.value)
        & (OutboxRow.ended_at > now - SENT_KEPT)
    )
    with store.reading():
        last_sent = (
            OutboxRow.select(peewee.fn.MAX(OutboxRow.ended_at))
            .where(of_channel & (OutboxRow.state == MessageState.SENT.value))
            .scalar()
        )
        latest = OutboxRow.select().where(retrying | lost).order_by(OutboxRow.id.desc()).first()
        return Health(
            channel,
            last_sent,
            OutboxRow.select().where(retrying).count(),
            OutboxRow.select().where(lost).count(),
            latest.problem if latest else "",
        )


def _end(store: Store, now: datetime, claimed: Claimed, state: MessageState, problem: str) -> bool:
    with store.transaction():
        values = {
            "state": state.value,
            "ended_at": now,
            "claimed_by": "",
            "problem": problem[:_MAX_PROBLEM],
        }
        return bool(OutboxRow.update(**values).where(_held(claimed)).execute())


def _held(claimed: Claimed) -> peewee.Expression:
    return (
        (OutboxRow.id == claimed.id)
        & (OutboxRow.claimed_by == claimed.claim)
        & (OutboxRow.state == MessageState.WAITING.value)
    )
