"""Where the password of an upstream role comes from."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.entities import UpstreamRole
from appliance.errors import GatepostError
from appliance.sealing import Sealer, upstream_binding
from appliance.targets import open_secret

SEALER = Sealer(bytes(32))


def sealed(secret: str, target_id: int = 7, role: str = "app_ro") -> UpstreamRole:
    return UpstreamRole(
        "app_ro", sealed_secret=SEALER.seal(secret.encode(), upstream_binding(target_id, role))
    )


def test_a_sealed_password_opens_for_its_target_and_role_only() -> None:
    assert open_secret(sealed("pässword"), 7, SEALER, {}) == "pässword"
    for role, target_id in ((sealed("x"), 8), (sealed("x", role="app_rw"), 7)):
        with pytest.raises(GatepostError):
            open_secret(role, target_id, SEALER, {})
    with pytest.raises(GatepostError):
        open_secret(sealed("x"), 7, Sealer(b"1" * 32), {})


def test_a_password_comes_from_the_environment() -> None:
    role = UpstreamRole("app_ro", password_env="SHOP_RO")
    assert open_secret(role, 7, SEALER, {"SHOP_RO": "s3"}) == "s3"


@pytest.mark.parametrize("environ", [{}, {"SHOP_RO": ""}])
def test_a_variable_that_is_not_set_is_named(environ: dict[str, str]) -> None:
    role = UpstreamRole("app_ro", password_env="SHOP_RO")
    with pytest.raises(GatepostError, match="SHOP_RO, which is not set"):
        open_secret(role, 7, SEALER, environ)


def test_a_password_comes_from_a_file_without_its_last_newline(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b" s3 cret \r\n")
    role = UpstreamRole("app_ro", password_file=str(path))
    assert open_secret(role, 7, SEALER, {}) == " s3 cret "


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\xfe"])
def test_a_file_that_gives_no_password_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    role = UpstreamRole("app_ro", password_file=str(path))
    with pytest.raises(GatepostError) as raised:
        open_secret(role, 7, SEALER, {})
    assert "app_ro" in raised.value.message
    assert str(path) in raised.value.hint


def test_a_role_without_any_password_says_how_to_give_it_one() -> None:
    with pytest.raises(GatepostError, match="has no password"):
        open_secret(UpstreamRole("app_ro"), 7, SEALER, {})
