"""The try box: a statement judged as somebody, with everything that asks in the page's address."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from appliance.approvals.eligible import Question, approvers
from appliance.approvals.requests import RequestKind
from appliance.approvals.terms import terms_of
from appliance.entities import Snapshot
from appliance.errors import Invalid
from appliance.policy import trial
from appliance.policy.trial import Trial, TrialEffect
from appliance.policy.verdict import Action
from appliance.sql.catalog import Catalog
from appliance.store import catalogs
from web.forms import Form, sentence
from web.services import now, off_loop, services
from web.sql import sql

FIELDS = ("identity", "target", "role", "sql", "application_name", "source", "rows")
MOST_CHARACTERS = 100_000
LONGEST_URL = 6_000  # gunicorn reads 8,190 bytes of a request's first line


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of it. ``has_catalog``: names could be looked up in the target's catalog.

    ``deciders``: who could decide a hold now. ``rows``: how many it was tried with.
    """

    trial: Trial
    role: str
    has_catalog: bool
    is_admitted: bool
    deciders: tuple[str, ...] = ()
    rows: int = 0

    @property
    def effects(self) -> tuple[TrialEffect, ...]:
        """Return each effect once, in the order of the text."""
        return tuple(dict.fromkeys(self.trial.effects))


def attempt(snapshot: Snapshot, form: Form, database: str | None = None) -> Tried | None:
    """Judge what the form says; None with errors beside its fields when it cannot be."""
    _check(form)
    if form.has_errors:
        return None
    text, rows = form.value("sql"), int(form.value("rows").replace(",", "") or 0)
    try:
        session = trial.imagine(
            snapshot, form.value("identity"), form.value("target"), form.optional("role"), database
        )
    except Invalid as error:
        form.refuse(error.field, sentence(error))
        return None
    session = replace(
        session,
        application_name=form.optional("application_name"),
        source=form.optional("source"),
    )
    stored = catalogs.get(services().store, session.target.name, session.database)
    pages = services().config.public_url
    reader, present = sql().parser, now()  # off the loop there is no request
    reader.parse(text)  # here, where waiting for the planner is cooperative; then it is remembered

    def judge() -> Trial:
        catalog = Catalog.from_json(stored.data) if stored else None
        return trial.try_statement(
            snapshot, session, text, catalog, reader, now=present, rows=rows, pages=pages
        )

    found = off_loop(judge)
    return Tried(
        trial=found,
        role=session.role,
        has_catalog=stored is not None,
        is_admitted=any(grant.role == session.role for grant in session.grants),
        deciders=_deciders(snapshot, session.identity.name, found),
        rows=rows,
    )


def _check(form: Form) -> None:
    """Put what cannot be tried beside its field."""
    text = form.value("sql")
    for name, words in (("identity", "Whose session is it?"), ("target", "Choose a target.")):
        if not form.value(name):
            form.refuse(name, words)
    if not text:
        form.refuse("sql", "Type a statement.")
    elif len(text) > MOST_CHARACTERS:
        form.refuse("sql", f"Up to {MOST_CHARACTERS:,} characters can be tried here.")
    if source := form.value("source"):
        try:
            ipaddress.ip_address(source)
        except ValueError:
            form.refuse("source", "Expected an IP address such as 10.2.0.7.")
    rows = form.value("rows").replace(",", "")
    if rows and not (rows.isascii() and rows.isdigit() and len(rows) <= 15):
        form.refuse("rows", "Expected a number of rows such as 1000.")


def _deciders(snapshot: Snapshot, identity: str, found: Trial) -> tuple[str, ...]:
    """Return who could decide it now, where it would wait or would with more rows."""
    verdicts = (found.verdict, *(verdict for _, verdict in found.many))
    held = next((one for one in verdicts if one.action is Action.HOLD), None)
    if held is None:
        return ()
    terms = terms_of(snapshot, held)
    question = Question(
        identity,
        RequestKind.STATEMENT,
        approvers=terms.approvers,
        owner_may_approve=terms.owner_may_approve,
    )
    return approvers(snapshot, question, now())


def address(path: str, form: Form) -> str | None:
    """Return the page's address with everything in it, None where it would be too long."""
    pairs = [(name, form.value(name)) for name in FIELDS if form.value(name)]
    url = f"{path}?{urlencode(pairs)}" if pairs else path
    return url if len(url) <= LONGEST_URL else None
