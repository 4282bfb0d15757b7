"""The plan of a masked session's result, by its statement and by what the target says of it.

Two layers: what the statement's lineage says of each output, and the origin that RowDescription
gives. Where they disagree, or one of them knows nothing, the output is masked as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from appliance.masking.explain import method_of
from appliance.masking.mask_set import MaskSet
from appliance.masking.maskers import Dialect, Masker, masker
from appliance.masking.rows import RowMasker
from appliance.masking.texts import MASKING
from appliance.masking.values import ColumnMask, MaskPlan, Method, OutputPlan
from appliance.recording.masked import MaskedColumn
from appliance.sql.catalog import TEMP_SCHEMA, Catalog
from appliance.sql.dependencies import Kind
from proxy import scrubbing
from proxy.decision import Decision
from proxy.encodings import codec_of
from proxy.results import Buffer
from proxy.wire import backend
from proxy.wire.backend import FieldDescription
from proxy.wire.framing import HEADER_BYTES

if TYPE_CHECKING:
    from proxy.judge import Judge
    from proxy.session import Session

_FIRST_USER_OID: Final = 16384
_NOBODY_KNOWS: Final = ColumnMask(MASKING, Method.REDACT, "what is not known")


@dataclass(frozen=True, slots=True)
class MaskedRows:
    """What happens to the rows of one result."""

    masked: tuple[MaskedColumn, ...]
    masker: RowMasker
    is_nameless: bool = False

    def description(self, message: Buffer) -> Buffer:
        """Return the RowDescription that the client gets: code may have chosen the names."""
        if not self.is_nameless:
            return message
        return scrubbing.nameless(bytes(message[HEADER_BYTES:]))

    def rows(self, view: memoryview, pos: int, size: int) -> tuple[bytes, int]:
        """Return what the client gets for the rows from ``pos`` on, and where they end."""
        return self.masker.rows(view, pos, size)

    def end(self) -> bytes:
        """Return what is left for the client: rows come whole."""
        return b""


def rows_plan(
    judge: Judge, decision: Decision | None, message: bytes, key: bytes, dialect: Dialect
) -> MaskedRows | None:
    """Return what happens to the rows that a RowDescription announces; None = they pass."""
    fields = backend.parse_row_description(message[HEADER_BYTES:]).fields
    maskers, shown = columns_plan(judge, decision, fields, key, dialect)
    if not shown:
        return None
    mask = decision.mask if decision is not None else None
    return MaskedRows(shown, RowMasker(maskers), mask is not None and mask.outputs is None)


def columns_plan(
    judge: Judge,
    decision: Decision | None,
    fields: Sequence[FieldDescription],
    key: bytes,
    dialect: Dialect,
) -> tuple[list[Masker | None], tuple[MaskedColumn, ...]]:
    """Return what masks each of a result's columns, and which of them are masked."""
    masks, catalog = judge.masks, judge.catalog
    mask = decision.mask if decision is not None else None
    maskers: list[Masker | None] = []
    shown: list[MaskedColumn] = []
    for at, field in enumerate(fields):
        columns: tuple[ColumnMask, ...] = (_NOBODY_KNOWS,)
        plain = False
        if decision is not None and decision.mask is None and not field.table_oid:
            columns = ()  # it names no data and runs no code: also where no catalog is known
        elif masks is not None and catalog is not None and decision is not None:
            output = _output(mask, at, len(fields))
            columns, plain = _column(output, field, decision, masks, catalog)
            if columns == (_NOBODY_KNOWS,) and (mask is None or mask.outputs is not None):
                judge.distrust()  # what has changed is known by the next time
        if not columns:
            maskers.append(None)
            continue
        maskers.append(
            masker(
                columns[0],
                field.type_oid,
                catalog,
                field.format,
                key,
                whole=not plain,
                dialect=dialect,
                typmod=field.type_modifier,
                declared=_declared(field, catalog),
            )
        )
        shown.append(_shown(field, columns, method_of(columns, is_plain=plain), judge.codec))
    return maskers, tuple(shown)


def dialect_of(session: Session) -> Dialect:
    """Return how the target writes values in a session."""
    said = session.parameters
    return Dialect(
        codec_of(said.get("client_encoding", "UTF8")),
        said.get("TimeZone", "UTC"),
        said.get("DateStyle", "ISO, MDY"),
    )


def disagrees(mask: MaskPlan, message: bytes | None) -> bool:
    """Return whether a statement gives another number of outputs than was decided on."""
    if message is None or not mask.outputs:
        return False  # no rows will come; or each is looked at by itself
    return len(backend.parse_row_description(message[HEADER_BYTES:]).fields) != len(mask.outputs)


def _output(mask: MaskPlan | None, at: int, count: int) -> OutputPlan | None:
    """Return what the statement says of one output; None = nothing: it is in no reach."""
    if mask is None or mask.outputs == ():
        return None
    if mask.outputs is None or len(mask.outputs) != count:
        return OutputPlan("", (_NOBODY_KNOWS,))
    return mask.outputs[at]


def _column(
    output: OutputPlan | None,
    field: FieldDescription,
    decision: Decision,
    masks: MaskSet,
    catalog: Catalog,
) -> tuple[tuple[ColumnMask, ...], bool]:
    """Return what masks an output, and whether it is just that column."""
    origin = (field.table_oid, field.column_attnum)
    shown = masks.origin(*origin)
    if output is None or output.origin is None:
        agree = _is_known(field.table_oid, decision, catalog)
    else:
        agree = output.origin == origin
    if output is not None and output.masks:
        return output.masks, output.is_plain and agree
    if shown is not None:
        return (shown,), False
    return ((), False) if agree else ((_NOBODY_KNOWS,), False)


def _declared(field: FieldDescription, catalog: Catalog | None) -> str:
    """Return the type that a column was declared with, "" where there is none."""
    relation = catalog.by_oid(field.table_oid) if catalog is not None else None
    columns = relation.columns if relation is not None else None
    found = (one.type for one in columns or () if one.number == field.column_attnum)
    return next(found, "")


def _is_known(oid: int, decision: Decision, catalog: Catalog) -> bool:
    """Return whether a relation is one of the catalog's, or of the session's temporary ones."""
    if oid < _FIRST_USER_OID or catalog.by_oid(oid) is not None:
        return True
    depends = decision.mask.depends if decision.mask is not None else ()
    if any(one.kind is Kind.NAME and one.expected == "temp" for one in depends):
        return True
    return any(
        effect.relation is not None and effect.relation.schema == TEMP_SCHEMA
        for statement in decision.facts.statements
        for effect in statement.effects
    )


def _shown(
    field: FieldDescription, columns: tuple[ColumnMask, ...], method: Method, codec: str
) -> MaskedColumn:
    return MaskedColumn(
        field.name.decode(codec, "replace"),
        tuple(dict.fromkeys(one.column for one in columns)),
        columns[0].rule,
        method.value,
    )
