"""Home: one sentence, what waits, the live feed, the first steps, health."""

from __future__ import annotations

import time
from collections.abc import Iterator

from flask import Blueprint, Response, current_app, redirect, render_template, url_for
from werkzeug.wrappers import Response as BaseResponse

from appliance.errors import StoreUnavailable
from appliance.store import overview, sign_ins, snapshots, workers
from web import connect
from web.access import EVERYBODY, READERS, may
from web.reach import reach_of
from web.services import Services, now, services
from web.viewer import Viewer, require_viewer, sign_in_token

blueprint = Blueprint("home", __name__)

_FEED_ENTRIES = 12
_POLL_S = 1.0
_HEARTBEAT_POLLS = 15
_STREAM_POLLS = 600  # then the browser opens it anew, and its sign-in is looked at again


@blueprint.get("/")
@may(*EVERYBODY)
def page() -> BaseResponse | str:
    if not require_viewer().is_reader:
        return redirect(url_for("my_access.page"), 303)
    store = services().store
    steps = overview.set_up(store)
    return render_template(
        "home/page.html",
        day=overview.last_day(store, now()),
        set_up=steps,
        line=None if steps.is_done else _psql_line(),
        feed=overview.feed(store, _FEED_ENTRIES),
        with_text=require_viewer().reads_statements,
        ownerless=overview.ownerless(store),
        live=len(overview.live_sessions(store)),
        workers=workers.live(store, now()),
        version=snapshots.version(store),
        recording=overview.recording_state(store),
    )


@blueprint.get("/first-session")
@may(*READERS)
def first_session() -> str:
    """The last of the first steps: polls while it waits, then becomes the session."""
    store = services().store
    return render_template(
        "home/_first_session.html",
        session=overview.first_session(store),
        set_up=overview.set_up(store),
        line=_psql_line(),
    )


@blueprint.get("/feed")
@may(*READERS)
def feed() -> Response:
    """Stream new statements as server-sent events. The generator touches no request."""
    token = sign_in_token() or ""
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    service = services()

    def render(entries: list[overview.FeedEntry], *, with_text: bool) -> str:
        with app.app_context():  # the template as it is: context processors need a request
            template = app.jinja_env.get_template("home/_feed_rows.html")
            html: str = template.render(feed=entries, with_text=with_text)
            return html

    def events() -> Iterator[str]:
        seen = {entry.key for entry in overview.feed(service.store, 200)}
        yield "retry: 2000\n\n"
        for poll in range(_STREAM_POLLS):
            time.sleep(_POLL_S)  # gevent's: only this stream waits
            viewer = _viewer_of(service, token) if service.is_serving() else None
            if viewer is None or not viewer.is_reader:
                return
            try:
                entries = overview.feed(service.store, 50)
            except StoreUnavailable:
                return
            news = [entry for entry in entries if entry.key not in seen]
            if news:
                seen = {entry.key for entry in entries} | {entry.key for entry in news}
                yield _event(
                    "statements", render(news[:_FEED_ENTRIES], with_text=viewer.reads_statements)
                )
            elif poll % _HEARTBEAT_POLLS == 0:
                yield ": still here\n\n"

    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return Response(events(), mimetype="text/event-stream", headers=headers)


def _viewer_of(service: Services, token: str) -> Viewer | None:
    """Return who opened the stream with the rights of now; None when the sign-in ended."""
    try:
        found = sign_ins.get(service.store, service.clock.now(), token)
    except StoreUnavailable:
        return None
    return Viewer(found, found.permission_roles) if found else None


def _event(name: str, html: str) -> str:
    lines = "\n".join(f"data: {line}" for line in html.splitlines())
    return f"event: {name}\n{lines}\n\n"


def _psql_line() -> str | None:
    """Return a line that works now: the first grant that names an identity with a credential."""
    snapshot = snapshots.load(services().store, now())
    for identity in snapshot.identities.values():
        if any(credential.is_live(now()) for credential in identity.credentials):
            reach = [
                entry for entry in reach_of(snapshot, identity.name, now()) if not entry.is_over
            ]
            if reach:
                config = services().config
                return connect.psql(connect.to_target(config, reach[0].target, identity.name))
    return None
