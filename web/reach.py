"""What an identity can reach, in the order in which grants decide: for pages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from appliance.entities import Grant, Snapshot, who_matches


@dataclass(frozen=True, slots=True)
class Reach:
    """One grant that names an identity, itself or through a group or its kind."""

    grant: Grant
    through: str  # "" = itself
    is_over: bool

    @property
    def target(self) -> str:
        return self.grant.target


def reach_of(snapshot: Snapshot, name: str, now: datetime) -> tuple[Reach, ...]:
    """Return the grants that name an identity, in their order."""
    identity = snapshot.identities.get(name)
    if identity is None:
        return ()
    return tuple(
        Reach(
            grant=grant,
            through="" if grant.who == f"identity:{name}" else grant.who,
            is_over=grant.expires_at is not None and grant.expires_at <= now,
        )
        for grant in snapshot.grants
        if who_matches(grant.who, identity)
    )


def conditions(grant: Grant) -> tuple[str, ...]:
    """Return what a grant demands or lets pass besides, in words."""
    words = []
    if grant.databases:
        words.append("databases " + ", ".join(grant.databases))
    if grant.sources:
        words.append("from " + ", ".join(grant.sources))
    if grant.application_names:
        words.append("as " + ", ".join(grant.application_names))
    if grant.hours:
        words.append(grant.hours)
    if grant.allow_builtin:
        words.append("built-in rules off: " + ", ".join(sorted(grant.allow_builtin)))
    if grant.fastpath:
        words.append("function calls too")
    if grant.replication:
        words.append("replication too")
    return tuple(words)
