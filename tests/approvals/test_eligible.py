"""Who may decide: a table of persons and requests, and the sentence for who may not."""

from __future__ import annotations

from datetime import timedelta

import pytest

from appliance.approvals.eligible import Question, approvers, why_not
from appliance.approvals.requests import RequestKind
from appliance.entities import IdentityKind, IdentityStatus, PermissionRole, Snapshot
from tests.policy.world import NOW, credential, identity, snapshot

APPROVER = frozenset({PermissionRole.APPROVER})
STATEMENT, PROFILE = RequestKind.STATEMENT, RequestKind.PROFILE
DBA = ("group:dba",)

WORLD = snapshot(
    (
        identity("ana", permission_roles=APPROVER),  # owns ci
        identity("bo", permission_roles=APPROVER, groups=frozenset({"dba"})),
        identity("cy", permission_roles=APPROVER),  # backup owner of ci
        identity("di", groups=frozenset({"dba"})),
        identity("adm", permission_roles=frozenset({PermissionRole.ADMIN})),
        identity(
            "away",
            permission_roles=APPROVER,
            groups=frozenset({"dba"}),
            status=IdentityStatus.SUSPENDED,
        ),
        identity("past", permission_roles=APPROVER, expires_at=NOW),
        identity(
            "bot", kind=IdentityKind.BOT, permission_roles=APPROVER, groups=frozenset({"dba"})
        ),
        identity(
            "ci",
            kind=IdentityKind.CI,
            owner="ana",
            backup_owner="cy",
            credentials=(
                credential(1, created_by="bo", ends_at=NOW + timedelta(hours=1)),
                credential(2, created_by="di"),
                credential(3, created_by="someone"),
            ),
        ),
    )
)


def ask(who: str = "ana", credential_id: int | None = 3, **terms: object) -> Question:
    return Question(who, terms.pop("kind", STATEMENT), credential_id, **terms)  # type: ignore[arg-type]


TABLE: dict[str, tuple[Question, tuple[str, ...]]] = {
    "a person's, any approver but the requester": (ask(), ("bo", "cy")),
    "an approver's own": (ask("bo"), ("ana", "cy")),
    "of an admin": (ask("adm"), ("ana", "bo", "cy")),
    "a group decides": (ask(approvers=DBA), ("bo", "di")),
    "a group, asked by one of it": (ask("di", approvers=DBA), ("bo",)),
    "one person decides": (ask(approvers=("identity:di",)), ("di",)),
    "that person asked": (ask("di", approvers=("identity:di",)), ()),
    "an inactive person decides": (ask(approvers=("identity:away",)), ()),
    "a machine decides": (ask(approvers=("identity:bot",)), ()),
    "two rules": (ask(approvers=("role:approver", "group:dba")), ("bo",)),
    "two rules that nobody fits": (ask(approvers=("group:dba", "identity:cy")), ()),
    "no word is the strict one": (ask(approvers=()), ("bo", "cy")),
    "a word that means nothing": (ask(approvers=("everybody",)), ()),
    "a group that is gone": (ask(approvers=("group:gone",)), ()),
    # c-1 was rotated away: who issued it, bo, may still have had a hand in it
    "a machine's: no owner, no backup, no issuer": (ask("ci"), ()),
    "a machine's by a group": (ask("ci", approvers=DBA), ("di",)),
    "a machine's by a credential of di": (ask("ci", 2, approvers=DBA), ()),
    "a machine's by a credential that nobody knows": (ask("ci", 99, approvers=DBA), ()),
    "a machine's by we do not know which": (ask("ci", None, approvers=DBA), ()),
    "the owner may": (ask("ci", owner_may_approve=True), ("ana", "cy")),
    "the owner may, of a group that is another": (
        ask("ci", owner_may_approve=True, approvers=DBA),
        ("di",),
    ),
    "a person's with that word": (ask(owner_may_approve=True), ("bo", "cy")),
    "a profile is signed by its owners": (ask("ci", kind=PROFILE), ("ana", "cy")),
    "a profile, whatever a rule says": (ask("ci", kind=PROFILE, approvers=DBA), ("ana", "cy")),
    "somebody who is gone": (ask("gone"), ()),
    "access for a time": (ask("ana", kind=RequestKind.ACCESS), ("bo", "cy")),
}


@pytest.mark.parametrize("case", TABLE)
def test_who_may_decide(case: str) -> None:
    question, expected = TABLE[case]
    assert approvers(WORLD, question, NOW) == expected


WHY = [
    (ask(), "ana", "ana asked for it: somebody else must decide"),
    (ask(), "bot", "bot is of kind bot: only people approve"),
    (ask(), "away", "away is not active"),
    (ask(), "past", "past is not active"),
    (ask(), "nobody", "no identity is called nobody"),
    (ask(), "adm", "adm is no approver: that takes the permission role approver"),
    (ask(approvers=DBA), "cy", "cy is not in the group dba, which decides this"),
    (ask(approvers=("identity:di",)), "bo", "di decides this, not bo"),
    (ask("ci"), "ana", "ana owns ci: somebody else must decide"),
    (ask("ci", 2), "di", "di issued credential c-2 of ci: somebody else decides"),
    (ask("gone"), "bo", "gone, who asked for it, is gone"),
    (
        ask("ci", kind=PROFILE),
        "bo",
        "bo does not own ci: its owner or backup owner signs its profile",
    ),
]


@pytest.mark.parametrize(("question", "name", "sentence"), WHY)
def test_who_may_not_is_told_why(question: Question, name: str, sentence: str) -> None:
    assert why_not(WORLD, question, name, NOW) == sentence


@pytest.mark.parametrize("kind", [STATEMENT, RequestKind.RETRY, RequestKind.ACCESS])
def test_no_right_lets_anybody_decide_what_they_asked_for(kind: RequestKind) -> None:
    everything = frozenset(PermissionRole)
    world: Snapshot = snapshot(
        (identity("root", permission_roles=everything, groups=frozenset({"dba"})),)
    )
    for words in (("role:approver",), DBA, ("identity:root",), ()):
        question = Question("root", kind, None, words, True)
        assert approvers(world, question, NOW) == ()
