"""What became of a request, in words: how it was decided, and what its statement did then."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from appliance.approvals.requests import Request, RequestKind, RequestState
from appliance.errors import NotFound
from appliance.store import session_replay
from appliance.store.database import Store
from appliance.store.session_replay import StatementLine

_WATCHED = timedelta(hours=1)  # after its approval a statement's end is still waited for
_WORDS = {
    RequestState.APPROVED: ("approved", "ok", "circle-check"),
    RequestState.DENIED: ("denied", "bad", "ban"),
    RequestState.TIMEOUT: ("timed out", "", "clock"),
    RequestState.CANCELLED: ("cancelled", "", "circle-x"),
    RequestState.WITHDRAWN: ("withdrawn", "", "circle-dashed"),
    RequestState.KILLED: ("session ended", "", "ban"),
    RequestState.SHUTDOWN: ("gateway stopped", "", "circle-dashed"),
    RequestState.WAITING: ("waiting", "held", "hand"),
}
_NOT_LET_THROUGH = "Not run: what the yes was bound to had changed, or the right to it was gone."
_ENDS = {
    RequestState.TIMEOUT: "Nobody decided in time: not run.",
    RequestState.WITHDRAWN: "The client left before: not run.",
    RequestState.KILLED: "Its session was ended before: not run.",
    RequestState.SHUTDOWN: "The gateway stopped before: not run.",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """``text``: what happened after it. ``every_s``: look again so often, 0 = it is final.

    ``session_id`` and ``seq``: the statement that ran, "" where there is none. ``ends``: until
    when what the text says holds.
    """

    text: str
    tone: str = ""
    every_s: int = 0
    session_id: str = ""
    seq: int = 0
    ends: datetime | None = None


def state_words(state: RequestState) -> tuple[str, str, str]:
    """Return a state as a word, its colour and its icon."""
    return _WORDS[state]


def outcome_of(store: Store, request: Request, now: datetime) -> Outcome | None:
    """Return what became of a request; None while it waits."""
    if request.state.is_open:
        return None
    if request.state is not RequestState.APPROVED:
        return Outcome(_unapproved(request))
    match request.kind:
        case RequestKind.STATEMENT:
            return _of_statement(store, request, now)
        case RequestKind.RETRY:
            return _of_retry(store, request, now)
        case RequestKind.ACCESS:
            return _of_access(request, now)
        case RequestKind.PROFILE:
            return Outcome("The statement is part of the signed profile now.", "ok")


def _unapproved(request: Request) -> str:
    is_access = request.kind is RequestKind.ACCESS
    match request.state:
        case RequestState.DENIED:
            return "" if is_access else "Not run."
        case RequestState.CANCELLED if is_access:
            return "It was taken back."
        case RequestState.CANCELLED:
            by_hand = request.decided_via == "browser"
            return f"{'It was taken back' if by_hand else 'The client cancelled it'}: not run."
    return "Nobody decided in time." if is_access else _ENDS[request.state]


def _of_statement(store: Store, request: Request, now: datetime) -> Outcome:
    line = _line(store, request)
    decided = request.decided_at or request.created_at
    every_s = 1 if now - decided < _WATCHED else 0
    if line is None or line.state == "held":
        words = "Being handed over…" if every_s else "Nothing is recorded of its run."
        return Outcome(words, every_s=every_s)
    return _of_line(line, request.session_id, every_s)


def _of_line(line: StatementLine, session_id: str, every_s: int) -> Outcome:
    took = "" if line.duration_ms is None else f" in {_length(line.duration_ms)}"
    match line.state:
        case "done":
            words, tone, every_s = f"Ran{took}, {line.tag or 'no answer'}.", "ok", 0
        case "failed":
            words, tone, every_s = f"Ran{took}, ended in an error ({line.sqlstate}).", "bad", 0
        case "sent":
            words, tone = "Running…" if every_s else "Handed over; no answer is recorded.", ""
        case "refused":
            words, tone, every_s = _NOT_LET_THROUGH, "bad", 0
        case _:
            words, tone, every_s = "The client left before it could run.", "", 0
    return Outcome(words, tone, every_s, session_id, line.seq)


def _of_retry(store: Store, request: Request, now: datetime) -> Outcome:
    until = request.retry_until
    if request.used_at is not None:
        found = session_replay.approved(store, request.id, request.used_at)
        if found is not None:
            return _of_line(found[1], found[0], 1 if now - request.used_at < _WATCHED else 0)
        recent = now - request.used_at < timedelta(minutes=1)
        return Outcome("It was tried again and let through.", "ok", 1 if recent else 0)
    if until is not None and until > now:
        return Outcome("Waiting for the same statement to be tried again", "held", 2, ends=until)
    return Outcome("It was not tried again in time: the approval has lapsed.")


def _of_access(request: Request, now: datetime) -> Outcome:
    ends = access_ends(request)
    if ends is not None and ends <= now:
        return Outcome("The access has ended.")
    return Outcome("Access was given", "ok", ends=ends)


def _line(store: Store, request: Request) -> StatementLine | None:
    """Return the record of the statement, of a script the last that says something."""
    lines = []
    for seq in request.seqs:
        try:
            lines.append(session_replay.statement(store, request.session_id, seq, 0))
        except NotFound:  # not taken in yet
            continue
    told = [line for line in lines if line.state not in ("done", "withdrawn")]
    return (told or lines)[-1] if lines else None


def _length(milliseconds: float) -> str:
    if milliseconds < 1000:
        return f"{max(1, round(milliseconds))} ms"
    seconds = milliseconds / 1000
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds / 60:.0f} min"


def access_ends(request: Request) -> datetime | None:
    """Return when access that was given ends by itself; None where none was."""
    length = request.detail.get("duration_s")
    is_given = request.kind is RequestKind.ACCESS and request.state is RequestState.APPROVED
    if not is_given or request.decided_at is None or not isinstance(length, int):
        return None
    return request.decided_at + timedelta(seconds=length)
