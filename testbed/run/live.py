"""A lab that one person works in: an approach's programs, ready, and what can be done with them.

It is a run without a plan: the same network, programs, captures and events, one command at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from ipaddress import IPv6Address
from pathlib import Path
from statistics import median
from typing import Any

from agents.approaches import Program
from agents.core.documents import absent
from agents.core.patience import patient
from testbed.base.phases import TOTAL
from testbed.base.phases import titles as titles_of
from testbed.experiment.spec import PlannedRun, Spec
from testbed.results.folder import make_run_folder
from testbed.results.runs import HOME
from testbed.run.capture import Capture
from testbed.run.events import Events
from testbed.run.handover import Following
from testbed.run.hold import Hold
from testbed.run.net import Network, network
from testbed.run.netem import set_netem
from testbed.run.nodes import bridge_port
from testbed.run.piped import Piped
from testbed.run.probe import REPLY_DEADLINE, Echo
from testbed.run.worker import Worker
from testbed.trace.phases import from_capture, macs
from topologies.model import HostRole, Link, Shape, Topology, mac_address

_NETEM, _ROOT = 0x100000, 0xFFFFFFFF
_LOOK = 0.05  # s between two looks at what is held
_NEXT = 15.0  # s that the next message may take; a script's launch has seconds
_MOVEMENT = 60.0
_PINGS = 4
_LONG = 60  # letters of a value


class CommandError(Exception):
    """A command that cannot be carried out, or has failed; the text says why, and what to do."""


def with_bridge(topology: Topology) -> Topology:
    """Return a topology with a bridge in the mobile node's link: there messages can be held."""
    link, _ = topology.at(topology.host(HostRole.MOBILE_NODE))[0]
    if link.is_bridged:
        return topology
    links = [replace(one, hub=True) if one == link else one for one in topology.links]
    return replace(topology, links=tuple(links))


def host_of(topology: Topology, text: str) -> str:
    """Return the host of a name or a role, as in "B" and "access router"; raises CommandError."""
    hosts = [host.name for host in topology.hosts]
    if text in hosts:
        return text
    wanted = text.replace("-", " ").replace("_", " ").casefold()
    found = [host.name for host in topology.hosts if host.role.casefold() == wanted]
    if len(found) == 1:
        return found[0]
    if found:
        raise CommandError(f"several hosts are {wanted}: say {' or '.join(found)}")
    known = [*hosts, *dict.fromkeys(str(host.role) for host in topology.hosts)]
    raise CommandError(absent(f"host or role {text!r}", text, known))


def _brief(value: object) -> str:
    text = str(value)
    return text if len(text) <= _LONG else f"{text[:_LONG]}\N{HORIZONTAL ELLIPSIS}"


def written(event: Mapping[str, Any], since: int) -> str:
    """Return an event as a line; its time counts from `since`, in nanoseconds."""
    usual = ("t", "host", "agent", "event")
    more = "  ".join(f"{k}={_brief(v)}" for k, v in event.items() if k not in usual)
    at = f"{(event['t'] - since) / 1e9:9.4f} s"
    return f"{at}  {event['host']:<4} {event['agent']:<10} {event['event']}  {more}".rstrip()


