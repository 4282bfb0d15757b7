"""The walk's steps about masking: one sees card numbers, the others their last digits."""

from __future__ import annotations

import json
from typing import Any

import psycopg

from appliance.demo import sample
from appliance.demo.running import Demo
from appliance.demo.steps import Commands, Step, StepFailed, expect, one

_ANA, _BO, _CY, _EVE = sample.PEOPLE
_RULE, _STRICT = "card-numbers", "national-ids"
_CARD = "SELECT card_number FROM customers WHERE id = 7"
_DRESSED = (
    "SELECT string_agg(card_number, ',') FROM customers WHERE id < 9",
    "SELECT json_agg(card_number) FROM customers WHERE id < 9",
    "SELECT row(id, card_number)::text FROM customers WHERE id < 9",
    "WITH w AS (SELECT substr(card_number, 1, 12) AS x FROM customers) SELECT x FROM w LIMIT 3",
)


class MaskingWalk:
    """The steps; they change nothing."""

    def __init__(self, demo: Demo, commands: Commands) -> None:
        self._demo = demo
        self._commands = commands

    def steps(self) -> list[Step]:
        return [
            Step("eve sees card numbers masked, bo (group pci) the values", self._seen),
            Step("counting and joining go on; what is computed from one is masked", self._computed),
            Step("a strict rule refuses a comparison, and says how to write it", self._strict),
            Step("a policy test says which output is masked, and by which rule", self._explained),
        ]

    def _seen(self) -> str:
        with self._demo.server.connect(sample.TARGET) as direct:
            (value,) = one(direct.execute(_CARD.encode()))
        masked = "*" * (len(str(value)) - 4) + str(value)[-4:]
        with self._commands.connect(_EVE) as connection:
            expect(one(connection.execute(_CARD.encode())), (masked,))
            row = one(connection.execute(_CARD.replace("7", "%s").encode(), (7,), prepare=True))
            expect(row, (masked,))
        with self._commands.connect(_BO) as connection:
            expect(one(connection.execute(_CARD.encode())), (value,))
        return f"{masked} and {str(value)[:4]}…"

    def _computed(self) -> str:
        with self._demo.server.connect(sample.TARGET) as direct:
            values = {
                str(value)[:12]
                for (value,) in direct.execute(b"SELECT card_number FROM customers WHERE id < 9")
            }
            counted = "SELECT count(DISTINCT card_number) FROM customers"
            count = one(direct.execute(counted.encode()))
        with self._commands.connect(_EVE) as connection:
            expect(one(connection.execute(counted.encode())), count)
            for text in _DRESSED:
                for row in connection.execute(text.encode()):
                    if any(value in str(row) for value in values):
                        raise StepFailed(f"a value came through: {text}")
        return f"count(DISTINCT …) is {count[0]}; {len(_DRESSED)} ways round show none"

    def _strict(self) -> str:
        with self._commands.connect(_EVE) as connection:
            expect(one(connection.execute("SELECT ssn FROM customers WHERE id = 7")), (None,))
            try:
                connection.execute(b"SELECT id FROM customers WHERE ssn LIKE '900-01%%'")
            except psycopg.errors.InsufficientPrivilege as error:
                said = f"{error.diag.message_primary} {error.diag.message_hint}"
            else:
                raise StepFailed("it was compared")
            expect(one(connection.execute("SELECT 1")), (1,))
        if _STRICT not in said:
            raise StepFailed(said)
        return said.split(" Rule")[0]

    def _explained(self) -> str:
        text = "SELECT name, upper(card_number) AS card FROM customers"
        asked = ("--as", _EVE, "--target", sample.TARGET, "--json", text)
        found: dict[str, Any] = json.loads(self._commands.run("policy", "test", *asked))
        (mask,) = found["masks"]
        expect((mask["output"], mask["rule"]), ("card", _RULE))
        return f"{mask['output']}: {mask['rule']}, {mask['method']}"
