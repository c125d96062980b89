"""Values that do not change: messages, events, states, configurations.

A frozen dataclass would do the same. A struct of msgspec takes a tenth of the time to define, of
which a program has hundreds when it starts, and less than a fifth to make and to copy.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias, TypeVar

import msgspec
from msgspec.structs import replace

__all__ = ["Record", "Secret", "replace", "shown_fields"]

T = TypeVar("T")

_MARK = "Secret["
"""In every annotation of a secret, as text in the source or evaluated."""

Secret: TypeAlias = Annotated[T, f"{_MARK}T]"]
"""The type of a field that neither repr() nor the event log shows."""

_shown: dict[type[Record], tuple[str, ...]] = {}


class Record(msgspec.Struct, frozen=True):
    """A value with named fields, compared by them; `replace` makes another of it."""

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in shown_fields(type(self)))
        return f"{type(self).__name__}({fields})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Return what repr() shows; msgspec's own would show Rich all fields."""
        return [(name, getattr(self, name)) for name in shown_fields(type(self))]


def shown_fields(kind: type[Record]) -> tuple[str, ...]:
    """Return the names of the fields that are no secrets."""
    known = _shown.get(kind)
    if known is None:
        secrets = {
            name
            for one in kind.__mro__
            for name, annotation in vars(one).get("__annotations__", {}).items()
            if _MARK in str(annotation)
        }
        known = _shown[kind] = tuple(n for n in kind.__struct_fields__ if n not in secrets)
    return known
