"""The appliance's settings: what the declarative file has under ``settings:``, and a few limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from datetime import datetime
from typing import Any

from appliance.entities import Durability, Limits, Settings
from appliance.errors import Invalid
from appliance.store import channels, names
from appliance.store.actors import Actor
from appliance.store.changes import change
from appliance.store.database import Store
from appliance.store.models import SettingRow

ACTIONS = ("allow", "block", "approve")
MAX_RETENTION_DAYS = 3650
MAX_HOLD_S = 7 * 86400


def get(store: Store) -> Settings:
    """Return the settings; what was never set has its default."""
    with store.reading():
        return read()


def read() -> Settings:
    """Return the settings; for callers inside a store scope."""
    stored = dict(SettingRow.select(SettingRow.name, SettingRow.value).tuples())
    limits = {f.name: stored[f"limits.{f.name}"] for f in fields(Limits) if _has(stored, f.name)}
    base = Settings()
    return replace(
        base,
        default_action=stored.get("default_action", base.default_action),
        durability=Durability(stored.get("durability", base.durability)),
        retention_days=stored.get("retention_days", base.retention_days),
        hold_timeout_s=stored.get("hold_timeout_s", base.hold_timeout_s),
        hold_in_transaction_s=stored.get("hold_in_transaction_s", base.hold_in_transaction_s),
        limits=Limits(**limits),
        smtp=channels.smtp_of(stored),
        webhook=channels.webhook_of(stored),
    )


def put(store: Store, by: Actor, now: datetime, wanted: Settings) -> dict[str, Any]:
    """Store what differs from the present settings and return it, by name.

    The mail server and the webhook have secrets: ``channels`` changes them, this leaves them.
    """
    _check(wanted)
    with change(store, by, now) as doing:
        present, new = _flat(read()), _flat(wanted)
        changed = {name: value for name, value in new.items() if present[name] != value}
        for name, value in changed.items():
            SettingRow.insert(name=name, value=value).on_conflict(
                conflict_target=[SettingRow.name], update={SettingRow.value: value}
            ).execute()
        if changed:
            doing.decides("settings.change", "settings", **changed)
        return changed


def _has(stored: dict[str, Any], limit: str) -> bool:
    return f"limits.{limit}" in stored


def _flat(value: Settings) -> dict[str, Any]:
    flat: dict[str, Any] = {
        "default_action": value.default_action,
        "durability": value.durability.value,
        "retention_days": value.retention_days,
        "hold_timeout_s": value.hold_timeout_s,
        "hold_in_transaction_s": value.hold_in_transaction_s,
    }
    return flat | {f"limits.{name}": number for name, number in asdict(value.limits).items()}


def _check(value: Settings) -> None:
    names.choice("settings.default_action", value.default_action, ACTIONS)
    if not 1 <= value.retention_days <= MAX_RETENTION_DAYS:
        raise Invalid(
            "settings.recording.retention",
            f"expected 1d to {MAX_RETENTION_DAYS}d, got {value.retention_days}d",
        )
    for field, seconds in (
        ("timeout", value.hold_timeout_s),
        ("in_transaction", value.hold_in_transaction_s),
    ):
        if not 1 <= seconds <= MAX_HOLD_S:
            raise Invalid(f"settings.approvals.{field}", f"expected 1s to 7d, got {seconds}s")
    checked_limits(asdict(value.limits))


def checked_limits(limits: Mapping[str, int]) -> None:
    """Raise Invalid for a limit out of its range; PostgreSQL's own bounds are the ceiling."""
    for name, number in limits.items():
        ceiling = getattr(Limits(), name) if name == "message_bytes" else 10_000_000
        if not 1 <= number <= ceiling:
            raise Invalid(f"settings.limits.{name}", f"expected 1 to {ceiling}, got {number}")
