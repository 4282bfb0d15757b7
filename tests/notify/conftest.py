"""What the tests of notifications share: a shop with approvers, receivers, and couriers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from appliance.clock import ManualClock
from appliance.notify.courier import Courier
from appliance.sealing import Sealer
from appliance.store import channels
from appliance.store.channels import SmtpSpec, WebhookSpec
from appliance.store.database import Store
from appliance.store.outbox import Channel
from tests.harness.mailbox import Mailbox, mailbox
from tests.harness.receiver import Receiver, receiver
from tests.store.approving import with_approvers
from tests.store.conftest import BY, NOW, sealer, shop

__all__ = ["sealer", "shop"]

URL = "https://gate.example.com"
SENDER = "gatepost@example.com"
SECRET = "the webhook's secret"


@dataclass(frozen=True, slots=True)
class Post:
    """An appliance as the couriers see it."""

    store: Store
    clock: ManualClock
    sealer: Sealer

    def courier(self, channel: Channel) -> Courier:
        return Courier(self.store, self.clock, self.sealer, URL, channel)

    def deliver(self) -> None:
        """Let both channels do what is due now."""
        for channel in (Channel.MAIL, Channel.WEBHOOK):
            courier = self.courier(channel)
            while courier.step():
                pass

    def mail_to(self, port: int, **changes: str) -> None:
        spec = SmtpSpec("127.0.0.1", SENDER, port, **changes)
        channels.put_smtp(self.store, BY, NOW, self.sealer, spec)

    def post_to(self, url: str, format_: str = "json", secret: str | None = SECRET) -> None:
        spec = WebhookSpec(format_, url)
        channels.put_webhook(self.store, BY, NOW, self.sealer, spec, secret=secret)


@pytest.fixture
def store(sqlite_store: Store) -> Store:
    """What does not depend on the kind of store; test_once.py has both."""
    return sqlite_store


@pytest.fixture
def post(shop: Store, sealer: Sealer) -> Post:
    """Ana's shop, where bo and cy may decide what she asks; nobody is told yet."""
    return Post(with_approvers(shop), ManualClock(NOW), sealer)


@pytest.fixture
def box() -> Iterator[Mailbox]:
    with mailbox() as found:
        yield found


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as found:
        yield found
