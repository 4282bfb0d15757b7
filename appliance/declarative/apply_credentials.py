"""Apply the ``credentials:`` of one identity: an unchanged secret makes no new credential."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from appliance.declarative.document import CredentialEntry
from appliance.errors import Invalid
from appliance.identity import credentials
from appliance.store import credentials as stored

if TYPE_CHECKING:
    from appliance.declarative.apply import Applying
    from appliance.store.credentials import CredentialState


@dataclass(slots=True)
class _Owned:
    """The credentials of one identity while its entries are gone through."""

    identity: str
    identity_id: int
    rows: tuple[CredentialState, ...]
    matched: set[int]

    def live(self, now: datetime) -> list[CredentialState]:
        """Return those that open sessions and no entry has named yet; ending ones end anyway."""
        return [
            row
            for row in self.rows
            if row.record.state(now) in ("live", stored.PENDING)
            and row.record.id not in self.matched
        ]


def apply_credentials(doing: Applying, identity: str, entries: Sequence[CredentialEntry]) -> None:
    """Make the credentials of an identity be as listed; others go with ``--prune`` only."""
    identity_id, rows = stored.of_identity(doing.store, identity)
    owned = _Owned(identity, identity_id, rows, set())
    # Those that name theirs first, so that an entry without a name takes what is left.
    for entry in sorted(entries, key=lambda e: e.label is None and e.password_env is None):
        with doing.at(entry.path):
            if entry.password_env is not None:
                _by_environment(doing, owned, entry, entry.password_env)
            else:
                _keep(doing, owned, entry)
    if doing.options.prune:
        for row in owned.live(doing.now):
            credentials.revoke(
                doing.store, doing.by, doing.now, row.record.id, "not in the applied file"
            )
            doing.tell(f"revoke {row.record.label} of {identity}")


def _keep(doing: Applying, owned: _Owned, entry: CredentialEntry) -> None:
    """Find the stored credential that an entry without a secret means, and set its end."""
    left = owned.live(doing.now)
    if entry.label is not None:
        wanted = credentials.parse_label("label", entry.label)
        found = [row for row in left if row.record.id == wanted]
        if not found:
            raise Invalid(
                "label",
                f"{owned.identity} has no live credential {entry.label}",
                "give it a secret with password_env",
            )
    elif len(left) != 1:
        raise Invalid(
            "",
            f"has no secret, and {owned.identity} has {len(left)} live credentials to keep",
            "give password_env, or name one with label: c-N",
        )
    else:
        found = left
    owned.matched.add(found[0].record.id)
    _set_end(doing, owned, found[0], entry)


def _by_environment(doing: Applying, owned: _Owned, entry: CredentialEntry, variable: str) -> None:
    secret = doing.options.environ.get(variable) or None
    of_variable = [row for row in owned.live(doing.now) if row.record.secret_env == variable]
    if secret is None:
        if not of_variable:
            _expect(doing, owned, entry, variable)
            return
        owned.matched.add(of_variable[-1].record.id)
        _set_end(doing, owned, of_variable[-1], entry)
        return
    print_ = credentials.secret_print(doing.sealer, owned.identity_id, secret)
    same = [row for row in owned.rows if row.secret_print == print_]
    if same:
        _unchanged(doing, owned, same[-1], entry, variable)
    elif entry.expires_at is not None and entry.expires_at <= doing.now:
        doing.remarks.append(f"{variable} of {owned.identity} is over: nothing was issued")
    else:
        _new(doing, owned, of_variable, entry, variable, secret)


def _expect(doing: Applying, owned: _Owned, entry: CredentialEntry, variable: str) -> None:
    """Leave it to ``serve`` to find the secret in its environment."""
    if entry.expires_at is not None and entry.expires_at <= doing.now:
        doing.remarks.append(f"{variable} of {owned.identity} is over: nothing was issued")
        return
    made = credentials.expect(
        doing.store, doing.by, doing.now, owned.identity, variable, expires_at=entry.expires_at
    )
    owned.matched.add(made)
    doing.tell(f"issue a credential to {owned.identity}, once serve has {variable}")
    doing.remarks.append(
        f"{variable} is not set here: the credential of {owned.identity} opens sessions"
        " when gatepost serve runs with it"
    )


def _unchanged(
    doing: Applying,
    owned: _Owned,
    row: CredentialState,
    entry: CredentialEntry,
    variable: str,
) -> None:
    """The secret was issued before: it stays as it is, also if it has ended since."""
    record = row.record
    owned.matched.add(record.id)
    state = record.state(doing.now)
    if state in ("revoked", "ended", "ending"):
        doing.remarks.append(
            f"{variable} holds the secret of {record.label} of {owned.identity}, which is "
            f"{state}: nothing was issued; change its value for a new credential"
        )
        return
    if state == "expired":
        if entry.expires_at is None or entry.expires_at > doing.now:
            raise Invalid(
                "expires",
                f"{record.label} of {owned.identity} has expired and cannot be revived",
                f"give {variable} a new value",
            )
        return
    _set_end(doing, owned, row, entry)
    if record.secret_env != variable and stored.set_secret_env(doing.store, record.id, variable):
        doing.tell(f"change {record.label} of {owned.identity}: password_env")


def _new(
    doing: Applying,
    owned: _Owned,
    of_variable: Sequence[CredentialState],
    entry: CredentialEntry,
    variable: str,
    secret: str,
) -> None:
    """A new value of a variable replaces the credential that its old value made."""
    try:
        if of_variable:
            old = of_variable[-1].record
            owned.matched.add(old.id)
            made = credentials.rotate(
                doing.store,
                doing.by,
                doing.now,
                doing.sealer,
                old.id,
                expires_at=entry.expires_at,
                keep_life=False,
                secret=secret,
                secret_env=variable,
            )
            now = "" if doing.options.dry_run else f": now {made.label}"
            doing.tell(f"rotate {old.label} of {owned.identity}{now}")
        else:
            made = credentials.issue(
                doing.store,
                doing.by,
                doing.now,
                doing.sealer,
                owned.identity,
                expires_at=entry.expires_at,
                secret=secret,
                secret_env=variable,
            )
            # a number that the dry run took would be another one when it is done
            label = "a credential" if doing.options.dry_run else made.label
            doing.tell(f"issue {label} to {owned.identity}")
    except Invalid as error:
        if error.field == "password":
            raise Invalid("password_env", f"{variable}: {error.message}") from None
        raise
    owned.matched.add(made.id)


def _set_end(doing: Applying, owned: _Owned, row: CredentialState, entry: CredentialEntry) -> None:
    if row.record.expires_at == entry.expires_at:
        return
    credentials.set_expiry(doing.store, doing.by, doing.now, row.record.id, entry.expires_at)
    doing.tell(f"change {row.record.label} of {owned.identity}: expires")
