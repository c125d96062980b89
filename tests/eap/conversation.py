"""An EAP peer and an EAP server joined in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agents.eap.ca import CertificateAuthority, Files, KeyType
from agents.eap.peer import EapPeer
from agents.eap.server import EapServer
from agents.eap.tls import TlsClientConfig, TlsServerConfig, TlsVersion

IDENTITY = "mn@home.test"
SERVER = "aaa.home.test"


@dataclass
class Conversation:
    """Every packet of one conversation, and both ends."""

    peer: EapPeer
    server: EapServer
    requests: list[bytes] = field(default_factory=list)
    responses: list[bytes] = field(default_factory=list)

    def run(self, packet: bytes | None = None) -> Conversation:
        packet = packet or self.server.start()
        for _ in range(1000):
            self.requests.append(packet)
            response = self.peer.handle_request(packet)
            if response is None:
                return self
            self.responses.append(response)
            answer = self.server.handle_response(response)
            if answer is None:
                return self
            packet = answer
        raise AssertionError("the conversation does not end")

    def assert_success(self) -> None:
        assert (self.peer.outcome, self.server.outcome) == ("success", "success"), (
            self.peer.reason,
            self.server.reason,
        )
        assert self.peer.keys == self.server.keys
        assert self.peer.keys is not None
        assert len(self.peer.keys.msk) == len(self.peer.keys.emsk) == 64

    def assert_failure(self) -> None:
        assert (self.peer.outcome, self.server.outcome) == ("failure", "failure")
        assert self.peer.keys is None
        assert self.server.keys is None


@dataclass
class Authority:
    """A CA with a server's and a client's certificate on disk."""

    directory: Path
    ca: CertificateAuthority
    server: Files
    client: Files

    @classmethod
    def make(cls, directory: Path, key_type: KeyType = "p256") -> Authority:
        directory.mkdir(parents=True, exist_ok=True)
        ca = CertificateAuthority.generate(key_type=key_type)
        ca.identity.write(directory, "ca")
        return cls(
            directory,
            ca,
            ca.issue_server(SERVER).write(directory, "server"),
            ca.issue_client(IDENTITY).write(directory, "client"),
        )

    @property
    def ca_path(self) -> Path:
        return self.directory / "ca.pem"

    def client_config(
        self, version: TlsVersion = "1.3", files: Files | None = None, **more: Any
    ) -> TlsClientConfig:
        files = files or self.client
        return TlsClientConfig(
            more.pop("ca", self.ca_path), files.certificate, files.key, version, version, **more
        )

    def server_config(
        self, version: TlsVersion = "1.3", files: Files | None = None, **more: Any
    ) -> TlsServerConfig:
        files = files or self.server
        return TlsServerConfig(
            more.pop("ca", self.ca_path), files.certificate, files.key, version, version, **more
        )


def converse(authority: Authority, version: TlsVersion = "1.3", **sizes: int) -> Conversation:
    return Conversation(
        EapPeer(IDENTITY, authority.client_config(version), fragment_size=sizes.get("peer", 1000)),
        EapServer(authority.server_config(version), fragment_size=sizes.get("server", 1000)),
    )
