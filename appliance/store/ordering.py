"""The order of rules: a new one from what somebody wants, and what is there."""

from __future__ import annotations

from collections.abc import Sequence

from appliance.errors import NotFound


def reordered(present: Sequence[str], wanted: Sequence[str], what: str) -> list[str]:
    """Return the names as wanted; those not named follow in their present order.

    Raises: ``NotFound`` where no ``what`` has one of the names.
    """
    unknown = [name for name in wanted if name not in present]
    if unknown:
        raise NotFound(f"no {what} is called {unknown[0]}")
    return [*dict.fromkeys(wanted), *(name for name in present if name not in wanted)]
