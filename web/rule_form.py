"""The form of a policy rule: read from a request, shown from a rule, made into one."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from flask import request

from appliance.entities import IdentityKind, PermissionRole, PolicyRule, Snapshot
from appliance.errors import GatepostError, Invalid
from appliance.hours import parse_hours
from appliance.identity.spans import parse_span, show_span
from appliance.policy.rules import contradictions
from appliance.sql.facts import EffectClass
from appliance.store import rules
from appliance.store.database import Store
from web.forms import Form

_TEXTS = (
    "name",
    "action",
    "without_where",
    "rows_over",
    "hours",
    "approvers",
    "owner_may_approve",
    "timeout",
    "retry",
    "message",
    "enabled",
)
_LINES = ("named", "tables", "columns", "functions", "application_names", "sources")
_TICKS = ("kinds", "targets", "roles", "commands")
MOST_PEOPLE = 300
# What only a rule that approves has, each with how it is named in a sentence.
_OF_APPROVE = {
    "approvers": "approvers",
    "owner_may_approve": "an owner who may approve",
    "timeout": "a time to wait",
    "retry": "a time to retry within",
}
WITHOUT_WHERE = (
    ("", "any"),
    ("yes", "only those without a WHERE that counts"),
    ("no", "only those with one"),
)
ACTIONS = (
    ("block", "block: it is refused with 42501"),
    ("approve", "approve: it waits for a human"),
    ("allow", "allow: it runs"),
)
KIND_WORDS = (
    ("*", "Everyone"),
    (IdentityKind.HUMAN.value, "people"),
    (IdentityKind.SERVICE.value, "services"),
    (IdentityKind.CI.value, "CI jobs"),
    (IdentityKind.BOT.value, "bots"),
    (IdentityKind.AGENT.value, "AI agents"),
)
# Every class that a rule may name, in groups that people look through.
COMMANDS: tuple[tuple[str, tuple[EffectClass, ...]], ...] = (
    ("Read", (EffectClass.SELECT, EffectClass.COPY_OUT, EffectClass.EXPLAIN)),
    (
        "Write",
        (
            EffectClass.INSERT,
            EffectClass.UPDATE,
            EffectClass.DELETE,
            EffectClass.MERGE,
            EffectClass.TRUNCATE,
            EffectClass.COPY_IN,
        ),
    ),
    (
        "Change the database",
        (EffectClass.DDL, EffectClass.TEMP_DDL, EffectClass.DCL, EffectClass.MAINTENANCE),
    ),
    ("Run code", (EffectClass.CALL, EffectClass.DO, EffectClass.COPY_PROGRAM)),
    (
        "Session",
        (
            EffectClass.SESSION,
            EffectClass.ROLE,
            EffectClass.TRANSACTION,
            EffectClass.LOCK,
            EffectClass.LISTEN,
            EffectClass.PREPARE,
            EffectClass.EXECUTE,
            EffectClass.CURSOR,
        ),
    ),
    ("What cannot be told", (EffectClass.UNKNOWN,)),
)


def blank() -> Form:
    """Return the form of a rule that is still to be thought of."""
    values = dict.fromkeys((*_TEXTS, *_LINES, *_TICKS), "")
    return Form(values | {"action": "block", "enabled": "on"})


def read() -> Form:
    """Read the form as it was sent; what was ticked is kept one a line."""
    values = {name: request.form.get(name, "").strip() for name in (*_TEXTS, *_LINES)}
    values |= {name: "\n".join(request.form.getlist(name)) for name in _TICKS}
    return Form(values)


def of_rule(rule: PolicyRule) -> Form:
    """Return the form that shows a rule."""
    kinds = [word.removeprefix("kind:") for word in rule.who if _is_tick(word)]
    where = {None: "", True: "yes", False: "no"}[rule.without_where]
    return Form(
        {
            "name": rule.name,
            "action": rule.action,
            "without_where": where,
            "rows_over": "" if rule.rows_over is None else str(rule.rows_over),
            "hours": rule.hours,
            "approvers": rule.approvers or "",
            "owner_may_approve": "on" if rule.owner_may_approve else "",
            "timeout": _span(rule.timeout_s),
            "retry": _span(rule.retry_s),
            "message": rule.message,
            "enabled": "on" if rule.enabled else "",
            "kinds": "\n".join(kinds),
            "named": "\n".join(word for word in rule.who if not _is_tick(word)),
            "targets": "\n".join(rule.targets),
            "roles": "\n".join(rule.roles),
            "commands": "\n".join(rule.commands),
            "tables": "\n".join(rule.tables),
            "columns": "\n".join(rule.columns),
            "functions": "\n".join(rule.functions),
            "application_names": "\n".join(rule.application_names),
            "sources": "\n".join(rule.sources),
        }
    )


def to_rule(form: Form, known: Iterable[str]) -> PolicyRule | None:
    """Return the rule that the form says; None with errors beside fields.

    ``known``: names of identities, so that one may be typed without ``identity:``.
    """
    who = _who(form, frozenset(known))
    if not who:
        form.refuse("kinds", "Say whom the rule is about: tick one, or name somebody below.")
    if form.value("action") != "approve":
        for name, words in _OF_APPROVE.items():
            if form.value(name):
                form.refuse(name, f"Only a rule that approves has {words}: empty this.")
    rule = PolicyRule(
        name=form.value("name"),
        action=form.value("action"),
        who=who or ("*",),
        targets=_lines(form, "targets"),
        roles=_lines(form, "roles"),
        commands=_lines(form, "commands"),
        tables=_lines(form, "tables"),
        columns=_lines(form, "columns"),
        functions=_lines(form, "functions"),
        application_names=_lines(form, "application_names"),
        sources=_lines(form, "sources"),
        without_where={"yes": True, "no": False}.get(form.value("without_where")),
        rows_over=_rows(form),
        hours=form.value("hours"),
        approvers=form.optional("approvers"),
        owner_may_approve=form.is_on("owner_may_approve"),
        timeout_s=_seconds(form, "timeout"),
        retry_s=_seconds(form, "retry"),
        message=form.value("message"),
        enabled=form.is_on("enabled"),
    )
    if rule.hours:
        try:
            parse_hours(rule.hours)
        except Invalid as error:
            form.take(error)
    for field, message in contradictions(rule):
        form.refuse(field, f"{message[:1].upper()}{message[1:]}.")
    return None if form.has_errors else rule


def approver_choices(
    snapshot: Snapshot, groups: Iterable[str], chosen: str
) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return whom a rule may name, as lists of (word, what people read), each with its title.

    ``groups`` as words, ``group:NAME``. Of more people than anybody looks through, those with
    the permission role approver.
    """
    people = [one for one in snapshot.identities.values() if one.is_human]
    if len(people) > MOST_PEOPLE:
        people = [one for one in people if PermissionRole.APPROVER in one.permission_roles]
    words = [f"identity:{one.name}" for one in sorted(people, key=lambda one: one.name)]
    named = list(groups)
    other = [chosen] if chosen and chosen not in (*words, *named) else []
    found = (("Somebody of a group", named), ("One person", words), ("As it is now", other))
    return [(title, [(w, w.partition(":")[2]) for w in list_]) for title, list_ in found if list_]


