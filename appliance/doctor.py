"""What ``gatepost doctor`` looks at: each finding says what is, and what to do when it is wrong."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from appliance import runfile
from appliance.clock import Clock
from appliance.config import Config
from appliance.errors import GatepostError
from appliance.recording.catch_up import present_ends
from appliance.recording.segments import can_map, make_segment
from appliance.sealing import KEY_FILE, Sealer, load_master_key
from appliance.store import (
    housekeeping,
    migrate,
    outbox,
    record_checks,
    settings,
    snapshots,
    workers,
)
from appliance.store.database import Store, open_store
from appliance.store.fields import from_micros
from appliance.store.outbox import Channel

_LEAST_FREE = 512 << 20
_PROBE_BYTES = 16 << 20
_CLOCK_SLACK = timedelta(seconds=60)
_MANY_UNINDEXED = 50_000


@dataclass(frozen=True, slots=True)
class Finding:
    """``hint``: what to do; also given for something that is fine but worth a word."""

    name: str
    ok: bool
    detail: str
    hint: str = ""


def examine(config: Config, clock: Clock) -> list[Finding]:
    """Look at everything; what cannot be looked at is a finding too."""
    return list(_examine(config, clock))


def _examine(config: Config, clock: Clock) -> Iterator[Finding]:
    yield _data_dir(config.data_dir)
    if not config.data_dir.is_dir():
        return
    yield _space(config.data_dir)
    yield _journals(config.journal_dir)
    yield _master_key(config)
    yield _row_masking()
    store_finding, store = _store(config)
    yield store_finding
    if store is None:
        return
    try:
        yield _running(config, store, clock)
        yield _delay(config, store)
        yield _clock(store, clock)
        yield _jobs(store)
        yield from _channels(config, store, clock)
        yield from _targets(config, store, clock)
    except GatepostError as error:
        yield Finding("store", False, error.message, error.hint)
    finally:
        store.close()


def _data_dir(path: Path) -> Finding:
    name = "data directory"
    if not path.is_dir():
        return Finding(
            name, False, f"{path} is not there", "set GATEPOST_DATA_DIR or start gatepost serve"
        )
    mode = path.stat().st_mode
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        return Finding(
            name, False, f"others may look into {path} ({stat.filemode(mode)})", f"chmod 700 {path}"
        )
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        return Finding(name, False, f"{path} is not yours", "run as the user that runs serve")
    return Finding(name, True, str(path))


def _space(path: Path) -> Finding:
    free = shutil.disk_usage(path).free
    ok = free >= _LEAST_FREE
    hint = "" if ok else "make room: on a full disk every statement is refused"
    return Finding("disk space", ok, f"{free >> 20} MiB free", hint)


def _journals(directory: Path) -> Finding:
    """Make, sync and remove a segment, as a worker would."""
    name = "journals"
    probe = directory / f".probe-{secrets.token_hex(4)}"
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        segment = make_segment(probe, _PROBE_BYTES, mapped=can_map(directory))
        try:
            segment.write(0, b"probe")
            segment.sync()
        finally:
            segment.finish(0)
    except OSError as error:
        return Finding(
            name, False, f"{directory} cannot be written: {error.strerror}",
            "every statement is refused until it can: see to space and permissions",
        )  # fmt: skip
    finally:
        with suppress(OSError):
            probe.unlink()
    return Finding(name, True, "can be written and synced")


def _master_key(config: Config) -> Finding:
    name = "master key"
    is_named = config.master_key is not None or config.master_key_file is not None
    if not is_named and not (config.data_dir / KEY_FILE).exists():
        return Finding(
            name, False, "there is none", "gatepost serve makes one at its first start; or restore"
        )
    try:
        load_master_key(config)
    except GatepostError as error:
        return Finding(name, False, error.message, error.hint)
    return Finding(name, True, "there, and private")


def _row_masking() -> Finding:
    from appliance.masking.rows import IMPLEMENTATION  # the parser: only when asked for

    is_compiled = IMPLEMENTATION == "compiled"
    hint = "" if is_compiled else "slower with masks on many rows: install with a C compiler there"
    return Finding("row masking", True, IMPLEMENTATION, hint)


def _store(config: Config) -> tuple[Finding, Store | None]:
    name = "store"
    try:
        store = open_store(config.store_url)
        pending = [one.name for one in migrate.status(store) if one.applied_at is None]
    except GatepostError as error:
        return Finding(name, False, error.message, error.hint), None
    if pending:
        store.close()
        detail = f"{store.place} lacks {', '.join(pending)}"
        return Finding(name, False, detail, "run: gatepost migrate"), None
    return Finding(name, True, f"{store.place} answers, migrated"), store


def _running(config: Config, store: Store, clock: Clock) -> Finding:
    name = "workers"
    run = runfile.load(config.run_dir)
    live = workers.live(store, clock.now())
    if run is None or not run.is_alive:
        if live:
            return Finding(name, True, f"{len(live)} alive, of another machine")
        return Finding(name, False, "the appliance does not run", "start it: gatepost serve")
    version = snapshots.version(store)
    late = [worker.name for worker in live if worker.version < version]
    if not live:
        return Finding(
            name, False, "serve runs, but no worker has reported within 5 s", "see serve's log"
        )
    if late:
        return Finding(name, False, f"{', '.join(late)}: older rules", "see serve's log")
    sessions = sum(worker.sessions for worker in live)
    return Finding(name, True, f"{len(live)} alive, {sessions} sessions, version {version}")


def _delay(config: Config, store: Store) -> Finding:
    missing = sum(count for _, count in present_ends(store, config.journal_dir).values())
    ok = missing < _MANY_UNINDEXED
    hint = "" if ok else "is the indexer running? See serve's log; nothing is lost meanwhile"
    return Finding("indexing", ok, f"{missing} records are not in the store yet", hint)


def _clock(store: Store, clock: Clock) -> Finding:
    with store.reading():
        latest = record_checks.latest_moment(store)
    now = clock.now()
    if latest and from_micros(latest) > now + _CLOCK_SLACK:
        return Finding(
            "clock", False, f"it is {now:%Y-%m-%d %H:%M:%SZ}, but the record goes to"
            f" {from_micros(latest):%Y-%m-%d %H:%M:%SZ}",
            "set the machine's clock (NTP): expiry and hours depend on it",
        )  # fmt: skip
    return Finding("clock", True, f"{now:%Y-%m-%d %H:%M:%SZ}")


def _jobs(store: Store) -> Finding:
    run = housekeeping.last_run(store, "purge")
    if run is None:
        return Finding("timed jobs", True, "none has run yet")
    return Finding("timed jobs", True, f"last at {run.claimed_at:%Y-%m-%d %H:%M:%SZ}")


def _channels(config: Config, store: Store, clock: Clock) -> Iterator[Finding]:
    """Look at mail and webhook: can they be reached, and did they take what was sent."""
    from appliance.notify.trial import examine as examine_channels  # only when asked for

    found = settings.get(store)
    if found.smtp is None and found.webhook is None:
        yield Finding("notifications", True, "neither mail nor a webhook is set up", "see Settings")
        return
    if urlsplit(config.public_url).hostname in ("localhost", "127.0.0.1", "::1"):
        yield Finding(
            "links in messages",
            True,
            f"lead to {config.public_url}, which only this machine reaches",
            "set GATEPOST_PUBLIC_URL to what approvers' phones reach",
        )
    for tried in examine_channels(found, Sealer(load_master_key(config)), config):
        health = outbox.health(store, clock.now(), Channel(tried.channel))
        if tried.ok and not health.is_well:
            counts = f"waiting to be sent again: {health.retrying}, given up: {health.failed}"
            detail = f"{counts}; the latest: {health.problem}"
            yield Finding(tried.channel, False, detail, "try it: gatepost notify test")
        else:
            yield Finding(tried.channel, tried.ok, tried.detail, tried.hint)


def _targets(config: Config, store: Store, clock: Clock) -> Iterator[Finding]:
    from appliance.targets import check, open_secret  # drivers and parser: only when asked for

    targets = snapshots.load(store, clock.now()).targets.values()
    if not targets:
        yield Finding("targets", True, "none registered yet", "register one on the Targets page")
        return
    sealer = Sealer(load_master_key(config))
    for target in targets:
        name = f"target {target.name}"
        role = target.reader
        if role is None:
            yield Finding(name, False, "has no upstream role", "add one on its page")
            continue
        try:
            steps = check(target, open_secret(role, target.id, sealer))
        except GatepostError as error:
            yield Finding(name, False, error.message, error.hint)
            continue
        last = steps[-1]
        yield Finding(name, last.ok, f"{last.name}: {last.detail}", last.hint)
