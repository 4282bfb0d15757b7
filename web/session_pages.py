"""The pages of sessions, alike for whoever may read all and for whoever looks at their own.

``area`` is the blueprint whose addresses the pages link to.
"""

from __future__ import annotations

from collections.abc import Iterator

from flask import Response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from appliance.store import session_replay, snapshots
from appliance.store.session_replay import StatementLine
from appliance.store.sessions import SessionRecord
from web import replays, session_list, trials
from web.forms import Form
from web.listing import wants_csv
from web.services import now, services
from web.sql import highlighted, parameter, sql

MOST_CHARACTERS = 200_000  # of one statement on a page
_EXPORT_PAGE = 50
_EXPORT_CHARACTERS = 1 << 20
_FIND = {"error": session_replay.FAILED, "refusal": session_replay.REFUSED}


def listed(area: str, *, may_read: bool, identity: str = "") -> BaseResponse | str:
    """Show the sessions, as narrowed; those of one identity have fewer filters."""
    state = session_list.read_state(own=bool(identity))
    filtered = session_list.wanted(state, in_statements=may_read, identity=identity)
    if wants_csv():
        return session_list.as_csv(session_list.ended(state, filtered, csv=True))
    running = session_list.live(filtered)
    found = session_list.ended(state, filtered)
    return render_template(
        "sessions/list.html",
        area=area,
        state=state,
        live=running,
        found=found,
        hits=session_list.hits(filtered, (*running, *found.items)),
        may_read=may_read,
    )


def live(area: str, *, may_read: bool, identity: str = "") -> str:
    """Show the sessions that run now, as narrowed: a part of the list."""
    state = session_list.read_state(own=bool(identity))
    filtered = session_list.wanted(state, in_statements=may_read, identity=identity)
    running = session_list.live(filtered)
    return render_template(
        "sessions/_live.html",
        area=area,
        state=state,
        live=running,
        hits=session_list.hits(filtered, running),
        may_read=may_read,
    )


def detail(area: str, session: SessionRecord) -> str:
    """Show a session: header, timeline, one chapter of its statements."""
    store = services().store
    seq = request.args.get("s", 0, type=int)
    chapter = request.args.get("chapter", 1, type=int)
    replay = replays.load(store, session, replays.chapter_of(seq) if seq > 0 else chapter)
    return render_template(
        "sessions/detail.html",
        **_shown(area, replay),
        head=session_replay.head(store, session.journal),
        asked=seq,
        nothing=request.args.get("nothing", ""),
        plays=request.args.get("play", ""),
    )


def tail(area: str, session: SessionRecord) -> str:
    """Answer a live session's page: what is new, and what was still open when it last asked."""
    first = max(1, request.args.get("from", 1, type=int))
    replay = replays.load(services().store, session, replays.chapter_of(first))
    known = request.args.get("known", 0, type=int)
    return render_template("sessions/_tail.html", **_shown(area, replay), first=first, known=known)


def statement(area: str, session: SessionRecord, seq: int) -> str:
    """Show one statement whole: as a part of the list, or as a page of its own."""
    found = session_replay.statement(services().store, session.id, seq, MOST_CHARACTERS)
    laid_out = found.text if found.is_cut else sql().laid_out(found.text)
    is_part = bool(request.headers.get("HX-Request"))
    return render_template(
        "sessions/_statement.html" if is_part else "sessions/statement.html",
        area=area,
        session=session,
        line=found,
        shown=highlighted(laid_out),
        is_laid_out=laid_out != found.text,
        offset=replays.clock_text((found.at - session.started_at).total_seconds()),
    )


def why(session: SessionRecord, seq: int) -> str:
    """Say effect by effect what would decide a statement now: a part of the statement."""
    store = services().store
    line = session_replay.statement(store, session.id, seq, MOST_CHARACTERS)
    rows = "" if line.rows is None else str(line.rows)
    form = Form(
        {
            "identity": session.identity,
            "target": session.target,
            "role": session.role,
            "sql": "" if line.is_cut else line.text,
            "application_name": session.application_name,
            "source": session.source,
            "rows": rows,
        }
    )
    tried = trials.attempt(snapshots.load(store, now()), form, session.database)
    problem = "it is too long." if line.is_cut else next(iter(form.errors.values()), form.general)
    return render_template(
        "sessions/_why.html", session=session, line=line, tried=tried, problem=problem
    )


def find_next(area: str, session: SessionRecord) -> BaseResponse:
    """Go to the next error, refusal … after a statement, round the end if need be."""
    what = request.args.get("what", "error")
    after = request.args.get("after", 0, type=int)
    if what == "hold":
        seq = session_replay.next_hold(services().store, session.id, after)
    elif what == "mask":
        seq = session_replay.next_masked(services().store, session.id, after)
    else:
        states = _FIND.get(what, session_replay.FAILED)
        seq = session_replay.next_in(services().store, session.id, after, states)
    page = f"{area}.detail"
    if seq is None:
        return redirect(url_for(page, session_id=session.id, s=after or None, nothing=what), 303)
    return redirect(url_for(page, session_id=session.id, s=seq, _anchor=f"s{seq}"), 303)


def export(session: SessionRecord) -> Response:
    """Send a session's statements as SQL with its circumstances in comments."""
    store = services().store

    def lines() -> Iterator[str]:
        yield _comment(f"session {session.id}: {session.identity} on {session.target}")
        yield _comment(f"as {session.role} from {session.source}, {session.started_at.isoformat()}")
        first = 1
        while True:
            part = session_replay.chapter(
                store, session.id, first, _EXPORT_PAGE, _EXPORT_CHARACTERS
            )
            for line in part:
                yield from _as_sql(line)
            first += _EXPORT_PAGE
            if not part:
                return

    headers = {"Content-Disposition": f'attachment; filename="gatepost-{session.id}.sql"'}
    return Response(lines(), mimetype="application/sql", headers=headers)


def _shown(area: str, replay: replays.Replay) -> dict[str, object]:
    def address(seq: int) -> str:
        page = f"{area}.detail"
        return url_for(page, session_id=replay.session.id, s=seq, _anchor=f"s{seq}")

    return {
        "area": area,
        "session": replay.session,
        "replay": replay,
        "scrubber": replays.scrubber(replay),
        "whole": replays.overview(replay, address) if replay.bars else "",
        "clock_text": replays.clock_text,
        "duration_bar": replays.duration_bar,
    }


def _as_sql(line: StatementLine) -> Iterator[str]:
    """Give a statement that runs again when pasted; one that did not run stays a comment."""
    word = replays.state_word(line.state)
    yield "\n" + _comment(f"#{line.seq} {line.at.isoformat()} {word} {line.tag} {line.sqlstate}")
    for number, value in enumerate(line.parameters or (), 1):
        yield _comment(f"${number} = {parameter(value)}")
    if line.is_cut:
        yield _comment(f"only its first {len(line.text)} of {line.length} characters follow")
    text = line.text.rstrip().rstrip(";") + ";\n"
    if line.state in ("refused", "withdrawn", "held"):
        yield from (_comment(part) for part in text.splitlines())
    else:
        yield text


def _comment(text: str) -> str:
    """Return a comment of one line, whatever the text holds."""
    return f"-- {' '.join(text.split())}\n"
