"""The identity catalog: everybody and everything that may log in, with who answers for it."""

from __future__ import annotations

from datetime import datetime

from flask import Blueprint, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from appliance.entities import IdentityKind, IdentityStatus
from appliance.errors import Conflict, GatepostError
from appliance.masking.sentences import biting
from appliance.store import (
    audit,
    credentials,
    groups,
    identities,
    overview,
    snapshots,
)
from appliance.store.identities import IdentityRecord, IdentitySpec
from appliance.store.pages import Page
from web.access import ADMIN, READERS, may
from web.days import end_of_day, last_day_of
from web.forms import Form, read_form, sentence
from web.listing import Choice, Filter, csv_response, every, read_list, wants_csv
from web.reach import reach_of
from web.services import now, services
from web.viewer import actor

blueprint = Blueprint("identities", __name__)

KIND_WORDS = {
    IdentityKind.HUMAN: "human",
    IdentityKind.SERVICE: "service",
    IdentityKind.CI: "CI job",
    IdentityKind.BOT: "bot",
    IdentityKind.AGENT: "AI agent",
}
_FIELDS = (
    "name",
    "kind",
    "owner",
    "backup_owner",
    "purpose",
    "environment",
    "expires",
    "application_names",
    "sources",
)
_KNOWN = {"expires_at": "expires"}
_CSV_HEAD = (
    "name",
    "kind",
    "status",
    "owner",
    "backup_owner",
    "purpose",
    "environment",
    "groups",
    "live_credentials",
    "expires_at",
    "last_used_at",
    "created_by",
    "created_at",
)
_SORTS = ("attention", "name", "kind", "status", "last_used_at", "expires_at", "created_at")


@blueprint.get("/identities")
@may(*READERS)
def page() -> BaseResponse | str:
    store = services().store
    state = read_list(
        sorts=_SORTS,
        filters=(
            Filter("kind", "Kind", tuple(Choice(k.value, w) for k, w in KIND_WORDS.items())),
            Filter("status", "Status", tuple(Choice(s, s) for s in identities.STATUSES)),
            Filter("group", "Group", tuple(Choice(g, g) for g in overview.group_names(store))),
            Filter("owner", "Owner", tuple(Choice(o, o) for o in overview.owner_names(store))),
        ),
    )

    def fetch(page: int, size: int) -> Page[IdentityRecord]:
        return identities.find(
            store,
            state.search,
            now=now(),
            kind=state.value("kind"),
            status=state.value("status"),
            group=state.value("group"),
            owner=state.value("owner"),
            sort=state.order,
            page=page,
            size=size,
        )

    if wants_csv():
        return csv_response("identities", _CSV_HEAD, map(_csv_row, every(fetch)))
    return render_template(
        "identities/list.html",
        state=state,
        found=fetch(state.page, state.size),
        ownerless=overview.ownerless(store),
        kind_words=KIND_WORDS,
    )


@blueprint.get("/identities/new")
@may(ADMIN)
def new() -> str:
    form = Form(dict.fromkeys(_FIELDS, "") | {"kind": request.args.get("kind", "ci")})
    return _form_page(form, None)


@blueprint.post("/identities/new")
@may(ADMIN)
def create() -> BaseResponse | tuple[str, int]:
    form = read_form(*_FIELDS)
    spec = _spec(form)
    if not form.has_errors:
        try:
            identities.create(services().store, actor(), now(), spec)
        except Conflict as error:
            form.take_beside("name", error)
        except GatepostError as error:
            form.take(error, _KNOWN)
        else:
            return redirect(url_for("identities.detail", name=spec.name), 303)
    return _form_page(form, None), 422


@blueprint.get("/identities/<name>")
@may(*READERS)
def detail(name: str) -> str:
    store = services().store
    identity = identities.get(store, name, now=now())
    snapshot = snapshots.load(store, now())
    reach = reach_of(snapshot, name, now())
    return render_template(
        "identities/detail.html",
        identity=identity,
        kind_words=KIND_WORDS,
        reach=reach,
        masks=biting(snapshot, name, {entry.target for entry in reach}),
        profile=snapshot.identities[name].profile if name in snapshot.identities else None,
        signed=len(snapshot.profiles.get(name, ())),
        targets=tuple(snapshot.targets.values()),
        credentials=credentials.find(store, now=now(), identity=name, size=100).items,
        live=overview.live_sessions(store, identity=name),
        usage=overview.identity_usage(store, name, now()),
        history=audit.find(store, subject=name, size=15).items,
        all_groups=overview.group_names(store),
        form=Form(dict.fromkeys(("target", "role", "expires", "group", "reason"), "")),
    )


