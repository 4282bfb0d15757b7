"""A session played again in a real Chromium; a live one that grows; my pages for axe."""

from __future__ import annotations

from datetime import datetime, timedelta

from playwright.sync_api import Browser, Page, expect

from appliance.clock import SystemClock
from appliance.entities import PermissionRole, PolicyRule
from appliance.recording.masked import MaskedColumn, to_json
from appliance.store import rules, targets
from appliance.store.record_models import SessionRow, StatementRow
from appliance.store.targets import TargetSpec
from tests.browser.conftest import BY, Served
from tests.browser.signing_in import sign_in
from tests.browser.test_accessible import check_page
from tests.web.recorded import Ran, Recorded, record
from web.replays import CHAPTER

RAN = (
    Ran("begin", tag="BEGIN"),
    Ran("select a, b from t where c = 1"),
    Ran("select 1/0", state="failed", tag=""),
    Ran("drop table orders", "block", rule="no-ddl"),
    Ran("commit", tag="COMMIT"),
)
# remembers which statements lit up, in order: looking from outside may miss one
WATCH = """() => {
  window.lit = [];
  const note = (changes) => changes.forEach(({target}) => {
    if (target.classList.contains("current") && window.lit.at(-1) !== target.id)
      window.lit.push(target.id);
  });
  const list = document.getElementById("statements");
  new MutationObserver(note).observe(list, {attributeFilter: ["class"], subtree: true});
}"""


def now() -> datetime:
    return SystemClock().now()


def one(served: Served, *ran: Ran, length: timedelta | None = timedelta(seconds=6)) -> str:
    started = now() - timedelta(minutes=5)
    return record(served.store, Recorded("ci-nightly", started, ran or RAN, length, kind="ci"))


def test_a_session_plays_pauses_and_jumps(desktop: Page, served: Served) -> None:
    page = desktop
    sign_in(page, served, PermissionRole.AUDITOR)
    page.goto(f"/sessions/{one(served)}")
    expect(page.locator("[data-clock]")).to_have_text("0:00 / 0:06")
    page.evaluate(WATCH)
    page.get_by_label("Speed").select_option("5")
    page.get_by_role("button", name="Play").click()
    expect(page.locator("#s5")).to_have_class("statement ran current")
    lit = page.evaluate("window.lit")
    assert lit == sorted(lit) and lit[-1] == "s5" and len(lit) > 2, lit
    expect(page.get_by_role("button", name="Play")).to_be_visible()  # it stopped at the end
    expect(page.locator("[data-clock]")).to_have_text("0:06 / 0:06")

    page.get_by_role("slider", name="Place in the replay").focus()
    page.keyboard.press("Home")
    expect(page.locator("[data-clock]")).to_have_text("0:00 / 0:06")
    page.get_by_role("link", name="Next error").click()
    expect(page.locator("#s3")).to_have_class("statement failed current")
    assert page.url.endswith("#s3")
    page.get_by_role("link", name="Next refusal").click()
    expect(page.locator("#s4")).to_have_class("statement refused current")
    expect(page.locator("#s4 .opened .facts")).to_contain_text("Record")


def test_a_link_opens_its_statement_highlighted(desktop: Page, served: Served) -> None:
    page = desktop
    sign_in(page, served, PermissionRole.AUDITOR)
    session = one(served)
    page.goto(f"/sessions/{session}#s2")
    expect(page.locator("#s2 .kw").first).to_have_text("SELECT")
    expect(page.locator("#s2 .opened")).to_contain_text("As it was sent")


def test_locks_say_what_was_masked_and_the_next_one_is_found(desktop: Page, served: Served) -> None:
    page = desktop
    sign_in(page, served, PermissionRole.AUDITOR)
    session = one(served)
    card = MaskedColumn("card", ("public.t.card_number",), "cards", "partial")
    with served.store.transaction():
        StatementRow.update(masked=to_json((card,))).where(
            (StatementRow.session_id == session) & (StatementRow.seq == 2)
        ).execute()
    page.goto(f"/sessions/{session}")
    expect(page.get_by_role("img", name="Masked: card")).to_be_visible()
    page.get_by_role("link", name="Next masked").click()
    expect(page.locator("#s2")).to_have_class("statement ran current")
    expect(page.locator("#s2 dd.masked")).to_contain_text("public.t.card_number by cards, partial")
    assert not check_page(page, f"/sessions/{session}?s=2#s2")


def test_a_link_to_a_later_part_finds_it(desktop: Page, served: Served) -> None:
    page = desktop
    sign_in(page, served, PermissionRole.AUDITOR)
    ran = [Ran(f"select {n}") for n in range(1, CHAPTER + 6)]
    session = one(served, *ran, length=timedelta(minutes=4))
    page.goto(f"/sessions/{session}#s{CHAPTER + 3}")
    expect(page.locator(f"#s{CHAPTER + 3} .opened")).to_contain_text(f"{CHAPTER + 3}")
    assert f"s={CHAPTER + 3}" in page.url


