"""A client's first packets as transcripts: what it sends, what the gateway does next."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import ProtocolError
from proxy.startup import Answer, Cancel, Event, StartTls, Startup, StartupReceived, StartupRefused
from proxy.wire import codes, initial, notices
from proxy.wire.authentication import NegotiateProtocolVersion
from tests.wire import strategies

SSL = initial.SSLRequest().encode()
GSS = initial.GSSENCRequest().encode()
CANCEL = initial.CancelRequest(4711, b"\1\2\3\4").encode()
USER = ((b"user", b"ana@example.com"), (b"database", b"shop"))


def session(
    *parameters: tuple[bytes, bytes], version: int = codes.PROTOCOL_3_0, user: bool = True
) -> bytes:
    return initial.StartupMessage(version, (USER if user else ()) + parameters).encode()


def fed(*packets: bytes, offers_tls: bool = True) -> Event | None:
    startup = Startup(offers_tls=offers_tls)
    event = None
    for packet in packets:
        event = startup.feed(packet)
    return event


def refused(*packets: bytes, offers_tls: bool = True) -> notices.ErrorResponse:
    startup = Startup(offers_tls=offers_tls)
    for packet in packets[:-1]:
        startup.feed(packet)
    with pytest.raises(StartupRefused) as caught:
        startup.feed(packets[-1])
    assert caught.value.peer == "client"
    assert caught.value.reply[:1] == b"E"
    return notices.parse_error_response(caught.value.reply[5:])


def test_a_session_in_plaintext_is_received_with_its_parameters() -> None:
    event = fed(session((b"application_name", b"psql"), (b"options", b"-c a=b")))
    assert event == StartupReceived(
        codes.PROTOCOL_3_0,
        {
            "user": "ana@example.com",
            "database": "shop",
            "application_name": "psql",
            "options": "-c a=b",
        },
        (),
        b"",
        b"",
    )


def test_without_a_database_the_user_names_it() -> None:
    event = fed(session((b"user", b"ci"), user=False))
    assert isinstance(event, StartupReceived)
    assert event.parameters == {"user": "ci", "database": "ci"}


def test_the_last_of_a_repeated_parameter_counts_as_on_a_server() -> None:
    event = fed(session((b"user", b"bo@example.com")))
    assert isinstance(event, StartupReceived)
    assert event.parameters["user"] == "bo@example.com"


def test_what_came_behind_the_packet_is_handed_on() -> None:
    event = fed(session() + b"p\0\0\0\5x")
    assert isinstance(event, StartupReceived)
    assert event.rest == b"p\0\0\0\5x"


def test_tls_is_accepted_then_the_session_follows() -> None:
    startup = Startup(offers_tls=True)
    assert startup.feed(SSL) == StartTls(b"S")
    startup.tls_started(None)
    assert startup.in_tls
    assert isinstance(startup.feed(session()), StartupReceived)


def test_tls_after_the_request_takes_alpn_but_no_other_protocols() -> None:
    startup = Startup(offers_tls=True)
    startup.feed(SSL)
    startup.tls_started("postgresql")
    startup = Startup(offers_tls=True)
    startup.feed(SSL)
    with pytest.raises(StartupRefused):
        startup.tls_started("http/1.1")


def test_without_a_certificate_tls_is_declined_and_plaintext_may_follow() -> None:
    startup = Startup(offers_tls=False)
    assert startup.feed(SSL) == Answer(b"N")
    assert not startup.in_tls
    assert isinstance(startup.feed(session()), StartupReceived)


def test_gssapi_encryption_is_declined_and_tls_may_follow() -> None:
    startup = Startup(offers_tls=True)
    assert startup.feed(GSS) == Answer(b"N")
    assert startup.feed(SSL) == StartTls(b"S")


def test_gssapi_may_be_asked_for_after_tls_was_declined() -> None:
    startup = Startup(offers_tls=False)
    assert startup.feed(SSL) == Answer(b"N")
    assert startup.feed(GSS) == Answer(b"N")
    assert isinstance(startup.feed(session()), StartupReceived)


@pytest.mark.parametrize("offers_tls", [True, False])
@pytest.mark.parametrize("injected", [b"\0", session(), b"\x16\x03\x01"])
def test_bytes_slipped_in_behind_the_request_for_tls_end_the_connection(
    injected: bytes, offers_tls: bool
) -> None:
    error = refused(SSL + injected, offers_tls=offers_tls)
    assert (error.severity, error.sqlstate) == ("FATAL", "08P01")
    assert error.message == "gatepost: received unencrypted data after SSL request"
    assert "man-in-the-middle" in error.detail


def test_bytes_slipped_in_behind_the_request_for_gssapi_end_the_connection() -> None:
    assert "after GSSAPI encryption request" in refused(GSS + session()).message


@pytest.mark.parametrize(
    ("packets", "offers_tls", "code"),
    [
        ((SSL, SSL), False, "1234.5679"),
        ((GSS, GSS), True, "1234.5680"),
        ((SSL, SSL), True, "1234.5679"),
        ((SSL, GSS), True, "1234.5680"),
    ],
)
def test_asking_twice_for_encryption_is_refused(
    packets: tuple[bytes, ...], offers_tls: bool, code: str
) -> None:
    error = refused(*packets, offers_tls=offers_tls)
    assert error.sqlstate == "0A000"
    assert error.message == (
        f"gatepost: unsupported frontend protocol {code}: server supports 3.0 to 3.2"
    )


def test_direct_tls_is_recognised_and_its_bytes_belong_to_tls() -> None:
    startup = Startup(offers_tls=True)
    assert startup.feed(b"\x16\x03\x01\x02") == StartTls(b"", b"\x16\x03\x01\x02")
    startup.tls_started("postgresql")
    assert isinstance(startup.feed(session()), StartupReceived)


def test_direct_tls_is_recognised_by_peeking_without_taking_bytes() -> None:
    startup = Startup(offers_tls=True)
    assert startup.begins_with_tls(b"\x16")
    startup.tls_started("postgresql")
    assert startup.feed(SSL) == Answer(b"N")
    assert isinstance(startup.feed(session()), StartupReceived)


@pytest.mark.parametrize(("peeked", "offers_tls"), [(b"\0", True), (b"", True), (b"\x16", False)])
def test_peeking_at_anything_else_changes_nothing(peeked: bytes, offers_tls: bool) -> None:
    startup = Startup(offers_tls=offers_tls)
    assert not startup.begins_with_tls(peeked)
    assert isinstance(startup.feed(session()), StartupReceived)


@pytest.mark.parametrize("alpn", [None, "http/1.1"])
def test_direct_tls_without_the_alpn_of_postgresql_is_refused(alpn: str | None) -> None:
    startup = Startup(offers_tls=True)
    startup.feed(b"\x16")
    with pytest.raises(StartupRefused, match="without ALPN"):
        startup.tls_started(alpn)


def test_a_tls_hello_where_no_tls_is_offered_is_garbage() -> None:
    assert refused(b"\x16\x03\x01\x02\x00", offers_tls=False).sqlstate == "08P01"


@pytest.mark.parametrize("before", [(), (GSS,)])
@pytest.mark.parametrize("key", [b"\1\2\3\4", b"k" * 32, b"k" * 256])
def test_a_cancel_is_taken_in_plaintext(before: tuple[bytes, ...], key: bytes) -> None:
    assert fed(*before, initial.CancelRequest(1, key).encode()) == Cancel(1, key)


def test_a_cancel_is_taken_inside_tls() -> None:
    startup = Startup(offers_tls=True)
    startup.feed(SSL)
    startup.tls_started(None)
    assert startup.feed(CANCEL) == Cancel(4711, b"\1\2\3\4")


@pytest.mark.parametrize("key", [b"", b"\1\2\3", b"k" * 257])
def test_a_cancel_with_a_key_that_cannot_be_is_refused(key: bytes) -> None:
    assert "cancel key" in refused(initial.CancelRequest(1, key).encode()).message


@pytest.mark.parametrize(
    ("asked", "spoken", "is_negotiated"),
    [
        (3 << 16, 3 << 16, False),
        (3 << 16 | 1, 3 << 16 | 1, False),
        (3 << 16 | 2, 3 << 16 | 2, False),
        (3 << 16 | 3, 3 << 16 | 2, True),
        (3 << 16 | 9999, 3 << 16 | 2, True),
    ],
)
def test_a_newer_minor_version_is_negotiated_down(
    asked: int, spoken: int, is_negotiated: bool
) -> None:
    event = fed(session(version=asked))
    assert isinstance(event, StartupReceived)
    assert event.version == spoken
    expected = NegotiateProtocolVersion(spoken).encode() if is_negotiated else b""
    assert event.negotiate == expected


def test_unknown_protocol_options_are_named_and_taken_out() -> None:
    event = fed(session((b"_pq_.compression", b"lz4"), (b"_pq_.x", b"1")))
    assert isinstance(event, StartupReceived)
    assert event.pq_options == ("_pq_.compression", "_pq_.x")
    assert set(event.parameters) == {"user", "database"}
    options = (b"_pq_.compression", b"_pq_.x")
    assert event.negotiate == NegotiateProtocolVersion(codes.PROTOCOL_3_0, options).encode()


@pytest.mark.parametrize("version", [4 << 16, 3 << 17 | 5])
def test_another_major_version_is_refused_in_postgresqls_words(version: int) -> None:
    error = refused(session(version=version))
    assert (error.severity, error.sqlstate) == ("FATAL", "0A000")
    assert error.message.endswith(": server supports 3.0 to 3.2")


def test_protocol_2_is_refused_in_the_form_that_it_can_read() -> None:
    with pytest.raises(StartupRefused) as caught:
        fed(session(version=2 << 16))
    assert caught.value.reply == (
        b"EFATAL:  gatepost: unsupported frontend protocol 2.0: server supports 3.0 to 3.2\n\0"
    )


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: gate\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2p1\r\n",
        b"\0\0\0\0",
        b"\0\0\0\7",
        b"\0\0\x27\x15\0\3\0\0",
        b"\xff\xff\xff\xff",
        b"\x80\0\0\0",
    ],
)
def test_garbage_is_refused_after_its_first_four_bytes(garbage: bytes) -> None:
    error = refused(garbage[:4])
    assert (error.severity, error.sqlstate) == ("FATAL", "08P01")
    assert error.message == "gatepost: invalid length of startup packet"


def test_the_longest_packet_is_taken_and_one_byte_more_is_not() -> None:
    room = codes.MAX_STARTUP_PACKET + 4 - len(session((b"options", b"")))
    assert isinstance(fed(session((b"options", b"x" * room))), StartupReceived)
    assert "invalid length" in refused(session((b"options", b"x" * (room + 1)))).message


@pytest.mark.parametrize(
    ("packet", "sqlstate", "words"),
    [
        (session(user=False), "28000", "no PostgreSQL user name specified"),
        (session((b"user", b""), user=False), "28000", "no PostgreSQL user name specified"),
        (session((b"database", b"\xff")), "22021", "database is not valid UTF-8"),
        (session((b"n\xc3\xb8", b"")), "22021", "name is not ASCII"),
        (b"\0\0\0\x0d\0\3\0\0user\0", "08P01", "malformed"),
        (b"\0\0\0\x10\0\3\0\0user\0x\0\0"[:-1], "08P01", "malformed"),
        (b"\0\0\0\x0a\0\3\0\0\0\0", "08P01", "expected terminator as last byte"),
        (b"\0\0\0\x09\x04\xd2\x16\x2f\0", "08P01", "malformed"),
    ],
)
def test_a_packet_that_does_not_hold_together_is_refused(
    packet: bytes, sqlstate: str, words: str
) -> None:
    packet = len(packet).to_bytes(4, "big") + packet[4:]
    error = refused(packet)
    assert error.sqlstate == sqlstate
    assert words in error.message


def test_an_application_name_in_another_encoding_is_cleaned_as_a_server_does() -> None:
    event = fed(session((b"application_name", "bjørn".encode("latin-1"))))
    assert isinstance(event, StartupReceived)
    assert event.parameters["application_name"] == "bj�rn"


def outcome(packets: list[bytes], *, by_byte: bool) -> list[object]:
    """Feed packets one after the other, whole or byte by byte, as far as they are taken."""
    startup = Startup(offers_tls=True)
    found: list[object] = []
    try:
        for packet in packets:
            event = None
            pieces = [packet[i : i + 1] for i in range(len(packet))] if by_byte else [packet]
            for piece in pieces:
                event = startup.feed(piece)
                if event is not None:
                    found.append(event)
                if isinstance(event, StartTls):
                    startup.tls_started(None)
                if isinstance(event, Cancel | StartupReceived):
                    return found
    except ProtocolError as error:
        found.append(error.message)
    return found


@given(st.lists(strategies.initial_packets, max_size=4))
def test_packets_mean_the_same_whole_and_byte_by_byte(packets: list[initial.InitialPacket]) -> None:
    encoded = [packet.encode() for packet in packets]
    assert outcome(encoded, by_byte=False) == outcome(encoded, by_byte=True)


@given(st.binary(max_size=60), st.booleans())
def test_any_first_bytes_make_an_event_or_a_refusal(data: bytes, offers_tls: bool) -> None:
    startup = Startup(offers_tls=offers_tls)
    try:
        startup.feed(data)
    except StartupRefused as error:
        assert error.reply.startswith(b"E")
