"""Statement profiles: what a machine ran, what its owner signed, and whether that is enforced."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from appliance.entities import IdentityKind, IdentityStatus, ProfileMode
from appliance.errors import Conflict, Invalid, NotAllowed, NotFound
from appliance.store import fingerprint_days, profile_requests
from appliance.store.actors import Actor, via_of
from appliance.store.changes import Change, change
from appliance.store.database import Store
from appliance.store.fingerprint_days import FingerprintUse
from appliance.store.models import IdentityRow
from appliance.store.profile_models import ProfileEntryRow

DAYS = 30
_LONGEST = timedelta(days=3_660)
_TEXT_KEPT = 20_000
_FREE = frozenset({"transaction"})  # BEGIN, COMMIT: no profile ever stops them


@dataclass(frozen=True, slots=True)
class Signature:
    """Who signed a fingerprint, and what its use was in the 30 days before."""

    by: str
    via: str
    at: datetime
    count: int


@dataclass(frozen=True, slots=True)
class ProfileEntry:
    """One fingerprint: what ran, and whether it is signed.

    Moments are None, and ``use`` too, for a signed one that was not used in these days.
    """

    fingerprint: str
    text: str
    effects: tuple[tuple[str, str], ...]
    use: FingerprintUse | None
    signature: Signature | None

    @property
    def is_signed(self) -> bool:
        return self.signature is not None

    @property
    def ran(self) -> int:
        """Return how often it went to the target."""
        return self.use.ran if self.use else 0

    @property
    def refused(self) -> int:
        return self.use.refused if self.use else 0

    @property
    def tables(self) -> tuple[str, ...]:
        """Return the relations and functions that it touches."""
        return tuple(dict.fromkeys(name for _, name in self.effects if name))

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(cls for cls, _ in self.effects))


@dataclass(frozen=True, slots=True)
class Profile:
    """The profile of one identity over the last ``days``.

    ``entries``: what was asked for in that time, the most used first; ``unused``: signed, but not
    asked for. ``signed_by`` / ``signed_at``: the latest signature.
    """

    identity: str
    kind: IdentityKind
    mode: ProfileMode
    owner: str | None
    backup_owner: str | None
    days: int
    entries: tuple[ProfileEntry, ...]
    unused: tuple[ProfileEntry, ...]
    signed_by: str = ""
    signed_at: datetime | None = None

    @property
    def signed(self) -> frozenset[str]:
        """Return every signed fingerprint."""
        found = (*self.entries, *self.unused)
        return frozenset(entry.fingerprint for entry in found if entry.is_signed)

    @property
    def unsigned(self) -> tuple[ProfileEntry, ...]:
        """Return what was asked for and is not signed."""
        return tuple(entry for entry in self.entries if not entry.is_signed)

    def why_not(self, name: str) -> str:
        """Return "" where this person signs the profile, else the sentence that says why not."""
        return _why_not(self.identity, self.kind, (self.owner, self.backup_owner), name)


def of(store: Store, identity: str, now: datetime, days: int = DAYS) -> Profile:
    """Return the profile of an identity. Raises: NotFound."""
    with store.reading(consistent=True):
        row = _row(identity)
        uses = fingerprint_days.of_identity(store, identity, now - timedelta(days=days))
        signed = {
            entry.fingerprint: entry
            for entry in ProfileEntryRow.select()
            .where(ProfileEntryRow.identity == row.id)
            .order_by(ProfileEntryRow.signed_at.desc(), ProfileEntryRow.fingerprint)
        }
        known = {use.fingerprint for use in uses}
        latest = next(iter(signed.values()), None)
        return Profile(
            identity=row.name,
            kind=IdentityKind(row.kind),
            mode=ProfileMode(row.profile),
            owner=row.owner.name if row.owner else None,
            backup_owner=row.backup_owner.name if row.backup_owner else None,
            days=days,
            entries=tuple(
                _used(use, signed.get(use.fingerprint))
                for use in uses
                if use.fingerprint in signed or not _is_free(use)
            ),
            unused=tuple(_unused(one) for name, one in signed.items() if name not in known),
            signed_by=latest.signed_by if latest else "",
            signed_at=latest.signed_at if latest else None,
        )


def owned_by(store: Store, name: str) -> tuple[tuple[str, ProfileMode], ...]:
    """Return the machines whose profile a person signs, and what each profile does."""
    with store.reading():
        person = IdentityRow.get_or_none(IdentityRow.name == name)
        if person is None:
            return ()
        mine = (IdentityRow.owner == person.id) | (IdentityRow.backup_owner == person.id)
        query = IdentityRow.select(IdentityRow.name, IdentityRow.profile).where(
            mine
            & (IdentityRow.kind != IdentityKind.HUMAN.value)
            & (IdentityRow.status != IdentityStatus.RETIRED.value)
        )
        return tuple(
            (row.name, ProfileMode(row.profile)) for row in query.order_by(IdentityRow.name)
        )


def sign(
    store: Store, by: Actor, now: datetime, identity: str, fingerprints: Iterable[str]
) -> tuple[str, ...]:
    """Sign fingerprints that were recorded, beside those that are signed; return the new ones.

    Only the owner and the backup owner do. Raises: NotFound, NotAllowed, Invalid.
    """
    wanted = tuple(dict.fromkeys(fingerprints))
    with change(store, by, now) as doing:
        row = _row(identity)
        _check_signer(row, by)
        if not wanted:
            raise Invalid("fingerprints", "choose at least one statement to sign")
        new = _add(doing, row, wanted)
        profile_requests.signed(doing, identity, new)
        return new


def unsign(
    store: Store, by: Actor, now: datetime, identity: str, fingerprints: Iterable[str]
) -> tuple[str, ...]:
    """Take signatures back; return those that were there. Raises: NotFound, NotAllowed, Conflict.

    Of an enforced profile one must be left: none would refuse everything.
    """
    wanted = list(dict.fromkeys(fingerprints))
    with change(store, by, now) as doing:
        row = _row(identity)
        _check_signer(row, by)
        mine = ProfileEntryRow.identity == row.id
        present = {entry.fingerprint for entry in ProfileEntryRow.select().where(mine)}
        gone = tuple(name for name in wanted if name in present)
        if not gone:
            return ()
        if row.profile == ProfileMode.ENFORCE.value and len(gone) == len(present):
            raise Conflict(
                f"nothing would be left that {identity} may run",
                "stop enforcing its profile first",
            )
        for name in gone:
            ProfileEntryRow.delete().where(mine & (ProfileEntryRow.fingerprint == name)).execute()
        doing.decides("profile.unsign", identity, fingerprints=list(gone))
        return gone


def set_mode(store: Store, by: Actor, now: datetime, identity: str, mode: ProfileMode) -> bool:
    """Switch a profile off, let it learn, or enforce it; return whether that changed.

    Only the owner and the backup owner do, or the declarative file. Raises: NotFound, NotAllowed,
    Invalid for a person's; Conflict where there is nothing signed, or nobody who could sign more.
    """
    with change(store, by, now) as doing:
        row = _row(identity)
        if row.kind == IdentityKind.HUMAN:
            raise Invalid("profile", f"{identity} is a person: only machines have a profile")
        if row.profile == mode.value:
            return False
        if by.via != "file":
            _check_signer(row, by)
        if mode is ProfileMode.ENFORCE:
            _check_enforceable(row)
        IdentityRow.update(profile=mode.value).where(IdentityRow.id == row.id).execute()
        doing.decides("profile.mode", identity, mode=mode.value, before=row.profile)
        return True


def extend(doing: Change, identity: str, fingerprint: str, by: Actor, now: datetime) -> bool:
    """Sign one more fingerprint as a request asked; inside the transaction that approves it.

    Return whether it was new. Raises: NotFound, NotAllowed, Invalid.
    """
    row = _row(identity)
    _check_signer(row, by)
    return bool(_add(doing, row, (fingerprint,)))


def read_enforced() -> dict[str, frozenset[str]]:
    """Return the signed fingerprints of each enforced identity; inside a store scope."""
    found: dict[str, set[str]] = defaultdict(set)
    query = (
        IdentityRow.select(IdentityRow.name, ProfileEntryRow.fingerprint)
        .join(ProfileEntryRow, "LEFT OUTER JOIN")
        .where(IdentityRow.profile == ProfileMode.ENFORCE.value)
    )
    for name, fingerprint in query.tuples():
        found[name] |= {fingerprint} - {None}  # with nothing signed, nothing passes
    return {name: frozenset(fingerprints) for name, fingerprints in found.items()}


def _add(doing: Change, row: Any, wanted: tuple[str, ...]) -> tuple[str, ...]:
    mine = ProfileEntryRow.identity == row.id
    present = {entry.fingerprint for entry in ProfileEntryRow.select().where(mine)}
    new = tuple(name for name in wanted if name not in present)
    now, store = doing.now, doing.store
    uses = {
        use.fingerprint: use
        for use in fingerprint_days.of_identity(store, row.name, now - _LONGEST, new)
    }
    lately = {
        use.fingerprint: use.count
        for use in fingerprint_days.of_identity(store, row.name, now - timedelta(days=DAYS), new)
    }
    for name in new:
        use = uses.get(name)
        if use is None:
            raise Invalid(
                "fingerprints",
                f"{row.name} never sent a statement with the fingerprint {name[:32]}",
                f"see: gatepost profile show {row.name}",
            )
        ProfileEntryRow.insert(
            identity=row.id,
            fingerprint=name,
            text=use.text[:_TEXT_KEPT],
            effects=[list(effect) for effect in use.effects],
            count=lately.get(name, 0),
            first_at=use.first_at,
            last_at=use.last_at,
            signed_by=doing.by.name,
            signed_via=via_of(doing.by),
            signed_at=now,
        ).execute()
    if new:
        doing.decides(
            "profile.sign", row.name, fingerprints=list(new), signed=len(present | {*new})
        )
    return new


def _check_signer(row: Any, by: Actor) -> None:
    owners = tuple(person.name if person else None for person in (row.owner, row.backup_owner))
    why_not = _why_not(row.name, IdentityKind(row.kind), owners, by.name)
    if why_not:
        raise NotAllowed(why_not)
    signer = next(p for p in (row.owner, row.backup_owner) if p and p.name == by.name)
    if signer.status != IdentityStatus.ACTIVE.value:
        raise NotAllowed(f"{by.name} is {signer.status}, and signs nothing")


def _check_enforceable(row: Any) -> None:
    if row.owner is None and row.backup_owner is None:
        raise Conflict(
            f"{row.name} has no owner, so nobody could sign what it needs next",
            "give it an owner first",
        )
    if not ProfileEntryRow.select().where(ProfileEntryRow.identity == row.id).exists():
        raise Conflict(
            f"nothing of {row.name} is signed: enforcing would refuse all that it runs",
            "let it learn, then sign what it may run",
        )


def _why_not(identity: str, kind: IdentityKind, owners: tuple[str | None, ...], name: str) -> str:
    if kind is IdentityKind.HUMAN:
        return f"{identity} is a person: only machines have a profile"
    known = [owner for owner in owners if owner]
    if not known:
        return f"{identity} has no owner: give it one, who signs what it may run"
    if name not in known:
        return f"the profile of {identity} is signed by its owner: {' or '.join(known)}"
    return ""


def _is_free(use: FingerprintUse) -> bool:
    return bool(use.effects) and {cls for cls, _ in use.effects} <= _FREE


def _used(use: FingerprintUse, row: Any) -> ProfileEntry:
    return ProfileEntry(use.fingerprint, use.text, use.effects, use, _signature(row))


def _unused(row: Any) -> ProfileEntry:
    effects = tuple((cls, name) for cls, name in row.effects)
    return ProfileEntry(row.fingerprint, row.text, effects, None, _signature(row))


def _signature(row: Any) -> Signature | None:
    if row is None:
        return None
    return Signature(row.signed_by, row.signed_via, row.signed_at, row.count)


def _row(identity: str) -> Any:
    row = IdentityRow.get_or_none(IdentityRow.name == identity)
    if row is None:
        raise NotFound(f"no identity is called {identity}")
    return row
