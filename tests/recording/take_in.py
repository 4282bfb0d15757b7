"""A process that indexes: ``python -m tests.recording.take_in STORE DIRECTORY BATCH MODE``.

MODE: "once" until nothing is left; "forever"; "locked" forever, as the one indexer of the place.
It prints a line after its first step.
"""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from pathlib import Path

from appliance.clock import SystemClock
from appliance.recording.catch_up import indexing_alone
from appliance.recording.indexer import Indexer
from appliance.recording.signing import Signer
from appliance.store.database import open_store


def main() -> None:
    url, directory, batch, mode = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    signer = Signer.from_master_key(b"m" * 32)
    indexer = Indexer(open_store(url), directory, SystemClock(), signer, batch=batch)
    with ExitStack() as stack:
        if mode == "locked":
            stack.enter_context(indexing_alone(directory, None))
        taken = indexer.step()
        print("began", flush=True)
        while mode != "once" or taken:
            taken = indexer.step()
            if not taken:
                time.sleep(0.005)
        indexer.close()


if __name__ == "__main__":
    main()
