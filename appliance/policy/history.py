"""What would rules have done: recorded statements judged again, now and as proposed (pure)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from appliance.entities import Snapshot, who_matches
from appliance.hours import closed_rules
from appliance.policy.engine import Policy
from appliance.policy.proposal import Proposal
from appliance.policy.recollection import as_recorded
from appliance.policy.rules import Rulebook
from appliance.policy.subject import Subject
from appliance.policy.verdict import Verdict
from appliance.policy.wording import PROFILE
from appliance.sql.catalog import Catalog
from appliance.sql.facts import Facts, NameContext
from appliance.sql.parser import Parser
from appliance.sql.resolve import resolve

Catalogs = Mapping[tuple[str, str], Catalog | None]  # by target and database
_OWN_SCHEMA = "$user"


@dataclass(frozen=True, slots=True)
class Recorded:
    """Statements that are alike in all that rules look at; session and seq are the latest one's.

    ``application_name`` and ``source`` None: of any, where no rule asks. ``search_path``: the
    session's setting, "" = the server's. ``rows``: as recorded, 0 where no rule asks, None = it is
    not known how many. ``is_whole``: the store has all of the text.
    """

    text: str
    fingerprint: str
    identity: str
    target: str
    database: str
    role: str
    count: int
    last_at: datetime
    session_id: str
    seq: int
    application_name: str | None = None
    source: str | None = None
    search_path: str = ""
    rows: int | None = 0
    is_whole: bool = True
    effects: tuple[tuple[str, str], ...] = ()  # (class, object), as it was decided then


@dataclass(frozen=True, slots=True)
class Decided:
    """A verdict in short. ``rule``: as in ``Verdict``."""

    action: str
    rule: str
    reason: str

    @classmethod
    def of(cls, verdict: Verdict) -> Decided:
        """Return a verdict's words."""
        return cls(verdict.action.value, verdict.rule, verdict.reason)


@dataclass(frozen=True, slots=True)
class Difference:
    """Statements about which the proposal would decide otherwise."""

    recorded: Recorded
    now: Decided
    then: Decided
    effects: tuple[tuple[str, str], ...]

    @property
    def is_stricter(self) -> bool:
        """Return whether less would run."""
        order = ("allow", "hold", "block")
        return order.index(self.then.action) > order.index(self.now.action)


