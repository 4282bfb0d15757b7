"""A machine's statement profile: what it ran, signed by its owner, and whether it is enforced."""

from __future__ import annotations

import time

from flask import Blueprint, Flask, flash, redirect, render_template, request, url_for
from flask.sansio.blueprints import BlueprintSetupState
from werkzeug.wrappers import Response as BaseResponse

from appliance.entities import ProfileMode
from appliance.errors import GatepostError, NotFound
from appliance.policy.history import DryRun
from appliance.policy.proposal import with_profile
from appliance.store import approvals, profile_requests, profiles, snapshots, statement_history
from appliance.store.profiles import Profile, ProfileEntry
from appliance.store.statement_history import Work
from web import sql
from web.access import EVERYBODY, may
from web.forms import sentence
from web.listing import csv_response, every, read_list, wants_csv
from web.profile_rows import SHOW, SORTS, entries_of, page_of
from web.services import now, off_loop, services
from web.viewer import Viewer, actor, current_viewer, require_viewer

blueprint = Blueprint("profiles", __name__)
blueprint.record_once(sql.install)

MOST_DIFFERENCES = 100
_MOST_AT_ONCE = 1_000
_CSV_HEAD = (
    "fingerprint",
    "signed",
    "signed_by",
    "signed_at",
    "ran",
    "refused",
    "failed",
    "first_at",
    "last_at",
    "touches",
    "statement",
)


@blueprint.record_once
def _install(state: BlueprintSetupState) -> None:
    """Give templates ``may_see_profile(identity)`` and ``machines_of_viewer()``."""
    app: Flask = state.app  # type: ignore[assignment]
    app.jinja_env.globals["may_see_profile"] = _may_see
    app.jinja_env.globals["machines_of_viewer"] = _machines


@blueprint.get("/identities/<name>/profile")
@may(*EVERYBODY)
def page(name: str) -> BaseResponse | str:
    profile = _seen(name)
    state = read_list(sorts=SORTS, default_sort="-ran", filters=(SHOW,))
    if wants_csv():
        rows = every(lambda page, size: entries_of(profile, state, page, size))
        return csv_response(f"profile-{name}", _CSV_HEAD, map(_csv_row, rows))
    store, viewer = services().store, require_viewer()
    waiting = profile_requests.waiting(store, name, now())
    return render_template(
        "profiles/page.html",
        profile=profile,
        state=state,
        found=page_of(
            profile, state, {mark: number for number, mark in waiting}, state.page, state.size
        ),
        waiting=[approvals.get(store, number) for number, _ in waiting],
        why_not=profile.why_not(viewer.name),
        tick=request.args.get("tick", ""),
    )


@blueprint.post("/identities/<name>/profile/sign")
@may(*EVERYBODY)
def sign(name: str) -> BaseResponse:
    """Sign what was ticked, or take signatures back."""
    _seen(name)
    ticked = request.form.getlist("fingerprint")[:_MOST_AT_ONCE]
    store = services().store
    try:
        if request.form.get("act") == "unsign":
            gone = profiles.unsign(store, actor(), now(), name, ticked)
            flash(f"Took back {_statements(len(gone))}.", "ok")
        else:
            new = profiles.sign(store, actor(), now(), name, ticked)
            flash(f"Signed {_statements(len(new))} of {name}.", "ok")
    except GatepostError as error:
        flash(sentence(error), "bad")
    return redirect(url_for("profiles.page", name=name), 303)


@blueprint.get("/identities/<name>/profile/mode/<wanted>")
@may(*EVERYBODY)
def ask_mode(name: str, wanted: str) -> str:
    """Show, before it is switched, what enforcing would have refused."""
    profile = _seen(name)
    mode = _mode(wanted)
    made = _dry_run(profile) if mode is ProfileMode.ENFORCE and profile.signed else None
    return render_template(
        "profiles/mode.html",
        profile=profile,
        wanted=mode,
        run=made,
        asked=sum(entry.use.count for entry in profile.entries if entry.use),
        shown=made.differences[:MOST_DIFFERENCES] if made else (),
        why_not=profile.why_not(require_viewer().name),
    )


@blueprint.post("/identities/<name>/profile/mode/<wanted>")
@may(*EVERYBODY)
def set_mode(name: str, wanted: str) -> BaseResponse:
    _seen(name)
    mode = _mode(wanted)
    try:
        profiles.set_mode(services().store, actor(), now(), name, mode)
    except GatepostError as error:
        flash(sentence(error), "bad")
    else:
        words = {
            ProfileMode.OFF: "is off: all that the rules allow may run",
            ProfileMode.LEARN: "learns: nothing is refused by it",
            ProfileMode.ENFORCE: "is enforced: what is not signed is refused, from now on",
        }
        flash(f"The profile of {name} {words[mode]}.", "ok")
    return redirect(url_for("profiles.page", name=name), 303)


def _seen(name: str) -> Profile:
    """Return a profile that the viewer may see. Raises: NotFound, whether or not it is there."""
    viewer = require_viewer()
    try:
        profile = profiles.of(services().store, name, now())
    except NotFound:
        profile = None
    if profile is None or not _may_read(viewer, profile.owner, profile.backup_owner):
        raise NotFound(
            f"no profile of {name} is open to you",
            "its owner, its backup owner, admins and auditors see it",
        )
    return profile


def _may_read(viewer: Viewer, *owners: str | None) -> bool:
    return viewer.reads_statements or viewer.name in owners


def _may_see(owner: str | None, backup_owner: str | None) -> bool:
    viewer = current_viewer()
    return viewer is not None and _may_read(viewer, owner, backup_owner)


def _machines() -> list[tuple[str, ProfileMode, int]]:
    """Return (name, mode, requests that wait) of what the viewer owns."""
    store, viewer = services().store, require_viewer()
    return [
        (name, mode, len(profile_requests.waiting(store, name, now())))
        for name, mode in profiles.owned_by(store, viewer.name)
    ]


def _mode(wanted: str) -> ProfileMode:
    try:
        return ProfileMode(wanted)
    except ValueError:
        raise NotFound("a profile is off, learns or is enforced: nothing else") from None


def _dry_run(profile: Profile) -> DryRun:
    store = services().store
    snapshot = snapshots.load(store, now())
    present = with_profile(snapshot, profile.identity, ProfileMode.OFF, ())
    proposed = with_profile(present, profile.identity, ProfileMode.ENFORCE, profile.signed)
    work = Work(off_loop, lambda: time.sleep(0))
    return statement_history.run(store, now(), present, proposed, sql.sql().parser, work=work)


def _csv_row(entry: ProfileEntry) -> tuple[object, ...]:
    use, signature = entry.use, entry.signature
    return (
        entry.fingerprint,
        "yes" if entry.is_signed else "no",
        signature.by if signature else "",
        signature.at.isoformat() if signature else "",
        entry.ran,
        entry.refused,
        use.failed if use else 0,
        use.first_at.isoformat() if use else "",
        use.last_at.isoformat() if use else "",
        " ".join(entry.tables),
        entry.text,
    )


def _statements(number: int) -> str:
    return f"{number} statement" if number == 1 else f"{number:,} statements"
