"""Search over everything: identities, targets, sessions by id, statements by text, approvals."""

from __future__ import annotations

from flask import Blueprint, redirect, render_template, request, url_for
from markupsafe import Markup, escape
from werkzeug.wrappers import Response as BaseResponse

from appliance.approvals.requests import Request
from appliance.errors import NotFound
from appliance.store import approvals, search
from web.access import READERS, may
from web.approval_cards import Eyes
from web.services import services
from web.viewer import require_viewer

blueprint = Blueprint("search", __name__)

_LONGEST = 200
_SHORTEST = 2
_BEFORE, _AFTER = 60, 160


@blueprint.get("/search")
@may(*READERS)
def page() -> BaseResponse | str:
    store = services().store
    text = " ".join(request.args.get("q", "").replace("\0", "").split())[:_LONGEST]
    reads = require_viewer().reads_statements
    asked_for = _request(text)
    is_asked = len(text) >= _SHORTEST
    sessions = search.sessions(store, text) if is_asked else ()
    if reads and len(sessions) == 1 and sessions[0].id == text:
        return redirect(url_for("sessions.detail", session_id=text), 303)
    return render_template(
        "search/page.html",
        text=text,
        asked_for=asked_for,
        is_asked=is_asked or asked_for is not None,
        shortest=_SHORTEST,
        identities=search.identities(store, text) if is_asked else (),
        targets=search.targets(store, text) if is_asked else (),
        sessions=sessions,
        statements=search.statements(store, text) if is_asked and reads else (),
        reads=reads,
        most=search.MOST,
        most_statements=search.MOST_STATEMENTS,
        marked=marked,
    )


def _request(text: str) -> Request | None:
    """Return the approval request of a number (17, #17) that the viewer may see."""
    number = text.removeprefix("#")
    if not number.isascii() or not number.isdigit() or len(number) > 9:
        return None
    try:
        found = approvals.get(services().store, int(number))
    except NotFound:
        return None
    return found if Eyes.of(require_viewer()).see(found) else None


def marked(text: str, wanted: str) -> Markup:
    """Return the part of a text around what was searched for, which is marked."""
    line = " ".join(text.split())
    at = line.lower().find(wanted.lower())
    if at < 0:
        return escape(line[: _BEFORE + _AFTER])
    begin, end = max(0, at - _BEFORE), at + len(wanted)
    return Markup("{}{}<mark>{}</mark>{}").format(
        "…" if begin else "", line[begin:at], line[at:end], line[end : end + _AFTER]
    )
