"""``gatepost demo --check``: walk the main job as a user would, and say how each step went."""

from __future__ import annotations

import subprocess
import time
from typing import Any

import click
import psycopg
from psycopg.pq import TransactionStatus

from appliance.demo import browse, sample
from appliance.demo.check_approvals import ApprovalWalk
from appliance.demo.check_masking import MaskingWalk
from appliance.demo.process import HOST
from appliance.demo.running import Demo, Story
from appliance.demo.steps import (
    SOON_S,
    Commands,
    Step,
    StepFailed,
    ended,
    expect,
    login_error,
    one,
)
from appliance.embedded import installation

ANA = "ana@example.com"
CI = "ci-nightly"
_RULE = "no-ddl-from-machines"


def walk(demo: Demo, story: Story) -> int:
    """Run every step, print each with its result, return the exit code."""
    steps = Walk(demo, story).steps()
    failed = 0
    for step in steps:
        try:
            seen = step.run()
            click.echo(f"ok    {step.title}: {seen}")
        except Exception as error:  # whatever went wrong, the next step is still worth a look
            failed += 1
            text = " ".join(str(error).split()) or type(error).__name__
            click.echo(f"FAIL  {step.title}: {text}")
    click.echo(f"{len(steps) - failed} of {len(steps)} steps ok")
    return 1 if failed else 0


