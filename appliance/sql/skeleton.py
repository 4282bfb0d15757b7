"""A text without its literals: what two statements that differ in values alone have in common.

Equal skeletons mean equal facts, wherever ``Parsed.literal_sensitive`` is False for the text that
was parsed. Conservative: only plain words, numbers and quoted strings without a backslash are
understood; whatever else is in the text, the answer is None and the text is parsed.
"""

from __future__ import annotations

import re

MAX_CHARACTERS = 4096

# A quoted string or a whole number of its own. Which of the two began is told by looking back, so
# that the pattern starts with one set of characters: the engine skips to the next of them.
_LITERAL = re.compile(
    r"""['0-9](?:
      (?<=')(?:[^'\\\x00?\ud800-\udfff]|'')*+'
    | (?<=[0-9])(?<![\w$."'][0-9])[0-9]*+(?![\w.$'"])
    )""",
    re.VERBOSE,
)
# What may be left then, with ? for each literal: no comments, no strings glued to a word or a name
# (E'…', U&'…'), no dollar but of $1, no second statement. Quoted names are plain. A string and a
# number look alike here: where the grammar takes only one of them, the server refuses the other.
_PLAIN = re.compile(
    r"""(?: [A-Za-z0-9_ \t\n\r,.()=<>+*%:|!~^@#`\[\]{}]++
      | (?<![\w&$"'?])\?(?![\w"'$?])
      | -(?!-) | /(?!\*) | &(?!["'?])
      | (?<![\w$])\$[0-9]++(?![\w$])
      | (?<![\w&$"'?])"[A-Za-z0-9_]++"(?!["\w'$?])
    )*+ (?:;[ \t\n\r]*+)?""",
    re.VERBOSE,
)


def skeleton(text: str) -> str | None:
    """Return the text without its literals, or None when it has to be parsed."""
    if len(text) > MAX_CHARACTERS or "?" in text:
        return None
    bare = _LITERAL.sub("?", text)
    return bare if _PLAIN.fullmatch(bare) else None
