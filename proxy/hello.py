"""What a client reads once its session has begun: notices, settings, its key, ReadyForQuery."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from appliance.masking import errors
from proxy.wire import authentication, backend, codes
from proxy.wire.framing import HEADER_BYTES, frame

if TYPE_CHECKING:
    from proxy.session import Session
    from proxy.upstream_auth import Ready

_USUAL: Final = ("scram_iterations", "4096")  # another number could be anybody's
_ROLE: Final = "session_authorization"


def hello(
    ready: Ready, key: bytes, session: Session, asked: Sequence[tuple[str, str]], role: str
) -> bytes:
    """Return the messages. ``asked``: the settings in the client's start-up packet.

    Where it has masked columns: code of the target's (a trigger on logins) can have put anything
    into a notice or a setting. Settings that it could have put there are left out.
    """
    notices, parameters = ready.notices, ready.parameters
    screen = session.screen
    if screen.rules is not None:
        screen.known.update((name.lower(), value) for name, value in asked)
        screen.known.add((_ROLE, role))
        catalog = session.judge.catalog
        schemas = frozenset(catalog.schemas) if catalog is not None else frozenset()
        notices = tuple(
            frame(codes.NOTICE_RESPONSE, errors.scrub(one[HEADER_BYTES:], is_error=False))
            for one in notices
        )
        parameters = {
            name: value
            for name, value in parameters.items()
            if screen.status(name, "", value, schemas) or (name, value) == _USUAL
        }
    return b"".join(
        (
            *notices,
            *(
                backend.ParameterStatus(name.encode(), value.encode()).encode()
                for name, value in parameters.items()
            ),
            authentication.BackendKeyData(ready.process_id, key).encode(),
            backend.ReadyForQuery(ready.status).encode(),
        )
    )
