"""Runs one `Ikev2` on UDP port 500 and keeps the kernel's SAs; events go to stdout as JSON lines.

The only argument is JSON; commands come by stdin: rekey-child, rekey-ike, delete, quit.
"""

from __future__ import annotations

import json
import random
import select
import socket
import sys
import time
from ipaddress import IPv6Address
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from agents.eap.peer import EapPeer
from agents.eap.server import EapServer
from agents.eap.tls import TlsClientConfig, TlsServerConfig
from agents.ikev2 import (
    ChildDeleted,
    ChildEstablished,
    ChildKeyed,
    Config,
    Credentials,
    EapResponse,
    EspProposal,
    Grant,
    IkeProposal,
    Ikev2,
    Selectors,
)
from agents.kernel.associations import LinuxSecurityAssociations
from agents.machine import Event, Timing

MAX_LIFE = 60.0
LEGACY_SERVER_CONNECT = 0x4
T = TypeVar("T", TlsClientConfig, TlsServerConfig)


def describe(event: Event) -> dict[str, object]:
    line: dict[str, object] = {"event": type(event).__name__, "t": time.monotonic()}
    for name in ("reason", "identity", "method", "home_address", "prefix", "prefix_lifetime"):
        if hasattr(event, name):
            line[name] = str(getattr(event, name))
    if isinstance(event, ChildDeleted | ChildEstablished | ChildKeyed):
        line["sas"] = [
            {
                "src": str(sa.source),
                "dst": str(sa.destination),
                "spi": sa.spi,
                "cipher": sa.encryption.value,
                "key": sa.encryption_key.hex(),
                "integrity": sa.integrity.value[0],
                "integrity_key": sa.integrity_key.hex(),
                "bits": sa.integrity.value[1],
                "mode": "transport",
            }
            for sa in sorted((event.pair.inbound, event.pair.outbound), key=lambda sa: sa.spi)
        ]
    return line


class Driver:
    """The machine with the kernel on one side and an EAP server on the other."""

    def __init__(self, spec: dict) -> None:
        self.spec = spec
        self.folder = Path(spec["folder"])
        self.peer = IPv6Address(spec["peer"])
        self.kernel = LinuxSecurityAssociations()
        self.servers: dict[bytes, EapServer] = {}
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
        self.machine = Ikev2(
            rng=random.SystemRandom(),
            local=IPv6Address(spec["local"]),
            config=config,
            credentials=self.credentials(),
            allocate=self.allocate,
        )
        if spec.get("psk"):
            self.machine.add_psk(spec["psk"].encode(), peer=self.peer)

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

    def initiate(self) -> None:
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
            time.monotonic(),
            eap=eap,
            remote_identity=self.spec.get("remote_identity"),
        )

    def handle(self, event: Event) -> None:
        print(json.dumps(describe(event)), flush=True)
        match event:
            case ChildKeyed() | ChildEstablished():
                self.kernel.install(event.pair)
            case ChildDeleted():
                self.kernel.uninstall(event.pair)
            case EapResponse():
                self.authenticate(event)
            case _:
                pass

    def authenticate(self, event: EapResponse) -> None:
        if event.ike_spi not in self.servers:
            self.servers[event.ike_spi] = EapServer(self.tls(TlsServerConfig))
        server, now = self.servers[event.ike_spi], time.monotonic()
        packet = server.handle_response(event.packet)
        if packet is None:
            raise AssertionError(server.discarded)
        if server.outcome == "success" and server.keys:
            self.machine.eap_success(event.ike_spi, packet, server.keys.msk, now)
        elif server.outcome == "failure":
            self.machine.eap_failure(event.ike_spi, packet, now, server.reason)
        else:
            self.machine.eap_request(event.ike_spi, packet, now)

    def command(self, line: str) -> bool:
        now = time.monotonic()
        match line.strip():
            case "rekey-child":
                self.machine.rekey_children(self.peer, now)
            case "rekey-ike":
                self.machine.rekey_ike(self.peer, now)
            case "delete":
                self.machine.delete(self.peer, now)
            case _:
                return False
        return True

    def run(self, sock: socket.socket) -> None:
        machine, end = self.machine, time.monotonic() + MAX_LIFE
        while (now := time.monotonic()) < end:
            while machine.events:
                self.handle(machine.events.popleft())
            while machine.outbox:
                data, address = machine.outbox.popleft()
                sock.sendto(data, address)
            if machine.events:
                continue
            deadline = min(end, machine.next_timeout() or end)
            ready, _, _ = select.select([sock, sys.stdin], [], [], max(0.0, deadline - now))
            if sock in ready:
                data, source = sock.recvfrom(65535)
                machine.handle_message(data, source[:2], time.monotonic())
            if sys.stdin in ready and not self.command(sys.stdin.readline()):
                return
            machine.handle_timeout(time.monotonic())


def main(spec: dict) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.bind((spec["local"], 500))
        sock.setblocking(False)
        driver = Driver(spec)
        print(json.dumps({"event": "Ready"}), flush=True)
        if spec.get("selectors"):
            driver.initiate()
        driver.run(sock)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
