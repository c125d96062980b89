"""Runs one `Ikev2`, with an EAP server if needed; the only argument is JSON.

Takes the commands `delete`, `rekey-child` and `rekey-ike`.
"""

from __future__ import annotations

import json
import random
import sys
import time
from ipaddress import IPv6Address
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from agents.core.machine import Event, Timing
from agents.eap.peer import EapPeer
from agents.eap.server import EapServer
from agents.eap.tls import TlsClientConfig, TlsServerConfig
from agents.ikev2 import (
    Config,
    Credentials,
    EapResponse,
    EspProposal,
    Grant,
    IkeProposal,
    Ikev2,
    Selectors,
)
from tests.lab.ike_driver import Driver

LEGACY_SERVER_CONNECT = 0x4
T = TypeVar("T", TlsClientConfig, TlsServerConfig)


class Ikev2Driver(Driver[Ikev2]):
    def __init__(self, spec: dict) -> None:
        self.folder = Path(spec["folder"])
        self.servers: dict[bytes, EapServer] = {}
        super().__init__(spec)
        self.commands["rekey-child"] = self.machine.rekey_children
        self.commands["rekey-ike"] = self.machine.rekey_ike

    def build(self) -> Ikev2:
        spec = self.spec
        config = Config(
            identity=spec.get("identity"),
            proposals=tuple(IkeProposal(*p) for p in spec["proposals"]),
            esp_proposals=tuple(EspProposal(*p) for p in spec["esp"]),
            pfs=spec.get("pfs"),
            accept_eap=spec.get("accept_eap", False),
            ike_lifetime=spec.get("ike_lifetime", 14400.0),
            esp_lifetime=spec.get("esp_lifetime", 3600.0),
            timing=Timing(initial=0.5, maximum=2.0, count=4),
            negotiation_timeout=8.0,
            cookie_threshold=spec.get("cookie_threshold", 32),
        )
        machine = Ikev2(
            rng=random.SystemRandom(),
            local=IPv6Address(spec["local"]),
            config=config,
            credentials=self.credentials(),
            allocate=self.allocate,
        )
        if spec.get("psk"):
            machine.add_psk(spec["psk"].encode(), peer=self.peer)
        return machine

    def credentials(self) -> Credentials:
        name = self.spec.get("certificate")
        if name is None:
            return Credentials()
        ca = x509.load_pem_x509_certificate((self.folder / "ca.pem").read_bytes())
        if self.spec.get("eap"):
            return Credentials((ca,))
        own = x509.load_pem_x509_certificate((self.folder / f"{name}.pem").read_bytes())
        key = load_pem_private_key((self.folder / f"{name}.key").read_bytes(), None)
        return Credentials((ca,), own, key)  # type: ignore[arg-type]

    def allocate(self, _: str, __: IPv6Address | None) -> Grant | None:
        address = self.spec.get("home_address")
        return Grant(IPv6Address(address), 64, 1800) if address else None

    def tls(self, kind: type[T]) -> T:
        name = self.spec["certificate"]
        return kind(
            self.folder / "ca.pem", self.folder / f"{name}.pem", self.folder / f"{name}.key"
        )

    def initiate(self, now: float) -> None:
        local, remote = self.spec["selectors"]
        selectors = Selectors(IPv6Address(local) if local else None, IPv6Address(remote))
        eap = None
        if self.spec.get("eap"):
            config = self.tls(TlsClientConfig)
            # strongSwan's TLS server does not know RFC 5746, which OpenSSL insists on.
            config.context.set_options(LEGACY_SERVER_CONNECT)
            eap = EapPeer(self.spec["identity"], config)
        self.machine.initiate(
            self.peer,
            selectors,
            now,
            eap=eap,
            remote_identity=self.spec.get("remote_identity"),
        )

    def handle(self, event: Event) -> None:
        super().handle(event)
        if isinstance(event, EapResponse):
            self.authenticate(event)

    def authenticate(self, event: EapResponse) -> None:
        if event.ike_spi not in self.servers:
            self.servers[event.ike_spi] = EapServer(self.tls(TlsServerConfig))
        server, now = self.servers[event.ike_spi], time.monotonic()
        packet = server.handle_response(event.packet)
        if packet is None:
            raise AssertionError(server.discarded)
        if server.outcome == "success" and server.keys:
            identity, msk = server.peer_name or "", server.keys.msk
            self.machine.eap_success(event.ike_spi, packet, msk, now, identity=identity)
        elif server.outcome == "failure":
            self.machine.eap_failure(event.ike_spi, packet, now, server.reason)
        else:
            self.machine.eap_request(event.ike_spi, packet, now)


if __name__ == "__main__":
    Ikev2Driver(json.loads(sys.argv[1])).run()
