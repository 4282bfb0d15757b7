"""One piece of news in words, for whichever channel: subject, facts, statement, link (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from appliance.approvals.requests import Request, RequestKind, RequestState
from appliance.hidden import is_hidden
from appliance.identity.spans import show_span
from appliance.store.outbox import Event

_LINES = 15
_LINE_CHARS = 160
_FACT_CHARS = 300
_SUBJECT_CHARS = 150


class Tone(StrEnum):
    """How it looks: something to do, good news, bad news, or just so."""

    ASKS = "asks"
    GOOD = "good"
    BAD = "bad"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Notice:
    """What a channel renders. No value of a row and no parameter is in it.

    ``facts``: label and value, in the order of reading. ``statement``: its first lines;
    ``remark``: what is left out of it. ``next_step``: what the reader can do now.
    """

    event: Event
    request_id: int | None
    subject: str
    headline: str
    facts: tuple[tuple[str, str], ...]
    statement: str
    remark: str
    next_step: str
    link: str
    button: str
    tone: Tone


def asks(request: Request, public_url: str) -> Notice:
    """Return the news that a request waits for a decision."""
    headline = _asks_headline(request)
    until = _moment(request.expires_at, request.created_at)
    return _notice(
        Event.REQUESTED,
        request,
        public_url,
        subject=f"{headline}: please decide by {until}",
        headline=headline,
        facts=(("Decide by", until), *_facts(request)),
        next_step=_locks(request),
        button="Look at it and decide",
        tone=Tone.ASKS,
    )


def tells(request: Request, public_url: str) -> Notice:
    """Return the news of how a request ended."""
    word, tone = _OUTCOMES[request.state]
    decided = () if not request.decided_by else (("Decided by", clean(request.decided_by)),)
    reason = () if not request.decision_reason else (("Reason", clean(request.decision_reason)),)
    what = f"{_thing(request)} of {clean(request.identity)} on {request.target}"
    return _notice(
        Event.SETTLED,
        request,
        public_url,
        subject=f"{word}: {what}",
        headline=f"{word}: {what}",
        facts=(*decided, *reason, *_facts(request)),
        next_step=_next_step(request),
        button="See the request",
        tone=tone,
    )


def test(public_url: str) -> Notice:
    """Return a message that only shows that messages arrive."""
    return Notice(
        event=Event.TEST,
        request_id=None,
        subject="Gatepost: a test",
        headline="This is a test: messages of Gatepost arrive here.",
        facts=(),
        statement="",
        remark="",
        next_step="",
        link=public_url,
        button="Open Gatepost",
        tone=Tone.PLAIN,
    )


def clean(text: str, most: int = _FACT_CHARS) -> str:
    """Return text on one line, what cannot be seen made visible: clients choose some of it."""
    flat = " ".join(text.split())
    shown = "".join(ascii(c)[1:-1] if is_hidden(c) else c for c in flat)
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def excerpt(text: str, lines: int = _LINES) -> tuple[str, bool]:
    """Return a statement's first lines, and whether that is all of it."""
    found = text.strip().expandtabs(4).splitlines()
    kept, whole = found[:lines], len(found) <= lines
    shown = []
    for line in kept:
        seen = "".join(ascii(c)[1:-1] if is_hidden(c) else c for c in line.rstrip())
        whole = whole and len(seen) <= _LINE_CHARS
        shown.append(seen if len(seen) <= _LINE_CHARS else f"{seen[: _LINE_CHARS - 1]}…")
    return "\n".join(shown), whole


_OUTCOMES = {
    RequestState.WAITING: ("Waiting", Tone.ASKS),
    RequestState.APPROVED: ("Approved", Tone.GOOD),
    RequestState.DENIED: ("Denied", Tone.BAD),
    RequestState.TIMEOUT: ("Nobody decided in time", Tone.BAD),
    RequestState.CANCELLED: ("Cancelled", Tone.PLAIN),
    RequestState.WITHDRAWN: ("Withdrawn", Tone.PLAIN),
    RequestState.KILLED: ("Session ended", Tone.PLAIN),
    RequestState.SHUTDOWN: ("Gateway stopped", Tone.PLAIN),
}


def _notice(
    event: Event,
    request: Request,
    public_url: str,
    *,
    subject: str,
    headline: str,
    facts: tuple[tuple[str, str], ...],
    next_step: str,
    button: str,
    tone: Tone,
) -> Notice:
    # what an access request asks for is in its headline
    statement, is_whole = excerpt("" if request.kind is RequestKind.ACCESS else request.text)
    return Notice(
        event=event,
        request_id=request.id,
        subject=clean(f"[Gatepost {request.id}] {subject}", _SUBJECT_CHARS),
        headline=headline,
        facts=facts,
        statement=statement,
        remark=_remark(len(request.parameters), is_whole),
        next_step=next_step,
        link=f"{public_url}/approvals/{request.id}",
        button=button,
        tone=tone,
    )


