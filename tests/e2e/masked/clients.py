"""Play an attack's steps with a real client: psql, psycopg 3, asyncpg."""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import psycopg

from appliance.embedded import Installation
from tests.e2e.masked.attack import Attack
from tests.e2e.masked.wire import Door, Straight
from tests.e2e.programs import run


def play(
    attack: Attack, steps: tuple[Any, ...], door: Door, straight: Straight, programs: Installation
) -> str:
    """Run the steps; return what the client printed, for a person to read."""
    client = attack.by.partition("-")[0]
    if client == "psql":
        return _psql(steps, door, programs)
    if client == "psycopg":
        _psycopg(attack.by, steps, door, straight)
    elif client == "asyncpg":
        with ThreadPoolExecutor(1) as pool:
            pool.submit(asyncio.run, _asyncpg(attack.by, steps, door, straight)).result()
    else:
        raise ValueError(f"no such client: {attack.by}")
    return ""


def _psql(steps: tuple[Any, ...], door: Door, programs: Installation) -> str:
    where = {
        "PGHOST": door.host,
        "PGPORT": str(door.port),
        "PGUSER": door.user,
        "PGPASSWORD": door.password,
        "PGDATABASE": door.database,
        "PGSSLMODE": "disable",
        "PGOPTIONS": door.options,
    }
    done = run(programs, "psql", where=where, stdin="\n".join(steps) + "\n")
    return done.out + done.err


def _psycopg(by: str, steps: tuple[Any, ...], door: Door, straight: Straight) -> None:
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(
            psycopg.connect(
                host=door.host,
                port=door.port,
                user=door.user,
                password=door.password,
                dbname=door.database,
                options=door.options,
                sslmode="disable",
                gssencmode="disable",
                autocommit=True,
                prepare_threshold=0 if by == "psycopg-prepared" else None,
            )
        )
        if by == "psycopg-pipeline":
            stack.enter_context(connection.pipeline())
        for step in steps:
            if isinstance(step, dict):
                straight(step["owner"])
            else:
                with contextlib.suppress(psycopg.Error):
                    _psycopg_step(by, connection, step)


def _psycopg_step(by: str, connection: psycopg.Connection[Any], step: Any) -> None:
    text, values = step if isinstance(step, list) else (step, None)
    query = text.encode()
    if by == "psycopg-copy":
        with connection.cursor() as cursor, cursor.copy(query) as copy:
            for _ in copy:
                pass
    elif by == "psycopg-cursor":
        with connection.transaction(), connection.cursor("named") as cursor:
            cursor.execute(query)
            cursor.fetchone()
            cursor.fetchall()
    else:
        cursor = connection.execute(query, values, binary=by == "psycopg-binary")
        if by != "psycopg-pipeline" and cursor.description:
            cursor.pgresult  # noqa: B018 - what came is on the tape; nothing needs to be read


async def _asyncpg(by: str, steps: tuple[Any, ...], door: Door, straight: Straight) -> None:
    connection = await asyncpg.connect(
        host=door.host,
        port=door.port,
        user=door.user,
        password=door.password,
        database=door.database,
        ssl=False,
        server_settings={"options": door.options} if door.options else None,
    )
    try:
        for step in steps:
            if isinstance(step, dict):
                straight(step["owner"])
                continue
            text, values = step if isinstance(step, list) else (step, [])
            with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, ValueError):
                if by == "asyncpg-copy":
                    await connection.copy_from_query(text, output=BytesIO())
                elif by == "asyncpg-cursor":
                    async with connection.transaction():
                        async for _ in connection.cursor(text, *values):
                            pass
                else:
                    await connection.fetch(text, *values)
    finally:
        await connection.close(timeout=10)
