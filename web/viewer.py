"""Who looks at a page: the sign-in behind the cookie, and the actor that changes are made as."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from flask import Flask, abort, g, request

from appliance.entities import PermissionRole
from appliance.store import sign_ins
from appliance.store.actors import Actor
from appliance.store.sign_ins import SignIn
from web.services import now, services
from web.source import client_address

SIGN_IN = "sign_in"
STATEMENT_READERS = frozenset({PermissionRole.ADMIN, PermissionRole.AUDITOR})
_ORDER = tuple(PermissionRole)


@dataclass(frozen=True, slots=True)
class Viewer:
    """Somebody signed in. Everybody has the role user besides what an admin gave."""

    sign_in: SignIn
    roles: frozenset[PermissionRole]

    @property
    def name(self) -> str:
        return self.sign_in.identity

    @property
    def is_admin(self) -> bool:
        return PermissionRole.ADMIN in self.roles

    @property
    def is_reader(self) -> bool:
        """Return whether they may see more than what concerns themselves."""
        return bool(self.roles - {PermissionRole.USER})

    @property
    def reads_statements(self) -> bool:
        """Return whether they may read what others ran."""
        return bool(self.roles & STATEMENT_READERS)

    @property
    def role_words(self) -> str:
        """Return the roles for people, the greatest first."""
        shown = self.roles - {PermissionRole.USER} or self.roles
        return ", ".join(role.value for role in _ORDER if role in shown)


def install(app: Flask) -> None:
    """Give templates ``viewer``."""
    app.context_processor(lambda: {"viewer": current_viewer()})


def cookie_name(name: str) -> str:
    """Return a cookie's full name: bound to this very host wherever the page is https."""
    prefix = "__Host-" if services().config.public_url.startswith("https:") else ""
    return f"{prefix}gatepost_{name}"


def sign_in_token() -> str | None:
    """Return the token of the sign-in cookie, whether or not it still means anything."""
    return request.cookies.get(cookie_name(SIGN_IN))


def current_viewer() -> Viewer | None:
    """Return who is signed in, looked up once per request."""
    if "viewer" not in g:
        token = sign_in_token()
        found = sign_ins.get(services().store, now(), token) if token else None
        g.viewer = Viewer(found, found.permission_roles | {PermissionRole.USER}) if found else None
    return cast("Viewer | None", g.viewer)


def require_viewer() -> Viewer:
    """Return who is signed in, on pages that nobody else reaches."""
    viewer = current_viewer()
    if viewer is None:
        abort(403)
    return viewer


def actor() -> Actor:
    """Return as whom a change of this request is recorded."""
    return Actor(require_viewer().name, "browser", source_address())


def source_address() -> str:
    """Return the address this request came from."""
    return client_address(request, services().config)
