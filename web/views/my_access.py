"""My access: what everybody may do through the gateway, and how they connect."""

from __future__ import annotations

from flask import Blueprint, render_template

from appliance.store import credentials, overview, snapshots
from web import connect
from web.access import EVERYBODY, may
from web.reach import reach_of
from web.services import now, services
from web.viewer import require_viewer

blueprint = Blueprint("my_access", __name__)


@blueprint.get("/me")
@may(*EVERYBODY)
def page() -> str:
    viewer = require_viewer()
    store = services().store
    snapshot = snapshots.load(store, now())
    reach = reach_of(snapshot, viewer.name, now())
    lines = {
        entry.target: connect.psql(connect.to_target(services().config, entry.target, viewer.name))
        for entry in reach
    }
    return render_template(
        "my_access/page.html",
        identity=snapshot.identities.get(viewer.name),
        reach=reach,
        lines=lines,
        credentials=credentials.find(
            store, now=now(), identity=viewer.name, live=True, size=50
        ).items,
        sessions=overview.live_sessions(store, identity=viewer.name),
    )
