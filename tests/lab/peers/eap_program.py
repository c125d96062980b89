"""An EAP-TLS peer or server with RADIUS for a carrier; the peer obeys `authenticate`."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

from agents.eap.ca import Credentials, create
from agents.eap.peer import EapPeer
from agents.eap.server import EapServer
from agents.eap.tls import TlsClientConfig, TlsServerConfig
from tests.eap.radius import RadiusClient, RadiusServer

IDENTITY, SERVER = "mn@home.test", "aaa.home.test"
_REPEATS = 2


def server(credentials: Credentials, address: str, port: int) -> RadiusServer:
    """Return a server that has its certificates."""
    files = credentials.server
    config = TlsServerConfig(credentials.ca, files.certificate, files.key)
    _ = config.context
    return RadiusServer(lambda: EapServer(config), port=port, address=address)


def client(credentials: Credentials) -> TlsClientConfig:
    """Return the configuration of a peer, with its certificates read."""
    files = credentials.clients[IDENTITY]
    config = TlsClientConfig(credentials.ca, files.certificate, files.key, server_names=(SERVER,))
    _ = config.context
    return config


def authenticate(config: TlsClientConfig, address: str, port: int) -> None:
    """Authenticate once; AssertionError if that fails."""
    peer = EapPeer(IDENTITY, config)
    RadiusClient(port, address=address).run(peer)
    assert peer.outcome == "success", peer.reason


def rehearse(port: int = 1812, address: str = "::1") -> None:
    """Carry out a few authentications in this process."""
    with tempfile.TemporaryDirectory() as name:
        credentials = create(Path(name), [IDENTITY])
        with server(credentials, address, port):
            for _ in range(_REPEATS):
                authenticate(client(credentials), address, port)


def _tell(host: str, event: str) -> None:
    os.write(1, json.dumps({"host": host, "event": event}).encode() + b"\n")


def main() -> None:
    """Run the program."""
    spec = json.loads(Path(sys.argv[1]).read_text())
    credentials = create(Path(spec["credentials"]), [IDENTITY])
    if spec["serves"]:
        with server(credentials, spec["server"], spec["port"]):
            _tell(spec["host"], "Ready")
            sys.stdin.read()
        return
    config = client(credentials)
    _tell(spec["host"], "Ready")
    for _ in sys.stdin:
        authenticate(config, spec["server"], spec["port"])
        _tell(spec["host"], "Authenticated")
