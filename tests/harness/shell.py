"""``gatepost`` in this process: what the console script runs, without a second for each start."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import BytesIO, StringIO, TextIOWrapper
from unittest.mock import patch

import pytest

from appliance.__main__ import main


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def gatepost(environ: Mapping[str, str], *words: str, text: str = "") -> Done:
    """Run the console script's own entry with this environment, ``text`` on standard input."""
    raw = BytesIO()
    out = TextIOWrapper(raw, "utf-8", write_through=True)
    err = StringIO()
    with (
        patch.dict(os.environ, environ, clear=True),
        patch.object(sys, "argv", ["gatepost", *words]),
        patch.object(sys, "stdin", StringIO(text)),
        redirect_stdout(out),
        redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    assert isinstance(ended.value.code, int)
    return Done(ended.value.code, raw.getvalue().decode(), err.getvalue())
