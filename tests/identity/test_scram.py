"""SCRAM-SHA-256, both sides: who passes, who does not, and what a tampered message gives."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable

import pytest
import scramp
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import Invalid
from appliance.identity.scram import (
    MECHANISM,
    MECHANISM_PLUS,
    KeyCache,
    ScramClient,
    ScramFailed,
    ScramServer,
    make_verifier,
    mock_salt,
    mock_verifier,
    parse_verifier,
)

SALT = b"0123456789abcdef"
BINDING = b"h" * 32
RIGHT = make_verifier("right", SALT)
OLD = make_verifier("old", SALT)


def exchange(
    server: ScramServer,
    password: str,
    binding: bytes | None = None,
    cache: KeyCache | None = None,
) -> int:
    """Run a whole exchange; the client checks the server's proof too."""
    client = ScramClient(password, server.mechanisms, {} if cache is None else cache, binding)
    client.challenge(server.first(client.mechanism, client.first()))
    last, index = server.final(client.final())
    client.verify(last)
    return index


@pytest.mark.parametrize("binding", [None, BINDING])
def test_the_right_password_passes(binding: bytes | None) -> None:
    assert exchange(ScramServer([RIGHT], binding), "right", binding) == 0


def test_each_live_credential_passes_and_is_told_apart() -> None:
    verifiers = [OLD, RIGHT, make_verifier("third", SALT)]
    assert exchange(ScramServer(verifiers), "old") == 0
    assert exchange(ScramServer(verifiers), "right") == 1
    assert exchange(ScramServer(verifiers), "third") == 2


def test_a_wrong_password_fails_and_says_nothing_more() -> None:
    with pytest.raises(ScramFailed) as caught:
        exchange(ScramServer([OLD, RIGHT]), "wrong")
    assert caught.value.sqlstate == "28P01"
    assert caught.value.message == "password authentication failed"


def test_a_verifier_with_another_salt_cannot_be_checked_and_is_named() -> None:
    other = make_verifier("other", b"another salt 123")
    server = ScramServer([RIGHT, other, make_verifier("more", SALT, 5000)])
    assert server.uncheckable == (1, 2)
    assert exchange(server, "right") == 0
    with pytest.raises(ScramFailed):
        exchange(ScramServer([RIGHT, other]), "other")


@pytest.mark.parametrize("password", ["right", "", "mock", "x" * 200])
def test_nobody_passes_a_mock(password: str) -> None:
    with pytest.raises(ScramFailed) as caught:
        exchange(ScramServer([mock_verifier(b"secret", "ana@example.com")]), password)
    assert caught.value.sqlstate == "28P01"


def test_a_mock_shows_the_same_salt_each_time_and_another_for_another_name() -> None:
    def salt_shown(secret: bytes, name: str) -> bytes:
        server = ScramServer([mock_verifier(secret, name)])
        reply = server.first(MECHANISM, b"n,,n=,r=abc")
        return reply.split(b",")[1]

    assert salt_shown(b"secret", "ana") == salt_shown(b"secret", "ana")
    assert salt_shown(b"secret", "ana") != salt_shown(b"secret", "bo")
    assert salt_shown(b"secret", "ana") != salt_shown(b"other", "ana")
    assert len(mock_salt(b"secret", "ana")) == len(SALT)


def test_a_mock_looks_like_a_credential_of_ours() -> None:
    mock, real = parse_verifier(mock_verifier(b"s", "ana")), parse_verifier(make_verifier("x"))
    assert mock.iterations == real.iterations == 4096
    assert len(mock.salt) == len(real.salt)


def test_a_server_without_verifiers_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="mock_verifier"):
        ScramServer([])


def test_the_key_is_derived_once_for_a_secret_and_a_salt() -> None:
    cache: KeyCache = {}
    server = ScramServer([RIGHT])
    client = ScramClient("right", (MECHANISM,), cache)
    client.challenge(server.first(MECHANISM, client.first()))
    assert client.needs_derivation
    client.derive()
    assert not client.needs_derivation
    again = ScramClient("right", (MECHANISM,), cache)
    again.challenge(ScramServer([RIGHT]).first(MECHANISM, again.first()))
    assert not again.needs_derivation
    changed = ScramClient("changed", (MECHANISM,), cache)
    changed.challenge(ScramServer([RIGHT]).first(MECHANISM, changed.first()))
    assert changed.needs_derivation
    assert all("right" not in repr(item) for item in cache.items())


def test_a_client_binds_where_both_sides_can_and_says_so_where_the_server_cannot() -> None:
    both = (MECHANISM_PLUS, MECHANISM)
    assert ScramClient("x", both, {}, BINDING).mechanism == MECHANISM_PLUS
    assert ScramClient("x", both, {}).mechanism == MECHANISM
    assert ScramClient("x", both, {}).first().startswith(b"n,,")
    assert ScramClient("x", (MECHANISM,), {}, BINDING).first().startswith(b"y,,")


