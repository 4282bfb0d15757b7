"""What a rule comes to just now, in words: its sentence, its hours, who can decide."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from appliance.approvals.eligible import BY_ROLE, Question, approvers
from appliance.approvals.requests import RequestKind
from appliance.entities import Identity, IdentityKind, PolicyRule, Snapshot, who_matches
from appliance.errors import Invalid
from appliance.hours import parse_hours
from appliance.identity.spans import seconds, show_span
from appliance.policy.sentences import Piece, sentence

MOST_NAMES = 8


@dataclass(frozen=True, slots=True)
class HoursNow:
    """Whether the hours are on at this moment, and what comes next."""

    is_open: bool
    words: str


@dataclass(frozen=True, slots=True)
class Deciders:
    """Who could decide what the rule holds; what they ask for themselves is for the others.

    ``alone``: the only one there is, whom the rule is about too: nobody decides what they ask.
    """

    names: tuple[str, ...]
    alone: str = ""

    @property
    def shown(self) -> tuple[str, ...]:
        return self.names[:MOST_NAMES]

    @property
    def more(self) -> int:
        return max(0, len(self.names) - MOST_NAMES)


@dataclass(frozen=True, slots=True)
class RuleWords:
    """A rule as the form's summary shows it. ``deciders`` None: it asks nobody."""

    pieces: list[Piece]
    hours: HoursNow | None
    deciders: Deciders | None
    waits: str


def words_of(rule: PolicyRule, snapshot: Snapshot, now: datetime) -> RuleWords:
    """Return what a rule comes to at ``now``."""
    return RuleWords(
        pieces=sentence(rule),
        hours=hours_now(rule.hours, now),
        deciders=deciders(rule, snapshot, now),
        waits=waits(rule, snapshot),
    )


def hours_now(text: str, now: datetime) -> HoursNow | None:
    """Return whether hours are on, and until when; None for no hours, or ones nobody can read."""
    if not text:
        return None
    try:
        hours = parse_hours(text)
    except Invalid:
        return None
    if not hours.contains(now):
        opens = hours.next_start(now)
        return HoursNow(False, f"opens {_moment(opens, hours.zone)}" if opens else "never opens")
    closes = hours.next_end(now)
    return HoursNow(True, f"until {_moment(closes, hours.zone)}" if closes else "always")


def deciders(rule: PolicyRule, snapshot: Snapshot, now: datetime) -> Deciders | None:
    """Return who can decide what the rule holds; None for a rule that holds nothing."""
    if rule.action != "approve":
        return None
    somebody = Identity(0, "", IdentityKind.HUMAN)  # whose statement it will be is not known yet
    asked = replace(snapshot, identities={**snapshot.identities, somebody.name: somebody})
    words = (rule.approvers or BY_ROLE,)
    question = Question(somebody.name, RequestKind.STATEMENT, approvers=words)
    names = approvers(asked, question, now)
    alone = names[0] if len(names) == 1 else ""
    is_meant = alone and any(who_matches(who, asked.identities[alone]) for who in rule.who)
    return Deciders(names, alone if is_meant else "")


def waits(rule: PolicyRule, snapshot: Snapshot) -> str:
    """Return how somebody who is held by the rule waits."""
    if rule.action != "approve":
        return ""
    timeout = _span(rule.timeout_s or snapshot.settings.hold_timeout_s)
    if rule.retry_s is not None:
        return (
            f"is refused at once with a request number that can be decided for {timeout}; "
            f"after a yes the same statement passes once within {_span(rule.retry_s)}"
        )
    inside = snapshot.settings.hold_in_transaction_s
    if inside >= (rule.timeout_s or snapshot.settings.hold_timeout_s):
        return f"waits up to {timeout}"
    return f"waits up to {timeout}, inside a transaction up to {_span(inside)}"


def _span(number: int) -> str:
    return show_span(seconds(number))


def _moment(at: datetime, zone: ZoneInfo) -> str:
    """Return a moment within the next days as people say it: Mon 00:00 (Europe/Oslo)."""
    local = at.astimezone(zone)
    return f"{local:%a %H:%M} ({zone.key})"
