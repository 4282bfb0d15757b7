"""What a client asks for in its start-up packet, as a value: the beginning of every login."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from appliance.identity.startup_options import BadOptions, Option, join_words, parse_options

WAYS = ("password", "token", "browser", "oauth")
_OURS = ("role", "reason", "auth")
_PREFIX = "gatepost."
# Start-up parameters that set nothing on the server.
_NO_SETTING = frozenset({"user", "database", "options", "replication"})
_PROTOCOL_OPTION = "_pq_."
_REASON_MAX = 500


@dataclass(frozen=True, slots=True)
class Refused:
    """A login, or a session, that may not go on.

    ``message`` and ``hint`` are for the client, one line each; ``reason`` is for the record and
    may say what the client must not learn (which of the credentials' faults it was).
    """

    sqlstate: str
    message: str
    hint: str
    reason: str


@dataclass(frozen=True, slots=True)
class LoginRequest:
    """A start-up packet, understood.

    ``target``/``database``: from ``dbname=TARGET[/DATABASE]``, "" where none was given. ``role``,
    ``reason``, ``way``: gatepost.role, gatepost.reason, gatepost.auth, or "". ``source``: the
    client's address. ``parameters``: as they came. ``settings``: every parameter that the target
    would set, in the order in which it would: each is judged as a SET before the target is
    reached. ``upstream_parameters``: what the target is sent, besides user and database.
    """

    user: str
    target: str
    database: str
    role: str
    reason: str
    way: str
    application_name: str
    source: str
    tls: bool
    replication: bool
    parameters: Mapping[str, str]
    settings: tuple[tuple[str, str], ...] = ()
    upstream_parameters: tuple[tuple[str, str], ...] = ()


def parse_startup(parameters: Mapping[str, str], source: str, tls: bool) -> LoginRequest | Refused:
    """Understand the parameters of a start-up packet; what comes back reveals no identity."""
    user = parameters.get("user", "")
    if not user:
        return _refused("28000", "no user name in the start-up packet", "use user=IDENTITY")
    replication = _replication(parameters)
    if replication is None:
        return _refused(
            "22023",
            'invalid value for parameter "replication"',
            'Valid values are: "false", 0, "true", 1, "database".',
        )
    try:
        options = parse_options(parameters.get("options", ""))
    except BadOptions as error:
        return _refused("42601", str(error), "write them like options='-c search_path=app'")
    strange = [option.name for option in options if _is_reserved(option)]
    if strange:
        return _refused("42704", f'unrecognized configuration parameter "{strange[0][:40]}"', "")
    asked = _asked(options, parameters)
    problem = _asked_problem(asked)
    if problem:
        return problem
    target, _, database = parameters.get("database", "").partition("/")
    settings = _settings(options, parameters)
    return LoginRequest(
        user=user,
        target=target,
        database=database,
        role=asked.get("role", ""),
        reason=asked.get("reason", ""),
        way=asked.get("auth", ""),
        application_name=dict(_folded(settings)).get("application_name", ""),
        source=source,
        tls=tls,
        replication=replication,
        parameters=dict(parameters),
        settings=settings,
        upstream_parameters=_upstream(options, parameters),
    )


def _refused(sqlstate: str, message: str, hint: str) -> Refused:
    return Refused(sqlstate, f"gatepost: {message}", hint, f"bad start-up packet: {message}")


def _replication(parameters: Mapping[str, str]) -> bool | None:
    """Return whether the connection replicates; None for a value that the server refuses.

    The server knows the key in lower case only; another spelling counts here all the same.
    """
    asked = False
    for key, value in parameters.items():
        if key.lower() != "replication":
            continue
        truth = True if value == "database" else _boolean(value)
        if truth is None:
            return None
        asked = asked or truth
    return asked


def _boolean(text: str) -> bool | None:
    """Read a boolean as ``parse_bool`` does: any case, and unique prefixes of the words."""
    word = text.lower()
    if word in ("1", "on") or (word and ("true".startswith(word) or "yes".startswith(word))):
        return True
    if word in ("0", "of", "off") or (word and ("false".startswith(word) or "no".startswith(word))):
        return False
    return None


def _is_reserved(option: Option) -> bool:
    """Return whether an option would turn into something else as a plain start-up parameter."""
    name = option.name.lower()
    return name in _NO_SETTING or name.startswith(_PROTOCOL_OPTION)


def _is_ours(name: str) -> bool:
    return name.lower().startswith(_PREFIX)


def _sets_nothing(name: str) -> bool:
    return name.lower() in _NO_SETTING or name.startswith(_PROTOCOL_OPTION) or _is_ours(name)


def _folded(settings: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
    return [(name.lower(), value) for name, value in settings]


def _asked(options: list[Option], parameters: Mapping[str, str]) -> dict[str, str]:
    """Return the gatepost.* options by their short names; a plain parameter wins, as with SETs."""
    pairs = [(option.name, option.value) for option in options]
    pairs += list(parameters.items())
    return {name.lower()[len(_PREFIX) :]: value for name, value in pairs if _is_ours(name)}


def _asked_problem(asked: Mapping[str, str]) -> Refused | None:
    for name in asked:
        if name not in _OURS:
            return _refused(
                "42704",
                f"unknown option {_PREFIX}{name[:30]}",
                "there are gatepost.role, gatepost.reason and gatepost.auth",
            )
    if asked.get("auth", "") not in ("", *WAYS):
        return _refused(
            "22023", "unknown value of gatepost.auth", f"expected one of: {', '.join(WAYS)}"
        )
    if len(asked.get("reason", "")) > _REASON_MAX:
        return _refused("22023", "gatepost.reason is too long", f"at most {_REASON_MAX} characters")
    return None


def _settings(options: list[Option], parameters: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return what is set, in the server's order: the options first, then the parameters."""
    found = [
        (option.name, option.value or "on")
        if option.letter not in "c-"
        else (option.name, option.value)
        for option in options
        if option.name and not _is_ours(option.name)
    ]
    found += [(name, value) for name, value in parameters.items() if not _sets_nothing(name)]
    return tuple(found)


def _upstream(options: list[Option], parameters: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return what the target gets: the options rejoined from what was understood, not as they came.

    Where a single-byte locale calls a byte above 127 a space, the server would split there and
    we would not: such a setting travels as a parameter of its own, which is never split.
    """
    words: list[str] = []
    apart: list[tuple[str, str]] = []
    for option in options:
        if _is_ours(option.name):
            continue
        if all(word.isascii() for word in option.words):
            words += option.words
        elif option.letter in "c-":
            apart.append((option.name, option.value))
    plain = [
        (name, value)
        for name, value in parameters.items()
        if not _sets_nothing(name) or name.lower() == "replication"
    ]
    taken = {name for name, _ in plain}
    joined = [("options", join_words(words))] if words else []
    return (*joined, *(pair for pair in apart if pair[0] not in taken), *plain)
