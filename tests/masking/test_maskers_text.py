"""What each method leaves of a value: what the contract says, and nothing else."""

from __future__ import annotations

import hashlib
import hmac
import struct
import uuid

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from appliance.masking.maskers import Dialect, masker, preview, why_not
from appliance.masking.types import Kind, type_named
from appliance.masking.values import ColumnMask, Method
from appliance.sql.catalog import Catalog

KEY = b"\x01" * 32
TEXT, VARCHAR, BPCHAR, NAME, INT2, INT4, INT8, UUID = 25, 1043, 1042, 19, 21, 23, 20, 2950
EMPTY = Catalog.from_json(b"{}")
CARD = "4111111111111111"


def masked(
    method: str, value: str | bytes, oid: int = TEXT, form: int = 0, typmod: int = -1,
    codec: str | None = "utf-8", fixed: str | None = None, key: bytes = KEY, whole: bool = False,
) -> bytes | None:  # fmt: skip
    mask = ColumnMask("r", Method(method), "public.t.c", fixed)
    dialect = Dialect(codec)
    raw = value.encode(codec or "utf-8") if isinstance(value, str) else value
    return masker(mask, oid, None, form, key, whole=whole, dialect=dialect, typmod=typmod)(raw)


@pytest.mark.parametrize(
    ("method", "value", "expected"),
    [
        ("null", CARD, None),
        ("redact", CARD, "***"),
        ("redact", "", "***"),
        ("partial", CARD, "************1111"),
        ("partial", "123-45-6789", "*********89"),
        ("partial", "abcd", "***d"),
        ("partial", "abc", "***"),
        ("partial", "", ""),
        ("partial", "a" * 40, "*" * 36 + "aaaa"),
        ("partial", "åäöåäöåä", "******åä"),
        ("email", "ana@example.com", "***@example.com"),
        ("email", "ana@localhost", "***@localhost"),
        ("email", '"a@b"@Example.co.uk', "***@Example.co.uk"),
        ("email", "ana@bücher.example", "***@bücher.example"),
        ("email", CARD, "***"),
        ("email", f"x@{CARD}", "***"),
        ("email", f"x@{CARD}.", "***"),
        ("email", f"x@a.{CARD}", "***"),
        ("email", "@example.com", "***"),
        ("email", "Ana <ana@example.com>", "***"),
        ("email", "ana@example.com, bo@example.com", "***@example.com"),
        ("email", "x@" + "a" * 254, "***"),
        ("fixed", CARD, "withheld"),
        ("zero-date", CARD, "***"),
    ],
)
def test_texts(method: str, value: str, expected: str | None) -> None:
    fixed = "withheld" if method == "fixed" else None
    for form in (0, 1):
        found = masked(method, value, form=form, fixed=fixed)
        assert found == (None if expected is None else expected.encode())


def test_a_part_is_counted_in_characters_of_the_clients_encoding() -> None:
    assert masked("partial", "åäöåäöåä", codec="latin-1") == "******åä".encode("latin-1")
    assert masked("partial", b"\xe5\xe4\xf6" * 8) == b"***"  # no UTF-8: nothing of it is shown
    assert masked("partial", CARD, codec=None) == b"***"
    assert masked("email", "ana@example.com", codec=None) == b"***"
    assert masked("fixed", "x", codec=None, fixed="withheld") == b"withheld"
    assert masked("fixed", "x", codec="latin-1", fixed="€") == b"***"


def test_a_replacement_is_no_longer_than_its_column_takes() -> None:
    assert masked("redact", "a", VARCHAR, typmod=4 + 2) == b"**"
    assert masked("hash", CARD, VARCHAR, typmod=4 + 10) == (masked("hash", CARD) or b"")[:10]
    assert masked("email", "a@b.de", VARCHAR, typmod=4 + 6) == b"***@b."
    assert masked("redact", "abc       ", BPCHAR, typmod=4 + 10) == b"***       "
    assert masked("partial", CARD + "    ", BPCHAR, typmod=4 + 20) == b"************1111    "
    assert masked("hash", "abc  ", BPCHAR, typmod=4 + 5) == (masked("hash", "abc") or b"")[:5]
    assert masked("fixed", "a", NAME, fixed="é" * 40) == ("é" * 31).encode()


def test_hashes_are_keyed_and_equal_for_equal_values() -> None:
    found = masked("hash", CARD)
    assert found is not None and len(found) == 16 and int(found, 16) >= 0
    assert found == masked("hash", CARD, VARCHAR) == masked("hash", CARD, form=1)
    assert masked("hash", "åä", codec="latin-1") == masked("hash", "åä")
    assert found != masked("hash", CARD, key=b"\x02" * 32)
    assert found != masked("hash", CARD + "1")
    assert found.decode() not in hashlib.sha256(CARD.encode()).hexdigest()
    assert found != hmac.digest(KEY, CARD.encode(), "sha256").hex()[:16].encode()


@pytest.mark.parametrize(("oid", "code"), [(INT2, "!h"), (INT4, "!i"), (INT8, "!q")])
def test_hashed_integers_are_of_their_type_and_the_same_in_both_formats(
    oid: int, code: str
) -> None:
    largest = 2 ** (8 * struct.calcsize(code) - 1) - 1
    seen = set()
    for number in (0, 1, -1, 1234, largest, -largest - 1):
        text = masked("hash", str(number), oid)
        binary = masked("hash", struct.pack(code, number), oid, form=1)
        assert text is not None and binary is not None
        assert int(text) == struct.unpack(code, binary)[0]
        assert 0 <= int(text) <= largest
        seen.add(int(text))
    assert len(seen) > 4
    assert masked("hash", "x", oid) is None


