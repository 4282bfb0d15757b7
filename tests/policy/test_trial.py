"""The try box: effects, verdict and reason, without running anything."""

from __future__ import annotations

import pytest

from appliance.errors import Invalid
from appliance.policy.trial import imagine, try_statement
from appliance.sql.catalog import Catalog
from appliance.sql.parser import Parser
from tests.policy.world import grant, machine, rule, snapshot

EMPTY = Catalog.from_json(b'{"version": 180000, "schemas": ["public"]}')
GRANTS = (grant("kind:ci", role="app_ro"), grant("identity:ci-nightly", role="app_rw"))
WORLD = snapshot(
    (machine(),),
    GRANTS,
    (rule("no-ddl", "block", commands=("ddl",)), rule("careful", "approve", commands=("do",))),
)


def test_the_first_grant_gives_the_role_and_all_of_them_may_be_set() -> None:
    session = imagine(WORLD, "ci-nightly", "shop")
    assert (session.role, session.database) == ("app_ro", "shop")
    for role, allowed in (("app_rw", True), ("postgres", False)):
        trial = try_statement(WORLD, session, f"SET ROLE {role}", EMPTY, Parser())
        assert trial.verdict.is_allow is allowed


def test_access_for_a_time_counts_only_where_its_role_is_asked_for() -> None:
    boxed = grant("identity:ci-nightly", role="app_rw", is_time_boxed=True)
    world = snapshot((machine(),), (boxed, grant("kind:ci", role="app_ro")))
    session = imagine(world, "ci-nightly", "shop")
    assert (session.role, {one.role for one in session.grants}) == ("app_ro", {"app_ro"})
    assert not try_statement(world, session, "SET ROLE app_rw", EMPTY, Parser()).verdict.is_allow
    assert boxed in imagine(world, "ci-nightly", "shop", role="app_rw").grants


def test_a_trial_shows_each_effect_once_with_its_rule() -> None:
    session = imagine(WORLD, "ci-nightly", "shop", role="app_rw")
    trial = try_statement(
        WORLD, session, "CREATE TABLE t (a int); SELECT 1; SELECT 2", EMPTY, Parser()
    )
    assert [(one.cls, one.object, one.action, one.rule) for one in trial.effects] == [
        ("ddl", "public.t", "block", "no-ddl"),
        ("select", "", "allow", "default"),
    ]
    assert trial.message.startswith('gatepost: blocked by rule "no-ddl"')
    assert trial.hint
    assert trial.masks == ()


def test_a_trial_says_what_it_could_not_know() -> None:
    session = imagine(WORLD, "ci-nightly", "shop")
    for text in ("DO $$ BEGIN EXECUTE x; END $$", "SELEC 1", "SELECT '\\'"):
        trial = try_statement(WORLD, session, text, EMPTY, Parser())
        assert trial.unknown
        assert not trial.verdict.is_allow


def test_an_allowed_statement_has_no_message() -> None:
    session = imagine(WORLD, "ci-nightly", "shop")
    trial = try_statement(WORLD, session, "SELECT 1", EMPTY, Parser())
    assert (trial.verdict.is_allow, trial.message, trial.hint) == (True, "", "")


@pytest.mark.parametrize(
    ("identity", "target", "role", "field", "says"),
    [
        ("nobody", "shop", None, "identity", "no identity nobody"),
        ("ci-nightly", "gone", None, "target", "no target gone"),
        ("ci-nightly", "shop", "gone", "role", "no upstream role gone"),
        ("ci-nightly", "crm", None, "role", "has no grant on crm"),
    ],
)
def test_a_wrong_name_says_what_there_is(
    identity: str, target: str, role: str | None, field: str, says: str
) -> None:
    with pytest.raises(Invalid) as raised:
        imagine(WORLD, identity, target, role)
    assert raised.value.field == field
    assert says in raised.value.message
    assert raised.value.hint
