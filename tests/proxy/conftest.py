"""What the proxy's tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.proxy.playbook import close_journals


@pytest.fixture(autouse=True)
def journals_are_closed() -> Iterator[None]:
    """End the journals of a test's plays with it."""
    yield
    close_journals()
