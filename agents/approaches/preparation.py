"""What the runs of a variant share: certificates, secrets, and the list of subscribers."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import IPv6Address, IPv6Interface
from pathlib import Path
from typing import TypeAlias

import msgspec
import tomli_w
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from agents.approaches.cast import (
    DIAMETER_REDIRECT,
    DIAMETER_RELAY,
    HOME_AAA,
    HOME_ADDRESS,
    VISITED_HOME_AGENT,
    VISITED_HOME_AGENT_ADDRESS,
    Cast,
    Node,
)
from agents.approaches.settings import (
    ANOTHER,
    CommonSettings,
    Credential,
    HomeAgentSettings,
)
from agents.eap import ca
from topologies.model import Topology

_POOL = 1 << 32
"""Where home addresses for many begin on a home link, with room for as many."""

MOST_CERTIFICATES = 10_000
"""Mobile nodes that get one; more are simulated without (agents.simulation.public_keys)."""

SERVER, _CLIENT, ANOTHER_CERTIFICATE = "server", "mobile-node", "another"
"""The file names of the certificates for EAP-TLS, which hold whatever the identity is."""

CRL = "crl.pem"

SECRETS = "radius"
"""The folder of the secrets that RADIUS clients have with their servers, by the clients' names."""

_SECRET_LENGTH = 32

Issue: TypeAlias = Callable[[ca.CertificateAuthority, ca.Validity | None], ca.Identity]
"""Has a certificate issued; without a validity it holds."""


class _Certificates:
    """Issues certificates, good and bad ones, and keeps what is to be on the CRL."""

    def __init__(self, folder: Path, authority: ca.CertificateAuthority) -> None:
        self._folder, self._authority = folder, authority
        self._revoked: list[x509.Certificate] = []

    def write(self, file: str, credential: Credential, issue: Issue) -> None:
        """Have a certificate of this kind issued, and write it with its key."""
        issuer, validity = self._authority, None
        if credential == "other-ca":
            issuer = ca.CertificateAuthority.generate("another CA", issuer.key_type)
        elif credential == "expired":
            validity = _until_yesterday()
        identity = issue(issuer, validity)
        if credential == "revoked":
            self._revoked.append(identity.certificate)
        identity.write(self._folder, file)

    def write_crl(self, *, outdated: bool) -> None:
        """Write the list of what is revoked."""
        made = self._authority.revoke(self._revoked, _until_yesterday() if outdated else None)
        (self._folder / CRL).write_bytes(made.public_bytes(Encoding.PEM))


def _until_yesterday() -> ca.Validity:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    return ca.Validity(yesterday - timedelta(days=30), yesterday)


def _server(name: str, credential: Credential, *addresses: IPv6Address) -> Issue:
    """Return what issues for a server, which is a client of others too."""
    shown = f"another.{name}" if credential == "another's" else name
    return lambda issuer, validity: issuer.issue_server(
        shown, addresses=addresses, client=True, validity=validity
    )


def _client(name: str, credential: Credential) -> Issue:
    shown = ANOTHER if credential == "another's" else name
    return lambda issuer, validity: issuer.issue_client(shown, validity=validity)


def _make_certificates(folder: Path, settings: CommonSettings, cast: Cast) -> None:
    made = ca.create(folder, (), server=HOME_AAA, key_type=settings.key_type)
    authority = ca.CertificateAuthority(ca.Identity.read(ca.Files(made.ca, folder / "ca.key")))
    certificates = _Certificates(folder, authority)
    if settings.aaa_credential != "valid":
        made_so = _server(HOME_AAA, settings.aaa_credential)
        certificates.write(SERVER, settings.aaa_credential, made_so)
    servers = (server.name for server in cast.home_aaas)
    routers = (router.name for router in cast.access_routers)
    agents = [DIAMETER_RELAY]
    if settings.roles.aaa.relay == "redirect":
        agents = [DIAMETER_REDIRECT]
    for name in (*servers, *agents, *routers):
        certificates.write(name, "valid", _server(name, "valid"))
    # A mobile node may know no more of its home agent than the address.
    for name, address in (
        *((agent.name, cast.address(agent).ip) for agent in cast.home_agents),
        (VISITED_HOME_AGENT, VISITED_HOME_AGENT_ADDRESS),
    ):
        kind = settings.home_agent_credential
        certificates.write(name, kind, _server(name, kind, address))
    for node in cast.mobile_nodes(settings.identity)[:MOST_CERTIFICATES]:
        kind = settings.credential
        certificates.write(file_name(node, cast), kind, _client(node.name, kind))
    if settings.attack:
        certificates.write(ANOTHER_CERTIFICATE, "valid", _client(ANOTHER, "valid"))
    if settings.crl != "none":
        certificates.write_crl(outdated=settings.crl == "outdated")


def file_name(node: Node, cast: Cast) -> str:
    """Return what the files of a mobile node's certificate are called."""
    return f"{_CLIENT}-{node.host}" if cast.topology.is_fleet else _CLIENT


def _make_secrets(folder: Path, cast: Cast) -> None:
    folder.mkdir(mode=0o700)
    for name in (HOME_AAA, *(router.name for router in cast.access_routers)):
        file = folder / name
        file.touch(mode=0o600)
        file.write_text(secrets.token_hex(_SECRET_LENGTH // 2), encoding="ascii")


def prepare(folder: Path, settings: CommonSettings, topology: Topology) -> None:
    """Make certificates, secrets and the list of subscribers; those of a fleet share pools."""
    cast = Cast(topology)
    _make_certificates(folder / "pki", settings, cast)
    _make_secrets(folder / SECRETS, cast)
    pool = topology.is_fleet or settings.home_addresses is not None
    own: dict[str, dict[str, object]] = {}
    if not pool:
        given = {settings.identity: HOME_ADDRESS, ANOTHER: HOME_ADDRESS + 1}
        own = {n: {"home_agent": "ha1", "home_address": str(a)} for n, a in given.items()}
    names = [node.name for node in cast.mobile_nodes(settings.identity)]
    names += [ANOTHER] if settings.attack else []
    subscribers = [
        {
            "identity": name,
            "mobility": settings.mobility_subscribed,
            "local_home_agent": settings.local_allowed,
            "prefer": settings.prefer,
            **own.get(name, {}),
        }
        for name in names
    ]
    document = {
        "home_agents": [
            _home_agent(name, cast.address(agent), settings.home_addresses or _POOL if pool else 0)
            | ({"host": agent.name} if cast.is_home_aaa_apart else {})
            | _limits(settings, name)
            for name, agent in cast.home_agents_by_name.items()
        ],
        "subscribers": subscribers if settings.subscribed else [],
    }
    (folder / "subscribers.toml").write_text(tomli_w.dumps(document), encoding="utf-8")


def _limits(settings: CommonSettings, name: str) -> dict[str, object]:
    """Return what is set of a home agent; TOML has no null."""
    limits = settings.home_agents.get(name, HomeAgentSettings())
    return {k: v for k, v in msgspec.to_builtins(limits).items() if v is not None}


def _home_agent(name: str, address: IPv6Interface, pool: int) -> dict[str, object]:
    """Return a home agent as the home AAA server knows it; `pool` addresses are for anybody."""
    link = address.network
    known: dict[str, object] = {"name": name, "address": str(address.ip), "prefix": str(link)}
    if pool:
        first = link.network_address + _POOL
        known["pool"] = f"{first}-{first + pool - 1}"
    return known
