"""What would be decided about a statement, without running anything: the try box, the shell."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from appliance.entities import Grant, Identity, Snapshot, Target, who_matches
from appliance.errors import Invalid
from appliance.hours import closed_rules
from appliance.masking.explain import EVERY_OUTPUT, masks_of
from appliance.masking.texts import MASKING, with_mask
from appliance.policy.engine import Policy
from appliance.policy.rules import Rulebook
from appliance.policy.slips import missing_name, slip_of
from appliance.policy.subject import Subject
from appliance.policy.verdict import EffectDecision, Verdict
from appliance.policy.wording import refusal_text
from appliance.sql.catalog import Catalog
from appliance.sql.facts import Facts, NameContext
from appliance.sql.parser import Parser
from appliance.sql.resolve import resolve


@dataclass(frozen=True, slots=True)
class Session:
    """The session that a trial imagines. ``application_name``, ``source`` None: any."""

    identity: Identity
    target: Target
    role: str
    database: str
    grants: tuple[Grant, ...]
    application_name: str | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class TrialEffect:
    """One (class, object) with the rule that decided it."""

    cls: str
    object: str
    action: str
    rule: str


@dataclass(frozen=True, slots=True)
class TrialMask:
    """One output column that a masking rule would mask; ``how``: its lineage in words."""

    output: str
    columns: tuple[str, ...]
    rule: str
    method: str
    how: str = ""

    @property
    def is_every(self) -> bool:
        """Return whether it stands for all outputs, which are not known one by one."""
        return self.output == EVERY_OUTPUT


@dataclass(frozen=True, slots=True)
class Trial:
    """The outcome. ``unknown``: why something could not be known, "" if all was.

    ``message`` and ``hint``: what the client would read, "" when the statement would run.
    ``scrubs_errors``: errors and notices would come without values. ``many``: the verdicts for
    more rows than it was tried with, as (over so many rows, verdict), ascending; with one rule on
    rows there is one.
    """

    verdict: Verdict
    facts: Facts
    effects: tuple[TrialEffect, ...]
    unknown: str
    masks: tuple[TrialMask, ...] = ()
    message: str = ""
    hint: str = ""
    many: tuple[tuple[int, Verdict], ...] = ()
    scrubs_errors: bool = False
    is_refused_by_masking: bool = False


def imagine(
    snapshot: Snapshot,
    identity: str,
    target: str,
    role: str | None = None,
    database: str | None = None,
    application_name: str | None = None,
    source: str | None = None,
) -> Session:
    """Return the session that an identity would have, as if nothing but names mattered.

    Raises: ``Invalid`` naming the one of the four that is not known, and what there is.
    """
    who = snapshot.identities.get(identity)
    if who is None:
        raise Invalid("identity", f"there is no identity {identity}", "see gatepost identity list")
    on = snapshot.targets.get(target)
    if on is None:
        raise Invalid("target", f"there is no target {target}", _there_are(snapshot.targets))
    grants = tuple(
        grant
        for grant in snapshot.grants
        if grant.target == target
        and who_matches(grant.who, who)
        and on.role(grant.role)
        and (not grant.is_time_boxed or grant.role == role)  # used only where it is asked for
    )
    if role is not None and on.role(role) is None:
        roles = [upstream.name for upstream in on.roles]
        raise Invalid("role", f"target {target} has no upstream role {role}", _there_are(roles))
    chosen = role or (grants[0].role if grants else "")
    if not chosen:
        raise Invalid(
            "role",
            f"{identity} has no grant on {target}, so it would not get in",
            "give it one, or name a role to imagine",
        )
    return Session(
        who, on, chosen, database or on.database, grants, application_name or None, source or None
    )


def try_statement(
    snapshot: Snapshot,
    session: Session,
    sql: str,
    catalog: Catalog | None,
    parser: Parser,
    *,
    now: datetime | None = None,
    rows: int | None = 0,
    pages: str = "",
) -> Trial:
    """Judge one text as the first of a fresh session.

    ``now``: for rules with hours; None = the strictest moment. ``rows``: how many it would touch,
    None = not known. ``pages``: the address of the pages, for hints.
    """
    names = NameContext(
        search_path=_default_path(session.role, catalog),
        role=session.role,
        temp_relations=frozenset(),
        prepared={},
    )
    facts = resolve(parser.parse(sql), catalog, names)
    book = Rulebook(snapshot, closed_rules(snapshot, now), pages)
    policy = Policy(snapshot, _subject(session), book)
    masking = masks_of(
        snapshot, session.identity, session.target, session.database, sql, facts, catalog, names
    )
    verdict = with_mask(policy.decide(facts, rows), masking.plan)
    limits = () if rows is None else policy.row_limits(facts)
    message, hint = ("", "") if verdict.is_allow else _told(verdict, facts)
    unknowns = (statement.unknown for statement in facts.statements)
    return Trial(
        verdict=verdict,
        facts=facts,
        effects=_effects(verdict),
        masks=tuple(
            TrialMask(one.output, one.columns, one.rule, one.method, one.how)
            for one in masking.outputs
        ),
        scrubs_errors=masking.plan is not None and masking.plan.scrubs_errors,
        is_refused_by_masking=masking.plan is not None
        and bool(masking.plan.refusal)
        and verdict.reason == masking.plan.refusal,
        unknown=facts.refusal or next(filter(None, unknowns), ""),
        message=message,
        hint=hint,
        many=tuple(
            (limit, with_mask(policy.decide(facts, limit + 1), masking.plan))
            for limit in limits
            if limit >= (rows or 0)
        ),
    )


def _told(verdict: Verdict, facts: Facts) -> tuple[str, str]:
    """Return message and HINT of the error that the client would get."""
    is_masking = verdict.rule == MASKING
    slip = missing_name(facts, MASKING) if is_masking else slip_of(verdict, facts)
    return (slip.message, slip.hint) if slip else refusal_text(verdict)


def _subject(session: Session) -> Subject:
    grant = next((one for one in session.grants if one.role == session.role), None)
    return Subject(
        identity=session.identity,
        target=session.target,
        database=session.database,
        role=session.role,
        grant=grant,
        granted_roles=frozenset(one.role for one in session.grants) | {session.role},
        application_name=session.application_name,
        source=session.source,
    )


def _default_path(role: str, catalog: Catalog | None) -> tuple[str, ...]:
    """Return what search_path '"$user", public' comes to, the server's default."""
    own = (role,) if catalog is not None and role in catalog.schemas else ()
    return ("pg_catalog", *own, "public")


def _effects(verdict: Verdict) -> tuple[TrialEffect, ...]:
    """Return each (class, object) once, in order, with the strictest decision about it."""
    found: dict[tuple[str, str], EffectDecision] = {}
    for decision in verdict.decisions:
        key = (decision.effect.cls.value, decision.effect.object)
        known = found.get(key)
        if known is None or decision.action.strictness > known.action.strictness:
            found[key] = decision
    return tuple(
        TrialEffect(cls, on, decision.action.value, decision.rule)
        for (cls, on), decision in found.items()
    )


def _there_are(names: Iterable[str]) -> str:
    known = sorted(names)
    return f"there are: {', '.join(known)}" if known else "there are none yet"
