"""Certificates of a mobile node and a home agent, and EAP-TLS between the node and an AAA."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Any

from agents.core.record import replace
from agents.eap.ca import CertificateAuthority, KeyType
from agents.eap.peer import EapPeer
from agents.eap.server import EapServer
from agents.ikev2 import Credentials, EapResponse, Grant
from tests.eap.conversation import Authority
from tests.ike import HOA
from tests.ikev2.peers import FAST, Peers

MN_NAME, HA_NAME = "mn@home.test", "ha.home.test"


@dataclass(frozen=True)
class People:
    """A CA and what it has issued to both ends."""

    ca: CertificateAuthority
    mn: Credentials
    ha: Credentials

    @classmethod
    def make(cls, key_type: KeyType) -> People:
        ca = CertificateAuthority.generate(key_type=key_type)
        mn, ha = ca.issue_client(MN_NAME), ca.issue_server(HA_NAME)
        trusted = (ca.identity.certificate,)
        return cls(
            ca,
            Credentials(trusted, mn.certificate, mn.key),
            Credentials(trusted, ha.certificate, ha.key),
        )


def grant(identity: str, _: IPv6Address | None) -> Grant | None:
    """What a home agent's subscribers may have."""
    return Grant(HOA, 64, 3600) if identity == MN_NAME else None


class Aaa:
    """Answers a responder's EAP events as a home AAA does; attach it before running the link."""

    def __init__(
        self,
        peers: Peers,
        authority: Authority,
        *,
        grant: Grant | None = None,
        mute: bool = False,
        version: str = "1.3",
    ) -> None:
        self.ha, self._mute = peers.ha, mute
        self._config = authority.server_config(version)
        self.server = EapServer(self._config)
        self.grant = grant
        self.lifetime: float | None = None
        self.identity: str | None = None
        """Whom it says to have authenticated, instead of the certificate's."""

        self._seen = 0
        self._original = peers.ha.handle_message
        peers.ha.handle_message = self._handle_message  # type: ignore[method-assign]

    def _handle_message(self, data: bytes, source: tuple[str, int], now: float) -> None:
        self._original(data, source, now)
        for event in list(self.ha.events)[self._seen :]:
            if isinstance(event, EapResponse) and not self._mute:
                self.answer(event, now)
        self._seen = len(self.ha.events)

    def restart(self) -> None:
        """Make ready for another peer."""
        self.server = EapServer(self._config)

    def answer(self, event: EapResponse, now: float) -> None:
        packet = self.server.handle_response(event.packet)
        assert packet is not None, self.server.discarded
        if self.server.outcome == "success":
            msk = self.server.keys.msk
            identity = self.identity or self.server.peer_name
            self.ha.eap_success(
                event.ike_spi,
                packet,
                msk,
                now,
                identity=identity,
                grant=self.grant,
                lifetime=self.lifetime,
            )
        elif self.server.outcome == "failure":
            self.ha.eap_failure(event.ike_spi, packet, now, self.server.reason)
        else:
            self.ha.eap_request(event.ike_spi, packet, now)


def eap_peer(authority: Authority, **more: object) -> EapPeer:
    return EapPeer(MN_NAME, authority.client_config(**more))


def between(people: People, **more: Any) -> Peers:
    """A node that authenticates by EAP, and a home agent that shows a certificate."""
    return Peers(
        replace(FAST, identity=more.pop("identity", MN_NAME)),
        replace(FAST, identity=HA_NAME, accept_eap=more.pop("accept_eap", True)),
        psk=None,
        credentials=replace(people.mn, certificate=None, key=None),
        ha_credentials=more.pop("ha_credentials", people.ha),
        allocate=more.pop("allocate", grant),
        **more,
    )
