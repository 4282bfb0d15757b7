"""The served process: it ends with its parent, drains open streams, and can speak TLS."""

from __future__ import annotations

import http.client
import os
import re
import signal
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

from appliance.clock import SystemClock
from appliance.entities import PermissionRole
from appliance.store import accounts, identities, sign_ins
from appliance.store.actors import Actor
from appliance.store.database import Store
from appliance.store.identities import IdentitySpec
from tests.harness.polling import promised
from tests.web.serving import Running, serving

BY = Actor("test", "shell")
NAME, PASSWORD = "ada@example.com", "correct horse battery"


def open_feed(running: Running, store: Store) -> http.client.HTTPResponse:
    """Open the live feed as an admin and return the answer, of which the head has come."""
    now = SystemClock().now()
    admin = frozenset({PermissionRole.ADMIN})
    identities.create(store, BY, now, IdentitySpec(NAME, "human"), permission_roles=admin)
    token = sign_ins.open_one(store, BY, now, NAME, address="", user_agent="")
    connection = http.client.HTTPConnection(urlsplit(running.url).netloc, timeout=20)
    connection.request("GET", "/feed", headers={"Cookie": f"gatepost_sign_in={token}"})
    answer = connection.getresponse()
    assert answer.status == 200
    assert answer.readline() == b"retry: 2000\n"
    return answer


def test_it_ends_when_its_parent_was_killed(tmp_path: Path, sqlite_store: Store) -> None:
    with serving(tmp_path) as running:
        os.close(running.life)
        assert running.process.wait(30) == 0


def test_an_open_stream_ends_when_it_is_told_to_end(tmp_path: Path, sqlite_store: Store) -> None:
    with serving(tmp_path) as running:
        answer = open_feed(running, sqlite_store)
        begun = time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        answer.read()
        assert running.process.wait(30) == 0
        assert time.monotonic() - begun < 15  # far below the time after which it is killed


def test_a_stream_ends_when_its_sign_in_does(tmp_path: Path, sqlite_store: Store) -> None:
    with serving(tmp_path) as running:
        answer = open_feed(running, sqlite_store)
        sign_ins.close_others(sqlite_store, BY, SystemClock().now(), NAME, None)
        assert b"event:" not in answer.read()


def test_checking_a_password_does_not_hold_up_other_pages(
    tmp_path: Path, store: Store, store_url: str, costly_hashes: None
) -> None:
    accounts.create(store, BY, SystemClock().now(), NAME, PASSWORD)
    with (
        serving(tmp_path, GATEPOST_STORE_URL=store_url) as running,
        ThreadPoolExecutor(6) as pool,
    ):
        place = urlsplit(running.url).netloc
        done = [pool.submit(_sign_in, place) for _ in range(3)]
        waits = []
        while not all(future.done() for future in done):
            begun = time.monotonic()
            connection = http.client.HTTPConnection(place, timeout=30)
            connection.request("GET", "/healthz")
            assert connection.getresponse().status == 200
            waits.append(time.monotonic() - begun)
        assert [future.result() for future in done] == [303] * 3
        assert sorted(waits)[len(waits) // 2] < promised(0.15)


def _sign_in(place: str) -> int:
    connection = http.client.HTTPConnection(place, timeout=30)
    connection.request("GET", "/sign-in")
    shown = connection.getresponse()
    cookie = (shown.getheader("Set-Cookie") or "").split(";")[0]
    found = re.search(r'name="csrf" value="([^"]+)"', shown.read().decode())
    assert found
    body = f"csrf={found[1]}&name={NAME}&password={PASSWORD.replace(' ', '+')}"
    headers = {"Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", "/sign-in", body, headers)
    return connection.getresponse().status


def test_it_speaks_tls_with_the_certificate_of_the_gateway(
    tmp_path: Path, sqlite_store: Store
) -> None:
    with serving(tmp_path, GATEPOST_WEB_TLS="on") as running:
        place = urlsplit(running.url)
        [authority] = [
            p
            for p in (tmp_path / "tls").iterdir()
            if "ca" in p.name.lower() and b"PRIVATE" not in p.read_bytes()
        ]
        context = ssl.create_default_context(cafile=str(authority))
        connection = http.client.HTTPSConnection(
            "localhost", place.port, timeout=30, context=context
        )
        connection.request("GET", "/sign-in")
        answer = connection.getresponse()
        assert answer.status == 200
        assert "__Host-gatepost_visit=" in (answer.getheader("Set-Cookie") or "")
