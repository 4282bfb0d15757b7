"""Rows that a plan rewrites: run by run, never in part, never more than a session may hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.recording.masked import MaskedColumn, from_json
from proxy.results import RowTooLargeError
from proxy.wire import backend, codes
from tests.proxy.playbook import IDLE, Play, done, query

_SSN = MaskedColumn("ssn", ("public.people.ssn",), "ids", "redact")


class _Stars:
    """A plan and its planner: every value becomes a star."""

    masked = (_SSN,)

    def plan(self, _item: object, _message: object) -> _Stars:
        return self

    def description(self, message: bytes) -> bytes:
        return message

    def rows(self, view: memoryview, pos: int, size: int) -> tuple[bytes, int]:
        made = b""
        while size - pos >= 5 and view[pos] == codes.DATA_ROW:
            end = pos + 1 + int.from_bytes(view[pos + 1 : pos + 5], "big")
            if end > size:
                break
            made, pos = made + backend.DataRow((b"*",)).encode(), end
        return made, pos

    def end(self) -> bytes:
        return b""


_SECRET = backend.DataRow((b"secret",))
_STAR = backend.DataRow((b"*",))


def test_rows_follow_the_plan_of_their_description(tmp_path: Path) -> None:
    play = Play(tmp_path, planner=_Stars())
    described = backend.RowDescription((backend.FieldDescription(b"ssn", 0, 0, 25, -1, -1, 0),))
    play.client(query("select 1"))
    play.target(described, _SECRET, _SECRET, _SECRET.encode()[:7])
    assert play.received() == [described, _STAR, _STAR]
    play.target(_SECRET.encode()[7:], done("SELECT 3"), IDLE)
    assert play.received() == [_STAR, done("SELECT 3"), IDLE]
    (outcome,) = (body for body in play.bodies() if body.get("masked"))
    assert from_json(outcome["masked"]) == (_SSN,)


def test_a_row_too_large_to_be_held_ends_the_session_instead_of_passing(tmp_path: Path) -> None:
    play = Play(tmp_path, planner=_Stars())
    described = backend.RowDescription((backend.FieldDescription(b"ssn", 0, 0, 25, -1, -1, 0),))
    play.client(query("select 1")).target(described)
    with pytest.raises(RowTooLargeError):
        play.target(b"D" + (65 << 20).to_bytes(4, "big") + b"secret")
    assert play.received() == [described]
