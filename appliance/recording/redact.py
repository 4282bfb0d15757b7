"""Take secret literals out of statement texts before they are recorded (pure).

Conservative: a cheap look decides for nearly all texts; what looks like it may hold a secret is cut
into tokens and rather too much is replaced than too little. Replaced are: what follows PASSWORD;
all literals of statements with USER MAPPING or a dblink function; CONNECTION '…' of subscriptions;
literals that hold a connection string with a password or SQL that sets one; the same inside
dollar-quoted bodies.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

REPLACEMENT = "'***'"
REST_REPLACEMENT = "'***' /* the rest may hold a secret and was not recorded */"

_HINTS = ("passw", "mapping", "dblink", "connection", "://", 'u&"', "secret")
_SECRET_WORDS = frozenset({"password", "passwd", "sslpassword", "passphrase", "secret"})
_BETWEEN = frozenset({"=", ":=", "=>", ":", "to"})  # what may stand between PASSWORD and literal
_NOT_A_SECRET = frozenset({"null", "valid", "expired"})
# Every repetition is bounded or cannot begin where another goes on: the time is linear. Where a
# regular expression searches, no thread of the process gets on.
_IN_LITERAL = re.compile(
    r"passw\w{0,40}+\s{0,40}+(=|:=|=>|to\b)|passw(or)?d\s{0,40}+[('\"$]"
    r"|://[^/\s:@]{0,200}:[^/\s@]{0,200}@|user\s{1,40}mapping|dblink",
    re.IGNORECASE,
)
_MAX_BODIES = 4  # dollar-quoted bodies within one another; deeper ones are replaced whole
_ROLE_STATEMENT = re.compile(r"(?:alter|create)\b.{0,60}?(?:role|user|group)", re.DOTALL)
_UNICODE_ESCAPE = re.compile(r"\\(?:\+([0-9a-fA-F]{6})|([0-9a-fA-F]{4}))")
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_TOKEN = re.compile(
    r"""(?P<space>\s+|--[^\n]*)
      | (?P<comment>/\*)
      | (?P<dollar>\$(?:[A-Za-z_\x80-\U0010ffff][\w\x80-\U0010ffff]*)?\$)
      | (?P<parameter>\$\d+)
      | (?P<escaped>[eE]'(?:[^'\\]|''|\\.)*+(?:'|\Z))
      | (?P<string>(?:[uU]&|[bBxXnN])?'(?:[^']|'')*+(?:'|\Z))
      | (?P<quoted>(?:[uU]&)?"(?:[^"]|"")*+(?:"|\Z))
      | (?P<word>[A-Za-z_\x80-\U0010ffff][\w$\x80-\U0010ffff]*)
      | (?P<other>:=|=>|.)""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str  # "word" | "quoted" | "literal" | "dollar" | "other"
    start: int
    end: int
    word: str  # lower case: what a word or quoted name says, or the other character


def redact(text: str, depth: int = 0) -> tuple[str, bool]:
    """Return (the text without secrets, whether anything was or may have been replaced)."""
    lowered = text.lower()
    if not any(hint in lowered for hint in _HINTS):
        return text, False
    tokens = _tokens(text)
    cut, secret = _secret_tokens(text, tokens)
    pieces: list[str] = []
    at = 0
    for token in tokens:
        replacement = None
        if token.start in cut:
            replacement = REPLACEMENT
            if token.kind == "literal" and text[token.start] == "'" and _ambiguous(text, token):
                return "".join(pieces) + text[at : token.start] + REST_REPLACEMENT, True
        elif token.kind == "dollar":
            replacement, inner_secret = _redact_body(text[token.start : token.end], depth)
            secret = secret or inner_secret
        if replacement is not None:
            pieces += [text[at : token.start], replacement]
            at = token.end
    return "".join(pieces) + text[at:], secret or bool(cut)


def _secret_tokens(text: str, tokens: list[_Token]) -> tuple[set[int], bool]:
    """Return (where the tokens to replace begin, whether parameters may hold secrets too)."""
    words = [token.word for token in tokens]
    everything = any(word.startswith("dblink") for word in words) or any(
        first == "user" and second == "mapping" for first, second in pairwise(words)
    )
    everything = everything or _builds_role_statement(text, tokens)
    about_roles = any(
        first in ("create", "alter") and second in ("role", "user", "group")
        for first, second in pairwise(words)
    )
    subscription = "subscription" in words
    cut: set[int] = set()
    secret = everything
    for index, token in enumerate(tokens):
        if token.kind in ("literal", "dollar"):
            if everything or (
                token.kind == "literal" and _IN_LITERAL.search(text, token.start, token.end)
            ):
                cut.add(token.start)
        elif _names_secret(token, subscription):
            found, is_parameter = _value_after(tokens, index, about_roles)
            cut.update(found)
            secret = secret or is_parameter
    return cut, secret


def _builds_role_statement(text: str, tokens: list[_Token]) -> bool:
    """Return whether the literals, taken together, set a role's password.

    format('ALTER ROLE %I PASSWORD %L', …) and its like: which of them is the secret is not known.
    """
    literals = "".join(
        text[token.start : token.end].strip("'") for token in tokens if token.kind == "literal"
    ).lower()
    return "passw" in literals and _ROLE_STATEMENT.search(literals) is not None


def _names_secret(token: _Token, subscription: bool) -> bool:
    if token.kind not in ("word", "quoted"):
        return False
    if subscription and token.word == "connection":
        return True
    return token.word in _SECRET_WORDS or "passw" in token.word


def _value_after(tokens: list[_Token], index: int, about_roles: bool) -> tuple[list[int], bool]:
    """Return (starts of the value's tokens, whether the value is a parameter)."""
    at = index + 1
    while at < len(tokens) and tokens[at].word in _BETWEEN:
        at += 1
    found = []
    while at < len(tokens) and tokens[at].kind in ("literal", "dollar"):
        found.append(tokens[at].start)  # 'a' newline 'b' is one literal
        at += 1
    if found or at >= len(tokens):
        return found, False
    token = tokens[at]
    if token.kind == "parameter":
        return [], True
    if about_roles and token.kind in ("word", "quoted") and token.word not in _NOT_A_SECRET:
        return [token.start], False  # PASSWORD without quotes: a slip, but the secret is there
    return [], False


def _redact_body(quoted: str, depth: int) -> tuple[str | None, bool]:
    """Return (a dollar-quoted text with its inside redacted, or None; whether it held one)."""
    tag_end = quoted.index("$", 1) + 1
    tag = quoted[:tag_end]
    closed = quoted.endswith(tag) and len(quoted) >= 2 * tag_end
    inside = quoted[tag_end : -tag_end if closed else None]
    if not inside:
        return None, False
    if depth >= _MAX_BODIES:
        return REPLACEMENT, True
    clean, secret = redact(inside, depth + 1)
    return (tag + clean + (tag if closed else ""), True) if secret else (None, False)


def _ambiguous(text: str, token: _Token) -> bool:
    """Return whether the literal would end elsewhere with standard_conforming_strings off."""
    return "\\'" in text[token.start : token.end]


def _tokens(text: str) -> list[_Token]:
    found = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        assert match is not None and match.lastgroup is not None  # noqa: S101 - "." takes any
        kind, start, at = match.lastgroup, at, match.end()
        if kind == "comment":
            at = _comment_end(text, at)
        elif kind == "dollar":
            closing = text.find(match.group(), at)
            at = len(text) if closing < 0 else closing + len(match.group())
            found.append(_Token(kind, start, at, ""))
        elif kind in ("string", "escaped"):
            found.append(_Token("literal", start, at, ""))
        elif kind != "space":
            found.append(_Token(kind, start, at, _word(kind, match.group())))
    return found


def _word(kind: str, text: str) -> str:
    if kind != "quoted":
        return text.lower()
    if text[0] in "uU":
        text = _UNICODE_ESCAPE.sub(_unescape, text[2:])
    return text.strip('"').lower()


def _unescape(match: re.Match[str]) -> str:
    code = int(match.group(1) or match.group(2), 16)
    return chr(code) if code < 0x110000 else match.group()


def _comment_end(text: str, at: int) -> int:
    depth = 1
    for edge in _COMMENT_EDGE.finditer(text, at):
        depth += 1 if edge.group() == "/*" else -1
        if depth == 0:
            return edge.end()
    return len(text)
