"""How values are written for people: times, counts, durations, names. Registered as filters."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from flask import Flask
from markupsafe import Markup

from appliance.entities import IdentityKind
from appliance.identity.spans import seconds, show_span
from web.charts import bars, life_bar
from web.reach import conditions
from web.replays import state_word
from web.services import now

_KIND_ICONS = {
    IdentityKind.HUMAN: "user-round",
    IdentityKind.SERVICE: "server",
    IdentityKind.CI: "workflow",
    IdentityKind.BOT: "bot",
    IdentityKind.AGENT: "sparkles",
}
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d.*\+00:00$")
_ACTIONS = {
    "account.create": "made a local sign-in",
    "account.reset": "set a new password of a sign-in",
    "access.ask": "asked for access",
    "access.cancel": "took a request for access back",
    "approval.approve": "approved a request",
    "approval.ask": "was held for approval",
    "approval.cancelled": "cancelled a request",
    "approval.deny": "denied a request",
    "approval.killed": "ended a request with its session",
    "approval.pre_approved": "passed by a pre-approval",
    "approval.shutdown": "ended a request at shutdown",
    "approval.timeout": "let a request run out of time",
    "approval.use": "used an approval",
    "approval.withdrawn": "withdrew a request",
    "credential.expiry": "moved the end of a credential",
    "credential.issue": "issued a credential",
    "credential.revoke": "revoked a credential",
    "credential.rotate": "rotated a credential",
    "grant.change": "changed a grant",
    "grant.create": "added a grant",
    "grant.delete": "removed a grant",
    "grant.reorder": "changed the order of grants",
    "group.add": "added a member to a group",
    "group.change": "changed a group",
    "group.create": "added a group",
    "group.delete": "removed a group",
    "group.remove": "removed a member from a group",
    "identity.change": "changed an identity",
    "identity.create": "added an identity",
    "identity.permission_roles": "changed permission roles",
    "identity.retire": "retired an identity",
    "identity.status": "changed an identity's status",
    "invite.create": "made an invite link",
    "masking.change": "changed a masking rule",
    "masking.create": "added a masking rule",
    "masking.delete": "removed a masking rule",
    "masking.forget": "forgot what a masking rule followed",
    "masking.look": "had values of a target looked at",
    "masking.reorder": "changed the order of masking rules",
    "masking.resolve": "found columns that a masking rule means",
    "pre_approval.create": "pre-approved a statement",
    "pre_approval.revoke": "revoked a pre-approval",
    "profile.mode": "switched a statement profile",
    "profile.sign": "signed statements of a profile",
    "profile.unsign": "took back signatures of a profile",
    "role.add": "added an upstream role",
    "role.change": "changed an upstream role",
    "role.delete": "removed an upstream role",
    "rule.change": "changed a policy rule",
    "rule.create": "added a policy rule",
    "rule.delete": "removed a policy rule",
    "rule.reorder": "changed the order of policy rules",
    "session.kill": "ended a session",
    "settings.change": "changed settings",
    "setup_link.create": "made a set-up link",
    "sign_in": "signed in",
    "sign_out": "signed out",
    "sign_out.others": "ended sign-ins",
    "target.change": "changed a target",
    "target.create": "registered a target",
    "target.delete": "removed a target",
    "target.secrets_dropped": "dropped a target's stored secrets",
}
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"))


def install(app: Flask) -> None:
    """Register the filters of this module, and ``server_time()``."""
    for name, function in (
        ("when", when),
        ("day", day),
        ("count", count),
        ("plural", plural),
        ("length_of", length_of),
        ("kind_icon", kind_icon),
        ("initials", initials),
        ("first_line", first_line),
        ("grant_conditions", conditions),
        ("pair", lambda word: (word, word)),
        ("word_pairs", lambda words: [(key.value, word) for key, word in words.items()]),
        ("action_words", action_words),
        ("detail_value", detail_value),
        ("state_word", state_word),
        ("sentence", sentence),
        ("span_word", lambda number: show_span(seconds(number))),
    ):
        app.jinja_env.filters[name] = function
    app.jinja_env.globals["bars"] = bars
    app.jinja_env.globals["life_bar"] = lambda c: life_bar(c.created_at, c.expires_at, now())
    app.jinja_env.globals["present"] = now
    app.jinja_env.globals["server_time"] = lambda: now().strftime("%Y-%m-%dT%H:%M:%SZ")


def when(at: datetime | None, missing: str = "never") -> Markup:
    """Return a time element: relative here, the viewer's zone by script, UTC on hover."""
    if at is None:
        return Markup('<span class="muted nowrap">{}</span>').format(missing)
    at = at.astimezone(UTC)
    return Markup('<time datetime="{}" title="{} UTC" data-when>{}</time>').format(
        at.strftime("%Y-%m-%dT%H:%M:%SZ"), at.strftime("%Y-%m-%d %H:%M:%S"), relative(at, now())
    )


def relative(at: datetime, present: datetime) -> str:
    """Return "4 min ago", "in 3 d", or the date when it is further than 30 days."""
    seconds = (present - at).total_seconds()
    span = abs(seconds)
    if span < 45:
        return "just now" if seconds >= 0 else "in moments"
    if span > 30 * 86400:
        return at.strftime("%Y-%m-%d")
    size, unit = next(((s, u) for s, u in _UNITS if span >= s), (60, "min"))
    amount = max(1, round(span / size))
    return f"{amount} {unit} ago" if seconds > 0 else f"in {amount} {unit}"


def day(at: datetime | None) -> str:
    """Return a date as it is typed into a form."""
    return at.astimezone(UTC).strftime("%Y-%m-%d") if at else ""


def count(number: int) -> str:
    """Return a number with its thousands apart."""
    return f"{number:,}"


def plural(number: int, one: str, many: str = "") -> str:
    """Return "1 session", "3 sessions"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def length_of(span: timedelta | float | None) -> str:
    """Return a duration: 840 ms, 4.2 s, 3 min, 2 h 5 min, 4 d."""
    if span is None:
        return ""
    seconds = span.total_seconds() if isinstance(span, timedelta) else span
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        hours, minutes = divmod(round(seconds / 60), 60)
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{seconds / 86400:.0f} d"


def kind_icon(kind: str) -> str:
    """Return the icon's name for a kind of identity."""
    return _KIND_ICONS.get(IdentityKind(kind), "user-round")


def initials(name: str) -> str:
    """Return one or two letters that stand for a person: "ana.berg@example.com" -> AB."""
    parts = [part for part in name.split("@")[0].replace("-", ".").split(".") if part]
    return "".join(part[0] for part in parts[:2]).upper() or "?"


def first_line(text: str, limit: int = 160) -> str:
    """Return a statement on one line, cut with an ellipsis."""
    line = " ".join(text[: limit * 4].split())
    return line if len(line) <= limit else f"{line[:limit]}…"


def sentence(text: str) -> str:
    """Return a message as a sentence of a page: a capital to begin with, a full stop to end."""
    text = text.strip()
    end = "" if not text or text[-1] in ".!?:…" else "."
    return text[:1].upper() + text[1:] + end


def action_words(action: str) -> str:
    """Return an audit event's action for people: "credential.issue" -> "issued a credential"."""
    return _ACTIONS.get(action) or action.replace(".", ": ").replace("_", " ")


def detail_value(value: object) -> str:
    """Return a value of an audit event's detail on one line."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {detail_value(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(detail_value(inner) for inner in value)
    if isinstance(value, str) and _MOMENT.match(value):
        return f"{value[:10]} {value[11:16]} UTC"
    return "yes" if value is True else "no" if value is False else str(value)
