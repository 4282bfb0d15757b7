"""Why a recorded statement was decided as it was: the record's word, and the rules of now."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from appliance.entities import PermissionRole, PolicyRule
from appliance.store import catalogs, rules
from tests.web.browsing import Browser, words
from tests.web.conftest import AT, BY, World
from tests.web.filled import fill
from tests.web.recorded import Ran, Recorded, record
from tests.web.test_dry_runs import CATALOG
from web.services import OFF_LOOP


def recorded(world: World, *ran: Ran, identity: str = "ci-nightly") -> str:
    """Return the address of a session in which these statements were sent."""
    session = Recorded(identity, AT, ran, kind="ci")
    return f"/sessions/{record(world.store, session)}"


def test_the_record_and_the_rules_of_now_are_told_apart(admin: Browser, world: World) -> None:
    fill(world)
    catalogs.put(world.store, AT, "shop", "shop", json.dumps(CATALOG).encode())
    rules.create(world.store, BY, AT, PolicyRule("no-deletes", "block", commands=("delete",)))
    gone = Ran("drop table orders", "block", rule="no-ddl")
    page = recorded(world, Ran("with d as (delete from orders returning *) select * from d"), gone)
    shown = admin.get(f"{page}/statements/1")
    assert "Decided as it came by no rule: default action : allow" in words(shown.text)
    assert f'hx-get="{page}/statements/1/why"' in shown.text
    text = words(admin.get(f"{page}/statements/1/why").text)
    assert "By the rules of now: would be refused no-deletes" in text
    assert "delete public.orders block no-deletes" in text
    assert "select public.orders allow no rule: default action" in text
    text = words(admin.get(f"{page}/statements/2/why").text)
    assert "By the rules of now: would run" in text


def test_what_cannot_be_judged_now_says_so(admin: Browser, world: World) -> None:
    fill(world)
    page = recorded(world, Ran("select 1"), identity="gone@example.com")
    text = words(admin.get(f"{page}/statements/1/why").text)
    assert "It cannot be judged now: There is no identity gone@example.com" in text
    assert admin.get(f"{page}/statements/9/why").status_code == 404


def test_ones_own_sessions_tell_what_was_recorded_and_nothing_of_other_rules(
    world: World,
) -> None:
    fill(world)
    world.person("uma@example.com", PermissionRole.USER)
    session = Recorded("uma@example.com", AT, (Ran("drop table t", "block", rule="no-ddl"),))
    page = f"/me/sessions/{record(world.store, session)}"
    uma = world.signed_in("uma@example.com")
    text = uma.get(f"{page}/statements/1").text
    assert "Decided as it came by no-ddl : block" in words(text) and "/why" not in text
    assert uma.get(f"{page}/statements/1/why").status_code == 404


def test_judging_needs_no_request_where_it_is_done(admin: Browser, world: World) -> None:
    """In service it is done in a thread that knows nothing of the request."""
    fill(world)
    page = recorded(world, Ran("delete from orders"))
    with ThreadPoolExecutor(1) as pool:

        def aside(work: Callable[[], Any]) -> Any:
            return pool.submit(work).result(30)

        world.app.extensions[OFF_LOOP] = aside
        assert "By the rules of now" in words(admin.get(f"{page}/statements/1/why").text)
        rules.create(world.store, BY, AT, PolicyRule("r", "block", commands=("delete",)))
        text = words(admin.get("/policies/dry-run?rule=r&ask=1").text)
        assert "statement" in text and "last 30 days" in text
