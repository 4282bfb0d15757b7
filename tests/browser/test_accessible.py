"""No page has a serious fault that axe finds: on a desk, on a phone, light and dark."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Page

from appliance.clock import SystemClock
from appliance.config import config_from_environment
from appliance.entities import PermissionRole
from appliance.identity import credentials
from appliance.sealing import Sealer, load_master_key
from appliance.store import grants, groups, identities, sign_ins, targets
from appliance.store.grants import GrantSpec
from appliance.store.identities import IdentitySpec
from appliance.store.targets import TargetSpec
from tests.browser.conftest import BY, Served
from tests.web.recorded import Ran, Recorded, record

AXE = (Path(__file__).parent / "vendor" / "axe-4.14.1.min.js").read_text()
PAGES = (
    "/",
    "/targets",
    "/targets/new",
    "/targets/shop",
    "/targets/shop/connect",
    "/targets/shop/edit",
    "/targets/shop/roles",
    "/targets/shop/remove",
    "/identities",
    "/identities?q=nothing-of-the-kind",
    "/identities/new",
    "/identities/ci-nightly",
    "/identities/ci-nightly/edit",
    "/identities/ci-nightly/status/suspended",
    "/identities/ci-nightly/credentials/new",
    "/credentials/1",
    "/credentials/1/rotate",
    "/credentials/1/revoke",
    "/grants/new",
    "/grants/1/edit",
    "/grants/1/remove",
    "/groups",
    "/groups/new",
    "/groups/analysts",
    "/settings",
    "/settings/accounts",
    "/audit",
    "/me",
    "/nothing-here",
)


@dataclass(frozen=True, slots=True)
class Look:
    """A way to look at the pages."""

    name: str
    width: int
    height: int
    scheme: Literal["light", "dark"]


LOOKS = (
    Look("desk, light", 1280, 860, "light"),
    Look("desk, dark", 1280, 860, "dark"),
    Look("phone, light", 390, 844, "light"),
)


def fill(served: Served) -> str:
    """Add something of each kind, and return the token of an admin's sign-in."""
    store, now = served.store, SystemClock().now()
    config = config_from_environment({"GATEPOST_DATA_DIR": str(Path(store.path or "").parent)})
    sealer = Sealer(load_master_key(config))
    admin = frozenset({PermissionRole.ADMIN})
    spec = IdentitySpec("ada@example.com", "human")
    identities.create(store, BY, now, spec, permission_roles=admin)
    identities.create(store, BY, now, IdentitySpec("ci-nightly", "ci", purpose="nightly export"))
    groups.create(store, BY, now, name="analysts")
    groups.add(store, BY, now, "analysts", "ada@example.com")
    targets.create(store, BY, now, TargetSpec("shop", "db.internal", "shop"))
    targets.put_role(store, BY, now, "shop", "app_ro", sealer=sealer, secret="x")
    grants.create(store, BY, now, GrantSpec("identity:ci-nightly", "shop", "app_ro"))
    grants.create(store, BY, now, GrantSpec("group:analysts", "shop", "app_ro"))
    credentials.issue(store, BY, now, sealer, "ci-nightly", expires_at=now + timedelta(days=90))
    texts = (
        Ran("select 1"),
        Ran("drop table t", "block", rule="no-ddl"),
        Ran("delete from t", "hold", "held"),
        Ran("select 1/0", state="failed"),
    )
    record(store, Recorded("ci-nightly", now, texts, kind="ci", credential_id=1))
    return sign_ins.open_one(store, BY, now, "ada@example.com", address="", user_agent="")


def test_no_page_has_a_serious_fault_or_overflows(still: Page, served: Served) -> None:
    token = fill(served)
    faults = check_page(still, "/sign-in") + check_page(still, served.setup_path)
    still.context.add_cookies([{"name": "gatepost_sign_in", "value": token, "url": served.url}])
    for path in PAGES:
        faults += check_page(still, path)
    assert not faults, "\n".join(faults)


def check_page(page: Page, path: str) -> list[str]:
    """Return the serious faults of a page in every look, and whether it overflows its window."""
    answer = page.goto(path, wait_until="load")
    assert answer is not None
    assert answer.status == (404 if path == "/nothing-here" else 200), path
    page.evaluate(f"() => {{ {AXE} }}")
    return [fault for look in LOOKS for fault in _check_look(page, path, look)]


def _check_look(page: Page, path: str, look: Look) -> list[str]:
    page.set_viewport_size({"width": look.width, "height": look.height})
    page.emulate_media(color_scheme=look.scheme, reduced_motion="reduce")
    # what passes is only counted: without its details axe is much faster
    result: dict[str, Any] = page.evaluate("() => axe.run({resultTypes: ['violations']})")
    assert len(result["passes"]) > 5, "axe looked at nothing"
    where = f"{path} ({look.name})"
    faults = [
        f"{where}: {v['id']}: {v['help']}: {[n['html'][:140] for n in v['nodes'][:3]]}"
        for v in result["violations"]
        if v["impact"] in ("serious", "critical")
    ]
    root = "document.documentElement"
    if page.evaluate(f"{root}.scrollWidth > {root}.clientWidth"):
        faults.append(f"{where}: wider than the window")
    return faults
