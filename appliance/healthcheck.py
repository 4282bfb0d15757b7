"""Ask the page of this container whether it is healthy: for Docker's HEALTHCHECK, without curl."""

from __future__ import annotations

import http.client
import ssl
import sys

from appliance.config import config_from_environment

_TIMEOUT_S = 4.0
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what is listened on, not by us


def is_healthy() -> bool:
    """Return whether GET /healthz answers 200 on the address that the page listens on."""
    config = config_from_environment()
    host = _ANY.get(config.web_listen.host, config.web_listen.host)
    connection: http.client.HTTPConnection
    if config.web_tls:
        # Only whether it answers is asked, on this machine: the certificate is for other names.
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(
            host, config.web_listen.port, timeout=_TIMEOUT_S, context=context
        )
    else:
        connection = http.client.HTTPConnection(host, config.web_listen.port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if is_healthy() else 1)
