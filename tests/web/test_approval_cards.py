"""What a card shows of a statement is what would run: names, roles, values, letters."""

from __future__ import annotations

import pytest

from appliance.hidden import foreign, is_hidden
from tests.web.asking import BO, cast, hold
from tests.web.browsing import words
from tests.web.conftest import AT, World


@pytest.fixture
def people(world: World) -> World:
    cast(world)
    return world


def card(world: World, text: str, **values: object) -> str:
    """Return the words of the queue with one request in it."""
    hold(world.store, AT, text, **values)
    return words(world.signed_in(BO).get("/approvals").text)


def test_names_are_told_as_they_were_looked_up(people: World) -> None:
    effects = (("delete", "aside.orders"), ("select", "aside.orders"), ("session", ""))
    text = card(people, "delete from orders", effects=effects)
    assert "Touches delete, select aside.orders Rows" in text


def test_a_name_with_a_letter_that_only_looks_like_another_is_told(people: World) -> None:
    text = card(people, "delete from \u043erders", effects=(("delete", "public.\u043erders"),))
    assert "public.\u043erders (with U+043E)" in text


def test_the_role_that_acts_is_told_where_it_is_another(people: World) -> None:
    assert "Acts as" not in card(people, "delete from orders")
    text = card(people, "delete from orders", acting_role="app_owner")
    assert "Acts as app_owner by SET ROLE, not as app_rw" in text


def test_what_was_prepared_is_shown_with_what_executes_it(people: World) -> None:
    text = card(people, "EXECUTE q", prepared=("PREPARE q AS DELETE FROM customers",))
    assert "was prepared before: PREPARE q AS DELETE FROM customers" in text
    assert "Approve" in text
    long = "PREPARE q AS DELETE FROM customers -- " + "x" * 9000
    assert "Read more of it before you decide" in card(people, "EXECUTE z", prepared=(long,))


def test_values_that_are_not_shown_are_told(people: World) -> None:
    text = card(people, "update users set owner = '***'", hides_values=True)
    assert "It runs with the value as it came: ask what it is." in text


def test_what_ran_before_is_not_denied_while_its_record_is_on_its_way(people: World) -> None:
    assert "not in the record yet: look again in a moment" in card(people, "delete from orders")
    assert "nothing: it is the first of its session" in card(people, "select 1", seqs=(1,))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"hex": "616e61", "oid": 25}, "'ana'"),
        ({"hex": "616e61", "oid": 0}, "\\x616e61 (binary, type 0), as text 'ana'"),
        ({"hex": "ff" * 400, "oid": 17}, "\\x" + "ff" * 395),
        ({"hex": "00000007", "oid": 23}, "7 (int4)"),
    ],
)
def test_binary_values_are_shown_whole_and_as_text(
    people: World, value: dict[str, object], shown: str
) -> None:
    assert shown in card(people, "delete from orders where id = $1", parameters=(value,))


def test_a_value_that_was_cut_is_not_decided_in_the_queue(people: World) -> None:
    value = {"hex": "ff" * 20, "oid": 17, "length": 70_000}
    text = card(people, "delete from orders where id = $1", parameters=(value,))
    assert "Not all of its parameters are shown." in text and "Approve" not in text


@pytest.mark.parametrize("character", "\u200b\u202e\u2028\u3164\u2800\ufe0f\u00ad\u00a0\x1b\x00")
def test_what_does_not_show_is_hidden(character: str) -> None:
    assert is_hidden(character)


@pytest.mark.parametrize("character", " aé中\u0301\u043e")
def test_what_shows_is_not(character: str) -> None:
    assert not is_hidden(character)


def test_only_mixed_names_are_foreign() -> None:
    assert foreign("\u043erders") == "U+043E"
    assert foreign("orders") == foreign("\u0437\u0430\u043a\u0430\u0437\u044b") == ""
