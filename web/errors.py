"""Every error as a page that says what happened and what to do; never a stack trace."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import structlog
from flask import Flask, Response, render_template, request
from werkzeug.exceptions import HTTPException

from appliance.errors import (
    Conflict,
    GatepostError,
    Invalid,
    NotAllowed,
    NotFound,
    StoreUnavailable,
)

_log = structlog.get_logger("web")


@dataclass(frozen=True, slots=True)
class ErrorPage:
    """What an error page says."""

    status: int
    title: str
    message: str
    hint: str = ""


_NOT_FOUND_HINT = "Check the address, or find it by its name in the lists."
_HTTP = {
    400: ErrorPage(400, "The request was not understood", "Go back and try it once more."),
    403: ErrorPage(
        403,
        "This page is not open to you",
        "Your permission roles do not include it.",
        "An admin can give you the role under Settings, Accounts.",
    ),
    404: ErrorPage(
        404,
        "There is nothing here",
        "What this address named does not exist, or no longer does.",
        _NOT_FOUND_HINT,
    ),
    405: ErrorPage(
        405, "That cannot be done here", "This address is opened by a button, not by a link."
    ),
    413: ErrorPage(413, "That was too much", "A form may hold 1 MiB. Send less."),
}


def install(app: Flask) -> None:
    """Register the handlers."""
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(GatepostError, _known_error)
    app.register_error_handler(Exception, _fault)


def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    return _page(_HTTP.get(status) or ErrorPage(status, error.name, error.description or ""))


def _known_error(error: GatepostError) -> Response:
    match error:
        case NotFound():
            page = ErrorPage(
                404, "There is nothing here", error.message, error.hint or _NOT_FOUND_HINT
            )
        case Conflict():
            page = ErrorPage(409, "Something else changed first", error.message, error.hint)
        case NotAllowed():
            page = ErrorPage(403, "This is not yours to do", error.message, error.hint)
        case Invalid():
            page = ErrorPage(422, "A value cannot be", error.message, error.hint)
        case StoreUnavailable():
            _log.error("store unavailable", path=request.path)
            page = ErrorPage(
                503,
                "The store does not answer",
                error.message,
                "Nothing was changed. Sessions through the gateway go on; try again in a moment.",
            )
        case _:
            page = ErrorPage(500, "This could not be done", error.message, error.hint)
    return _page(page)


def _fault(error: Exception) -> Response:
    """Log a fault of our own under a number that the page shows."""
    number = secrets.token_hex(4)
    _log.error("fault", number=number, path=request.path, exc_info=error)
    return _page(
        ErrorPage(
            500,
            "Gatepost has a fault here",
            f"The page met a case it was not made for. It is in the appliance's log as {number}.",
            "Look whether your last change took effect before you repeat it, and please report it.",
        )
    )


def _page(page: ErrorPage) -> Response:
    template = "errors/_partial.html" if request.headers.get("HX-Request") else "errors/page.html"
    return Response(render_template(template, error=page), page.status)
