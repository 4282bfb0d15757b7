"""A form as values and errors: what was typed stays, each error stands beside its field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from flask import request

from appliance.errors import GatepostError, Invalid


@dataclass(slots=True)
class Form:
    """What a form shows. ``general`` is an error that belongs to no single field."""

    values: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    general: str = ""

    def value(self, name: str) -> str:
        return self.values.get(name, "")

    def error(self, name: str) -> str:
        return self.errors.get(name, "")

    def is_on(self, name: str) -> bool:
        """Return whether a checkbox was ticked."""
        return self.values.get(name) == "on"

    def lines(self, name: str) -> tuple[str, ...]:
        """Return a textarea's entries, one a line or separated by commas."""
        parts = self.value(name).replace(",", "\n").splitlines()
        return tuple(part.strip() for part in parts if part.strip())

    def optional(self, name: str) -> str | None:
        """Return the value, or None where nothing was typed."""
        return self.value(name) or None

    @property
    def has_errors(self) -> bool:
        return bool(self.errors or self.general)

    def refuse(self, name: str, message: str) -> None:
        """Put an error beside a field; the first one stays."""
        self.errors.setdefault(name, message)

    def take(self, error: GatepostError, known: Mapping[str, str] | None = None) -> None:
        """Put a service's error where it belongs.

        ``known`` maps a service's field names to this form's where they differ; an error on a
        field that the form does not show is a general one.
        """
        text = sentence(error)
        if isinstance(error, Invalid):
            name = error.field.rsplit(".", 1)[-1].partition("[")[0]
            name = (known or {}).get(name, name)
            if name in self.values:
                self.refuse(name, text)
                return
        self.general = self.general or text

    def take_beside(self, name: str, error: GatepostError) -> None:
        """Put an error beside a field, whatever field the service named."""
        self.refuse(name, sentence(error))


def sentence(error: GatepostError) -> str:
    """Return an error as a sentence for people, with what to do next."""
    text = f"{error.message}: {error.hint}" if error.hint else error.message
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "?", "!")) else f"{text}."


def read_form(*names: str, secrets: tuple[str, ...] = ()) -> Form:
    """Read the named fields of the request, trimmed; ``secrets`` are taken as typed."""
    values = {name: request.form.get(name, "").strip() for name in names}
    values |= {name: request.form.get(name, "") for name in secrets}
    return Form(values)
