"""One run on a virtual clock: what the lab's worker does, with models of hosts and links."""

from __future__ import annotations

import json
import os
import struct
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from ipaddress import IPv6Address
from pathlib import Path
from statistics import median
from typing import Any, Generic, TypeVar

from agents.approaches import Program
from agents.kernel.packet import ICMPV6
from agents.nodes.keylog import KeyLog
from agents.simulation.host import EPOCH
from agents.simulation.laboratory import Events, Laboratory
from agents.simulation.services import Service
from agents.simulation.stack import Interface, Socket, Stack
from agents.simulation.world import Clock, World
from testbed.experiment.simulable import added_address
from testbed.experiment.spec import PlannedRun, Spec
from testbed.experiment.steps import TRAFFIC_INTERVAL
from testbed.run import held
from testbed.run.course import ROUND_TRIPS, Course, ExpectedError, RunError
from testbed.run.parts import Shells, Told
from testbed.run.paths import Payload
from testbed.run.silence import Silences
from testbed.trace import pcapng
from topologies.model import Link, link_local_address

T = TypeVar("T")

_REQUEST, _REPLY = 128, 129
_ECHO = struct.Struct("!BBHHH")
_DATA = bytes(56)
_IDENTIFIER, _MEASURING = 1, 2  # Of echoes to see whether one answers, and of measured ones.
_PROBES = 3  # To each address of a link.
_PROBE_DEADLINE = 5.0
_PROBE_INTERVAL = 0.02
_NS = 10**9


can_run = Laboratory.has
"""Whether a program can be simulated."""


class Heard(Generic[T]):
    """Events that are handed out one by one as time passes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._unread: deque[T] = deque()

    def add(self, event: T) -> None:
        """Take note of one."""
        self._unread.append(event)

    def next(self, deadline: float) -> T | None:
        """Let time pass until there is an event that was not handed out; None at the deadline."""
        heard = self._clock.run(deadline, lambda: bool(self._unread))
        return self._unread.popleft() if heard else None


class _Log(Events):
    """The events of all programs: kept as lines, and handed out one by one."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._heard = Heard[str](clock)
        self.lines: list[str] = []

    def write(self, line: str) -> None:
        """Keep one line."""
        self.lines.append(line)
        self._heard.add(line)

    def next(self, deadline: float) -> dict[str, Any] | None:
        """Let time pass until there is an event that was not handed out; None at the deadline."""
        line = self._heard.next(deadline)
        return json.loads(line) if line else None


class _Keys:
    """Keys for Wireshark, in memory until the run is over."""

    def __init__(self) -> None:
        self._lines: dict[str, list[str]] = defaultdict(list)
        self.log = KeyLog(lambda name, line: self._lines[name].append(line))

    def write(self, folder: Path) -> None:
        """Write the files, which nobody but their owner can read."""
        for name, lines in self._lines.items():
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            with os.fdopen(os.open(folder / name, flags, 0o600), "w") as file:
                file.writelines(f"{line}\n" for line in lines)

    @property
    def tls(self) -> bytes:
        """The secrets that captures carry."""
        return "".join(f"{line}\n" for line in self._lines["tls.keys"]).encode()


