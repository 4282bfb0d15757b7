"""Columns that look sensitive, and those that only look like it: names, types, values."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stdnum import luhn
from stdnum.no import fodselsnummer

from appliance.masking.classify import (
    ColumnFacts,
    Confidence,
    Kind,
    Suggestion,
    classify,
    is_worth_a_look,
)
from appliance.masking.values import Method

HIGH, MEDIUM, LOW = Confidence.HIGH, Confidence.MEDIUM, Confidence.LOW
DRAWN = random.Random(7)  # noqa: S311 - test data


def look(
    name: str, type_name: str = "text", values: Iterable[str] | None = None, table: str = "public.t"
) -> Suggestion | None:
    return classify(ColumnFacts(table, name, type_name, None if values is None else tuple(values)))


def drawn(make: Callable[[], str], size: int = 20) -> list[str]:
    return [make() for _ in range(size)]


def digits(size: int) -> str:
    return str(DRAWN.randint(1, 9)) + "".join(str(DRAWN.randint(0, 9)) for _ in range(size - 1))


def card(prefix: str = "4", size: int = 16) -> str:
    body = prefix + digits(size - len(prefix) - 1)
    return body + luhn.calc_check_digit(body)


def born_norwegian() -> str:
    while True:
        body = f"{DRAWN.randint(1, 28):02}{DRAWN.randint(1, 12):02}{DRAWN.randint(50, 99)}"
        body += f"{DRAWN.randint(1, 499):03}"
        try:
            first = fodselsnummer.calc_check_digit1(body)
            number = body + first + fodselsnummer.calc_check_digit2(body + first)
        except ValueError:
            continue
        if fodselsnummer.is_valid(number):
            return number


def cpf() -> str:
    number = digits(9)
    for size in (10, 11):
        total = sum(int(d) * (size - i) for i, d in enumerate(number))
        number += str((total * 10 % 11) % 10)
    return f"{number[:3]}.{number[3:6]}.{number[6:9]}-{number[9:]}"


BCRYPT = "$2b$12$" + "abcdefghijklmnopqrstuv" + "A" * 31
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl"
IBANS = ("NO9386011117947", "DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432")
EMAILS = ("ada.berg@example.net", "o'neil@mail.example.co.uk", "kim+x@example.org")
PHONES = ("+47 400 12 345", "+1 212-555-0123", "0049 30 901820", "(212) 555-0199")
NINOS = ("AB123456C", "CE 12 34 56 D", "JG103759A", "PP123456B", "SN123456A")

# name, type, values -> kind, confidence, method
SEEN: tuple[tuple[str, str, list[str], Kind, Confidence, Method], ...] = (
    ("card_number", "text", drawn(card), Kind.CARD, HIGH, Method.PARTIAL),
    ("x", "text", drawn(lambda: card("37", 15)), Kind.CARD, HIGH, Method.PARTIAL),
    ("x", "text", drawn(lambda: " ".join(
        [(n := card("55"))[:4], n[4:8], n[8:12], n[12:]])), Kind.CARD, HIGH, Method.PARTIAL),
    ("x", "int8", drawn(lambda: card("2223")), Kind.CARD, HIGH, Method.REDACT),
    ("x", "_text", drawn(card), Kind.CARD, HIGH, Method.REDACT),
    ("payer", "varchar", list(EMAILS), Kind.EMAIL, HIGH, Method.EMAIL),
    ("Email", "public.citext", list(EMAILS), Kind.EMAIL, HIGH, Method.EMAIL),
    ("reach_at", "text", list(PHONES), Kind.PHONE, HIGH, Method.PARTIAL),
    ("phone", "text", ["22 33 44 55", "400 12 345", "91919191"], Kind.PHONE, MEDIUM,
     Method.PARTIAL),
    ("x", "text", list(IBANS), Kind.IBAN, HIGH, Method.PARTIAL),
    ("x", "text", drawn(born_norwegian), Kind.NATIONAL_ID, HIGH, Method.REDACT),
    ("fnr", "int8", [str(int(born_norwegian())) for _ in range(20)], Kind.NATIONAL_ID, HIGH,
     Method.REDACT),
    ("x", "text", drawn(cpf), Kind.NATIONAL_ID, HIGH, Method.REDACT),
    ("x", "text", [f"219-{n:02}-{n * 97:04}" for n in range(10, 30)], Kind.NATIONAL_ID, HIGH,
     Method.REDACT),
    ("x", "text", list(NINOS), Kind.NATIONAL_ID, HIGH, Method.REDACT),
    ("x", "text", ["19811218-9876", "19900101-0017", "19670919-9530", "19121212-1212",
                   "19640823-3234", "19740202-6643"], Kind.NATIONAL_ID, HIGH, Method.REDACT),
    ("bsn", "text", ["111222333", "123456782"], Kind.NATIONAL_ID, HIGH, Method.REDACT),
    ("ssn", "text", ["900-01-0031", "900-02-0062"], Kind.NATIONAL_ID, MEDIUM, Method.REDACT),
    ("pw", "text", [BCRYPT], Kind.SECRET, HIGH, Method.REDACT),
    ("x", "text", [JWT, JWT + "x"], Kind.SECRET, HIGH, Method.REDACT),
    ("x", "text", ["postgres://app:s3cret@db.internal/shop"], Kind.SECRET, HIGH, Method.REDACT),
    ("verifier", "text", ["SCRAM-SHA-256$4096:c2FsdA==$a:b"], Kind.SECRET, HIGH, Method.REDACT),
    ("seen_from", "text", ["10.2.0.4", "192.168.1.9", "2001:db8::1"], Kind.IP, MEDIUM,
     Method.REDACT),
    ("client_ip", "inet", ["10.2.0.4", "10.2.0.5", "10.9.1.1"], Kind.IP, HIGH, Method.NULL),
    ("notes", "text", ["call ada.berg@example.net", "none", "or bo@example.org, later"],
     Kind.EMAIL, LOW, Method.REDACT),
    ("notes", "text", [f"paid with {card()} today", f"refund {card('55')}.", "-"], Kind.CARD, LOW,
     Method.REDACT),
    ("data", "jsonb", ['{"a": {"contact": {"email": "ada@example.net"}}}',
                       '{"a": {"contact": {"email": "bo@example.net"}}}'], Kind.EMAIL, HIGH,
     Method.REDACT),
    ("body", "text", ['{"card_number": "' + card() + '"}' for _ in range(4)], Kind.CARD, HIGH,
     Method.REDACT),
    ("last_name", "text", ["Berg", "O'Neil", "de la Cruz", "Ærø"], Kind.NAME, MEDIUM,
     Method.REDACT),
    ("email", "text", [], Kind.EMAIL, MEDIUM, Method.EMAIL),
)  # fmt: skip

# names and types that say enough by themselves
NAMED: tuple[tuple[str, str, Kind, Method], ...] = (
    ("email", "text", Kind.EMAIL, Method.EMAIL),
    ("customerEmail", "varchar", Kind.EMAIL, Method.EMAIL),
    ("EMAIL_ADDRESS", "text", Kind.EMAIL, Method.EMAIL),
    ("date_of_birth", "date", Kind.BIRTH, Method.ZERO_DATE),
    ("dateOfBirth", "timestamptz", Kind.BIRTH, Method.ZERO_DATE),
    ("birth_year", "int4", Kind.BIRTH, Method.REDACT),
    ("first_name", "text", Kind.NAME, Method.REDACT),
    ("fødselsnummer", "text", Kind.NATIONAL_ID, Method.REDACT),
    ("passport_no", "text", Kind.NATIONAL_ID, Method.REDACT),
    ("billing_address", "text", Kind.ADDRESS, Method.REDACT),
    ("shippingAddress", "jsonb", Kind.ADDRESS, Method.REDACT),
    ("address_line_1", "text", Kind.ADDRESS, Method.REDACT),
    ("password", "text", Kind.SECRET, Method.REDACT),
    ("password_hash", "bytea", Kind.SECRET, Method.NULL),
    ("reset_token", "uuid", Kind.SECRET, Method.NULL),
    ("stripe_api_key", "text", Kind.SECRET, Method.REDACT),
    ("last_login_ip", "inet", Kind.IP, Method.NULL),
    ("ip_address", "text", Kind.IP, Method.REDACT),
    ("iban", "text", Kind.IBAN, Method.PARTIAL),
    ("mobile_phone", "text", Kind.PHONE, Method.PARTIAL),
)

# what looks like it and is not: name, type, values (None = nobody looked)
INNOCENT: tuple[tuple[str, str, list[str] | None], ...] = (
    ("id", "int8", [str(n) for n in range(1, 21)]),
    ("order_number", "text", drawn(lambda: "4" + digits(15))),
    ("order_number", "text", drawn(lambda: "2026" + digits(7))),
    ("order_number", "int8", drawn(lambda: digits(16))),
    ("order_number", "text", [f"SO-2026-{n:06}" for n in range(20)]),
    ("invoice", "text", drawn(lambda: digits(11))),
    ("reference", "text", drawn(lambda: digits(9))),
    ("reference", "text", drawn(lambda: digits(10))),
    ("tracking", "text", drawn(lambda: "1Z" + digits(16))),
    ("imei", "text", [(b := "35" + digits(12)) + luhn.calc_check_digit(b) for _ in range(20)]),
    ("ean", "text", drawn(lambda: "57" + digits(11))),
    ("sku", "text", [f"HOM-{n:04}" for n in range(20)]),
    ("created", "int8", [str(1_700_000_000 + n * 977) for n in range(20)]),
    ("created_ms", "int8", [str(1_700_000_000_000 + n * 97_777) for n in range(20)]),
    ("created_us", "int8", [str(1_700_000_000_000_000 + n * 977_777) for n in range(20)]),
    ("stamp", "text", [f"202611{n:02}103000" for n in range(1, 25)]),
    ("day", "text", [f"2026-11-{n:02}" for n in range(1, 25)]),
    ("price", "numeric", [f"{n}.{n % 100:02}" for n in range(20)]),
    ("amount", "text", [f"{n * 1037}.50" for n in range(20)]),
    ("uid", "text", [str(uuid.UUID(int=DRAWN.getrandbits(128))) for _ in range(20)]),
    ("sha256", "text", [f"{DRAWN.getrandbits(256):064x}" for _ in range(20)]),
    ("etag", "text", [f"{DRAWN.getrandbits(128):032x}" for _ in range(20)]),
    ("version", "text", ["1.2.3.4", "1.2.3.5", "2.0.0.1"]),
    ("coordinates", "text", ["59.9139, 10.7522", "48.8566, 2.3522", "52.52, 13.405"]),
    ("remote", "text", ["git@github.com:a/b.git", "git@gitlab.com:c/d.git"]),
    ("image", "text", ["logo@2x.png", "icon@3x.png", "a@b.svg"]),
    ("handle", "text", ["@ada", "@bo", "ada@home"]),
    ("product_name", "text", ["Oak lamp", "Steel kettle"]),
    ("name", "text", ["Oak lamp", "Steel kettle"]),
    ("title", "text", ["Ada Berg", "Bo Dahl"]),
    ("status", "text", ["new", "paid"]),
    ("email_verified", "bool", None),
    ("email_status", "text", ["sent", "bounced"]),
    ("email_count", "int4", None),
    ("email_template_id", "int4", None),
    ("email_subject", "text", ["Your order"]),
    ("email", "text", ["yes", "no", "weekly"]),
    ("phone_model", "text", ["iPhone 15", "Pixel 9"]),
    ("phone", "text", ["iPhone 15 Pro", "Pixel 9a"]),
    ("password_changed_at", "timestamptz", None),
    ("password_expires", "timestamptz", None),
    ("password_policy", "text", None),
    ("token_count", "int4", None),
    ("max_tokens", "int4", None),
    ("prompt_token", "int4", None),
    ("card_type", "text", ["visa", "amex"]),
    ("gift_card_number", "text", ["GC-1001", "GC-1002"]),
    ("card_number", "text", ["LOY-1", "LOY-2"]),
    ("mac_address", "macaddr", None),
    ("wallet_address", "text", None),
    ("birthday_campaign", "text", None),
    ("is_email", "text", None),
    ("description", "text", ["an address and a phone", "see https://example.com/a?b=c"]),
    ("description", "text", ["order 4000123412341234 shipped", "order 4000123412341235 shipped"]),
    ("network", "inet", ["10.0.0.0/8"]),
    ("settings", "jsonb", ['{"theme": "dark", "size": 12}', '{"theme": "light"}', "[]"]),
    ("payload", "jsonb", ["not json at all", '"text"', "12", "null"]),
    ("empty", "text", ["", "  "]),
    ("happened_at", "timestamptz", None),
)


@pytest.mark.parametrize(
    ("name", "type_name", "values", "kind", "confidence", "method"),
    SEEN,
    ids=lambda value: str(value)[:24],
)
def test_sensitive_values_are_recognised(
    name: str,
    type_name: str,
    values: list[str],
    kind: Kind,
    confidence: Confidence,
    method: Method,
) -> None:
    found = look(name, type_name, values)
    assert found is not None
    assert (found.kind, found.confidence, found.method) == (kind, confidence, method), found
    for value in values:
        assert value not in found.evidence, "evidence never shows a value"


@pytest.mark.parametrize(("name", "type_name", "kind", "method"), NAMED)
def test_names_say_what_is_in_a_column(
    name: str, type_name: str, kind: Kind, method: Method
) -> None:
    found = look(name, type_name)
    assert found is not None
    assert (found.kind, found.method) == (kind, method), found
    assert found.confidence < HIGH, "a name alone proves nothing"


@pytest.mark.parametrize(
    ("name", "type_name", "values"), INNOCENT, ids=lambda value: str(value)[:24]
)
def test_what_only_looks_like_it_is_left_alone(
    name: str, type_name: str, values: list[str] | None
) -> None:
    assert look(name, type_name, values, "public.orders") is None


def test_evidence_says_how_many_values_passed() -> None:
    values = [*drawn(card, 18), "n/a", "unknown"]
    found = look("card_number", "text", values)
    assert found is not None
    assert found.evidence == (
        "18 of 20 values pass Luhn and begin like a card number; named like a card number"
    )


def test_a_bare_name_is_a_persons_in_a_table_of_people() -> None:
    found = look("name", table="public.customers")
    assert found is not None and found.kind is Kind.NAME
    assert found.evidence == "called name, in a table of people (customers)"
    assert look("name", table="public.products") is None
    assert look("name", "int4", table="public.customers") is None


def test_numbers_of_cards_that_fail_luhn_are_a_weak_suggestion_by_name_alone() -> None:
    values = ["4000 0012 3412 3413", "4000 0012 3412 3414"]
    found = look("card_number", values=values)
    assert found is not None and found.confidence is LOW
    assert "though none passes Luhn" in found.evidence
    assert look("reference", values=values) is None


def test_a_key_of_a_document_that_is_a_value_is_not_named() -> None:
    by_mail = [f'{{"ada{n}@example.net": {{"phone": "+47 400 12 34{n}"}}}}' for n in range(5)]
    found = look("members", "jsonb", by_mail)
    assert found is not None and found.kind is Kind.PHONE
    assert found.evidence.startswith("under the key 'phone': 5 of 5 values")
    flat = [f'{{"ada{n}@example.net": {n}}}' for n in range(5)]
    found = look("scores", "jsonb", flat)
    assert found is not None and found.kind is Kind.EMAIL
    assert found.evidence == "its keys: 5 of 5 values are e-mail addresses"
    once = [
        '{"AdaBerg": "ada@example.net", "BoDahl": "bo@example.net"}',
        '{"Cy": "cy@example.net"}',
    ]
    found = look("people", "jsonb", once)
    assert found is None or "AdaBerg" not in found.evidence


def test_repeated_values_count_once() -> None:
    assert look("x", values=[card()] * 20) is None


def test_nothing_is_said_of_values_that_nobody_can_read() -> None:
    assert look("payload", "bytea", ["\\x00"]) is None
    deep = "[" * 50 + "]" * 50
    assert look("payload", "jsonb", [deep, '{"a": ' * 30 + "1" + "}" * 30]) is None
    assert look("x", values=["@" * 5000, "+" * 5000, "1-" * 5000]) is None


_TYPES = ("text", "_text", "varchar", "jsonb", "json", "int8", "numeric", "inet", "date", "uuid")
_NAMES = ("x", "email", "card_number", "ssn", "phone", "iban", "password", "birth_date", "notes")


@given(
    st.sampled_from(_NAMES) | st.text(max_size=30),
    st.sampled_from(_TYPES),
    st.none() | st.lists(st.text(max_size=60) | st.text("0123456789 -+.@{}[]:a", max_size=40)),
)
@settings(max_examples=150, deadline=None)
def test_no_name_or_value_ends_it_and_no_value_comes_out(
    name: str, type_name: str, values: list[str] | None
) -> None:
    found = look(name, type_name, values)
    for value in values or ():
        if found is not None and len(value) > 12 and value.strip() == value:
            assert value not in found.evidence


def test_very_long_values_are_looked_at_in_part() -> None:
    for filling in ("a", "A1", "9", "1 ", "a@b.", "é", "\x00", "{", "[", "://:@"):
        assert look("x", values=[filling * (50_000 // len(filling))] * 3) is None


def test_only_types_that_can_hold_it_are_worth_a_look() -> None:
    worth = [t for t in ("text", "_text", "jsonb", "int8", "inet", "public.citext")]
    assert all(is_worth_a_look(ColumnFacts("t", "c", t)) for t in worth)
    not_worth = ("bool", "float8", "timestamptz", "bytea", "uuid", "_int8", "public.mood")
    assert not any(is_worth_a_look(ColumnFacts("t", "c", t)) for t in not_worth)
