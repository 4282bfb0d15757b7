"""An export has no secrets, and applying it unchanged changes nothing, also with --prune."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from appliance.declarative.export import export
from appliance.entities import (
    Durability,
    IdentityStatus,
    Limits,
    MaskingRule,
    MaskMode,
    PermissionRole,
    PolicyRule,
    Settings,
    Snapshot,
)
from appliance.hours import parse_hours
from appliance.identity import credentials
from appliance.masking.values import Method
from appliance.policy.builtin import BUILTIN_RULES
from appliance.store import (
    accounts,
    grants,
    groups,
    identities,
    masking_rules,
    rules,
    settings,
    snapshots,
    targets,
)
from appliance.store.database import Store
from appliance.store.grants import GrantSpec
from appliance.store.identities import IdentitySpec
from appliance.store.targets import TargetSpec
from tests.declarative.conftest import BY, NOW, SEALER, apply_text
from tests.declarative.example import ENVIRON, FILE
from tests.harness.store import migrated

_DAY = timedelta(days=1)


def _unchanged(store: Store, now: datetime = NOW) -> str:
    """Export, apply with --prune in an empty environment, and expect nothing to change."""
    before, version = snapshots.load(store, now), snapshots.version(store)
    text = export(store, now)
    applied = apply_text(store, text, {}, now=now, prune=True)
    assert applied.changes == (), text
    assert snapshots.load(store, now) == before
    assert snapshots.version(store) == version
    return text


def test_an_export_of_the_contracts_example_changes_nothing(store: Store) -> None:
    apply_text(store, FILE, ENVIRON)
    text = _unchanged(store)
    for secret in (*ENVIRON.values(), "rw-secret", "SCRAM-SHA-256", "argon2"):
        assert secret not in text
    assert apply_text(store, text, ENVIRON, prune=True).changes == ()


def test_an_export_of_an_empty_store_is_a_file_that_changes_nothing(store: Store) -> None:
    text = _unchanged(store)
    assert yaml.safe_load(text)["targets"] == []


def test_an_export_carries_what_the_page_made(store: Store) -> None:
    apply_text(store, FILE, ENVIRON)
    accounts.create(store, BY, NOW, "root@example.com", "correct horse battery")
    identities.set_permission_roles(
        store, BY, NOW, "ana@example.com", frozenset({PermissionRole.AUDITOR})
    )
    identities.set_status(store, BY, NOW, "bo@example.com", IdentityStatus.SUSPENDED)
    identities.create(store, BY, NOW, IdentitySpec("old", "bot", owner="bo@example.com"))
    credentials.issue(store, BY, NOW, SEALER, "old", expires_at=NOW + 2 * _DAY)
    second = credentials.issue(store, BY, NOW, SEALER, "old")
    credentials.rotate(store, BY, NOW, SEALER, second.id, overlap=_DAY)
    credentials.issue(store, BY, NOW, SEALER, "ana@example.com")
    credentials.revoke(store, BY, NOW, 5)
    identities.create(store, BY, NOW, IdentitySpec("gone", "bot"))
    identities.retire(store, BY, NOW, "gone")
    wanted = Settings("block", Durability.DURABLE, 30, limits=Limits(connections=7))
    settings.put(store, BY, NOW, wanted)
    text = _unchanged(store)
    assert "gone" not in text
    assert "status: suspended" in text
    for later in (NOW + _DAY, NOW + 3 * _DAY, NOW + 400 * _DAY):
        _unchanged(store, later)


def test_an_export_names_a_credential_by_its_variable_or_its_label(store: Store) -> None:
    apply_text(store, FILE, ENVIRON)
    credentials.issue(store, BY, NOW, SEALER, "ci-nightly")
    assert yaml.safe_load(export(store, NOW))["identities"][2]["credentials"] == [
        {"password_env": "CI_PASSWORD", "expires": "2027-01-31"},
        {"label": "c-2"},
    ]


_NAMES = ("alpha", "beta-2", "gamma_3", "delta.4", "0x10", "1e5", "null", "on", "007", "2027-01-31")
_WORDS = st.text(
    alphabet=st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), max_size=30
).map(str.strip)
_MOMENTS = st.one_of(
    st.none(),
    st.datetimes(
        min_value=datetime(2026, 12, 1),
        max_value=datetime(2099, 1, 1),
    ).map(lambda at: at.replace(tzinfo=UTC)),
    st.dates(min_value=datetime(2026, 12, 1).date(), max_value=datetime(2099, 1, 1).date()).map(
        lambda day: datetime(day.year, day.month, day.day, tzinfo=UTC)
    ),
)
_GLOBS = st.lists(st.sampled_from(("psql*", "ci-?", "*", "a b", "#x", "- y", "off")), unique=True)
_CIDRS = st.lists(st.sampled_from(("10.0.0.0/8", "::1/128", "192.0.2.7")), unique=True)


@st.composite
def _identity_specs(draw: st.DrawFn) -> list[IdentitySpec]:
    names = draw(st.lists(st.sampled_from(_NAMES), unique=True, max_size=4))
    return [
        IdentitySpec(
            name,
            draw(st.sampled_from(("ci", "bot", "agent", "service"))),
            owner=draw(st.sampled_from((None, "ana@example.com"))),
            purpose=draw(_WORDS),
            environment=draw(_WORDS),
            expires_at=draw(_MOMENTS),
            application_names=tuple(draw(_GLOBS)),
            sources=tuple(draw(_CIDRS)),
        )
        for name in names
    ]


@st.composite
def _rules(draw: st.DrawFn) -> list[PolicyRule]:
    names = draw(st.lists(st.sampled_from(_NAMES), unique=True, max_size=3))
    found = []
    for name in names:
        rule = PolicyRule(
            name,
            draw(st.sampled_from(("allow", "block", "approve"))),
            commands=tuple(draw(st.lists(st.sampled_from(("ddl", "select", "do")), unique=True))),
            hours=draw(st.sampled_from(("", "08:00-18:00", "Sat,Sun 00:00-24:00 Asia/Tokyo"))),
            tables=tuple(draw(st.lists(st.sampled_from(("a.*", '"A b".c', "x")), unique=True))),
            columns=tuple(draw(st.lists(st.sampled_from(("a.b.c", '"*"', "ssn")), unique=True))),
            sources=tuple(draw(_CIDRS)),
            without_where=draw(st.sampled_from((None, True, False))),
            message=draw(_WORDS),
            enabled=draw(st.booleans()),
        )
        if rule.action == "approve":
            seconds = st.one_of(st.none(), st.integers(1, 7 * 86400))
            rule = replace(
                rule,
                timeout_s=draw(seconds),
                retry_s=draw(seconds),
                approvers=draw(st.sampled_from((None, "group:dba", "identity:ana@example.com"))),
                owner_may_approve=draw(st.booleans()),
            )
        if rule.action != "allow" and set(rule.commands) <= {"select"}:
            rule = replace(rule, rows_over=draw(st.sampled_from((None, 0, 1, 10**6))))
        found.append(rule)
    return found


@st.composite
def _masking(draw: st.DrawFn) -> list[MaskingRule]:
    names = draw(st.lists(st.sampled_from(_NAMES), unique=True, max_size=3))
    columns = ("a.b.c", "*.*.ssn", 'x."a.b".c', "public.Card Holders.Card No", "a.b.null")
    found = []
    for name in names:
        method = draw(st.sampled_from(Method))
        found.append(
            MaskingRule(
                0,
                name,
                "shop",
                tuple(draw(st.lists(st.sampled_from(columns), unique=True, min_size=1))),
                method,
                draw(_WORDS) if method is Method.FIXED else None,
                draw(st.sampled_from(MaskMode)),
                tuple(draw(st.lists(st.sampled_from(("group:dba", "kind:ci")), unique=True))),
                draw(st.booleans()),
            )
        )
    return found


@st.composite
def _grants(draw: st.DrawFn) -> list[GrantSpec]:
    builtin = [rule.name for rule in BUILTIN_RULES]
    hours = ("", "08:00-18:00", "Mon-Fri 00:00-06:00 Europe/Oslo")
    assert all(parse_hours(text) for text in hours if text)
    return [
        GrantSpec(
            draw(st.sampled_from(("*", "kind:ci", "group:dba", "identity:ana@example.com"))),
            "shop",
            draw(st.sampled_from(("app_ro", "Role With Blank"))),
            databases=tuple(draw(st.lists(st.sampled_from(("*", "shop", "5")), unique=True))),
            sources=tuple(draw(_CIDRS)),
            application_names=tuple(draw(_GLOBS)),
            hours=draw(st.sampled_from(hours)),
            expires_at=draw(_MOMENTS),
            max_session_s=draw(st.sampled_from((60, 61, 3600, 43200, 86400))),
            fastpath=draw(st.booleans()),
            replication=draw(st.booleans()),
            allow_builtin=frozenset(draw(st.lists(st.sampled_from(builtin), unique=True))),
        )
        for _ in range(draw(st.integers(0, 4)))
    ]


@hypothesis_settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_identity_specs(), _rules(), _grants(), _masking(), _WORDS)
def test_whatever_was_configured_an_unchanged_export_changes_nothing(
    specs: list[IdentitySpec],
    some_rules: list[PolicyRule],
    some_grants: list[GrantSpec],
    some_masking: list[MaskingRule],
    environment: str,
) -> None:
    with tempfile.TemporaryDirectory() as place:
        store = migrated(f"sqlite:///{Path(place) / 'gatepost.db'}")
        with store.transaction():
            _configure(store, specs, some_rules, some_grants, environment)
            for masking in some_masking:
                masking_rules.create(store, BY, NOW, masking)
        before = snapshots.load(store, NOW)
        text = _unchanged(store)
        store.close()
        fresh = migrated(f"sqlite:///{Path(place) / 'fresh.db'}")
        apply_text(fresh, text)
        assert _comparable(snapshots.load(fresh, NOW)) == _comparable(before)
        fresh.close()


def _configure(
    store: Store,
    specs: list[IdentitySpec],
    some_rules: list[PolicyRule],
    some_grants: list[GrantSpec],
    environment: str,
) -> None:
    spec = TargetSpec("shop", "db.example.com", 'the "shop"', environment=environment)
    targets.create(store, BY, NOW, spec)
    for role in ("app_ro", "Role With Blank"):
        targets.put_role(store, BY, NOW, "shop", role, sealer=SEALER)
    identities.create(store, BY, NOW, IdentitySpec("ana@example.com", "human"))
    groups.create(store, BY, NOW, name="dba", claim="off")
    for identity in specs:
        identities.create(store, BY, NOW, identity)
        groups.add(store, BY, NOW, "dba", identity.name)
    for rule in some_rules:
        rules.create(store, BY, NOW, rule)
    for grant in some_grants:
        grants.create(store, BY, NOW, grant)


def _comparable(snapshot: Snapshot) -> Snapshot:
    """Leave out what another store may number otherwise."""
    return replace(
        snapshot,
        version=0,
        targets={n: replace(t, id=0) for n, t in snapshot.targets.items()},
        identities={n: replace(i, id=0) for n, i in snapshot.identities.items()},
        grants=tuple(replace(g, id=0) for g in snapshot.grants),
        masking=tuple(replace(m, id=0) for m in snapshot.masking),
    )
