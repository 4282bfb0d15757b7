"""Values shown exactly once after a redirect: a new secret, an invite link.

The value travels sealed in a short-lived cookie of the browser that caused it, bound to its
sign-in and page, so that it never lies in the store and a POST can still answer 303.
"""

from __future__ import annotations

import base64
import binascii

import orjson
from cryptography.exceptions import InvalidTag
from flask import Response, g, request
from werkzeug.wrappers import Response as BaseResponse

from appliance.errors import GatepostError
from web.security import set_cookie
from web.services import services
from web.viewer import current_viewer

_COOKIE = "gatepost_once"
_MAX_AGE_S = 120


def keep_for(response: BaseResponse, path: str, values: dict[str, str]) -> BaseResponse:
    """Hand ``values`` to the next page at ``path`` of the same sign-in."""
    sealed = services().sealer.seal(orjson.dumps(values), _binding(path))
    text = base64.urlsafe_b64encode(sealed).decode()
    set_cookie(response, _COOKIE, text, path=path, max_age_s=_MAX_AGE_S)
    return response


def take() -> dict[str, str] | None:
    """Return what was kept for this page, and forget it."""
    text = request.cookies.get(_COOKIE)
    if text is None:
        return None
    g.forget_once = request.path
    try:
        plain = services().sealer.open(base64.urlsafe_b64decode(text), _binding(request.path))
    except (GatepostError, InvalidTag, ValueError, binascii.Error):
        return None
    values: dict[str, str] = orjson.loads(plain)
    return values


def forget(response: Response) -> Response:
    """Take the cookie from the browser once its page was rendered (an after_request hook)."""
    if (path := g.pop("forget_once", None)) is not None:
        response.delete_cookie(_COOKIE, path=path)
    return response


def _binding(path: str) -> str:
    viewer = current_viewer()
    who = viewer.sign_in.id if viewer else 0
    return f"once:{who}:{path}"
