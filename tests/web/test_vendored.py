"""What was vendored is what was published: each file has its version, licence and hash."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = (ROOT / "web" / "static" / "vendor", ROOT / "tests" / "browser" / "vendor")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda f: f.parent.name)
def test_every_vendored_file_has_the_hash_of_the_manifest(folder: Path) -> None:
    entries = json.loads((folder / "manifest.json").read_text())
    listed = {entry["file"] for entry in entries}
    present = {path.name for path in folder.iterdir()} - {"manifest.json", "LICENSES.txt"}
    assert present == listed
    for entry in entries:
        digest = hashlib.sha256((folder / entry["file"]).read_bytes()).hexdigest()
        assert digest == entry["sha256"], entry["file"]
        assert entry["version"] in entry["file"] and entry["license"]


def test_pages_load_what_the_manifest_lists() -> None:
    head = (ROOT / "web" / "templates" / "_head.html").read_text()
    for name in ("htmx-2.0.11.min.js", "htmx-ext-sse-2.2.4.min.js", "pico-2.1.1.min.css"):
        assert f"vendor/{name}" in head


def test_stylesheets_and_scripts_of_our_own_stay_short() -> None:
    for path in (ROOT / "web" / "static").rglob("*.*"):
        if path.suffix in (".css", ".js") and path.parent.name != "vendor":
            assert len(path.read_text().splitlines()) <= 400, path.name
