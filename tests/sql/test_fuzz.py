"""Whatever the text, parsing answers; what it answers survives the planner's encoding."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.sql.catalog import Catalog
from appliance.sql.facts import EffectClass, NameContext
from appliance.sql.parsed import decode_parsed, encode_parsed
from appliance.sql.parser import Parser
from appliance.sql.resolve import resolve
from appliance.sql.skeleton import skeleton
from tests.sql.conftest import FIXTURES
from tests.sql.rows import PATH

WORDS = sorted(
    {
        word
        for path in FIXTURES.glob("*.jsonl")
        for line in path.read_text().splitlines()
        for word in line.partition('"sql": "')[2].partition('", "statements')[0].split()
    }
)
TEXTS = st.one_of(
    st.text(max_size=80),
    st.lists(st.sampled_from(WORDS), max_size=25).map(" ".join),
    st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=3)), max_size=15).map("".join),
)
CONTEXTS = [
    NameContext(PATH, "x", frozenset()),
    NameContext(None, "x", None),
    NameContext(("pg_temp_3", "pg_catalog", "archive"), "x", frozenset({"orders"})),
]


@settings(max_examples=800, deadline=None)
@given(text=TEXTS)
def test_no_text_makes_the_parser_raise(parser: Parser, catalog: Catalog, text: str) -> None:
    parsed = parser.parse(text)
    skeleton(text)
    assert decode_parsed(encode_parsed(parsed)) == parsed
    for names in CONTEXTS:
        for known in (catalog, None):
            facts = resolve(parsed, known, names)
            for statement in facts.statements:
                assert statement.effects
                assert statement.unknown != "the statement could not be analysed"
                classes = {effect.cls for effect in statement.effects}
                assert bool(statement.unknown) == (EffectClass.UNKNOWN in classes)
                assert statement.changes_state or not statement.unknown


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=60))
def test_bytes_that_are_no_text_are_refused_and_not_guessed(parser: Parser, data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    parsed = parser.parse(text)
    if "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
        assert parsed.refusal and not parsed.statements
