"""A real SMTP server for tests: keeps what it gets, refuses or dawdles as it is told."""

from __future__ import annotations

import asyncio
import email
import email.policy
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword


@dataclass(slots=True)
class Mailbox:
    """``refuse``: receiver -> the reply it gets ("" = all others). ``silent``: never answers."""

    port: int = 0
    messages: list[EmailMessage] = field(default_factory=list)
    envelopes: list[tuple[str, list[str]]] = field(default_factory=list)
    refuse: dict[str, str] = field(default_factory=dict)
    on_data: str = "250 taken"
    logins: list[tuple[str, str]] = field(default_factory=list)
    was_tls: list[bool] = field(default_factory=list)

    def to(self, receiver: str) -> list[EmailMessage]:
        return [m for m in self.messages if m["To"] == receiver]

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.on_data.startswith("250"):
            found = email.message_from_bytes(envelope.content, policy=email.policy.default)
            assert isinstance(found, EmailMessage)
            self.messages.append(found)
            self.envelopes.append((envelope.mail_from, list(envelope.rcpt_tos)))
            self.was_tls.append(server.transport.get_extra_info("sslcontext") is not None)
        return self.on_data


@contextmanager
def mailbox(
    *,
    port: int = 0,
    tls: ssl.SSLContext | None = None,
    starttls: bool = False,
    password: str | None = None,
) -> Iterator[Mailbox]:
    """Run the server; ``password``: whoever sends must log in with it."""
    box = Mailbox()

    def authenticate(server: Any, session: Any, envelope: Any, kind: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        given = data.password.decode()
        box.logins.append((data.login.decode(), given))
        return AuthResult(success=given == password, handled=False)

    options: dict[str, Any] = {"hostname": "mail.test"}
    if starttls:
        options |= {"tls_context": tls, "require_starttls": True}
    if password is not None:
        options |= {
            "authenticator": authenticate,
            "auth_required": True,
            "auth_require_tls": starttls,
        }
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> asyncio.Server:
        return await loop.create_server(
            lambda: SMTP(box, loop=loop, **options),
            "127.0.0.1",
            port,
            ssl=None if starttls else tls,
        )

    async def stop() -> None:
        server.close()
        others = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    server = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    box.port = server.sockets[0].getsockname()[1]
    try:
        yield box
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
