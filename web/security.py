"""What protects every page: the Host check, the response headers, forms that only we made."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from urllib.parse import urlsplit

from flask import Flask, Response, g, render_template, request
from werkzeug.wrappers import Response as BaseResponse

from appliance.config import Config
from web.services import services
from web.source import asked_host
from web.viewer import cookie_name, current_viewer

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), browsing-topics=()",
}
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})
_PROBES = frozenset({"health.healthz", "health.readyz", "health.metrics"})
VISIT = "visit"


def install(app: Flask) -> None:
    """Add the checks before every view and the headers after."""
    app.before_request(_check_host)
    app.before_request(_check_form)
    app.after_request(_add_headers)
    app.jinja_env.globals["csrf_token"] = csrf_token


def _check_host() -> BaseResponse | None:
    config = services().config
    host = asked_host(request, config)
    if host in _own_hosts(config):
        return None
    if request.endpoint in _PROBES and _without_port(host) in _LOOPBACK_HOSTS:
        return None
    page = render_template("errors/host.html", host=host, public_url=config.public_url)
    return Response(page, 400)


def _own_hosts(config: Config) -> set[str]:
    """Return the Host values that mean us. A loopback public URL stands for all loopback names:
    no foreign name can be rebound to them."""
    url = urlsplit(config.public_url.lower())
    default = 443 if url.scheme == "https" else 80
    names = {url.hostname or ""}
    if ":" in (url.hostname or ""):
        names = {f"[{url.hostname}]"}
    if names & _LOOPBACK_HOSTS:
        names = set(_LOOPBACK_HOSTS)
    port = url.port or default
    hosts = {f"{name}:{port}" for name in names}
    return hosts | names if port == default else hosts


def _without_port(host: str) -> str:
    name, _, port = host.rpartition(":")
    return name if name and port.isdigit() else host


def _check_form() -> BaseResponse | None:
    """Refuse a change whose form we did not make for this browser."""
    if request.method in _SAFE_METHODS or request.endpoint is None:
        return None
    if _is_cross_site():
        return Response(render_template("errors/form.html"), 403)
    sent = request.headers.get("X-CSRF-Token") or request.form.get("csrf", "")
    known = _known_token()
    if not known or not hmac.compare_digest(sent.encode(), known.encode()):
        return Response(render_template("errors/form.html"), 403)
    return None


def _is_cross_site() -> bool:
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        return True
    origin = request.headers.get("Origin")
    if origin is None:
        return False
    return urlsplit(origin.lower()).netloc not in _own_hosts(services().config)


def csrf_token() -> str:
    """Return the token that this browser's forms must carry."""
    viewer = current_viewer()
    if viewer is not None:
        return viewer.sign_in.csrf
    visit = request.cookies.get(cookie_name(VISIT)) or g.get("new_visit")
    if visit is None:
        visit = g.new_visit = secrets.token_urlsafe(32)
    return _derive(visit)


def _known_token() -> str:
    """Return what a form of this browser must hold; "" matches nothing."""
    viewer = current_viewer()
    if viewer is not None:
        return viewer.sign_in.csrf
    visit = request.cookies.get(cookie_name(VISIT))
    return _derive(visit) if visit else ""


def _derive(token: str) -> str:
    return hmac.new(token.encode(), b"gatepost form", hashlib.sha256).hexdigest()


def _add_headers(response: Response) -> Response:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    if services().config.public_url.startswith("https:"):
        response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    if request.endpoint != "static":
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers.add("Vary", "Cookie, HX-Request")
    if (visit := g.get("new_visit")) is not None:
        set_cookie(response, VISIT, visit)
    return response


def set_cookie(
    response: BaseResponse, name: str, value: str, *, path: str = "/", max_age_s: int | None = None
) -> None:
    """Set one of our cookies: never readable by scripts, Secure wherever the page is https."""
    response.set_cookie(
        cookie_name(name) if path == "/" else name,
        value,
        max_age=max_age_s,
        path=path,
        secure=services().config.public_url.startswith("https:"),
        httponly=True,
        samesite="Lax",
    )
