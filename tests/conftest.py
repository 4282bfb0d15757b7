"""Fixtures for every test; what they are made of is in tests/harness."""

from __future__ import annotations

pytest_plugins = [
    "tests.harness.postgres",
    "tests.harness.tls_postgres",
    "tests.harness.store",
]
