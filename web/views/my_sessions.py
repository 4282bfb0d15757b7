"""My sessions: everybody reads what they ran themselves, and nothing of others."""

from __future__ import annotations

from flask import Blueprint, Response
from werkzeug.wrappers import Response as BaseResponse

from appliance.errors import NotFound
from appliance.store import sessions
from appliance.store.sessions import SessionRecord
from web import session_pages
from web.access import EVERYBODY, may
from web.services import services
from web.viewer import require_viewer

blueprint = Blueprint("my_sessions", __name__)


@blueprint.get("/me/sessions")
@may(*EVERYBODY)
def page() -> BaseResponse | str:
    return session_pages.listed("my_sessions", may_read=True, identity=require_viewer().name)


@blueprint.get("/me/sessions/live")
@may(*EVERYBODY)
def live() -> str:
    """One's sessions that run now: a part that the list asks for again and again."""
    return session_pages.live("my_sessions", may_read=True, identity=require_viewer().name)


@blueprint.get("/me/sessions/<session_id>")
@may(*EVERYBODY)
def detail(session_id: str) -> str:
    return session_pages.detail("my_sessions", _own(session_id))


@blueprint.get("/me/sessions/<session_id>/tail")
@may(*EVERYBODY)
def tail(session_id: str) -> str:
    return session_pages.tail("my_sessions", _own(session_id))


@blueprint.get("/me/sessions/<session_id>/statements/<int:seq>")
@may(*EVERYBODY)
def statement(session_id: str, seq: int) -> str:
    return session_pages.statement("my_sessions", _own(session_id), seq)


@blueprint.get("/me/sessions/<session_id>/next")
@may(*EVERYBODY)
def find_next(session_id: str) -> BaseResponse:
    return session_pages.find_next("my_sessions", _own(session_id))


@blueprint.get("/me/sessions/<session_id>/export.sql")
@may(*EVERYBODY)
def export(session_id: str) -> Response:
    return session_pages.export(_own(session_id))


def _own(session_id: str) -> SessionRecord:
    """Return a session of the viewer; one of somebody else does not exist for them."""
    session = sessions.get(services().store, session_id)
    if session.identity != require_viewer().name:
        raise NotFound(f"no session has the id {session_id[:40]}")
    return session
