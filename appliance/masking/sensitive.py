"""What sensitive data is called: its kinds, how sure one is, a suggestion with its evidence."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

from appliance.masking.values import Method


class Kind(StrEnum):
    """A kind of sensitive data, as people say it."""

    CARD = "card number"
    EMAIL = "e-mail address"
    PHONE = "phone number"
    IBAN = "bank account"
    NATIONAL_ID = "national id"
    BIRTH = "date of birth"
    NAME = "person's name"
    ADDRESS = "postal address"
    SECRET = "secret"  # noqa: S105 - the name of a kind
    IP = "IP address"


class Confidence(IntEnum):
    """How sure a suggestion is."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3

    @property
    def word(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """What is known of one column before anybody said what it is.

    ``type``: as the catalog has it ("text", "_text" for an array), a domain's by its base type.
    ``values``: a few of them as text, None = nobody looked; never kept.
    """

    table: str
    name: str
    type: str
    values: tuple[str, ...] | None = None

    @property
    def element(self) -> str:
        """Return the type without what makes an array of it, or a schema."""
        return self.type.rpartition(".")[2].removeprefix("_")

    @property
    def is_array(self) -> bool:
        return self.type.rpartition(".")[2].startswith("_")


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look at a name or at values found. ``is_part``: values hold more than that."""

    kind: Kind
    confidence: Confidence
    evidence: str
    is_part: bool = False


@dataclass(frozen=True, slots=True)
class Suggestion:
    """That a column looks sensitive, why, and how it could be masked."""

    kind: Kind
    confidence: Confidence
    evidence: str
    method: Method


TEXTS = frozenset({"text", "varchar", "bpchar", "char", "name", "citext"})
INTEGERS = frozenset({"int8", "int4", "numeric"})
DATES = frozenset({"date", "timestamp", "timestamptz"})
JSONS = frozenset({"json", "jsonb"})
ADDRESSES = frozenset({"inet", "cidr"})
