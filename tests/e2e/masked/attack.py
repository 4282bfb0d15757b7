"""Attacks on masking, as the files of tests/fixtures/masking/attacks-*.yaml give them.

A file is a mapping: ``by`` (protocols of all its attacks), then what is expected -> name -> attack.
Expected: ``masked`` (it runs as on the target, or fails as there, and shows nothing), ``refused``
(a refusal of Gatepost's own comes), ``either``. Nothing may leak in any of the three. ``open`` has
what is known to leak still: it stands there, with why, until somebody closes it.
An attack is one statement, a list of steps, or a mapping with ``run``, ``messages`` or ``fn`` and:

``by``      simple | text | binary (the protocol), psql | psycopg… | asyncpg… (the client)
``before``, ``after``   statements run straight on the target by the owner: to set up, to clean up
``role``    super: as the target's superuser
``also``    strings that are leaks too, here
``want``    instead of the section's expectation
``options`` parameters of the start-up packet
``control_as``  what an exempt person runs instead, to show that the value is there to be seen
``reset``   the database is made anew afterwards

A statement may say ``<<TEXT*N>>``: TEXT, N times. ``:database`` and its like: lab.filled.
Steps: a statement; {owner: statements} straight on the target; {copy: COPY … FROM STDIN, data: …};
{mask: schema.table.column} hides one more column.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[2] / "fixtures" / "masking"
_SECTIONS = ("masked", "refused", "either", "open")
# Words of a statement that may leave something behind in its session or database.
_LEAVES = ("set_config", "lock", "INSERT", "UPDATE", "DELETE", "setval", "nextval", "lo_", "seed")
_KEYS = {
    *("by", "before", "after", "role", "also", "want", "options", "control_as", "reset"),
    *("run", "messages", "fn"),
}


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack by one protocol."""

    name: str
    by: str
    want: str
    steps: tuple[Any, ...] = ()
    messages: tuple[Any, ...] = ()
    fn: tuple[Any, ...] = ()
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    role: str = "owner"
    also: tuple[str, ...] = ()
    options: dict[str, str] = field(default_factory=dict)
    control: tuple[Any, ...] | None = None
    reset: bool = False

    @property
    def title(self) -> str:
        return f"{self.name} [{self.by}]"

    @property
    def is_plain(self) -> bool:
        """Return whether it leaves nothing behind in its session: one SELECT, COPY TO or TABLE."""
        if self.messages or self.fn or self.options or len(self.steps) != 1:
            return False
        step = self.steps[0]
        return (
            self.by in ("simple", "text", "binary")
            and isinstance(step, str)
            and step.split(maxsplit=1)[0] in ("SELECT", "WITH", "TABLE", "VALUES")
            and not (self.before or self.after or self.reset)
            and not any(word in step for word in _LEAVES)
        )


def read(path: Path) -> list[Attack]:
    """Return the attacks of a file, one for each protocol."""
    content = yaml.safe_load(path.read_text())
    usual = _listed(content.pop("by", "simple"))
    assert set(content) <= set(_SECTIONS), set(content)
    return [
        attack
        for section, attacks in content.items()
        for name, given in attacks.items()
        for attack in _attacks(name, given, section, usual)
    ]


CONTRIBUTED = FOLDER / "contrib-attacks.yaml"


def files() -> list[Path]:
    return sorted(FOLDER.glob("attacks-*.yaml"))


def _attacks(name: str, given: Any, section: str, usual: list[str]) -> Iterator[Attack]:
    spec = given if isinstance(given, dict) else {"run": given}
    assert set(spec) <= _KEYS, f"{name}: {set(spec) - _KEYS}"
    control = spec.get("control_as")
    for by in _listed(spec.get("by", usual)):
        yield Attack(
            name,
            by,
            spec.get("want", section),
            tuple(_expanded(step) for step in _listed(spec.get("run", ()))),
            tuple(_listed(spec.get("messages", ()))),
            tuple(spec.get("fn", ())),
            tuple(_listed(spec.get("before", ()))),
            tuple(_listed(spec.get("after", ()))),
            spec.get("role", "owner"),
            tuple(_listed(spec.get("also", ()))),
            spec.get("options", {}),
            None if control is None else tuple(_listed(control)),
            spec.get("reset", False),
        )


def _expanded(step: Any) -> Any:
    if not isinstance(step, str):
        return step
    return re.sub(r"<<(.*?)\*(\d+)>>", lambda found: found[1] * int(found[2]), step)


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]
