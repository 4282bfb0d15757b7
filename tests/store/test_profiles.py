"""Statement profiles: what ran, what the owner signed, and when it is enforced."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from appliance.clock import ManualClock
from appliance.entities import IdentityStatus, ProfileMode
from appliance.errors import Conflict, Invalid, NotAllowed, NotFound
from appliance.store import audit, identities, profiles, snapshots
from appliance.store.actors import Actor
from appliance.store.database import Store
from appliance.store.identities import IdentitySpec
from tests.store.conftest import BY, NOW
from tests.store.profiled import BEGIN, COUNT, DROP, ONE_STORE, SUM, Recorder, recorder_in

ANA = Actor("ana@example.com", "browser", "127.0.0.1")
BO = Actor("bo@example.com", "browser", "127.0.0.1")
SHELL = Actor("ana@example.com", "shell", "root")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def ci(shop: Store, tmp_path: Path, clock: ManualClock) -> Iterator[Recorder]:
    """ci-nightly of ana, which counted twice and summed once."""
    recorder = recorder_in(shop, tmp_path, clock)
    recorder.ran(("select count(*) from orders where day = 1", COUNT), ("begin", "ff"))
    clock.advance(timedelta(days=2))
    recorder.ran(("select count(*) from orders where day = 2", COUNT))
    recorder.ran(("select sum(total) from orders", SUM))
    yield recorder
    recorder.journal.close()


def test_a_profile_shows_what_ran_the_most_used_first(ci: Recorder) -> None:
    profile = profiles.of(ci.store, "ci-nightly", ci.clock.now())
    assert (profile.mode, profile.owner, profile.unused) == (ProfileMode.OFF, ANA.name, ())
    counted, *rest = profile.entries
    assert (counted.fingerprint, counted.ran, counted.is_signed) == (COUNT, 2, False)
    assert counted.text == "select count(*) from orders where day = 2"
    assert counted.tables == ("public.orders",) and counted.classes == ("select",)
    assert counted.use is not None
    assert counted.use.first_at == NOW and counted.use.last_at == ci.clock.now()
    assert {entry.fingerprint for entry in rest} == {SUM, "ff"}
    with pytest.raises(NotFound):
        profiles.of(ci.store, "nobody", NOW)


@ONE_STORE
def test_what_only_begins_and_ends_transactions_needs_no_signature(ci: Recorder) -> None:
    ci.ran(("begin", "aa"), ("commit", "ab"), verdict=BEGIN)
    known = {entry.fingerprint for entry in profiles.of(ci.store, "ci-nightly", NOW).entries}
    assert not known & {"aa", "ab"}


@ONE_STORE
def test_only_the_days_that_are_asked_for_count(ci: Recorder) -> None:
    (counted, _) = profiles.of(ci.store, "ci-nightly", ci.clock.now(), days=1).entries
    assert counted.ran == 1
    later = ci.clock.now() + timedelta(days=40)
    assert profiles.of(ci.store, "ci-nightly", later).entries == ()


def test_the_owner_signs_and_each_signature_is_kept_with_its_use_and_chained(
    ci: Recorder,
) -> None:
    version = snapshots.version(ci.store)
    signed_at = ci.clock.now()
    assert profiles.sign(ci.store, ANA, signed_at, "ci-nightly", [COUNT, COUNT]) == (COUNT,)
    assert profiles.sign(ci.store, BY, signed_at, "ci-nightly", [COUNT]) == ()
    profile = profiles.of(ci.store, "ci-nightly", signed_at)
    assert profile.signed == {COUNT}
    assert (profile.signed_by, profile.signed_at) == (ANA.name, signed_at)
    signature = profile.entries[0].signature
    assert signature is not None
    assert (signature.by, signature.via, signature.count) == (ANA.name, "browser", 2)
    (event,) = audit.find(ci.store, action="profile.").items
    assert (event.action, event.subject, event.actor) == ("profile.sign", "ci-nightly", ANA.name)
    assert event.detail == {"fingerprints": [COUNT], "signed": 1}
    assert snapshots.version(ci.store) == version + 1


@ONE_STORE
def test_a_signature_from_the_shell_names_the_user_of_the_machine(ci: Recorder) -> None:
    profiles.sign(ci.store, SHELL, NOW, "ci-nightly", [SUM])
    entry = next(e for e in profiles.of(ci.store, "ci-nightly", NOW).entries if e.is_signed)
    assert entry.signature is not None and entry.signature.via == "shell (OS user root)"


def test_a_signed_statement_that_is_not_used_any_more_is_still_shown(ci: Recorder) -> None:
    profiles.sign(ci.store, ANA, NOW, "ci-nightly", [SUM])
    profile = profiles.of(ci.store, "ci-nightly", ci.clock.now() + timedelta(days=60))
    (unused,) = profile.unused
    assert (unused.fingerprint, unused.text) == (SUM, "select sum(total) from orders")
    assert (profile.entries, unused.ran, unused.use) == ((), 0, None)


@ONE_STORE
def test_only_owner_and_backup_owner_sign(ci: Recorder) -> None:
    with pytest.raises(NotAllowed, match=r"signed by its owner: ana@example\.com"):
        profiles.sign(ci.store, BO, NOW, "ci-nightly", [COUNT])
    with pytest.raises(NotAllowed):
        profiles.set_mode(ci.store, BO, NOW, "ci-nightly", ProfileMode.LEARN)
    with pytest.raises(NotAllowed):
        profiles.unsign(ci.store, BO, NOW, "ci-nightly", [COUNT])
    spec = IdentitySpec("ci-nightly", "ci", owner=ANA.name, backup_owner=BO.name)
    identities.update(ci.store, BY, NOW, "ci-nightly", spec)
    assert profiles.sign(ci.store, BO, NOW, "ci-nightly", [COUNT]) == (COUNT,)
    identities.set_status(ci.store, BY, NOW, BO.name, IdentityStatus.SUSPENDED)
    with pytest.raises(NotAllowed, match="suspended"):
        profiles.sign(ci.store, BO, NOW, "ci-nightly", [SUM])
    assert profiles.of(ci.store, "ci-nightly", ci.clock.now()).signed == {COUNT}


@ONE_STORE
def test_what_never_ran_cannot_be_signed_and_then_nothing_is(ci: Recorder) -> None:
    with pytest.raises(Invalid, match="never sent"):
        profiles.sign(ci.store, ANA, NOW, "ci-nightly", [COUNT, DROP])
    with pytest.raises(Invalid, match="at least one"):
        profiles.sign(ci.store, ANA, NOW, "ci-nightly", [])
    assert profiles.of(ci.store, "ci-nightly", NOW).signed == frozenset()
    assert audit.find(ci.store, action="profile.").items == ()


@ONE_STORE
def test_enforcing_needs_an_owner_and_something_signed(ci: Recorder) -> None:
    with pytest.raises(Conflict, match="nothing of ci-nightly is signed"):
        profiles.set_mode(ci.store, ANA, NOW, "ci-nightly", ProfileMode.ENFORCE)
    identities.create(ci.store, BY, NOW, IdentitySpec("orphan", "bot"))
    with pytest.raises(NotAllowed, match="no owner"):
        profiles.set_mode(ci.store, ANA, NOW, "orphan", ProfileMode.ENFORCE)
    by_file = Actor("ops", "file", "gatepost.yml")
    with pytest.raises(Conflict, match="no owner"):
        profiles.set_mode(ci.store, by_file, NOW, "orphan", ProfileMode.ENFORCE)
    assert profiles.set_mode(ci.store, by_file, NOW, "orphan", ProfileMode.LEARN)
    with pytest.raises(Invalid, match="only machines"):
        profiles.set_mode(ci.store, ANA, NOW, ANA.name, ProfileMode.LEARN)


def test_the_snapshot_has_the_signed_set_of_those_that_are_enforced(ci: Recorder) -> None:
    profiles.sign(ci.store, ANA, NOW, "ci-nightly", [COUNT, SUM])
    profiles.set_mode(ci.store, ANA, NOW, "ci-nightly", ProfileMode.LEARN)
    snapshot = snapshots.load(ci.store, NOW)
    assert snapshot.profiles == {}
    assert snapshot.identities["ci-nightly"].profile is ProfileMode.LEARN
    assert profiles.set_mode(ci.store, ANA, NOW, "ci-nightly", ProfileMode.ENFORCE)
    assert not profiles.set_mode(ci.store, ANA, NOW, "ci-nightly", ProfileMode.ENFORCE)
    later = snapshots.load(ci.store, NOW)
    assert later.version == snapshot.version + 1
    assert later.profiles == {"ci-nightly": {COUNT, SUM}}
    assert later.identities["ci-nightly"].profile is ProfileMode.ENFORCE
    assert later.identities[ANA.name].profile is ProfileMode.OFF


def test_the_last_signature_of_an_enforced_profile_stays(ci: Recorder) -> None:
    profiles.sign(ci.store, ANA, NOW, "ci-nightly", [COUNT, SUM])
    profiles.set_mode(ci.store, ANA, NOW, "ci-nightly", ProfileMode.ENFORCE)
    assert profiles.unsign(ci.store, ANA, NOW, "ci-nightly", [SUM, DROP]) == (SUM,)
    with pytest.raises(Conflict, match="nothing would be left"):
        profiles.unsign(ci.store, ANA, NOW, "ci-nightly", [COUNT])
    assert snapshots.load(ci.store, NOW).profiles == {"ci-nightly": {COUNT}}
    profiles.set_mode(ci.store, ANA, NOW, "ci-nightly", ProfileMode.OFF)
    assert profiles.unsign(ci.store, ANA, NOW, "ci-nightly", [COUNT]) == (COUNT,)
    assert profiles.unsign(ci.store, ANA, NOW, "ci-nightly", [COUNT]) == ()


@ONE_STORE
def test_a_word_that_a_newer_version_stored_is_the_strict_one(ci: Recorder) -> None:
    with ci.store.transaction():
        ci.store.database.execute_sql("UPDATE identity SET profile = 'audit' WHERE kind = 'ci'")
    snapshot = snapshots.load(ci.store, NOW)
    assert snapshot.identities["ci-nightly"].profile is ProfileMode.ENFORCE
