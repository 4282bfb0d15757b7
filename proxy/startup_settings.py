"""The settings of a start-up packet as statements: where there is a profile, they belong to it."""

from __future__ import annotations

from collections.abc import Iterable

from appliance.policy.engine import Policy, changes_only_looks
from appliance.policy.verdict import Verdict
from appliance.recording.journal import Journal
from appliance.recording.recorder import SessionRecorder, SessionStart, State
from appliance.sql.resolve import setting_facts

AT_LOGIN = "refused at the login"


def record(recorder: SessionRecorder, settings: Iterable[tuple[str, str]], policy: Policy) -> None:
    """Record as SET what the target was started with, so that an owner can sign it.

    Not what only changes how values look: no profile asks for that. Raises JournalUnavailable.
    """
    for name, value in settings:
        facts = setting_facts(name, value)
        if changes_only_looks(facts):
            continue
        mark = facts.statements[0].fingerprint
        verdict = policy.decide(facts)
        seq = recorder.statement(text_of(name, value), (), verdict, State.SENT, fingerprint=mark)
        recorder.outcome(seq, State.DONE, tag="SET")


def record_refused(
    journal: Journal, start: SessionStart, name: str, value: str, verdict: Verdict
) -> None:
    """Record a setting that the profile refused, as a session of that alone: its owner is asked.

    Raises JournalUnavailable.
    """
    mark = setting_facts(name, value).statements[0].fingerprint
    recorder = SessionRecorder(journal, start)
    recorder.statement(text_of(name, value), (), verdict, State.REFUSED, fingerprint=mark)
    recorder.end(AT_LOGIN)


def text_of(name: str, value: str) -> str:
    """Return the SET that a start-up parameter is."""
    plain = name.lower().replace("_", "a").replace(".", "a").isalnum()
    shown = name if plain else '"' + name.replace('"', '""') + '"'
    quoted = value.replace("'", "''")
    return f"SET {shown} TO '{quoted}'"
