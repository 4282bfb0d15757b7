"""What shell commands open: the configuration, the clock, the store, the sealer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from appliance.clock import Clock, clock_from_environment
from appliance.config import Config, config_from_environment
from appliance.errors import StoreUnavailable
from appliance.sealing import Sealer, load_master_key
from appliance.store.database import Store, open_store, sqlite_path
from appliance.store.migrate import is_empty, migrate


@dataclass(frozen=True, slots=True)
class Opened:
    """The appliance as a shell command sees it."""

    config: Config
    clock: Clock
    store: Store

    def now(self) -> datetime:
        return self.clock.now()

    def sealer(self) -> Sealer:
        """Return the sealer; only for commands that need a secret."""
        return Sealer(load_master_key(self.config))


@contextmanager
def opened(*, create: bool = False) -> Iterator[Opened]:
    """Open the store that the environment names; ``create`` makes one where there is none.

    Raises: StoreUnavailable. Without ``create`` also for a SQLite store that is not there: a
    mistyped GATEPOST_DATA_DIR must not look like an empty appliance.
    """
    config = config_from_environment()
    path = sqlite_path(config.store_url)
    if not create and path is not None and not path.exists():
        raise StoreUnavailable(
            f"there is no store at {path}",
            "set GATEPOST_DATA_DIR, or make one with gatepost serve or gatepost migrate",
        )
    store = open_store(config.store_url)
    try:
        if create and is_empty(store):
            migrate(store)
        yield Opened(config, clock_from_environment(), store)
    finally:
        store.close()
