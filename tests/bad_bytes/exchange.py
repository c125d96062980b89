"""Exchanges between two machines, each of whose messages is altered in its turn.

Both ends are kept as they were before a message was sent, so that an input costs that message and
what comes of it. Behind encryption, what is altered is what the sender protects: the receiver finds
the integrity right and reads on.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from functools import cache
from ipaddress import IPv6Address, IPv6Network
from types import CellType, FunctionType
from typing import Any, Generic, NamedTuple, TypeVar, get_args

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificatePublicKeyTypes,
    PrivateKeyTypes,
)
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from agents.ikev1.config import Config as Configuration1
from agents.ikev2.config import Config as Configuration2
from agents.pana.config import PaaConfig, PacConfig
from agents.pana.dialect import Dialect
from agents.pana.states import Runner, Transition
from tests.link import Link

T = TypeVar("T")


@dataclass(frozen=True)
class _Bare:
    """A function without what it has closed over, which is copied."""

    function: FunctionType

    def empty(self) -> FunctionType:
        code, cells = self.function.__code__, [CellType() for _ in self.function.__closure__ or ()]
        defaults = self.function.__defaults__
        return FunctionType(code, self.function.__globals__, code.co_name, defaults, tuple(cells))


def _close_over(function: FunctionType, values: Sequence[Any]) -> None:
    for cell, value in zip(function.__closure__ or (), values, strict=True):
        cell.cell_contents = value


_SHARED = (
    AESGCM,
    *get_args(CertificatePublicKeyTypes),
    *get_args(PrivateKeyTypes),
    Configuration1,
    Configuration2,
    Dialect,
    Enum,
    FunctionType,
    IPv6Address,
    IPv6Network,
    PaaConfig,
    PacConfig,
    Transition,
    bytes,
    str,
    type,
    x509.Certificate,
    _Bare,
)
"""What never changes, and some of which has no copy."""


@cache
def _is_shared(kind: type) -> bool:
    return issubclass(kind, _SHARED)


class _Pickler(pickle.Pickler):
    def __init__(self, file: Any, shared: dict[int, Any]) -> None:
        super().__init__(file)
        self._shared = shared
        self._tables: set[int] = set()

    def persistent_id(self, obj: Any) -> int | None:
        if isinstance(obj, Runner):  # Its tables are those of all machines of its kind.
            self._tables.update(
                id(vars(obj)[name]) for name in ("_rows", "_conditions", "_actions")
            )
        if isinstance(obj, FunctionType) and obj.__closure__:
            return None
        if not _is_shared(type(obj)) and id(obj) not in self._tables:
            return None
        self._shared[id(obj)] = obj
        return id(obj)

    def reducer_override(self, obj: Any) -> Any:
        if not isinstance(obj, FunctionType):
            return NotImplemented
        values = [cell.cell_contents for cell in obj.__closure__ or ()]
        return _Bare.empty, (_Bare(obj),), values, None, None, _close_over


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: Any, shared: dict[int, Any]) -> None:
        super().__init__(file)
        self.persistent_load = shared.__getitem__


class Kept(Generic[T]):
    """Something as it is now, to be had again any number of times."""

    def __init__(self, state: T) -> None:
        self._shared: dict[int, Any] = {}
        file = io.BytesIO()
        _Pickler(file, self._shared).dump(state)
        self._octets = file.getvalue()

    def again(self) -> T:
        """Return another that is like it was."""
        state: T = _Unpickler(io.BytesIO(self._octets), self._shared).load()
        return state


PATIENCE = 16
"""Datagrams and deadlines of an exchange."""

AFTERWARDS = 6
"""Those that follow an input."""


class Alter:
    """Says what becomes of the messages that are being protected."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self.wanted: int | None = None
        self.instead = b""

    def __call__(self, octets: bytes) -> bytes | None:
        """Return what stands in a message's place, None if it stays."""
        number = len(self.seen)
        self.seen.append(octets)
        return self.instead if number == self.wanted else None


class Scene:
    """Both ends on a link, and what one of them is asked first: its machine's method and more."""

    def __init__(self, link: Link, *first: Any) -> None:
        self.link = link
        self._first = first

    def step(self) -> bool:
        """Ask what is asked first, then deliver or let time pass; return whether there was any."""
        if not self._first:
            return self.link.step()
        machine, name, *more = self._first
        self._first = ()
        getattr(machine, name)(*more)
        return True

    def go_on(self) -> None:
        """Let happen what follows."""
        for _ in range(AFTERWARDS):
            if not self.step():
                return

    def forget(self) -> None:
        """Forget what was sent and told."""
        self.link.sent.clear()
        for machine in self.link.machines:
            machine.events.clear()


class Point(NamedTuple):
    """Both ends before a message is sent, and which it is of those that are sent then."""

    scene: Kept[Scene]
    number: int
    octets: bytes
    protected: bool


Hook = Callable[[Alter], Any]
"""Returns a context in which what is protected goes through Alter first."""


class Exchange:
    """An exchange on a link, each of whose messages is altered in its turn.

    An input is a number of two octets, of a message, and what stands in its place.
    """

    def __init__(self, scenes: Sequence[Scene], hook: Hook | None = None) -> None:
        self._hook = hook
        self.points = [point for scene in scenes for point in self._points(scene)]

    def _points(self, scene: Scene) -> Iterator[Point]:
        alter, link = Alter(), scene.link
        with self._hooked(alter):
            for _ in range(PATIENCE):
                before, seen = Kept(scene), len(alter.seen)
                if not scene.step():
                    return
                for number, (_, _, octets) in enumerate(link.sent):
                    yield Point(before, number, octets, protected=False)
                for number, octets in enumerate(alter.seen[seen:]):
                    yield Point(before, number, octets, protected=True)
                scene.forget()

    @contextmanager
    def _hooked(self, alter: Alter) -> Iterator[None]:
        if self._hook is None:
            yield
        else:
            with self._hook(alter):
                yield

    @property
    def seeds(self) -> list[bytes]:
        return [n.to_bytes(2) + point.octets for n, point in enumerate(self.points)]

    def take(self, data: bytes) -> Scene | None:
        """Carry an exchange on from a message that is altered; return what has become of it."""
        if len(data) < 2:
            return None
        point = self.points[int.from_bytes(data[:2]) % len(self.points)]
        scene, alter = point.scene.again(), Alter()
        if point.protected:
            alter.wanted, alter.instead = point.number, data[2:]
            with self._hooked(alter):
                scene.step()
        else:
            link, at = scene.link, point.number + 1
            link.tamper = lambda octets: data[2:] if len(link.sent) == at else octets
            scene.step()
            link.tamper = None
        scene.go_on()
        return scene


def in_turn(scenes: Sequence[Scene]) -> Callable[[bytes], None]:
    """Return what has each octet of an input do one thing that is legal in itself.

    What is due happens, or any datagram of the exchange comes, whosever turn it is.
    """
    begun = [Kept(scene) for scene in scenes]
    for scene in scenes:
        for _ in range(PATIENCE):
            scene.step()
    exchanges = [[(source, octets) for _, source, octets in scene.link.sent] for scene in scenes]

    def take(data: bytes) -> None:
        if not data:
            return
        number = data[0] % len(scenes)
        scene, sent = begun[number].again(), exchanges[number]
        for octet in data[1:60]:
            if octet < 0x80:
                scene.step()
            else:
                source, octets = sent[(octet & 0x7F) % len(sent)]
                scene.link.deliver(octets, source)

    return take
