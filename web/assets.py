"""URLs of static files that change with their content, so that browsers may keep them for ever."""

from __future__ import annotations

import hashlib
from pathlib import Path

from flask import Flask, Response, request

_FOREVER = "public, max-age=31536000, immutable"


def install(app: Flask) -> None:
    """Give templates ``asset("app.css")`` and let what it names be cached."""
    folder = Path(str(app.static_folder))
    versions = {
        str(path.relative_to(folder)): _digest(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }

    def asset(name: str) -> str:
        return f"{app.static_url_path}/{name}?v={versions[name]}"

    def keep(response: Response) -> Response:
        if request.endpoint == "static" and request.args.get("v"):
            response.headers["Cache-Control"] = _FOREVER
        return response

    app.jinja_env.globals["asset"] = asset
    app.after_request(keep)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
