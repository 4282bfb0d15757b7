"""A notice as an e-mail: text and HTML, headers that nothing can be injected into."""

from __future__ import annotations

from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from appliance.notify.notice import Notice, Tone

_COLOURS = {Tone.ASKS: "#b45309", Tone.GOOD: "#15803d", Tone.BAD: "#b91c1c", Tone.PLAIN: "#52606d"}


class MailTemplates:
    """The templates, compiled once per process."""

    def __init__(self) -> None:
        environment = Environment(
            loader=FileSystemLoader(Path(__file__).parent / "templates"),
            autoescape=select_autoescape(("html",)),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._text = environment.get_template("mail.txt")
        self._html = environment.get_template("mail.html")

    def text(self, notice: Notice) -> str:
        """Return the plain text."""
        lines = self._text.render(notice=notice).splitlines()
        found: list[str] = []
        for line in lines:
            if line.strip() or (found and found[-1]):
                found.append(line.rstrip())
        return "\n".join(found).strip() + "\n"

    def html(self, notice: Notice) -> str:
        """Return the HTML page: inline styles only, nothing is loaded from anywhere."""
        return self._html.render(notice=notice, colour=_COLOURS[notice.tone])


def mail(
    templates: MailTemplates,
    notice: Notice,
    *,
    sender: str,
    receiver: str,
    now: datetime,
    message_id: str,
) -> EmailMessage:
    """Return the message, written at ``now``.

    The same ``message_id`` gives the same Message-ID: mailboxes know a second copy by it.

    Raises: ValueError for an address that is none.
    """
    domain = sender.rpartition("@")[2]
    found = EmailMessage()
    found["Subject"] = notice.subject
    found["From"] = Address("Gatepost", addr_spec=sender)
    found["To"] = Address(addr_spec=receiver)
    found["Date"] = format_datetime(now)
    found["Message-ID"] = f"<gatepost-{message_id}@{domain}>"
    if notice.request_id is not None:
        found["References"] = f"<gatepost-request-{notice.request_id}@{domain}>"
    found["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers
    found.set_content(templates.text(notice))
    found.add_alternative(templates.html(notice), subtype="html")
    return found
