"""Statement texts as the journal keeps them: once per segment, without secrets, by SHA-256."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from appliance.recording.redact import redact

_MAX_KEPT = 10_000
_MAX_KEPT_CHARS = 8 << 20
_MAX_KEPT_TEXT = 64 << 10  # longer ones are prepared each time


@dataclass(frozen=True, slots=True)
class PreparedText:
    """A text ready to be recorded: the same for the same statement."""

    text: str  # with secrets replaced
    sha: str  # hex, of ``text`` in UTF-8
    secret: bool  # something was replaced: its parameters are not recorded either


def prepare(text: str) -> PreparedText:
    """Return ``text`` as it is recorded. Pure; takes long for long texts: call it off the loop."""
    clean, secret = redact(text)
    try:
        data = clean.encode()
    except UnicodeEncodeError:  # lone surrogates, from a client's invalid bytes
        data = clean.encode("utf-8", "backslashreplace")
        clean = data.decode()
    return PreparedText(clean, sha256(data).hexdigest(), secret)


class TextBook:
    """Remember prepared texts, and which of them the present segment holds already."""

    def __init__(self) -> None:
        self._prepared: dict[str, PreparedText] = {}
        self._chars = 0
        self._segment = 0
        self._written: set[str] = set()

    def prepared(self, text: str) -> PreparedText:
        """Return ``prepare(text)``, remembered where the text is short and holds no secret."""
        found = self._prepared.get(text)
        if found is None:
            found = prepare(text)
            if not found.secret and len(text) <= _MAX_KEPT_TEXT:
                self._keep(text, found)
        return found

    def is_new(self, sha: str, segment: int) -> bool:
        """Return whether ``segment`` does not hold that text yet."""
        if segment != self._segment:
            self._segment, self._written = segment, set()
        return sha not in self._written

    def written(self, sha: str, segment: int) -> None:
        """Remember that ``segment`` holds that text."""
        if self.is_new(sha, segment):
            if len(self._written) >= 4 * _MAX_KEPT:
                self._written.clear()  # at worst a text is written twice
            self._written.add(sha)

    def _keep(self, text: str, prepared: PreparedText) -> None:
        if len(self._prepared) >= _MAX_KEPT or self._chars + len(text) > _MAX_KEPT_CHARS:
            self._prepared.clear()
            self._chars = 0
        self._prepared[text] = prepared
        self._chars += len(text)
