"""What a text may show to one session: its lineage, and the plan by the rules of now. Pure."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from appliance.masking.mask_set import MaskRules, MaskSet
from appliance.masking.plan import plan
from appliance.masking.values import MaskPlan
from appliance.policy.verdict import Action, Verdict
from appliance.sql.catalog import Catalog
from appliance.sql.dependencies import is_temporary
from appliance.sql.facts import EffectClass, Facts, NameContext, Statement
from appliance.sql.lineage import lineage
from appliance.sql.native import PgQuery
from appliance.sql.taint import Lineage

MASKING = "builtin:masking"  # the rule that a refusal names where no masking rule is to blame
# Settings on which the meaning of a name depends.
NAME_SETTINGS = frozenset({"search_path", "role", "session_authorization", "all"})
# What names no data and runs no code, where no catalog can tell what else does.
_BARE = frozenset(
    {
        EffectClass.TRANSACTION,
        EffectClass.SESSION,
        EffectClass.ROLE,
        EffectClass.LISTEN,
        EffectClass.SELECT,
        EffectClass.EXPLAIN,
    }
)
# What may give a value that it computed, or store one.
_COMPUTING = frozenset(
    {"SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt", "CopyStmt"}
)
_SYSTEM = frozenset({"pg_catalog", "information_schema"})
_READING = frozenset({EffectClass.SELECT, EffectClass.UNKNOWN})
_READERS = frozenset({"SelectStmt", "FetchStmt"})
_CHANGING = frozenset({EffectClass.DDL, EffectClass.TEMP_DDL, EffectClass.UNKNOWN})
_ONE_BY_ONE = "Send the statements one by one (psql: one -c for each, or a file with -f)."


class OpenCursors(Mapping[str, Lineage]):
    """The cursors that a session has open, by name; those not known for certain are missing."""

    @abstractmethod
    def transaction_ended(self) -> None:
        """Forget those that have ended with it."""


@dataclass(frozen=True, slots=True)
class Masked:
    """What was found out about one text.

    ``lineage``: of a single statement that may have to do with masked columns.
    ``declares``: the cursors that it makes, with what they will show.
    """

    plan: MaskPlan | None = None
    lineage: Lineage | None = None
    declares: tuple[tuple[str, Lineage], ...] = ()


@dataclass(slots=True)
class MaskSets:
    """The masks of one database by rules, as long as its catalog is the same."""

    catalog: Catalog | None = None
    by_rules: dict[MaskRules, MaskSet] = field(default_factory=dict)

    def of(self, rules: MaskRules, catalog: Catalog) -> MaskSet:
        if self.catalog is not catalog:
            self.catalog = catalog
            self.by_rules = {}
        found = self.by_rules.get(rules)
        if found is None:
            found = self.by_rules[rules] = MaskSet.of(rules, catalog)
        return found


class TextMasks:
    """Plans the texts of one session.

    ``prepared`` and ``cursors``: what EXECUTE and FETCH by name refer to at the moment.
    """

    __slots__ = ("_cursors", "_library", "_prepared")

    def __init__(
        self,
        prepared: Mapping[str, Lineage] | None = None,
        cursors: OpenCursors | None = None,
    ) -> None:
        self._prepared = {} if prepared is None else prepared
        self._cursors = cursors
        self._library: PgQuery | None = None

    def transaction_ended(self) -> None:
        """Forget the cursors that have ended with it."""
        if self._cursors is not None:
            self._cursors.transaction_ended()

    def of(
        self,
        text: str,
        facts: Facts,
        rules: MaskRules,
        masks: MaskSet | None,
        catalog: Catalog | None,
        names: NameContext,
    ) -> Masked:
        """Return what a text may show. ``catalog`` None: it cannot be read, so nobody knows."""
        if facts.refusal or not facts.statements:
            return Masked()
        if catalog is None or masks is None:
            return Masked(None if _is_bare(facts) else _UNREADABLE)
        if len(facts.statements) > 1:
            return self._script(text, facts, rules, masks, catalog, names)
        if not masks.reaches(facts) and not _declares(facts.statements[0]):
            return Masked(self._far(text, facts, masks, catalog, names))
        found = self.lineage(text, catalog, names)
        is_made = found.declares is not None and _declares(facts.statements[0])
        declares = ((found.declares or "", found),) if is_made else ()
        return Masked(again(found, facts, rules, masks), found, declares)

    def lineage(
        self, text: str, catalog: Catalog, names: NameContext, *, is_run: bool = False
    ) -> Lineage:
        """Return where the outputs of one statement come from.

        ``is_run``: an EXECUTE runs it, so it looks up no prepared statement in its turn.
        """
        if self._library is None:
            self._library = PgQuery(holds_lock=True)
        prepared = {} if is_run else self._prepared
        cursors = {} if self._cursors is None else self._cursors
        return lineage(text, catalog, names, self._library, prepared, cursors)

    def _far(
        self, text: str, facts: Facts, masks: MaskSet, catalog: Catalog, names: NameContext
    ) -> MaskPlan | None:
        """Return what has to stand so that a statement reaches nothing masked; None = nothing.

        Where it computes something, its result would not show that another session has given a
        view another definition meanwhile, or a table the name of another.
        """
        statement = facts.statements[0]
        if masks.is_empty or statement.kind not in _COMPUTING:
            return None
        if not _names_users(statement) and _system_first(names):
            return None
        found = self.lineage(text, catalog, names)
        if found.unknown or not (found.is_bound or (found.depends and not found.relations)):
            return None
        return MaskPlan((), depends=tuple(sorted(found.depends)), must_check=True)

    def _script(
        self,
        text: str,
        facts: Facts,
        rules: MaskRules,
        masks: MaskSet,
        catalog: Catalog,
        names: NameContext,
    ) -> Masked:
        """Plan the statements of one text: none may show what is masked, or change names before.

        Between them nothing can be looked at.
        """
        plans: list[MaskPlan] = []
        declares: list[tuple[str, Lineage]] = []
        changed = False
        for statement in facts.statements:
            alone = replace(facts, statements=(statement,))
            if masks.reaches(alone) or _declares(statement):
                found = self.lineage(text[statement.start : statement.end], catalog, names)
                made = again(found, alone, rules, masks)
                if made.refusal:
                    return Masked(made)
                is_shown = is_touched(made) and not _declares(statement)
                if is_shown or made.copy is not None:
                    return Masked(_IN_SCRIPT)
                if found.declares is not None and _declares(statement):
                    declares.append((found.declares, found))
                if changed:
                    return Masked(_AFTER_CHANGE)
                plans.append(made)
            elif not changed:
                part = text[statement.start : statement.end]
                far = self._far(part, alone, masks, catalog, names)
                plans += [] if far is None else [far]
            changed = changed or changes_names(statement)
        if not plans:
            return Masked()
        whole = MaskPlan(
            (),
            scrubs_errors=any(one.scrubs_errors for one in plans),
            must_check=any(one.must_check for one in plans),
            depends=tuple(sorted({d for one in plans for d in one.depends})),
        )
        return Masked(whole, declares=tuple(declares))


def again(found: Lineage | None, facts: Facts, rules: MaskRules, masks: MaskSet) -> MaskPlan:
    """Return the plan of a statement whose lineage is known; None = it was decided without."""
    if found is None:
        found = Lineage(None, unknown="it was bound before the masking rules of now")
    made = plan(found, masks, rules.safe_functions)
    if found.unknown and not made.refusal and not _only_reads(facts):
        hint = "Write it in another way, or ask somebody who is exempt from the masking rules."
        why = f"what it would show or store of masked columns is not known: {found.unknown}"
        return refused(why, hint)
    builder = "" if made.refusal else _builder(facts, rules)
    if builder:
        why = f"{builder}() runs text that it builds: it could read or store masked columns"
        return refused(why, "Write it as a query, or ask an admin to list it in safe_functions.")
    return made


def _builder(facts: Facts, rules: MaskRules) -> str:
    """Return the first function that is called and runs any text, but for those listed as safe.

    What it gives could be masked, but not what it stores, prepares or opens by the way.
    """
    for effect in (effect for statement in facts.statements for effect in statement.effects):
        name = effect.via.removesuffix("()")
        if effect.cls is not EffectClass.UNKNOWN or name == effect.via:
            continue
        if effect.relation is None and not any(
            fnmatchcase(name, safe) for safe in rules.safe_functions
        ):
            return name
    return ""


def is_touched(made: MaskPlan) -> bool:
    """Return whether any output is replaced."""
    return made.outputs is None or any(output.masks for output in made.outputs)


def is_opaque(found: Lineage, rules: MaskRules) -> bool:
    """Return whether code runs that nobody has read, and that could do anything to cursors."""
    return bool(found.unknown or found.forbidden) or not all(
        any(fnmatchcase(name, pattern) for pattern in rules.safe_functions) for name in found.opaque
    )


def refused(why: str, hint: str) -> MaskPlan:
    return MaskPlan(None, why, hint, scrubs_errors=True)


def with_mask(verdict: Verdict, made: MaskPlan | None) -> Verdict:
    """Return the verdict with what masking says: the policy's own no comes first."""
    if made is None or not made.refusal or verdict.action is Action.BLOCK:
        return verdict
    rule = made.rule or MASKING
    return replace(verdict, action=Action.BLOCK, rule=rule, reason=made.refusal, hint=made.hint)


