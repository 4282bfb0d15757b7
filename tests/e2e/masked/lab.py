"""Where attacks are tried: a target, its database twice, and a gateway before one of the two."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import psycopg
import yaml

from appliance.embedded import (
    SUPERUSER,
    Installation,
    PostgresServer,
)
from appliance.entities import MaskingRule, MaskMode
from appliance.masking.values import Method
from appliance.store import masking_rules
from tests.e2e.masked import clients
from tests.e2e.masked.attack import FOLDER, Attack
from tests.e2e.masked.transcript import Transcript
from tests.e2e.masked.wire import Door, Player, Straight, TapedClient
from tests.e2e.raw import ErrorCame
from tests.harness.canaries import Canaries
from tests.harness.gateway import ADMIN, ANA, Gateway
from tests.harness.postgres import Database
from tests.harness.relay import Relay

STATE = (FOLDER / "state.sql").read_text()
VALUES = yaml.safe_load((FOLDER / "canaries.yaml").read_text())
_SESSION_END_S = 2.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one attack. ``leak``: "" or what was seen. ``wrong``: "" or what is not as
    the file says: void, refused where it should run, or something left behind."""

    attack: Attack
    leak: str = ""
    wrong: str = ""
    transcript: Transcript = Transcript(b"")  # noqa: RUF009 - it is frozen


class Lab:
    """One target with two equal databases, one gateway. ``database`` is the attacked one."""

    def __init__(self, database: Database, gateway: Gateway | None, programs: Installation) -> None:
        self.database = database
        self.gateway = gateway
        self.programs = programs
        self.canaries = Canaries(VALUES["canaries"])
        self.server: PostgresServer = database.server
        self.control = replace(database, name=f"{database.name}_control")
        self.template = f"{database.name}_template"
        self._relays: dict[int, Relay] = {}
        self._clients: dict[Door, TapedClient] = {}
        self._watches: dict[str, psycopg.Connection[Any]] = {}
        self._states: dict[str, str] = {}
        self._owners: dict[tuple[str, str], psycopg.Connection[Any]] = {}

    # -- set up ------------------------------------------------------------------------------------

    def open(self) -> None:
        with self.server.connect() as admin:
            for name in (self.template, self.control.name):
                self._copy(admin, name, self.database.name)
        for database in (self.database, self.control):
            self._states[database.name] = self.state(database)

    def close(self) -> None:
        self._hang_up()
        for relay in self._relays.values():
            relay.__exit__(None, None, None)
        with self.server.connect() as admin:
            for name in (self.template, self.control.name):
                admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'.encode())

    def reset(self, database: Database) -> None:
        """Make a database anew; its OIDs are those that it had."""
        self._hang_up()
        with self.server.connect() as admin:
            admin.execute(f'DROP DATABASE "{database.name}" WITH (FORCE)'.encode())
            self._copy(admin, database.name, self.template)

    def _copy(self, admin: psycopg.Connection[Any], name: str, source: str) -> None:
        owner = self.database.owner.name
        admin.execute(
            f'CREATE DATABASE "{name}" TEMPLATE "{source}" OWNER "{owner}"'
            " STRATEGY file_copy".encode()
        )

    def _hang_up(self) -> None:
        for client in self._clients.values():
            client.sock.close()
        for watch in self._watches.values():
            watch.close()
        for connection in self._owners.values():
            connection.close()
        self._clients, self._watches, self._owners = {}, {}, {}

    def state(self, database: Database) -> str:
        """Return a digest of everything in a database that an attack may have changed."""
        if database.name not in self._watches or self._watches[database.name].closed:
            self._watches[database.name] = self.server.connect(database.name)
        try:
            row = self._watches[database.name].execute(STATE.encode()).fetchone()
        except psycopg.Error as error:
            return str(error)
        return str(row and row[0])

    # -- doors -------------------------------------------------------------------------------------

    def door(self, attack: Attack, *, straight: bool) -> Door:
        """Return where to knock as the attacker, or as somebody exempt: straight at the target."""
        role = self.database.owner.name if attack.role == "owner" else "postgres"
        if straight:
            password = self.database.owner.password
            password = password if attack.role == "owner" else self.server.password
            return Door("127.0.0.1", self.server.port, role, password, self.control.name)
        assert self.gateway is not None
        options = "" if attack.role == "owner" else f"-c gatepost.role={role}"
        return Door(
            "127.0.0.1", self.gateway.port, ANA, self.gateway.passwords[ANA], "shop", options
        )

    # -- one attack --------------------------------------------------------------------------------

    def try_out(self, attack: Attack) -> Outcome:
        """Run the control, then the attack, and judge."""
        outcome = self.try_control(attack)
        if self.gateway is None:
            return outcome
        transcript = self._play(attack, self.database, straight=False)
        leak = transcript.finding(self.canaries, attack.also)
        wrong = outcome.wrong
        if not wrong and attack.want == "masked" and transcript.refusals:
            wrong = f"refused: {transcript.refusals[0]['M']}"
        if not wrong and attack.want == "refused" and not transcript.refusals:
            wrong = f"not refused; {[error.get('M') for error in transcript.errors]}"
        if not wrong:
            wrong = self._unlike(attack, outcome.transcript, transcript)
        return Outcome(attack, leak, wrong or self._left_behind(attack, self.database), transcript)

    def try_control(self, attack: Attack) -> Outcome:
        """Run it as somebody exempt: what must not be seen has to be there to be seen."""
        alone = attack
        if attack.control is not None:
            alone = replace(attack, steps=attack.control, messages=(), fn=())
        transcript = self._play(alone, self.control, straight=True)
        wrong = ""
        if not transcript.finding(self.canaries, attack.also):
            wrong = f"void: {[(e.get('C'), e.get('M')) for e in transcript.complaints]}"
        elif any("syntax error at or" in error.get("M", "") for error in transcript.errors):
            wrong = f"syntax error: {[error.get('M') for error in transcript.errors]}"
        return Outcome(attack, "", wrong or self._left_behind(attack, self.control), transcript)

    def _unlike(self, attack: Attack, straight: Transcript, through: Transcript) -> str:
        """Return how the SQLSTATEs differ where they should be those of the target."""
        if attack.want != "masked" or attack.control is not None:
            return ""
        theirs = [error.get("C") for error in straight.errors]
        ours = [error.get("C") for error in through.errors]
        known = [code if not str(code).startswith("QZ") else "P0001" for code in theirs]
        if ours != known:
            said = [error.get("M") for error in through.errors]
            return f"errors {ours} instead of {theirs}: {said}"
        return ""

    def _left_behind(self, attack: Attack, database: Database) -> str:
        if attack.is_plain:
            return ""
        if attack.reset:
            self.reset(database)
            return ""
        deadline = time.monotonic() + _SESSION_END_S  # what a session made for itself goes with it
        while self.state(database) != self._states[database.name]:
            if time.monotonic() > deadline:
                self.reset(database)
                return "it left something behind"
            time.sleep(0.01)
        return ""

    def _play(self, attack: Attack, database: Database, *, straight: bool) -> Transcript:
        door = self.door(attack, straight=straight)
        added: list[str] = []

        def owner(text: str) -> list[tuple[object, ...]]:
            kept = self._owner(database, attack.role)
            cursor = kept.execute(filled(text, database).encode())
            return cursor.fetchall() if cursor.description else []

        try:
            for text in attack.before:
                owner(text)
            if attack.by in ("simple", "text", "binary"):
                return self._play_messages(
                    attack, door, Played(self, database, owner, added, straight)
                )
            relay = self._relay(door)
            relay.rewind()
            through = replace(door, port=relay.port)
            with contextlib.suppress(psycopg.Error):
                clients.play(attack, attack.steps, through, owner, self.programs)
            return Transcript(relay.received)
        finally:
            for name in added:
                self.unmask(name)
            for text in attack.after:
                with contextlib.suppress(psycopg.Error):
                    owner(text)

    def _owner(self, database: Database, role: str) -> psycopg.Connection[Any]:
        """Return the owner's, or the superuser's, own connection to a database, kept open."""
        kept = self._owners.get((database.name, role))
        if kept is None or kept.closed:
            kept = database.connect() if role == "owner" else self.server.connect(database.name)
            self._owners[database.name, role] = kept
        return kept

    def _play_messages(self, attack: Attack, door: Door, played: Played) -> Transcript:
        client = self._clients.pop(door, None) if attack.is_plain else None
        start = len(client.tape) if client else 0
        if client is None:
            client = TapedClient(door)
            try:
                client.enter(attack.options)
            except (ErrorCame, EOFError):
                client.sock.close()
                return Transcript(bytes(client.tape))
        try:
            played.all_of(attack, Player(client, played.owner))
        except (EOFError, TimeoutError):
            client.sock.close()  # what came until then counts
        else:
            if attack.is_plain:
                self._clients[door] = client
            else:
                client.sock.close()
        return Transcript(bytes(client.tape[start:]))

    def _relay(self, door: Door) -> Relay:
        if door.port not in self._relays:
            self._relays[door.port] = Relay(door.host, door.port)
            self._relays[door.port].__enter__()
        return self._relays[door.port]

    # -- rules -------------------------------------------------------------------------------------

    def mask(self, rule: MaskingRule) -> None:
        assert self.gateway is not None
        masking_rules.create(self.gateway.store, ADMIN, datetime.now(UTC), rule)

    def unmask(self, name: str) -> None:
        assert self.gateway is not None
        masking_rules.delete(self.gateway.store, ADMIN, datetime.now(UTC), name)
        self.gateway.settle()


