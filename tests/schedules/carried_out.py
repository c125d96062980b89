"""One schedule, carried out: the network with its faults, and what came of it."""

import traceback
from dataclasses import dataclass
from functools import partial

from agents.simulation.laboratory import kind_of_program
from agents.simulation.public_keys import without_diffie_hellman
from agents.simulation.world import World
from tests.schedules.bounds import recovery
from tests.schedules.invariants import ViolationError, Watch
from tests.schedules.network import Network
from tests.schedules.scenes import scene

READY = 3.0
"""Seconds until all programs but the mobile nodes' rely on one another."""

FAULTY = 150.0
"""Seconds for which something may go wrong at most."""

_STEP = 2.0
"""Seconds between two looks whether everybody is reachable."""

_ECHO_PORT, _ECHO_DEADLINE = 7, 1.0


@dataclass(frozen=True)
class Outcome:
    """What came of a schedule: the invariant that does not hold, None if all do, and why.

    `packets` and `seconds` of the virtual clock say how far it went.
    """

    schedule: object
    broken: int | None
    reason: str
    packets: int
    seconds: float
    recovered: float = 0.0


def carry_out(schedule, tell=None):
    """Carry out a schedule; `tell` hears of events, if anybody wants to read them."""
    with without_diffie_hellman():
        run = _Run(schedule, tell)
        try:
            run.execute()
        except ViolationError as violation:
            return run.outcome(violation.number, str(violation))
        except Exception:
            return run.outcome(0, traceback.format_exc(limit=-6))
        return run.outcome(None, "")


def start_others(lab, run):
    """Start all programs but the mobile nodes', and let `run` them get ready; return those."""
    programs = lab.programs
    mobile = {p.role.host: p for p in programs if kind_of_program(p.role) == "mobile_node"}
    lab.programs = [p for p in programs if p not in mobile.values()]
    lab.start()
    run(READY)
    lab.programs = programs
    return mobile


class _Run:
    def __init__(self, schedule, tell):
        self.schedule = schedule
        self.scene = scene(schedule.scene)
        self.world = World(schedule.seed, record=False)
        self.watch = Watch(self.scene, tell)
        self.lab = self.scene.laboratory(self.world, self.watch.log)
        self.watch.attach(self.lab)
        self.network = None
        self.healed = 0.0

    @property
    def now(self):
        return self.world.clock.now

    def outcome(self, broken, reason):
        steps = self.network.step if self.network else 0
        return Outcome(self.schedule, broken, reason, steps, self.now, self.now - self.healed)

    def run(self, until, done=lambda: False):
        """Let time pass; every step is looked at."""
        check = self.watch.check

        def stepped():
            check()
            return done()

        return self.lab.run(until, stepped)

    def execute(self):
        lab, watch = self.lab, self.watch
        mobile = start_others(lab, self.run)
        self.network = Network(lab, self.scene, self.schedule, watch)
        may = self.scene.victims[: len(self.schedule.starts)]
        begins = dict(zip(may, self.schedule.starts, strict=True))
        if self.scene.intruder:
            begins[self.scene.intruder] = 0.01
        for host, after in begins.items():
            start = partial(mobile[host].start, lambda: None)
            self.world.clock.at(self.now + after, start)
        last = self.schedule.last
        if last >= 0:
            self.run(self.now + FAULTY, lambda: self.network.step > last)
            self.run(self.now)  # What the last fault brings about.
        self.network.heal()
        self.healed = max(self.now, self.network.late, READY + max(self.schedule.starts))
        self.run(self.healed)
        self._recover(may)

    def _recover(self, may):
        end = self.healed + recovery()
        while True:
            lost = [host for host in may if not self._is_reachable(host)]
            if not lost:
                return
            if self.now > end:
                late = end - self.healed
                raise ViolationError(7, f"{', '.join(lost)} not reachable after {late:.0f} s")
            self.run(self.now + _STEP)

    def _is_reachable(self, host):
        """Return whether a datagram from the home link comes to a mobile node, and back."""
        home = self.lab.stacks[host].kernel.home
        if home is None or not home.tunnel_open or host not in self.watch.bootstrapped:
            return False
        came = []
        address = home.home_address
        beside = next(
            stack.name
            for stack in self.lab.stacks.values()
            if stack.name.startswith("CN")
            and any(address in p for i in stack.interfaces.values() for p in i.prefixes)
        )
        near, far = self.lab.new_host(beside, "echo"), self.lab.new_host(host, "echo")

        def back(data, source):
            echo.send(data, source)

        try:
            echo = far.open_datagrams((str(address), _ECHO_PORT), back)
        except OSError:
            return False
        asking = near.open_datagrams(("::", 0), lambda data, _: came.append(data))
        asking.send(b"echo", (str(address), _ECHO_PORT))
        self.run(self.now + _ECHO_DEADLINE, lambda: bool(came))
        echo.close()
        asking.close()
        return bool(came)