def changes_names(statement: Statement) -> bool:
    """Return whether names may mean something else after it."""
    if any(effect.cls in _CHANGING for effect in statement.effects):
        return True
    return dirties(statement) or statement.prepares is not None


def dirties(statement: Statement) -> bool:
    """Return whether settings on which names depend may be others after it."""
    return (
        statement.changes_state
        and not statement.transaction
        and (
            statement.kind != "VariableSetStmt"  # set_config() may stand beside anything else
            or not statement.settings
            or any(change.name in NAME_SETTINGS for change in statement.settings)
        )
    )


def _system_first(names: NameContext) -> bool:
    """Return whether built-in functions and operators are found before anybody's own."""
    path = [schema for schema in names.search_path or () if not is_temporary(schema)]
    return path[:1] == ["pg_catalog"]


def _names_users(statement: Statement) -> bool:
    """Return whether it names a relation that is not the system's."""
    return any(
        effect.relation is not None and effect.relation.schema not in _SYSTEM
        for effect in statement.effects
    )


def _is_bare(facts: Facts) -> bool:
    return all(
        effect.cls in _BARE
        and effect.relation is None
        and (effect.function is None or effect.default_exempt)
        for statement in facts.statements
        for effect in statement.effects
    ) and not any(statement.unknown for statement in facts.statements)


