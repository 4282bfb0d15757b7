"""Who may open which page: every view says so, and a view that does not stops the application."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from flask import Flask, Response, abort, redirect, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from appliance.entities import PermissionRole
from web.viewer import current_viewer

View = TypeVar("View", bound=Callable[..., object])

ADMIN = PermissionRole.ADMIN
APPROVER = PermissionRole.APPROVER
REVIEWER = PermissionRole.REVIEWER
AUDITOR = PermissionRole.AUDITOR
USER = PermissionRole.USER

READERS = (ADMIN, APPROVER, REVIEWER, AUDITOR)
EVERYBODY = (*READERS, USER)

_MARK = "gatepost_access"


@dataclass(frozen=True, slots=True)
class Access:
    """The roles that may open a view; ``is_public`` needs no sign-in at all."""

    roles: frozenset[PermissionRole]
    is_public: bool = False


def may(*roles: PermissionRole) -> Callable[[View], View]:
    """Mark a view as open to whoever has one of these permission roles."""

    def mark(view: View) -> View:
        setattr(view, _MARK, Access(frozenset(roles)))
        return view

    return mark


def public(view: View) -> View:
    """Mark a view as open without a sign-in."""
    setattr(view, _MARK, Access(frozenset(EVERYBODY), is_public=True))
    return view


def access_of(app: Flask, endpoint: str) -> Access:
    """Return what the view of an endpoint declared."""
    if endpoint == "static":
        return Access(frozenset(EVERYBODY), is_public=True)
    access = getattr(app.view_functions[endpoint], _MARK, None)
    if not isinstance(access, Access):
        raise RuntimeError(f"view {endpoint} does not say who may open it: add @may or @public")
    return access


def can_open(app: Flask, endpoint: str) -> bool:
    """Return whether the endpoint exists and the present viewer may open it."""
    if endpoint not in app.view_functions:
        return False
    access = access_of(app, endpoint)
    viewer = current_viewer()
    return access.is_public or (viewer is not None and bool(viewer.roles & access.roles))


def install(app: Flask) -> None:
    """Check the right before every view. Call after all blueprints are registered."""
    for endpoint in app.view_functions:
        access_of(app, endpoint)

    def check() -> BaseResponse | None:
        if request.endpoint is None:
            return None
        access = access_of(app, request.endpoint)
        if access.is_public:
            return None
        viewer = current_viewer()
        if viewer is None:
            return _send_to_sign_in()
        if not viewer.roles & access.roles:
            abort(403)
        return None

    app.before_request(check)


def _send_to_sign_in() -> BaseResponse:
    """Send the browser to sign in and back here; a partial cannot redirect by itself."""
    if request.headers.get("HX-Request"):
        return Response(status=401, headers={"HX-Redirect": url_for("sign_in.page")})
    back = request.full_path.rstrip("?") if request.method == "GET" else None
    return redirect(url_for("sign_in.page", next=back if back != "/" else None), 303)
