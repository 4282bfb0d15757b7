"""What humans are asked about a held statement: by whom, on which terms, for how long."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from appliance import targets
from appliance.approvals import eligible, terms
from appliance.approvals.eligible import Question
from appliance.approvals.requests import Estimate, RequestKind, StatementAsk
from appliance.approvals.terms import Terms
from appliance.errors import GatepostError
from appliance.policy.verdict import Verdict
from appliance.recording.parameters import Parameter, recorded
from appliance.recording.recorder import prepare
from proxy import recorded_text
from proxy.counting import RowsQuestion, estimate_of
from proxy.decision import Decision
from proxy.holds import Asked, Hold, Meaning
from proxy.wire import bindings

if TYPE_CHECKING:
    from proxy.connection import Connection
    from proxy.worker import Worker

_RETRY_WAITS_S: Final = 24 * 3600  # for a decision, where the rule gives no time of its own


@dataclass(frozen=True, slots=True)
class Asking:
    """One hold as it is asked about at one moment. ``names``: who can decide it."""

    verdict: Verdict
    decision: Decision
    meaning: Meaning
    terms: Terms
    names: tuple[str, ...]
    seconds: int

    @property
    def is_retry(self) -> bool:
        return self.terms.retry_s is not None

    def statement(
        self,
        worker: Worker,
        connection: Connection,
        hold: Hold,
        estimate: Estimate,
        now: datetime,
    ) -> StatementAsk:
        """Return the request as the store takes it."""
        admission, asked = connection.admission, hold.asked
        identity = admission.identity
        judge = connection.session.judge
        shown = asked.shown.decode(judge.codec, "replace")
        # A long one was looked through for the record.
        known = recorded_text.text_of(judge, asked.shown, self.decision)
        text = prepare(known) if isinstance(known, str) else known
        prepared = [prepare(one) for one in _prepared(connection, self.decision, asked)]
        parameters = tuple(recorded(asked.parameters, secret=text.secret))
        acting_role = self.meaning.acting_role
        began = now - timedelta(seconds=hold.transaction_s) if hold.in_transaction else None
        return StatementAsk(
            deed=self.meaning.deed,
            session_id=connection.id,
            seqs=hold.records,
            worker=worker.name,
            identity=identity.name,
            identity_kind=identity.kind,
            owner=identity.owner,
            backup_owner=identity.backup_owner,
            credential_id=admission.credential.id,
            target=admission.target.name,
            environment=admission.target.environment,
            database=admission.database,
            role=admission.role.name,
            source=connection.source,
            application_name=admission.request.application_name,
            reason=admission.request.reason,
            text=text.text,
            parameters=parameters,
            effects=_effects(self.decision),
            fingerprint=_fingerprint(self.decision),
            rule=self.verdict.rule,
            why=self.verdict.reason,
            approvers=self.terms.approvers,
            owner_may_approve=self.terms.owner_may_approve,
            eligible=self.names,
            estimate=estimate,
            transaction_since=began,
            expires_at=now + timedelta(seconds=self.seconds),
            retry_s=self.terms.retry_s,
            acting_role="" if acting_role == admission.role.name else acting_role,
            prepared=tuple(one.text for one in prepared),
            hides_values=text.text != shown or any(one.secret for one in prepared),
        )


def asking(worker: Worker, connection: Connection, hold: Hold, now: datetime) -> Asking:
    """Return how a hold is to be asked about by what is known now."""
    decision, meaning = hold.decision, hold.meaning
    if decision is None or meaning is None:
        raise AssertionError("nothing is known about what is held")
    verdict = decision.verdict
    asked_for = terms.terms_of(worker.snapshot, verdict)
    names = eligible.approvers(worker.snapshot, _question(worker, connection, verdict), now)
    seconds = _seconds(worker, asked_for, hold)
    return Asking(verdict, decision, meaning, asked_for, names, seconds)


def why_not(worker: Worker, connection: Connection, verdict: Verdict, name: str) -> str:
    """Return why somebody may not decide this by what is known now, "" = may."""
    question = _question(worker, connection, verdict)
    return eligible.why_not(worker.snapshot, question, name, worker.clock.now())


def estimate(worker: Worker, connection: Connection, hold: Hold) -> Estimate:
    """Ask the target's planner how many rows it would be, unless it was asked already; blocking."""
    decision, meaning, asked = hold.decision, hold.meaning, hold.asked
    if decision is None or meaning is None:
        raise AssertionError("nothing is known about what is held")
    known = estimate_of(connection.session, asked)
    if known is not None:
        return known
    codec = connection.session.judge.codec
    path, acting = meaning.search_path, meaning.acting_role
    return rows_of(worker, connection, RowsQuestion(asked, decision, path, acting, codec))


