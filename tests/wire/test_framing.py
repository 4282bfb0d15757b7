"""Frames are found whole, in pieces and byte by byte; bad headers are refused at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import ProtocolError
from proxy.wire import codes, framing
from tests.wire import strategies

CLIENT = framing.client_rules()
UPSTREAM = framing.upstream_rules()
NO_STOPS = framing.stop_table(b"")


def cut_at_once(data: bytes, rules: framing.FrameRules) -> list[tuple[int, bytes]] | str:
    buffer = framing.MessageBuffer(rules)
    buffer.feed(data)
    return taken(buffer)


def cut_byte_by_byte(data: bytes, rules: framing.FrameRules) -> list[tuple[int, bytes]] | str:
    buffer = framing.MessageBuffer(rules)
    found: list[tuple[int, bytes]] = []
    for index in range(len(data)):
        buffer.feed(data[index : index + 1])
        some = taken(buffer)
        if isinstance(some, str):
            return some
        found += some
    return found


def taken(buffer: framing.MessageBuffer) -> list[tuple[int, bytes]] | str:
    found = []
    try:
        while (message := buffer.next()) is not None:
            found.append(message)
    except ProtocolError as error:
        return error.peer
    return found


@given(st.lists(strategies.frontend_messages, max_size=6))
def test_messages_are_cut_the_same_whole_and_byte_by_byte(
    messages: list[object],
) -> None:
    encoded = [message.encode() for message in messages]  # type: ignore[attr-defined]
    expected = [(data[0], data[5:]) for data in encoded]
    stream = b"".join(encoded)
    assert cut_at_once(stream, CLIENT) == expected
    assert cut_byte_by_byte(stream, CLIENT) == expected
    spans = list(framing.frames(stream, 0, len(stream), CLIENT))
    assert [(kind, stream[start + 5 : end]) for kind, start, end in spans] == expected


@given(st.binary(max_size=80), st.sampled_from((CLIENT, UPSTREAM, framing.login_rules())))
def test_any_bytes_are_cut_or_refused_and_never_anything_else(
    data: bytes, rules: framing.FrameRules
) -> None:
    whole, pieces = cut_at_once(data, rules), cut_byte_by_byte(data, rules)
    assert whole == pieces
    if isinstance(whole, str):
        assert whole == rules.peer


@given(
    st.lists(strategies.backend_messages, min_size=1, max_size=8),
    st.binary(max_size=4),
    st.data(),
)
def test_jumping_stops_at_the_first_message_to_look_at(
    messages: list[object], stops: bytes, data: st.DataObject
) -> None:
    encoded = [message.encode() for message in messages]  # type: ignore[attr-defined]
    stream = b"".join(encoded)
    end = data.draw(st.integers(0, len(stream)))
    expected = 0
    for one in encoded:
        if expected + 5 > end or one[0] in stops:
            break
        expected += len(one)
    found = framing.jump(memoryview(stream), 0, end, framing.stop_table(stops), UPSTREAM)
    assert found == expected


def test_a_message_larger_than_the_buffer_is_passed_over_without_its_body() -> None:
    head = b"D" + (1_000_000_004).to_bytes(4, "big") + b"begin"
    assert framing.jump(head, 0, len(head), NO_STOPS, UPSTREAM) == 1_000_000_005


@pytest.mark.parametrize("length", [0, 1, 3, 0x3FFFFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
@pytest.mark.parametrize("rules", [CLIENT, UPSTREAM])
def test_a_length_that_cannot_be_is_refused(length: int, rules: framing.FrameRules) -> None:
    data = b"d" + length.to_bytes(4, "big")
    for attempt in (
        lambda: framing.header(data, 0, rules),
        lambda: framing.jump(data, 0, len(data), NO_STOPS, rules),
        lambda: list(framing.frames(data, 0, len(data), rules)),
    ):
        with pytest.raises(ProtocolError, match=f"of length {length}, expected 4 to") as caught:
            attempt()
        assert caught.value.peer == rules.peer


def test_types_that_carry_no_data_have_postgresqls_small_limit() -> None:
    for kind in b"CDEHSXcf":
        ok = bytes((kind,)) + (10_000).to_bytes(4, "big")
        assert framing.header(ok, 0, CLIENT) == (kind, 10_001)
        with pytest.raises(ProtocolError):
            framing.header(bytes((kind,)) + (10_001).to_bytes(4, "big"), 0, CLIENT)


def test_a_limit_of_the_gateways_own_is_a_ceiling_for_large_messages() -> None:
    rules = framing.client_rules(1000)
    assert framing.header(b"Q\0\0\3\xe8", 0, rules)
    with pytest.raises(ProtocolError, match="expected 4 to 1000"):
        framing.header(b"Q\0\0\3\xe9", 0, rules)
    assert framing.client_rules(1 << 40).longest[codes.QUERY] == codes.LARGE_MESSAGE


@pytest.mark.parametrize("kind", sorted(set(range(256)) - set(b"QPBFdCDEHSXcf")))
def test_a_type_that_no_client_sends_is_refused(kind: int) -> None:
    with pytest.raises(ProtocolError, match="unexpected message type"):
        framing.header(bytes((kind,)) + b"\0\0\0\4", 0, CLIENT)


def test_a_client_that_logs_in_may_only_answer() -> None:
    rules = framing.login_rules()
    assert framing.header(b"p\0\0\0\4", 0, rules) == (codes.PASSWORD, 5)
    for kind in b"QPBX":
        with pytest.raises(ProtocolError):
            framing.header(bytes((kind,)) + b"\0\0\0\4", 0, rules)
    with pytest.raises(ProtocolError):
        framing.header(b"p\0\1\0\0", 0, rules)


def test_what_follows_the_last_message_taken_is_kept() -> None:
    buffer = framing.MessageBuffer(CLIENT)
    buffer.feed(b"S\0\0\0\4Q\0\0")
    assert buffer.next() == (codes.SYNC, b"")
    assert buffer.next() is None
    assert buffer.rest == b"Q\0\0"
