"""The tables of statement profiles: what ran by day, and what owners signed."""

# mypy: disable-error-code="misc"

from __future__ import annotations

import peewee

from appliance.store.fields import JsonField, UtcField
from appliance.store.models import IdentityRow, StoreModel


class FingerprintDayRow(StoreModel):
    """The statements of one fingerprint on one UTC day; the indexer adds to it.

    ``day``: days since the epoch. ``statements`` has all of them; ``refused``, ``failed`` and
    ``withdrawn`` those that ended so. The example (text, session, seq) is the latest one.
    """

    identity = peewee.TextField()
    target = peewee.TextField()
    database = peewee.TextField()
    role = peewee.TextField()
    fingerprint = peewee.TextField()
    day = peewee.IntegerField()
    statements = peewee.BigIntegerField()
    refused = peewee.BigIntegerField()
    failed = peewee.BigIntegerField()
    withdrawn = peewee.BigIntegerField()
    first_at = UtcField()
    last_at = UtcField()
    text_id = peewee.TextField()
    effects = JsonField(null=True)
    session_id = peewee.TextField()
    seq = peewee.IntegerField()

    class Meta:
        table_name = "fingerprint_day"
        primary_key = peewee.CompositeKey(
            "identity", "fingerprint", "day", "target", "database", "role"
        )
        indexes = ((("day",), False),)


class ProfileEntryRow(StoreModel):
    """A signed fingerprint. The text is kept here: retention must not take what was signed."""

    identity = peewee.ForeignKeyField(IdentityRow, on_delete="CASCADE")
    fingerprint = peewee.TextField()
    text = peewee.TextField()
    effects = JsonField(default=list)
    count = peewee.BigIntegerField(default=0)  # in the 30 days before it was signed
    first_at = UtcField(null=True)
    last_at = UtcField(null=True)
    signed_by = peewee.TextField()
    signed_via = peewee.TextField(default="")
    signed_at = UtcField()

    class Meta:
        table_name = "profile_entry"
        primary_key = peewee.CompositeKey("identity", "fingerprint")


PROFILE_MODELS = (FingerprintDayRow, ProfileEntryRow)
