"""The steps of a connection test, as values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """One step: what was found, and (when not ``ok``, or worth a word) how to mend it."""

    name: str
    ok: bool
    detail: str
    hint: str = ""


class StepFailed(Exception):
    """A step that ended the test."""

    def __init__(self, name: str, detail: str, hint: str) -> None:
        super().__init__(detail)
        self.step = Step(name, False, detail, hint)
