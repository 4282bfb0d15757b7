"""Back up a SQLite store with its journals into one file, and restore it. Never the master key."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata
from io import BytesIO
from pathlib import Path, PurePosixPath

from appliance.config import Config
from appliance.errors import Conflict, GatepostError, StoreUnavailable
from appliance.sealing import Sealer
from appliance.store import restored
from appliance.store.actors import Actor
from appliance.store.database import open_store, sqlite_path
from appliance.store.migrate import available, status

FORMAT = 1
_MANIFEST, _STORE, _JOURNAL = "manifest.json", "gatepost.db", "journal"
_PAGES = 2000  # copied at a time; writers get their turn in between
_ASIDE = ".before-restore"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says about itself."""

    format: int
    version: str
    made_at: str
    migrations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore found; ``opens``: this master key opens the secrets in it."""

    manifest: Manifest
    moved_aside: tuple[Path, ...]
    opens: bool


def backup(config: Config, now: datetime, file: Path, *, replace: bool = False) -> int:
    """Write the backup (mode 0600) and return its size; works while ``serve`` runs.

    The store first, then the journals: journals that are ahead are indexed after a restore, a
    store that is ahead of its journals would look as if records had been removed.
    Raises: Conflict if ``file`` is there and ``replace`` is False, GatepostError,
    StoreUnavailable; then ``file`` is as it was.
    """
    if file.exists() and not replace:
        raise Conflict(f"{file} is already there", "give another name, or --force to replace it")
    source = _path(config, "gatepost backup")
    if not source.exists():
        raise StoreUnavailable(f"there is no store at {source}", "set GATEPOST_DATA_DIR")
    store = open_store(config.store_url)
    try:
        migrations = tuple(m.name for m in status(store) if m.applied_at is not None)
    finally:
        store.close()
    manifest = {
        "format": FORMAT,
        "version": metadata.version("gatepost"),
        "made_at": now.isoformat(),
        "migrations": migrations,
    }
    part = file.with_name(f".{file.name}.part")
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with (
            os.fdopen(fd, "wb") as out,
            tarfile.open(fileobj=out, mode="w:gz", compresslevel=3) as tar,
            tempfile.TemporaryDirectory(dir=config.data_dir, prefix=".backup-") as place,
        ):
            _add_bytes(tar, _MANIFEST, json.dumps(manifest, indent=2).encode(), now)
            copy = Path(place) / _STORE
            copy.touch(mode=0o600)
            _copy_store(source, copy)
            tar.add(copy, _STORE)
            if config.journal_dir.is_dir():
                tar.add(config.journal_dir, _JOURNAL, filter=_plain)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
    return file.stat().st_size


def restore(
    config: Config, by: Actor, now: datetime, file: Path, *, replace: bool, sealer: Sealer
) -> Restored:
    """Put a backup into the data directory; the caller holds ``runfile.only_one``.

    Browser sign-ins and set-up links do not come back to life. What was there is moved aside.
    Raises: Conflict if there is a store and ``replace`` is False; GatepostError.
    """
    target = _path(config, "gatepost restore")
    old = [path for path in (target, config.journal_dir) if path.exists()]
    if target.exists() and not replace:
        raise Conflict(f"there is a store at {target}", "give --replace to move it aside")
    config.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=config.data_dir, prefix=".restore-") as place:
        manifest = _unpack(file, Path(place))
        _refuse_newer(manifest.migrations)
        copy = Path(place) / _STORE
        copy.chmod(0o600)
        store = open_store(f"sqlite:///{copy}")
        try:
            opens = restored.finish(store, by, now, sealer, manifest.made_at)
        finally:
            store.close()
        _checkpoint(copy)
        aside = tuple(_move_aside(path, now) for path in old)
        for tail in ("-wal", "-shm"):
            target.with_name(target.name + tail).unlink(missing_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        shutil.move(copy, target)
        if (Path(place) / _JOURNAL).is_dir():
            (Path(place) / _JOURNAL).chmod(0o700)
            shutil.move(Path(place) / _JOURNAL, config.journal_dir)
            for folder in (config.journal_dir, *config.journal_dir.iterdir()):
                if folder.is_dir():
                    folder.chmod(0o700)  # whatever the umask made of them
    return Restored(manifest, aside, opens)


def _path(config: Config, command: str) -> Path:
    path = sqlite_path(config.store_url)
    if path is None:
        raise GatepostError(
            f"{command} is for SQLite stores; this one is PostgreSQL",
            "use pg_dump and pg_restore, and copy DATA_DIR/journal of every appliance after it",
        )
    return path


def _copy_store(source: Path, copy: Path) -> None:
    """Copy a live database through SQLite's online backup: one moment, writers not stopped."""
    try:
        with (
            closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True, timeout=10)) as live,
            closing(sqlite3.connect(copy)) as out,
        ):
            live.backup(out, pages=_PAGES, sleep=0.01)
    except sqlite3.Error as error:
        raise StoreUnavailable(f"cannot read the store {source}: {error}") from None


def _add_bytes(tar: tarfile.TarFile, name: str, data: bytes, now: datetime) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = len(data), 0o600, int(now.timestamp())
    tar.addfile(info, BytesIO(data))


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return info if info.isfile() or info.isdir() else None


def _unpack(file: Path, place: Path) -> Manifest:
    try:
        with tarfile.open(file, "r:gz") as tar:
            for info in tar:
                top = PurePosixPath(info.name).parts[:1]
                if top in ((_MANIFEST,), (_STORE,), (_JOURNAL,)):
                    tar.extract(info, place, filter="data")
        found = json.loads((place / _MANIFEST).read_bytes())
        manifest = Manifest(
            int(found["format"]),
            str(found["version"]),
            str(found["made_at"]),
            tuple(found["migrations"]),
        )
    except (OSError, tarfile.TarError, EOFError, ValueError, KeyError, TypeError):
        raise GatepostError(f"{file} is no whole backup of Gatepost") from None
    if manifest.format != FORMAT or not (place / _STORE).is_file():
        raise GatepostError(f"{file} is a backup in a form that this version does not know")
    return manifest


def _refuse_newer(migrations: tuple[str, ...]) -> None:
    newer = [name for name in migrations if name not in available()]
    if newer:
        raise GatepostError(
            f"the backup was made by a newer Gatepost (it has {newer[-1]})",
            "restore it with that version",
        )


def _checkpoint(path: Path) -> None:
    """Bring the write-ahead log into the file, which is moved without it."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode=DELETE")


def _move_aside(path: Path, now: datetime) -> Path:
    aside = path.with_name(f"{path.name}{_ASIDE}-{now:%Y%m%d-%H%M%S}")
    path.rename(aside)
    return aside