@dataclass(frozen=True, slots=True)
class Played:
    """What a running attack can do outside of its session."""

    lab: Lab
    database: Database
    owner: Straight
    added: list[str]
    straight: bool

    def all_of(self, attack: Attack, player: Player) -> None:
        """Play the steps, the messages and the call of an attack."""
        for step in attack.steps:
            if isinstance(step, dict) and "mask" in step:
                self.mask(step["mask"])
            elif isinstance(step, str):
                player.step(filled(step, self.database), attack.by)
            else:
                player.step(step, attack.by)
        if attack.messages:
            player.messages(attack.messages)
        if attack.fn:
            player.call(*attack.fn)

    def mask(self, column: str) -> None:
        """Hide one more column until the attack is over."""
        if not self.straight and self.lab.gateway is not None:
            name = f"more-{len(self.added)}"
            self.lab.mask(rule_of(name, "redact", [column]))
            self.added.append(name)
            self.lab.gateway.settle()


def filled(text: str, database: Database) -> str:
    """Return a text with what is known only now: names, the superuser's way to the server."""
    server = database.server
    for word, value in (
        (":conninfo", server.dsn(database.name)),
        (":database", database.name),
        (":owner", database.owner.name),
        (":port", str(server.port)),
        (":user", SUPERUSER),
        (":password", server.password),
    ):
        text = text.replace(word, value)
    return text


def rule_of(name: str, method: str, columns: list[str], mode: str = "lenient") -> MaskingRule:
    return MaskingRule(
        id=0,
        name=name,
        target="shop",
        columns=tuple(columns),
        method=Method(method),
        value=None,
        mode=MaskMode(mode),
        exempt=("kind:ci",),
    )