@pytest.mark.parametrize("offered", [(), ("OAUTHBEARER",), (MECHANISM_PLUS,)])
def test_a_client_refuses_an_offer_without_a_mechanism_it_can_do(offered: tuple[str, ...]) -> None:
    with pytest.raises(ScramFailed, match="none of the SASL mechanisms"):
        ScramClient("x", offered, {})


@pytest.mark.parametrize(
    ("mechanism", "first", "sqlstate", "words"),
    [
        ("SCRAM-SHA-1", b"n,,n=,r=abc", "08P01", "invalid SASL authentication mechanism"),
        (MECHANISM, b"y,,n=,r=abc", "28000", "channel binding negotiation error"),
        (MECHANISM, b"p=tls-server-end-point,,n=,r=abc", "08P01", "malformed SCRAM message"),
        (MECHANISM_PLUS, b"n,,n=,r=abc", "08P01", "malformed SCRAM message"),
        (MECHANISM_PLUS, b"y,,n=,r=abc", "08P01", "malformed SCRAM message"),
        (MECHANISM_PLUS, b"p=tls-unique,,n=,r=abc", "08P01", "unsupported SCRAM channel-binding"),
        (MECHANISM, b"q,,n=,r=abc", "08P01", "malformed SCRAM message"),
        (MECHANISM, b"n,a=other,n=,r=abc", "0A000", "authorization identity"),
        (MECHANISM, b"n,,m=ext,n=,r=abc", "0A000", "unsupported SCRAM extension"),
        (MECHANISM, b"n,,n=,r=", "08P01", "non-printable characters"),
        (MECHANISM, b"n,,n=,r=a\x7fb", "08P01", "non-printable characters"),
        (MECHANISM, b"n,,r=abc,n=", "08P01", "malformed SCRAM message"),
        (MECHANISM, b"n,,n=", "08P01", "malformed SCRAM message"),
        (MECHANISM, b"", "08P01", "malformed SCRAM message"),
    ],
)
def test_a_first_message_that_cannot_be_is_refused_as_a_server_does(
    mechanism: str, first: bytes, sqlstate: str, words: str
) -> None:
    with pytest.raises(ScramFailed, match=words) as caught:
        ScramServer([RIGHT], BINDING).first(mechanism, first)
    assert caught.value.sqlstate == sqlstate


def test_plus_is_not_offered_without_a_binding() -> None:
    server = ScramServer([RIGHT])
    assert server.mechanisms == (MECHANISM,)
    with pytest.raises(ScramFailed, match="invalid SASL"):
        server.first(MECHANISM_PLUS, b"p=tls-server-end-point,,n=,r=abc")
    assert server.first(MECHANISM, b"y,,n=,r=abc").startswith(b"r=abc")


def test_a_man_in_the_middle_with_another_certificate_is_found() -> None:
    with pytest.raises(ScramFailed, match="channel binding check failed") as caught:
        exchange(ScramServer([RIGHT], BINDING), "right", b"other" * 6)
    assert caught.value.sqlstate == "28000"


def cut_proof(final: bytes) -> bytes:
    return final[:-4] + b"AA=="