class Capture:
    """What passes the interfaces of a host: what it sends, when it enters the link."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._packets: list[pcapng.Packet] = []
        for number, interface in enumerate(stack.interfaces.values()):
            interface.tap = partial(self._take, number)

    def _take(self, number: int, now: float, frame: bytes) -> None:
        time_ns = EPOCH * _NS + round(now * _NS)
        self._packets.append(pcapng.Packet(time_ns, number, frame))

    def write(self, folder: Path, tls_key_log: bytes) -> None:
        """Write the capture in order of time, with the TLS secrets embedded."""
        self._packets.sort(key=lambda packet: packet.time_ns)
        path = folder / f"{self._stack.name}.pcapng"
        pcapng.write(path, list(self._stack.interfaces), self._packets, tls_key_log)


class _Echo:
    """An ICMPv6 echo client (RFC 4443 section 4) on a host; `answered` gets the numbers."""

    def __init__(
        self, stack: Stack, answered: Callable[[int], None], identifier: int = _IDENTIFIER
    ) -> None:
        self._answered = answered
        self._identifier = identifier
        self.sent = 0
        self._socket = stack.open(Socket(stack, ICMPV6, None, 0, self._take))

    def send(self, destination: str) -> None:
        """Send one request; a link-local destination has its interface for a zone."""
        self.sent += 1
        header = _ECHO.pack(_REQUEST, 0, 0, self._identifier, self.sent)
        self._socket.send(header + _DATA, (destination, 0))

    def _take(self, data: bytes, _source: object) -> None:
        kind, _, _, identifier, number = _ECHO.unpack_from(data)
        if (kind, identifier) == (_REPLY, self._identifier):
            self._answered(number)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class _Traffic:
    """Echo requests at a steady pace until they are stopped, and the longest silence meanwhile."""

    def __init__(self, stack: Stack, destination: IPv6Address) -> None:
        self._clock = stack.world.clock
        self._destination = str(destination)
        self._answered = 0
        self._under_way: dict[int, float] = {}
        self._heard, self._silences = self._clock.now, Silences()
        self._longest = TRAFFIC_INTERVAL
        self._stopped = False
        self._echo = _Echo(stack, self._hear)
        self._send()

    def _send(self) -> None:
        if not self._stopped:
            self._under_way[self._echo.sent + 1] = self._clock.now
            self._echo.send(self._destination)
            self._clock.at(self._clock.now + TRAFFIC_INTERVAL, self._send)

    def _hear(self, number: int) -> None:
        sent_at = self._under_way.pop(number, None)
        if sent_at is None:
            return
        now = self._clock.now
        self._answered += 1
        self._longest = max(self._longest, now - sent_at)
        self._silences.note(now - self._heard)
        self._heard = now

    def wait_for(self, packets: int, timeout: float) -> None:
        """Wait until this many more requests are answered; RunError after `timeout` seconds."""
        wanted = self._answered + packets
        if not self._clock.run(self._clock.now + timeout, lambda: self._answered >= wanted):
            missing = wanted - self._answered
            raise RunError(f"{missing} of {packets} packets were not answered in time")

    def longest(self) -> float:
        """Return the longest silence in seconds since this was asked before."""
        return self._silences.take()

    def stop(self) -> dict[str, float]:
        """Stop; return the requests sent and answered and the longest silence in seconds."""
        if not self._stopped:
            self._stopped = True  # The last request has as long as any other.
            self._clock.run(self._clock.now + self._longest, lambda: not self._under_way)
            self._echo.close()
            self._silences.note(self._clock.now - self._heard)
        sent, silence = self._echo.sent, round(self._silences.longest, 6)
        return {"sent": sent, "answered": self._answered, "silence": silence}


def _measured(laboratory: Laboratory, link: Link) -> dict[str, float | None]:
    """Return a link's delay by echoes over it, and its rate and faults as they are set.

    As in a lab, both ends know each other's addresses by then: no bootstrap waits for that.
    """
    near, far = link.ends[:2] if link.ends[1].addresses else reversed(link.ends[:2])
    topology, clock = laboratory.topology, laboratory.world.clock
    zone = topology.interface_name(near.host, link.name)
    link_local = f"{link_local_address(topology, link, far.host)}%{zone}"
    began, times = clock.now, list[float]()
    echo = _Echo(laboratory.stacks[near.host], lambda _: times.append(clock.now - began))
    for destination in (str(far.address), link_local):
        for _ in range(_PROBES):
            began, wanted = clock.now, len(times) + 1
            echo.send(destination)
            clock.run(began + _PROBE_DEADLINE, lambda: len(times) >= wanted)  # noqa: B023
    echo.close()
    if not times:
        raise RunError(f"link {link.name}: {near.host} gets no echo from {far.host}")
    return {
        "delay": median(times) / 2,
        "rate": link.shape.rate or None,
        "loss": link.shape.mean_loss if link.shape.is_faulty else None,
        "duplication": link.shape.duplication or None,
        "reordering": link.shape.reordering or None,
        "corruption": link.shape.corruption or None,
    }


class SimulatedWorker(Course):
    """Carries out one run; time passes only as far as something happens in it."""

    def __init__(
        self,
        results: Path,
        planned: PlannedRun,
        spec: Spec,
        service: Callable[[Program], Service],
        forwarding: float,
    ) -> None:
        """`service` tells what programs take for what they do; routers are `forwarding` as long."""
        super().__init__(results, planned, spec, warm=True, entered=lambda _: None)
        self._service, self._forwarding = service, forwarding
        self._captures: list[Capture] = []
        self._world = World(planned.seed, record=False)
        self._told = _Log(self._world.clock)
        self._secrets = _Keys()

    def execute(self) -> dict[str, Any]:
        """Carry out the run; return its line for runs.jsonl, without what analysis adds."""
        status, reason, begun = "ok", None, time.monotonic()
        with self._surroundings():
            self._prepare()
            try:
                self._simulate()
            except RunError as error:
                status, reason = "failed", str(error)
            except ExpectedError as end:
                status, self.outcome = "expected", str(end)
        simulated = self._timed("simulation", begun)
        self._write()
        self._timed("writing", simulated)
        self._timed("total", begun)
        return self._result(status, reason)

    def _surroundings(self) -> AbstractContextManager[None]:
        """Return what the run is carried out in."""
        return nullcontext()

    def _prepare(self) -> None:
        """Make the network, with all programs in it."""
        self._others, mobile_nodes = self._compose()
        self._laboratory = Laboratory(
            self.topology,
            [*self._others, *mobile_nodes],
            self._world,
            self._told,
            self._secrets.log,
            self._service,
        )

    def _simulate(self) -> None:
        """Carry out what the run is about; RunError, or ExpectedError if it ends as expected."""
        laboratory = self._laboratory
        for stack in laboratory.stacks.values():
            stack.forwarding = self._forwarding
        self.measured = {link.name: _measured(laboratory, link) for link in self.topology.links}
        self._captures = [Capture(laboratory.stacks[host]) for host in self._captured()]
        laboratory.start()
        self._wait_until_ready(self._told, Counter(program.host for program in self._others))
        home_address = self._bootstrap(_Network(self._laboratory), self._told)
        self._go_on(self._told, home_address)

    def _go_on(self, events: Told, home_address: IPv6Address) -> None:
        """Have the mobile node answer, and carry out the steps after its bootstrap."""
        correspondent = self._answers(home_address)
        self._tell_recovery()
        if self._after_bootstrap:
            traffic = _Traffic(correspondent, home_address)
            self._live(_Network(self._laboratory), events, traffic)

    def _answers(self, home_address: IPv6Address) -> Stack:
        """Have a mobile node answer echo requests; return the host that they were from."""
        correspondent = self._laboratory.stacks[self._correspondent(home_address)]
        _reach(correspondent, home_address, self._reachable_deadline)
        return correspondent

    def _events(self, events: Told, seconds: float, waiting_for: str) -> Iterator[dict[str, Any]]:
        """Yield events until the caller has enough; RunError at the deadline."""
        deadline = self._world.clock.now + seconds
        while event := events.next(deadline):
            self._take_note(event)
            yield event
        raise RunError(f"no {waiting_for} within {seconds:g} s")

    def _now(self) -> float:
        return self._world.clock.now

    def _round_trips(self, net: object, host: str, address: IPv6Address) -> list[float]:
        del net
        clock, times = self._world.clock, list[float]()
        stack = self._laboratory.stacks[host]
        echo = _Echo(stack, lambda _: times.append(clock.now - began), _MEASURING)
        for number in range(1, ROUND_TRIPS + 1):
            began = clock.now
            echo.send(str(address))
            clock.run(began + _PROBE_DEADLINE, lambda: len(times) >= number)  # noqa: B023
        echo.close()
        return times

    def _transfer(self, net: Shells, payload: Payload) -> dict[str, Any]:  # noqa: ARG002
        raise RunError("payload takes no time on the virtual clock")  # Obstacles to it are told.

    def _amounts(self, net: object) -> held.Amounts:
        """Return what the programs and the models of kernels hold now.

        The memory of this process is no measure: captures and events are in it.
        """
        del net
        stacks = self._laboratory.stacks
        associations = {host: float(len(list(s.kernel.sad))) for host, s in stacks.items()}
        return {**held.of_objects(), "security associations": associations}

    def _let_pass(self, seconds: float) -> None:
        self._world.clock.run(self._world.clock.now + seconds)

    def _tell(self, host: str, lines: str) -> None:
        """Give a host's program commands."""
        programs = self._laboratory.programs_on(host)
        if not programs:
            raise RunError(f"no program runs in host {host}")
        for line in lines.splitlines():
            programs[0].obey(line)

    def _kill(self, host: str) -> None:
        """Kill a host's programs."""
        for program in self._laboratory.programs_on(host):
            program.kill()

    def _start_again(self, net: Shells, events: Told, host: str) -> None:  # noqa: ARG002
        """Start a host's programs."""
        for program in self._laboratory.programs_on(host):
            self._expect_ready(host)
            program.restart()

    def _write(self) -> None:
        """Keep events, keys and captures."""
        (self.folder / "events.jsonl").write_text("".join(self._told.lines))
        self._secrets.write(self.folder / "keys")
        for capture in self._captures:
            capture.write(self.folder / "captures", self._secrets.tls)


