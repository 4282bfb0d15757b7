"""The tables of what waits, or waited, for a human's yes or no."""

# mypy: disable-error-code="misc"

from __future__ import annotations

import peewee

from appliance.store.fields import JsonField, UtcField
from appliance.store.models import StoreModel


class ApprovalRow(StoreModel):
    """A request of any kind. ``id`` is the number that people see. Kept as evidence until
    retention takes it.

    ``worker``: the process that holds the statement. ``eligible``: who could decide when it was
    asked. ``detail``: what only one kind has, see ``requests.Request``.
    """

    kind = peewee.TextField()
    state = peewee.TextField()
    identity = peewee.TextField()
    identity_kind = peewee.TextField(default="")
    owner = peewee.TextField(null=True)
    credential_id = peewee.IntegerField(null=True)
    target = peewee.TextField(default="")
    environment = peewee.TextField(default="")
    database = peewee.TextField(default="")
    role = peewee.TextField(default="")
    source = peewee.TextField(default="")
    application_name = peewee.TextField(default="")
    reason = peewee.TextField(default="")
    text = peewee.TextField(default="")
    parameters = JsonField(default=list)
    effects = JsonField(default=list)
    fingerprint = peewee.TextField(default="")
    rule = peewee.TextField(default="")
    why = peewee.TextField(default="")
    approvers = JsonField(default=list)
    owner_may_approve = peewee.BooleanField(default=False)
    eligible = JsonField(default=list)
    session_id = peewee.TextField(default="")
    seqs = JsonField(default=list)
    worker = peewee.TextField(default="")
    request_hash = peewee.TextField(default="")
    deed_hash = peewee.TextField(default="")
    created_at = UtcField()
    expires_at = UtcField()
    retry_s = peewee.IntegerField(null=True)
    retry_until = UtcField(null=True)
    used_at = UtcField(null=True)
    decided_at = UtcField(null=True)
    decided_by = peewee.TextField(default="")
    decided_via = peewee.TextField(default="")
    decision_reason = peewee.TextField(default="")
    detail = JsonField(default=dict)

    class Meta:
        table_name = "approval_request"
        indexes = (
            (("state", "expires_at"), False),
            (("identity", "created_at"), False),
            (("deed_hash", "state"), False),
            (("session_id",), False),
            (("created_at",), False),
        )


class PreApprovalRow(StoreModel):
    """A yes given before it is asked for: a fingerprint, for an identity on a target.

    ``uses``: how often in all, NULL = as often as it is asked until ``until``.
    """

    identity = peewee.TextField()
    target = peewee.TextField()
    fingerprint = peewee.TextField()
    uses = peewee.IntegerField(null=True)
    uses_left = peewee.IntegerField(null=True)
    until = UtcField(null=True)
    reason = peewee.TextField(default="")
    created_by = peewee.TextField()
    created_via = peewee.TextField(default="")
    created_at = UtcField()
    used_at = UtcField(null=True)
    revoked_at = UtcField(null=True)
    revoked_by = peewee.TextField(default="")
    revoked_reason = peewee.TextField(default="")

    class Meta:
        table_name = "pre_approval"
        indexes = ((("identity", "target", "fingerprint"), False), (("created_at",), False))


APPROVAL_MODELS = (ApprovalRow, PreApprovalRow)
