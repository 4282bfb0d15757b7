"""Values that stand for a column's in previews: made up, so that nothing real is shown. Pure."""

from __future__ import annotations

from appliance.masking.sensitive import Kind
from appliance.masking.types import Kind as TypeKind
from appliance.masking.types import type_named
from appliance.sql.catalog import Catalog

_BY_KIND = {
    Kind.CARD: "4111111111111111",
    Kind.EMAIL: "ada.berg@example.com",
    Kind.PHONE: "+47 400 12 345",
    Kind.IBAN: "NO9386011117947",
    Kind.NATIONAL_ID: "219-09-9999",
    Kind.NAME: "Ada Berg",
    Kind.ADDRESS: "Storgata 1, 0155 Oslo",
    Kind.SECRET: "correct horse battery",
    Kind.IP: "192.0.2.17",
    Kind.BIRTH: "1990-05-17",
}
_BY_TYPE = {
    TypeKind.BOOL: "t",
    TypeKind.INT2: "4711",
    TypeKind.INT4: "4711",
    TypeKind.INT8: "4111111111111111",
    TypeKind.FLOAT4: "12.5",
    TypeKind.FLOAT8: "12.5",
    TypeKind.NUMERIC: "1234.50",
    TypeKind.UUID: "6f1c2a7e-3f5b-4d57-9d0b-2a8a5f1f9c11",
    TypeKind.DATE: "1990-05-17",
    TypeKind.TIMESTAMP: "1990-05-17 08:30:00",
    TypeKind.TIMESTAMPTZ: "1990-05-17 08:30:00+00",
    TypeKind.TIME: "08:30:00",
    TypeKind.INET: "192.0.2.17",
    TypeKind.CIDR: "192.0.2.0/24",
    TypeKind.MACADDR: "08:00:2b:01:02:03",
    TypeKind.JSON: '{"email": "ada.berg@example.com"}',
    TypeKind.JSONB: '{"email": "ada.berg@example.com"}',
    TypeKind.BYTEA: "\\x6765686569",
    TypeKind.ARRAY: "{Ada,Bo}",
}
_TEXTS = frozenset({TypeKind.TEXT, TypeKind.BPCHAR, TypeKind.CITEXT, TypeKind.NAME})
_TEXT = "some text of it"


def example(type_name: str, kind: Kind | None, catalog: Catalog | None = None) -> str:
    """Return a value that such a column could hold, as text; "" where none is known."""
    of = type_named(type_name, catalog)
    if of is None:
        return ""
    if of.kind in _TEXTS or of.kind is TypeKind.CONSTRAINED:
        return _TEXT if kind is None else _BY_KIND[kind]
    return _BY_TYPE.get(of.kind, "")
