"""Apply configuration text to a store the way the command does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import pytest

from appliance.declarative.apply import Applied, Options, apply
from appliance.declarative.reading import read_document
from appliance.sealing import Sealer
from appliance.store.actors import Actor
from appliance.store.database import Store

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
BY = Actor("ana", "file", "gatepost.yml")
SEALER = Sealer(bytes(range(32)))

Apply = Callable[..., Applied]


def apply_text(
    store: Store,
    text: str,
    environ: Mapping[str, str] | None = None,
    *,
    now: datetime = NOW,
    prune: bool = False,
    dry_run: bool = False,
) -> Applied:
    """Apply ``text`` as the file gatepost.yml."""
    document, problems = read_document(text.encode(), "gatepost.yml", with_problems=True)
    options = Options(environ or {}, prune=prune, dry_run=dry_run)
    return apply(store, BY, now, SEALER, document, problems, options)


@pytest.fixture
def sealer() -> Sealer:
    return SEALER
