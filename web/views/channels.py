"""Notifications: the mail server and the webhook, each tried with a real message."""

from __future__ import annotations

import secrets
from urllib.parse import urlsplit

from flask import Blueprint, flash, redirect, render_template, url_for
from werkzeug.wrappers import Response as BaseResponse

from appliance.errors import GatepostError
from appliance.mail import Mailer
from appliance.notify import courier, notice
from appliance.notify.mails import MailTemplates, mail
from appliance.notify.secrets import open_password
from appliance.store import channels, outbox, settings
from appliance.store.outbox import Channel
from web import channel_forms
from web.access import ADMIN, may
from web.forms import Form, read_form, sentence
from web.services import now, services
from web.viewer import actor, require_viewer

blueprint = Blueprint("channels", __name__)


@blueprint.get("/settings/notifications")
@may(ADMIN)
def page() -> str:
    stored = settings.get(services().store)
    return _page(channel_forms.mail_form(stored), channel_forms.webhook_form(stored))


@blueprint.post("/settings/notifications/mail")
@may(ADMIN)
def put_mail() -> BaseResponse | tuple[str, int]:
    store = services().store
    stored = settings.get(store)
    form = channel_forms.read_mail()
    spec = channel_forms.mail_spec(form, stored)
    if spec is not None:
        password = channel_forms.secret_of(form, "password") if spec.user else ""
        try:
            told = channels.put_smtp(
                store, actor(), now(), services().sealer, spec, password=password
            )
        except GatepostError as error:
            channel_forms.take(form, error)
        else:
            kept = settings.get(store).smtp
            lost = kept and kept.user and not (kept.sealed_password or _elsewhere(kept))
            if lost:
                flash("Saved, without a password: give the one of this server and user.", "held")
            elif told:
                flash("The mail server was saved. Send a test to see that it takes mail.", "ok")
            return _back("mail")
    return _page(form, channel_forms.webhook_form(stored)), 422


@blueprint.post("/settings/notifications/mail/remove")
@may(ADMIN)
def remove_mail() -> BaseResponse:
    if channels.put_smtp(services().store, actor(), now(), services().sealer, None):
        flash("The mail server was removed with its password: nobody gets mail any more.", "ok")
    return _back("mail")


@blueprint.post("/settings/notifications/mail/test")
@may(ADMIN)
def test_mail() -> BaseResponse:
    """Send a test to one address and say what the server said."""
    form = read_form("receiver")
    smtp, receiver = settings.get(services().store).smtp, form.value("receiver")
    if smtp is None:
        flash("There is no mail server yet: save one first.", "held")
        return _back("mail")
    public_url = services().config.public_url
    try:
        message = mail(
            MailTemplates(),
            notice.test(public_url),
            sender=smtp.sender,
            receiver=receiver,
            now=now(),
            message_id=f"test-{secrets.token_hex(8)}",
        )
    except (ValueError, IndexError):  # what email.headerregistry says about an odd address
        flash("Expected an e-mail address to send the test to.", "bad")
        return _back("mail")
    try:
        password = open_password(smtp, services().sealer)
        with Mailer(smtp, password, urlsplit(public_url).hostname or "localhost") as mailer:
            mailer.send(message)
    except GatepostError as error:
        flash(f"No test was sent. {sentence(error)}", "bad")
    else:
        place = f"{smtp.host}:{smtp.port}"
        flash(f"{place} took the test for {receiver}. Look into that mailbox.", "ok")
    return _back("mail")


@blueprint.post("/settings/notifications/webhook")
@may(ADMIN)
def put_webhook() -> BaseResponse | tuple[str, int]:
    store = services().store
    stored = settings.get(store)
    form = channel_forms.read_webhook()
    spec = channel_forms.webhook_spec(form, stored)
    secret = channel_forms.secret_of(form, "secret")
    try:
        told = channels.put_webhook(store, actor(), now(), services().sealer, spec, secret=secret)
    except GatepostError as error:
        channel_forms.take(form, error)
        return _page(channel_forms.mail_form(stored), form), 422
    if told:
        flash("The webhook was saved. Send a test to see that it answers.", "ok")
    return _back("webhook")


@blueprint.post("/settings/notifications/webhook/remove")
@may(ADMIN)
def remove_webhook() -> BaseResponse:
    if channels.put_webhook(services().store, actor(), now(), services().sealer, None):
        flash("The webhook was removed with its secret: nothing is posted any more.", "ok")
    return _back("webhook")


@blueprint.post("/settings/notifications/webhook/test")
@may(ADMIN)
def test_webhook() -> BaseResponse:
    """Post a test and say what came back."""
    hook = settings.get(services().store).webhook
    if hook is None:
        flash("There is no webhook yet: save one first.", "held")
        return _back("webhook")
    public_url = services().config.public_url
    told = notice.test(public_url)
    delivery = f"test-{secrets.token_hex(8)}"
    try:
        status = courier.post_event(
            hook, services().sealer, now(), delivery, told, None, public_url
        )
    except GatepostError as error:
        flash(f"The test did not arrive. {sentence(error)}", "bad")
    else:
        flash(f"{hook.place} took the test and answered {status}.", "ok")
    return _back("webhook")


def _elsewhere(smtp: object) -> bool:
    return bool(getattr(smtp, "password_env", None) or getattr(smtp, "password_file", None))


def _back(part: str) -> BaseResponse:
    return redirect(url_for("channels.page", _anchor=part), 303)


def _page(mail_form: Form, webhook_form: Form) -> str:
    store = services().store
    stored = settings.get(store)
    name = require_viewer().name
    return render_template(
        "settings/notifications.html",
        mail=mail_form,
        webhook=webhook_form,
        smtp=stored.smtp,
        hook=stored.webhook,
        securities=channel_forms.SECURITY_WORDS,
        formats=channel_forms.FORMAT_WORDS,
        mail_health=outbox.health(store, now(), Channel.MAIL),
        webhook_health=outbox.health(store, now(), Channel.WEBHOOK),
        receiver=name if "@" in name else "",
    )
