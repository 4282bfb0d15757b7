"""What kind of value a type has, as far as masking must know: by OID or by name."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from appliance.sql.catalog import Catalog


class Kind(Enum):
    """Types that are masked in the same way. ``UNKNOWN`` has no replacement but NULL."""

    BOOL = "bool"
    INT2 = "int2"
    INT4 = "int4"
    INT8 = "int8"
    FLOAT4 = "float4"
    FLOAT8 = "float8"
    NUMERIC = "numeric"
    MONEY = "money"
    TEXT = "text"
    BPCHAR = "bpchar"  # padded with blanks to its length
    CITEXT = "citext"
    NAME = "name"
    CHAR = '"char"'  # one byte
    BYTEA = "bytea"
    UUID = "uuid"
    DATE = "date"
    TIME = "time"
    TIMETZ = "timetz"
    TIMESTAMP = "timestamp"
    TIMESTAMPTZ = "timestamptz"
    INTERVAL = "interval"
    INET = "inet"
    CIDR = "cidr"
    MACADDR = "macaddr"
    MACADDR8 = "macaddr8"
    JSON = "json"
    JSONB = "jsonb"
    JSONPATH = "jsonpath"
    XML = "xml"
    BIT = "bit"
    VARBIT = "varbit"
    POINT = "point"
    LSEG = "lseg"
    PATH = "path"
    BOX = "box"
    POLYGON = "polygon"
    LINE = "line"
    CIRCLE = "circle"
    TSVECTOR = "tsvector"
    TSQUERY = "tsquery"
    OID = "oid"
    REGOBJECT = "regobject"  # regclass, regproc …: "-" stands for none
    REGOPERATOR = "regoperator"  # regoper, regoperator: "0" stands for none
    XID8 = "xid8"
    TID = "tid"
    PG_LSN = "pg_lsn"
    SNAPSHOT = "snapshot"
    INT2VECTOR = "int2vector"  # an array that is written without braces
    OIDVECTOR = "oidvector"
    ARRAY = "array"
    RANGE = "range"
    MULTIRANGE = "multirange"
    ENUM = "enum"
    COMPOSITE = "composite"
    CONSTRAINED = "domain"  # with a CHECK that a replacement may not pass
    UNKNOWN = "unknown"


TEXTS: Final = frozenset({Kind.TEXT, Kind.BPCHAR, Kind.CITEXT, Kind.NAME})
INTEGERS: Final = frozenset({Kind.INT2, Kind.INT4, Kind.INT8})
DATES: Final = frozenset({Kind.DATE, Kind.TIMESTAMP, Kind.TIMESTAMPTZ})

# pg_type.dat: OIDs below 10,000 are the same on every server and never change.
_BUILT_IN: Final = {
    Kind.BOOL: {"bool": 16},
    Kind.BYTEA: {"bytea": 17},
    Kind.CHAR: {"char": 18},
    Kind.NAME: {"name": 19},
    Kind.INT8: {"int8": 20},
    Kind.INT2: {"int2": 21},
    Kind.INT2VECTOR: {"int2vector": 22},
    Kind.OIDVECTOR: {"oidvector": 30},
    Kind.INT4: {"int4": 23},
    Kind.REGOBJECT: {
        "regproc": 24,
        "regprocedure": 2202,
        "regclass": 2205,
        "regtype": 2206,
        "regconfig": 3734,
        "regdictionary": 3769,
        "regnamespace": 4089,
        "regrole": 4096,
        "regcollation": 4191,
    },
    Kind.REGOPERATOR: {"regoper": 2203, "regoperator": 2204},
    Kind.TEXT: {"text": 25, "varchar": 1043, "unknown": 705, "refcursor": 1790, "cstring": 2275},
    Kind.OID: {"oid": 26, "xid": 28, "cid": 29},
    Kind.TID: {"tid": 27},
    Kind.JSON: {"json": 114},
    Kind.XML: {"xml": 142},
    Kind.POINT: {"point": 600},
    Kind.LSEG: {"lseg": 601},
    Kind.PATH: {"path": 602},
    Kind.BOX: {"box": 603},
    Kind.POLYGON: {"polygon": 604},
    Kind.LINE: {"line": 628},
    Kind.CIDR: {"cidr": 650},
    Kind.FLOAT4: {"float4": 700},
    Kind.FLOAT8: {"float8": 701},
    Kind.CIRCLE: {"circle": 718},
    Kind.MACADDR8: {"macaddr8": 774},
    Kind.MONEY: {"money": 790},
    Kind.MACADDR: {"macaddr": 829},
    Kind.INET: {"inet": 869},
    Kind.BPCHAR: {"bpchar": 1042},
    Kind.DATE: {"date": 1082},
    Kind.TIME: {"time": 1083},
    Kind.TIMESTAMP: {"timestamp": 1114},
    Kind.TIMESTAMPTZ: {"timestamptz": 1184},
    Kind.INTERVAL: {"interval": 1186},
    Kind.TIMETZ: {"timetz": 1266},
    Kind.BIT: {"bit": 1560},
    Kind.VARBIT: {"varbit": 1562},
    Kind.NUMERIC: {"numeric": 1700},
    Kind.UUID: {"uuid": 2950},
    Kind.SNAPSHOT: {"txid_snapshot": 2970, "pg_snapshot": 5038},
    Kind.PG_LSN: {"pg_lsn": 3220},
    Kind.TSVECTOR: {"tsvector": 3614},
    Kind.TSQUERY: {"tsquery": 3615},
    Kind.JSONB: {"jsonb": 3802},
    Kind.RANGE: {
        "int4range": 3904,
        "numrange": 3906,
        "tsrange": 3908,
        "tstzrange": 3910,
        "daterange": 3912,
        "int8range": 3926,
    },
    Kind.JSONPATH: {"jsonpath": 4072},
    Kind.MULTIRANGE: {
        "int4multirange": 4451,
        "nummultirange": 4532,
        "tsmultirange": 4533,
        "tstzmultirange": 4534,
        "datemultirange": 4535,
        "int8multirange": 4536,
    },
    Kind.XID8: {"xid8": 5069},
}
_ELEMENTS: Final = {
    143: 142, 199: 114, 271: 5069, 629: 628, 651: 650, 719: 718, 775: 774, 791: 790, 1000: 16,
    1001: 17, 1002: 18, 1003: 19, 1005: 21, 1006: 22, 1007: 23, 1008: 24, 1009: 25, 1010: 27,
    1011: 28, 1012: 29, 1013: 30, 1014: 1042, 1015: 1043, 1016: 20, 1017: 600, 1018: 601,
    1019: 602, 1020: 603, 1021: 700, 1022: 701, 1027: 604, 1028: 26, 1034: 1033, 1040: 829,
    1041: 869, 1115: 1114, 1182: 1082, 1183: 1083, 1185: 1184, 1187: 1186, 1231: 1700, 1263: 2275,
    1270: 1266, 1561: 1560, 1563: 1562, 2201: 1790, 2207: 2202, 2208: 2203, 2209: 2204,
    2210: 2205, 2211: 2206, 2287: 2249, 2949: 2970, 2951: 2950, 3221: 3220, 3643: 3614,
    3644: 3642, 3645: 3615, 3735: 3734, 3770: 3769, 3807: 3802, 3905: 3904, 3907: 3906,
    3909: 3908, 3911: 3910, 3913: 3912, 3927: 3926, 4073: 4072, 4090: 4089, 4097: 4096,
    4192: 4191, 5039: 5038, 6150: 4451, 6151: 4532, 6152: 4533, 6153: 4534, 6155: 4535,
    6157: 4536,
}  # fmt: skip
_RECORD: Final = 2249

_KIND_OF_OID: Final = {oid: kind for kind, named in _BUILT_IN.items() for oid in named.values()}
_OID_OF_NAME: Final = {name: oid for named in _BUILT_IN.values() for name, oid in named.items()}
# How people and the SQL standard call them.
_ALIASES: Final = {
    "boolean": "bool",
    "smallint": "int2",
    "integer": "int4",
    "int": "int4",
    "bigint": "int8",
    "real": "float4",
    "double precision": "float8",
    "decimal": "numeric",
    "character varying": "varchar",
    "character": "bpchar",
    '"char"': "char",
    "bit varying": "varbit",
    "time without time zone": "time",
    "time with time zone": "timetz",
    "timestamp without time zone": "timestamp",
    "timestamp with time zone": "timestamptz",
}
_FIRST_FREE_OID = 10_000
_MAX_DEPTH = 32  # of domains over domains


@dataclass(frozen=True, slots=True)
class Type:
    """``element``: OID of an array's elements, which its binary form names.

    ``labels``: of an enum.
    """

    kind: Kind
    element: int = 0
    labels: tuple[str, ...] = ()


def type_of(oid: int, catalog: Catalog | None) -> Type:
    """Return what the type with that OID is; a domain is what it is over."""
    for _ in range(_MAX_DEPTH):
        if oid < _FIRST_FREE_OID:
            return _built_in(oid)
        row = _row(catalog, oid)
        if row is None:
            break
        _, _, name, how, element, base, _, *more = row
        if how == "e":
            return Type(Kind.ENUM, labels=tuple(more[1] or ()) if len(more) > 1 else ())
        if how != "d":
            return _of_user(name, how, element)
        if more and more[0]:
            return Type(Kind.CONSTRAINED)
        oid = base
    return Type(Kind.UNKNOWN)


def type_named(name: str, catalog: Catalog | None = None) -> Type | None:
    """Return what a type is by the name that the catalog gives a column's type.

    ``int4``, ``_text`` (an array), ``public.mood``; also ``text[]``, ``varchar(20)``, ``bigint``.
    None: a user's type that the catalog, if there is one, does not have.
    """
    bare = name.removeprefix("pg_catalog.")
    if bare.startswith("_") and bare[1:] in _OID_OF_NAME:
        return Type(Kind.ARRAY, _OID_OF_NAME[bare[1:]])
    if bare not in _OID_OF_NAME:
        bare = _without_modifier(bare)
    bare = _ALIASES.get(bare, bare)
    if bare in _OID_OF_NAME:
        return _built_in(_OID_OF_NAME[bare])
    if name.endswith("[]"):
        return Type(Kind.ARRAY)
    for row in () if catalog is None else catalog.type_rows:
        if name == f"{row[1]}.{row[2]}":
            return type_of(row[0], catalog)
    return Type(Kind.CITEXT) if bare.rpartition(".")[2] == "citext" else None


def _built_in(oid: int) -> Type:
    if oid in _ELEMENTS:
        return Type(Kind.ARRAY, _ELEMENTS[oid])
    return Type(_KIND_OF_OID.get(oid, Kind.COMPOSITE if oid == _RECORD else Kind.UNKNOWN))


def _of_user(name: str, how: str, element: int) -> Type:
    """``how`` is pg_type.typtype. A base type with elements is an array, or as good as one."""
    if how != "b":
        return Type(_BY_TYPTYPE.get(how, Kind.UNKNOWN))
    if element:
        return Type(Kind.ARRAY, element)
    return Type(Kind.CITEXT if name == "citext" else Kind.UNKNOWN)


def _row(catalog: Catalog | None, oid: int) -> tuple[Any, ...] | None:
    """Return (OID, schema, name, typtype, typelem, typbasetype, typrelid, has a CHECK, labels)."""
    rows = () if catalog is None else catalog.type_rows
    return next((row for row in rows if row[0] == oid), None)


def _without_modifier(name: str) -> str:
    """Return ``timestamp with time zone`` for ``timestamp(3) with time zone``."""
    head, bracket, rest = name.partition("(")
    if not bracket:
        return name
    return f"{head}{rest.partition(')')[2]}".strip()


_BY_TYPTYPE: Final = {
    "c": Kind.COMPOSITE,
    "m": Kind.MULTIRANGE,
    "r": Kind.RANGE,
}
