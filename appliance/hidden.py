"""Characters that do not show, or turn others around: written out wherever a person decides."""

from __future__ import annotations

# Letters, marks and signs that look like nothing; str.isprintable() takes them for printable.
_BLANK = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"
    + "".join(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
)


def is_hidden(character: str) -> bool:
    """Return whether a reader would not see this character as what it is.

    Controls, bidirectional ones (CVE-2021-42574), spaces other than the common one, blanks.
    """
    return not character.isprintable() or character in _BLANK


def foreign(name: str) -> str:
    """Return the letters of a name that are not ASCII beside those that are, as U+… , else "".

    Such a name may look like another one.
    """
    letters = [c for c in name if c.isalpha()]
    odd = dict.fromkeys(c for c in letters if not c.isascii())
    if not odd or len(odd) == len(set(letters)):
        return ""
    return " ".join(f"U+{ord(c):04X}" for c in odd)
