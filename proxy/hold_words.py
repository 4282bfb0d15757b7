"""What a client reads about its held statement: the notice, and every way in which it ends. Pure.

Written for psql at 80 columns: it puts "DETAIL:  " and "HINT:  " before the first line of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from appliance.approvals.requests import RequestState, Settlement
from appliance.errors import Conflict
from appliance.policy.verdict import Verdict
from appliance.policy.wording import refusal_text
from proxy.refusal import DETAIL_LABEL, HINT_LABEL, Refusal, fold

_NAMES = 3  # who can approve: so many by name


@dataclass(frozen=True, slots=True)
class Notice:
    """The three parts of a NoticeResponse."""

    message: str
    detail: str
    hint: str


def notice(
    number: int,
    verdict: Verdict,
    names: Sequence[str],
    expires_at: datetime,
    seconds: int,
    url: str,
    *,
    in_transaction: bool,
) -> Notice:
    """Say that a statement is held: by what and why, who decides, until when, where."""
    parts = [
        fold(f"{_rule(verdict)}: {verdict.reason.rstrip('.')}.", DETAIL_LABEL),
        f"Waits until {expires_at:%H:%M:%S} UTC ({span(seconds)}). Ctrl-C withdraws it.",
    ]
    if in_transaction:
        parts.append("No longer, since the open transaction keeps its locks meanwhile.")
    return Notice(
        f"gatepost: held for approval, request {number}",
        "\n".join(parts),
        f"{fold(f'{_people(names)} can approve it:', HINT_LABEL)}\n{url}/approvals/{number}",
    )


def ending(settlement: Settlement) -> Refusal:
    """Return what the client is told when its statement does not run."""
    number = settlement.id
    match settlement.state:
        case RequestState.DENIED:
            return Refusal(
                "42501",
                f"gatepost: {settlement.by} denied request {number}: {settlement.reason}",
                fold(f"Nothing was run. Ask {settlement.by} what would be approved.", HINT_LABEL),
            )
        case RequestState.TIMEOUT:
            return Refusal(
                "57014",
                f"gatepost: nobody decided request {number} in time",
                "Nothing was run. Run it again when somebody can approve it.",
            )
        case RequestState.CANCELLED if settlement.via == "browser":
            return Refusal(
                "57014", f"gatepost: {settlement.by} withdrew request {number}", "Nothing was run."
            )
        case RequestState.CANCELLED:
            return cancelled()
    return Refusal(
        "57014",
        f"gatepost: request {number} was withdrawn",
        "Nothing was run. Run it again to ask again.",
    )


def cancelled() -> Refusal:
    """Return PostgreSQL's own words for a cancel."""
    return Refusal("57014", "canceling statement due to user request")


def try_again(
    number: int, verdict: Verdict, names: Sequence[str], retry_s: int, url: str
) -> Refusal:
    """Return the no of a rule with ``retry``: after an approval the same statement passes once."""
    return Refusal(
        "42501",
        f"gatepost: needs an approval, request {number}: {verdict.reason}",
        f"Run it again within {span(retry_s)} of the approval: it then passes once.\n"
        f"{url}/approvals/{number}",
        fold(f"{_rule(verdict)}; {_people(names)} can approve it.", DETAIL_LABEL),
    )


def nobody_can(verdict: Verdict) -> Refusal:
    """Return the no where nobody could say yes."""
    return Refusal(
        "42501",
        f"gatepost: needs an approval, and nobody can give it: {verdict.reason}",
        fold(
            "Ask an admin of Gatepost to make somebody an approver for it: never the requester,"
            " nor whoever owns a machine or issued its credential.",
            HINT_LABEL,
        ),
        f"{_rule(verdict)}.",
    )


def changed(settlement: Settlement | None, why: str) -> Refusal:
    """Return the no when what was approved is not what would run now."""
    number = f" (request {settlement.id})" if settlement else ""
    return Refusal(
        "42501",
        f"gatepost: what was approved is not what would run now{number}: {why}",
        "Nothing was run. Run it again: it is asked about as it is now.",
    )


def blocked(verdict: Verdict) -> Refusal:
    """Return the no of a rule that blocks by now what was approved before."""
    return Refusal("42501", *refusal_text(verdict))


def no_longer(settlement: Settlement | None, why: str) -> Refusal:
    """Return the no when the approver may not decide any more."""
    number = f" (request {settlement.id})" if settlement else ""
    return Refusal(
        "42501",
        f"gatepost: the approval does not hold any more{number}: {why}",
        "Nothing was run. Run it again: somebody else can approve it.",
    )


def run_again() -> Refusal:
    """Return the no to an Execute of what was bound before a rule came that holds it."""
    return Refusal(
        "42501",
        "gatepost: a rule that came after this was bound wants an approval for it",
        "Nothing was run. Run it again: then it waits for the approval.",
    )


def too_large(limit: int) -> Refusal:
    """Return the no to what nobody could look at."""
    return Refusal(
        "42501",
        "gatepost: needs an approval, and is too large to be looked at",
        f"At most {limit >> 20} MiB can wait: send less at once.",
    )


def in_failed_transaction(*, is_script: bool) -> Refusal:
    """Return PostgreSQL's own words; a script could begin with a ROLLBACK, so it gets ours."""
    if not is_script:
        return Refusal(
            "25P02",
            "current transaction is aborted, commands ignored until end of transaction block",
        ).armed()
    return Refusal(
        "42501",
        "gatepost: a script that needs an approval cannot wait in a failed transaction",
        "Send ROLLBACK by itself first, then the rest again.",
    ).armed()


def no_room(error: Conflict) -> Refusal:
    """Return the no where too much of one identity waits already."""
    return Refusal(
        "53400", f"gatepost: needs an approval, and {error.message}", _sentence(error.hint)
    )


def store_away() -> Refusal:
    """Return the no where nobody can be asked."""
    return Refusal(
        "57P03",
        "gatepost: needs an approval, and the gateway's store does not answer",
        "Nothing was run. It comes back by itself: try again in a moment.",
    )


def span(seconds: int) -> str:
    """Return a time as people say it."""
    if seconds % 3600 == 0 and seconds:
        hours = seconds // 3600
        return f"{hours} hour{'' if hours == 1 else 's'}"
    if seconds >= 60:
        return f"{seconds // 60} min" + (f" {seconds % 60} s" if seconds % 60 else "")
    return f"{seconds} s"


def _sentence(hint: str) -> str:
    return f"Nothing was run. {hint[:1].upper()}{hint[1:]}."


def _rule(verdict: Verdict) -> str:
    if verdict.rule == "default":
        return "By default"
    return f'Rule "{verdict.rule}"'


def _people(names: Sequence[str]) -> str:
    shown = list(names[:_NAMES])
    more = len(names) - len(shown)
    if more:
        return f"{', '.join(shown)} and {more} more"
    if len(shown) > 1:
        return f"{', '.join(shown[:-1])} or {shown[-1]}"
    return "".join(shown)