def checked(form: Form, store: Store, known: Iterable[str]) -> PolicyRule | None:
    """Return the rule that the form says if it could be stored; None with errors beside fields."""
    rule = to_rule(form, known)
    if rule is None:
        return None
    try:
        rule = rules.checked(rule)
        with store.reading():
            rules.check_names(rule)
    except GatepostError as error:
        take(form, error)
        return None
    return rule


def take(form: Form, error: GatepostError) -> None:
    """Put an error of the store beside its field."""
    form.take(error, {"who": "named"})


def _who(form: Form, known: frozenset[str]) -> tuple[str, ...]:
    """Return the ``who`` words: everyone is everyone, whatever else is ticked."""
    kinds = _lines(form, "kinds")
    if "*" in kinds:
        return ("*",)
    named = (
        f"identity:{word}" if ":" not in word and ("@" in word or word in known) else word
        for word in _lines(form, "named")
    )
    return (*(f"kind:{kind}" for kind in kinds), *named)


def _is_tick(word: str) -> bool:
    return word == "*" or word.startswith("kind:")


def _lines(form: Form, name: str) -> tuple[str, ...]:
    """Return entries, one a line: names and patterns may hold commas."""
    parts = (part.strip() for part in form.value(name).splitlines())
    return tuple(dict.fromkeys(part for part in parts if part))


def _rows(form: Form) -> int | None:
    """Return the number of rows; thousands may be apart as people write them."""
    text = form.value("rows_over").replace(",", "").replace(" ", "").replace("_", "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        form.refuse("rows_over", "Expected a number of rows such as 1000.")
        return None
    return int(text)


def _seconds(form: Form, name: str) -> int | None:
    text = form.value(name)
    if not text:
        return None
    try:
        return int(parse_span(name, text).total_seconds())
    except GatepostError as error:
        form.take(error)
        return None


def _span(seconds: int | None) -> str:
    return "" if seconds is None else show_span(timedelta(seconds=seconds))
