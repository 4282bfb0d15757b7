"""A target's columns as a tree, with masked samples on demand."""

from __future__ import annotations

import json

from appliance.masking.values import Method
from appliance.store import catalogs, grants, snapshots
from appliance.store.grants import GrantSpec
from tests.harness.postgres import Database
from tests.web.browsing import Browser, words
from tests.web.conftest import AT, BY, World
from tests.web.masked import CATALOG, SECRETS, add, with_shop

TREE = "/masking/targets/shop"


def test_the_tree_has_schemas_and_tables_and_asks_for_columns_when_they_are_opened(
    admin: Browser, world: World
) -> None:
    with_shop(world)
    add(world, "mails", "public.customers.email", method=Method.EMAIL, exempt=("group:pci",))
    html = admin.get(TREE).text
    text = words(html)
    assert "public 3 tables" in text and "sales 1 table" in text
    assert "customers 1 covered 2 look sensitive" in text and "customer_list view" in text
    assert "card_number" not in text, "columns come when a table is opened"
    assert 'hx-trigger="toggle from:closest details once"' in html
    part = admin.get(f"{TREE}/columns/16400", HX_Request="true")
    assert "<html" not in part.text
    text = words(part.text)
    assert "email text mails email, some exempt" in text
    assert "card_number text medium card number named like a card number Mask" in text
    assert "id int4 none Mask" in text
    alone = admin.get(f"{TREE}/columns/16400").text
    assert "<html" in alone and "public.customers" in words(alone)
    assert "column=public.customers.card_number" in alone and "name=card-numbers" in alone
    assert "sales.leads" not in words(alone)


def test_a_search_opens_what_it_finds(admin: Browser, world: World) -> None:
    with_shop(world)
    add(world, "mails", "public.customers.email")
    found = words(admin.get(f"{TREE}?q=card").text)
    assert "card_number text" in found and "orders" not in found and "birth_date" not in found
    table = words(admin.get(f"{TREE}?q=public.ord").text)
    assert "total numeric" in table and "customers" not in table
    covered = words(admin.get(f"{TREE}?kind=covered").text)
    assert "email text mails" in covered and "card_number" not in covered
    sensitive = words(admin.get(f"{TREE}?kind=uncovered&q=sales").text)
    assert "phone text" in sensitive and "a.b" not in sensitive
    assert "Nothing matches" in words(admin.get(f"{TREE}?q=zzz").text)
    assert admin.get(f"{TREE}?q=%27%22%3Cscript%3E").status_code == 200


def test_a_thousand_tables_are_still_a_page(admin: Browser, world: World) -> None:
    with_shop(world)
    many = [
        [20_000 + n, "wide", f"fact_{n}", "r", 0, [[i, f"c{i}", "text"] for i in range(1, 11)]]
        for n in range(1000)
    ]
    data = json.dumps({**CATALOG, "relations": [*CATALOG["relations"], *many]}).encode()  # type: ignore[misc]
    catalogs.put(world.store, AT, "shop", "shop", data)
    html = admin.get(TREE).text
    assert "1,000 tables" in words(html) and len(html) < 1_200_000
    assert "800 tables more: search for more letters." in words(admin.get(f"{TREE}?q=fact").text)


def test_a_masked_sample_shows_no_value(admin: Browser, world: World, database: Database) -> None:
    with_shop(world, database)
    add(world, "cards", "public.customers.card_number", method=Method.PARTIAL)
    add(world, "mails", "*.*.email", method=Method.EMAIL)
    data = catalogs.get(world.store, "shop", database.name)
    assert data is not None
    relations = json.loads(data.data)["relations"]
    oid = next(row[0] for row in relations if row[2] == "customers" and row[1] == "public")
    path = f"{TREE}/columns/{oid}"
    part = admin.submit(path, {"database": database.name}, HX_Request="true")
    text = words(part.text)
    assert "card_number text cards partial ************" in text
    assert "email text mails email ***@example.net" in text
    assert "Read the sample again" in text
    assert not any(secret in part.text for secret in SECRETS)
    assert "paid" not in text, "a column without a rule has no sample"
    whole = admin.submit(path, {"database": database.name})
    assert "<html" in whole.text and "***@example.net" in words(whole.text)


def test_a_sample_that_cannot_be_read_says_why(admin: Browser, world: World) -> None:
    with_shop(world)
    text = words(admin.submit(f"{TREE}/columns/16400", {}).text)
    assert "db.internal does not resolve" in text and "card_number" in text


def test_the_catalog_is_read_on_demand(admin: Browser, world: World, database: Database) -> None:
    with_shop(world, database)
    database.run("CREATE TABLE public.fresh (email text)")
    assert "fresh" not in words(admin.get(TREE).text)
    answer = admin.submit(TREE, {"database": database.name}, f"{TREE}/read")
    text = words(admin.get(answer.location).text)
    assert "The catalog was read." in text and "fresh 1 looks sensitive" in text


def test_another_database_of_the_target_has_a_tab(admin: Browser, world: World) -> None:
    with_shop(world)
    spec = GrantSpec("identity:ana@example.com", "shop", "app_ro", databases=("shop", "archive"))
    grants.create(world.store, BY, AT, spec)
    data = json.dumps({**CATALOG, "relations": CATALOG["relations"][2:3]}).encode()  # type: ignore[index]
    catalogs.put(world.store, AT, "shop", "archive", data)
    text = words(admin.get(f"{TREE}?database=archive").text)
    assert "Columns of shop/archive" in text and "sales 1 table" in text
    assert "customers" not in text
    assert "Columns of shop As the" in words(admin.get(f"{TREE}?database=nope").text)
    uncovered = words(admin.get("/masking/uncovered").text)
    assert "shop/archive" in uncovered
    assert snapshots.load(world.store, AT).masking == ()


def test_a_catalog_of_another_version_is_to_be_read_anew(admin: Browser, world: World) -> None:
    with_shop(world)
    catalogs.put(world.store, AT, "shop", "shop", b'{"relations": 7}')
    for path in (TREE, "/masking", "/masking/uncovered"):
        assert "was not read yet" in words(admin.get(path).text) or path == TREE
    assert "Read the catalog" in words(admin.get(TREE).text)


def test_what_is_not_there_is_said(admin: Browser, world: World) -> None:
    with_shop(world)
    for path in ("/masking/targets/nope", f"{TREE}/columns/99", "/masking/targets/nope/columns/1"):
        assert admin.get(path).status_code == 404
