"""Statements made to break a parser: deep, long, wide, or no text at all."""

from __future__ import annotations

from collections.abc import Callable

TERMS = 50_000

# Built when used: some are megabytes.
HOSTILE: dict[str, Callable[[], bytes]] = {
    "a sum of many terms": lambda: b"SELECT " + b"+".join([b"1"] * TERMS),
    "a chain of ||": lambda: b"SELECT " + b"||".join([b"'a'"] * TERMS),
    "a chain of casts": lambda: b"SELECT 1" + b"::int" * TERMS,
    "a chain of AND": lambda: b"SELECT " + b" AND ".join([b"true"] * TERMS),
    "many UNION ALL": lambda: b" UNION ALL ".join([b"SELECT 1"] * TERMS),
    "many joins": lambda: b"SELECT 1 FROM t t0" + b" CROSS JOIN t" * TERMS,
    "nested sub-selects": lambda: b"SELECT " + b"(SELECT " * 20_000 + b"1" + b")" * 20_000,
    "nested FROM": lambda: b"SELECT * FROM " + b"(SELECT * FROM " * 10_000 + b"t" + b") x" * 10_000,
    "nested CTEs": lambda: b"WITH x AS (" * 10_000 + b"SELECT 1" + b") SELECT 1" * 10_000,
    "deep parentheses": lambda: b"SELECT " + b"(" * 100_000 + b"1" + b")" * 100_000,
    "deep CASE": lambda: b"SELECT " + b"CASE WHEN " * 30_000 + b"1" + b" THEN 1 END" * 30_000,
    "deep NOT": lambda: b"SELECT " + b"NOT " * 100_000 + b"true",
    "deep minus": lambda: b"SELECT " + b"- " * 100_000 + b"1",
    "deep arrays": lambda: b"SELECT " + b"ARRAY[" * 50_000 + b"1" + b"]" * 50_000,
    "deep subscripts": lambda: b"SELECT a" + b"[1]" * 100_000 + b" FROM t",
    "deep fields": lambda: b"SELECT " + b"(" * 20_000 + b"t" + b").a" * 20_000 + b" FROM t",
    "nested calls": lambda: b"SELECT " + b"abs(" * 50_000 + b"1" + b")" * 50_000,
    "nested comments": lambda: b"/*" * 20_000 + b"*/" * 20_000 + b" SELECT 1",
    "comments that never end": lambda: b"SELECT 1 " + b"/*" * 40_000,
    "deep DO": lambda: b"DO $$ BEGIN " + b"BEGIN " * 20_000 + b"END;" * 20_000 + b" END $$",
    "DO with many statements": lambda: (
        b"DO $$ BEGIN " + b"".join(b"PERFORM %d;" % n for n in range(4_000)) + b" END $$"
    ),
    "DO with a long sum": lambda: b"DO $$ BEGIN PERFORM 1" + b"+1" * TERMS + b"; END $$",
    "DO with deep IF": lambda: (
        b"DO $$ BEGIN " + b"IF true THEN " * 2_000 + b"END IF;" * 2_000 + b" END $$"
    ),
    "DO with deep brackets": lambda: b"DO $$ BEGIN x" + b"[" * 30_000 + b" := 1; END $$",
    "DO in DO": lambda: (
        b"".join(b"DO $a%d$ BEGIN " % n for n in range(500))
        + b"".join(b"END $a%d$;" % n for n in reversed(range(500)))
    ),
    "many statements": lambda: b"SELECT 1;" * 30_000,
    "many semicolons": lambda: b";" * 500_000,
    "many columns": lambda: b"SELECT " + b",".join([b"1"] * 200_000),
    "a long IN": lambda: b"SELECT 1 WHERE 1 IN (" + b",".join([b"1"] * 200_000) + b")",
    "many VALUES": lambda: b"INSERT INTO t VALUES " + b",".join([b"(1)"] * 200_000),
    "many parameters": lambda: b"SELECT " + b",".join(b"$%d" % n for n in range(1, 60_000)),
    "a huge parameter number": lambda: b"SELECT $99999999999999999999",
    "a long literal": lambda: b"SELECT length('" + b"x" * (4 << 20) + b"')",
    "a literal that never ends": lambda: b"SELECT '" + b"x" * (1 << 20),
    "a dollar quote that never ends": lambda: b"SELECT $tag$" + b"x" * (1 << 20),
    "many dollar quotes": lambda: b"SELECT " + b",".join([b"$a$$b$$a$"] * 50_000),
    "quotes in quotes": lambda: b"SELECT '" + b"''" * 500_000 + b"'",
    "a long name": lambda: b"SELECT 1 AS " + b"x" * (1 << 20),
    "a long operator": lambda: b"SELECT 1 " + b"+-" * 100_000 + b" 1",
    "invalid UTF-8": lambda: b"SELECT '\xff\xfe\x80'",
    "half a character": lambda: b"SELECT '\xc3",
    "an overlong character": lambda: b"SELECT '\xc0\xa7 OR 1=1 --'",
    "a surrogate": lambda: b"SELECT '\xed\xa0\x80'",
    "control characters": lambda: bytes(range(1, 32)) + b" SELECT 1",
    "a byte order mark": lambda: b"\xef\xbb\xbfSELECT 1",
    "white space of Unicode": lambda: "SELECT\u00a01\u2028,\u30002".encode(),
    "JSON of great depth": lambda: b"SELECT '" + b"[" * 100_000 + b"'::json",
    "a pattern": lambda: b"SELECT 'aaaaaaaaaaaaaaaaaaaaaaaaaa' ~ '(a+)+$'",
    "many settings": lambda: b"".join(b"SET a.b%d = '%d';" % (n, n) for n in range(2_000)),
    "many roles": lambda: b"SET ROLE " + b'"' + b"x" * 100_000 + b'"',
    "many prepares": lambda: b"".join(b"PREPARE p%d AS SELECT 1;" % n for n in range(2_000)),
    "nothing": lambda: b"",
    "only space": lambda: b" " * (1 << 20),
    "megabytes of minus": lambda: b"-" * (4 << 20),
    "megabytes of noise": lambda: bytes((n * 7919) % 255 + 1 for n in range(1 << 20)),
}