def flip(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    return lambda final: final.replace(old, new, 1)


@pytest.mark.parametrize(
    ("tamper", "sqlstate"),
    [
        (flip(b"c=biws", b"c=eSws"), "28000"),
        (flip(b"r=", b"r=x"), "08P01"),
        (flip(b",p=", b",x=1,p="), "28P01"),
        (flip(b",p=", b",q="), "08P01"),
        (flip(b",p=", b",p=!"), "08P01"),
        (flip(b"c=", b"d="), "08P01"),
        (cut_proof, "08P01"),
        (lambda final: b"", "08P01"),
        (lambda final: final[: final.index(b",p=") + 3] + b"A" * 43 + b"=", "28P01"),
    ],
)
def test_a_tampered_final_message_is_refused(
    tamper: Callable[[bytes], bytes], sqlstate: str
) -> None:
    server = ScramServer([RIGHT])
    client = ScramClient("right", server.mechanisms, {})
    client.challenge(server.first(client.mechanism, client.first()))
    final = client.final()
    with pytest.raises(ScramFailed) as caught:
        server.final(tamper(final))
    assert caught.value.sqlstate == sqlstate


def test_a_final_message_cannot_be_replayed_in_another_exchange() -> None:
    first = ScramServer([RIGHT])
    client = ScramClient("right", first.mechanisms, {}, nonce="same")
    client.challenge(first.first(client.mechanism, client.first()))
    recorded = client.final()
    assert first.final(recorded)[1] == 0
    second = ScramServer([RIGHT])
    second.first(MECHANISM, b"n,,n=,r=same")
    with pytest.raises(ScramFailed, match="invalid SCRAM response"):
        second.final(recorded)


@pytest.mark.parametrize(
    ("challenge", "words"),
    [
        (b"", "malformed"),
        (b"e=other-error", "malformed"),
        (b"r=other,s=c2FsdA==,i=4096", "nonce"),
        (b"r=own,s=c2FsdA==,i=4096", "nonce"),
        (b"r=own1,s=!,i=4096", "salt"),
        (b"r=own1,s=c2FsdA==,i=0", "iterations"),
        (b"r=own1,s=c2FsdA==,i=10000001", "iterations"),
        (b"r=own1,s=c2FsdA==,i=99999999999999999999", "iterations"),
        (b"r=own1,s=c2FsdA==,i=-1", "iterations"),
        (b"s=c2FsdA==,r=own1,i=1", "malformed"),
    ],
)
def test_a_client_refuses_a_challenge_that_cannot_be(challenge: bytes, words: str) -> None:
    client = ScramClient("x", (MECHANISM,), {}, nonce="own")
    with pytest.raises(ScramFailed, match=words):
        client.challenge(challenge)


@pytest.mark.parametrize("final", [b"", b"v=", b"v=AAAA", b"e=invalid-proof"])
def test_a_client_refuses_a_server_that_does_not_know_the_verifier(final: bytes) -> None:
    client = ScramClient("x", (MECHANISM,), {}, nonce="own")
    client.challenge(b"r=own1,s=c2FsdA==,i=1")
    client.final()
    with pytest.raises(ScramFailed, match="could not prove"):
        client.verify(final)


def test_a_client_does_not_believe_a_server_before_it_has_sent_its_own_proof() -> None:
    client = ScramClient("x", (MECHANISM,), {})
    with pytest.raises(ScramFailed, match="could not prove"):
        client.verify(b"v=")


@given(st.binary(max_size=60), st.sampled_from((b"", b"n,,", b"n,,n=,r=", b"y,,")))
def test_any_first_message_is_answered_or_refused(data: bytes, prefix: bytes) -> None:
    with contextlib.suppress(ScramFailed):
        assert ScramServer([RIGHT]).first(MECHANISM, prefix + data).startswith(b"r=")


@given(st.binary(max_size=80), st.sampled_from((b"", b"c=biws,r=", b"c=biws,r=abcserver,p=")))
def test_no_final_message_passes_without_the_password(data: bytes, prefix: bytes) -> None:
    server = ScramServer([RIGHT], nonce="server")
    server.first(MECHANISM, b"n,,n=,r=abc")
    with pytest.raises(ScramFailed):
        server.final(prefix + data)


@given(st.binary(max_size=60), st.sampled_from((b"", b"r=own", b"r=own1,s=c2FsdA==,i=")))
def test_any_challenge_is_taken_or_refused(data: bytes, prefix: bytes) -> None:
    client = ScramClient("x", (MECHANISM,), {}, nonce="own")
    with contextlib.suppress(ScramFailed):
        client.challenge(prefix + data)


@pytest.mark.parametrize("binding", [None, BINDING])
def test_scramps_client_passes(binding: bytes | None) -> None:
    server = ScramServer([OLD, RIGHT], binding)
    channel = None if binding is None else ("tls-server-end-point", binding)
    client = scramp.ScramClient(list(server.mechanisms), "ana", "right", channel_binding=channel)
    reply = server.first(client.mechanism_name, client.get_client_first().encode())
    client.set_server_first(reply.decode())
    last, index = server.final(client.get_client_final().encode())
    client.set_server_final(last.decode())
    assert index == 1


@pytest.mark.parametrize("password", ["x", "correct horse", "IX", "Ⅸ", "a\u00adb", "\u00a0x"])
def test_scramp_derives_the_same_keys(password: str) -> None:
    mechanism = scramp.ScramMechanism("SCRAM-SHA-256")
    salt, stored_key, server_key, iterations = mechanism.make_auth_info(password, 4096, SALT)
    ours = parse_verifier(make_verifier(password, SALT))
    assert (ours.salt, ours.iterations) == (salt, iterations)
    assert (ours.stored_key, ours.server_key) == (stored_key, server_key)


def test_the_rfcs_own_example_comes_out() -> None:
    """RFC 7677 section 3, with the server's side of it."""
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    server = ScramServer([make_verifier("pencil", salt)], nonce=nonce)
    first = server.first(MECHANISM, b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO")
    assert first == (
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    )
    last, _ = server.final(
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    assert last == b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


@pytest.mark.parametrize("password", ["", "a\0b"])
def test_a_password_that_no_client_can_send_makes_no_verifier(password: str) -> None:
    with pytest.raises(Invalid, match="password"):
        make_verifier(password)


def test_two_verifiers_of_one_password_differ_in_salt() -> None:
    assert make_verifier("x") != make_verifier("x")


def test_a_verifier_reads_back_as_it_is_written() -> None:
    assert str(parse_verifier(RIGHT)) == RIGHT


@pytest.mark.parametrize(
    "text",
    [
        "",
        "md5" + "0" * 32,
        "SCRAM-SHA-256$4096:c2FsdA==$AAAA:AAAA",
        RIGHT.replace("SCRAM-SHA-256", "SCRAM-SHA-1"),
        RIGHT.replace("4096", "0"),
        RIGHT.replace("4096", "many"),
        RIGHT + "$more",
        RIGHT.replace("=", "!"),
    ],
)
def test_what_is_no_verifier_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(Invalid, match="expected SCRAM-SHA-256") as caught:
        parse_verifier(text)
    assert text == "" or text not in str(caught.value)
