"""Errors and notices: made with PostgreSQL's fields, rewritten without a trace of the original."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.wire import backend, codes, notices
from tests.wire import strategies


def body_of(data: bytes) -> bytes:
    return data[5:]


def test_an_error_has_its_fields_in_postgresqls_order() -> None:
    data = backend.error_response("ERROR", "42501", "no", "because", "ask", 7)
    assert data == (
        b"E" + (len(data) - 1).to_bytes(4, "big") + b"SERROR\0VERROR\0C42501\0Mno\0Dbecause\0"
        b"Hask\0P7\0\0"
    )


def test_an_error_without_detail_hint_and_position_has_no_empty_fields() -> None:
    error = notices.parse_error_response(
        body_of(backend.error_response("ERROR", "42501", "no", fatal=True))
    )
    assert [letter for letter, _ in error.fields] == [b"S", b"V", b"C", b"M"]
    assert error.severity == "FATAL"


def test_a_notice_is_a_notice() -> None:
    data = backend.notice_response("look", hint="there")
    assert data[0] == codes.NOTICE_RESPONSE
    notice = notices.parse_notice_response(body_of(data))
    assert (notice.severity, notice.sqlstate) == ("NOTICE", "00000")
    assert (notice.message, notice.detail, notice.hint) == ("look", "", "there")


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_text_makes_an_error_that_parses(message: str, hint: str) -> None:
    data = backend.error_response("ERROR", "42501", message, hint=hint)
    parsed = notices.parse_error_response(body_of(data))
    assert parsed.sqlstate == "42501"
    assert "\0" not in parsed.message


@given(strategies.fields)
def test_a_rewritten_error_keeps_only_the_severity(fields: tuple[notices.Field, ...]) -> None:
    original = notices.ErrorResponse(fields).encode()
    parsed = notices.parse_error_response(
        body_of(backend.rewrite_error(body_of(original), "42501", "refused", "ask", "why"))
    )
    kept = tuple(field for field in fields if field[0] in (b"S", b"V"))
    own = ((b"C", b"42501"), (b"M", b"refused"), (b"D", b"why"), (b"H", b"ask"))
    assert parsed.fields == kept + own


def test_a_rewritten_poison_shows_neither_its_text_nor_its_place() -> None:
    original = notices.ErrorResponse(
        (
            (b"S", b"FEHLER"),
            (b"V", b"ERROR"),
            (b"C", b"42601"),
            (b"M", b"syntax error at or near \"'gw:9f3a'\""),
            (b"P", b"1"),
            (b"F", b"scan.l"),
            (b"L", b"1244"),
            (b"R", b"scanner_yyerror"),
        )
    ).encode()
    rewritten = backend.rewrite_error(body_of(original), "42501", "gatepost: refused", "ask ana")
    assert b"gw:9f3a" not in rewritten
    assert body_of(rewritten) == (b"SFEHLER\0VERROR\0C42501\0Mgatepost: refused\0Hask ana\0\0")


def test_a_fatal_severity_stays_fatal_when_rewritten() -> None:
    original = backend.error_response("FATAL", "42601", "x")
    rewritten = backend.rewrite_error(body_of(original), "42501", "refused")
    assert notices.parse_error_response(body_of(rewritten)).severity == "FATAL"
