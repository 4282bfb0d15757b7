"""The start-up packet: who asks for what, as the server would read it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.identity.login_request import LoginRequest, Refused, parse_startup
from appliance.identity.startup_options import join_words, parse_options, split_words

BASE = {"user": "ana@example.com", "database": "shop"}


def asked(**parameters: str) -> LoginRequest:
    request = parse_startup({**BASE, **parameters}, "10.2.0.7", True)
    assert isinstance(request, LoginRequest), request
    return request


def refused(**parameters: str) -> Refused:
    outcome = parse_startup({**BASE, **parameters}, "10.2.0.7", True)
    assert isinstance(outcome, Refused), outcome
    return outcome


def upstream_options(request: LoginRequest) -> str | None:
    return dict(request.upstream_parameters).get("options")


@pytest.mark.parametrize(
    ("database", "target", "wanted"),
    [
        ("shop", "shop", ""),
        ("shop/other", "shop", "other"),
        ("shop/a/b", "shop", "a/b"),
        ("shop/", "shop", ""),
        ("/other", "", "other"),
        ("", "", ""),
    ],
)
def test_the_database_names_target_and_database(database: str, target: str, wanted: str) -> None:
    request = asked(database=database)
    assert (request.target, request.database) == (target, wanted)


def test_no_database_at_all_is_no_target() -> None:
    request = parse_startup({"user": "ana"}, "10.2.0.7", False)
    assert isinstance(request, LoginRequest)
    assert (request.target, request.tls, request.source) == ("", False, "10.2.0.7")


@pytest.mark.parametrize("parameters", [{}, {"user": ""}, {"database": "shop"}])
def test_a_packet_without_a_user_is_refused_as_the_server_refuses_it(
    parameters: dict[str, str],
) -> None:
    outcome = parse_startup(parameters, "10.2.0.7", True)
    assert isinstance(outcome, Refused)
    assert outcome.sqlstate == "28000"
    assert outcome.message.startswith("gatepost: ")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("   ", []),
        ("-c a=1", ["-c", "a=1"]),
        (" -c\ta=1\n-c  b=2 ", ["-c", "a=1", "-c", "b=2"]),
        ("-c a=1\\ 2", ["-c", "a=1 2"]),
        ("-c a=\\\\", ["-c", "a=\\"]),
        ("-c a=x\\", ["-c", "a=x"]),
        ("\\-c a\\=1", ["-c", "a=1"]),
        ("-c a='1 2'", ["-c", "a='1", "2'"]),
        ("-c\va=1\f-c b=2\r", ["-c", "a=1", "-c", "b=2"]),
        ("-c a=1\u00a02", ["-c", "a=1\u00a02"]),
    ],
)
def test_options_are_split_at_white_space_and_by_backslash(text: str, words: list[str]) -> None:
    assert split_words(text) == words


@given(st.lists(st.text(st.characters(exclude_characters="\0"), min_size=1)))
def test_joined_words_split_into_themselves(words: list[str]) -> None:
    assert split_words(join_words(words)) == words


@pytest.mark.parametrize(
    "text",
    [
        "-c gatepost.role=app_rw",
        "-cgatepost.role=app_rw",
        "--gatepost.role=app_rw",
        "--Gatepost.ROLE=app_rw",
        "-c GATEPOST.role=app_rw",
        "-\\c gatepost.ro\\le=app_rw",
        "-Oc gatepost.role=app_rw",
        "-OPcgatepost.role=app_rw",
        "-c gatepost.role=app_ro -c gatepost.role=app_rw",
    ],
)
def test_a_role_is_asked_for_in_every_spelling_the_server_knows(text: str) -> None:
    request = asked(options=text)
    assert request.role == "app_rw"
    assert "gatepost" not in str(request.upstream_parameters).lower()
    assert all("gatepost" not in name.lower() for name, _ in request.settings)


def test_reason_and_way_are_taken_out_and_the_rest_is_rejoined() -> None:
    request = asked(
        options="-c search_path=app -c gatepost.reason=INC-42:\\ look\\ again "
        "--work-mem=64MB -c gatepost.auth=password -c x.y=a\\ b\\\\c"
    )
    assert (request.reason, request.way) == ("INC-42: look again", "password")
    assert upstream_options(request) == "-c search_path=app -c work_mem=64MB -c x.y=a\\ b\\\\c"
    assert request.settings == (("search_path", "app"), ("work_mem", "64MB"), ("x.y", "a b\\c"))


def test_gatepost_options_work_as_plain_parameters_and_win_over_options() -> None:
    request = asked(**{"options": "-c gatepost.role=app_ro", "gatepost.role": "app_rw"})
    assert request.role == "app_rw"
    assert request.upstream_parameters == ()


def test_the_target_is_sent_everything_else_but_user_and_database() -> None:
    request = asked(
        application_name="psql", client_encoding="UTF8", DateStyle="ISO", replication="false"
    )
    assert dict(request.upstream_parameters) == {
        "application_name": "psql",
        "client_encoding": "UTF8",
        "DateStyle": "ISO",
        "replication": "false",
    }
    assert [name for name, _ in request.settings] == [
        "application_name",
        "client_encoding",
        "DateStyle",
    ]
    assert request.application_name == "psql"


def test_protocol_options_are_the_gateways_own_business() -> None:
    request = asked(**{"_pq_.something": "1"})
    assert request.upstream_parameters == ()
    assert request.settings == ()


def test_settings_come_in_the_order_in_which_the_server_sets_them() -> None:
    request = asked(application_name="late", options="-c application_name=early -S 64MB -F")
    assert request.settings == (
        ("application_name", "early"),
        ("work_mem", "64MB"),
        ("fsync", "on"),
        ("application_name", "late"),
    )
    assert request.application_name == "late"


def test_a_value_that_a_locale_might_split_travels_as_a_parameter_of_its_own() -> None:
    request = asked(options="-c work_mem=1MB -c search_path=sch\u00a0-c\u00a0role=x")
    assert upstream_options(request) == "-c work_mem=1MB"
    assert dict(request.upstream_parameters)["search_path"] == "sch\u00a0-c\u00a0role=x"
    assert request.settings[1] == ("search_path", "sch\u00a0-c\u00a0role=x")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("search_path=x", "begins with -"),
        ("-c", "needs a value"),
        ("-c search_path", "needs a value"),
        ("--search_path", "needs a value"),
        ("-", "begins with -"),
        ("-Z", "unknown connection option"),
        ("-c a=1 -- b", "nothing may follow"),
        ("-S", "needs a value"),
    ],
)
def test_options_that_the_server_would_refuse_are_refused(options: str, says: str) -> None:
    outcome = refused(options=options)
    assert outcome.sqlstate == "42601"
    assert says in outcome.message
    assert outcome.message.startswith("gatepost: ")


@pytest.mark.parametrize(
    "options",
    [
        "-c user=postgres",
        "-c database=other",
        "--replication=true",
        "-c options=-cx=1",
        "-c _pq_.x=1",
    ],
)
def test_an_option_never_turns_into_another_field_of_the_packet(options: str) -> None:
    assert refused(options=options).sqlstate == "42704"


@pytest.mark.parametrize(
    ("parameters", "sqlstate", "says"),
    [
        ({"options": "-c gatepost.rol=x"}, "42704", "gatepost.rol"),
        ({"gatepost.user": "x"}, "42704", "gatepost.user"),
        ({"gatepost.auth": "kerberos"}, "22023", "gatepost.auth"),
        ({"gatepost.reason": "x" * 501}, "22023", "too long"),
        ({"replication": "maybe"}, "22023", "replication"),
    ],
)
def test_a_wrong_option_is_named_before_anybody_is_authenticated(
    parameters: dict[str, str], sqlstate: str, says: str
) -> None:
    outcome = refused(**parameters)
    assert outcome.sqlstate == sqlstate
    assert says in outcome.message
    assert "ana" not in outcome.message + outcome.hint


@pytest.mark.parametrize(
    "value", ["true", "TRUE", "t", "tru", "on", "ON", "1", "yes", "y", "database"]
)
@pytest.mark.parametrize("key", ["replication", "Replication", "REPLICATION"])
def test_replication_is_seen_in_every_spelling(key: str, value: str) -> None:
    assert asked(**{key: value}).replication


@pytest.mark.parametrize("value", ["false", "F", "off", "of", "0", "no", "n"])
def test_no_replication_is_no_replication(value: str) -> None:
    assert not asked(replication=value).replication


@pytest.mark.parametrize("value", ["", "o", "2", "Database", "truee", "ja"])
def test_a_replication_value_that_the_server_refuses_is_refused(value: str) -> None:
    assert refused(replication=value).sqlstate == "22023"


@given(st.text(st.characters(exclude_characters="\0")))
def test_any_options_are_understood_or_refused(text: str) -> None:
    outcome = parse_startup({**BASE, "options": text}, "::1", True)
    if isinstance(outcome, Refused):
        assert outcome.message.startswith("gatepost: ")
        return
    again = upstream_options(outcome)
    if again is not None:  # what is sent on means what was judged
        pairs = [(o.name, o.value or "on") for o in parse_options(again) if o.name]
        assert set(pairs) <= {(name, value or "on") for name, value in outcome.settings}
