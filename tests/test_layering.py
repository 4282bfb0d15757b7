"""Who may import whom, how long a file may be, and who may look at the wall clock."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("appliance", "proxy", "web", "migrations")
MAX_LINES = 400

# The files of the proxy that touch the world; all its others are pure.
PROXY_IO = tuple(
    f"proxy/{name}.py"
    for name in (
        "__main__",
        "worker",
        "watcher",
        "arrival",
        "login",
        "connection",
        "endpoint",
        "upstream",
        "cancel",
        "catalog_changes",
        "catalogs",
        "holding",
        "vestibule",
    )
)
# What is imported -> the only files (globs below the root) that may import it.
ONLY = {
    "peewee": ("appliance/store/*", "migrations/*"),
    "playhouse": ("appliance/store/*", "migrations/*"),
    "flask": ("web/*",),
    "flask_htmx": ("web/*",),
    "flask_wtf": ("web/*",),
    "wtforms": ("web/*",),
    "sqlglot": ("appliance/sql/*",),
    "postgast": ("appliance/sql/*",),
    "gevent": (*PROXY_IO, "web/gunicorn_conf.py"),
    "socket": (
        *PROXY_IO,
        "appliance/targets/*",
        "appliance/supervisor.py",
        "appliance/listening.py",
        "appliance/embedded.py",
        "appliance/demo/*",
    ),
    "ssl": (
        *PROXY_IO,
        "appliance/targets/*",
        "appliance/tls.py",
        "appliance/mail.py",
        "appliance/healthcheck.py",
        "appliance/demo/*",
    ),
}
# Packages of ours -> what they must not import.
NEVER = {
    "appliance": ("proxy", "web"),
    "proxy": ("web",),
    "web": ("proxy",),
    "migrations": ("proxy", "web"),
}
# Files that take arguments and return values only.
PURE = (
    "appliance/sql/*",
    "appliance/policy/*",
    "appliance/masking/*",
    "appliance/recording/replay.py",
)
PURE_NEVER = ("appliance.store", "appliance.clock", "appliance.config", "psycopg")

CLOCK_CALLS = {
    ("time", "time"),
    ("time", "time_ns"),
    ("time", "gmtime"),
    ("time", "localtime"),
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("datetime", "today"),
    ("date", "today"),
}
CLOCK_FILES = ("appliance/clock.py", "tests/*", "bench/*")


def sources(*folders: str) -> list[str]:
    return sorted(
        str(path.relative_to(ROOT)) for folder in folders for path in (ROOT / folder).rglob("*.py")
    )


@cache
def tree(path: str) -> ast.Module:
    return ast.parse((ROOT / path).read_text(), path)


def imports(path: str) -> Iterator[str]:
    """Yield the dotted name of every module that a file imports, wherever in the file."""
    package = path.removesuffix(".py").removesuffix("/__init__").split("/")
    if not path.endswith("/__init__.py"):
        package = package[:-1]
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, node.module] if node.module else base)
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def matches(path: str, globs: tuple[str, ...]) -> bool:
    return any(fnmatch(path, glob) for glob in globs)


@pytest.mark.parametrize("path", sources(*PACKAGES))
def test_a_file_imports_only_what_its_place_allows(path: str) -> None:
    found = set(imports(path))
    wrong = [
        f"{name}: only {', '.join(places)}"
        for name, places in ONLY.items()
        if not matches(path, places) and any(within(module, name) for module in found)
    ]
    forbidden = NEVER[path.split("/", 1)[0]]
    wrong += [
        f"{name}: wrong direction" for name in forbidden if any(within(m, name) for m in found)
    ]
    if matches(path, PURE):
        wrong += [
            f"{name}: this file is pure"
            for name in PURE_NEVER
            if any(within(m, name) for m in found)
        ]
    assert not wrong, f"{path} imports {'; '.join(wrong)}"


@pytest.mark.parametrize("path", [*sources(*PACKAGES, "bench")])
def test_a_file_says_first_what_it_is_for(path: str) -> None:
    body = (ROOT / path).read_text().strip()
    assert not body or ast.get_docstring(tree(path)), f"{path} has no first line"


def test_no_file_is_longer_than_400_lines() -> None:
    found = [
        *sources(*PACKAGES, "tests", "bench"),
        *(str(path.relative_to(ROOT)) for path in (ROOT / "web").rglob("*.html")),
    ]
    long = {
        path: lines
        for path in found
        if (lines := len((ROOT / path).read_text().splitlines())) > MAX_LINES
    }
    assert not long


@pytest.mark.parametrize("path", sources(*PACKAGES))
def test_only_the_clock_reads_the_wall_clock(path: str) -> None:
    if matches(path, CLOCK_FILES):
        return
    calls = [
        f"line {node.lineno}: {node.func.value.id}.{node.func.attr}()"
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and (node.func.value.id, node.func.attr) in CLOCK_CALLS
    ]
    names = [
        f"line {node.lineno}: from time import {alias.name}"
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ImportFrom) and node.module == "time"
        for alias in node.names
        if ("time", alias.name) in CLOCK_CALLS
    ]
    assert not calls + names, f"{path}: take the time from a Clock"


def test_the_rules_find_what_they_are_for(tmp_path: Path) -> None:
    assert within("peewee.Model", "peewee") and not within("peewees", "peewee")
    assert matches("appliance/store/models.py", ONLY["peewee"])
    assert not matches("web/views.py", ONLY["peewee"])
    assert list(imports("appliance/cli/serve.py")).count("appliance.runfile") == 1
