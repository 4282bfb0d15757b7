"""My access: what everybody may do through the gateway, how they connect, what they asked for."""

from __future__ import annotations

from flask import Blueprint, render_template

from appliance.masking.sentences import biting
from appliance.store import access_requests, approval_lists, credentials, overview, snapshots
from web import connect
from web.access import EVERYBODY, may
from web.approval_outcomes import outcome_of
from web.forms import Form
from web.reach import Reach, reach_of
from web.services import now, services
from web.viewer import require_viewer

blueprint = Blueprint("my_access", __name__)

DURATIONS = (
    ("30m", "30 minutes"),
    ("1h", "1 hour"),
    ("2h", "2 hours"),
    ("4h", "4 hours"),
    ("8h", "8 hours"),
    ("1d", "1 day"),
    ("7d", "7 days"),
)
MOST_REQUESTS = 20


@blueprint.get("/me")
@may(*EVERYBODY)
def page() -> str:
    return shown(Form({"reach": "", "duration": "2h", "reason": ""}))


def shown(form: Form) -> str:
    """Return the page with the form for asking as it is."""
    viewer = require_viewer()
    store = services().store
    snapshot = snapshots.load(store, now())
    reach = reach_of(snapshot, viewer.name, now())
    roles_asked = _roles_asked(reach)
    requests = approval_lists.of_identity(store, viewer.name, MOST_REQUESTS)
    outcomes = {request.id: outcome_of(store, request, now()) for request in requests}
    return render_template(
        "my_access/page.html",
        identity=snapshot.identities.get(viewer.name),
        reach=[entry for entry in reach if not (entry.grant.is_time_boxed and entry.is_over)],
        roles_asked=roles_asked,
        masks=biting(snapshot, viewer.name, {entry.target for entry in reach}),
        lines=_lines(reach, viewer.name, roles_asked),
        roles=access_requests.roles_for(store, viewer.name),
        durations=DURATIONS,
        form=form,
        requests=requests,
        outcomes=outcomes,
        moving=any(outcome is None or outcome.every_s for outcome in outcomes.values()),
        credentials=credentials.find(
            store, now=now(), identity=viewer.name, live=True, size=50
        ).items,
        sessions=overview.live_sessions(store, identity=viewer.name),
    )


def _roles_asked(reach: tuple[Reach, ...]) -> dict[int, str]:
    """Return the role that each grant's lines ask for by name: "" where it is taken anyway."""
    asked: dict[int, str] = {}
    standing: set[str] = set()
    for entry in reach:
        grant = entry.grant
        is_taken = not grant.is_time_boxed and grant.target not in standing
        if not grant.is_time_boxed:
            standing.add(grant.target)
        asked[grant.id] = "" if is_taken else grant.role
    return asked


def _lines(reach: tuple[Reach, ...], name: str, asked: dict[int, str]) -> dict[int, str]:
    """Return the psql line of each grant."""
    config = services().config
    return {
        entry.grant.id: connect.psql(
            connect.to_target(config, entry.target, name, role=asked[entry.grant.id])
        )
        for entry in reach
    }
