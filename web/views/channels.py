"""Notifications: the mail server and the webhook, each tried with a real message."""

from __future__ import annotations

from dataclasses import replace

from flask import Blueprint, flash, redirect, render_template, url_for
from werkzeug.wrappers import Response as BaseResponse

from appliance.entities import Settings, Smtp
from appliance.errors import GatepostError
from appliance.notify.trial import send_test
from appliance.store import channels, outbox, settings
from appliance.store.outbox import Channel
from web import channel_forms
from web.access import ADMIN, may
from web.forms import Form, read_form
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
            if _has_no_password(settings.get(store).smtp):
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
    receiver = read_form("receiver").value("receiver")
    stored = replace(settings.get(services().store), webhook=None)
    if stored.smtp is None:
        flash("There is no mail server yet: save one first.", "held")
    else:
        try:
            _send_test(stored, receiver or "nobody", "Look into that mailbox.")
        except (ValueError, IndexError):  # what email.headerregistry says about an odd address
            flash("Expected an e-mail address to send the test to.", "bad")
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
    stored = replace(settings.get(services().store), smtp=None)
    if stored.webhook is None:
        flash("There is no webhook yet: save one first.", "held")
    else:
        _send_test(stored, "", "")
    return _back("webhook")


def _send_test(stored: Settings, receiver: str, then: str) -> None:
    config = services().config
    for tried in send_test(stored, services().sealer, config, now(), receiver):
        words = ": ".join(filter(None, (tried.detail, tried.hint)))
        if tried.ok:
            flash(f"Sent: {words}. {then}".strip(), "ok")
        else:
            flash(f"The test did not arrive: {words}.", "bad")


def _has_no_password(smtp: Smtp | None) -> bool:
    """Return whether somebody is to log in and has nothing to do it with."""
    if smtp is None or not smtp.user:
        return False
    return not (smtp.sealed_password or smtp.password_env or smtp.password_file)


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
