"""Every message survives the wire; every other body is refused by ProtocolError."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import ProtocolError
from proxy.wire import authentication, backend, codes, frontend, initial
from tests.wire import strategies


@given(strategies.frontend_messages)
def test_a_frontend_message_comes_back_as_it_was_encoded(
    message: frontend.FrontendMessage,
) -> None:
    data = message.encode()
    assert data[0] == message.kind
    assert int.from_bytes(data[1:5], "big") == len(data) - 1
    assert frontend.parse(data[0], data[5:]) == message
    assert frontend.parse(data[0], memoryview(data)[5:]) == message


@given(strategies.backend_messages)
def test_a_backend_message_comes_back_as_it_was_encoded(message: backend.BackendMessage) -> None:
    data = message.encode()
    assert data[0] == message.kind
    assert int.from_bytes(data[1:5], "big") == len(data) - 1
    assert backend.parse(data[0], data[5:]) == message


@given(strategies.initial_packets)
def test_a_first_packet_comes_back_as_it_was_encoded(packet: initial.InitialPacket) -> None:
    data = packet.encode()
    assert int.from_bytes(data[:4], "big") == len(data)
    assert initial.parse(data[4:]) == packet


@given(strategies.password_messages)
def test_an_answer_to_an_authentication_request_comes_back_as_it_was_encoded(
    case: tuple[Callable[[bytes], object], authentication.PasswordMessage],
) -> None:
    parse, message = case
    data = message.encode()
    assert data[0] == codes.PASSWORD
    assert parse(data[5:]) == message


@given(st.integers(0, 255), st.binary(max_size=60))
def test_any_frontend_body_parses_to_the_same_bytes_or_is_refused(kind: int, body: bytes) -> None:
    try:
        message = frontend.parse(kind, body)
    except ProtocolError as error:
        assert error.peer == "client"
    else:
        assert message.encode()[5:] == body


@given(st.integers(0, 255), st.binary(max_size=60))
def test_any_backend_body_parses_to_the_same_bytes_or_is_refused(kind: int, body: bytes) -> None:
    try:
        message = backend.parse(kind, body)
    except ProtocolError as error:
        assert error.peer == "upstream"
    else:
        assert message.encode()[5:] == body


@given(strategies.frontend_messages, st.data())
def test_a_frontend_message_cut_anywhere_is_refused(
    message: frontend.FrontendMessage, data: st.DataObject
) -> None:
    body = message.encode()[5:]
    if not body or isinstance(message, frontend.CopyData):
        return
    cut = data.draw(st.integers(0, len(body) - 1))
    with pytest.raises(ProtocolError, match="malformed"):
        frontend.parse(message.kind, body[:cut])


@given(strategies.frontend_messages)
def test_a_frontend_message_that_goes_on_after_its_end_is_refused(
    message: frontend.FrontendMessage,
) -> None:
    if isinstance(message, frontend.CopyData):
        return
    with pytest.raises(ProtocolError, match="malformed"):
        frontend.parse(message.kind, message.encode()[5:] + b"\0")


@given(st.binary(max_size=60))
def test_any_first_packet_parses_or_is_refused(body: bytes) -> None:
    try:
        initial.parse(body)
    except ProtocolError as error:
        assert error.peer == "client"


@given(st.binary(max_size=60))
def test_any_answer_to_an_authentication_request_parses_or_is_refused(body: bytes) -> None:
    for parse in (
        authentication.parse_password_message,
        authentication.parse_sasl_initial_response,
        authentication.parse_sasl_response,
    ):
        try:
            parse(body)
        except ProtocolError as error:
            assert error.peer == "client"


def test_an_error_never_shows_what_was_in_the_message() -> None:
    with pytest.raises(ProtocolError) as caught:
        frontend.parse(codes.BIND, b"portal\0secret-statement")
    assert "Bind" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("tag", "rows"),
    [
        (b"INSERT 0 5", 5),
        (b"SELECT 3", 3),
        (b"UPDATE 0", 0),
        (b"DELETE 12", 12),
        (b"MERGE 2", 2),
        (b"COPY 100", 100),
        (b"COPY", None),
        (b"FETCH 1", 1),
        (b"MOVE 7", 7),
        (b"SELECT", None),
        (b"CREATE TABLE", None),
        (b"CREATE TABLE AS", None),
        (b"BEGIN", None),
        (b"", None),
    ],
)
def test_a_command_tag_tells_its_rows_where_it_counts_any(tag: bytes, rows: int | None) -> None:
    assert backend.command_tag(backend.CommandComplete(tag).encode()[5:]) == (tag.decode(), rows)


def test_authentication_sasl_lists_its_mechanisms() -> None:
    data = authentication.authentication_sasl(("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"))
    message = authentication.parse_authentication(data[5:])
    assert message.mechanisms == ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256")


def test_a_count_of_options_beyond_the_message_costs_no_memory() -> None:
    with pytest.raises(ProtocolError, match="shorter"):
        backend.parse(codes.NEGOTIATE_PROTOCOL_VERSION, b"\0\3\0\0\xff\xff\xff\xff")
