"""A topology with the roles of an approach in it, on the virtual clock."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from importlib import import_module
from ipaddress import IPv6Address, IPv6Network
from itertools import count
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import msgspec

from agents import approaches
from agents.core.documents import fit
from agents.core.eventlog import EventLog
from agents.core.machine import Address
from agents.core.record import Record
from agents.daemons.kea import DhcpServerConfiguration
from agents.daemons.nsd import DnsServerConfiguration
from agents.eap.peer import EapPeer
from agents.eap.tls import TlsServerConfig
from agents.ikev2.config import Credentials
from agents.kernel.model import ModelKernel
from agents.kernel.model_port import (
    ModelCorrespondent,
    ModelEnforcementPoint,
    ModelHomeAgent,
    ModelMeter,
    ModelMobileNode,
)
from agents.kernel.port import AccessLink
from agents.nodes.access_router.machine import AccessRouter
from agents.nodes.access_router.main import radius_secret
from agents.nodes.access_router.settings import AccessRouterConfiguration
from agents.nodes.correspondent.machine import Correspondent
from agents.nodes.correspondent.settings import CorrespondentConfiguration
from agents.nodes.diameter_agent.machine import DiameterAgent
from agents.nodes.diameter_agent.settings import DiameterAgentConfiguration
from agents.nodes.fleet.settings import FleetConfiguration
from agents.nodes.home_agent.machine import HomeAgentNode
from agents.nodes.home_agent.main import credentials as home_agent_credentials
from agents.nodes.home_agent.settings import HomeAgentConfiguration, HomeAgentSettings
from agents.nodes.home_network.machine import HomeNetwork
from agents.nodes.home_network.main import home_aaa, preshared_keys
from agents.nodes.home_network.settings import HomeNetworkConfiguration
from agents.nodes.keylog import KeyLog
from agents.nodes.mobile_node.eap import EapPeers
from agents.nodes.mobile_node.machine import MobileNode
from agents.nodes.mobile_node.main import credentials
from agents.nodes.mobile_node.settings import EapSettings, MobileNodeConfiguration
from agents.nodes.pana_relay.machine import PanaRelay
from agents.nodes.pana_relay.settings import PanaRelayConfiguration
from agents.nodes.rogue_router.machine import RogueRouter
from agents.nodes.rogue_router.settings import RogueConfiguration
from agents.simulation.attachment import advertise
from agents.simulation.host import EPOCH, SimulatedHost
from agents.simulation.link import Link
from agents.simulation.servers import DhcpServer, DnsServer
from agents.simulation.services import Service
from agents.simulation.stack import Interface, Stack
from agents.simulation.tcp import Tcp
from agents.simulation.world import Clock, World
from topologies.model import (
    HostRole,
    Topology,
    autoconfigured,
    link_local_address,
    mac_address,
)

_AGENTS = "agents."
_ECHO_PORT, _ECHO_DEADLINE = 7, 1.0


class PreparedApproach:
    """An approach in a topology, its certificates and subscribers in a folder, for many runs.

    `settings` are those of an experiment's file.
    """

    def __init__(
        self, name: str, folder: Path, settings: Mapping[str, object], topology: Topology
    ) -> None:
        self._topology = topology
        self._module = approaches.load(name)
        self._settings = fit(settings, self._module.Settings)
        self._folder = folder
        self._module.prepare(folder, self._settings, topology)
        self._numbers = count()

    def laboratory(self, world: World) -> Laboratory:
        """Return the topology with the approach's programs in it, none of them started."""
        run = self._folder / f"run{next(self._numbers)}"
        for name in ("configuration", "keys"):
            (run / name).mkdir(parents=True)
        programs = self._module.compose(self._settings, self._topology, self._folder, run)
        return Laboratory(self._topology, programs, world)


def _usual_log(laboratory: Laboratory, host: str) -> EventLog:
    return EventLog(host, "role", laboratory.events, laboratory.nanoseconds)


class Provision(Record, frozen=True, kw_only=True):
    """What hosts have: `processors` by host, octets that may wait at a socket, how TLS is made.

    `log` makes the event logs of their programs.
    """

    processors: Mapping[str, int] = {}
    receive_buffer: int = 0
    eap_peers: Callable[[EapSettings, KeyLog], Callable[[], EapPeer]] = EapPeers
    server_tls: Callable[..., TlsServerConfig] = TlsServerConfig
    credentials: Callable[[MobileNodeConfiguration], Credentials] = credentials
    log: Callable[[Laboratory, str], EventLog] = _usual_log