def test_the_page_of_a_live_session_grows_and_an_open_statement_stays_open(
    desktop: Page, served: Served
) -> None:
    page = desktop
    sign_in(page, served, PermissionRole.ADMIN)
    session = one(served, Ran("select 1"), Ran("vacuum", state="sent", tag=""), length=None)
    page.goto(f"/sessions/{session}")
    page.locator("#s1 summary").click()
    expect(page.locator("#s1 .facts")).to_be_visible()
    expect(page.locator("#s2")).to_contain_text("unknown")
    with served.store.transaction():
        mine = StatementRow.session_id == session
        row = StatementRow.get(mine & (StatementRow.seq == 1))
        StatementRow.update(state="done", tag="VACUUM").where(
            mine & (StatementRow.seq == 2)
        ).execute()
        StatementRow.insert(**{**row.__data__, "seq": 3, "at": now()}).execute()
        SessionRow.update(statements=3).where(SessionRow.id == session).execute()
    expect(page.locator("#s3")).to_be_visible()
    expect(page.locator("#s2")).to_contain_text("VACUUM")
    expect(page.locator("#figures")).to_contain_text("3")
    expect(page.locator("#s1 .facts")).to_be_visible()
    assert page.locator("#s3").count() == 1
    with served.store.transaction():
        SessionRow.update(ended_at=now(), end_reason="client left").where(
            SessionRow.id == session
        ).execute()
    expect(page.locator("#tail")).to_contain_text("The session ended")


def test_the_live_list_shows_who_comes(desktop: Page, served: Served) -> None:
    sign_in(desktop, served, PermissionRole.AUDITOR)
    desktop.goto("/sessions")
    expect(desktop.get_by_text("Nobody is connected.")).to_be_visible()
    one(served, Ran("select 1"), length=None)
    expect(desktop.locator("#live")).to_contain_text("ci-nightly")


def test_slash_goes_to_the_search_over_everything(desktop: Page, served: Served) -> None:
    page = desktop
    sign_in(page, served, PermissionRole.ADMIN)
    one(served)
    page.goto("/sessions")
    page.keyboard.press("/")
    expect(page.get_by_label("Search everything")).to_be_focused()
    page.keyboard.type("orders")
    page.keyboard.press("Enter")
    expect(page.locator("mark")).to_have_text("orders")


def test_every_session_reads_without_a_script(chromium: Browser, served: Served) -> None:
    context = chromium.new_context(base_url=served.url, java_script_enabled=False)
    page = context.new_page()
    sign_in(page, served, PermissionRole.AUDITOR)
    page.goto(f"/sessions/{one(served)}")
    expect(page.get_by_role("button", name="Play")).to_be_hidden()
    page.locator("#s4 summary").click()
    expect(page.locator("#s4 pre")).to_have_text("drop table orders")
    page.get_by_role("link", name="Next error").click()
    expect(page.locator("#s3")).to_be_visible()
    page.locator("#s3 summary").click()
    page.get_by_role("link", name="All of statement 3").click()
    expect(page.get_by_role("heading", name="Statement 3")).to_be_visible()
    context.close()


def test_no_page_of_sessions_and_policies_has_a_serious_fault(still: Page, served: Served) -> None:
    page = still
    sign_in(page, served, PermissionRole.ADMIN)
    ended, live = one(served), one(served, Ran("select 1"), length=None)
    long = one(served, *(Ran(f"select {n}") for n in range(CHAPTER + 5)))
    faults = check_page(page, "/policies")
    targets.create(served.store, BY, now(), TargetSpec("shop", "db.internal", "shop"))
    rules.create(served.store, BY, now(), PolicyRule("no-ddl", "block", commands=("ddl",)))
    for path in (
        "/policies",
        "/policies?removed=x&propose=shop",
        "/policies/rules/new",
        "/policies/rules/no-ddl/edit",
        "/policies/rules/no-ddl/remove",
        "/policies/try",
        "/sessions",
        "/sessions?q=orders",
        "/sessions?q=nothing-of-the-kind",
        f"/sessions/{ended}",
        f"/sessions/{ended}?s=4#s4",
        f"/sessions/{ended}/statements/4",
        f"/sessions/{live}",
        f"/sessions/{live}/kill",
        f"/sessions/{long}?chapter=2",
        "/me/sessions",
        "/search",
        "/search?q=orders",
    ):
        faults += check_page(page, path)
    assert not faults, "\n".join(faults)
