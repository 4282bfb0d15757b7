"""The poison that stands in for a refused message, and the error that the client gets."""

from __future__ import annotations

from proxy import refusal
from proxy.refusal import Refusal
from proxy.wire import frontend
from proxy.wire.notices import error_response, parse_error_response

NO = Refusal("42501", "gatepost: blocked", "Ask.").armed()


def test_the_poison_is_a_lone_literal_under_the_same_statement_name() -> None:
    query = frontend.parse_query(refusal.query(NO)[5:])
    assert query.query == b"'" + NO.nonce.encode() + b"'"
    parse = frontend.parse_parse(refusal.parse(NO, b"s1")[5:])
    assert (parse.statement, parse.query, parse.parameter_types) == (b"s1", query.query, ())


def test_bind_and_execute_name_what_does_not_exist() -> None:
    bind = frontend.parse_bind(refusal.bind(NO)[5:])
    assert (bind.portal, bind.statement, bind.parameters) == (b"", NO.nonce.encode(), ())
    execute = frontend.parse_execute(refusal.execute(NO)[5:])
    assert execute.portal == NO.nonce.encode()


def test_every_refusal_has_a_nonce_of_its_own() -> None:
    assert NO.nonce != NO.armed().nonce
    assert NO.nonce.isascii() and "'" not in NO.nonce and "\\" not in NO.nonce


def test_the_error_keeps_its_severity_and_says_nothing_of_the_target() -> None:
    said = error_response("FATAL", "42601", f'syntax error at or near "{NO.nonce}"', "d", "h")
    assert refusal.matches(NO, said[5:])
    error = parse_error_response(refusal.rewrite(NO, said[5:])[5:])
    assert (error.severity, error.sqlstate, error.message, error.hint, error.detail) == (
        "FATAL",
        "42501",
        "gatepost: blocked",
        "Ask.",
        "",
    )
    assert NO.nonce.encode() not in refusal.rewrite(NO, said[5:])


def test_a_genuine_error_is_not_taken_for_the_refusal() -> None:
    assert not refusal.matches(NO, error_response("ERROR", "42601", "syntax error")[5:])


def test_a_hint_fits_80_columns_of_psql_keeps_its_breaks_and_the_message_is_one_line() -> None:
    words = "blocked " * 20
    long = Refusal(
        "42501", words, "Leave it out " * 10 + "\nhttp://localhost/approvals/1", "no " * 60
    )
    said = error_response("ERROR", "42601", "syntax error", "", "")
    error = parse_error_response(refusal.rewrite(long, said[5:])[5:])
    assert error.message == words
    lines = f"DETAIL:  {error.detail}\nHINT:  {error.hint}".split("\n")
    assert max(map(len, lines)) <= 80
    assert lines[-1] == "http://localhost/approvals/1"
    assert "\n".join(lines).split() == f"DETAIL:  {long.detail}\nHINT:  {long.hint}".split()
