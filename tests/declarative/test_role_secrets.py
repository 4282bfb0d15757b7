"""Passwords of upstream roles in the file: where they come from, and what is said without one."""

from __future__ import annotations

import pytest

from appliance.store.database import Store
from tests.declarative.conftest import apply_text

TARGET = "targets: [{name: shop, host: h, database: d, roles: [{name: app_ro%s}]}]"


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (", password_env: SHOP_RO", "SHOP_RO must be set where gatepost serve runs"),
        (", password_file: /run/secrets/ro", "gatepost serve reads /run/secrets/ro"),
        ("", "give it password, password_env or password_file, or set it on the page"),
    ],
)
def test_a_role_that_is_added_without_a_password_is_remarked_once(
    store: Store, source: str, says: str
) -> None:
    applied = apply_text(store, TARGET % source)
    assert "add role shop/app_ro" in applied.changes
    assert applied.remarks == (f"role shop/app_ro has no password here: {says}",)
    again = apply_text(store, TARGET % source)
    assert (again.changes, again.remarks) == ((), ())


def test_a_role_that_is_added_with_its_password_needs_no_remark(store: Store) -> None:
    applied = apply_text(store, TARGET % ", password_env: SHOP_RO", {"SHOP_RO": "secret"})
    assert applied.remarks == ()
