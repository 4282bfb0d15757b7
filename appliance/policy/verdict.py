"""The answer to "may this run?": a value with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from appliance.sql.facts import Effect


class Action(StrEnum):
    """From lenient to strict; the strictest over all effects wins."""

    ALLOW = "allow"
    HOLD = "hold"
    BLOCK = "block"

    @property
    def strictness(self) -> int:
        return ("allow", "hold", "block").index(self.value)


@dataclass(frozen=True, slots=True)
class EffectDecision:
    """Which rule decided one effect: what the try box lists."""

    effect: Effect
    action: Action
    rule: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """allow, hold or block, with the rule and the reason.

    ``rule``: a policy rule's name, ``builtin:NAME``, or ``default``. ``reason``: one sentence for
    people. ``hint``: what the client can do next (shown as HINT, with how to ask).
    """

    action: Action
    rule: str
    reason: str
    hint: str = ""
    decisions: tuple[EffectDecision, ...] = ()

    @property
    def is_allow(self) -> bool:
        return self.action is Action.ALLOW
