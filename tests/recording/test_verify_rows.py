"""``audit verify`` finds whatever was touched in the store's record tables, on both stores."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from appliance.clock import ManualClock
from appliance.recording.journal import Journal
from appliance.recording.signing import Signer
from appliance.recording.verify import Report, verify
from appliance.store.database import Store
from tests.recording.samples import recorded_journal

NewJournal = Callable[..., Journal]


@pytest.fixture
def journal(
    new_journal: NewJournal, store: Store, directory: Path, clock: ManualClock, signer: Signer
) -> Journal:
    return recorded_journal(new_journal, store, directory, clock, signer)


@pytest.fixture
def look(store: Store, directory: Path, signer: Signer) -> Callable[..., Report]:
    def verified(head: str | None = None) -> Report:
        return verify(directory, store, head, public_key=signer.public_key)

    return verified


ROWS = {
    "a text changed": "UPDATE statement_text SET text = text || ' ' WHERE text = 'drop table t'",
    "a long text changed": "UPDATE statement_text SET text = 'x' || substr(text, 2)"
    " WHERE length(text) > 300000",
    "a statement's fingerprint changed": "UPDATE statement SET fingerprint = 'ff' WHERE seq = 4",
    "a fingerprint changed": "UPDATE statement_text SET fingerprint = 'ff'",
    "a text removed": "DELETE FROM statement_text WHERE text = 'drop table t'",
    "a text added": "INSERT INTO statement_text (id, text, fingerprint)"
    " VALUES ('00', 'select 9', '')",
    "an outcome changed": "UPDATE statement SET rows = 2 WHERE seq = 3",
    "a refusal made a run": "UPDATE statement SET state = 'done' WHERE state = 'refused'",
    "a verdict changed": "UPDATE statement SET verdict = 'allow' WHERE verdict = 'hold'",
    "a parameter changed": "UPDATE statement SET parameters = '[\"7\"]' WHERE seq = 2",
    "a text swapped": "UPDATE statement SET text_id = (SELECT text_id FROM statement"
    " WHERE seq = 2 LIMIT 1) WHERE seq = 1",
    "two statements swapped": "UPDATE statement SET seq = CASE seq WHEN 1 THEN 1001"
    " ELSE 1002 END WHERE seq IN (1, 2)",
    "a statement removed": "DELETE FROM statement WHERE seq = 12",
    "a statement added": "INSERT INTO statement SELECT session_id, 999, at, identity_id, text_id,"
    " parameters, verdict, rule, reason, effects, state, tag, rows, duration_ms, sqlstate,"
    " bytes_out, masked, decision, approval_id, request_hash, durability, journal, position,"
    " outcome_position, fingerprint FROM statement WHERE seq = 4",
    "a statement of no session added": "INSERT INTO statement SELECT 'made up', seq, at,"
    " identity_id, text_id, parameters, verdict, rule, reason, effects, state, tag, rows,"
    " duration_ms, sqlstate, bytes_out, masked, decision, approval_id, request_hash, durability,"
    " journal, position, outcome_position, fingerprint FROM statement WHERE state = 'held'",
    "a session's identity changed": "UPDATE session SET identity = 'bo@example.com'",
    "a session's end changed": "UPDATE session SET end_reason = 'fine'",
    "a session's count changed": "UPDATE session SET statements = statements + 1",
    "a session removed": "DELETE FROM session WHERE refused = 1",
    "an event changed": "UPDATE record_event SET source = '10.0.0.8' WHERE kind = 'login refused'",
    "an event removed": "DELETE FROM record_event WHERE kind = 'login refused'",
    "an event added": "INSERT INTO record_event (kind, at, actor, subject, source, session_id,"
    " detail, journal, position) SELECT kind, at, 'ana', subject, source, session_id, detail,"
    " journal, position + 1 FROM record_event WHERE kind = 'login refused'",
    "an event of no journal added": "INSERT INTO record_event (kind, at, actor, subject, source,"
    " session_id, detail, journal, position) VALUES ('x', 1, '', '', '', '', '{}', 'none', 1)",
    "an audit event changed": "UPDATE audit_event SET actor = 'bo' WHERE subject = 'thing 1'",
    "an audit event removed": "DELETE FROM audit_event WHERE subject = 'thing 1'",
    "an audit event added": "INSERT INTO audit_event (at, actor, via, source, action, subject,"
    " detail, journaled) SELECT at, 'eve', via, source, action, subject, detail, journaled"
    " FROM audit_event WHERE subject = 'thing 1'",
    "a journal's chain changed": f"UPDATE journal SET last_hash = '{'ab' * 32}'",
    "a journal's count changed": "UPDATE journal SET records = records - 1",
    "a journal reopened": "UPDATE journal SET closed_at = NULL",
    "a journal's row removed": "DELETE FROM journal WHERE writer = 'proxy-1'",
    "a signing key changed": "UPDATE signing_key SET public_key = 'ab'",
}


class _Undo(Exception):
    """Ends a transaction without keeping it."""


def test_a_touched_row_is_found(
    journal: Journal, store: Store, look: Callable[..., Report], subtests: pytest.Subtests
) -> None:
    for name, sql in ROWS.items():
        with subtests.test(name):
            with suppress(_Undo), store.transaction():
                cursor = store.database.execute_sql(sql)
                assert cursor.rowcount > 0
                report = look()  # in the same transaction
                raise _Undo
            assert not report.is_whole
    assert look().is_whole


def test_statements_of_before_there_were_profiles_are_whole_without_a_fingerprint(
    journal: Journal, store: Store, look: Callable[..., Report]
) -> None:
    with store.transaction():
        store.database.execute_sql("UPDATE statement SET fingerprint = NULL WHERE seq < 4")
    assert look().is_whole
