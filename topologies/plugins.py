"""What packages of others bring, by their entry points: approaches, topologies and daemons.

It is here because topologies are what everything else stands on.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType

_GROUP = "mip6lab."
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


class PluginError(Exception):
    """Something of another package that cannot be used; the text says which, why, what to do."""


def found(
    kind: str, own: Collection[str], role: str = "", roles: Collection[str] = ()
) -> dict[str, EntryPoint]:
    """Return what others bring of a kind, such as `topologies`, by name.

    Of a kind with `roles`, names have one of these in front, as in `dns.mine`, and what is for
    `role` is returned. PluginError for a name that cannot be one, that is one of our `own`, or that
    two packages have.
    """
    named: dict[str, EntryPoint] = {}
    for point in _points(_GROUP + kind, tuple(sys.path)):
        its_role, _, name = point.name.rpartition(".")
        if roles and its_role not in roles:
            raise PluginError(
                f"{_described(point)}: there is no role {its_role!r}; have the name begin with"
                f" {' or '.join(f'{one}.' for one in roles)}"
            )
        if not _NAME.fullmatch(name if roles else point.name):
            raise PluginError(
                f"{_described(point)}: {name!r} cannot be a name; use up to 64 small letters,"
                " digits, - and _, not one of these in front"
            )
        if its_role != role:
            continue
        other = named.get(name)
        if name in own or other:
            whose = _package(other) if other else "mip6lab itself"
            raise PluginError(
                f"{_described(point)}: the name {name} is taken, by {whose}; have it another"
                f" name, or remove a package: pip uninstall {_distribution(point)}"
            )
        named[name] = point
    return named


def load(point: EntryPoint, wanted: Iterable[str]) -> ModuleType:
    """Return the module of an entry point; PluginError without one, or if it lacks a name."""
    try:
        module = point.load()
    except Exception as error:  # Whatever the module of somebody else raises.
        raise PluginError(
            f"{_described(point)}: cannot be loaded: {type(error).__name__}: {error};"
            f" mend it, or remove its package: pip uninstall {_distribution(point)}"
        ) from error
    if not isinstance(module, ModuleType):
        raise PluginError(f"{_described(point)}: {point.value} is no module; name one")
    if missing := [name for name in wanted if not hasattr(module, name)]:
        raise PluginError(
            f"{_described(point)}: module {module.__name__} has no {', '.join(missing)};"
            " docs/approaches.md says what is wanted of one"
        )
    return module


@cache
def _points(group: str, _path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """Return the entry points that there are with such an import path: to look takes a while."""
    return tuple(entry_points(group=group))


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist else "PACKAGE"


def _package(point: EntryPoint) -> str:
    return f"package {point.dist.name} {point.dist.version}" if point.dist else "another package"


def _described(point: EntryPoint) -> str:
    return f"{_package(point)}, entry point {point.group}: {point.name} = {point.value}"
