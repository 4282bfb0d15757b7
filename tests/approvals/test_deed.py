"""The hash that a yes is bound to: any other ingredient is another deed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.approvals.deed import _DEED, _hash, deed_of
from appliance.approvals.requests import Deed
from appliance.recording.parameters import BinaryValue, CutValue
from appliance.sql.catalog import Catalog
from appliance.sql.facts import Effect, EffectClass, Facts, Name, NameContext, SettingChange
from appliance.sql.parser import Parser
from appliance.sql.resolve import resolve

PATH = ("pg_catalog", "public")
SQL = "DELETE FROM orders WHERE id = $1"


def catalog(oid: int = 20000, mark: str = "m1") -> Catalog:
    columns = [[1, "id", "int4"]]
    value = {
        "relations": [
            [oid, "public", "orders", "r", 0, columns],
            [20001, "public", "v_orders", "v", 0, columns],
            [20002, "archive", "orders", "r", 0, columns],
        ],
        "rules": [[20001, "1", True, [oid], [], None]],
        "marks": [[20001, mark]],
        "schemas": ["public", "archive"],
    }
    return Catalog.from_json(orjson.dumps(value))


def facts(sql: str = SQL, path: tuple[str, ...] = PATH, of: Catalog | None = None) -> Facts:
    context = NameContext(path, "app_rw", frozenset())
    return resolve(Parser().parse(sql), of or catalog(), context)


BASE: dict[str, Any] = {
    "text": SQL.encode(),
    "parameters": b"\0\0\0\1\0\0\0\x017\0\0",
    "identity": "ana",
    "credential_id": 7,
    "session_id": "s-1",
    "target": "shop",
    "database": "shop",
    "role": "app_rw",
    "search_path": PATH,
    "facts": facts(),
    "catalog": catalog(),
    "prepared": {},
    "acting_role": "app_rw",
    "parameter_types": (23,),
    "temp_views": {},
}


def deed(**changes: Any) -> Deed:
    return deed_of(**{**BASE, **changes})


def test_the_same_deed_has_the_same_hashes_in_every_process() -> None:
    again = deed(facts=facts(), catalog=catalog(), text=SQL)
    assert again == deed()
    assert len(again.deed_hash) == len(again.request_hash) == 64
    assert again.deed_hash != again.request_hash


CHANGED: dict[str, dict[str, Any]] = {
    "text": {"text": SQL.encode() + b" "},
    "a comment": {"text": b"/* */" + SQL.encode()},
    "parameters": {"parameters": b"\0\0\0\1\0\0\0\x018\0\0"},
    "their format": {"parameters": b"\0\1\0\1\0\1\0\0\0\x017\0\0"},
    "their types": {"parameter_types": (20,)},
    "no types": {"parameter_types": ()},
    "identity": {"identity": "bo"},
    "credential": {"credential_id": 8},
    "no credential": {"credential_id": None},
    "target": {"target": "crm"},
    "database": {"database": "other"},
    "role": {"role": "app_ro"},
    "acting role": {"acting_role": "app_ro"},
    "search_path": {"search_path": ("pg_catalog", "public", "archive")},
    "its order": {"search_path": PATH[::-1]},
    "an unknown one": {"search_path": None},
    "what a name means": {"facts": facts(path=("pg_catalog", "archive"))},
    "a table of the same name": {"catalog": catalog(oid=30000)},
    "no catalog": {"catalog": None},
}


@pytest.mark.parametrize("what", CHANGED)
def test_any_other_ingredient_is_another_deed(what: str) -> None:
    other = deed(**CHANGED[what])
    assert other.deed_hash != deed().deed_hash
    assert other.request_hash != deed().request_hash


def test_another_session_is_the_same_deed_by_another_request() -> None:
    other = deed(session_id="s-2")
    assert other.deed_hash == deed().deed_hash
    assert other.request_hash != deed().request_hash


def test_a_changed_view_is_another_deed() -> None:
    through = facts("SELECT * FROM v_orders")
    before = deed(facts=through, catalog=catalog(mark="m1"))
    assert deed(facts=through, catalog=catalog(mark="m2")) != before
    assert deed(facts=through, catalog=catalog(mark="m1")) == before


def test_the_text_behind_an_execute_counts_and_others_do_not() -> None:
    run = facts("EXECUTE p(1)")
    texts: tuple[dict[str, str | bytes], ...] = ({"p": "a"}, {"p": "b"}, {}, {"p": b""})
    assert len({deed(facts=run, prepared=one).deed_hash for one in texts}) == 4
    assert deed(facts=run, prepared={"p": b"a", "q": "x"}) == deed(facts=run, prepared={"p": "a"})
    assert deed(prepared={"p": "a"}) == deed()


def test_every_value_of_the_parameters_counts() -> None:
    values: list[Sequence[object]] = [
        (),
        (None,),
        ("",),
        ("1",),
        (b"2",),
        ("1", None),
        (None, "1"),
        (BinaryValue(b"1", 23),),
        (BinaryValue(b"1", 20),),
        ("1", "2"),
        ("12",),
        ("1", "2", ""),
        b"1",
    ]
    assert len({deed(parameters=one).deed_hash for one in values}) == len(values)
    assert deed(parameters=("1",)) == deed(parameters=(b"1",))


def test_a_parameter_that_was_cut_cannot_be_bound() -> None:
    with pytest.raises(ValueError, match="cut"):
        deed(parameters=(CutValue("1", 100_000),))


def test_what_a_statement_would_do_counts_in_every_part() -> None:
    (statement,) = facts().statements
    (effect, *_) = statement.effects
    others = (
        replace(statement, kind="SelectStmt"),
        replace(statement, fingerprint="f" * 16),
        replace(statement, unknown="why"),
        replace(statement, transaction="begin"),
        replace(statement, copy="in"),
        replace(statement, settings=(SettingChange("a", "b"),)),
        replace(statement, settings=(SettingChange("a", None),)),
        replace(statement, prepares="p"),
        replace(statement, deallocates="p"),
        replace(statement, flags=frozenset({"load"})),
        replace(statement, flag_details=(("load", "x"),)),
        replace(statement, effects=()),
        *(
            replace(statement, effects=(other, *statement.effects[1:]))
            for other in (
                replace(effect, cls=EffectClass.UPDATE),
                replace(effect, relation=Name("archive", "orders")),
                replace(effect, columns=("id", "total")),
                replace(effect, columns=()),
                replace(effect, without_where=True),
                replace(effect, via="public.v"),
                replace(effect, default_exempt=True),
            )
        ),
    )
    hashes = {deed(facts=Facts((other,))).deed_hash for other in (statement, *others)}
    assert len(hashes) == len(others) + 1
    assert deed(facts=Facts((statement, statement))) != deed()
    assert deed(facts=Facts((), refusal="x")) != deed(facts=Facts(()))


def test_a_function_is_not_a_relation_of_the_same_name() -> None:
    (statement,) = facts().statements
    by_name = Effect(EffectClass.SELECT, relation=Name("public", "f()"))
    called = Effect(EffectClass.SELECT, function=Name("public", "f"))
    assert by_name.object == called.object
    one, two = (replace(statement, effects=(effect,)) for effect in (by_name, called))
    assert deed(facts=Facts((one,))) != deed(facts=Facts((two,)))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=4).map(tuple),
    max_leaves=12,
)


def _key(value: Any) -> Any:
    """Make True and 1 differ, as they do in a deed."""
    return tuple(map(_key, value)) if isinstance(value, tuple) else (type(value), value)


@given(VALUES, VALUES)
def test_two_values_have_one_hash_only_if_they_are_equal(left: Any, right: Any) -> None:
    assert (_hash(_DEED, left) == _hash(_DEED, right)) is (_key(left) == _key(right))


@given(st.lists(st.text(max_size=6), min_size=2, max_size=5), st.integers(1, 4))
def test_texts_that_run_into_each_other_do_not_collide(parts: list[str], at: int) -> None:
    at = min(at, len(parts) - 1)
    joined = ("".join(parts[:at]), "".join(parts[at:]))
    assert _hash(_DEED, tuple(parts)) != _hash(_DEED, ("".join(parts),))
    if joined != tuple(parts):
        assert _hash(_DEED, joined) != _hash(_DEED, tuple(parts))


def test_a_value_that_no_encoding_was_made_for_is_a_defect() -> None:
    with pytest.raises(TypeError):
        _hash(_DEED, (1.5,))
