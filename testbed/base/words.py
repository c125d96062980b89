"""How counts and lengths of time are written in sentences."""

from __future__ import annotations


def several(number: int, noun: str) -> str:
    """Write a number with its noun: 1 run, 3 runs."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def about(seconds: float) -> str:
    """Write a length of time that is not known well: seconds, minutes or hours."""
    if seconds < 55:
        return f"about {several(max(5, 5 * round(seconds / 5)), 'second')}"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"about {several(minutes, 'minute')}"
    return f"about {seconds / 3600:.1f} hours"
