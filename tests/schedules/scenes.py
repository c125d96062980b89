"""The networks that schedules are carried out in: all approaches, each prepared once a process.

Topologies are the operator's, with home agents apart from the home AAA server, or from two of them,
the paper's with several mobile nodes and a DHCPv6 server, where a home agent is beside it, and that
of two access networks between which a mobile node moves. In each there is a stranger on the core
link, and the last mobile node of several is no subscriber.
"""

import atexit
import functools
import itertools
import os
import shutil
import tempfile
import tomllib
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path

import tomli_w

from agents.core import record
from agents.core.documents import fit
from agents.nodes.mobile_node.settings import MobileNodeConfiguration
from agents.simulation.fleet import without_public_keys
from agents.simulation.laboratory import (
    Laboratory,
    PreparedApproach,
    Provision,
    kind_of_program,
)
from agents.simulation.public_keys import Flights
from agents.simulation.world import World
from topologies import dhcpv6, mobility, operator, paper
from topologies.attacked import with_host
from topologies.model import Host, HostRole, Interface, Shape

MOBILE_NODES = 3
"""How many there are where there are several; the last one is no subscriber."""

STRANGER, STRANGERS_ADDRESS = "X", IPv6Address("2001:db8:b::e")
SECOND_SERVERS_ADDRESS = IPv6Address("2001:db8:b::f")
SESSION, BINDING, IKE_LIVENESS = 60.0, 40.0, 20.0
"""Seconds; short, so that what renews, refreshes and asks comes into the schedules."""

_DELAY = 0.005
_ANYWHERE = IPv6Network("::/0")


def _shaped(topology, router):
    """Return a topology with a stranger, and with links on which every packet takes as long."""
    routes = ((_ANYWHERE, IPv6Address(router)),)
    host = Host(STRANGER, HostRole.CORE_STRANGER, routes=routes)
    whole = with_host(topology, "core", host, f"{STRANGERS_ADDRESS}/64")
    shape = Shape(rate=0.0, delay=_DELAY)
    return replace(whole, links=tuple(replace(link, shape=shape) for link in whole.links))


def _apart(access_routers, home_agents):
    plain = operator.build(MOBILE_NODES, access_routers, home_agents)
    return _shaped(plain, "2001:db8:b::100:1")


def _two_servers(access_routers, home_agents):
    """Return the operator's topology with a second home AAA server."""
    plain = _apart(access_routers, home_agents)
    (first,) = (host for host in plain.hosts if host.role is HostRole.HOME_AAA)
    second = replace(first, name="AAA2")
    return with_host(plain, "core", second, f"{SECOND_SERVERS_ADDRESS}/64")


def _beside():
    """Return the paper's topology with several mobile nodes, and a DHCPv6 server."""
    plain = dhcpv6.TOPOLOGY
    names = [f"MN{number:04}" for number in range(1, MOBILE_NODES + 1)]
    hosts = tuple(h for h in plain.hosts if h.role is not HostRole.MOBILE_NODE)
    nodes = tuple(Host(name, HostRole.MOBILE_NODE) for name in names)
    access = plain.link("access")
    router = next(end for end in access.ends if end.advertise)
    ends = (router, *(Interface(name, autoconfigure=True) for name in names))
    links = tuple(
        replace(link, name="access1", ends=ends) if link is access else link for link in plain.links
    )
    many = replace(plain, name="beside", hosts=nodes + hosts, links=links, is_fleet=True)
    return _shaped(many, "2001:db8:b::2")


def _moving():
    return _shaped(mobility.TOPOLOGY, "2001:db8:b::2")


_PSK = {"ike": {"authentication": "psk", "liveness": IKE_LIVENESS}}
_EAP = {"ike": {"liveness": IKE_LIVENESS}}
_AGGRESSIVE = {"ike": {"mode": "aggressive", "group": "ecp256"}}

_AGENT, _REDIRECT = ({"roles": {"aaa": {"relay": way}}} for way in ("agent", "redirect"))

_SCENES = {
    "pana-ikev1": ("pana-ikev1", {}, lambda: _apart(1, 1)),
    "pana-ikev1 aggressive": ("pana-ikev1", _AGGRESSIVE, lambda: _apart(2, 2)),
    "pana-ikev1 beside": ("pana-ikev1", _AGGRESSIVE, _beside),
    "pana-ikev1 draft12": ("pana-ikev1", {"dialect": "draft12"}, _beside),
    "pana-ikev2": ("pana-ikev2", _EAP, lambda: _apart(1, 2)),
    "pana-ikev2 beside": ("pana-ikev2", _EAP, _beside),
    "pana-ikev2 psk": ("pana-ikev2", _PSK, lambda: _apart(2, 1)),
    "pana-ikev2 psk beside": ("pana-ikev2", _PSK, _beside),
    "pana-fast": ("pana-fast", _EAP, lambda: _apart(1, 1)),
    "pana-fast beside": ("pana-fast", _EAP, _beside),
    "dhcpv6-ikev2": ("dhcpv6-ikev2", _EAP, _beside),
    "dns-ikev2": ("dns-ikev2", _EAP, _beside),
    "static": ("static", _EAP, lambda: _shaped(paper.TOPOLOGY, "2001:db8:b::2")),
    "pana-ikev1 two servers": ("pana-ikev1", {}, lambda: _two_servers(2, 1)),
    "pana-ikev2 psk relayed": ("pana-ikev2", _PSK | _AGENT, lambda: _two_servers(1, 2)),
    "pana-fast redirected": ("pana-fast", _EAP | _REDIRECT, lambda: _two_servers(1, 1)),
    "pana-ikev1 moving": ("pana-ikev1", {}, _moving),
    "pana-ikev2 moving": ("pana-ikev2", _EAP, _moving),
    "pana-fast moving": ("pana-fast", _EAP, _moving),
    "static moving": ("static", _EAP, _moving),
    "dhaad-ikev2": ("dhaad-ikev2", _EAP, _beside),
    "static-auth": ("static-auth", {}, lambda: _shaped(paper.TOPOLOGY, "2001:db8:b::2")),
    "static-auth moving": ("static-auth", {}, _moving),
}
NAMES = tuple(_SCENES)

