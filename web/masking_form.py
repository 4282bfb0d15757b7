"""The form of a masking rule: read from a request, shown from a rule, made into one, previewed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from flask import request

from appliance.entities import MaskingRule, MaskMode, Snapshot
from appliance.errors import GatepostError
from appliance.masking.examples import example
from appliance.masking.maskers import preview, why_not
from appliance.masking.resolving import resolve
from appliance.masking.sensitive import Kind
from appliance.masking.sentences import Audience, Piece, audience, reaching, sentence
from appliance.masking.survey import Seen
from appliance.masking.values import ColumnMask, Method
from appliance.store import masking_rules
from web.forms import Form
from web.masking_surveys import Read, databases, survey_of
from web.rule_form import KIND_WORDS
from web.services import now

_TEXTS = ("name", "target", "method", "value", "mode", "enabled")
_LINES = ("columns", "named")
_MOST_PREVIEWED = 6
METHODS = (
    (Method.REDACT, "redact: *** (numbers 0, documents {})"),
    (Method.PARTIAL, "partial: only the last characters of a text"),
    (Method.EMAIL, "email: ***@ and the domain"),
    (Method.HASH, "hash: equal values stay equal, and join"),
    (Method.NULL, "null: nothing at all, for any type"),
    (Method.ZERO_DATE, "zero-date: 0001-01-01"),
    (Method.FIXED, "fixed: a value that you give"),
)
MODES = (
    (MaskMode.LENIENT, "lenient: it may be compared and grouped by, and comes masked"),
    (MaskMode.STRICT, "strict: it may be selected as it is and nothing else"),
)
KINDS = tuple((value, word) for value, word in KIND_WORDS if value != "*")


@dataclass(frozen=True, slots=True)
class Previewed:
    """One column under the rule as typed. ``problem``: why its type cannot have the method."""

    name: str
    type: str
    example: str
    becomes: str | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Words:
    """What a rule comes to. ``matched``: how many columns it means; None = no catalog was read."""

    pieces: list[Piece]
    audience: Audience
    previews: list[Previewed]
    matched: int | None
    problem: str = ""


def blank() -> Form:
    """Return the form of a rule that is still to be thought of."""
    values = dict.fromkeys((*_TEXTS, *_LINES, "kinds"), "")
    return Form(values | {"method": "redact", "mode": "lenient", "enabled": "on"})


def read() -> Form:
    """Read the form as it was sent; what was ticked is kept one a line."""
    values = {name: request.form.get(name, "").strip() for name in (*_TEXTS, *_LINES)}
    values["kinds"] = "\n".join(request.form.getlist("kinds"))
    return Form(values)


def of_rule(rule: MaskingRule) -> Form:
    """Return the form that shows a rule."""
    kinds = [word.removeprefix("kind:") for word in rule.exempt if word.startswith("kind:")]
    return Form(
        {
            "name": rule.name,
            "target": rule.target,
            "method": rule.method.value,
            "value": rule.value or "",
            "mode": rule.mode.value,
            "enabled": "on" if rule.enabled else "",
            "columns": "\n".join(rule.columns),
            "named": "\n".join(word for word in rule.exempt if not word.startswith("kind:")),
            "kinds": "\n".join(kinds),
        }
    )


def to_rule(form: Form, known: Iterable[str]) -> MaskingRule | None:
    """Return the rule that the form says; None with errors beside fields.

    ``known``: names of identities, so that one may be typed without ``identity:``.
    """
    rule = _typed(form, known)
    if rule is None:
        return None
    try:
        return masking_rules.checked(rule)
    except GatepostError as error:
        take(form, error)
        return None


def take(form: Form, error: GatepostError) -> None:
    """Put an error of the store beside its field."""
    form.take(error, {"exempt": "named"})


def exempted(text: str, known: Iterable[str]) -> tuple[str, ...]:
    """Return ``who`` words, one a line: an e-mail or an identity's name needs no prefix."""
    names = frozenset(known)
    words = (line.strip() for line in text.replace(",", "\n").splitlines())
    return tuple(
        dict.fromkeys(
            f"identity:{word}" if ":" not in word and ("@" in word or word in names) else word
            for word in words
            if word
        )
    )


def words_of(form: Form, snapshot: Snapshot) -> Words | None:
    """Return what the rule as typed comes to; None while it says too little."""
    rule = _typed(Form(dict(form.values)), snapshot.identities)
    if rule is None or not rule.columns or rule.target not in snapshot.targets:
        return None
    previews: list[Previewed] = []
    matched: int | None = None
    problem = ""
    for read in _reads(snapshot, rule.target):
        try:
            found = _meant(rule, read)
        except ValueError as error:  # a pattern that is not complete yet
            problem = f"{error}"
            break
        matched = (matched or 0) + len(found)
        room = _MOST_PREVIEWED - len(previews)
        previews += [_previewed(rule, seen, read) for seen in found[:room]]
    return Words(
        sentence(rule),
        audience(rule, reaching(snapshot, rule.target, now())),
        previews,
        matched,
        problem,
    )


def example_of(type_name: str, kind: str, method: str) -> str | None:
    """Return what a made-up value becomes by a method; None = NULL, "" = there is none to show."""
    known = next((one for one in Kind if one == kind), None)
    if method not in list(Method) or why_not(method, type_name):
        return ""
    value = example(type_name, known)
    return preview(ColumnMask("", Method(method), ""), type_name, value) if value else ""


def _typed(form: Form, known: Iterable[str]) -> MaskingRule | None:
    method = form.value("method")
    mode = form.value("mode") or MaskMode.LENIENT.value
    if method not in list(Method):
        form.refuse("method", "Choose a method.")
        return None
    if mode not in list(MaskMode):
        form.refuse("mode", "Choose lenient or strict.")
        return None
    kinds = tuple(f"kind:{kind}" for kind in form.value("kinds").splitlines())
    lines = (line.strip() for line in form.value("columns").splitlines())
    value = form.values["value"] if method == Method.FIXED else None
    return MaskingRule(
        id=0,
        name=form.value("name"),
        target=form.value("target"),
        columns=tuple(dict.fromkeys(line for line in lines if line)),
        method=Method(method),
        value=value,
        mode=MaskMode(mode),
        exempt=kinds + exempted(form.value("named"), known),
        enabled=form.is_on("enabled"),
    )


def _reads(snapshot: Snapshot, target: str) -> list[Read]:
    found = snapshot.targets[target]
    reads = (survey_of(snapshot, found, name) for name in databases(snapshot, found))
    return [read for read in reads if read is not None]


def _meant(rule: MaskingRule, read: Read) -> list[Seen]:
    """Return the columns that a rule would mean, without what is only computed from them."""
    survey = read.survey
    places = {
        (one.oid, one.attnum) for one in resolve(rule, (), survey.columns) if not one.is_computed
    }
    oids = {oid for oid, _ in places}
    relations = [relation for relation in survey.relations if relation.oid in oids]
    return [seen for relation in relations for seen in survey.of(relation) if seen.place in places]


def _previewed(rule: MaskingRule, seen: Seen, read: Read) -> Previewed:
    catalog, type_name = read.survey.catalog, seen.column.type
    problem = why_not(rule.method, type_name, rule.value, catalog)
    kind = seen.suggestion.kind if seen.suggestion else None
    value = example(type_name, kind, catalog)
    mask = ColumnMask(rule.name, rule.method, seen.name, rule.value)
    becomes = None if problem else preview(mask, type_name, value, catalog)
    return Previewed(seen.name, type_name, value, becomes, problem)