class Events:
    """Takes event logs' lines; `told` are the events as the harness would read them."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._told: list[dict[str, Any]] = []

    @property
    def told(self) -> list[dict[str, Any]]:
        """The events so far; they are read here, and cost those nothing who tell them."""
        self._told += map(json.loads, self._lines)
        self._lines.clear()
        return self._told

    def write(self, line: str) -> None:
        """Keep one line."""
        self._lines.append(line)

    def flush(self) -> None:
        """Keep nothing back."""

    def named(self, name: str, host: str | None = None) -> list[dict[str, Any]]:
        """Return the events of a name, of one host if given."""
        return [e for e in self.told if e["event"] == name and host in (None, e["host"])]


class Program:
    """One role's program: it can be killed and started again."""

    def __init__(self, laboratory: Laboratory, role: approaches.Program) -> None:
        self._laboratory = laboratory
        self.role = role
        self.host: SimulatedHost | None = None
        self.node: Any = None
        self._ready: Callable[[], None] = lambda: None

    def start(self, ready: Callable[[], None]) -> None:
        """Start it; `ready` is called once, when others may rely on it."""
        self._ready = ready
        self._start()

    def _start(self) -> None:
        self.load()
        self.begin()

    def load(self) -> None:
        """Make its node, with all files read, and do not start it yet."""
        self.host = host = self._laboratory.host_for(self.role)
        self.node = host.enter(self._laboratory.make, self.role, host)

    def begin(self) -> None:
        """Start the node that was made."""
        if self.host:
            self.host.enter(self._laboratory.begin, self.node, self._serves)

    def _serves(self) -> None:
        self._laboratory.tell_ready(self)
        ready, self._ready = self._ready, lambda: None
        ready()

    def kill(self) -> None:
        """End it as SIGKILL does."""
        if self.host:
            self.host.kill()

    def restart(self) -> None:
        """Kill it, and start it again."""
        self.kill()
        self._start()

    def obey(self, command: str) -> None:
        """Give it a command, as on its standard input: a name and its arguments."""
        if self.host:
            self.host.enter(self._obey, command)

    def _obey(self, command: str) -> None:
        name, *arguments = command.split()
        reason = "not possible now"
        try:
            done = self.node.commands()[name](*arguments)
        except ValueError as error:
            done, reason = False, str(error)
        if not done:
            log = self._laboratory.log(self.role.host)
            log.write("CommandRefused", command=command, reason=reason)


_Maker: TypeAlias = Callable[["Laboratory", approaches.Program, SimulatedHost], Any]
"""Makes the node of a role, which is a program's module."""


