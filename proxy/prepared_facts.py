"""The facts of a session's prepared statements, as EXECUTE would run them now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from appliance.sql.facts import Facts

if TYPE_CHECKING:
    from proxy.session import Session


class PreparedFacts(Mapping[str, Facts]):
    """By name. The target resolves names again when search_path has changed: so they are here."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __getitem__(self, name: str) -> Facts:
        prepared = self._session.statements[name.encode("utf-8", "surrogateescape")]
        facts = self._session.judge.facts_now(prepared.raw)
        if facts is None:  # too large to be read again at once: then nobody knows
            raise KeyError(name)
        if not prepared.is_sql:
            return facts
        return replace(facts, statements=tuple(s for s in facts.statements if s.prepares == name))

    def __iter__(self) -> Iterator[str]:
        return (name.decode("utf-8", "replace") for name in self._session.statements)

    def __len__(self) -> int:
        return len(self._session.statements)