@dataclass(frozen=True, slots=True)
class Unjudged:
    """Statements of which nobody can say what would be decided, and why."""

    recorded: Recorded
    why: str


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a proposal would have done to the statements since ``since``.

    ``total``: all statements in that time; ``judged``: those that were looked at; the rest was
    left out for time, and is older than ``back_to``. ``moves``: (action now, action then) -> how
    many of the judged. ``differences``: the strictest and the most frequent first; ``left_out``:
    how many more groups of them there are.
    """

    since: datetime
    until: datetime
    total: int
    judged: int
    moves: Mapping[tuple[str, str], int]
    differences: tuple[Difference, ...]
    unjudged: tuple[Unjudged, ...]
    back_to: datetime | None = None

    @property
    def is_complete(self) -> bool:
        """Return whether every statement of that time was looked at."""
        return self.back_to is None

    @property
    def changed(self) -> int:
        """Return how many statements would be decided otherwise."""
        return sum(one.recorded.count for one in self.differences)

    def count(self, action: str) -> int:
        """Return how many statements would newly be decided so: allow, hold or block."""
        return sum(d.recorded.count for d in self.differences if d.then.action == action)


class Judge:
    """Judges recorded statements under what is now and under a proposal."""

    def __init__(self, proposal: Proposal, catalogs: Catalogs, parser: Parser) -> None:
        self._proposal = proposal
        self._catalogs = catalogs
        self._parser = parser
        self._facts: dict[tuple[str, str, str, str, str], Facts] = {}
        self._books: dict[tuple[bool, frozenset[str]], Rulebook] = {}

    def concerns(self, one: Recorded) -> bool:
        """Return whether the proposal can make a difference, whatever rows, hours and source."""
        subject = _subject(self._proposal.proposed, one) or _subject(self._proposal.present, one)
        if subject is not None and not self._proposal.may_touch(subject):
            return False  # whatever it says: it need not even be parsed
        why, facts = self.read(one)
        if why or facts is None or subject is None:
            return True
        return self._proposal.touches(subject, facts)

    def read(self, one: Recorded) -> tuple[str, Facts | None]:
        """Return why a statement cannot be judged, "" when it can, and what it would do."""
        if not one.is_whole:
            return "the store keeps only the beginning of such a long text", None
        for snapshot in (self._proposal.present, self._proposal.proposed):
            if one.identity not in snapshot.identities:
                return f"there is no identity {one.identity} any more", None
            if one.target not in snapshot.targets:
                return f"there is no target {one.target} any more", None
        facts = self._facts_of(one)
        if facts.refusal:
            return "", facts
        return next((part.unknown for part in facts.statements if part.unknown), ""), facts

    def judge(self, one: Recorded) -> Difference | Unjudged | tuple[str, str]:
        """Return what would change: nothing is a pair of the same action."""
        why, facts = self.read(one)
        if facts is None:
            return Unjudged(one, why)
        present = self._decide(self._proposal.present, one, facts)
        proposed = self._decide(self._proposal.proposed, one, facts)
        now, then = Decided.of(present), Decided.of(proposed)
        if now.action == then.action:
            return now.action, then.action
        if why and PROFILE not in (now.rule, then.rule):  # a profile asks for no more than the mark
            return Unjudged(one, why)
        effects = tuple(
            dict.fromkeys((d.effect.cls.value, d.effect.object) for d in proposed.decisions)
        )
        return Difference(one, now, then, effects)

    def _decide(self, snapshot: Snapshot, one: Recorded, facts: Facts) -> Verdict:
        subject = _subject(snapshot, one)
        if subject is None:
            raise ValueError(f"{one.identity} or {one.target} is not known")
        closed = closed_rules(snapshot, one.last_at)
        key = (snapshot is self._proposal.present, closed)
        book = self._books.get(key)
        if book is None:
            book = self._books[key] = Rulebook(snapshot, closed)
        policy = Policy(snapshot, subject, book)
        return policy.decide(facts, one.rows, "" if one.rows is not None else "it did not run")

    def _facts_of(self, one: Recorded) -> Facts:
        key = (one.text, one.target, one.database, one.role, one.search_path)
        found = self._facts.get(key)
        if found is None:
            catalog = self._catalogs.get((one.target, one.database))
            names = NameContext(
                search_path=search_path(one.search_path, one.role, catalog),
                role=one.role,
                temp_relations=frozenset(),
                prepared={},
            )
            found = self._facts[key] = resolve(self._parser.parse(one.text), catalog, names)
        if len(found.statements) != 1 or not one.fingerprint:
            return found
        # What the gateway saw at the time counts: the session's own names, tables since dropped.
        (only,) = found.statements
        seen = as_recorded(only, one.effects) if only.unknown else only
        return Facts((replace(seen, fingerprint=one.fingerprint),), found.refusal)


def dry_run(
    judge: Judge,
    recorded: Iterable[Recorded],
    *,
    since: datetime,
    until: datetime,
    total: int,
    untouched: int = 0,
    back_to: datetime | None = None,
    go_on: Callable[[], bool] = lambda: True,
) -> DryRun:
    """Judge statements, the newest first, as long as ``go_on`` says.

    ``untouched``: how many the caller left out since the proposal does not concern them.
    """
    moves: Counter[tuple[str, str]] = Counter()
    differences: list[Difference] = []
    unjudged: list[Unjudged] = []
    judged = untouched
    for one in recorded:
        if not go_on():
            back_to = one.last_at
            break
        judged += one.count
        found = judge.judge(one)
        if isinstance(found, Difference):
            differences.append(found)
            moves[found.now.action, found.then.action] += one.count
        elif isinstance(found, Unjudged):
            unjudged.append(found)
        else:
            moves[found] += one.count
    return DryRun(
        since=since,
        until=until,
        total=max(total, judged),
        judged=judged,
        moves=moves,
        differences=tuple(sorted(differences, key=_weight)),
        unjudged=tuple(sorted(unjudged, key=lambda one: -one.recorded.count)),
        back_to=back_to,
    )


def search_path(setting: str, role: str, catalog: Catalog | None) -> tuple[str, ...]:
    """Return the schemas that a search_path setting comes to; "" = the server's default."""
    schemas = catalog.schemas if catalog is not None else frozenset()
    found = ["pg_catalog"]
    for word in _words(setting or f'"{_OWN_SCHEMA}", public'):
        name = role if word == _OWN_SCHEMA else word
        if word == _OWN_SCHEMA and name not in schemas:
            continue
        found.append(name)
    return tuple(dict.fromkeys(found))


def _words(setting: str) -> list[str]:
    found = []
    for part in setting.split(","):
        word = part.strip()
        if len(word) > 1 and word[0] == word[-1] == '"':
            found.append(word[1:-1].replace('""', '"'))
        elif word:
            found.append(word.lower())
    return found


def _subject(snapshot: Snapshot, one: Recorded) -> Subject | None:
    identity = snapshot.identities.get(one.identity)
    target = snapshot.targets.get(one.target)
    if identity is None or target is None:
        return None
    grants = [g for g in snapshot.grants if g.target == one.target and who_matches(g.who, identity)]
    return Subject(
        identity=identity,
        target=target,
        database=one.database,
        role=one.role,
        grant=next((grant for grant in grants if grant.role == one.role), None),
        granted_roles=frozenset(grant.role for grant in grants) | {one.role},
        application_name=one.application_name,
        source=one.source,
    )


def _weight(one: Difference) -> tuple[bool, int, str]:
    return not one.is_stricter, -one.recorded.count, one.recorded.text
