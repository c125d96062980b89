"""A schedule: what goes wrong, and at which step. It follows from its seed alone."""

import random
from dataclasses import dataclass, replace

PACKET_FAULTS = ("drop", "double", "delay", "alter")
"""What happens to the one packet of a step; `number` is in seconds, or a bit."""

LATEST = 20.0
"""Seconds by which a packet is late at most."""

DOWN = (0.0, 0.1, 2.0, 20.0)
CUT = (0.5, 3.0, 12.0, 40.0)
"""Seconds for which a program is not there, or a link."""

STARTS = (0.0, 0.0, 0.02, 0.3, 1.5, 5.0)
"""Seconds after which a mobile node begins."""

BURST = 100
"""First messages that a stranger sends at once."""


_SAID = {
    "drop": "lost",
    "double": "comes twice, the second time {number:g} s later",
    "delay": "late by {number:g} s",
    "alter": "altered in one bit, {number:g}",
    "crash": "{what} is killed, and started again after {number:g} s",
    "cut": "link {what} is cut for {number:g} s",
    "order": "command: {what}",
    "forge": "a Binding Update for {what} in the clear, sequence number {number:g}",
    "impersonate": "a stranger negotiates IKE as the subscriber on {what}",
    "burst": f"a stranger begins {BURST} exchanges of {{what}}",
    "move": "the mobile node moves to {what}",
}
"""What happens when a packet is sent, by the kind of fault."""


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong when the packet with the number `step` is sent.

    `what` names a program, a link, a command or a mobile node. A movement, to the link that it
    names, is a fault too.
    """

    step: int
    kind: str
    what: str = ""
    number: float = 0.0

    def __str__(self):
        what = _SAID[self.kind].format(what=self.what, number=self.number)
        return f"packet {self.step}: {what}"


@dataclass(frozen=True)
class Schedule:
    """Faults in the order of their steps; `starts` are the subscribers', in seconds."""

    scene: str
    seed: int
    starts: tuple[float, ...]
    faults: tuple[Fault, ...]

    @property
    def last(self):
        """The step of the last fault, -1 if there is none."""
        return self.faults[-1].step if self.faults else -1

    def with_faults(self, faults):
        """Return the same with other faults."""
        return replace(self, faults=tuple(faults))

    def __str__(self):
        starts = ", ".join(f"{start:g} s" for start in self.starts)
        first = f"{self.scene}, seed {self.seed}; mobile nodes begin at {starts}"
        return "\n  ".join((first, *map(str, self.faults)))


def draw(seed, scene):
    """Return the schedule of a seed in a scene (tests.schedules.scenes.Scene).

    Each has a few kinds of faults, each of these often or seldom: where all happen at once, little
    is reached.
    """
    rng = random.Random(f"{seed} {scene.name}")
    starts = tuple(rng.choice(STARTS) for _ in range(rng.randint(1, scene.subscribers)))
    horizon = rng.choice(scene.steps)
    faults = []
    rates = {kind: rng.choice((0.0, 0.0, 0.01, 0.05, 0.2)) for kind in PACKET_FAULTS}
    for step in range(horizon):
        for kind, rate in rates.items():
            if rng.random() < rate:
                faults.append(Fault(step, kind, number=_number(kind, rng)))
                break
    for kind, most, choices in (
        ("crash", 3, scene.programs),
        ("cut", 1, scene.links),
        ("order", 3, scene.orders),
        ("forge", 2, scene.victims),
        ("impersonate", 2, scene.victims),
        ("burst", 1, ("pana", "ike")),
        ("move", 4, scene.places),
    ):
        for _ in range(rng.choice((0, 0, *range(1, most + 1))) if choices else 0):
            what = rng.choice(choices)
            faults.append(Fault(rng.randrange(horizon), kind, what, _number(kind, rng)))
    return Schedule(scene.name, seed, starts, tuple(sorted(faults, key=lambda f: f.step)))


def _number(kind, rng):
    match kind:
        case "double" | "delay":
            return round(rng.choice((0.003, 0.05, 1.2, LATEST)) * rng.random(), 4)
        case "alter":
            return rng.randrange(1 << 12)
        case "crash":
            return rng.choice(DOWN)
        case "cut":
            return rng.choice(CUT)
        case "forge":
            return rng.randrange(1 << 16)
    return 0.0
