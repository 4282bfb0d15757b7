"""Decides the texts of one session; what was decided once is remembered for all alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from appliance.masking.mask_set import MaskRules, MaskSet
from appliance.masking.texts import (
    UNMASKED,
    Masked,
    MaskSets,
    TextMasks,
    again,
    is_shared,
    with_mask,
)
from appliance.policy.engine import Policy
from appliance.recording.recorder import PreparedText, prepare
from appliance.sql.catalog import Catalog, SessionState
from appliance.sql.facts import Facts, NameContext
from appliance.sql.parser import Parsed, Parser
from appliance.sql.resolve import resolve
from appliance.sql.skeleton import skeleton
from appliance.sql.taint import Lineage
from proxy.cache import TwoGenerations
from proxy.decision import CatalogBox, Decision, Need, Precedents, decision_of, unreadable
from proxy.encodings import codec_of

_CACHED_TEXT = 16 << 10  # bytes; larger texts are parsed again rather than kept


@dataclass(frozen=True, slots=True)
class _Slow:
    """What was found out about one large text off the loop, and in which context."""

    raw: bytes
    parsed: Parsed
    context: tuple[object, ...]
    decision: Decision


class Judge:
    """One session's view: encoding, names, catalog, prepared statements."""

    def __init__(
        self,
        parser: Parser,
        choose: Callable[[str], Precedents],
        box: CatalogBox,
        prepared: Mapping[str, Facts],
        role: str,
        text_masks: TextMasks | None = None,
    ) -> None:
        """``choose`` returns the precedents for an acting role, by the worker's newest snapshot."""
        self._text_masks = text_masks or TextMasks()
        self.tell: Callable[[MaskRules | None], None] | None = None  # who else follows the rules
        self._own_masks = MaskSets()  # by the catalog as only the session itself sees it
        self._parser = parser
        self._choose = choose
        self._prepared = prepared
        self._box = box
        self._role = role
        self._state: SessionState | None = None
        self._overlay: Catalog | None = None
        self._own_ddl = False  # not committed: other connections do not see it
        self._slow: _Slow | None = None
        self._long_texts: TwoGenerations[tuple[str, bytes], PreparedText] = TwoGenerations(2)
        self._asked_catalog: bytes | None = None
        self.wants_newest = False  # what the catalog says can still turn a no into a yes
        self._codec = "utf-8"
        self._names_dirty = True
        self._is_lost = False  # the session was asked, and did not answer
        self._touched = False  # names were dirtied since the transaction began
        self._precedents = choose(role)
        self._generation = -1
        self._free = self._precedents.cache(None)
        self._bound = self._free

    # -- what changes around the session -------------------------------------------------------

    @property
    def codec(self) -> str:
        """Return the Python codec in which the session's texts are read."""
        return self._codec

    def policy_changed(self) -> None:
        """Judge by the newest policy from the next text on."""
        self._precedents = self._choose(self.acting_role)
        self._rebind()
        if self.tell is not None:
            self.tell(self._precedents.masking)

    @property
    def search_path(self) -> tuple[str, ...] | None:
        """Return the schemas in which names are looked for; None = nobody knows."""
        return self._state.search_path if self._state else None

    @property
    def catalog(self) -> Catalog | None:
        """Return the catalog by which names were resolved last."""
        return self._overlay or self._box.catalog

    @property
    def masking(self) -> MaskRules | None:
        """Return the masking rules that bite; None = none does, so nothing is masked."""
        return self._precedents.masking

    @property
    def masks(self) -> MaskSet | None:
        """Return the masks by the rules and the catalog of now; None = nobody knows, or none."""
        rules, catalog = self._precedents.masking, self._known_catalog()
        if rules is None or catalog is None:
            return None
        sets = self._box.masks if self._overlay is None else self._own_masks
        return sets.of(rules, catalog)

    def masked_again(self, decision: Decision) -> Decision:
        """Return what was decided on names that were bound before, by the masks of now."""
        rules = self._precedents.masking
        if rules is None:
            return replace(decision, mask=None)
        masks, made = self.masks, Masked()
        if masks is None:
            made = self._text_masks.of("", decision.facts, rules, None, None, self._names({}))
        elif decision.lineage is not None or masks.reaches(decision.facts):
            made = Masked(again(decision.lineage, decision.facts, rules, masks))
        elif decision.mask is not None and decision.mask.is_untouched:
            made = Masked(decision.mask)  # it still has to stand
        return replace(decision, mask=made.plan, verdict=with_mask(decision.verdict, made.plan))

    def _known_catalog(self) -> Catalog | None:
        """Return the catalog; None where it was to be read again and could not be."""
        if self._overlay is not None:
            return self._overlay
        return None if self._box.is_lost else self._box.catalog

    @property
    def temp_views(self) -> Mapping[str, str]:
        """Return the definitions of the session's temporary views."""
        return self._state.temp_views if self._state else {}

    @property
    def has_own_ddl(self) -> bool:
        """Return whether only the session itself can read the catalog that holds for it."""
        return self._own_ddl or self._overlay is not None

    @property
    def acting_role(self) -> str:
        """Return the role that SET ROLE has made current, else the one of the login."""
        return self._state.current_user if self._state else self._role

    def encoding_is(self, client_encoding: str) -> None:
        """Take note of the client_encoding that the target reported."""
        codec = codec_of(client_encoding) or "ascii"
        if codec != self._codec:
            self._codec = codec
            self._rebind()

    def names_are(self, state: SessionState) -> None:
        """Take the state that the session itself reported."""
        self._state = state
        self._names_dirty = False
        if state.client_encoding:
            self.encoding_is(state.client_encoding)
        self.policy_changed()

    def got_no_answer(self) -> None:
        """The session was asked in vain: for one decision its names may mean anything.

        What was last known is no answer: a client can make the question fail (statement_timeout, a
        cancel) just when names have changed.
        """
        self._is_lost = True

    @property
    def policy(self) -> Policy:
        """Return the policy by which the next text is judged."""
        return self._precedents.policy

    def overlay_is(self, catalog: Catalog | None) -> None:
        """Take the catalog as the session itself sees it inside its transaction."""
        self._overlay = catalog
        self._own_ddl = False
        self._rebind()

    def distrust(self) -> None:
        """Take nothing for granted that was read about names and the catalog before."""
        self._names_dirty = self._touched = True
        self._box.is_stale = True
        if self._overlay is not None:
            self._own_ddl = True

    def finished(self, decision: Decision) -> None:
        """Take note that a statement ran, or began to."""
        if decision.has_ddl:
            self._own_ddl = True
            self._touched = True
        if decision.dirties:
            self._names_dirty = True
            self._touched = True
        if decision.ends_transaction and self._touched:
            # Also where another begins at once (AND CHAIN) or the same goes on (ROLLBACK TO):
            # settings, temporary relations and DDL may be again what they were before.
            self._names_dirty = True
            if self._own_ddl or self._overlay is not None:
                self._own_ddl = True
                self._box.is_stale = True

    def transaction_ended(self) -> None:
        """Take note that no transaction is open any more."""
        self._text_masks.transaction_ended()
        if self._touched:
            self._touched = False
            self._names_dirty = True
            if self._own_ddl or self._overlay is not None:
                self._own_ddl = False
                self._overlay = None
                self._box.is_stale = True
            self._rebind()

    # -- deciding ------------------------------------------------------------------------------

    def decide(self, raw: bytes, *, can_ask: bool = True) -> Decision | Need:
        """Return what is to be done with a text, or what has to be found out first.

        ``can_ask`` False: the transaction has failed, so the session can be asked nothing and runs
        nothing: names are taken as last known, for this once.
        """
        if not can_ask:
            self._is_lost = False
        if self._generation != self._box.generation:
            self._rebind()
        hit = self._free.get(raw)
        if hit is not None:
            return hit
        settled = self._is_settled()
        if settled:
            hit = self._bound.get(raw)
            if hit is not None:
                return hit
        try:
            text = raw.decode(self._codec)
        except UnicodeDecodeError:
            return unreadable(self._codec)
        key = skeleton(text) if len(raw) <= _CACHED_TEXT else None
        if key is not None:
            hit = self._free.get(key)
            if hit is None and settled:
                hit = self._bound.get(key)
            if hit is not None:
                return hit
        parsed = self._parsed(raw, text)
        return Need.PARSE if parsed is None else self._resolve(raw, text, key, parsed, can_ask)

    def decide_slowly(self, raw: bytes) -> None:
        """Decide a large text as far as it can be now; blocking: called off the loop."""
        text = raw.decode(self._codec, "replace")
        context = self._context()
        parsed = self._parser.parse(text)
        facts, policy = self._facts(parsed), self._precedents.make_policy()
        decision = decision_of(facts, policy, self._masked(text, facts))
        self._slow = _Slow(raw, parsed, context, decision)
        self._long_texts.put((self._codec, raw), prepare(text))

    def _context(self) -> tuple[object, ...]:
        """Return on what a decision depends besides its text."""
        return self._precedents, self._state, self._is_lost, self.catalog, self._codec

    def _facts(self, parsed: Parsed) -> Facts:
        return resolve(parsed, self.catalog, self._names(self._prepared))

    def text_of(self, raw: bytes) -> str | PreparedText:
        """Return a text as it is recorded; a large one is hashed and looked through once."""
        if len(raw) <= _CACHED_TEXT:
            return raw.decode(self._codec, "replace")
        key = (self._codec, raw)
        found = self._long_texts.get(key)
        if found is None:
            found = prepare(raw.decode(self._codec, "replace"))
            self._long_texts.put(key, found)
        return found

    def _is_settled(self) -> bool:
        """Return whether what was decided for the present names may be used again."""
        if self._is_lost:
            return False
        if self._precedents.depends_on_objects:
            return not (self._names_dirty or self._own_ddl or self._box.is_stale)
        return self._state is not None and self._box.catalog is not None

    def _parsed(self, raw: bytes, text: str) -> Parsed | None:
        if self._slow is not None and self._slow.raw == raw:
            return self._slow.parsed
        if not self._parser.is_cheap(text):
            return None
        return self._parser.parse(text)

    def _resolve(
        self, raw: bytes, text: str, key: str | None, parsed: Parsed, can_ask: bool
    ) -> Decision | Need:
        slow = self._slow if self._slow is not None and self._slow.raw == raw else None
        if slow is not None and slow.context != self._context():
            return Need.PARSE  # what was found out off the loop is about other names or rules
        facts = slow.decision.facts if slow is not None else self._facts(parsed)
        bound = any(statement.names_more for statement in parsed.statements) or any(
            statement.executes is not None
            or any(effect.relation or effect.function for effect in statement.effects)
            for statement in facts.statements
        )
        if bound or facts.needs_catalog:
            depends = self._precedents.depends_on_objects or facts.needs_catalog or facts.by_path
            asks = can_ask and not self._is_lost
            if asks and self._names_dirty and (self._state is None or depends):
                return Need.STATE
            need = self._catalog_need(raw, facts, can_ask=asks)
            if need is not None:
                return need
        self._slow = None
        self._asked_catalog = None
        policy, decision = self._precedents.policy, slow.decision if slow is not None else None
        if decision is None:
            decision = decision_of(facts, policy, self._masked(text, facts))
        private = any(s.executes is not None for s in facts.statements) or facts.needs_catalog
        private = private or self._is_lost
        # A rule on classes alone is not asked again when the search_path has changed.
        private = private or (facts.by_path and not self._precedents.depends_on_objects)
        # What a cursor shows is the session's own. Masks are of one state of the catalog, and of
        # one text: what passes on a value may depend on a literal.
        private = private or (decision.mask is not None and not is_shared(facts))
        self._is_lost = False
        if not private and len(raw) <= _CACHED_TEXT:
            cache = self._bound if bound or self.masking is not None else self._free
            cache.put(raw, decision)
            is_of_shape = decision.is_single and not parsed.literal_sensitive
            if key is not None and is_of_shape and decision.is_far:
                cache.put(key, decision)
        return decision

    def _cheap_text(self, raw: bytes) -> str | None:
        try:
            text = raw.decode(self._codec)
        except UnicodeDecodeError:
            return None
        return text if self._parser.is_cheap(text) else None

    def facts_now(self, raw: bytes) -> Facts | None:
        """Return what a text means by the names as they are now; None = too large for that."""
        text = self._cheap_text(raw)
        if text is None:
            return None
        return resolve(self._parser.parse(text), self.catalog, self._names({}))

    def lineage_now(self, raw: bytes) -> Lineage | None:
        """Return where a text's outputs come from by the names of now; None = nobody knows."""
        catalog, text = self._known_catalog(), self._cheap_text(raw)
        if catalog is None or text is None:
            return None
        return self._text_masks.lineage(text, catalog, self._names({}), is_run=True)

    def _names(self, prepared: Mapping[str, Facts]) -> NameContext:
        state = None if self._is_lost else self._state
        return NameContext(
            search_path=state.search_path if state else None,
            role=self.acting_role,
            temp_relations=state.temp_relations if state else None,
            prepared=prepared,
            temp_views=state.temp_views if state else {},
        )

    def _catalog_need(self, raw: bytes, facts: Facts, *, can_ask: bool) -> Need | None:
        box, depends = self._box, self._precedents.depends_on_objects
        if can_ask and self._own_ddl and (depends or facts.needs_catalog):
            return Need.OVERLAY
        is_old = box.catalog is None or (depends and box.is_stale and self._overlay is None)
        if not (is_old or facts.needs_catalog) or self._asked_catalog == raw:
            return None  # asked and not found: what names relations stays unknown
        self._asked_catalog = raw
        policy = self._precedents.policy
        self.wants_newest = self.masking is not None or not policy.decide(facts).is_allow
        return Need.CATALOG

    def _masked(self, text: str, facts: Facts) -> Masked:
        rules = self._precedents.masking
        if rules is None:
            return UNMASKED
        catalog, names = self._known_catalog(), self._names(self._prepared)
        return self._text_masks.of(text, facts, rules, self.masks, catalog, names)

    def _rebind(self) -> None:
        self._generation = self._box.generation
        precedents = self._precedents
        self._free = precedents.cache(self._codec)
        state = self._state
        if state is None or state.temp_relations or self._overlay is not None:
            self._bound = TwoGenerations(256, self._precedents.room)
        else:
            self._bound = precedents.cache(
                (self._codec, state.search_path, state.current_user, self._generation)
            )
