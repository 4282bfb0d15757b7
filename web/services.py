"""What every view needs, put together once per application."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar, cast

from flask import current_app

from appliance.clock import Clock
from appliance.config import Config
from appliance.sealing import Sealer
from appliance.store.database import Store

EXTENSION = "gatepost"
IS_SERVING = "gatepost_is_serving"
OFF_LOOP = "gatepost_off_loop"

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Services:
    """The appliance as views see it. ``is_serving`` turns False when open streams must end."""

    config: Config
    clock: Clock
    store: Store
    sealer: Sealer
    is_serving: Callable[[], bool]


def services() -> Services:
    """Return the services of the application that answers this request."""
    return cast(Services, current_app.extensions[EXTENSION])


def off_loop(work: Callable[[], Answer]) -> Answer:
    """Do what would keep the event loop busy (argon2) where it does not, and return its answer.

    gunicorn_conf.py puts gevent's thread pool here; without it the work is done in place.
    """
    run: Callable[[Callable[[], Answer]], Answer] = current_app.extensions[OFF_LOOP]
    return run(work)


def now() -> datetime:
    """Return the present moment by the application's clock."""
    return services().clock.now()