_FLIGHTS = Flights(hello=325, server=896, client=639, tickets=158, around=22)
"""In octets, as with certificates of P-256; those of signatures vary, and a schedule is not to."""

_STEPS = (100, 200, 400)
"""Packets in which a mobile node has bootstrapped, two have, and sessions are renewed."""


_numbers = itertools.count()


@dataclass(frozen=True)
class Scene:
    """One network, prepared; `programs` may be killed, `links` cut, `orders` given.

    Mobile nodes move between `places`, if there are any.
    """

    name: str
    topology: object
    roles: tuple
    folder: Path
    mobile: dict[str, MobileNodeConfiguration]
    """The configurations of mobile nodes by their hosts."""

    subscribers: int
    programs: tuple[str, ...]
    links: tuple[str, ...]
    places: tuple[str, ...]
    orders: tuple[str, ...]
    victims: tuple[str, ...]
    home_agents: frozenset[IPv6Address]
    access_routers: frozenset[str]
    settings: object = field(repr=False, default=None)
    steps: tuple[int, ...] = _STEPS

    @property
    def intruder(self):
        """The host of the mobile node that is no subscriber, None where there is none."""
        hosts = tuple(self.mobile)
        return hosts[-1] if self.subscribers < len(hosts) else None

    def preshared(self):
        """Return the subscribers that are known to IKE from the start, and their home addresses."""
        home = next(r for r in self.roles if kind_of_program(r) == "home_network")
        known = home.configuration.get("preshared", ())
        return {peer["identity"]: IPv6Address(peer["home_address"]) for peer in known}

    def laboratory(self, world, log):
        """Return the network without anything in it of what was before."""
        for old in self.folder.glob(f"leases-{os.getpid()}-*"):
            old.unlink(missing_ok=True)
        # Names of their own, for who had the ones before may close them at any time.
        names = (f"leases-{os.getpid()}-{next(_numbers)}.sqlite" for _ in itertools.count())
        roles = [
            record.replace(
                role, configuration={**role.configuration, "leases": str(self.folder / next(names))}
            )
            if kind_of_program(role) == "home_network"
            else role
            for role in self.roles
        ]
        aaa = next(r for r in roles if kind_of_program(r) == "home_network")
        sample, rng = next(iter(self.mobile.values())), world.random("TLS")
        provision = without_public_keys(Provision(log=log), sample, aaa, rng, _FLIGHTS)
        return Laboratory(self.topology, roles, world, provision=provision)


def _orders(roles):
    """Return what may be ordered without an end to what somebody wants: "program command"."""
    found = []
    for role in roles:
        match kind_of_program(role):
            case "mobile_node":
                wanted = {"ping", "reauthenticate", "rekey-ike", "rekey-children", "refresh"}
                commands = fit(role.configuration, MobileNodeConfiguration).commands
                found += [f"{role.name} {name}" for name in sorted(wanted & commands.keys())]
            case "access_router":
                found += [f"{role.name} {name}" for name in ("reauthenticate", "terminate")]
    return tuple(found)


@functools.cache
def scene(name):
    """Return a scene by its name."""
    approach, settings, build = _SCENES[name]
    topology = build()
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="schedules-", dir=memory if memory.is_dir() else None))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    usual = {"session_lifetime": SESSION, "binding_lifetime": BINDING, "diameter_watchdog": 6.0}
    prepared = PreparedApproach(approach, folder, usual | settings, topology)
    if topology.is_fleet:
        file = folder / "subscribers.toml"
        known = tomllib.loads(file.read_text(encoding="utf-8"))
        known["subscribers"].pop()
        file.write_text(tomli_w.dumps(known), encoding="utf-8")
    roles = tuple(program.role for program in prepared.laboratory(World()).programs)
    mobile = {
        role.host: fit(role.configuration, MobileNodeConfiguration)
        for role in roles
        if kind_of_program(role) == "mobile_node"
    }
    subscribers = len(mobile) - topology.is_fleet
    victims = tuple(mobile)[:subscribers]
    of_home = [role.configuration.get("home_agent") for role in roles]
    return Scene(
        name=name,
        topology=topology,
        roles=roles,
        folder=folder,
        mobile=mobile,
        subscribers=subscribers,
        programs=tuple(
            role.name for role in roles if role.host not in mobile or role.host in victims
        ),
        links=tuple(link.name for link in topology.links),
        places=tuple(link.name for link in topology.roaming),
        orders=_orders(role for role in roles if role.host not in mobile or role.host in victims),
        victims=victims,
        home_agents=frozenset(IPv6Address(one["address"]) for one in of_home if one),
        access_routers=frozenset(r.host for r in roles if kind_of_program(r) == "access_router"),
    )
