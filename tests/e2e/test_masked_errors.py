"""Errors, notices, notifications and settings of a masked session: nothing of a value, all else."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.e2e import raw
from tests.e2e.masked_people import OTHER_SSN, PAY, SSN, secrets_in
from tests.e2e.raw import Message, RawClient
from tests.harness.gateway import ANA, CI, Gateway


@pytest.fixture
def client(people: Gateway) -> Iterator[RawClient]:
    with RawClient(people.port) as client:
        client.log_in(ANA, people.passwords[ANA])
        yield client


def errors_of(messages: list[Message]) -> list[dict[str, str]]:
    return [message.fields for message in messages if message.kind == "E"]


def bytes_of(messages: list[Message]) -> bytes:
    return b"".join(message.body for message in messages)


LEAKING = [
    ("insert into people values (1, 'x', 'c', '1', 1, null)", "23505"),
    (f"insert into people values (7, 'x', 'c', '{SSN}', 1, null)", "23505"),
    ("update people set ssn = card where id = 1; ", ""),
    (f"update people set ssn = '{SSN}' where id = 2", "23505"),
    ("update people set pay = -pay where id = 1", "23514"),
    ("update people set name = null where id = 1", "23502"),
    ("select ssn::int from people where id = 1", "22P02"),
    ("select card::json from people where id = 1", ""),
    ("select ssn::regclass from people where id = 1", ""),
    ("select ssn::regtype from people where id = 1", ""),
    ("select ('{' || ssn)::int[] from people where id = 1", "22P02"),
    ("select fail(ssn) from people where id = 1", "P0001"),
    ("select run(ssn) from people where id = 1", ""),
    ("select say(ssn) from people", ""),
    ("select to_date(ssn, 'YYYY') , ssn::date from people", ""),
    ("select chr(pay * 100) from people where id = 1", ""),
    ("insert into watched values (1)", "P0001"),
    ("begin; insert into late values (1); commit", "P0001"),
    ("create unique index on people (substr(ssn, 1, 0))", ""),
]


@pytest.mark.parametrize(("text", "sqlstate"), LEAKING)
def test_no_value_comes_in_an_error_or_a_notice(
    client: RawClient, text: str, sqlstate: str
) -> None:
    messages = client.ask("begin") if not text.startswith("begin") else []
    messages += client.ask(text)
    got = errors_of(messages)
    if sqlstate:
        assert [error["C"] for error in got] == [sqlstate]
        assert got[0]["M"] and not got[0].keys() & set("DWqpstcdnFLR")
    messages += client.ask("rollback")
    assert secrets_in(bytes_of(messages)) == []
    assert client.ask("select 1")[-1].body in (b"I", b"T")


def test_in_the_extended_protocol_too(people: Gateway) -> None:
    with people.connect() as connection:
        for text, parameters in (
            ("insert into people values (%s, 'x', 'c', %s)", (8, SSN)),
            ("update people set ssn = %s where ssn = %s", (SSN, OTHER_SSN)),
            ("select ssn::int / %s from people", (1,)),
            ("insert into watched values (%s)", (1,)),
        ):
            with pytest.raises(psycopg.Error) as caught:
                connection.execute(text, parameters)
            diag = caught.value.diag
            shown = (diag.message_primary, diag.message_detail, diag.message_hint, diag.context)
            assert secrets_in(shown) == [] and diag.message_detail is None
        with pytest.raises(psycopg.Error) as caught, connection.transaction():
            connection.execute("insert into late values (%s)", (1,))  # fails at COMMIT
        assert secrets_in(str(caught.value)) == []


@pytest.mark.parametrize(
    ("text", "sqlstate", "says"),
    [
        ("select 1/0", "22012", "division by zero"),
        ("select emial from people", "42703", 'column "emial" does not exist'),
        ("select * from peple", "42P01", 'relation "peple" does not exist'),
        ("select nam(ssn) from people", "42883", "does not exist"),
        ("select id from people where id = 'abc'", "22P02", '"abc"'),
        ("insert into plain values (1, 'x')", "23505", 'unique constraint "plain_pkey"'),
    ],
)
def test_what_is_wrong_with_the_clients_own_text_is_said_as_the_server_says_it(
    client: RawClient, text: str, sqlstate: str, says: str
) -> None:
    (error,) = errors_of(client.ask(text))
    assert error["C"] == sqlstate and says in error["M"]


def test_whoever_is_exempt_reads_everything(people: Gateway) -> None:
    with people.connect(CI) as connection:
        with pytest.raises(psycopg.errors.UniqueViolation) as caught:
            connection.execute(f"insert into people values (9, 'x', 'c', '{SSN}')")
        assert SSN in (caught.value.diag.message_detail or "")
        assert connection.execute("select pay from people where id = 1").fetchone() == (PAY,)


def test_a_cancelled_statement_says_so_and_a_timeout_too(client: RawClient) -> None:
    client.ask("set statement_timeout = 500")
    (error,) = errors_of(client.ask("select pg_sleep(60), ssn from people"))
    assert (error["C"], error["M"]) == ("57014", "canceling statement due to statement timeout")


def test_notifications_lose_their_payload_and_settings_are_not_reported(
    client: RawClient, people: Gateway
) -> None:
    client.ask("listen news")
    with people.connect(CI) as other:
        other.execute("select pg_notify('news', ssn) from people where id = 1")
    messages = client.ask("select tell(ssn) from people where id = 1")
    messages += client.ask("set search_path = public")
    messages += client.ask("set application_name = 'mine'")
    notes = [message.body[4:] for message in messages if message.kind == "A"]
    assert notes and set(notes) == {b"news\0\0"}
    reported = [message.body for message in messages if message.kind == "S"]
    assert b"application_name\0mine\0" in reported
    assert secrets_in(bytes_of(messages)) == []


def test_a_notification_of_another_session_while_idle_has_no_payload(
    client: RawClient, people: Gateway
) -> None:
    client.ask("listen news")
    with people.connect(CI) as other:
        other.execute(f"notify news, '{SSN}'")
    assert client.until("A")[-1].body[4:] == b"news\0\0"
    client.send(raw.TERMINATE)
    assert secrets_in(client.rest()) == []


_ON_LOGIN = """
CREATE FUNCTION on_login() RETURNS event_trigger LANGUAGE plpgsql AS $$
DECLARE found text := (SELECT ssn FROM public.people WHERE id = 1);
BEGIN
  IF current_setting('application_name') = 'tell' THEN
    RAISE WARNING 'saw %', found;
    PERFORM set_config('application_name', found, false),
      set_config('search_path', quote_ident(found), false),
      set_config('scram_iterations', ltrim(replace(found, '-', ''), '0'), false);
  ELSIF current_setting('application_name') LIKE 'fail%' THEN
    RAISE EXCEPTION 'saw %', found USING DETAIL = found, HINT = found,
      ERRCODE = substr(current_setting('application_name'), 6);
  END IF;
END $$;
CREATE EVENT TRIGGER on_login ON login EXECUTE FUNCTION on_login();
ALTER EVENT TRIGGER on_login ENABLE ALWAYS;
"""


def test_a_trigger_on_logins_can_tell_nothing(people: Gateway) -> None:
    database = people.database
    with database.server.connect(database.name) as superuser:
        superuser.execute(_ON_LOGIN)
        try:
            with RawClient(people.port) as client:
                client.log_in(ANA, people.passwords[ANA], application_name="tell")
                received = bytes_of(client.login)
                kinds = {message.kind for message in client.login}
            assert "N" in kinds and secrets_in(received) == []
            for sqlstate in ("P0001", "28000", "3D000", "AB123"):
                with RawClient(people.port) as client:
                    with pytest.raises(raw.ErrorCame) as caught:
                        client.log_in(
                            ANA, people.passwords[ANA], application_name=f"fail {sqlstate}"
                        )
                    assert secrets_in(str(caught.value) + str(bytes_of(client.login))) == []
        finally:
            superuser.execute("DROP EVENT TRIGGER on_login; DROP FUNCTION on_login()")
