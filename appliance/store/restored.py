"""Make a restored store safe to serve: what must not come back to life does not."""

from __future__ import annotations

from datetime import datetime

from appliance.sealing import SealBroken, Sealer, upstream_binding
from appliance.store import approvals
from appliance.store.actors import Actor
from appliance.store.changes import change
from appliance.store.database import Store
from appliance.store.models import KillRow, RoleRow, SetupLinkRow, SignInRow, ThrottleRow, WorkerRow
from appliance.store.outbox import OutboxRow


def finish(store: Store, by: Actor, now: datetime, sealer: Sealer, made_at: str) -> bool:
    """End sign-ins, links, requests and unused approvals, and note the restore.

    Return whether ``sealer`` opens the secrets.
    """
    with change(store, by, now) as doing:
        for model in (SignInRow, SetupLinkRow, ThrottleRow, WorkerRow, KillRow, OutboxRow):
            model.delete().execute()
        approvals.after_restore(doing)
        doing.decides("restore", "store", made_at=made_at)
        return _opens(sealer)


def _opens(sealer: Sealer) -> bool:
    for row in RoleRow.select().where(RoleRow.sealed_secret.is_null(False)):
        try:
            sealer.open(row.sealed_secret, upstream_binding(row.target_id, row.name))
        except SealBroken:
            return False
    return True
