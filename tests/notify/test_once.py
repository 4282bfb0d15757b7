"""Several processes deliver from one store, of either kind: each message goes out once."""

from __future__ import annotations

import threading

from appliance.store import outbox
from appliance.store.database import Store, open_store
from appliance.store.outbox import Channel
from tests.harness.mailbox import mailbox
from tests.harness.receiver import Receiver
from tests.harness.store import store
from tests.notify.conftest import Post
from tests.notify.test_faults import rows
from tests.store.approving import BO, CY, held
from tests.store.conftest import NOW

__all__ = ["store"]


def test_several_processes_send_each_message_once(post: Post, hook: Receiver) -> None:
    with mailbox() as box:
        post.mail_to(box.port)
        post.post_to(hook.url())
        numbers = [held(post.store, text=f"DELETE FROM t{n}").id for n in range(6)]
        url = _url(post.store)
        stores = [open_store(url) for _ in range(3)]
        try:
            others = [Post(store, post.clock, post.sealer) for store in stores]
            threads = [threading.Thread(target=other.deliver) for other in others]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
        finally:
            for store in stores:
                store.close()
        post.deliver()
        assert sorted(p.json["request"]["id"] for p in hook.posted) == numbers
        assert sorted(m["To"] for m in box.messages) == [BO] * 6 + [CY] * 6
        assert len({m["Message-ID"] for m in box.messages}) == 12


def test_what_a_process_took_and_died_with_goes_out_later(post: Post, hook: Receiver) -> None:
    post.post_to(hook.url())
    held(post.store)
    post.courier(Channel.MAIL).step()  # spreads the news, and has nothing to send
    taken = outbox.due(post.store, NOW, (Channel.WEBHOOK,), "the dead one")
    assert len(taken) == 1
    post.deliver()
    assert not hook.posted
    post.clock.advance(outbox.CLAIM_LASTS)
    post.deliver()
    assert len(hook.posted) == 1
    assert not outbox.delivered(post.store, post.clock.now(), taken[0])  # it was too late
    assert outbox.failed(post.store, post.clock.now(), taken[0], "late") is not None
    assert [state for state, _, _ in rows(post.store, Channel.WEBHOOK)] == ["sent"]


def _url(store: Store) -> str:
    if store.path is not None:
        return f"sqlite:///{store.path}"
    return str(store.database.database)