@blueprint.get("/identities/<name>/edit")
@may(ADMIN)
def edit(name: str) -> str:
    identity = identities.get(services().store, name, now=now())
    return _form_page(_form_of(identity), identity)


@blueprint.post("/identities/<name>/edit")
@may(ADMIN)
def change(name: str) -> BaseResponse | tuple[str, int]:
    identity = identities.get(services().store, name, now=now())
    form = read_form(*_FIELDS)
    form.values["name"] = name
    spec = _spec(form)
    if not form.has_errors:
        try:
            changed = identities.update(services().store, actor(), now(), name, spec)
        except GatepostError as error:
            form.take(error, _KNOWN)
        else:
            if changed:
                flash("Saved.", "ok")
            return redirect(url_for("identities.detail", name=name), 303)
    return _form_page(form, identity), 422


@blueprint.get("/identities/<name>/status/<wanted>")
@may(ADMIN)
def ask_status(name: str, wanted: str) -> str:
    """Ask before an identity is suspended, retired or made active again."""
    return _status_page(name, wanted, Form({"reason": ""}))


@blueprint.post("/identities/<name>/status/<wanted>")
@may(ADMIN)
def set_status(name: str, wanted: str) -> BaseResponse | tuple[str, int]:
    form = read_form("reason")
    store = services().store
    try:
        match wanted:
            case "active":
                identities.set_status(
                    store, actor(), now(), name, IdentityStatus.ACTIVE, form.value("reason")
                )
            case "suspended":
                identities.set_status(
                    store, actor(), now(), name, IdentityStatus.SUSPENDED, form.value("reason")
                )
            case "retired":
                identities.retire(store, actor(), now(), name, form.value("reason"))
            case _:
                return _status_page(name, wanted, form), 404
    except GatepostError as error:
        form.take(error)
        return _status_page(name, wanted, form), 422
    flash(f"{name} is now {wanted}.", "ok")
    return redirect(url_for("identities.detail", name=name), 303)


@blueprint.post("/identities/<name>/groups")
@may(ADMIN)
def join(name: str) -> BaseResponse:
    """Make an identity a member of a group."""
    form = read_form("group")
    try:
        groups.add(services().store, actor(), now(), form.value("group"), name)
    except GatepostError as error:
        flash(sentence(error), "bad")
    return redirect(url_for("identities.detail", name=name), 303)


def _status_page(name: str, wanted: str, form: Form) -> str:
    store = services().store
    identity = identities.get(store, name, now=now())
    return render_template(
        "identities/status.html",
        identity=identity,
        wanted=wanted,
        live=overview.live_sessions(store, identity=name),
        form=form,
    )


def _form_page(form: Form, identity: IdentityRecord | None) -> str:
    store = services().store
    people = identities.find(store, now=now(), kind=IdentityKind.HUMAN.value, size=1_000).items
    return render_template(
        "identities/form.html",
        form=form,
        identity=identity,
        kind_words=KIND_WORDS,
        people=[person.name for person in people],
    )


def _spec(form: Form) -> IdentitySpec:
    return IdentitySpec(
        name=form.value("name"),
        kind=form.value("kind"),
        owner=form.optional("owner"),
        backup_owner=form.optional("backup_owner"),
        purpose=form.value("purpose"),
        environment=form.value("environment"),
        expires_at=end_of_day(form, "expires"),
        application_names=form.lines("application_names"),
        sources=form.lines("sources"),
    )


def _form_of(identity: IdentityRecord) -> Form:
    return Form(
        {
            "name": identity.name,
            "kind": identity.kind.value,
            "owner": identity.owner or "",
            "backup_owner": identity.backup_owner or "",
            "purpose": identity.purpose,
            "environment": identity.environment,
            "expires": last_day_of(identity.expires_at),
            "application_names": "\n".join(identity.application_names),
            "sources": "\n".join(identity.sources),
        }
    )


def _csv_row(item: IdentityRecord) -> tuple[object, ...]:
    return (
        item.name,
        item.kind.value,
        item.status.value,
        item.owner,
        item.backup_owner,
        item.purpose,
        item.environment,
        " ".join(item.groups),
        item.live_credentials,
        _iso(item.expires_at),
        _iso(item.last_used_at),
        item.created_by,
        _iso(item.created_at),
    )


def _iso(at: datetime | None) -> str:
    return at.isoformat() if at else ""
