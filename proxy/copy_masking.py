"""COPY … TO STDOUT of a masked session: what its columns are, and the plan of its rows.

CopyOutResponse has no names, types or origins, and Describe says NoData. So before a COPY runs,
the query that shows the same is parsed and described in the same transaction, whose locks then
keep what it names as it is.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from appliance.errors import ProtocolError
from appliance.masking.copy_rows import CopyMasker, copy_masker
from appliance.masking.maskers import Dialect
from appliance.masking.values import MaskPlan
from appliance.recording.masked import MaskedColumn
from appliance.sql.catalog import Catalog
from appliance.sql.dependencies import quoted
from appliance.sql.native import GrammarError, PgQuery, Token
from proxy.encodings import codec_of
from proxy.inflight import InFlight, Kind
from proxy.masked_results import columns_plan
from proxy.results import Buffer
from proxy.wire import backend, codes, frontend
from proxy.wire.backend import FieldDescription
from proxy.wire.framing import HEADER_BYTES

if TYPE_CHECKING:
    from appliance.sql.copy_options import CopyOptions
    from proxy.judge import Judge
    from proxy.session import Session

_COMMENTS: Final = (b"--", b"/*")
_NOTHING: Final = FieldDescription(b"?column?", 0, 0, 0, -1, -1)


@dataclass(frozen=True, slots=True)
class MaskedCopy:
    """What happens to the rows of one COPY."""

    masked: tuple[MaskedColumn, ...]
    masker: CopyMasker

    def description(self, message: Buffer) -> Buffer:
        """Return the CopyOutResponse, which says nothing but formats."""
        return message

    def rows(self, view: memoryview, pos: int, size: int) -> tuple[bytes, int]:
        """Return what the client gets for the rows from ``pos`` on, and where they end."""
        return self.masker.rows(view, pos, size)

    def end(self) -> bytes:
        """Return what is left for the client: nothing, or the copy ended within a row."""
        return self.masker.end()


def why_not(options: CopyOptions, dialect: Dialect) -> str:
    """Return "" or why the rows of a COPY cannot be told apart, and so not be masked."""
    try:
        copy_masker(options, (), _codec(options, dialect))
    except ValueError as error:
        return str(error)
    return ""


def describe(session: Session, item: InFlight, raw: bytes, mask: MaskPlan) -> list[InFlight]:
    """Have the target describe what a COPY shows; ``item.described`` gets its RowDescription.

    Returns the gateway's own messages, which are on their way; a Flush or Sync must follow.
    """
    judge = session.judge
    query = shown_by(raw, judge.codec, mask, judge.catalog)
    if query is None:
        return []
    name = b"gw:" + secrets.token_hex(6).encode()
    session.to_upstream += (
        frontend.Parse(name, query).encode(),
        frontend.Describe(codes.STATEMENT, name).encode(),
        frontend.Close(codes.STATEMENT, name).encode(),
    )
    steps = [session.own(kind) for kind in (Kind.PARSE, Kind.DESCRIBE, Kind.CLOSE)]

    def described(message: bytes) -> None:
        item.described = message

    steps[1].on_description = described
    return steps


def shown_by(raw: bytes, codec: str, mask: MaskPlan, catalog: Catalog | None) -> bytes | None:
    """Return the query that shows what a COPY would; None where that is not known."""
    text = raw.decode(codec, "replace")
    try:
        inner = _inner(text.encode())
    except (GrammarError, UnicodeEncodeError):
        return None
    if inner is None:
        made = _of_table(mask, catalog)
        return None if made is None else made.encode(codec, "replace")
    return inner.decode().encode(codec, "replace")


def _inner(text: bytes) -> bytes | None:
    """Return the query of COPY (query) as it was sent; None: it names a table."""
    tokens = [
        token
        for token in PgQuery(holds_lock=True).scan(text)
        if not text.startswith(_COMMENTS, token.start)
    ]
    if len(tokens) < 3 or _word(text, tokens[1]) != b"(":
        return None
    depth = 0
    for token in tokens[1:]:
        word = _word(text, token)
        depth += (word == b"(") - (word == b")")
        if depth == 0:
            return text[tokens[1].end : token.start]
    return None


def _word(text: bytes, token: Token) -> bytes:
    return text[token.start : token.end]


def _of_table(mask: MaskPlan, catalog: Catalog | None) -> str | None:
    """Return the query for COPY of a table, whose columns the plan has by their places."""
    places = [output.origin for output in mask.outputs or ()]
    oids = {place[0] if place else 0 for place in places}
    relation = catalog.by_oid(oids.pop()) if catalog is not None and len(oids) == 1 else None
    if relation is None or relation.columns is None:
        return None
    names = {column.number: column.name for column in relation.columns}
    wanted = [names.get(place[1]) for place in places if place is not None]
    if not all(wanted):
        return None
    columns = ", ".join(quoted(None, name) for name in wanted if name)
    table = quoted(relation.name.schema, relation.name.name)
    return f"SELECT {columns} FROM ONLY {table}"  # noqa: S608 - quoted names of the catalog


def plan(
    judge: Judge, item: InFlight, message: bytes, key: bytes, dialect: Dialect
) -> MaskedCopy | None:
    """Return what happens to the rows that a CopyOutResponse announces; None = they pass."""
    response = backend.parse_copy_out_response(message[HEADER_BYTES:])
    decision = item.decision
    mask = decision.mask if decision is not None else None
    if decision is not None and decision.lineage is None and (mask is None or mask.is_untouched):
        return None  # nothing masked is in its reach
    options = mask.copy if mask is not None else None
    if options is None or (options.format == "binary") != (response.format == 1):
        raise ProtocolError("gateway", "a COPY came whose format was not decided on")
    fields = _fields(item.described, response)
    dialect = replace(dialect, codec=_codec(options, dialect))
    maskers, masked = columns_plan(judge, decision, fields, key, dialect)
    if not masked:
        return None
    try:
        return MaskedCopy(masked, copy_masker(options, maskers, dialect.codec))
    except ValueError as error:
        raise ProtocolError("gateway", f"a COPY came that cannot be masked: {error}") from None


def _fields(described: bytes | None, response: backend.CopyResponse) -> list[FieldDescription]:
    """Return the columns with the copy's format; of what is not known the type is none."""
    found: tuple[FieldDescription, ...] = ()
    if described is not None:
        found = backend.parse_row_description(described[HEADER_BYTES:]).fields
    if len(found) != len(response.column_formats):
        found = (_NOTHING,) * len(response.column_formats)
    return [replace(field, format=response.format) for field in found]


def _codec(options: CopyOptions, dialect: Dialect) -> str | None:
    return codec_of(options.encoding) if options.encoding else dialect.codec
