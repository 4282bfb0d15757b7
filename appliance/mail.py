"""Hand mail to the configured server: one connection for several messages, short timeouts."""

from __future__ import annotations

import smtplib
import ssl
from contextlib import suppress
from email.message import EmailMessage
from types import TracebackType

from appliance.entities import MailSecurity, Smtp
from appliance.errors import NotDelivered

TIMEOUT_S = 10
_MAX_REPLY = 120


class Mailer:
    """A connection to the mail server, opened at the first message; use it with ``with``.

    ``helo``: the name this appliance gives itself.
    """

    def __init__(self, smtp: Smtp, password: str | None, helo: str) -> None:
        self._smtp = smtp
        self._password = password
        self._helo = helo
        self._server: smtplib.SMTP | None = None

    def __enter__(self) -> Mailer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def open(self) -> None:
        """Connect and log in, unless that is done. Raises: NotDelivered."""
        if self._server is not None:
            return
        smtp = self._smtp
        place = f"the mail server {smtp.host}:{smtp.port}"
        try:
            self._server = self._connected()
        except smtplib.SMTPAuthenticationError as error:
            raise NotDelivered(
                f"{place} refused the user {smtp.user}: {_reply(error)}",
                "see the user and the password under Settings",
            ) from None
        except smtplib.SMTPNotSupportedError as error:
            if "STARTTLS" in str(error):
                hint = "set tls: none for a server without it, or tls: tls"
                raise NotDelivered(f"{place} offers no STARTTLS", hint) from None
            raise NotDelivered(
                f"{place} offers no login here", "does it want TLS first? Or leave the user out"
            ) from None
        except ssl.SSLCertVerificationError as error:
            raise NotDelivered(
                f"the certificate of {place} is not valid: {error.verify_message}",
                "SSL_CERT_FILE names the authorities that gatepost serve trusts",
            ) from None
        except ssl.SSLError:
            raise NotDelivered(
                f"{place} does not speak TLS at once", "try tls: starttls, or another port"
            ) from None
        except smtplib.SMTPException as error:
            raise NotDelivered(f"{place} did not let us in: {_reply(error)}") from None
        except TimeoutError:
            raise NotDelivered(f"{place} did not answer within {TIMEOUT_S} s") from None
        except (OSError, UnicodeError) as error:
            why = getattr(error, "strerror", None) or type(error).__name__
            raise NotDelivered(f"{place} cannot be reached: {why}") from None

    def send(self, message: EmailMessage) -> None:
        """Hand one message over. Raises: NotDelivered; final where the server said "never"."""
        self.open()
        place = f"the mail server {self._smtp.host}:{self._smtp.port}"
        server = self._server
        if server is None:
            raise RuntimeError("open() returned without a connection")
        try:
            server.send_message(message)
        except smtplib.SMTPRecipientsRefused as error:
            code, text = next(iter(error.recipients.values()))
            self._reset()
            raise NotDelivered(
                f"{place} refuses mail to {message['To']}: {_shown(code, text)}",
                is_final=500 <= code < 600,
            ) from None
        except smtplib.SMTPResponseException as error:
            self._reset()
            raise NotDelivered(f"{place} refused the message: {_reply(error)}") from None
        except (smtplib.SMTPException, OSError) as error:
            self.close()
            why = "timeout" if isinstance(error, TimeoutError) else type(error).__name__
            raise NotDelivered(f"{place} broke off: {why}") from None

    def close(self) -> None:
        """Say goodbye; a server that does not listen any more does not matter."""
        server, self._server = self._server, None
        if server is not None:
            with suppress(smtplib.SMTPException, OSError):
                server.quit()

    def _connected(self) -> smtplib.SMTP:
        smtp = self._smtp
        context = ssl.create_default_context()
        server: smtplib.SMTP
        if smtp.security is MailSecurity.TLS:
            server = smtplib.SMTP_SSL(
                smtp.host, smtp.port, self._helo, timeout=TIMEOUT_S, context=context
            )
        else:
            server = smtplib.SMTP(smtp.host, smtp.port, self._helo, timeout=TIMEOUT_S)
        try:
            if smtp.security is MailSecurity.STARTTLS:
                server.starttls(context=context)
            if smtp.user:
                server.login(smtp.user, self._password or "")
        except BaseException:
            server.close()
            raise
        return server

    def _reset(self) -> None:
        """Make the connection fit for the next message, or drop it."""
        try:
            if self._server is not None:
                self._server.rset()
        except (smtplib.SMTPException, OSError):
            self.close()


def _reply(error: smtplib.SMTPException) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        return _shown(error.smtp_code, error.smtp_error)
    return type(error).__name__


def _shown(code: int, text: bytes | str) -> str:
    words = text.decode(errors="replace") if isinstance(text, bytes) else text
    line = "".join(c for c in " ".join(words.split()) if c.isprintable())
    return f"{code} {line[:_MAX_REPLY]}".strip()
