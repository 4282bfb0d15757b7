"""What an identity can reach, said to someone who asked for something else."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from difflib import get_close_matches

from appliance.entities import Identity, Snapshot, Target, who_matches
from appliance.identity.grants import allows_database, environments_agree, is_standing
from appliance.identity.login_request import LoginRequest, Refused

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Reach:
    """One target that an identity has standing grants on, and as which roles, in order."""

    target: Target
    roles: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.target.name} ({', '.join(self.roles)})"


def reachable(snapshot: Snapshot, identity: Identity, now: datetime) -> list[Reach]:
    """Return what this identity has grants on, whatever the hour, source or application."""
    found: dict[str, Reach] = {}
    for grant in snapshot.grants:
        target = snapshot.targets.get(grant.target)
        if target is None or target.role(grant.role) is None:
            continue
        if not (who_matches(grant.who, identity) and is_standing(grant, now)):
            continue
        if not environments_agree(identity, target):
            continue
        reach = found.setdefault(target.name, Reach(target, ()))
        if grant.role not in reach.roles:
            found[target.name] = replace(reach, roles=(*reach.roles, grant.role))
    return list(found.values())


def reachable_hint(snapshot: Snapshot, identity: Identity, now: datetime) -> str:
    """Say in one line what this identity can reach."""
    return _say(reachable(snapshot, identity, now))


def no_target(
    snapshot: Snapshot, identity: Identity, request: LoginRequest, now: datetime
) -> Refused:
    """Refuse a target that is not there, or not for this identity: both sound the same."""
    reach = reachable(snapshot, identity, now)
    wanted = request.target
    if not wanted or wanted == request.user:  # libpq's default for dbname is the user
        message = "no target given: connect with dbname=TARGET"
    else:
        message = f'no target "{wanted}" that you have a grant on'
    meant = _meant(snapshot, identity, reach, request)
    hint = f"did you mean {meant}? {_say(reach)}" if meant else _say(reach)
    return Refused("28000", f"gatepost: {message}", hint, f"no grant on target {wanted}")


def _meant(
    snapshot: Snapshot, identity: Identity, reach: list[Reach], request: LoginRequest
) -> str:
    """Guess: a target misspelt, or (``\\c other``) a database of one that is in reach."""
    wanted = request.target
    if not wanted or wanted == request.user or request.database or not reach:
        return ""
    if any(wanted == one.target.database for one in reach):
        return next(one.target.name for one in reach if wanted == one.target.database)
    close = get_close_matches(wanted, [one.target.name for one in reach], n=1, cutoff=0.75)
    if close:
        return close[0]
    granted = [
        one
        for one in reach
        if any(
            grant.target == one.target.name
            and who_matches(grant.who, identity)
            and allows_database(grant, one.target, wanted)
            for grant in snapshot.grants
        )
    ]
    candidates = granted or reach
    return f"{candidates[0].target.name}/{wanted}" if len(candidates) == 1 else ""


def _say(reach: list[Reach]) -> str:
    if not reach:
        return "you can reach nothing yet: ask an admin of Gatepost for a grant"
    more = f" and {len(reach) - _SHOWN} more" if len(reach) > _SHOWN else ""
    return f"you can reach: {', '.join(str(one) for one in reach[:_SHOWN])}{more}"
