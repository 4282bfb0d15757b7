"""Find a Chromium for the browser tests, or fetch one: a browser test that skips tests nothing."""

from __future__ import annotations

import functools
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

# Containers have no user namespaces and a small /dev/shm.
ARGUMENTS = ("--no-sandbox", "--disable-dev-shm-usage")
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_MAC = (
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
_INSTALL_S = 150


@functools.cache
def find_chromium() -> Path | None:
    """Return a browser that starts: the system's, playwright's own, or one installed just now."""
    for candidate in _candidates():
        if _starts(candidate):
            return candidate
    installers = [[sys.executable, "-m", "playwright", "install", "chromium-headless-shell"]]
    if shutil.which("apt-get") and os.geteuid() == 0:
        installers.insert(0, ["apt-get", "install", "-y", "-qq", "chromium"])
    for command in installers:
        try:
            subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=True,
                timeout=_INSTALL_S,
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            )
        except (OSError, subprocess.SubprocessError):
            continue
        for candidate in _candidates():
            if _starts(candidate):
                return candidate
    return None


def _candidates() -> list[Path]:
    found = [Path(path) for name in _NAMES if (path := shutil.which(name))]
    if platform.system() == "Darwin":
        found += [path for path in map(Path, _MAC) if path.exists()]
    with sync_playwright() as playwright:
        own = Path(playwright.chromium.executable_path)
    # `playwright install chromium-headless-shell` puts the program into a directory beside that
    shells = sorted(own.parents[2].glob("chromium_headless_shell-*/*/*headless*shell*"))
    return [*found, *(path for path in (own, *shells) if path.is_file())]


def _starts(program: Path) -> bool:
    """Return whether it runs at all: Ubuntu's package is a stub, others may lack libraries."""
    try:
        done = subprocess.run(
            [str(program), "--version", "--headless", *ARGUMENTS],
            capture_output=True,
            check=False,
            timeout=30,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0
