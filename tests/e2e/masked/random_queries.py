"""Random SELECTs over the shop, each output known to be computed from masked columns or not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random


@dataclass(frozen=True, slots=True)
class Value:
    """An expression, its type (text, int, bool) and whether a masked column is in it.

    ``guesses``: it compares something hidden, or counts by that. Lenient rules show the bool and
    the count, but not what is computed from it.
    """

    sql: str
    type: str
    hidden: bool = False
    guesses: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """A SELECT and its outputs in order; their names are c0, c1 and so on."""

    sql: str
    outputs: tuple[Value, ...]
    guesses: bool = False  # its rows are chosen by something hidden
    compares: bool = False  # something hidden is compared somewhere in it: more may be masked


# relation -> columns; a star marks what is hidden.
_RELATIONS = {
    "customers": "id:int name:text country:text ssn:text* card_number:text* pin:int* ssn_tag:text*",
    "ONLY customers": "id:int name:text ssn:text* email:text* pin:int*",
    "public.vip_customers": "id:int name:text lounge:text ssn:text* pin:int*",
    "orders": "id:int customer_id:int note:text card_used:text*",
    "orders_2025": "id:int customer_id:int note:text card_used:text*",
    "products": "id:int name:text stock:int",
    "hr.customers": "id:int name:text ssn:text",
    "v_customers": "id:int name:text number:text* mail:text*",
    "v_top": "id:int n:text*",
    "v_names": "id:int name:text country:text",
    "m_customers": "id:int ssn:text* card:text*",
}


class Generator:
    """Makes queries; the same seed makes the same."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)  # noqa: S311 - nothing is kept secret by it
        self._names = 0
        self._compares = False

    def query(self) -> Query:
        """Return a SELECT, a union of two, or one over a CTE."""
        self._compares = False
        made = self._query()
        return replace(made, compares=self._compares)

    def _query(self) -> Query:
        kind = self._random.random()
        if kind < 0.15:
            types = [self._random.choice(("text", "int")) for _ in range(self._upto(3))]
            arms = [self._select(2, types) for _ in range(2)]
            word = self._random.choice(("UNION ALL", "UNION", "EXCEPT", "INTERSECT"))
            outputs = tuple(
                replace(a, hidden=a.hidden or b.hidden, guesses=a.guesses or b.guesses)
                for a, b in zip(arms[0].outputs, arms[1].outputs, strict=True)
            )
            if word != "UNION ALL" and any(output.hidden for output in outputs):
                word = "UNION ALL"
            return Query(f"({arms[0].sql}) {word} ({arms[1].sql})", outputs)
        if kind < 0.3:
            inner, name = self._select(2), self._name()
            how = self._random.choice(("", " MATERIALIZED", " NOT MATERIALIZED"))
            scope = _scope(name, inner)
            rest = self._outputs(scope, self._upto(3))
            sql = f"WITH {name} AS{how} ({inner.sql}) SELECT {_list(rest)} FROM {name}"
            return Query(sql, tuple(rest))
        return self._select(3)

    # -- statements ------------------------------------------------------------------------------

    def _select(self, depth: int, types: list[str] | None = None) -> Query:
        sources, scope, guesses = [], [], False
        for _ in range(self._upto(2 if depth > 1 else 1)):
            text, columns, chosen = self._source(depth - 1)
            sources.append(text)
            scope += columns
            guesses = guesses or chosen
        wanted = types or [self._type() for _ in range(self._upto(4))]
        sql = " CROSS JOIN ".join(sources)
        where = ""
        if self._random.random() < 0.3:
            condition = self._value("bool", scope, 2)
            where = f" WHERE {condition.sql}"
            guesses = guesses or condition.guesses
        if types is None and self._random.random() < 0.25:
            return self._grouped(scope, sql, where, guesses)
        outputs = [self._value(one, scope, depth) for one in wanted]
        word = "DISTINCT " if self._random.random() < 0.1 else ""
        if word and any(one.hidden for one in outputs):
            self._compares = True
        return Query(f"SELECT {word}{_list(outputs)} FROM {sql}{where}", tuple(outputs), guesses)

    def _grouped(self, scope: list[Value], sources: str, where: str, guesses: bool) -> Query:
        key = self._column(scope)
        guesses = guesses or key.hidden or key.guesses
        self._compares = self._compares or guesses
        outputs = [key, Value("count(*)", "int", guesses=guesses)]
        for _ in range(self._upto(3)):
            column = self._column(scope)
            if column.type == "bool":
                continue
            call = self._random.choice(("min(%s)", "max(%s)", "count(%s)", "count(DISTINCT %s)"))
            if column.type == "text":
                call = self._random.choice((call, "string_agg(%s, ',' ORDER BY 1)"))
            hidden = column.hidden and not call.startswith("count")
            type_name = "int" if call.startswith("count") else column.type
            counts = call.startswith("count") and (guesses or column.hidden)
            outputs.append(Value(call % column.sql, type_name, hidden, counts or column.guesses))
        return Query(
            f"SELECT {_list(outputs)} FROM {sources}{where} GROUP BY {key.sql}",
            tuple(outputs),
            guesses,
        )

    def _source(self, depth: int) -> tuple[str, list[Value], bool]:
        name = self._name()
        if depth > 0 and self._random.random() < 0.35:
            inner = self._select(depth)
            return f"({inner.sql}) {name}", _scope(name, inner), inner.guesses
        relation = self._random.choice(list(_RELATIONS))
        columns = []
        for word in _RELATIONS[relation].split():
            column, type_name = word.rstrip("*").split(":")
            columns.append(Value(f"{name}.{column}", type_name, word.endswith("*")))
        return f"{relation} {name}", columns, False

    def _outputs(self, scope: list[Value], count: int) -> list[Value]:
        return [self._value(self._type(), scope, 2) for _ in range(count)]

    # -- expressions -----------------------------------------------------------------------------

    def _value(self, wanted: str, scope: list[Value], depth: int) -> Value:
        if depth <= 0 or self._random.random() < 0.25:
            fitting = [one for one in scope if one.type == wanted]
            return self._random.choice(fitting) if fitting else self._literal(wanted)
        made = {"text": self._text, "int": self._int, "bool": self._bool}[wanted]
        return made(scope, depth - 1)

    def _text(self, scope: list[Value], depth: int) -> Value:
        a, b = (self._value("text", scope, depth) for _ in range(2))
        n, t = self._value("int", scope, depth), self._value("bool", scope, depth)
        return self._one_of(
            (f"lower({a.sql})", a),
            (f"reverse({a.sql})", a),
            (f"({a.sql} || {b.sql})", a, b),
            (f"substr({a.sql}, 2)", a),
            (f"coalesce({a.sql}, {b.sql})", a, b),
            (f"CASE WHEN {t.sql} THEN {a.sql} ELSE {b.sql} END", a, b, t),
            (f"concat({a.sql}, {n.sql})", a, n),
            (f"replace({a.sql}, 'a', {b.sql})", a, b),
            (f"({n.sql})::text", n),
            (f"(ARRAY[{a.sql}, {b.sql}])[1]", a, b),
            (f"(jsonb_build_object('k', {a.sql}) ->> 'k')", a),
            (f"(SELECT max(q) FROM (VALUES ({a.sql}), ({b.sql})) v(q))", a, b),
            type_name="text",
        )

    def _int(self, scope: list[Value], depth: int) -> Value:
        a, b = (self._value("int", scope, depth) for _ in range(2))
        t = self._value("text", scope, depth)
        return self._one_of(
            (f"length({t.sql})", t),
            (f"({a.sql} - {b.sql})", a, b),
            (f"greatest({a.sql}, {b.sql})", a, b),
            (f"coalesce({a.sql}, 0)", a),
            (f"abs({a.sql})", a),
            (f"nullif({a.sql}, {b.sql})", a, b),
            type_name="int",
        )

    def _bool(self, scope: list[Value], depth: int) -> Value:
        a, b = (self._value("text", scope, depth) for _ in range(2))
        guesses = any(one.hidden or one.guesses for one in (a, b))
        self._compares = self._compares or guesses
        sql = self._random.choice(
            (f"({a.sql} = {b.sql})", f"({a.sql} IS NULL)", f"({a.sql} LIKE '%a%')")
        )
        return Value(sql, "bool", guesses=guesses)

    def _one_of(self, *ways: tuple[str | Value, ...], type_name: str) -> Value:
        sql, *parts = self._random.choice(ways)
        assert isinstance(sql, str)
        hidden = any(isinstance(part, Value) and (part.hidden or part.guesses) for part in parts)
        if hidden and sql.startswith(("nullif", "greatest", "CASE", "(SELECT")):
            self._compares = True
        return Value(sql, type_name, hidden)

    def _literal(self, wanted: str) -> Value:
        literals = {"text": ("'a'", "'xyz'", "''"), "int": ("1", "7", "42"), "bool": ("true",)}
        return Value(self._random.choice(literals[wanted]), wanted)

    def _column(self, scope: list[Value]) -> Value:
        return self._random.choice(scope) if scope else self._literal("int")

    def _type(self) -> str:
        return self._random.choice(("text", "text", "int", "bool"))

    def _upto(self, most: int) -> int:
        return self._random.randint(1, most)

    def _name(self) -> str:
        self._names += 1
        return f"t{self._names}"


def _list(outputs: list[Value]) -> str:
    return ", ".join(f"{one.sql} AS c{index}" for index, one in enumerate(outputs))


def _scope(name: str, query: Query) -> list[Value]:
    return [
        Value(f"{name}.c{index}", one.type, one.hidden, one.guesses)
        for index, one in enumerate(query.outputs)
    ]
