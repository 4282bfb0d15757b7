"""Sessions and statements for reading: one, live ones, search, filters, pages."""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest

from appliance.errors import Invalid, NotFound
from appliance.recording.masked import MaskedColumn, to_json
from appliance.store import sessions, statements
from appliance.store.database import Store
from appliance.store.record_models import SessionRow, StatementRow, TextRow
from tests.store.conftest import NOW

MINUTE = timedelta(minutes=1)
MASKED = (MaskedColumn("", ("public.people.ssn",), "ids", "hash"),)


def _session(number: int, **more: Any) -> None:
    values = {
        "id": f"s{number}",
        "identity": "ana@example.com",
        "identity_id": 1,
        "target": "shop",
        "database": "shop",
        "role": "app_ro",
        "source": "10.0.0.1",
        "application_name": "psql",
        "started_at": NOW + number * MINUTE,
        "journal": "j1",
    }
    SessionRow.insert(**(values | more)).execute()


def _statement(session: str, seq: int, text: str, **more: Any) -> None:
    text_id = sha256(text.encode()).hexdigest()
    TextRow.insert(
        id=text_id, text=text, fingerprint=f"f{len(text)}"
    ).on_conflict_ignore().execute()
    values = {
        "session_id": session,
        "seq": seq,
        "at": NOW + seq * MINUTE,
        "identity_id": 1,
        "text_id": text_id,
        "verdict": "allow",
        "state": "done",
        "effects": [["select", "public.orders"]],
        "journal": "j1",
        "position": seq,
    }
    StatementRow.insert(**(values | more)).execute()


@pytest.fixture
def recorded(store: Store) -> Store:
    with store.transaction():
        _session(1, ended_at=NOW + 2 * MINUTE, statements=3, refused=1)
        _session(2, identity="ci-nightly", identity_id=2, credential_id=7, source="10.0.0.2")
        _session(3, target="crm", application_name="100%_report", held=1)
        _statement("s1", 1, "SELECT * FROM orders", parameters=["5", None])
        _statement("s1", 2, "DROP TABLE orders", verdict="block", state="refused", rule="no-ddl")
        _statement("s1", 3, "SELECT * FROM orders", state="failed", sqlstate="57014")
        _statement(
            "s2", 1, "select 100 as percent", identity_id=2, effects=None, masked=to_json(MASKED)
        )
    return store


def _ids(store: Store, *words: str, **filters: Any) -> list[str]:
    return [session.id for session in sessions.find(store, *words, **filters).items]


def test_sessions_are_found_by_everything_a_list_offers(recorded: Store) -> None:
    assert _ids(recorded) == ["s3", "s2", "s1"]
    assert _ids(recorded, "NIGHTLY") == ["s2"]
    assert _ids(recorded, "0%_r") == ["s3"]
    assert _ids(recorded, " s1 ") == ["s1"]
    assert _ids(recorded, identity="ci-nightly") == ["s2"]
    assert _ids(recorded, target="crm") == ["s3"]
    assert _ids(recorded, credential_id=7) == ["s2"]
    assert _ids(recorded, source="10.0.0.2") == ["s2"]
    assert _ids(recorded, live=True) == ["s3", "s2"]
    assert _ids(recorded, live=False) == ["s1"]
    assert _ids(recorded, refused=True) == ["s3", "s1"]
    assert _ids(recorded, since=NOW + 2 * MINUTE, until=NOW + 3 * MINUTE) == ["s2"]
    assert _ids(recorded, sort="started_at", page=2, size=2) == ["s3"]
    assert [s.id for s in sessions.live(recorded)] == ["s3", "s2"]
    with pytest.raises(Invalid):
        sessions.find(recorded, sort="secret")


def test_a_session_is_read_whole(recorded: Store) -> None:
    found = sessions.get(recorded, "s2")
    assert (found.credential, found.is_live, found.parameters) == ("c-7", True, {})
    assert found.started_at == NOW + 2 * MINUTE
    with pytest.raises(NotFound, match="no session has the id"):
        sessions.get(recorded, "x" * 500)


def test_the_statements_of_a_session_come_in_order_and_can_be_continued(recorded: Store) -> None:
    found = statements.of_session(recorded, "s1")
    assert [(s.seq, s.text, s.state) for s in found] == [
        (1, "SELECT * FROM orders", "done"),
        (2, "DROP TABLE orders", "refused"),
        (3, "SELECT * FROM orders", "failed"),
    ]
    assert found[0].parameters == ["5", None]
    assert found[0].effects == (("select", "public.orders"),)
    assert (found[0].identity, found[0].target) == ("ana@example.com", "shop")
    assert [s.seq for s in statements.of_session(recorded, "s1", after=1, limit=1)] == [2]
    assert [s.masked for s in statements.of_session(recorded, "s2")] == [MASKED]


def test_statements_are_found_by_text_and_by_what_happened(recorded: Store) -> None:
    def keys(*words: str, **filters: Any) -> list[tuple[str, int]]:
        return [(s.session, s.seq) for s in statements.find(recorded, *words, **filters).items]

    assert keys("FROM ORDERS") == [("s1", 3), ("s1", 1)]
    assert keys("100%") == []
    assert keys(identity_id=2) == [("s2", 1)]
    assert keys(verdict="block") == keys(state="refused") == keys(rule="no-ddl") == [("s1", 2)]
    assert keys(session="s2") == [("s2", 1)]
    assert keys(target="crm") == []
    assert keys(fingerprint="f17") == [("s1", 2)]
    assert keys(object_name="public.orders") == [("s1", 3), ("s1", 2), ("s1", 1)]
    assert keys(object_name="public.order") == []
    assert keys(masked_column="public.people.ssn") == [("s2", 1)]
    assert keys(masked_column="public.people.ss") == []
    assert keys(since=NOW + 2 * MINUTE, until=NOW + 3 * MINUTE) == [("s1", 2)]
    page = statements.find(recorded, page=2, size=3)
    assert (len(page.items), page.total) == (1, 4)


def test_a_statement_whose_text_or_session_is_not_indexed_yet_is_still_listed(
    recorded: Store,
) -> None:
    with recorded.transaction():
        _statement("s9", 1, "SELECT 9", at=NOW + 9 * MINUTE)
        TextRow.delete().where(TextRow.text == "SELECT 9").execute()
    found = statements.find(recorded).items[0]
    assert (found.session, found.text, found.identity) == ("s9", "", "")