class _Network:
    """The hosts, for steps after a bootstrap."""

    def __init__(self, laboratory: Laboratory) -> None:
        self._laboratory = laboratory

    def power_off(self, host: str) -> None:
        """Take a host off its links, and let its kernel forget all."""
        self._laboratory.stacks[host].power_off()

    def power_on(self, host: str) -> None:
        """Undo power_off(), if that was."""
        self._laboratory.stacks[host].power_on()

    def cut(self, host: str, link: str) -> None:
        """Let nothing pass a host's end of a link, in neither direction."""
        end = self._end(host, link)
        end.link.cut_off.add(end)

    def heal(self, host: str, link: str) -> None:
        """Undo cut()."""
        end = self._end(host, link)
        end.link.cut_off.discard(end)

    def attach(self, host: str, link: str) -> None:
        """Move a mobile node from the link that it is on to another one."""
        home = self._laboratory.topology.roaming_at(host)
        if home is None:
            raise RunError(f"host {host} is on no link from which it could move")
        self._end(host, home.name).move(self._laboratory.links[link])

    def _end(self, host: str, link: str) -> Interface:
        name = self._laboratory.topology.interface_name(host, link)
        return self._laboratory.stacks[host].interfaces[name]

    def execute(self, host: str, script: str) -> None:
        """Carry out the one shell command that is known here."""
        added = added_address(script)
        if added is None:
            raise RunError(f"{host}: {script}: there is no shell")
        name, address = added
        self._laboratory.stacks[host].interfaces[name].add(address.ip)


def _reach(correspondent: Stack, home_address: IPv6Address, within: float) -> None:
    """Send echo requests from the correspondent node until the mobile node answers."""
    clock, came = correspondent.world.clock, list[int]()
    echo = _Echo(correspondent, came.append)
    deadline = clock.now + within
    while not came and clock.now < deadline:
        echo.send(str(home_address))
        clock.run(clock.now + _PROBE_INTERVAL, lambda: bool(came))
    echo.close()
    if not came:
        raise RunError(f"the correspondent node gets no answer from {home_address}")
