"""Whether a column looks sensitive, by its name, its type and a few of its values. Pure.

Values are looked at and forgotten: what comes back holds counts and words, none of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import orjson

from appliance.masking import national_ids, value_checks
from appliance.masking.column_words import by_name
from appliance.masking.national_ids import Strength
from appliance.masking.sensitive import (
    ADDRESSES,
    DATES,
    INTEGERS,
    JSONS,
    TEXTS,
    ColumnFacts,
    Confidence,
    Finding,
    Kind,
    Suggestion,
)
from appliance.masking.values import Method

__all__ = ["ColumnFacts", "Confidence", "Kind", "Suggestion", "classify", "is_worth_a_look"]

_MOST = 0.8  # of the values, for them to say what the column is
_SOME = 0.1  # of long texts, for what stands in them
_LONGEST = 4096  # characters of a value that are looked at
_KEYS = 200  # of a column's documents
_DEPTH = 6
_WORD = re.compile(r"[A-Za-z_][A-Za-z_]{0,29}\d?")
# How many different values must pass before the values alone are believed.
_LEAST = {
    Kind.SECRET: 1,
    Kind.EMAIL: 2,
    Kind.IBAN: 2,
    Kind.CARD: 3,
    Kind.PHONE: 3,
    Kind.IP: 3,
}
_LEAST_ID = {Strength.FORM: 5, Strength.CHECK_DIGIT: 10, Strength.NONE: 10**9}
_CHECKS: tuple[tuple[Kind, Callable[[str], bool], str], ...] = (
    (Kind.EMAIL, value_checks.is_email, "are e-mail addresses"),
    (Kind.CARD, value_checks.is_card, "pass Luhn and begin like a card number"),
    (Kind.IBAN, value_checks.is_iban, "are valid IBANs"),
    (Kind.PHONE, value_checks.is_phone, "are valid phone numbers"),
    (Kind.IP, value_checks.is_ip, "are IP addresses"),
)
_WITHIN: tuple[tuple[Kind, Callable[[str], bool], str], ...] = (
    (Kind.EMAIL, value_checks.holds_email, "contain an e-mail address"),
    (Kind.CARD, value_checks.holds_card, "contain a card number that passes Luhn"),
)
# What must be among the values where there are any, for the name to be believed.
_PROVABLE = frozenset({Kind.EMAIL, Kind.PHONE, Kind.CARD, Kind.IBAN, Kind.IP})
_NETWORKS = frozenset(("network", "subnet", "cidr", "gateway", "range", "netmask", "route"))


def is_worth_a_look(column: ColumnFacts) -> bool:
    """Return whether values of such a type can say more than the name."""
    if column.is_array:
        return column.element in TEXTS
    return column.element in TEXTS | JSONS | INTEGERS | ADDRESSES


def classify(column: ColumnFacts) -> Suggestion | None:
    """Return what a column seems to hold and how to mask it, None where nothing says so."""
    named = by_name(column)
    if column.values is None or not is_worth_a_look(column):
        return _suggested(column, named or _by_type(column))
    values = list(dict.fromkeys(value.strip() for value in column.values if value.strip()))
    if not values:
        empty = None if named is None else _with(named, "there are no values to look at")
        return _suggested(column, empty or _by_type(column))
    documents = _documents(column, values)
    if documents is not None:
        return _suggested(column, _in_documents(column, documents) or named)
    return _suggested(column, _weighed(column, values, named))


def _weighed(column: ColumnFacts, values: list[str], named: Finding | None) -> Finding | None:
    """Return what the name and the values say together."""
    values = [value[:_LONGEST] for value in values]
    seen = _by_values(column, values)
    if seen is not None:
        if named is None or named.kind is not seen.kind:
            return seen
        return Finding(seen.kind, Confidence.HIGH, f"{seen.evidence}; {named.evidence}")
    if named is not None:
        believed = _doubted(values, named)
        if believed is not None:
            return believed
    return _within(values) or _by_type(column)


def _by_values(column: ColumnFacts, values: list[str]) -> Finding | None:
    """Return what nearly all of the values are."""
    of_all = f"of {len(values)} values"
    words = [value_checks.secret(value) for value in values]
    secrets = [word for word in words if word]
    if len(secrets) >= _MOST * len(values):
        return Finding(Kind.SECRET, Confidence.HIGH, f"{len(secrets)} {of_all} are {secrets[0]}")
    for kind, check, said in _CHECKS:
        passed = sum(map(check, values))
        if passed < _MOST * len(values) or passed < _LEAST[kind]:
            continue
        if kind is Kind.IP and _look_like_versions(values):
            continue
        sure = Confidence.MEDIUM if kind is Kind.IP else Confidence.HIGH
        return Finding(kind, sure, f"{passed} {of_all} {said}")
    return _as_national_id(column, values, of_all)


def _as_national_id(column: ColumnFacts, values: list[str], of_all: str) -> Finding | None:
    if column.element in INTEGERS:  # leading zeros are lost
        width = max(map(len, values))
        values = [value.zfill(width) for value in values]
    found = national_ids.best(values)
    if found is None or found.passed < _MOST * len(values):
        return None
    named = by_name(column)
    is_named = named is not None and named.kind is Kind.NATIONAL_ID
    if found.passed < (1 if is_named else _LEAST_ID[found.id.strength]):
        return None
    sure = Confidence.HIGH if found.id.strength is Strength.FORM else Confidence.MEDIUM
    said = f"{found.passed} {of_all} have the form of a {found.id.title}"
    return Finding(Kind.NATIONAL_ID, sure, said)


def _doubted(values: list[str], named: Finding) -> Finding | None:
    """Return what a name is worth whose values do not all agree; None = nothing."""
    of_all = f"of {len(values)} values"
    if named.kind is Kind.PHONE:
        passed = sum(map(value_checks.may_be_phone, values))
        if passed >= _MOST * len(values):
            return _with(named, f"{passed} {of_all} could be phone numbers")
    for kind, check, said in _CHECKS:
        passed = sum(map(check, values)) if kind is named.kind else 0
        if passed:
            return _with(named, f"{passed} {of_all} {said}")
    if named.kind is Kind.CARD:
        formed = sum(map(value_checks.has_card_form, values))
        if formed >= _MOST * len(values):
            said = f"{formed} {of_all} have as many digits, though none passes Luhn"
            return Finding(named.kind, Confidence.LOW, f"{named.evidence}; {said}")
    if named.kind in _PROVABLE:
        return None
    if named.kind is Kind.NAME:
        passed = sum(map(_could_be_name, values))
        return (
            _with(named, f"{passed} {of_all} could be names") if passed * 2 > len(values) else None
        )
    return named


def _within(values: list[str]) -> Finding | None:
    """Return what stands in longer texts: notes, messages, addresses of pages."""
    for kind, check, said in _WITHIN:
        passed = sum(map(check, values))
        if passed >= 2 and passed >= _SOME * len(values):
            sure = Confidence.MEDIUM if passed >= _MOST * len(values) else Confidence.LOW
            return Finding(kind, sure, f"{passed} of {len(values)} values {said}", is_part=True)
    return None


def _by_type(column: ColumnFacts) -> Finding | None:
    words = column.name.lower()
    if column.element == "inet" and not any(word in words for word in _NETWORKS):
        return Finding(Kind.IP, Confidence.LOW, "its type is inet")
    return None


def _documents(column: ColumnFacts, values: list[str]) -> list[Any] | None:
    """Return the values as JSON where they are documents, None where they are not."""
    if column.element not in JSONS and not all(value[0] in "{[" for value in values):
        return None
    found = []
    for value in values:
        try:
            found.append(orjson.loads(value))
        except orjson.JSONDecodeError:
            continue
    return found if column.element in JSONS or len(found) >= _MOST * len(values) else None


def _in_documents(column: ColumnFacts, documents: list[Any]) -> Finding | None:
    """Return the most certain of what stands under the keys of the documents, or is their keys.

    A key can be a value too (documents by e-mail address): it is named only where it is one of
    the words that are looked for in columns' names.
    """
    by_key = _by_key(documents)
    looked = [(_said_key(key), key, values) for key, values in by_key.items()]
    looked.append(("its keys", "", list(by_key)))
    found: Finding | None = None
    for said, key, values in looked:
        suggestion = classify(ColumnFacts(column.table, key, "text", tuple(values)))
        if suggestion is not None and (found is None or suggestion.confidence > found.confidence):
            evidence = f"{said}: {suggestion.evidence}"
            found = Finding(suggestion.kind, suggestion.confidence, evidence, is_part=True)
    return found


def _said_key(key: str) -> str:
    is_known = _WORD.fullmatch(key) is not None and by_name(ColumnFacts("", key, "text"))
    return f"under the key {key!r}" if is_known else "under a key"


def _by_key(documents: Iterable[Any]) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    for document in documents:
        for key, value in _leaves(document, "", 0):
            if key in found or len(found) < _KEYS:
                found.setdefault(key, []).append(value[:_LONGEST])
    return found


def _leaves(value: Any, key: str, depth: int) -> Iterator[tuple[str, str]]:
    if depth > _DEPTH:
        return
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, name, depth + 1)
    elif isinstance(value, list):
        for inner in value[:_KEYS]:
            yield from _leaves(inner, key, depth + 1)
    elif isinstance(value, str | int) and not isinstance(value, bool):
        yield key, str(value)


def _look_like_versions(values: list[str]) -> bool:
    return all(value.partition(".")[0].lstrip("0123456789") == "" for value in values) and all(
        len(value.partition(".")[0]) < 2 for value in values
    )


def _could_be_name(value: str) -> bool:
    letters = [character for character in value if not (character.isspace() or character in "-'.,")]
    return bool(letters) and len(value) <= 80 and all(map(str.isalpha, letters))


def _with(named: Finding, said: str) -> Finding:
    return Finding(named.kind, named.confidence, f"{named.evidence}; {said}")


def _suggested(column: ColumnFacts, found: Finding | None) -> Suggestion | None:
    if found is None:
        return None
    method = _method(found, column)
    return Suggestion(found.kind, found.confidence, found.evidence, method)


def _method(found: Finding, column: ColumnFacts) -> Method:
    """Return the method to propose: one that the column's type can have."""
    if column.is_array:
        return Method.REDACT if column.element in TEXTS | INTEGERS | JSONS else Method.NULL
    if column.element in JSONS | INTEGERS:
        return Method.REDACT
    if column.element in DATES:
        return Method.ZERO_DATE
    if column.element not in TEXTS:
        return Method.NULL
    if found.is_part:
        return Method.REDACT
    match found.kind:
        case Kind.EMAIL:
            return Method.EMAIL
        case Kind.CARD | Kind.IBAN | Kind.PHONE:
            return Method.PARTIAL
        case _:
            return Method.REDACT
