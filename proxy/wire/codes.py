"""The letters and numbers of PostgreSQL's frontend/backend protocol, versions 3.0 and 3.2.

Message types are ints: what indexing a memoryview gives.
Source: PostgreSQL documentation, "Message Formats"; src/include/libpq/protocol.h and pqcomm.h.
"""

from __future__ import annotations

from typing import Final

PROTOCOL_3_0: Final = 3 << 16
PROTOCOL_3_2: Final = 3 << 16 | 2
PROTOCOL_LATEST: Final = PROTOCOL_3_2

# What stands in the place of the version in a first packet.
CANCEL_REQUEST: Final = 80877102
SSL_REQUEST: Final = 80877103
GSSENC_REQUEST: Final = 80877104

# From the client.
BIND: Final = ord("B")
CLOSE: Final = ord("C")
DESCRIBE: Final = ord("D")
EXECUTE: Final = ord("E")
FLUSH: Final = ord("H")
FUNCTION_CALL: Final = ord("F")
PARSE: Final = ord("P")
PASSWORD: Final = ord("p")  # PasswordMessage, SASLInitialResponse, SASLResponse, GSSResponse
QUERY: Final = ord("Q")
SYNC: Final = ord("S")
TERMINATE: Final = ord("X")
COPY_FAIL: Final = ord("f")

# From either side.
COPY_DATA: Final = ord("d")
COPY_DONE: Final = ord("c")

# From the server.
AUTHENTICATION: Final = ord("R")
BACKEND_KEY_DATA: Final = ord("K")
BIND_COMPLETE: Final = ord("2")
CLOSE_COMPLETE: Final = ord("3")
COMMAND_COMPLETE: Final = ord("C")
COPY_BOTH_RESPONSE: Final = ord("W")
COPY_IN_RESPONSE: Final = ord("G")
COPY_OUT_RESPONSE: Final = ord("H")
DATA_ROW: Final = ord("D")
EMPTY_QUERY_RESPONSE: Final = ord("I")
ERROR_RESPONSE: Final = ord("E")
FUNCTION_CALL_RESPONSE: Final = ord("V")
NEGOTIATE_PROTOCOL_VERSION: Final = ord("v")
NO_DATA: Final = ord("n")
NOTICE_RESPONSE: Final = ord("N")
NOTIFICATION_RESPONSE: Final = ord("A")
PARAMETER_DESCRIPTION: Final = ord("t")
PARAMETER_STATUS: Final = ord("S")
PARSE_COMPLETE: Final = ord("1")
PORTAL_SUSPENDED: Final = ord("s")
READY_FOR_QUERY: Final = ord("Z")
ROW_DESCRIPTION: Final = ord("T")

# What an Authentication message asks for.
AUTH_OK: Final = 0
AUTH_KERBEROS_V5: Final = 2
AUTH_CLEARTEXT_PASSWORD: Final = 3
AUTH_MD5_PASSWORD: Final = 5
AUTH_GSS: Final = 7
AUTH_GSS_CONTINUE: Final = 8
AUTH_SSPI: Final = 9
AUTH_SASL: Final = 10
AUTH_SASL_CONTINUE: Final = 11
AUTH_SASL_FINAL: Final = 12

# The transaction status of ReadyForQuery.
IDLE: Final = ord("I")
IN_TRANSACTION: Final = ord("T")
IN_FAILED_TRANSACTION: Final = ord("E")

# What Describe and Close point at.
STATEMENT: Final = ord("S")
PORTAL: Final = ord("P")

# PostgreSQL's own bounds, on the length that the message itself names.
MAX_STARTUP_PACKET: Final = 10_000
MAX_AUTH_TOKEN: Final = 65_535
SMALL_MESSAGE: Final = 10_000
LARGE_MESSAGE: Final = 0x3FFF_FFFE
MAX_CANCEL_KEY: Final = 256