def _only_reads(facts: Facts) -> bool:
    """Return whether a statement that is not understood can at least store nothing anywhere."""
    return all(
        statement.kind in _READERS
        and not statement.unknown
        and not statement.settings
        and all(
            effect.default_exempt
            or (effect.cls in _READING and effect.relation is not None)
            or (effect.cls is EffectClass.SELECT and effect.function is None)
            for effect in statement.effects
        )
        for statement in facts.statements
    )


def _declares(statement: Statement) -> bool:
    """Return whether its lineage is wanted whatever it reads: a FETCH will ask for it."""
    return statement.kind == "DeclareCursorStmt"


_UNREADABLE = refused(
    "the target's catalog cannot be read, so nobody knows what is masked in it",
    "Try again in a moment; an admin of Gatepost sees why on the target's page.",
)
_IN_SCRIPT = refused(
    "a masked column would be shown by one of several statements in one message", _ONE_BY_ONE
)
_AFTER_CHANGE = refused(
    "after a statement that may change what names mean, nobody knows what the next one reads",
    _ONE_BY_ONE,
)
UNMASKED = Masked()


def is_shared(facts: Facts) -> bool:
    """Return whether a statement means the same in all sessions whose names are alike."""
    return not any(s.kind == "FetchStmt" or s.executes is not None for s in facts.statements)
