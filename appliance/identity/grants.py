"""Which grants let an identity in, and why the others do not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from fnmatch import fnmatchcase

from appliance.entities import Grant, Identity, Snapshot, Target, address_in, who_matches
from appliance.errors import Invalid
from appliance.hours import parse_hours
from appliance.identity.login_request import LoginRequest


class Distance(IntEnum):
    """How near a grant came to letting someone in: the nearest one explains the refusal."""

    WHO = 0
    TARGET = 1
    ROLE = 2
    ENDED = 3
    ENVIRONMENT = 4
    DATABASE = 5
    REPLICATION = 6
    SOURCE = 7
    APPLICATION = 8
    HOURS = 9
    BY_NAME = 10


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why one grant does not let someone in: for the client, after authentication."""

    distance: Distance
    message: str
    hint: str


def names_target(grant: Grant, target: str) -> bool:
    """Return whether a grant is for this target."""
    return grant.target == target


def allows_database(grant: Grant, target: Target, database: str) -> bool:
    """Return whether a grant reaches a database of the target."""
    if not grant.databases:
        return database == target.database
    return "*" in grant.databases or database in grant.databases


def is_standing(grant: Grant, now: datetime) -> bool:
    """Return whether a grant has not ended."""
    return grant.expires_at is None or now < grant.expires_at


def environments_agree(identity: Identity, target: Target) -> bool:
    """Return whether an identity may be on this target at all.

    One with an environment never logs in to a target of another, nor to one of none: that may be
    the production that nobody has labelled.
    """
    return not identity.environment or identity.environment == target.environment


def obstacle(
    grant: Grant, identity: Identity, target: Target, request: LoginRequest, now: datetime
) -> Obstacle | None:
    """Return the first reason why this grant does not open this session, or None: it does."""
    return (
        standing_obstacle(grant, identity, target, request, now)
        or _hours(grant, target, now)
        or _by_name(grant, target, request)
    )


def standing_obstacle(
    grant: Grant, identity: Identity, target: Target, request: LoginRequest, now: datetime
) -> Obstacle | None:
    """The same without what opens sessions and does not end them.

    Those are the hours, and that a time-boxed role must be asked for by name.
    """
    if not who_matches(grant.who, identity):
        return Obstacle(Distance.WHO, "", "")
    if not names_target(grant, target.name) or target.role(grant.role) is None:
        return Obstacle(Distance.TARGET, "", "")
    if request.role and grant.role != request.role:
        return Obstacle(Distance.ROLE, "", "")
    as_role = f"on {target.name} as {grant.role}"
    if not is_standing(grant, now):
        again = "ask for it again: in the browser, under My access, or gatepost access request"
        return Obstacle(
            Distance.ENDED,
            f"your access {as_role} has ended",
            again if grant.is_time_boxed else "ask an admin to grant it again",
        )
    if not environments_agree(identity, target):
        return _environment(identity, target)
    return (
        _database(grant, target, request)
        or _replication(grant, request, as_role)
        or _source(grant, request, as_role)
        or _application(grant, request, as_role)
    )


def admitting(
    snapshot: Snapshot, identity: Identity, target: Target, request: LoginRequest, now: datetime
) -> tuple[list[Grant], Obstacle]:
    """Return the grants that open this session, in order, and the nearest obstacle of the rest."""
    found: list[Grant] = []
    nearest = Obstacle(Distance.WHO, "", "")
    for grant in snapshot.grants:
        found_obstacle = obstacle(grant, identity, target, request, now)
        if found_obstacle is None:
            found.append(grant)
        elif found_obstacle.distance > nearest.distance:
            nearest = found_obstacle
    return found, nearest


def _by_name(grant: Grant, target: Target, request: LoginRequest) -> Obstacle | None:
    if not grant.is_time_boxed or request.role == grant.role:
        return None
    option = grant.role.replace("\\", "\\\\").replace(" ", "\\ ")
    return Obstacle(
        Distance.BY_NAME,
        f"your access on {target.name} as {grant.role} is for a time: ask for it by name",
        f"connect with options='-c gatepost.role={option}'",
    )


def _environment(identity: Identity, target: Target) -> Obstacle:
    has = f"is {target.environment}" if target.environment else "has no environment"
    return Obstacle(
        Distance.ENVIRONMENT,
        f"{identity.name} is for {identity.environment}, target {target.name} {has}",
        "use an identity of the target's environment",
    )


def _database(grant: Grant, target: Target, request: LoginRequest) -> Obstacle | None:
    database = request.database or target.database
    if allows_database(grant, target, database):
        return None
    allowed = ", ".join(grant.databases or (target.database,))
    return Obstacle(
        Distance.DATABASE,
        f'no access to database "{database}" of {target.name}',
        f"your grant there is for: {allowed}",
    )


def _replication(grant: Grant, request: LoginRequest, as_role: str) -> Obstacle | None:
    if not request.replication or grant.replication:
        return None
    return Obstacle(
        Distance.REPLICATION,
        f"no replication {as_role}",
        "ask an admin for a grant with replication: true",
    )


def _source(grant: Grant, request: LoginRequest, as_role: str) -> Obstacle | None:
    try:
        if not grant.sources or address_in(request.source, grant.sources):
            return None
    except ValueError:  # not an address at all: then it is none of those that are allowed
        pass
    return Obstacle(
        Distance.SOURCE,
        f"no access {as_role} from {request.source}",
        "ask an admin to add your network to the grant",
    )


def _application(grant: Grant, request: LoginRequest, as_role: str) -> Obstacle | None:
    allowed = grant.application_names
    if not allowed or any(fnmatchcase(request.application_name, glob) for glob in allowed):
        return None
    name = request.application_name[:30] or "(none)"
    return Obstacle(
        Distance.APPLICATION,
        f"no access {as_role} for application {name}",
        f"set application_name to one of: {', '.join(allowed)}",
    )


def _hours(grant: Grant, target: Target, now: datetime) -> Obstacle | None:
    if not grant.hours:
        return None
    try:
        if parse_hours(grant.hours).contains(now):
            return None
    except Invalid:  # checked when it was stored; what cannot be read opens nothing
        pass
    return Obstacle(
        Distance.HOURS,
        f"no access on {target.name} as {grant.role} at this hour",
        f"your grant there is for {grant.hours}",
    )
