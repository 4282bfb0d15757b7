"""Replacements for the values of a column: by its rule's method, its type and the format.

A replacement is always valid for the type in that format. Where none is (a composite, an enum but
for a label that the rule gives, a type that is not known, a domain that would refuse it) it is
NULL. An array is replaced by an empty one and a range by the empty one, whatever the method: how
many elements there are says something of the value too.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from appliance.masking.maskers_fixed import fixed, takes_fixed
from appliance.masking.maskers_redaction import redaction, zero_date
from appliance.masking.maskers_text import (
    Constant,
    Email,
    HashInteger,
    HashText,
    HashUuid,
    Partial,
)
from appliance.masking.maskers_values import TEXT, Dialect
from appliance.masking.types import DATES, INTEGERS, TEXTS, Kind, Type, type_named, type_of
from appliance.masking.values import ColumnMask, Method
from appliance.sql.catalog import Catalog

__all__ = ["Dialect", "Masker", "masker", "preview", "why_not"]

# Takes a value in the format that it was made for, returns what the client gets; None = NULL.
Masker = Callable[[bytes], bytes | None]

_DIALECT: Final = Dialect()
_PREVIEW_KEY: Final = b"preview"
_SIZES: Final = {Kind.INT2: 2, Kind.INT4: 4, Kind.INT8: 8}
_HASHED: Final = TEXTS | INTEGERS | {Kind.UUID}
_ONLY_NULL: Final = frozenset({Kind.ENUM, Kind.COMPOSITE, Kind.CONSTRAINED, Kind.UNKNOWN})


def masker(
    mask: ColumnMask,
    type_oid: int,
    catalog: Catalog | None,
    format: int,
    key: bytes,
    *,
    whole: bool = False,
    dialect: Dialect = _DIALECT,
    typmod: int = -1,
    declared: str = "",
) -> Masker:
    """Return what replaces the values of an output; never called for NULL, which stays NULL.

    ``whole``: the output is computed from the column, so the method's view of one value would say
    nothing true, or too much: the type's redaction, or NULL. ``key``: of the hashes; one for all
    columns, so that what was equal still joins. ``typmod``: the output's, as RowDescription has it.
    ``declared``: the name of the column's own type, where it is a domain: RowDescription shows
    what that is over.
    """
    if declared and type_named(declared, catalog) == Type(Kind.CONSTRAINED):
        return Constant(None)
    of = type_of(type_oid, catalog)
    return _masker(mask, of, format, key, dialect, typmod, whole=whole)


def why_not(
    method: Method | str, type_name: str, value: str | None = None, catalog: Catalog | None = None
) -> str:
    """Return "" or why a column of that type cannot be masked so, as a sentence.

    ``type_name``: as the catalog's columns have it. ``catalog``: has the users' types; without it
    nothing is said against them.
    """
    if method not in list(Method):
        return f"there is no method {method}: use one of {', '.join(Method)}"
    method = Method(method)
    if method is Method.FIXED and value is None:
        return "fixed needs a value: add value: V"
    if method is not Method.FIXED and value is not None:
        return f"a value is only for fixed, not for {method}"
    of = type_named(type_name, catalog)
    if method in (Method.NULL, Method.REDACT) or (of is None and catalog is None):
        return ""
    kind = Kind.UNKNOWN if of is None else of.kind
    if of is not None and kind is Kind.ENUM and value is not None:
        return "" if value in of.labels else f"the value is none of {type_name}'s labels"
    if kind in _TAKES[method]:
        return "" if value is None else _why_not_fixed(kind, type_name, value)
    return f"{method} is for {_WORDS[method]}, not for {type_name}: use redact or null"


def preview(
    mask: ColumnMask,
    type_name: str,
    value: str,
    catalog: Catalog | None = None,
    key: bytes = _PREVIEW_KEY,
) -> str | None:
    """Return what a value, given as text, becomes; None = NULL. Hashes look so, but are others."""
    of = type_named(type_name, catalog) or Type(Kind.UNKNOWN)
    masked = _masker(mask, of, TEXT, key, _DIALECT, -1)(value.encode("utf-8", "replace"))
    return None if masked is None else masked.decode("utf-8", "replace")


def _masker(
    mask: ColumnMask,
    of: Type,
    form: int,
    key: bytes,
    dialect: Dialect,
    typmod: int,
    *,
    whole: bool = False,
) -> Masker:
    if of.kind is Kind.ENUM and mask.method is Method.FIXED and mask.value in of.labels:
        with suppress(UnicodeEncodeError):  # else the session's encoding does not have it
            return Constant(None if whole else mask.value.encode(dialect.codec or "ascii"))
    if mask.method is Method.NULL or of.kind in _ONLY_NULL:
        return Constant(None)
    made = None if whole else _by_method(mask, of.kind, form, key, dialect, typmod)
    return made or Constant(redaction(of, form, dialect, typmod))


def _by_method(
    mask: ColumnMask, kind: Kind, form: int, key: bytes, dialect: Dialect, typmod: int
) -> Masker | None:
    """Return the method's own replacement; None where the type, or the encoding, has none."""
    method, codec = mask.method, dialect.codec
    if kind not in _TAKES.get(method, frozenset()):
        return None
    if method is Method.HASH:
        if kind is Kind.UUID:
            return HashUuid(key, form)
        if kind in _SIZES:
            return HashInteger(key, _SIZES[kind], form)
        return HashText(key, codec, kind, typmod)
    if method is Method.ZERO_DATE:
        return Constant(zero_date(kind, form, dialect))
    if method is Method.FIXED:
        try:
            return Constant(fixed(kind, mask.value or "", form, dialect, typmod))
        except ValueError:  # the rule came before the column's type, or the encoding lacks it
            return None
    if codec is None:
        return None
    if method is Method.PARTIAL:
        return Partial(codec, kind is Kind.BPCHAR)
    return Email(codec, kind, typmod)


def _why_not_fixed(kind: Kind, type_name: str, value: str) -> str:
    try:
        fixed(kind, value, TEXT, _DIALECT, -1)
    except ValueError:
        return f"the value is no {type_name}: give one as PostgreSQL would take it"
    return ""


_TAKES: Final = {
    Method.PARTIAL: TEXTS,
    Method.EMAIL: TEXTS,
    Method.HASH: _HASHED,
    Method.ZERO_DATE: DATES,
    Method.FIXED: frozenset(kind for kind in Kind if takes_fixed(kind)),
}
_WORDS: Final = {
    Method.PARTIAL: "texts",
    Method.EMAIL: "texts",
    Method.HASH: "texts, integers and uuids",
    Method.ZERO_DATE: "dates and timestamps",
    Method.FIXED: "texts, numbers, dates, times, addresses, uuids, enums, bytea and json",
}