def rows_of(worker: Worker, connection: Connection, question: RowsQuestion) -> Estimate:
    """Ask the target's planner how many rows a statement would touch; blocking."""
    admission, asked, codec = connection.admission, question.asked, question.codec
    role = admission.role
    if question.acting_role != role.name:
        return Estimate(None, f"SET ROLE is in force: the planner answers only {role.name}")
    parameters: tuple[Parameter, ...] = ()
    if asked.is_bind:
        size = len(asked.bound)
        parameters = bindings.bind_parameters(asked.bound, 0, size, asked.types, codec)
    try:
        secret = targets.open_secret(role, admission.target.id, worker.sealer)
    except GatepostError:
        return Estimate(None, "the role's secret does not open")
    return worker.estimator.ask(
        admission.target,
        admission.database,
        role.name,
        secret,
        question.search_path,
        asked.raw.decode(codec, "replace"),
        parameters,
        question.decision.facts,
        asked.types,
    )


def elsewhere(worker: Worker, connection: Connection, sql: str) -> bytes | None:
    """Ask the target about its catalog on another connection; None = no answer; blocking."""
    target, database = connection.admission.target, connection.admission.database
    reader = target.reader
    if reader is None:
        return None
    try:
        secret = targets.open_secret(reader, target.id, worker.sealer)
        return targets.ask(target, database, secret, sql)
    except GatepostError:
        return None


def _question(worker: Worker, connection: Connection, verdict: Verdict) -> Question:
    asked_for = terms.terms_of(worker.snapshot, verdict)
    admission = connection.admission
    return Question(
        admission.identity.name,
        RequestKind.STATEMENT if asked_for.retry_s is None else RequestKind.RETRY,
        admission.credential.id,
        asked_for.approvers,
        asked_for.owner_may_approve,
    )


def _prepared(connection: Connection, decision: Decision, asked: Asked) -> list[str]:
    """Return the texts that a statement executes by the name of what was prepared before."""
    statements, judge = connection.session.statements, connection.session.judge
    names = {one.executes for one in decision.facts.statements if one.executes is not None}
    keys = (name.encode("utf-8", "surrogateescape") for name in sorted(names))
    texts = [statements[key].raw for key in keys if key in statements]
    if asked.shown != asked.raw:  # a Bind of what PREPARE made
        texts.append(asked.raw)
    return [
        known if isinstance(known, str) else known.text
        for known in (recorded_text.text_of(judge, raw, decision) for raw in dict.fromkeys(texts))
    ]


def _seconds(worker: Worker, asked_for: Terms, hold: Hold) -> int:
    """Return how long a decision is waited for."""
    settings = worker.snapshot.settings
    if asked_for.retry_s is not None:  # nobody waits: nothing is locked meanwhile
        has_own = asked_for.timeout_s != settings.hold_timeout_s
        return asked_for.timeout_s if has_own else _RETRY_WAITS_S
    if hold.in_transaction:
        return min(asked_for.timeout_s, settings.hold_in_transaction_s)
    return asked_for.timeout_s


def _effects(decision: Decision) -> tuple[tuple[str, str], ...]:
    """Return what the statements would do, each once, without what hardly anybody looks at."""
    effects = (e for s in decision.facts.statements for e in s.effects if not e.default_exempt)
    return tuple(dict.fromkeys((e.cls.value, e.object) for e in effects))


def _fingerprint(decision: Decision) -> str:
    """Return the fingerprint that a pre-approval would have; of a script all together."""
    marks = [s.fingerprint for s in decision.facts.statements]
    if len(marks) == 1:
        return marks[0]
    return hashlib.sha256(" ".join(marks).encode()).hexdigest()[:16]