class LiveLab(Worker):
    """The lab; `say` prints a line.

    Commands raise CommandError, RunError, NetError, DataError or OSError.
    """

    def __init__(
        self, results: Path, spec: Spec, variant: str, *, warm: bool, say: Callable[[str], None]
    ) -> None:
        planned = PlannedRun(1, variant, spec.experiment.seed, {})
        super().__init__(results, planned, spec, warm=warm, entered=lambda _: None)
        self.topology = with_bridge(self.topology)
        self._titles = titles_of({self.settings.roles.access.protocol})
        self._say = say
        self.mobile_node = self.topology.host(HostRole.MOBILE_NODE)
        self._link = self.topology.at(self.mobile_node)[0][0].name
        """The one that the mobile node is on."""

        self._told: list[dict[str, Any]] = []
        self._since: int | None = None
        self._showing = False
        self._reasons: list[str] = []
        self._is_up = False
        self._watch: Capture | None = None
        """Of the mobile node, while it bootstraps: its phases are found in it."""

        self._hold: Hold | None = None
        self._loss = 0.0
        self._open_captures: dict[str, tuple[Path, Capture]] = {}
        self._pipes: list[Piped] = []
        self._mobile: list[Program] = []
        self._net: Network
        self._queue: Events

    @contextmanager
    def running(self) -> Iterator[Network]:
        """Have the network, and all programs but the mobile node's ready; end them afterwards."""
        shared = self.shared
        shared.mkdir(parents=True, mode=0o700)
        self.approach.prepare(shared, self.settings, self.topology)
        (self.folder.parent).mkdir()
        make_run_folder(self.folder.parents[1], self.planned.run)
        with ExitStack() as stack:
            self._slow_down(stack)
            self._net = stack.enter_context(network(self.topology, shells=True))
            self._queue = Events(self.folder / "events.jsonl")
            stack.callback(self._queue.close)
            try:
                self._prepare()
                yield self._net
            finally:
                self._end()

    def _prepare(self) -> None:
        others, self._mobile = self._compose()
        if self.warm:
            self._fork(self._net, self._queue, [*others, *self._mobile])
        self._queue.collect()
        self._start_programs(self._net, self._queue, others, [])

    def _end(self) -> None:
        """End captures and programs; what is held passes, and files are written."""
        if self._hold:
            self._hold.close()
        for host in [*self._open_captures]:
            self.end_capture(host)
        for pipe in self._pipes:
            pipe.close()
        if self._watch:
            self._watch.stop()
        self._finish()

    def _take_note(self, event: Mapping[str, Any]) -> None:
        super()._take_note(event)
        self._told.append(dict(event))
        if self._showing:
            self._say(self._line(event))
        if event["host"] != self.mobile_node:
            return
        if event["event"] == "AttemptFailed":
            self._reasons.append(str(event["reason"]))
        self._is_up = self._is_up or event["event"] == "Bootstrapped"

    def _line(self, event: Mapping[str, Any]) -> str:
        return written(event, event["t"] if self._since is None else self._since)

    def _catch_up(self) -> None:
        """Take note of what was told meanwhile; RunError if a program has ended by itself."""
        self._forget(self._queue)
        self._check_processes()

    def _runs(self, host: str) -> bool:
        return any(name.startswith(f"{host}-") for name in self._processes)

    # The bootstrap.

    def bootstrap(self) -> None:
        """Start the mobile node's bootstrap and show its events, at the end its phases.

        While the access link is held it is only begun. One that is under way is followed on.
        """
        if self._is_up:
            what = f"{self.mobile_node} has bootstrapped"
            raise CommandError(f"{what}: kill {self.mobile_node} to have it begin anew")
        self._begin_bootstrap()
        if self._hold:
            self._show_next(self._hold)
        else:
            self._follow()

    def _begin_bootstrap(self) -> None:
        if self._runs(self.mobile_node):
            return
        self._catch_up()
        self._since, self._reasons = time.monotonic_ns(), []
        self._watch = Capture(self._net, self.mobile_node)
        for program in self._mobile:
            self._start(self._net, self._queue, program)
        self._assign_processors()

    @contextmanager
    def _shown(self) -> Iterator[None]:
        """Have events shown as they come."""
        self._showing = True
        try:
            yield
        finally:
            self._showing = False

    def _follow(self) -> None:
        """Show events until the mobile node has bootstrapped; CommandError if it does not."""
        deadline = time.monotonic() + patient(self.timeout)
        with self._shown():
            while not self._is_up:
                if time.monotonic() > deadline:
                    raise CommandError(f"no bootstrap within {patient(self.timeout):g} s")
                self._look()
        self._show_phases()

    def _look(self) -> None:
        """Take a look at what is told; CommandError if attempts have failed."""
        if event := self._queue.next(time.monotonic() + _LOOK):
            self._take_note(event)
        self._check_processes()
        if len(self._reasons) >= max(1, self.variant.attempts):
            reason, self._reasons = self._reasons[-1], []
            raise CommandError(f"the bootstrap has failed: {reason}")

    def _show_phases(self) -> None:
        """Show how long each phase took, by the capture at the mobile node."""
        watch, self._watch = self._watch, None
        if watch is None:
            return
        watch.stop()
        path = self.folder / "captures" / f"{self.mobile_node}.pcapng"
        watch.write(path, self._secrets())
        phases = from_capture(path, macs(self.topology)).phases
        self._say("")
        for name, seconds in phases.items():
            self._say(
                f"{'= ' if name == TOTAL else ''}{self._titles[name]}: {1e3 * seconds:.1f} ms"
            )

    def _secrets(self) -> bytes:
        key_log = self.folder / "keys" / "tls.keys"
        return key_log.read_bytes() if key_log.exists() else b""

    # The access link, message by message.

    def pause(self) -> None:
        """Hold the bootstrap's messages at the access link."""
        if self._hold:
            raise CommandError(f"the {self._link} link is held already: step, or resume")
        self._held()

    def _held(self) -> Hold:
        """Have the access link held."""
        self._hold = Hold(self._net.mininet[self._link], self._ports())
        return self._hold

    def resume(self) -> None:
        """Let all pass again; a bootstrap that is under way is followed to its end."""
        if not self._hold:
            raise CommandError(f"the {self._link} link is not held")
        hold, self._hold = self._hold, None
        hold.close()
        if self._runs(self.mobile_node) and not self._is_up:
            self._follow()

    def step(self) -> bool:
        """Let one message pass, show it, what follows from it, and what is held next, if anything.

        Without a bootstrap one begins. CommandError if nothing is held.
        """
        hold = self._hold or self._held()
        if not self._runs(self.mobile_node):
            self._begin_bootstrap()
            with self._shown():
                self._await(hold)
        one = hold.first(0)
        if one is None:
            why = "the bootstrap is over" if self._is_up else "nothing has come"
            raise CommandError(f"nothing is held, for {why}: resume lets all pass again")
        self._say(one.line(self._hosts()))
        hold.let_go()
        self._show_next(hold)
        return hold.first(0) is not None

    def _show_next(self, hold: Hold) -> None:
        """Show events until a message is held, or the bootstrap is over; then what it is."""
        with self._shown():
            self._await(hold)
        if one := hold.first(0):
            self._say(f"  held: {one.line(self._hosts())}")
        elif not self._is_up:
            self._say(f"  nothing came within {patient(_NEXT):g} s")
        if self._is_up:
            self._show_phases()

    def _await(self, hold: Hold) -> None:
        deadline = time.monotonic() + patient(_NEXT)
        was_up = self._is_up
        while time.monotonic() < deadline and not hold.first(0):
            self._look()
            if self._is_up and (was_up or not self._queue_has_more()):
                return

    def _queue_has_more(self) -> bool:
        """Take note of one event more if there is one."""
        event = self._queue.next(time.monotonic() + _LOOK)
        if event:
            self._take_note(event)
        return event is not None

    def _hosts(self) -> dict[bytes, str]:
        return {
            bytes.fromhex(mac_address(self.topology, link, number).replace(":", "")): end.host
            for link in self.topology.links
            for number, end in enumerate(link.ends)
        }

    def _ports(self) -> list[str]:
        """Return the ports that are on the bridge of the mobile node's link."""
        link, home = self.topology.link(self._link), self._home_link
        others = [end for end in link.ends if end.host != self.mobile_node]
        own = bridge_port(home, home.end(self.mobile_node))
        return [own, *(bridge_port(link, end) for end in others)]

    @property
    def _home_link(self) -> Link:
        return self.topology.at(self.mobile_node)[0][0]

    def lose(self, percent: float) -> None:
        """Lose so many percent of the packets on the access link, either way."""
        self._loss = percent
        link, bridge = self.topology.link(self._link), self._net.mininet[self._link]
        for port in self._ports():
            if link.shape.is_faulty:
                bridge.intf(port).emulate(replace(link.shape, loss=percent))
                continue
            with bridge.must(f"{port}: netem"):
                shape = Shape(rate=0, loss=percent)
                set_netem(bridge.netlink, bridge.index(port), _NETEM, _ROOT, shape)
        bridge.close_netlink()

    def move(self, link: str = "") -> None:
        """Move the mobile node to another access link; show the parts of the handover."""
        there = [one.name for one in self.topology.roaming]
        if self.topology.roaming_at(self.mobile_node) is None:
            raise CommandError("there is one access link; topology mobility has two")
        if self._hold:
            raise CommandError(f"the {self._link} link is held: resume first")
        others = [name for name in there if name != self._link]
        target = link or others[0]
        if target not in others:
            what = f"other access link {target!r}"
            raise CommandError(absent(what, target, others))
        self._catch_up()
        if not link:
            self._say(f"to {target}")
        self._following = Following(self.mobile_node, target, 1)
        self._net.attach(self.mobile_node, target)
        self._link = target
        if self._loss:
            self.lose(self._loss)
        if self._is_up:
            self._follow_handover(self._following)

    def _follow_handover(self, following: Following) -> None:
        deadline = time.monotonic() + patient(_MOVEMENT)
        with self._shown():
            while not following.parts:
                if time.monotonic() > deadline:
                    raise CommandError(f"no binding within {patient(_MOVEMENT):g} s")
                self._look()
        self._say("")
        for name, seconds in following.parts.items():
            self._say(f"{name}: {1e3 * seconds:.1f} ms")

    # Hosts and programs.

    def show_events(self, host: str = "") -> None:
        """Show all events so far, or those of a host."""
        self._catch_up()
        for event in self._told:
            if host in ("", event["host"]):
                since = self._told[0]["t"] if self._since is None else self._since
                self._say(written(event, since))

    def ping(self) -> None:
        """Have the correspondent node ping the home address; CommandError without any answer."""
        self._catch_up()
        home_address = self.paths.addresses.get(HOME)
        if home_address is None:
            raise CommandError("there is no home address yet: bootstrap")
        host = self._correspondent(home_address)
        trips = self._pinged(host, home_address)
        if not trips:
            raise CommandError(f"{host} gets no answer from {home_address}")
        times = f"round trip {1e3 * median(trips):.2f} ms"
        self._say(f"{host}: {len(trips)} of {_PINGS} answers from {home_address}, {times}")

    def _pinged(self, host: str, address: IPv6Address) -> list[float]:
        """Return how long each answer took, from before its request was sent."""
        trips = []
        with closing(Echo(self._net, host)) as echo:
            for _ in range(_PINGS):
                began = time.monotonic()
                wanted = echo.send(address)
                while (left := began + REPLY_DEADLINE - time.monotonic()) > 0:
                    if echo.receive(left) == wanted:
                        trips.append(time.monotonic() - began)
                        break
        return trips

    def kill(self, host: str) -> None:
        """Kill a host's programs, as a crash does: its kernel keeps what it has."""
        self._catch_up()
        if not self._runs(host):
            raise CommandError(f"no program runs in host {host}")
        self._kill(host)
        if host == self.mobile_node:
            self._is_up = False
            self.paths.addresses.clear()
            if self._watch:
                self._watch.stop()
                self._watch = None

    def start(self, host: str) -> None:
        """Start a host's programs again and wait until they serve; the mobile node bootstraps."""
        self._catch_up()
        if self._runs(host):
            raise CommandError(f"the program in host {host} runs; kill {host} ends it")
        if host == self.mobile_node:
            self.bootstrap()
            return
        if host not in {program.host for program in self._composed}:
            raise CommandError(f"host {host} has no program of this approach")
        self._start_again(self._net, self._queue, host)
        self._wait_for_started(self._queue)

    def capture(self, host: str, path: Path) -> None:
        """Capture a host's interfaces until end_capture(), which writes the file."""
        if host in self._open_captures:
            raise CommandError(f"host {host} is being captured: capture {host} stop")
        path.touch()  # Else it would be told at the end only that this cannot be written.
        self._open_captures[host] = path, Capture(self._net, host)

    def end_capture(self, host: str) -> None:
        """Write what was captured at a host, with the secrets that open its TLS."""
        if host not in self._open_captures:
            raise CommandError(f"host {host} is not being captured")
        path, capture = self._open_captures.pop(host)
        dropped = capture.stop()
        capture.write(path, self._secrets())
        self._say(f"{path}{f'; {dropped} packets were lost' if dropped else ''}")

    def pipe(self, host: str, command: str) -> None:
        """Have a shell's command read what passes a host's interfaces from now on (pcapng)."""
        self._pipes.append(Piped(self._net, host, command))
