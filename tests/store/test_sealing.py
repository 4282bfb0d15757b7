"""The master key and what it seals."""

from __future__ import annotations

import base64
import os
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from appliance.config import Config, config_from_environment
from appliance.errors import GatepostError, Invalid
from appliance.sealing import (
    KEY_FILE,
    SealBroken,
    Sealer,
    load_master_key,
    load_signing_key,
    upstream_binding,
)

KEY = bytes(range(32))


def _config(data_dir: Path, more: Mapping[str, str] | None = None) -> Config:
    return config_from_environment({"GATEPOST_DATA_DIR": str(data_dir), **(more or {})})


def test_what_is_sealed_opens_with_the_same_key_and_place_alone() -> None:
    sealer, place = Sealer(KEY), upstream_binding(7, "app_ro")
    assert place == "target:7/role:app_ro"
    sealed = sealer.seal(b"hush", place)
    assert b"hush" not in sealed
    assert sealer.open(sealed, place) == b"hush"
    assert sealer.seal(b"hush", place) != sealed, "each nonce is fresh"
    for other, where in ((Sealer(KEY[::-1]), place), (sealer, upstream_binding(8, "app_ro"))):
        with pytest.raises(SealBroken) as caught:
            other.open(sealed, where)
        assert "hush" not in str(caught.value)


def test_every_changed_byte_is_noticed() -> None:
    sealer = Sealer(KEY)
    sealed = sealer.seal(b"hush", "x")
    for index in range(len(sealed)):
        touched = bytearray(sealed)
        touched[index] ^= 1
        with pytest.raises(SealBroken):
            sealer.open(bytes(touched), "x")
    for short in (b"", sealed[:1], sealed[:13], sealed[:-1]):
        with pytest.raises(SealBroken):
            sealer.open(short, "x")


def test_a_print_tells_equal_secrets_of_one_place_and_nothing_else() -> None:
    sealer = Sealer(KEY)
    assert sealer.print_of("a", "identity:1") == sealer.print_of("a", "identity:1")
    assert sealer.print_of("a", "identity:1") != sealer.print_of("a", "identity:2")
    assert sealer.print_of("a", "identity:1") != Sealer(KEY[::-1]).print_of("a", "identity:1")


def test_a_key_is_generated_once_and_readable_by_its_owner_alone(tmp_path: Path) -> None:
    config = _config(tmp_path / "data")
    key = load_master_key(config)
    path = config.data_dir / KEY_FILE
    assert len(key) == 32
    assert load_master_key(config) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(config.data_dir.iterdir()) == [path], "no draft is left behind"


def test_processes_that_start_at_once_agree_on_one_key(tmp_path: Path) -> None:
    code = (
        "from appliance.config import config_from_environment as c;"
        "from appliance.sealing import load_master_key as k;"
        "print(k(c()).hex())"
    )
    environment = {**os.environ, "GATEPOST_DATA_DIR": str(tmp_path / "data")}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True
        )
        for _ in range(6)
    ]
    keys = {process.communicate(timeout=60)[0].strip() for process in running}
    assert len(keys) == 1
    assert len(keys.pop()) == 64


def test_a_key_may_come_as_hex_base64_or_words(tmp_path: Path) -> None:
    texts = (KEY.hex(), KEY.hex().upper(), base64.b64encode(KEY).decode(), f" {KEY.hex()}\n")
    for text in texts:
        assert load_master_key(_config(tmp_path, {"GATEPOST_MASTER_KEY": text})) == KEY
    words = {"GATEPOST_MASTER_KEY": "many words of a long sentence"}
    derived = load_master_key(_config(tmp_path, words))
    assert len(derived) == 32
    assert derived == load_master_key(_config(tmp_path, words))
    assert list(tmp_path.iterdir()) == [], "nothing is generated where a key is given"


def test_a_short_key_is_refused_without_being_shown(tmp_path: Path) -> None:
    with pytest.raises(Invalid) as caught:
        load_master_key(_config(tmp_path, {"GATEPOST_MASTER_KEY": "hunter2"}))
    assert caught.value.field == "GATEPOST_MASTER_KEY"
    assert "hunter2" not in str(caught.value)


def test_a_key_file_may_be_a_mounted_secret_but_must_be_there(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    more = {"GATEPOST_MASTER_KEY_FILE": str(path)}
    with pytest.raises(GatepostError, match="cannot read the key"):
        load_master_key(_config(tmp_path, more))
    path.write_text(KEY.hex() + "\n")
    path.chmod(0o444)
    assert load_master_key(_config(tmp_path, more)) == KEY
    path.chmod(0o600)
    path.write_bytes(b"\xff\xfe" * 20)
    with pytest.raises(GatepostError, match="holds no key"):
        load_master_key(_config(tmp_path, more))


def test_our_own_key_file_must_not_be_open_to_everybody(tmp_path: Path) -> None:
    config = _config(tmp_path)
    load_master_key(config)
    (tmp_path / KEY_FILE).chmod(0o644)
    with pytest.raises(GatepostError, match="chmod 600"):
        load_master_key(config)


def test_the_signing_key_is_the_same_in_every_process_and_another_for_another_master_key(
    tmp_path: Path,
) -> None:
    config = _config(tmp_path)
    assert load_signing_key(config).public_key == load_signing_key(config).public_key
    other = _config(tmp_path, {"GATEPOST_MASTER_KEY": KEY.hex()})
    assert load_signing_key(config).public_key != load_signing_key(other).public_key