class Laboratory:
    """A simulated topology in which the roles of one run are started, one after the other.

    Links have the topology's delays, rates and losses. `events` take what the programs tell, `keys`
    what Wireshark needs. What a program does takes as long as its `service` tells, or no time.
    """

    def __init__(
        self,
        topology: Topology,
        roles: Sequence[approaches.Program],
        world: World,
        events: Events | None = None,
        keys: KeyLog | None = None,
        service: Callable[[approaches.Program], Service] | None = None,
        provision: Provision | None = None,
    ) -> None:
        self.topology = topology
        self._provision = provision or Provision()
        self.links: dict[str, Link] = {}
        self.world = world
        self.events = events or Events()
        self._keys = keys or KeyLog()
        self._service = service
        self.stacks: dict[str, Stack] = {}
        self._tcp: dict[str, Tcp] = {}
        self._build()
        self.programs = [Program(self, role) for role in _each(roles)]

    @classmethod
    def has(cls, role: approaches.Program) -> bool:
        """Return whether a role can be simulated; some only run for real, such as a flooder."""
        return cls._maker(role) is not None or kind_of_program(role) == "fleet"

    @classmethod
    def _maker(cls, role: approaches.Program) -> _Maker | None:
        """Return what makes the node of a role; of another package's program that is its own."""
        if role.module.startswith(_AGENTS):
            return cls._makers.get(kind_of_program(role))
        simulated = getattr(import_module(role.module), "simulated", None)
        if simulated is None:
            return None
        return lambda lab, role, host: simulated(role.configuration, host, lab.log(role.host))

    def leave_out_what_is_not_simulated(self) -> None:
        """Go on without the programs that only run for real."""
        self.programs = [p for p in self.programs if self.has(p.role)]

    def _build(self) -> None:
        for host in self.topology.hosts:
            count = self._provision.processors.get(host.name, 1)
            stack = Stack(self.world, host.name, forwards=host.forwards, processors=count)
            stack.receive_buffer = self._provision.receive_buffer
            for network, hop in host.routes:
                stack.routes.add(network, hop)
            self.stacks[host.name] = stack
            self._tcp[host.name] = Tcp(stack)
        for described in self.topology.links:
            link = Link(self.world, described.name, described.shape.calm)
            self.links[described.name] = link
            advertised = [end.advertise for end in described.ends if end.advertise]
            for number, end in enumerate(described.ends):
                mac = bytes.fromhex(mac_address(self.topology, described, number).replace(":", ""))
                own = link_local_address(self.topology, described, end.host)
                addresses = [own, *(a.ip for a in end.addresses)]
                prefixes = [a.network for a in end.addresses]
                stack = self.stacks[end.host]
                if end.autoconfigure:
                    addresses += [autoconfigured(prefix, own) for prefix in advertised]
                    prefixes += advertised
                    router = next(e.address for e in described.ends if e.advertise)
                    stack.routes.add(IPv6Network("::/0"), router)
                name = self.topology.interface_name(end.host, described.name)
                there = Interface(stack, name, link, tuple(addresses), tuple(prefixes), mac)
                if described.roams and end.advertise:
                    advertise(there, end.advertise, end.address)

    def host_for(self, role: approaches.Program) -> SimulatedHost:
        """Return what the program of a role runs in."""
        stack = self.stacks[role.host]
        return SimulatedHost(stack, self._tcp[role.host], role.name, self._service_of(role))

    def _service_of(self, role: approaches.Program) -> Service | None:
        return self._service(role) if self._service else None

    def mobile_node_in(
        self,
        stack: Stack,
        configuration: MobileNodeConfiguration,
        care_of: IPv6Address,
        log: EventLog,
        role: approaches.Program,
    ) -> tuple[SimulatedHost, MobileNode]:
        """Return a mobile node on a host that is not the topology's, not started yet."""
        host = SimulatedHost(stack, Tcp(stack), role.name, self._service_of(role))
        node = host.enter(self._mobile_node_at, stack, configuration, care_of, log, host)
        return host, node

    def new_host(self, name: str, program: str | None = None) -> SimulatedHost:
        """Return what a new program on a host runs in."""
        return SimulatedHost(self.stacks[name], self._tcp[name], program)

    def start(self) -> None:
        """Start the programs, each when the one before it is ready."""
        self._start_from(0)

    def go_wrong(self) -> None:
        """Give the links their faults: others than a mobile node have got ready without."""
        for described in self.topology.links:
            self.links[described.name].shape = described.shape

    def _start_from(self, number: int) -> None:
        if number < len(self.programs):
            program, clock = self.programs[number], self.world.clock
            if program.role.host in self.topology.hosts_with(HostRole.MOBILE_NODE):
                self.go_wrong()
            following = partial(self._start_from, number + 1)
            program.start(partial(_soon, clock, following))

    def tell_ready(self, program: Program) -> None:
        """Have a program's log say that it is ready, unless nobody relies on that."""
        if not isinstance(program.node, MobileNode):
            self.log(program.role.host).write("Ready")

    def program(self, name: str) -> Program:
        """Return the program of a module such as "mobile_node"."""
        return next(p for p in self.programs if f".{name}." in f"{p.role.module}.")

    def programs_on(self, host: str) -> list[Program]:
        """Return the programs of a host, those first that take commands."""
        found = [program for program in self.programs if program.role.host == host]
        return sorted(found, key=lambda program: not program.role.commands)

    def run(self, until: float, done: Callable[[], bool] = lambda: False) -> bool:
        """Let time pass until `until`, or until `done`; return whether it is."""
        return self.world.clock.run(until, done)

    def is_bootstrapped(self) -> bool:
        """Return whether the mobile node says that it is."""
        return bool(self.events.named("Bootstrapped"))

    def exchanges(self, here: str, there: str, destination: IPv6Address) -> bool:
        """Return whether a datagram from one host gets to an address of another, and back."""
        came: list[bytes] = []

        def answer(data: bytes, source: Address) -> None:
            echo.send(data, source)

        near, far = self.new_host(here), self.new_host(there)
        try:
            echo = far.open_datagrams((str(destination), _ECHO_PORT), answer)
        except OSError:
            return False
        asking = near.open_datagrams(("::", 0), lambda data, _: came.append(data))
        asking.send(b"echo", (str(destination), _ECHO_PORT))
        self.run(self.world.clock.now + _ECHO_DEADLINE, lambda: bool(came))
        echo.close()
        asking.close()
        return bool(came)

    def nanoseconds(self) -> int:
        """Return the virtual time."""
        return int(self.world.clock.now * 1e9)

    def _time_of_day(self) -> int:
        return EPOCH + int(self.world.clock.now)

    def log(self, host: str) -> EventLog:
        """Return the event log of a program on a host."""
        return self._provision.log(self, host)

    def make(self, role: approaches.Program, host: SimulatedHost) -> Any:
        """Make the node of a role."""
        maker = self._maker(role)
        if maker is None:
            raise ValueError(f"{kind_of_program(role)} cannot be simulated")
        return maker(self, role, host)

    def begin(self, node: Any, ready: Callable[[], None]) -> None:
        """Start a node; `ready` is called when others may rely on it."""
        match node:
            case DhcpServer() | DnsServer():
                ready()
            case MobileNode():
                node.start()
                ready()
            case _:
                node.start(ready)

    def _mobile_node(self, role: approaches.Program, host: SimulatedHost) -> MobileNode:
        configuration = fit(role.configuration, MobileNodeConfiguration)
        if configuration.launch == "script":
            raise ValueError("a launch script cannot be simulated, for it starts real programs")
        stack, log = self.stacks[role.host], self.log(role.host)
        interface = stack.interfaces[configuration.interface]
        care_of = next(a for a in interface.addresses if not a.is_link_local)
        log.write("CareOfAddress", address=care_of)
        return self._mobile_node_at(stack, configuration, care_of, log, host)

    def _mobile_node_at(
        self,
        stack: Stack,
        configuration: MobileNodeConfiguration,
        care_of: IPv6Address,
        log: EventLog,
        host: SimulatedHost,
    ) -> MobileNode:
        psk_file = configuration.psk_file
        return MobileNode(
            configuration,
            host,
            ModelMobileNode(stack.kernel, protected=not configuration.authentication_option),
            care_of,
            log,
            keys=self._keys,
            make_eap=self._provision.eap_peers(configuration.eap, self._keys),
            credentials=self._provision.credentials(configuration),
            preshared=Path(psk_file).read_bytes() if psk_file else None,
        )

    def _access_router(self, role: approaches.Program, host: SimulatedHost) -> AccessRouter:
        configuration = fit(role.configuration, AccessRouterConfiguration)
        kernel = self.stacks[role.host].kernel
        return AccessRouter(
            configuration,
            host,
            _closed_filter(kernel, configuration),
            self.log(role.host),
            epoch=self._time_of_day(),
            local_kernel=_local_kernel(kernel, configuration),
            radius_secret=radius_secret(configuration),
            meter=ModelMeter(kernel) if configuration.accounting else None,
        )

    def _rogue_router(self, role: approaches.Program, host: SimulatedHost) -> RogueRouter:
        configuration = fit(role.configuration, RogueConfiguration)
        kernel = self.stacks[role.host].kernel
        return RogueRouter(
            configuration,
            host,
            _closed_filter(kernel, configuration),
            self.log(role.host),
            epoch=self._time_of_day(),
            local_kernel=_local_kernel(kernel, configuration),
            radius_secret=radius_secret(configuration),
            victim_kernel=ModelMobileNode(kernel),
            false_kernel=ModelHomeAgent(kernel, IPv6Address(configuration.own_address)),
        )

    def _pana_relay(self, role: approaches.Program, host: SimulatedHost) -> PanaRelay:
        return PanaRelay(fit(role.configuration, PanaRelayConfiguration), host, self.log(role.host))

    def _correspondent(self, role: approaches.Program, host: SimulatedHost) -> Correspondent:
        configuration = fit(role.configuration, CorrespondentConfiguration)
        kernel = ModelCorrespondent(
            self.stacks[role.host].kernel, IPv6Address(configuration.address)
        )
        return Correspondent(configuration, host, kernel, self.log(role.host))

    def _diameter_agent(self, role: approaches.Program, host: SimulatedHost) -> DiameterAgent:
        configuration = fit(role.configuration, DiameterAgentConfiguration)
        epoch = self._time_of_day()
        return DiameterAgent(configuration, host, self.log(role.host), epoch=epoch)

    def _home_network(self, role: approaches.Program, host: SimulatedHost) -> HomeNetwork:
        configuration = fit(role.configuration, HomeNetworkConfiguration)
        return HomeNetwork(
            configuration,
            host,
            _kernel_of(self.stacks[role.host].kernel, configuration.home_agent),
            home_aaa(
                configuration,
                lambda: self.world.clock.now,
                durable=False,
                tls=self._provision.server_tls,
                rng=host.rng,
            ),
            self.log(role.host),
            keys=preshared_keys(configuration),
            epoch=self._time_of_day(),
        )

    def _home_agent(self, role: approaches.Program, host: SimulatedHost) -> HomeAgentNode:
        configuration = fit(role.configuration, HomeAgentConfiguration)
        kernel = self.stacks[role.host].kernel
        return HomeAgentNode(
            configuration,
            host,
            ModelHomeAgent(kernel, IPv6Address(configuration.home_agent.address)),
            self.log(role.host),
            credentials=home_agent_credentials(configuration),
            epoch=self._time_of_day(),
        )

    def _kea(self, role: approaches.Program, host: SimulatedHost) -> DhcpServer:
        return DhcpServer(fit(role.configuration, DhcpServerConfiguration), host)

    def _nsd(self, role: approaches.Program, host: SimulatedHost) -> DnsServer:
        return DnsServer(fit(role.configuration, DnsServerConfiguration), host)

    _makers: ClassVar[Mapping[str, _Maker]] = {
        "access_router": _access_router,
        "correspondent": _correspondent,
        "diameter_agent": _diameter_agent,
        "home_agent": _home_agent,
        "home_network": _home_network,
        "kea": _kea,
        "mobile_node": _mobile_node,
        "nsd": _nsd,
        "pana_relay": _pana_relay,
        "rogue_router": _rogue_router,
    }


