"""Sessions: who ran what, live and ended; the replay of one; its end."""

from __future__ import annotations

from flask import Blueprint, Response, flash, redirect, render_template, url_for
from werkzeug.wrappers import Response as BaseResponse

from appliance.errors import GatepostError
from appliance.store import kills, sessions
from appliance.store.sessions import SessionRecord
from web import session_pages, sql
from web.access import ADMIN, READERS, may
from web.forms import Form, read_form
from web.services import now, services
from web.viewer import STATEMENT_READERS, actor, require_viewer

blueprint = Blueprint("sessions", __name__)
blueprint.record_once(sql.install)

_READ_STATEMENTS = tuple(STATEMENT_READERS)


@blueprint.get("/sessions")
@may(*READERS)
def page() -> BaseResponse | str:
    return session_pages.listed("sessions", may_read=require_viewer().reads_statements)


@blueprint.get("/sessions/live")
@may(*READERS)
def live() -> str:
    """The sessions that run now, as narrowed: a part that the list asks for again and again."""
    return session_pages.live("sessions", may_read=require_viewer().reads_statements)


@blueprint.get("/sessions/<session_id>")
@may(*_READ_STATEMENTS)
def detail(session_id: str) -> str:
    return session_pages.detail("sessions", _session(session_id))


@blueprint.get("/sessions/<session_id>/tail")
@may(*_READ_STATEMENTS)
def tail(session_id: str) -> str:
    return session_pages.tail("sessions", _session(session_id))


@blueprint.get("/sessions/<session_id>/statements/<int:seq>")
@may(*_READ_STATEMENTS)
def statement(session_id: str, seq: int) -> str:
    return session_pages.statement("sessions", _session(session_id), seq)


@blueprint.get("/sessions/<session_id>/statements/<int:seq>/why")
@may(*_READ_STATEMENTS)
def why(session_id: str, seq: int) -> str:
    return session_pages.why(_session(session_id), seq)


@blueprint.get("/sessions/<session_id>/next")
@may(*_READ_STATEMENTS)
def find_next(session_id: str) -> BaseResponse:
    return session_pages.find_next("sessions", _session(session_id))


@blueprint.get("/sessions/<session_id>/export.sql")
@may(*_READ_STATEMENTS)
def export(session_id: str) -> Response:
    return session_pages.export(_session(session_id))


@blueprint.get("/sessions/<session_id>/kill")
@may(ADMIN)
def ask_kill(session_id: str) -> str:
    return _kill_page(_session(session_id), Form({"reason": ""}))


@blueprint.post("/sessions/<session_id>/kill")
@may(ADMIN)
def kill(session_id: str) -> BaseResponse | tuple[str, int]:
    session = _session(session_id)
    back = url_for("sessions.detail", session_id=session_id)
    if not session.is_live:
        flash("The session had ended already.", "ok")
        return redirect(back, 303)
    form = read_form("reason")
    try:
        kills.request(services().store, actor(), now(), session_id, form.value("reason"))
    except GatepostError as error:
        form.take(error)
        return _kill_page(session, form), 422
    flash(f"The session of {session.identity} was asked to end. It takes up to 2 seconds.", "ok")
    return redirect(back, 303)


def _kill_page(session: SessionRecord, form: Form) -> str:
    return render_template("sessions/kill.html", session=session, form=form)


def _session(session_id: str) -> SessionRecord:
    return sessions.get(services().store, session_id)
