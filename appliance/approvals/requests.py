"""What waits for a human's yes or no: approval requests as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class RequestKind(StrEnum):
    """What a yes does."""

    STATEMENT = "statement"  # the held statement runs
    RETRY = "retry"  # the same deed passes once when it is tried again
    ACCESS = "access"  # a time-boxed grant begins
    PROFILE = "profile"  # the fingerprint joins the signed statement profile


class RequestState(StrEnum):
    """From waiting to one of the others, once: whoever swaps the state first has decided."""

    WAITING = "waiting"
    APPROVED = "approved"
    DENIED = "denied"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"  # by the client's cancel, or by the requester in the browser
    WITHDRAWN = "withdrawn"  # the client left, or its worker died
    KILLED = "killed"  # the session was ended: by an admin, by a revocation, by the end of its time
    SHUTDOWN = "shutdown"

    @property
    def is_open(self) -> bool:
        return self is RequestState.WAITING


@dataclass(frozen=True, slots=True)
class Estimate:
    """How many rows the target's planner expects; ``rows`` None: no estimate, ``why`` says why.

    ``sqlstate``: of the error that the target answered with.
    """

    rows: int | None
    why: str = ""
    sqlstate: str = ""


@dataclass(frozen=True, slots=True)
class Deed:
    """Who does exactly what where: what an approval is bound to.

    ``request_hash`` covers all of it; ``deed_hash`` leaves the session out, so that the same deed
    is known again when automation tries once more. Both are 64 hex digits (see ``deed.py``).
    """

    request_hash: str
    deed_hash: str


@dataclass(frozen=True, slots=True)
class StatementAsk:
    """A statement that needs a human, as the proxy asks about it.

    ``text`` and ``parameters`` as they are recorded: secrets replaced. ``seqs``: the journal's
    numbers of its statements in the session. ``transaction_since``: None = none is open.
    ``approvers``: a word for each rule that holds it ("group:dba", "identity:bo@…", or
    "role:approver" where the rule names nobody); who decides must fit all of them.
    ``eligible``: the names of those who can decide now, by ``eligible.approvers``.
    ``acting_role``: what SET ROLE made current, "" = ``role``. ``prepared``: what the text
    executes, recorded like the text. ``hides_values``: some literal or parameter was replaced.
    """

    deed: Deed
    session_id: str
    seqs: tuple[int, ...]
    worker: str
    identity: str
    identity_kind: str
    owner: str | None
    credential_id: int | None
    target: str
    environment: str
    database: str
    role: str
    source: str
    application_name: str
    reason: str  # what the client gave with gatepost.reason
    text: str
    parameters: tuple[object, ...]
    effects: tuple[tuple[str, str], ...]  # (class, object)
    fingerprint: str
    rule: str
    why: str  # the verdict's reason
    approvers: tuple[str, ...]
    owner_may_approve: bool
    eligible: tuple[str, ...]
    estimate: Estimate
    transaction_since: datetime | None
    expires_at: datetime
    retry_s: int | None = None  # not None: refused at once, this is a request of kind RETRY
    acting_role: str = ""
    backup_owner: str | None = None
    prepared: tuple[str, ...] = ()
    hides_values: bool = False


@dataclass(frozen=True, slots=True)
class Settlement:
    """How a request ended, and by whom.

    ``via``: browser | shell (OS user NAME) | pre-approval | retry, or gateway where no human
    decided (a timeout, the client's cancel, the end of its session).
    """

    id: int
    state: RequestState
    by: str = ""
    via: str = ""
    reason: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One approval request as pages and listings show it.

    ``eligible``: who could decide when it was asked. ``detail`` holds what only one kind has:
    ``estimate`` {rows, why} and ``transaction_since`` (ISO 8601, None = none open) of a statement,
    ``acting_role``, ``backup_owner``, ``prepared`` (texts) and ``hides_values`` where it has them,
    ``pre_approval`` (its id) of one that was approved before, ``duration_s`` and ``grant``
    (its id, once approved) of an access request.
    """

    id: int
    kind: RequestKind
    state: RequestState
    identity: str
    identity_kind: str
    target: str
    role: str
    text: str
    created_at: datetime
    expires_at: datetime
    session_id: str = ""
    seqs: tuple[int, ...] = ()
    database: str = ""
    environment: str = ""
    owner: str | None = None
    credential_id: int | None = None
    source: str = ""
    application_name: str = ""
    reason: str = ""
    parameters: tuple[object, ...] = ()
    effects: tuple[tuple[str, str], ...] = ()
    fingerprint: str = ""
    rule: str = ""
    why: str = ""
    approvers: tuple[str, ...] = ()
    owner_may_approve: bool = False
    eligible: tuple[str, ...] = ()
    worker: str = ""
    request_hash: str = ""
    deed_hash: str = ""
    retry_s: int | None = None  # of kind RETRY: how long the yes counts
    retry_until: datetime | None = None  # an approved retry passes once until then
    used_at: datetime | None = None  # ... and did
    decided_at: datetime | None = None
    decided_by: str = ""
    decided_via: str = ""
    decision_reason: str = ""
    detail: Mapping[str, object] = field(default_factory=dict)
