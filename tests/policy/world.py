"""A small company as a snapshot: what the tests of logins and policies decide by."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from appliance.entities import (
    Credential,
    Grant,
    Identity,
    IdentityKind,
    PolicyRule,
    Settings,
    Snapshot,
    SslMode,
    Target,
    UpstreamRole,
)
from appliance.policy.subject import Subject

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)  # a Monday


def credential(number: int = 1, **changes: object) -> Credential:
    made = Credential(
        id=number, kind="password", verifier=f"v{number}", created_at=NOW, created_by="bo"
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def identity(name: str = "ana@example.com", **changes: object) -> Identity:
    number = sum(name.encode())
    made = Identity(
        id=number, name=name, kind=IdentityKind.HUMAN, credentials=(credential(number),)
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def target(name: str = "shop", **changes: object) -> Target:
    made = Target(
        id=sum(name.encode()),
        name=name,
        host="127.0.0.1",
        port=5432,
        database=name,
        sslmode=SslMode.PREFER,
        environment="production",
        roles=(UpstreamRole("app_ro"), UpstreamRole("app_rw")),
        catalog_role="app_ro",
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def grant(who: str = "identity:ana@example.com", role: str = "app_ro", **changes: object) -> Grant:
    made = Grant(id=sum(f"{who}{role}{changes}".encode()), who=who, target="shop", role=role)
    return replace(made, **changes)  # type: ignore[arg-type]


def rule(name: str, action: str, **changes: object) -> PolicyRule:
    return replace(PolicyRule(name=name, action=action), **changes)  # type: ignore[arg-type]


def snapshot(
    identities: tuple[Identity, ...] = (),
    grants: tuple[Grant, ...] = (),
    rules: tuple[PolicyRule, ...] = (),
    targets: tuple[Target, ...] = (),
    default_action: str = "allow",
) -> Snapshot:
    return Snapshot(
        version=1,
        settings=Settings(default_action=default_action),
        targets={one.name: one for one in targets or (target(), target("crm"))},
        identities={one.name: one for one in identities or (identity(),)},
        groups={},
        grants=grants,
        rules=rules,
    )


def subject(who: Identity | None = None, **changes: object) -> Subject:
    made = Subject(
        identity=who or identity(),
        target=target(),
        database="shop",
        role="app_rw",
        grant=grant(role="app_rw"),
        granted_roles=frozenset({"app_rw", "app_ro"}),
        application_name="psql",
        source="127.0.0.1",
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def machine(kind: IdentityKind = IdentityKind.CI, name: str = "ci-nightly") -> Identity:
    return identity(name, kind=kind)


def later(**units: float) -> datetime:
    return NOW + timedelta(**units)
