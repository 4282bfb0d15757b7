"""The tables of the recording: filled by the indexer from the journals, read by the pages."""

# mypy: disable-error-code="misc"

from __future__ import annotations

import peewee

from appliance.store.fields import JsonField, UtcField
from appliance.store.models import StoreModel


class JournalRow(StoreModel):
    """One writer's chain of segments, and how far it was taken in."""

    name = peewee.TextField(primary_key=True)
    writer = peewee.TextField()
    appliance = peewee.TextField(default="")
    opened_at = UtcField()
    closed_at = UtcField(null=True)
    indexed_offset = peewee.BigIntegerField(default=0)
    records = peewee.BigIntegerField(default=0)
    last_hash = peewee.TextField(default="")
    head_signature = peewee.TextField(default="")
    head_at = UtcField(null=True)

    class Meta:
        table_name = "journal"


class SigningKeyRow(StoreModel):
    """Public keys that signed heads verify against; the private one stays in the data dir."""

    key_id = peewee.TextField(primary_key=True)  # 16 hex digits of the public key's SHA-256
    public_key = peewee.TextField()  # 64 hex digits, Ed25519
    created_at = UtcField()

    class Meta:
        table_name = "signing_key"


class SessionRow(StoreModel):
    id = peewee.TextField(primary_key=True)
    identity = peewee.TextField()
    identity_id = peewee.IntegerField(null=True)
    identity_kind = peewee.TextField(default="")
    credential_id = peewee.IntegerField(null=True)
    grant_id = peewee.IntegerField(null=True)
    way = peewee.TextField(default="")
    target = peewee.TextField()
    target_id = peewee.IntegerField(null=True)
    database = peewee.TextField()
    role = peewee.TextField()
    reason = peewee.TextField(default="")
    source = peewee.TextField(default="")
    source_port = peewee.IntegerField(null=True)
    peer = peewee.TextField(default="")  # the proxy between, where there is one
    application_name = peewee.TextField(default="")
    client = peewee.TextField(default="")
    tls = peewee.TextField(default="")
    parameters = JsonField(default=dict)
    policy_version = peewee.BigIntegerField(default=0)
    durability = peewee.TextField(default="")
    started_at = UtcField()
    ended_at = UtcField(null=True)
    end_reason = peewee.TextField(default="")
    statements = peewee.IntegerField(default=0)
    refused = peewee.IntegerField(default=0)
    held = peewee.IntegerField(default=0)
    failed = peewee.IntegerField(default=0)
    rows_out = peewee.BigIntegerField(default=0)
    bytes_in = peewee.BigIntegerField(default=0)
    bytes_out = peewee.BigIntegerField(default=0)
    journal = peewee.TextField()
    position = peewee.BigIntegerField(default=0)
    demo = peewee.BooleanField(default=False)

    class Meta:
        table_name = "session"
        indexes = (
            (("started_at",), False),
            (("ended_at", "started_at"), False),
            (("identity", "started_at"), False),
            (("target", "started_at"), False),
            (("credential_id", "started_at"), False),
            (("journal",), False),
        )


class TextRow(StoreModel):
    """Each distinct statement text once; ``id`` is the SHA-256 of the text in hex."""

    id = peewee.TextField(primary_key=True)
    text = peewee.TextField()
    fingerprint = peewee.TextField(default="", index=True)

    class Meta:
        table_name = "statement_text"


class StatementRow(StoreModel):
    """``state``: sent, done, failed, refused, held, withdrawn; ``seq`` starts at 1."""

    session_id = peewee.TextField()
    seq = peewee.IntegerField()
    at = UtcField()
    identity_id = peewee.IntegerField(null=True)
    text_id = peewee.TextField()
    parameters = JsonField(null=True)
    verdict = peewee.TextField()
    rule = peewee.TextField(default="")
    reason = peewee.TextField(default="")
    effects = JsonField(null=True)  # [[class, object], …]
    state = peewee.TextField()
    tag = peewee.TextField(default="")
    rows = peewee.BigIntegerField(null=True)
    duration_ms = peewee.DoubleField(null=True)
    sqlstate = peewee.TextField(default="")
    bytes_out = peewee.BigIntegerField(default=0)
    masked = JsonField(null=True)
    decision = JsonField(null=True)
    approval_id = peewee.IntegerField(null=True)
    request_hash = peewee.TextField(default="")
    durability = peewee.TextField(default="")
    journal = peewee.TextField()
    position = peewee.BigIntegerField()
    outcome_position = peewee.BigIntegerField(null=True)
    fingerprint = peewee.TextField(null=True)  # NULL: of before there were profiles

    class Meta:
        table_name = "statement"
        primary_key = peewee.CompositeKey("session_id", "seq")
        indexes = (
            (("at",), False),
            (("identity_id", "at"), False),
            (("text_id", "at"), False),
            (("verdict", "at"), False),
            (("state", "at"), False),
            (("rule", "at"), False),
        )


class RecordEventRow(StoreModel):
    """Journal records that are no statement: logins, refusals of them, kills, admin changes."""

    kind = peewee.TextField()
    at = UtcField()
    actor = peewee.TextField(default="")
    subject = peewee.TextField(default="")
    source = peewee.TextField(default="")
    session_id = peewee.TextField(default="")
    detail = JsonField(default=dict)
    journal = peewee.TextField()
    position = peewee.BigIntegerField()

    class Meta:
        table_name = "record_event"
        indexes = (
            (("journal", "position"), True),
            (("at",), False),
            (("kind", "at"), False),
            (("actor", "at"), False),
            (("session_id",), False),
        )


RECORD_MODELS = (
    JournalRow,
    SigningKeyRow,
    SessionRow,
    TextRow,
    StatementRow,
    RecordEventRow,
)
