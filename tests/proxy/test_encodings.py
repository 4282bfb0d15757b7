"""Names of statements and portals are kept here as the target keeps them."""

from __future__ import annotations

import pytest

from appliance.errors import ProtocolError
from proxy.encodings import key_of


def test_a_long_name_is_cut_off_where_the_target_cuts_it_off() -> None:
    assert key_of(b"x" * 63, "utf-8") == b"x" * 63
    assert key_of(b"x" * 63 + b"a", "utf-8") == key_of(b"x" * 63 + b"b", "utf-8") == b"x" * 63


def test_a_name_is_kept_in_one_encoding() -> None:
    assert key_of("naïve".encode("latin-1"), "latin-1") == "naïve".encode()
    assert key_of("naïve".encode(), "utf-8") == "naïve".encode()


def test_a_long_name_that_is_cut_off_nobody_here_knows_where_is_refused() -> None:
    assert key_of(("é" * 31).encode(), "utf-8") == ("é" * 31).encode()
    with pytest.raises(ProtocolError, match="more than 63 bytes"):
        key_of(("é" * 32).encode(), "utf-8")
