"""An application on a real store, and browsers that are signed in as somebody."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from flask import Flask
from jinja2 import BytecodeCache, FileSystemBytecodeCache

from appliance.clock import ManualClock
from appliance.config import Config, config_from_environment
from appliance.entities import PermissionRole
from appliance.store import identities, sign_ins
from appliance.store.actors import Actor
from appliance.store.database import Store
from appliance.store.identities import IdentitySpec
from tests.web.browsing import Browser
from web.app import create_app

AT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
BY = Actor("setup@example.com", "shell")


@dataclass(frozen=True, slots=True)
class World:
    """One application with its store and clock."""

    app: Flask
    store: Store
    clock: ManualClock
    config: Config

    def browser(self) -> Browser:
        return Browser(self.app.test_client())

    def person(self, name: str, *roles: PermissionRole) -> None:
        """Add a human with permission roles."""
        spec = IdentitySpec(name, "human")
        identities.create(self.store, BY, AT, spec, permission_roles=frozenset(roles))

    def machine(self, name: str, owner: str | None = None) -> None:
        """Add a CI job."""
        identities.create(self.store, BY, AT, IdentitySpec(name, "ci", owner=owner))

    def signed_in(self, name: str) -> Browser:
        """Return a browser with a sign-in of somebody, made without a password."""
        browser = self.browser()
        token = sign_ins.open_one(
            self.store, BY, self.clock.now(), name, address="127.0.0.1", user_agent="test"
        )
        browser.client.set_cookie("gatepost_sign_in", token, domain="localhost")
        return browser


def make_config(folder: Path, **environ: str) -> Config:
    return config_from_environment({"GATEPOST_DATA_DIR": str(folder), **environ})


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> BytecodeCache:
    """The templates that one of the applications has compiled: that takes longer than a page."""
    return FileSystemBytecodeCache(str(tmp_path_factory.mktemp("templates")))


@pytest.fixture
def make_world(tmp_path: Path, compiled: BytecodeCache) -> Iterator[Callable[..., World]]:
    """Return a maker of applications on a store, with other settings where need be."""

    def make(store: Store, **environ: str) -> World:
        clock = ManualClock(AT)
        config = make_config(tmp_path / "data", **environ)
        app = create_app(config, clock, store)
        app.testing = False  # errors become pages, as in service
        app.jinja_env.bytecode_cache = compiled
        return World(app, store, clock, config)

    yield make


@pytest.fixture
def world(make_world: Callable[..., World], sqlite_store: Store) -> World:
    """An application on SQLite, for what does not depend on the kind of store."""
    return make_world(sqlite_store)


@pytest.fixture
def both(make_world: Callable[..., World], store: Store) -> World:
    """An application on SQLite, and once more on PostgreSQL."""
    return make_world(store)


@pytest.fixture
def admin(world: World) -> Browser:
    """A browser signed in as an admin."""
    world.person("ada@example.com", PermissionRole.ADMIN)
    return world.signed_in("ada@example.com")
