"""Post one body to the webhook: no redirects, ten seconds, the answer is not read."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Mapping

from appliance.errors import NotDelivered
from appliance.store.channels import place_of

TIMEOUT_S = 10


def post(url: str, body: bytes, headers: Mapping[str, str]) -> int:
    """Return the status, one of 2xx. Raises: NotDelivered, which names only scheme and host."""
    place = place_of(url)
    if not url.startswith(("http://", "https://")):
        raise NotDelivered(f"{place} is neither http nor https", is_final=True)
    request = urllib.request.Request(url, body, dict(headers), method="POST")  # noqa: S310 - see _opener
    try:
        with _opener().open(request, timeout=TIMEOUT_S) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        raise NotDelivered(f"{place} answered {error.code}", _meaning(error.code)) from None
    except urllib.error.URLError as error:
        raise NotDelivered(f"{place} cannot be reached: {_why(error.reason)}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NotDelivered(f"{place} did not answer: {_why(error)}") from None


def _opener() -> urllib.request.OpenerDirector:
    """Return an opener that knows http and https only: no files, no ftp, no redirects."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),  # the environment's https_proxy
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
    ):
        opener.add_handler(handler)
    return opener


def _meaning(status: int) -> str:
    if 300 <= status < 400:
        return "redirects are not followed: set the address that it points to"
    if status in (401, 403, 404, 410):
        return "is the address still the right one? Chats withdraw theirs"
    if status == 429:
        return "it asks for fewer messages; they are sent later"
    return ""


def _why(error: object) -> str:
    """Return the fault without any address or body that it could quote."""
    if isinstance(error, TimeoutError):
        return f"no answer within {TIMEOUT_S} s"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
