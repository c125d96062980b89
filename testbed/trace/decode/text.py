"""How fields are written: a line each, those within a field two spaces further in."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from ipaddress import IPv6Address

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509 import InvalidVersion

Lines = Iterator[str]
_SHOWN = 24  # Octets.
UNREADABLE = (
    struct.error,
    LookupError,
    ValueError,
    ArithmeticError,
    OSError,
    RecursionError,
    UnsupportedAlgorithm,
    InvalidVersion,
)
"""What octets that are no message may make of an attempt to read them."""


def within(lines: Iterable[str]) -> Lines:
    """Yield lines one level further in."""
    return (f"  {line}" for line in lines)


def hexadecimal(value: bytes) -> str:
    """Write octets, of many the first and how many there are."""
    if len(value) <= _SHOWN:
        return value.hex()
    return f"{value[:_SHOWN].hex()}\N{HORIZONTAL ELLIPSIS} ({len(value)} octets)"


def secret(value: bytes) -> str:
    """Write how long a secret is."""
    return f"{len(value)} octets, not shown"


def text(value: bytes) -> str:
    """Write what should be UTF-8."""
    return value.decode(errors="backslashreplace")


def printable(line: str) -> str:
    """Write a line so that nothing in it can look like another, or like more than text."""
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in line)


def number(value: bytes) -> str:
    """Write a number in network order."""
    return str(int.from_bytes(value))


def address(value: bytes) -> str:
    """Write an IPv6 address, or octets that are none."""
    return str(IPv6Address(value)) if len(value) == 16 else hexadecimal(value)


def prefixed(value: bytes) -> str:
    """Write two octets with a prefix's length and an address, as Mobile IPv6 AVPs have them."""
    if len(value) != 18:
        return hexadecimal(value)
    return f"{IPv6Address(value[2:])}/{int.from_bytes(value[:2])}"


def enumerated(names: dict[int, str]) -> Callable[[bytes], str]:
    """Return what writes a number with its name."""

    def write(value: bytes) -> str:
        return named(names, int.from_bytes(value))

    return write


def named(names: dict[int, str], value: int) -> str:
    """Write a number with its name, if it has one."""
    return f"{names[value]} ({value})" if value in names else str(value)
