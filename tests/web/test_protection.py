"""What protects every page: forms of our own, the Host header, response headers, escaping."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.entities import PermissionRole
from appliance.store import groups, identities, targets
from appliance.store.database import Store
from appliance.store.identities import IdentitySpec
from appliance.store.targets import TargetSpec
from tests.web.browsing import Browser, token_in
from tests.web.conftest import AT, BY, World
from tests.web.filled import SECRET, fill
from tests.web.recorded import Ran, Recorded, record

TEMPLATES = Path(__file__).parents[2] / "web" / "templates"


def test_a_form_without_our_token_changes_nothing(both: World) -> None:
    both.person("ada@example.com", PermissionRole.ADMIN)
    browser = both.signed_in("ada@example.com")
    for token in ({}, {"csrf": ""}, {"csrf": "made-up"}):
        answer = browser.post("/groups/new", {"name": "dba", **token})
        assert answer.status_code == 403
        assert "form is out of date" in answer.text
    assert groups.find(both.store).total == 0


def test_a_token_of_another_sign_in_is_refused(admin: Browser, world: World) -> None:
    other = world.signed_in("ada@example.com")
    token = token_in(other.get("/groups/new").text)
    assert admin.post("/groups/new", {"csrf": token, "name": "dba"}).status_code == 403


def test_the_token_may_come_as_a_header_as_htmx_sends_it(admin: Browser, world: World) -> None:
    token = token_in(admin.get("/groups/new").text)
    answer = admin.post("/groups/new", {"name": "dba"}, X_CSRF_Token=token)
    assert answer.status_code == 303
    assert groups.get(world.store, "dba").created_by == "ada@example.com"


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Sec_Fetch_Site": "cross-site"}]
)
def test_another_site_cannot_send_a_form_even_with_the_token(
    admin: Browser, world: World, headers: dict[str, str]
) -> None:
    token = token_in(admin.get("/groups/new").text)
    answer = admin.post("/groups/new", {"csrf": token, "name": "dba"}, **headers)
    assert answer.status_code == 403
    assert groups.find(world.store).total == 0


def test_a_change_is_never_made_by_following_a_link(admin: Browser, world: World) -> None:
    groups.create(world.store, BY, AT, name="dba")
    assert admin.get("/groups/dba/remove").status_code == 405
    assert groups.get(world.store, "dba")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8080", 303),
        ("127.0.0.1:8080", 303),
        ("[::1]:8080", 303),
        ("LOCALHOST:8080", 303),
        ("localhost", 400),
        ("localhost:8081", 400),
        ("evil.example", 400),
        ("evil.example:8080", 400),
        ("localhost.evil.example:8080", 400),
    ],
)
def test_only_our_own_address_is_answered(world: World, host: str, status: int) -> None:
    answer = world.app.test_client().get("/", headers={"Host": host})
    assert answer.status_code == status
    if status == 400:
        assert "http://localhost:8080" in answer.text


def test_a_public_address_is_answered_only_under_its_name(
    make_world: Callable[..., World], sqlite_store: Store
) -> None:
    world = make_world(sqlite_store, GATEPOST_PUBLIC_URL="https://gate.example.com")
    client = world.app.test_client()
    for host, status in (
        ("gate.example.com", 303),
        ("gate.example.com:443", 303),
        ("localhost:8080", 400),
        ("127.0.0.1:8080", 400),
    ):
        assert client.get("/", headers={"Host": host}).status_code == status, host
    for host in ("127.0.0.1:8080", "localhost:9999", "gate.example.com"):
        assert client.get("/healthz", headers={"Host": host}).status_code == 200, host
    assert client.get("/healthz", headers={"Host": "evil.example"}).status_code == 400


def test_forwarded_headers_count_only_from_listed_proxies(
    make_world: Callable[..., World], sqlite_store: Store
) -> None:
    world = make_world(
        sqlite_store,
        GATEPOST_PUBLIC_URL="https://gate.example.com",
        GATEPOST_TRUSTED_PROXIES="10.0.0.0/8",
    )
    client = world.app.test_client()
    forged = {"Host": "web:8080", "X-Forwarded-Host": "gate.example.com"}
    assert client.get("/", headers=forged).status_code == 400
    through = client.get("/", headers=forged, environ_base={"REMOTE_ADDR": "10.1.2.3"})
    assert through.status_code == 303


@pytest.mark.parametrize(
    ("peer", "header", "expected"),
    [
        ("10.1.2.3", "203.0.113.9", 403),
        ("10.1.2.3", "127.0.0.1, 203.0.113.9", 403),  # a client may write what it likes on the left
        ("10.1.2.3", "203.0.113.9, 10.4.4.4", 403),
        ("203.0.113.9", "127.0.0.1", 403),
        ("127.0.0.1", "", 200),
    ],
)
def test_the_metrics_are_for_this_machine_whatever_headers_say(
    make_world: Callable[..., World], sqlite_store: Store, peer: str, header: str, expected: int
) -> None:
    world = make_world(sqlite_store, GATEPOST_TRUSTED_PROXIES="10.0.0.0/8")
    headers = {"Host": "localhost:8080"} | ({"X-Forwarded-For": header} if header else {})
    answer = world.app.test_client().get(
        "/metrics", headers=headers, environ_base={"REMOTE_ADDR": peer}
    )
    assert answer.status_code == expected


def test_every_answer_carries_the_protecting_headers(admin: Browser) -> None:
    for path in ("/", "/sign-in", "/nothing-here", "/static/css/parts.css"):
        headers = admin.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "script-src 'self';" in policy and "style-src 'self';" in policy, path
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
    assert admin.get("/").headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", sorted(TEMPLATES.rglob("*.html")), ids=lambda p: p.name)
def test_a_template_holds_nothing_that_the_policy_forbids(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"\sstyle\s*=", text), "inline style"
    assert not re.search(r"\son[a-z]+\s*=", text), "inline script"
    assert not re.search(r"<script(?![^>]*\ssrc=)", text), "inline script"
    assert "hx-on" not in text and "js:" not in text
    assert "|safe" not in text.replace(" ", "")
    assert len(text.splitlines()) <= 400


NASTY = "<script>alert(1)</script>"


def test_what_others_wrote_is_never_run_by_the_browser(admin: Browser, world: World) -> None:
    store = world.store
    spec = IdentitySpec("ci-x", "ci", purpose=NASTY, environment='"><img src=x>')
    identities.create(store, BY, AT, spec)
    targets.create(store, BY, AT, TargetSpec("shop", "db", f'sh"op{NASTY}', environment=NASTY[:60]))
    groups.create(store, BY, AT, name="g", claim=NASTY)
    record(
        store,
        Recorded(
            f"x{NASTY}",
            AT,
            (Ran(f"select '{NASTY}'", rule=NASTY, tag=NASTY),),
            target=NASTY,
            role=NASTY,
            source=NASTY,
            application_name=NASTY,
        ),
    )
    record(store, Recorded("ci-x", AT, (), application_name=NASTY, source=NASTY, role=NASTY))
    pages = ("/", "/identities", "/identities/ci-x", "/targets", "/targets/shop", "/groups")
    for path in (*pages, "/groups/g", "/audit", "/targets/shop/connect", f"/audit?q={NASTY}"):
        text = admin.get(path).text
        assert "<script>alert" not in text, path
        assert "<img src=x" not in text, path
    assert "&lt;script&gt;alert(1)" in admin.get("/").text


def test_a_search_comes_back_escaped(admin: Browser) -> None:
    text = admin.get('/identities?q="><script>alert(1)</script>&sort=<b>&kind=<i>').text
    assert "<script>alert" not in text and "<b>" not in text and "<i>" not in text


def test_a_csv_holds_no_formula(admin: Browser, world: World) -> None:
    spec = IdentitySpec("ci-x", "ci", purpose="=HYPERLINK(1)")
    identities.create(world.store, BY, AT, spec)
    text = admin.get("/identities?format=csv").text
    assert ",'=HYPERLINK(1)," in text


def test_no_page_shows_an_upstream_secret_or_a_verifier(admin: Browser, world: World) -> None:
    fill(world)
    pages = ("/targets/shop", "/targets/shop/edit", "/targets/shop/roles", "/audit")
    for path in (*pages, "/identities/ci-nightly", "/credentials/1", "/audit?format=csv"):
        text = admin.get(path).text
        assert SECRET not in text and "SCRAM-SHA-256$" not in text, path


def test_a_fault_shows_a_number_and_no_trace(
    admin: Browser, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> str:
        raise RuntimeError("inner detail")

    monkeypatch.setitem(world.app.view_functions, "my_access.page", _public(broken))
    answer = admin.get("/me")
    assert answer.status_code == 500
    assert "It is in the appliance&#39;s log as" in answer.text
    assert "inner detail" not in answer.text and "Traceback" not in answer.text


def test_a_store_that_is_away_is_said_to_be_away(
    make_world: Callable[..., World], tmp_path: Path
) -> None:
    from appliance.store.database import open_store

    world = make_world(open_store(f"sqlite:///{tmp_path / 'empty.db'}"))  # never migrated
    browser = world.browser()
    assert browser.get("/sign-in").status_code == 200
    answer = browser.get("/setup/anything")
    assert answer.status_code == 503
    assert "The store does not answer" in answer.text
    assert browser.get("/healthz").status_code == 200
    assert browser.get("/readyz").status_code == 503


def _public(view: Callable[[], str]) -> Callable[[], str]:
    from web.access import public

    return public(view)
