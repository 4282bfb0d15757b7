"""The scheduler's process delivers at once, by itself; ``notify test`` and doctor look at it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from appliance.clock import SystemClock
from appliance.config import Config, config_from_environment
from appliance.doctor import examine
from appliance.sealing import Sealer, load_master_key
from appliance.store import access_requests, channels, outbox
from appliance.store.access_requests import AccessAsk
from appliance.store.actors import system_actor
from appliance.store.channels import SmtpSpec, WebhookSpec
from appliance.store.database import Store
from appliance.store.outbox import Channel, Event, Message
from tests.harness.mailbox import Mailbox, mailbox
from tests.harness.polling import eventually, promised
from tests.harness.receiver import Receiver
from tests.harness.store import migrated
from tests.recording.test_jobs import child
from tests.store import approving
from tests.store.conftest import shop

BY = system_actor("test")
CLOCK = SystemClock()

__all__ = ["shop"]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    found = {n: v for n, v in os.environ.items() if not n.startswith("GATEPOST_")}
    return found | {"GATEPOST_DATA_DIR": str(tmp_path / "data")}


@pytest.fixture
def config(environ: dict[str, str]) -> Config:
    return config_from_environment(environ)


@pytest.fixture
def store(config: Config) -> Iterator[Store]:
    """The store of a data directory that processes can be given."""
    opened = migrated(config.store_url)
    yield opened
    opened.close()


def set_up(store: Store, config: Config, mail_port: int, url: str) -> None:
    sealer = Sealer(load_master_key(config))
    now = CLOCK.now()
    channels.put_smtp(store, BY, now, sealer, SmtpSpec("127.0.0.1", "gate@example.com", mail_port))
    channels.put_webhook(store, BY, now, sealer, WebhookSpec("json", url))


def gatepost(environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "appliance", *arguments],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_scheduler_tells_within_two_seconds_and_ends_when_told(
    shop: Store, config: Config, environ: dict[str, str], box: Mailbox, hook: Receiver
) -> None:
    set_up(shop, config, box.port, hook.url())
    approving.with_approvers(shop)
    with child("scheduler", environ) as (process, _):
        outbox.put(shop, CLOCK.now(), Message(Event.REQUESTED, Channel.NEWS, 4711))  # not there
        eventually(lambda: not news(shop), 60, "the news of a request that is gone is dropped")
        began = time.monotonic()
        ask = AccessAsk(approving.ANA, "shop", "app_rw", 3600, "INC-42")
        access_requests.ask(shop, BY, CLOCK.now(), ask)
        eventually(lambda: len(box.messages) == 2 and hook.posted, 30, "two mails and one post")
        assert time.monotonic() - began < promised(2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def news(store: Store) -> int:
    with store.reading():
        row = outbox.OutboxRow
        waits = (row.channel == Channel.NEWS.value) & (row.state == "waiting")
        return int(row.select().where(waits).count())


def test_notify_test_says_how_each_channel_did(
    store: Store, config: Config, environ: dict[str, str], hook: Receiver
) -> None:
    none = gatepost(environ, "notify", "test")
    assert none.returncode == 1 and "neither a mail server nor a webhook" in none.stderr
    with mailbox() as box:
        set_up(store, config, box.port, hook.url("/secret"))
        done = gatepost(environ, "notify", "test", "--to", "bo@example.com", "--json")
        assert done.returncode == 0, done.stdout
        assert [(t["channel"], t["ok"]) for t in orjson.loads(done.stdout)] == [
            ("mail", True),
            ("webhook", True),
        ]
        assert box.messages[0]["Subject"] == "Gatepost: a test"
        assert hook.posted[0].json["event"] == "test"
    hook.answers = [404]
    failed = gatepost(environ, "notify", "test")
    assert failed.returncode == 1
    assert "Connection refused" in failed.stdout and "answered 404" in failed.stdout
    assert "secret" not in failed.stdout


def test_doctor_says_what_a_channel_lacks(store: Store, config: Config, hook: Receiver) -> None:
    found = {f.name: f for f in examine(config, CLOCK)}
    assert found["notifications"].ok
    with mailbox() as box:
        set_up(store, config, box.port, hook.url("/secret"))
        found = {f.name: f for f in examine(config, CLOCK)}
        assert found["mail"].ok and found["webhook"].ok, found
        assert "tls: none" in found["mail"].detail
        assert "GATEPOST_PUBLIC_URL" in found["links in messages"].hint
    found = {f.name: f for f in examine(config, CLOCK)}
    assert not found["mail"].ok and "cannot be reached" in found["mail"].detail
    now = CLOCK.now()
    outbox.put(store, now, Message(Event.REQUESTED, Channel.WEBHOOK, 1))
    (taken,) = outbox.due(store, now, (Channel.WEBHOOK,), "x")
    outbox.failed(store, now, taken, "it answered 500")
    found = {f.name: f for f in examine(config, CLOCK)}
    assert not found["webhook"].ok
    assert (
        found["webhook"].detail
        == "waiting to be sent again: 1, given up: 0; the latest: it answered 500"
    )