def test_hashed_uuids_are_uuids_and_the_same_in_both_formats() -> None:
    value = uuid.UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")
    text = masked("hash", str(value), UUID)
    binary = masked("hash", value.bytes, UUID, form=1)
    assert text is not None and binary is not None
    assert uuid.UUID(text.decode()).bytes == binary and uuid.UUID(text.decode()).version == 4
    assert masked("hash", "no uuid", UUID) is None


secrets = st.text(st.characters(codec="utf-8", exclude_characters="\0*"), min_size=6, max_size=40)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(secrets, st.sampled_from([m for m in Method if m is not Method.FIXED]),
       st.sampled_from([TEXT, VARCHAR, BPCHAR, NAME, 17, 114, 3802, 142, 1700, 1009, 705]),
       st.integers(0, 1), st.booleans())  # fmt: skip
def test_no_six_characters_in_a_row_come_through(
    secret: str, method: Method, oid: int, form: int, whole: bool
) -> None:
    found = masked(method.value, secret, oid, form, whole=whole)
    shown = (found or b"").decode("latin-1" if oid == 17 else "utf-8")
    if method is Method.EMAIL and not whole and "@" in secret:
        assume(not shown.startswith("***@"))  # the domain is meant to stay
    if method is Method.PARTIAL and "*" in shown:
        assert len(shown.replace("*", "").rstrip(" ")) <= 4
    blank = " " * 6
    parts = {secret[i : i + 6] for i in range(len(secret) - 5)} - {blank}
    assert not any(part in shown for part in parts)


@given(secrets, st.sampled_from([m.value for m in Method]))
def test_of_a_computed_output_nothing_is_shown(secret: str, method: str) -> None:
    found = masked(method, secret, whole=True, fixed="withheld")
    assert found == (None if method == "null" else b"***")


@pytest.mark.parametrize(
    ("method", "type_name", "value", "words"),
    [
        ("null", "int4", None, ""),
        ("null", "public.mood", None, ""),
        ("redact", "point", None, ""),
        ("redact", "public.mood", None, ""),
        ("partial", "text", None, ""),
        ("partial", "varchar(20)", None, ""),
        ("partial", "character varying", None, ""),
        ("partial", "int4", None, "partial is for texts, not for int4"),
        ("partial", "_text", None, "partial is for texts, not for _text"),
        ("partial", "text[]", None, "partial is for texts, not for text[]"),
        ("email", "jsonb", None, "email is for texts"),
        ("hash", "uuid", None, ""),
        ("hash", "bigint", None, ""),
        ("hash", "numeric", None, "hash is for texts, integers and uuids"),
        ("zero-date", "date", None, ""),
        ("zero-date", "timestamp(3) with time zone", None, ""),
        ("zero-date", "time", None, "zero-date is for dates and timestamps"),
        ("fixed", "int2", "7", ""),
        ("fixed", "int2", "70000", "the value is no int2"),
        ("fixed", "int4", None, "fixed needs a value"),
        ("fixed", "date", "2020-02-30", "the value is no date"),
        ("fixed", "float8", "1e999", "the value is no float8"),
        ("fixed", "float4", "1e39", "the value is no float4"),
        ("fixed", "numeric", "1e999999999", "the value is no numeric"),
        ("fixed", "json", "{", "the value is no json"),
        ("fixed", "jsonb", "NaN", "the value is no jsonb"),
        ("fixed", "text", "a\0b", "the value is no text"),
        ("fixed", "bytea", "abc", "the value is no bytea"),
        ("fixed", "inet", "300.1.1.1", "the value is no inet"),
        ("fixed", "point", "(1,1)", "fixed is for"),
        ("redact", "text", "x", "a value is only for fixed"),
        ("scramble", "text", None, "there is no method scramble"),
        ("partial", "public.unheard_of", None, "partial is for texts, not for public.unheard_of"),
    ],
)
def test_a_pairing_that_cannot_be_says_why(
    method: str, type_name: str, value: str | None, words: str
) -> None:
    found = why_not(method, type_name, value, EMPTY)
    assert found.startswith(words) and bool(found) is bool(words)


def test_without_a_catalog_nothing_is_said_against_a_users_type() -> None:
    assert why_not("partial", "public.shout") == ""
    assert type_named("public.citext") is not None
    assert type_named("pg_catalog.int4") == type_named("integer")


def test_a_preview_shows_what_a_value_becomes() -> None:
    def shown(method: str, type_name: str, value: str, fixed: str | None = None) -> str | None:
        return preview(ColumnMask("r", Method(method), "c", fixed), type_name, value)

    assert shown("partial", "text", CARD) == "************1111"
    assert shown("redact", "int4", "12") == "0"
    assert shown("redact", "jsonb", '{"a": 1}') == "{}"
    assert shown("null", "text", "x") is None
    assert shown("redact", "public.mood", "sad") is None
    assert shown("fixed", "date", "1990-01-01", "2000-01-01") == "2000-01-01"
    assert shown("partial", "int4", "4111") == "0"  # no pairing: never the value itself


def test_every_kind_of_value_is_replaced_or_null() -> None:
    for kind in Kind:
        found = type_named(kind.value)
        if found is not None and found.kind is kind:
            assert preview(ColumnMask("r", Method.REDACT, "c"), kind.value, CARD) != CARD
