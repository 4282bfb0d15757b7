"""Small charts as SVG made here: no script, no inline style, words for who cannot see them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from markupsafe import Markup

_WIDTH, _HEIGHT, _GAP = 240, 36, 1


def bars(values: Sequence[int], label: str, tone: str = "") -> Markup:
    """Return a bar for each value, oldest first; an empty series is a flat line."""
    most = max(values, default=0)
    step = _WIDTH / max(1, len(values))
    parts = [
        Markup('<rect x="{}" y="{}" width="{}" height="{}"></rect>').format(
            f"{index * step:.2f}",
            f"{_HEIGHT - _height(value, most):.2f}",
            f"{max(0.5, step - _GAP):.2f}",
            f"{_height(value, most):.2f}",
        )
        for index, value in enumerate(values)
        if value
    ]
    return Markup(
        '<svg class="bars {}" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img"'
        ' aria-label="{}"><path d="M0 {}H{}"></path>{}</svg>'
    ).format(tone, _WIDTH, _HEIGHT, label, f"{_HEIGHT - 0.5}", _WIDTH, Markup("").join(parts))


def _height(value: int, most: int) -> float:
    """Return a bar's height; the smallest value that is not zero is still seen."""
    return max(2.0, value / most * (_HEIGHT - 2)) if most else 0.0


def life_bar(begun: datetime, ends: datetime, present: datetime) -> Markup:
    """Return how much of a credential's life is over, as a bar; the last tenth is marked."""
    whole = max(1.0, (ends - begun).total_seconds())
    left = min(1.0, max(0.0, (ends - present).total_seconds() / whole))
    return Markup(
        '<svg class="life {}" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="rest" width="100" height="4"></rect>'
        '<rect width="{}" height="4"></rect></svg>'
    ).format("held" if left < 0.1 else "", f"{left * 100:.1f}")
