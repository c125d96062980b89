"""What the runs of a variant share: certificates, and the list of subscribers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import IPv6Interface
from pathlib import Path

import msgspec
import tomli_w

from agents.approaches.cast import (
    HOME_AAA,
    HOME_ADDRESS,
    VISITED_HOME_AGENT,
    VISITED_HOME_AGENT_ADDRESS,
    Cast,
    Node,
)
from agents.approaches.settings import CommonSettings, HomeAgentSettings
from agents.eap import ca
from topologies.model import Topology

_POOL = 1 << 32
"""Where home addresses for many begin on a home link, with room for as many."""

MOST_CERTIFICATES = 10_000
"""Mobile nodes that get one; more are simulated without (agents.simulation.public_keys)."""

SERVER, _CLIENT = "server", "mobile-node"
"""The file names of the certificates for EAP-TLS, which hold whatever the identity is."""


def _make_certificates(folder: Path, settings: CommonSettings, cast: Cast) -> None:
    made = ca.create(folder, (), server=HOME_AAA, key_type=settings.key_type)
    authority = ca.CertificateAuthority(ca.Identity.read(ca.Files(made.ca, folder / "ca.key")))
    for name in (HOME_AAA, *(router.name for router in cast.access_routers)):
        authority.issue_server(name, client=True).write(folder, name)
    # A mobile node may know no more of its home agent than the address.
    for name, address in (
        *((agent.name, cast.address(agent).ip) for agent in cast.home_agents),
        (VISITED_HOME_AGENT, VISITED_HOME_AGENT_ADDRESS),
    ):
        authority.issue_server(name, addresses=[address], client=True).write(folder, name)
    issuer, validity = authority, None
    if settings.credential == "expired":
        yesterday = datetime.now(UTC) - timedelta(days=1)
        validity = ca.Validity(yesterday - timedelta(days=30), yesterday)
    elif settings.credential == "other-ca":
        issuer = ca.CertificateAuthority.generate("another CA", settings.key_type)
    for node in cast.mobile_nodes(settings.identity)[:MOST_CERTIFICATES]:
        issuer.issue_client(node.name, validity=validity).write(folder, file_name(node, cast))


def file_name(node: Node, cast: Cast) -> str:
    """Return what the files of a mobile node's certificate are called."""
    return f"{_CLIENT}-{node.host}" if cast.topology.is_fleet else _CLIENT


def prepare(folder: Path, settings: CommonSettings, topology: Topology) -> None:
    """Make the certificates and the list of subscribers; those of a fleet share pools."""
    cast = Cast(topology)
    _make_certificates(folder / "pki", settings, cast)
    fixed: dict[str, object] = {"home_agent": "ha1", "home_address": str(HOME_ADDRESS)}
    subscribers = [
        {
            "identity": node.name,
            "mobility": settings.mobility_subscribed,
            "local_home_agent": settings.local_allowed,
            "prefer": settings.prefer,
            **({} if topology.is_fleet else fixed),
        }
        for node in cast.mobile_nodes(settings.identity)
    ]
    agents = {f"ha{number}": agent for number, agent in enumerate(cast.home_agents, 1)}
    if unknown := settings.home_agents.keys() - agents:
        known = ", ".join(agents)
        raise ValueError(f"home_agents: there is no {min(unknown)!r}, but {known}")
    document = {
        "home_agents": [
            _home_agent(name, cast.address(agent), pool=topology.is_fleet)
            | ({"host": agent.name} if cast.is_home_aaa_apart else {})
            | _limits(settings, name)
            for name, agent in agents.items()
        ],
        "subscribers": subscribers if settings.subscribed else [],
    }
    (folder / "subscribers.toml").write_text(tomli_w.dumps(document), encoding="utf-8")


def _limits(settings: CommonSettings, name: str) -> dict[str, object]:
    """Return what is set of a home agent; TOML has no null."""
    limits = settings.home_agents.get(name, HomeAgentSettings())
    return {k: v for k, v in msgspec.to_builtins(limits).items() if v is not None}


def _home_agent(name: str, address: IPv6Interface, *, pool: bool) -> dict[str, object]:
    """Return a home agent as the home AAA server knows it."""
    link = address.network
    known: dict[str, object] = {"name": name, "address": str(address.ip), "prefix": str(link)}
    if pool:
        known["pool"] = f"{link.network_address + _POOL}-{link.network_address + 2 * _POOL - 1}"
    return known
