"""A request as its card shows it: who may see it, who decides, what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from time import monotonic

from markupsafe import Markup

from appliance.approvals import eligible
from appliance.approvals.requests import Request, RequestKind
from appliance.entities import PermissionRole, Snapshot
from appliance.hidden import foreign, is_hidden
from appliance.store import session_replay, snapshots
from appliance.store.approval_rows import question_of
from appliance.store.session_replay import StatementLine
from web.approval_outcomes import Outcome, outcome_of
from web.services import now, services
from web.sql import highlighted, parameter, sql
from web.viewer import STATEMENT_READERS, Viewer

BEFORE = 3  # statements shown of what they ran before
MOST_IN_QUEUE = 8_000  # characters of a text; a longer one is read on the request's own page
MOST_ALONE = 500_000
MOST_PARAMETERS = 1_000
MOST_TOUCHED = 12  # objects named; a rule's own conditions looked at all of them
_LAYING_OUT_S = 1.5
_SWELLS, _LAYOUT = 4, 2_000  # what laying out may add to a text
_LINE = 300
_TALL = 18  # lines that fit without scrolling
_PLAIN = frozenset({"transaction", "session"})  # say nothing without an object
_STATEMENTS = (RequestKind.STATEMENT, RequestKind.RETRY)


@dataclass(frozen=True, slots=True)
class Eyes:
    """Who looks, by the rights of this moment."""

    name: str
    sees_all: bool
    snapshot: Snapshot
    now: datetime

    @classmethod
    def of(cls, viewer: Viewer) -> Eyes:
        """Return the eyes of whoever is signed in."""
        snapshot = snapshots.load(services().store, now())
        return cls(viewer.name, bool(viewer.roles & STATEMENT_READERS), snapshot, now())

    def why_not(self, request: Request) -> str:
        """Return "" if they may decide it, else the sentence that says why not."""
        return eligible.why_not(self.snapshot, question_of(request), self.name, self.now)

    def own(self, request: Request) -> bool:
        """Return whether it is theirs: they asked, or a machine that they own did."""
        asking = self.snapshot.identities.get(request.identity)
        return request.identity == self.name or (
            asking is not None and self.name in (asking.owner, asking.backup_owner)
        )

    def see(self, request: Request) -> bool:
        """Return whether they may read it, its text included."""
        return (
            self.sees_all
            or self.own(request)
            or request.decided_by == self.name
            or not self.why_not(request)
        )

    @property
    def is_approver(self) -> bool:
        """Return whether there is anything that they could approve: by role or by a rule's word."""
        person = self.snapshot.identities.get(self.name)
        if person is None or not person.is_human:
            return False
        words = {rule.approvers for rule in self.snapshot.rules}
        return (
            PermissionRole.APPROVER in person.permission_roles
            or f"identity:{self.name}" in words
            or any(f"group:{group}" in words for group in person.groups)
        )

    def deciders(self, request: Request) -> tuple[str, ...]:
        """Return the names of those who can decide it now."""
        return eligible.approvers(self.snapshot, question_of(request), self.now)


