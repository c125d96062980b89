"""Letters' case in names whose alphabet is ASCII: DNS names, realms, Diameter identities."""

from __future__ import annotations

from string import ascii_lowercase, ascii_uppercase

_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)


def ascii_lower(text: str) -> str:
    """Return `text` with A to Z in lower case and nothing else changed (RFC 4343 section 3).

    str.lower() would also make a "k" of the Kelvin sign, U+212A, and one name of two.
    """
    return text.lower() if text.isascii() else text.translate(_LOWER)
