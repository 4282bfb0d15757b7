"""The demo's mail server and mailbox: takes every message, shows them on a page of its own."""

from __future__ import annotations

import asyncio
import email
import email.policy
import html
import socket
import threading
from dataclasses import dataclass, field
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from appliance.errors import Unreachable

HOST = "127.0.0.1"
_START_S = 10
_LARGEST = 1 << 20

_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="refresh" content="5"><title>Mail of the demo</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:45rem;margin:1.5rem auto;padding:0 1rem}}
ul{{list-style:none;padding:0}}li{{padding:.6rem 0;border-top:1px solid #8886;
overflow-wrap:anywhere}}a{{color:inherit}}small{{opacity:.75}}</style></head><body>
<h1>Mail of the demo</h1><p>Everything that Gatepost sent, newest first. It went nowhere else.</p>
<ul>{rows}</ul></body></html>"""
_ROW = '<li><a href="/{number}">{subject}</a><br><small>to {to}, {at}</small></li>'
_NONE = "<li>No mail yet: hold a statement, or ask for access.</li>"


@dataclass(slots=True)
class _Caught:
    """What arrived, in order; ``directory`` has each message as a file too."""

    directory: Path
    messages: list[EmailMessage] = field(default_factory=list)

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        """Keep one message: the name is the one that aiosmtpd calls."""
        found = email.message_from_bytes(envelope.content, policy=email.policy.default)
        if isinstance(found, EmailMessage):
            self.messages.append(found)
            path = self.directory / f"{len(self.messages):04}.eml"
            path.write_bytes(envelope.content)
        return "250 caught"


class MailCatcher:
    """Runs in threads of the demo's own process, on free ports of the loopback."""

    def __init__(self, directory: Path) -> None:
        self._caught = _Caught(directory)
        self._loop = asyncio.new_event_loop()
        self._pages: ThreadingHTTPServer | None = None
        self._server: asyncio.Server | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Return the address of the page that shows the messages."""
        if self._pages is None:
            raise RuntimeError("the mail catcher was not started")
        return f"http://localhost:{self._pages.server_address[1]}"

    @property
    def messages(self) -> tuple[EmailMessage, ...]:
        """Return what arrived, oldest first."""
        return tuple(self._caught.messages)

    def start(self) -> None:
        """Listen. Raises: Unreachable: the package is not installed."""
        try:
            from aiosmtpd.smtp import SMTP
        except ImportError:
            raise Unreachable(
                "no mail catcher here", "install it with: pip install 'gatepost[demo]'"
            ) from None
        self._caught.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        caught, loop = self._caught, self._loop

        async def listen() -> asyncio.Server:
            return await loop.create_server(
                lambda: SMTP(caught, hostname="demo", data_size_limit=_LARGEST, loop=loop), HOST, 0
            )

        threading.Thread(target=loop.run_forever, name="mail catcher", daemon=True).start()
        self._server = asyncio.run_coroutine_threadsafe(listen(), loop).result(_START_S)
        self.port = self._server.sockets[0].getsockname()[1]
        self._pages = ThreadingHTTPServer((HOST, 0), _handler(caught), bind_and_activate=False)
        self._pages.daemon_threads = True
        self._pages.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._pages.server_bind()
        self._pages.server_activate()
        threading.Thread(target=self._pages.serve_forever, name="mail page", daemon=True).start()

    def stop(self) -> None:
        """Stop listening; the threads end with the process."""
        if self._server is not None:
            self._loop.call_soon_threadsafe(self._server.close)
        if self._pages is not None:
            self._pages.shutdown()
            self._pages.server_close()


def _handler(caught: _Caught) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """The list at /, each message at its number."""

        def do_GET(self) -> None:
            number = self.path.strip("/")
            if not number:
                self._answer(_list(caught.messages))
            elif number.isdigit() and 1 <= int(number) <= len(caught.messages):
                self._answer(_body(caught.messages[int(number) - 1]))
            else:
                self.send_error(404)

        def _answer(self, page: str) -> None:
            body = page.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header(
                "Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"
            )
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing: the demo's terminal is for its user."""

    return Handler


def _list(messages: list[EmailMessage]) -> str:
    rows = [
        _ROW.format(
            number=number,
            to=html.escape(str(message["To"])),
            subject=html.escape(str(message["Subject"])),
            at=html.escape(str(message["Date"] or "").removesuffix(" +0000")),
        )
        for number, message in enumerate(messages, 1)
    ]
    return _PAGE.format(rows="".join(reversed(rows)) or _NONE)


def _body(message: EmailMessage) -> str:
    part = message.get_body(("html", "plain"))
    text = part.get_content() if part is not None else ""
    is_html = part is not None and part.get_content_type() == "text/html"
    return text if is_html else f"<pre>{html.escape(text)}</pre>"
