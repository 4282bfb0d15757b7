"""``gatepost doctor`` says what is wrong and what to do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.clock import ManualClock, SystemClock
from appliance.config import Config, config_from_environment
from appliance.doctor import Finding, examine
from appliance.recording.indexer import Indexer
from appliance.recording.journal import Journal
from appliance.sealing import load_signing_key
from appliance.store import targets
from appliance.store.actors import system_actor
from appliance.store.database import open_store
from appliance.store.targets import TargetSpec
from tests.harness.store import migrated
from tests.recording.samples import session_of


@pytest.fixture
def config(tmp_path: Path) -> Config:
    found = config_from_environment({"GATEPOST_DATA_DIR": str(tmp_path / "data")})
    found.data_dir.mkdir(mode=0o700)
    migrated(found.store_url).close()
    load_signing_key(found)
    return found


def found(config: Config) -> dict[str, Finding]:
    return {one.name: one for one in examine(config, SystemClock())}


def test_a_fresh_appliance_lacks_only_its_processes(config: Config) -> None:
    wrong = [finding.name for finding in found(config).values() if not finding.ok]
    assert wrong == ["workers"]
    assert found(config)["workers"].hint == "start it: gatepost serve"


def test_it_says_which_path_masks_rows(config: Config) -> None:
    finding = found(config)["row masking"]
    assert finding.ok and finding.detail in ("compiled", "pure Python")
    assert bool(finding.hint) is (finding.detail == "pure Python")


def test_a_missing_data_directory_is_all_there_is_to_say(tmp_path: Path) -> None:
    missing = config_from_environment({"GATEPOST_DATA_DIR": str(tmp_path / "nowhere")})
    (finding,) = examine(missing, SystemClock())
    assert not finding.ok and "GATEPOST_DATA_DIR" in finding.hint
    assert not (tmp_path / "nowhere").exists()


def test_a_directory_others_may_read_is_wrong(config: Config) -> None:
    config.data_dir.chmod(0o755)
    finding = found(config)["data directory"]
    assert not finding.ok and finding.hint == f"chmod 700 {config.data_dir}"


def test_a_store_that_lacks_a_migration_says_so(config: Config) -> None:
    (config.data_dir / "gatepost.db").unlink()
    for rest in config.data_dir.glob("gatepost.db-*"):
        rest.unlink()
    finding = found(config)["store"]
    assert not finding.ok and "gatepost migrate" in finding.hint


def test_a_clock_that_was_set_back_is_found(config: Config) -> None:
    later = ManualClock(datetime.now(UTC) + timedelta(days=1))
    journal = Journal.create(config.journal_dir, "proxy-1", later, load_signing_key(config))
    session_of(journal, 1)
    journal.close()
    store = open_store(config.store_url)
    indexer = Indexer(store, config.journal_dir, later)
    while indexer.step():
        pass
    assert "NTP" in found(config)["clock"].hint


def test_a_target_is_tested_and_what_is_wrong_is_said(config: Config) -> None:
    store = open_store(config.store_url)
    spec = TargetSpec(name="shop", host="127.0.0.1", database="shop", port=5999)
    targets.create(store, system_actor("test"), datetime.now(UTC), spec)
    finding = found(config)["target shop"]
    assert not finding.ok and finding.detail == "has no upstream role"


def test_journals_that_cannot_be_written_are_found(config: Config) -> None:
    config.journal_dir.write_text("in the way")
    finding = found(config)["journals"]
    assert not finding.ok and "every statement is refused" in finding.hint
