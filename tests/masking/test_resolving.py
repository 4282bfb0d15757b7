"""Whatever is renamed, moved, dropped, made anew: who was meant once is meant, and nobody else."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.entities import MaskingRule, Resolution
from appliance.masking.resolving import Columns, resolve
from appliance.masking.values import Method
from tests.masking.catalogs import catalog

RULE = MaskingRule(0, "r", "shop", ("a.t.x", "*.*.ssn"), Method.REDACT)
SCHEMAS, TABLES, COLUMNS = ("a", "b"), ("t", "u", "v"), ("x", "y", "ssn")

Step = tuple[str, int, str, str, str]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(("create", "drop", "rename", "column", "add")),
        st.integers(0, 3),
        st.sampled_from(SCHEMAS),
        st.sampled_from(TABLES),
        st.sampled_from(COLUMNS),
    ),
    max_size=25,
)


class Target:
    """Tables by name, each with its OID and its columns in order; "-" = dropped."""

    def __init__(self) -> None:
        self.tables: dict[str, tuple[int, tuple[str, ...]]] = {}
        self._next = 100

    def do(self, step: Step) -> None:
        what, at, schema, table, column = step
        name = f"{schema}.{table}"
        if what == "create":
            if name not in self.tables:
                self._next += 1
                self.tables[name] = (self._next, (column,))
            return
        if not self.tables:
            return
        old = sorted(self.tables)[at % len(self.tables)]
        oid, columns = self.tables[old]
        if what == "drop":
            del self.tables[old]
        elif what == "rename" and name not in self.tables:
            self.tables[name] = self.tables.pop(old)
        elif what == "add" and column not in columns and len(columns) < 5:
            self.tables[old] = (oid, (*columns, column))
        elif what == "column" and column not in columns:
            place = at % len(columns)
            if columns[place] != "-":
                self.tables[old] = (oid, (*columns[:place], column, *columns[place + 1 :]))

    def columns(self) -> dict[tuple[int, int], tuple[str, str]]:
        """Return (table's name, column's name) by place."""
        return {
            (oid, number): (name, column)
            for name, (oid, columns) in self.tables.items()
            for number, column in enumerate(columns, 1)
            if column != "-"
        }


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_a_rule_means_what_it_ever_meant_by_place_or_by_name(steps: list[Step]) -> None:
    target = Target()
    known: dict[Resolution, None] = {}
    places: set[tuple[int, int]] = set()
    names: set[tuple[str, str]] = set()
    for step in steps:
        target.do(step)
        found = resolve(RULE, known, Columns(catalog(target.tables)))
        known |= dict.fromkeys(found)
        # the same, said once more without patterns, catalogs and rows
        meant = {
            place
            for place, name in target.columns().items()
            if place in places or name in names or name == ("a.t", "x") or name[1] == "ssn"
        }
        places |= meant
        names |= {target.columns()[place] for place in meant}
        assert {(one.oid, one.attnum) for one in found} == meant
        assert not any(one.is_computed for one in found)
