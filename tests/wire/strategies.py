"""Hypothesis strategies for every message of both directions, at the bounds of their fields."""

from __future__ import annotations

from hypothesis import strategies as st

from proxy.wire import authentication as auth
from proxy.wire import backend, codes, frontend, initial, notices

cstrings = st.binary(max_size=40).map(lambda data: data.replace(b"\0", b"."))
names = cstrings.filter(bool)
uint16 = st.integers(0, 0xFFFF)
int16 = st.integers(-0x8000, 0x7FFF)
int32 = st.integers(-0x80000000, 0x7FFFFFFF)
uint32 = st.integers(0, 0xFFFFFFFF)
formats = st.lists(int16, max_size=5).map(tuple)
oids = st.lists(uint32, max_size=5).map(tuple)
values = st.none() | st.binary(max_size=60)
value_lists = st.lists(values, max_size=6).map(tuple)
ofs = st.sampled_from((codes.STATEMENT, codes.PORTAL))

frontend_messages = st.one_of(
    st.builds(frontend.Query, cstrings),
    st.builds(frontend.Parse, cstrings, cstrings, oids),
    st.builds(frontend.Bind, cstrings, cstrings, formats, value_lists, formats),
    st.builds(frontend.Describe, ofs, cstrings),
    st.builds(frontend.Close, ofs, cstrings),
    st.builds(frontend.Execute, cstrings, int32),
    st.builds(frontend.FunctionCall, uint32, formats, value_lists, int16),
    st.builds(frontend.CopyData, st.binary(max_size=80)),
    st.builds(frontend.CopyFail, cstrings),
    st.builds(frontend.CopyDone),
    st.builds(frontend.Flush),
    st.builds(frontend.Sync),
    st.builds(frontend.Terminate),
)

letters = st.sampled_from("SVCMDHPpqWstcdnFLR").map(str.encode)
fields = st.lists(st.tuples(letters, cstrings), max_size=6).map(tuple)
column = st.builds(backend.FieldDescription, cstrings, uint32, int16, uint32, int16, int32, int16)
copy_kinds = st.sampled_from(
    (codes.COPY_IN_RESPONSE, codes.COPY_OUT_RESPONSE, codes.COPY_BOTH_RESPONSE)
)
statuses = st.sampled_from((codes.IDLE, codes.IN_TRANSACTION, codes.IN_FAILED_TRANSACTION))
keys = st.binary(min_size=4, max_size=codes.MAX_CANCEL_KEY)

backend_messages = st.one_of(
    st.builds(auth.Authentication, uint32, st.binary(max_size=40)),
    st.builds(auth.BackendKeyData, uint32, keys),
    st.builds(auth.NegotiateProtocolVersion, uint32, st.lists(cstrings, max_size=4).map(tuple)),
    st.builds(backend.ParameterStatus, cstrings, cstrings),
    st.builds(backend.ReadyForQuery, statuses),
    st.builds(backend.RowDescription, st.lists(column, max_size=5).map(tuple)),
    st.builds(backend.ParameterDescription, oids),
    st.builds(backend.DataRow, value_lists),
    st.builds(backend.CommandComplete, cstrings),
    st.builds(backend.NotificationResponse, uint32, cstrings, cstrings),
    st.builds(backend.CopyResponse, copy_kinds, st.integers(0, 1), formats),
    st.builds(backend.CopyData, st.binary(max_size=80)),
    st.builds(backend.CopyDone),
    st.builds(backend.FunctionCallResponse, values),
    st.builds(notices.ErrorResponse, fields),
    st.builds(notices.NoticeResponse, fields),
    st.sampled_from(
        (
            backend.PARSE_COMPLETE,
            backend.BIND_COMPLETE,
            backend.CLOSE_COMPLETE,
            backend.EMPTY_QUERY_RESPONSE,
            backend.NO_DATA,
            backend.PORTAL_SUSPENDED,
        )
    ),
)

versions = st.sampled_from((codes.PROTOCOL_3_0, codes.PROTOCOL_3_2, 3 << 16 | 9999))
initial_packets = st.one_of(
    st.builds(
        initial.StartupMessage,
        versions,
        st.lists(st.tuples(names, cstrings), max_size=5).map(tuple),
    ),
    st.builds(initial.SSLRequest),
    st.builds(initial.GSSENCRequest),
    st.builds(initial.CancelRequest, uint32, keys),
)

password_messages = st.one_of(
    st.tuples(st.just(auth.parse_password_message), st.builds(auth.PasswordMessage, cstrings)),
    st.tuples(
        st.just(auth.parse_sasl_initial_response),
        st.builds(
            auth.SASLInitialResponse,
            st.sampled_from(("SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "OAUTHBEARER", "")),
            values,
        ),
    ),
    st.tuples(
        st.just(auth.parse_sasl_response), st.builds(auth.SASLResponse, st.binary(max_size=60))
    ),
)
