"""Fixtures for every test; what they are made of is in tests/harness."""

from __future__ import annotations

from importlib.util import find_spec

pytest_plugins = ["tests.harness.postgres", "tests.harness.tls_postgres"]
if find_spec("appliance.store.migrate") and find_spec("appliance.store.database"):
    pytest_plugins.append("tests.harness.store")
