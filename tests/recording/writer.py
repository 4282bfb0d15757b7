"""A process that records as fast as it can and says what it has recorded, until it is killed.

``python -m tests.recording.writer DIRECTORY SEGMENT_BYTES MAPPED``: one line ``SESSION SEQ`` on
stdout after each statement() that returned.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from appliance.clock import SystemClock
from appliance.recording.journal import Journal
from appliance.recording.recorder import SessionRecorder, State
from appliance.recording.signing import Signer
from tests.recording.samples import ALLOWED, start


def main() -> None:
    directory, segment_bytes, mapped = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "mapped"
    signer = Signer.from_master_key(b"m" * 32)
    journal = Journal.create(
        directory, "proxy-1", SystemClock(), signer, segment_bytes=segment_bytes, mapped=mapped
    )
    recorders = [SessionRecorder(journal, start(journal)) for _ in range(3)]
    number = 0
    while True:
        recorder = recorders[number % 3]
        seq = recorder.statement(f"select {number}", ("p" * (number % 300),), ALLOWED, State.SENT)
        os.write(1, f"{recorder.session} {seq}\n".encode())
        recorder.outcome(seq, State.DONE, tag="SELECT 1", rows=1)
        number += 1


if __name__ == "__main__":
    main()
