"""What analysts, ORMs, BI tools and psql ask every day works for somebody from whom is hidden."""

from __future__ import annotations

from tests.e2e.masked import everyday
from tests.e2e.masked.lab import Lab

AT_LEAST = 150
MUST_WORK = 0.98


def test_everyday_statements_do_what_they_do_on_the_target(masking_lab: Lab) -> None:
    total = 0
    wrong, leaks = [], []
    for path in everyday.files():
        differences = everyday.compare(masking_lab, path)
        total += differences.total
        wrong += [f"{path.stem} {name}: {what}" for name, what in differences.found.items()]
        leaks += [f"{path.stem} {name}: {what}" for name, what in differences.leaks.items()]
    assert not leaks, "\n".join(leaks)
    assert total >= AT_LEAST
    assert total - len(wrong) >= MUST_WORK * total, "\n".join(wrong)