def _asks_headline(request: Request) -> str:
    who = clean(request.identity)
    place = request.target
    match request.kind:
        case RequestKind.STATEMENT:
            return f"{who} waits to run a statement on {place}"
        case RequestKind.RETRY:
            return f"{who} asks to run a statement on {place}"
        case RequestKind.ACCESS:
            return f"{who} asks for {request.role} on {place}{_for_how_long(request)}"
        case RequestKind.PROFILE:
            return f"{who} was refused a statement that its profile on {place} lacks"


def _thing(request: Request) -> str:
    match request.kind:
        case RequestKind.ACCESS:
            return f"access as {request.role}"
        case RequestKind.PROFILE:
            return "new profile entry"
        case _:
            return "statement"


def _facts(request: Request) -> tuple[tuple[str, str], ...]:
    who = clean(request.identity)
    if request.owner:
        who += f" ({request.identity_kind}, owner {clean(request.owner)})"
    where = request.target
    if request.database and request.database != request.target:
        where += f"/{request.database}"
    found = (
        ("Who", who),
        ("Target", f"{where} as {request.role}" if request.role else where),
        ("Environment", request.environment),
        ("Touches", _touches(request)),
        ("From", " · ".join(filter(None, (request.source, request.application_name)))),
        ("Reason given", request.reason),
        ("Rule", request.rule),
        ("Why", request.why),
        ("Estimate", _estimate(request)),
        ("Transaction", _transaction(request)),
    )
    return tuple((label, clean(value)) for label, value in found if value)


def _touches(request: Request) -> str:
    """Return the objects as they were looked up: a text alone does not say which they are."""
    found = (f"{cls.replace('_', ' ')} {name}" for cls, name in request.effects if name)
    acts = request.detail.get("acting_role")
    return "; ".join(found) + (f", acting as {acts}" if acts else "")


def _estimate(request: Request) -> str:
    found = request.detail.get("estimate")
    rows = found.get("rows") if isinstance(found, dict) else None
    if not isinstance(rows, int):
        return ""
    return f"about {rows:,} row{'' if rows == 1 else 's'}"


def _transaction(request: Request) -> str:
    since = request.detail.get("transaction_since")
    if not isinstance(since, str):
        return ""
    return f"open since {_moment(datetime.fromisoformat(since), request.created_at)}"


def _locks(request: Request) -> str:
    return "A transaction is open: others may wait for its locks." if _transaction(request) else ""


def _next_step(request: Request) -> str:
    if request.state is RequestState.DENIED or request.state is RequestState.TIMEOUT:
        return "Nothing of it was run." if request.kind in _STATEMENTS else ""
    if request.state is not RequestState.APPROVED:
        return ""
    match request.kind:
        case RequestKind.RETRY if request.retry_until is not None:
            until = _moment(request.retry_until, request.decided_at or request.created_at)
            return f"Run it again by {until}: the same statement passes once."
        case RequestKind.ACCESS:
            return (
                f"Ask for the role when connecting: options='-c gatepost.role={request.role}'"
                f"{_until(request)}"
            )
        case RequestKind.PROFILE:
            return "It runs from now on without asking."
        case _:
            return ""


_STATEMENTS = (RequestKind.STATEMENT, RequestKind.RETRY)


def _until(request: Request) -> str:
    seconds = request.detail.get("duration_s")
    if not isinstance(seconds, int) or request.decided_at is None:
        return "."
    end = request.decided_at + timedelta(seconds=seconds)
    return f". It ends by itself at {_moment(end, request.decided_at)}."


def _for_how_long(request: Request) -> str:
    seconds = request.detail.get("duration_s")
    return f" for {show_span(timedelta(seconds=seconds))}" if isinstance(seconds, int) else ""


def _remark(parameters: int, is_whole: bool) -> str:
    parts = [] if is_whole else ["Not all of the statement is shown."]
    if parameters:
        parts.append(f"{parameters} parameter{'' if parameters == 1 else 's'}: see the page.")
    return " ".join(parts)


def _moment(at: datetime, near: datetime) -> str:
    """Return a moment in UTC, without the day where it is the day of ``near``."""
    at, near = at.astimezone(UTC), near.astimezone(UTC)
    return f"{at:%H:%M} UTC" if at.date() == near.date() else f"{at:%Y-%m-%d %H:%M} UTC"
