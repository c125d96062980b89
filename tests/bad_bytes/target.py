"""What is fed, and what is looked at: no exception but the declared ones, and the time."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.bad_bytes.layouts import Fix, Layout, rebuild, scratch

LONGEST = 0.1
"""Seconds of CPU time for an input."""

MOST = 4096
"""Octets of an input."""

CORPUS = Path(__file__).parent / "corpus"


class HungError(Exception):
    """An input has taken too long."""


@dataclass(frozen=True)
class Target:
    """What takes octets.

    `declared` are the exceptions by which it may say that they are none of its format. `layouts` is
    what inputs are made of behind their first `header` octets, and `fix` puts a header right.
    """

    take: Callable[[bytes], object]
    seeds: Iterable[bytes]
    declared: tuple[type[Exception], ...] = ()
    layouts: tuple[Layout, ...] = ()
    header: int = 0
    fix: Fix = bytes
    longest: float = LONGEST

    def check(self, data: bytes) -> None:
        """Feed an input; raises what it must not, HungError among it."""
        for _ in range(3):  # The collector of garbage may have its turn amid an input.
            before = time.thread_time()
            with suppress(*self.declared):
                self.take(data)
            if (took := time.thread_time() - before) <= self.longest:
                return
        raise HungError(f"{took:.3f} s of CPU time for {len(data)} octets")

    def alter(self, data: bytes, rng: random.Random, other: bytes = b"") -> bytes:
        """Return an input much like another one."""
        for _ in range(rng.choice((1, 1, 2, 4))):
            if self.layouts and rng.random() < 0.7:
                head, rest = data[: self.header], data[self.header :]
                data = head + rebuild(rest, rng, self.layouts, other[self.header :])
            else:
                data = scratch(data, rng, other)
        return (self.fix(data) if rng.random() < 0.9 else data)[:MOST]


def kept(name: str) -> list[bytes]:
    """Return the inputs of a target's corpus, which reach something that its seeds do not."""
    path = CORPUS / f"{name}.hex"
    return (
        [bytes.fromhex(line) for line in path.read_text().split("\n") if line]
        if path.exists()
        else []
    )
