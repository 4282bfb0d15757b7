"""Logs: one event a line, nothing forged, no local variables."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PROGRAM = """
import logging, sys, structlog
from appliance.logging import configure
log = structlog.get_logger("test")
configure(sys.argv[1], "proxy")
log.info("session began", session="s1", name="bo\\nlevel=error \\x1b[2J")
logging.getLogger("library").warning("careful: %s", "a\\nb")
logging.getLogger("library").info("chatter")
try:
    local = "s3cr3t"
    raise ValueError("wrong")
except ValueError:
    log.exception("a fault")
"""


def logged(form: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, form], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "" and "s3cr3t" not in done.stderr and "\x1b" not in done.stderr
    return done.stderr.splitlines()


def test_json_is_one_object_a_line() -> None:
    events = [json.loads(line) for line in logged("json")]
    assert [event["event"] for event in events] == ["session began", "careful: a\\nb", "a fault"]
    assert events[0]["session"] == "s1" and events[0]["name"] == "bo\\nlevel=error \\x1b[2J"
    assert all(event["process"] == "proxy" for event in events)
    assert [event["level"] for event in events] == ["info", "warning", "error"]


def test_text_is_one_event_a_line_but_for_tracebacks() -> None:
    lines = logged("text")
    assert "session began" in lines[0] and "session=s1" in lines[0]
    assert "careful: a\\nb" in lines[1]
    assert "a fault" in lines[2] and lines[-1] == "ValueError: wrong"