def _soon(clock: Clock, action: Callable[[], None]) -> None:
    clock.at(clock.now, action)


def kind_of_program(role: approaches.Program) -> str:
    """Return what a program is, as "access_router"."""
    return role.module.removesuffix(".main").rpartition(".")[2]


def _each(roles: Iterable[approaches.Program]) -> Iterator[approaches.Program]:
    """Yield the roles, in place of a fleet its mobile nodes: here each is a program of its own."""
    for role in roles:
        if kind_of_program(role) != "fleet":
            yield role
            continue
        for node in fit(role.configuration, FleetConfiguration).nodes:
            plain = msgspec.to_builtins(node)
            yield approaches.Program(node.host, "agents.nodes.mobile_node.main", plain)


def _closed_filter(
    kernel: ModelKernel, configuration: AccessRouterConfiguration
) -> ModelEnforcementPoint:
    """Return the filter on the access link, which nobody passes yet."""
    link = AccessLink(configuration.access_interface, IPv6Network(configuration.access_prefix))
    enforcement = ModelEnforcementPoint(kernel, link)
    enforcement.close_access()
    return enforcement


def _local_kernel(
    kernel: ModelKernel, configuration: AccessRouterConfiguration
) -> ModelHomeAgent | None:
    return _kernel_of(kernel, configuration.local.home_agent if configuration.local else None)


def _kernel_of(kernel: ModelKernel, settings: HomeAgentSettings | None) -> ModelHomeAgent | None:
    if settings is None:
        return None
    address = IPv6Address(settings.address)
    return ModelHomeAgent(kernel, address, protected=not settings.authentication_option)
