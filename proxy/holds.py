"""A statement that waits for a human: what is known of it, and how far it has come. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto

from appliance.approvals.requests import Deed, RequestState, Settlement
from appliance.policy.verdict import Verdict
from appliance.recording.recorder import Decision as HumanDecision
from appliance.recording.recorder import Parameter, State
from appliance.sql.facts import Facts
from proxy import hold_words
from proxy.decision import Decision, Need
from proxy.refusal import Refusal

LOOK_ANEW = (Need.STATE, Need.CATALOG)


class Stage(Enum):
    """How far a hold has come; only ever forward."""

    LOOKING = auto()  # names and catalog are read anew: what would it do right now?
    ASKING = auto()  # recorded; the store is asked
    WAITING = auto()  # a human decides
    APPROVED = auto()  # ... and said yes: all is checked again
    RELEASED = auto()  # the record of that goes to disk, then it runs
    ENDED = auto()  # it does not run: ``refusal`` says why


@dataclass(frozen=True, slots=True)
class Doer:
    """Who acts in a session, as a deed names it. ``target``: its name and where it is."""

    identity: str
    credential_id: int | None
    target: str
    database: str
    role: str


@dataclass(frozen=True, slots=True)
class Asked:
    """One message as it is asked about: ``raw`` decides, ``shown`` is the text for the record.

    ``is_bind``: ``bound`` has all that follows the names in a Bind, ``parameters`` what of it is
    recorded, ``types`` those that its Parse gave.
    """

    raw: bytes
    shown: bytes
    parameters: tuple[Parameter, ...] = ()
    bound: bytes = b""
    types: tuple[int, ...] = ()
    is_bind: bool = False


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a text meant at one moment: compared when it is released."""

    deed: Deed
    facts: Facts
    search_path: tuple[str, ...] | None
    acting_role: str


@dataclass(slots=True)
class Hold:
    """One held message of a session. The session moves it on, told by the shell what happened.

    ``may_still``: says why the approver may not decide any more, "" = may; given by the shell.
    ``cancel_after``: the client's cancel lost against the yes: it is for the running statement.
    """

    asked: Asked
    stage: Stage = Stage.LOOKING
    looks: list[Need] = field(default_factory=lambda: list(LOOK_ANEW))
    decision: Decision | None = None
    meaning: Meaning | None = None
    records: tuple[int, ...] = ()
    position: int = 0  # of the record in the journal: on disk before anybody is asked
    in_transaction: bool = False
    transaction_s: float = 0.0  # how long it has been open
    settlement: Settlement | None = None
    expires_at: datetime | None = None
    refusal: Refusal | None = None
    state: State = State.WITHDRAWN  # of the record, where it ended
    may_still: Callable[[Verdict, str], str] | None = None
    cancel_wanted: bool = False
    cancel_after: bool = False

    def is_for(self, asked: Asked) -> bool:
        """Return whether this is about that very message."""
        return self.asked.raw == asked.raw and self.asked.bound == asked.bound

    @property
    def is_open(self) -> bool:
        """Return whether nobody has decided yet, and somebody was or is being asked."""
        return self.stage in (Stage.ASKING, Stage.WAITING)

    @property
    def is_decided(self) -> bool:
        return self.stage in (Stage.APPROVED, Stage.RELEASED, Stage.ENDED)

    def settled(self, settlement: Settlement) -> None:
        """Take how the request ended, once: the first word counts."""
        if not self.is_open:
            return
        at_once = self.stage is Stage.ASKING
        self.settlement = settlement
        if settlement.state is RequestState.APPROVED:
            self.stage = Stage.APPROVED
            # Approved before it was asked: what it means was read a moment ago.
            self.looks = [] if at_once else list(LOOK_ANEW)
        else:
            denied = settlement.state is RequestState.DENIED
            self.ended(hold_words.ending(settlement), State.REFUSED if denied else State.WITHDRAWN)

    def ended(self, refusal: Refusal, state: State = State.REFUSED) -> None:
        """Let it not run, and say why."""
        self.stage = Stage.ENDED
        self.refusal = refusal
        self.state = state

    def why_changed(self, now: Meaning) -> str:
        """Return what is not as it was when the approver looked; "" = all is."""
        before = self.meaning
        if before is None:
            return "nobody looked at it"
        if before.deed.request_hash == now.deed.request_hash:
            return ""
        if before.search_path != now.search_path:
            return "search_path changed"
        if before.acting_role != now.acting_role:
            return "the acting role changed"
        if before.facts.statements != now.facts.statements:
            return "the names in it mean something else now"
        return "a view, rule or function that it uses changed"

    def human_decision(self) -> HumanDecision | None:
        """Return what the record says of the decision."""
        settlement = self.settlement
        if settlement is None:
            return None
        return HumanDecision(
            settlement.id,
            settlement.by,
            settlement.state.value,
            settlement.via,
            settlement.reason,
        )