@dataclass(frozen=True, slots=True)
class Card:
    """What one viewer sees of one request.

    ``shown``: the text laid out and highlighted, its first ``shown_characters`` only.
    ``deciders``: who can decide it, told to those who cannot. ``before``: what the identity ran
    before it in the same session, the latest first.
    """

    request: Request
    why_not: str
    is_own: bool
    deciders: tuple[str, ...]
    shown: Markup
    shown_characters: int
    parameters: tuple[str, ...]
    has_cut_parameters: bool
    most: int
    lines: int
    is_laid_out: bool
    before: tuple[StatementLine, ...]
    outcome: Outcome | None
    is_over: bool

    @property
    def is_open(self) -> bool:
        return self.request.state.is_open and not self.is_over

    @property
    def may_decide(self) -> bool:
        return self.is_open and not self.why_not

    @property
    def looks_again_s(self) -> int:
        """Return after how many seconds to look again, 0 = only when the stream says so."""
        if self.request.state.is_open:
            return 2 if self.is_over else 0  # whoever holds it is about to say how it ended
        return self.outcome.every_s if self.outcome else 0

    @property
    def is_cut(self) -> bool:
        """Return whether some of what would be approved is not shown."""
        return (
            self.shown_characters < len(self.request.text)
            or self.has_cut_parameters
            or sum(map(len, self.prepared)) > self.most
        )

    @property
    def is_tall(self) -> bool:
        return self.lines > _TALL

    @property
    def is_statement(self) -> bool:
        return self.request.kind in _STATEMENTS

    @property
    def transaction_since(self) -> datetime | None:
        """Return since when a transaction is open in the session, None for none."""
        return moment(self.request.detail, "transaction_since")

    @property
    def rows(self) -> str:
        """Return the planner's word on how many rows, or why there is none."""
        estimate = self.request.detail.get("estimate")
        if not isinstance(estimate, Mapping):
            return "no estimate was made"
        rows, why = estimate.get("rows"), str(estimate.get("why") or "")
        if isinstance(rows, int):
            return f"about {rows:,} {'row' if rows == 1 else 'rows'}, says the planner"
        return f"no estimate: {why}" if why else "no estimate"

    @property
    def is_first(self) -> bool:
        """Return whether nothing ran before it; else what did may not be in the store yet."""
        return min(self.request.seqs, default=1) <= 1

    @property
    def touches(self) -> tuple[str, ...]:
        """Return what it would do to what, by the names as they were looked up: "delete app.t"."""
        found: dict[str, list[str]] = {}
        for cls, obj in self.request.effects:
            if obj or cls not in _PLAIN:
                found.setdefault(_named(obj), []).append(cls.replace("_", " "))
        return tuple(f"{', '.join(classes)} {obj}".strip() for obj, classes in found.items())

    @property
    def acting_role(self) -> str:
        """Return the role that SET ROLE made current, "" where it is the session's own."""
        return str(self.request.detail.get("acting_role") or "")

    @property
    def prepared(self) -> tuple[str, ...]:
        """Return the texts that it executes by name."""
        found = self.request.detail.get("prepared")
        return tuple(visible(str(text)) for text in found) if isinstance(found, list) else ()

    @property
    def hides_values(self) -> bool:
        """Return whether literals were left out of the text, since they may be secrets."""
        return self.request.detail.get("hides_values") is True

    @property
    def duration_s(self) -> int:
        """Return how long an access request asks for."""
        found = self.request.detail.get("duration_s")
        return found if isinstance(found, int) else 0


def cards_of(requests: list[Request], eyes: Eyes) -> list[Card]:
    """Return the cards of a queue; texts made to be slow to lay out cannot stall the page."""
    began = monotonic()
    return [
        card_of(request, eyes, lays_out=monotonic() - began < _LAYING_OUT_S) for request in requests
    ]


def card_of(
    request: Request, eyes: Eyes, *, most: int = MOST_IN_QUEUE, lays_out: bool = True
) -> Card:
    """Return a request as somebody who may see it sees it."""
    text = request.text[:most]
    is_whole = len(text) == len(request.text)
    laid_out = sql().laid_out(text) if text and is_whole and lays_out else text
    if len(laid_out) > _SWELLS * len(text) + _LAYOUT:  # deep nesting becomes a page of blanks
        laid_out = text
    shown = visible(laid_out)
    why_not = eyes.why_not(request)
    values = [visible(parameter(value)) for value in request.parameters[:MOST_PARAMETERS]]
    longest = most // 10
    return Card(
        request=request,
        why_not=why_not,
        is_own=eyes.own(request),
        deciders=eyes.deciders(request) if why_not and request.state.is_open else (),
        shown=highlighted(shown),
        shown_characters=len(text),
        parameters=tuple(v if len(v) <= longest else f"{v[:longest]}…" for v in values),
        has_cut_parameters=(
            len(request.parameters) > MOST_PARAMETERS
            or any(map(_is_cut, request.parameters))
            or any(len(v) > longest for v in values)
        ),
        most=most,
        lines=shown.count("\n") + 1,
        is_laid_out=laid_out != request.text,
        before=_before(request) if request.state.is_open else (),
        outcome=outcome_of(services().store, request, eyes.now),
        is_over=request.expires_at <= eyes.now,
    )


def moment(detail: Mapping[str, object], name: str) -> datetime | None:
    """Return a moment that a request's detail holds as ISO 8601."""
    found = detail.get(name)
    return datetime.fromisoformat(found) if isinstance(found, str) and found else None


def visible(text: str) -> str:
    """Return a text with characters that would hide or turn others written out.

    Bidirectional controls make a statement read as another one (CVE-2021-42574).
    """
    return "".join(f"⟨U+{ord(c):04X}⟩" if c not in "\n\t" and is_hidden(c) else c for c in text)


def _named(obj: str) -> str:
    """Return the name of an object; letters of another alphabet among ASCII ones are told."""
    odd = foreign(obj)
    return f"{visible(obj)} (with {odd})" if odd else visible(obj)


def _is_cut(value: object) -> bool:
    return isinstance(value, Mapping) and "length" in value


def _before(request: Request) -> tuple[StatementLine, ...]:
    if not request.session_id or not request.seqs:
        return ()
    first = min(request.seqs)
    begin = max(1, first - BEFORE)
    lines = session_replay.chapter(
        services().store, request.session_id, begin, first - begin, _LINE
    )
    return tuple(reversed(lines))
