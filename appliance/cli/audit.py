"""``gatepost audit verify``: was the record touched?"""

from __future__ import annotations

import string

import click

from appliance.cli._opened import Opened, opened
from appliance.cli._output import print_json
from appliance.errors import Invalid
from appliance.recording.verify import Report, verify
from appliance.sealing import KEY_FILE, load_signing_key


@click.group(name="audit")
def command() -> None:
    """Is the record what was written?"""


@command.command(name="verify")
@click.option("--head", default="", metavar="HEX", help="a chain head kept elsewhere (mail, SIEM)")
@click.option("--public-key", default="", metavar="HEX", help="whose signatures count")
@click.option("--json", "as_json", is_flag=True)
def verify_(head: str, public_key: str, as_json: bool) -> int:
    """Walk every journal's hash chain and compare the store with it.

    Exit code 1 and the first broken record if anything was changed, removed, added or reordered.
    Without --public-key, the key that the master key gives counts.
    """
    _check_hex("--head", head)
    _check_hex("--public-key", public_key)
    with opened() as gate:
        key = bytes.fromhex(public_key) if public_key else _own_key(gate)
        report = verify(gate.config.journal_dir, gate.store, head.lower() or None, public_key=key)
    if as_json:
        print_json(_json(report, key))
    else:
        _print(report, key)
    return 0 if report.is_whole else 1


def _own_key(gate: Opened) -> bytes | None:
    config = gate.config
    if config.master_key or config.master_key_file or (config.data_dir / KEY_FILE).exists():
        return load_signing_key(config).public_key
    return None


def _check_hex(field: str, text: str) -> None:
    if text and (len(text) != 64 or set(text) - set(string.hexdigits)):
        raise Invalid(field, "expected 64 hexadecimal digits")


def _json(report: Report, key: bytes | None) -> dict[str, object]:
    return {
        "whole": report.is_whole,
        "public_key": key.hex() if key else None,
        "journals": report.journals,
        "records": report.records,
        "signed_heads": report.heads,
        "unindexed": report.unindexed,
        "latest_head": report.latest_head,
        "head_at": report.head_at,
        "elsewhere": report.elsewhere,
        "notes": report.notes,
        "problems": [{"where": one.where, "what": one.what} for one in report.problems],
    }


def _print(report: Report, key: bytes | None) -> None:
    click.echo(f"{report.journals} journals, {report.records} records, {report.heads} signed heads")
    if report.latest_head:
        click.echo(f"latest signed head {report.latest_head}")
    if key is None:
        click.echo("no master key here: signatures were checked by each journal's own word")
    if report.unindexed:
        click.echo(f"{report.unindexed} records are not in the store yet")
    if report.elsewhere:
        click.echo(f"{len(report.elsewhere)} journals are on other appliances: verify them there")
    for note in report.notes:
        click.echo(note)
    if report.head_at:
        click.echo(f"the head you gave was written at {report.head_at}")
    if report.is_whole:
        click.echo("whole: every record is as it was written")
        return
    first, *others = report.problems
    click.echo(f"BROKEN: {first}")
    for problem in others:
        click.echo(f"also:   {problem}")