class Walk:
    """The steps, and what one leaves for the next."""

    def __init__(self, demo: Demo, story: Story) -> None:
        self._demo = demo
        self._story = story
        self._commands = Commands(demo)
        self._mark = f"walk-{time.monotonic_ns():x}"

    def steps(self) -> list[Step]:
        return [
            Step("ana logs in with SCRAM and queries the shop", self._query),
            Step("prepared statements, COPY and cursors pass", self._extended),
            Step("psql shows tables", self._psql),
            Step("DDL by ci-nightly is refused with 42501 and the rule's name", self._refused_ddl),
            Step("in a transaction the refusal fails it, as any error does", self._transaction),
            Step("a wrong target name is answered with what one can reach", self._wrong_target),
            Step("a wrong password is refused with 28P01", self._wrong_password),
            Step("the record has every statement with its verdict", self._record),
            Step("the session replays", self._replay),
            Step("the history is recorded", self._history),
            Step("the hash chain verifies", self._verify),
            Step("a policy test answers without running anything", self._policy_test),
            Step("an export, applied, changes nothing", self._round_trip),
            Step("the page answers and the admin signs in", self._page),
            *MaskingWalk(self._demo, self._commands).steps(),
            *ApprovalWalk(self._demo, self._commands).steps(),
            Step("killing a session ends it with 57P01", self._kill),
            Step("revoking a credential ends its session and its logins", self._revoke),
        ]

    # what a client sees

    def _query(self) -> str:
        with self._commands.connect(ANA) as connection:
            (count,) = one(connection.execute("SELECT count(*) FROM customers"))
        with self._demo.server.connect(sample.TARGET) as direct:
            expect(one(direct.execute("SELECT count(*) FROM customers")), (count,))
        return f"{count} customers, as on the server itself"

    def _extended(self) -> str:
        with self._commands.connect(ANA) as connection:
            for number in (1, 2, 3):
                row = one(
                    connection.execute(
                        "SELECT id FROM orders WHERE id = %s", (number,), prepare=True
                    )
                )
                expect(row, (number,))
            with (
                connection.cursor() as cursor,
                cursor.copy("COPY (SELECT id FROM products ORDER BY id LIMIT 5) TO STDOUT") as rows,
            ):
                copied = b"".join(bytes(part) for part in rows)
            expect(copied, b"1\n2\n3\n4\n5\n")
            with connection.transaction(), connection.cursor("c") as named:
                named.execute("SELECT id FROM orders ORDER BY id")
                expect(named.fetchmany(2), [(1,), (2,)])
        return "3 executions, 5 copied rows, 2 fetched"

    def _psql(self) -> str:
        done = subprocess.run(  # noqa: S603 - our own program
            [installation().program("psql"), "-X", "-At", "-c", r"\d"],
            env={
                "PGHOST": HOST,
                "PGPORT": str(self._demo.serve.ports.gateway),
                "PGUSER": ANA,
                "PGDATABASE": sample.TARGET,
                "PGPASSWORD": self._demo.sample.identities[ANA],
                "PGSSLMODE": "disable",
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        if done.returncode or "customer_overview|view" not in done.stdout:
            raise StepFailed(done.stderr or done.stdout)
        return f"{len(done.stdout.splitlines())} relations"

    def _refused_ddl(self) -> str:
        with self._commands.connect(CI) as connection:
            error = refused(connection, "CREATE TABLE smuggled (id int)")
            expect(one(connection.execute("SELECT 1")), (1,))
        self._expect_no_table("smuggled")
        return f"{error.diag.message_primary}; the session lives on"

    def _transaction(self) -> str:
        with self._commands.connect(CI) as connection:
            connection.execute("BEGIN")
            refused(connection, "ALTER TABLE orders ADD COLUMN smuggled int")
            expect(connection.info.transaction_status, TransactionStatus.INERROR)
            try:
                connection.execute("SELECT 1")
                raise StepFailed("a statement passed in a failed transaction")
            except psycopg.errors.InFailedSqlTransaction:
                pass
            connection.execute("ROLLBACK")
            expect(connection.info.transaction_status, TransactionStatus.IDLE)
        return "25P02 until ROLLBACK, then idle"

    def _wrong_target(self) -> str:
        text = login_error(self._demo.dsn(ANA, "shopp"))
        if "you can reach: shop" not in text:
            raise StepFailed(text)
        return text[text.index("you can reach") :]

    def _wrong_password(self) -> str:
        dsn = self._demo.serve.dsn(ANA, "wrong", sample.TARGET)
        text = login_error(dsn)
        if "gatepost:" not in text:
            raise StepFailed(text)
        return text.rpartition("FATAL:")[2].split("HINT")[0].strip()

    # what the record says

    def _record(self) -> str:
        with self._commands.connect(CI, self._mark) as connection:
            connection.execute("SELECT count(*) FROM orders WHERE status = %s", ("new",))
            refused(connection, "DROP TABLE orders")
        shown = self._session(self._mark)
        statements = [(s["text"], s["verdict"], s["state"]) for s in shown["statements"]]
        expect(
            statements,
            [
                ("SELECT count(*) FROM orders WHERE status = $1", "allow", "done"),
                ("DROP TABLE orders", "block", "refused"),
            ],
        )
        expect(shown["statements"][1]["rule"], _RULE)
        return f"session {shown['id']}: 1 done, 1 refused by {_RULE}"

    def _replay(self) -> str:
        session = self._session(self._mark)["id"]
        done = self._commands.run("session", "replay", session, "--speed", "1000")
        if "DROP TABLE orders" not in done:
            raise StepFailed(done)
        return f"{len(done.splitlines())} lines"

    def _history(self) -> str:
        listed = self._commands.json("session", "list", "--json")
        found = len(listed)
        if not found:
            raise StepFailed("no session is listed")
        return f"{self._story.sessions} executed, {self._story.refused} statements refused"

    def _verify(self) -> str:
        return " ".join(self._commands.run("audit", "verify").split())

    def _policy_test(self) -> str:
        done = self._demo.serve.run(
            "policy", "test", "--as", CI, "--target", sample.TARGET, "DROP TABLE orders"
        )
        if done.returncode != 1 or _RULE not in done.stdout:
            raise StepFailed(f"exit {done.returncode}: {done.stdout}{done.stderr}")
        return "DROP TABLE orders would be blocked, exit 1"

    def _round_trip(self) -> str:
        path = self._demo.data_dir / "exported.yml"
        path.write_text(self._commands.run("export"))
        before = self._commands.run("export")
        said = self._commands.run("apply", str(path), "--prune")
        expect(self._commands.run("export"), before)
        return " ".join(said.split())

    # what an admin does

    def _page(self) -> str:
        return browse.sign_in(self._demo.serve.url, sample.ADMIN, self._demo.sample.admin)

    def _kill(self) -> str:
        mark = f"{self._mark}-kill"
        with self._commands.connect("bo@example.com", mark) as connection:
            connection.execute("SELECT 1")
            self._commands.run("session", "kill", self._session(mark)["id"])
            return ended(connection)

    def _revoke(self) -> str:
        issued = self._commands.json("credential", "issue", "report-bot", "--json")
        self._demo.wait_for_workers()
        dsn = self._demo.serve.dsn("report-bot", issued["secret"], sample.TARGET)
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("SELECT 1")
            self._commands.run("credential", "revoke", str(issued["id"]))
            seen = ended(connection)
        self._demo.wait_for_workers()  # the session's own worker was the first to know
        login_error(dsn)
        return seen

    def _session(self, application: str) -> dict[str, Any]:
        """Return `session show --json` of the session with this application name."""
        deadline = time.monotonic() + SOON_S
        while True:
            for entry in self._commands.json("session", "list", "--json"):
                if entry["application_name"] == application:
                    return dict(self._commands.json("session", "show", str(entry["id"]), "--json"))
            if time.monotonic() > deadline:
                raise StepFailed(f"no session of {application} is listed")

    def _expect_no_table(self, name: str) -> None:
        with self._demo.server.connect(sample.TARGET) as direct:
            expect(one(direct.execute("SELECT to_regclass(%s) IS NULL", (name,))), (True,))


def refused(
    connection: psycopg.Connection[tuple[Any, ...]], text: str
) -> psycopg.errors.InsufficientPrivilege:
    """Run a statement that must be refused by the machines' rule; return the error."""
    try:
        connection.execute(text.encode())
    except psycopg.errors.InsufficientPrivilege as error:
        message = error.diag.message_primary or ""
        hint = error.diag.message_hint or ""
        if not message.startswith("gatepost:") or _RULE not in message + hint:
            raise StepFailed(f"{message} {hint}") from None
        return error
    raise StepFailed(f"it ran: {text}")
