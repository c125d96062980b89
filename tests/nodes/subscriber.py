"""A mobile node with its key, or its EAP peer: IKE of either version, and registration."""

from __future__ import annotations

from ipaddress import IPv6Address

from agents.eap.lower import EapPeerLike
from agents.nodes.home_registration.machine import RegistrationService
from agents.nodes.ike_daemon.credentials import read_credentials
from agents.nodes.ike_daemon.ikev1 import Ikev1Daemon
from agents.nodes.ike_daemon.ikev2 import Ikev2Daemon
from agents.nodes.ike_daemon.ikev2_settings import Ikev2PskSettings, Ikev2Settings
from agents.nodes.ike_daemon.machine import IkeDaemon
from agents.nodes.ike_daemon.settings import Ikev1Settings
from agents.nodes.keylog import KeyLog
from agents.nodes.tls import TlsSettings
from tests.nodes.net import HA, Net


class Subscriber:
    """IKE with a home agent from a care-of address; `failures` are why it was in vain.

    `assigned` is the home address that IKEv2 was told.
    """

    def __init__(self, net: Net, care_of: IPv6Address, home_agent: IPv6Address = HA) -> None:
        self._net = net
        self._care_of = care_of
        self._home_agent = home_agent
        name = net.host_of(care_of)
        self._host = net.program(name)
        self._log = net.log(name)
        self._kernel = net.mobile_node(name)
        self._registration: RegistrationService | None = None
        self.failures: list[str] = []
        self.patience = 40.0
        self._ike: IkeDaemon | None = None
        self.assigned: IPv6Address | None = None

    def ikev1(self, psk: bytes, home_address: IPv6Address) -> bool:
        """Make SAs by IKEv1; return whether that is possible."""
        self._take(home_address)
        service = self._ike = Ikev1Daemon(
            self._host,
            self._care_of,
            Ikev1Settings(group="ecp256"),
            identity=None,
            kernel=self._kernel,
            keys=KeyLog(),
            log=self._log,
            on_failure=self.failures.append,
        )
        service.open()
        service.add_psk(psk, peer=self._home_agent, identity=None, home_address=home_address)
        service.initiate(self._home_agent, home_address)
        return self._wait()

    def ikev2(
        self,
        identity: str,
        *,
        psk: bytes | None = None,
        eap: EapPeerLike | None = None,
        trusted: TlsSettings | None = None,
    ) -> bool:
        """Make SAs by IKEv2, for the home address that it is told; return whether it could."""
        service = self._ike = Ikev2Daemon(
            self._host,
            self._care_of,
            Ikev2PskSettings() if psk else Ikev2Settings(),
            identity=identity,
            kernel=self._kernel,
            keys=KeyLog(),
            log=self._log,
            credentials=read_credentials(trusted, own=False),
            on_failure=self.failures.append,
        )
        service.on_address = self._take
        service.open()
        service.initiate(self._home_agent, None, psk=psk, eap=eap)
        return self._wait()

    def _take(self, home_address: IPv6Address) -> None:
        self.assigned = home_address
        self._kernel.prepare(home_address, self._home_agent, self._care_of)

    def _wait(self) -> bool:
        self._net.run(self.patience, lambda: self.secured or self.failures)
        return self.secured

    @property
    def secured(self) -> bool:
        """Whether there are ESP SAs for the home address."""
        if self.assigned is None:
            return False
        return bool(self._kernel.sas_between(self.assigned, self._home_agent))

    def register(self) -> bool:
        """Register the home address; return whether the home agent takes that at once."""
        if self._registration:
            self._registration.close()
        if self.assigned is None:
            return False
        self._registration = RegistrationService(
            self._host,
            home_address=self.assigned,
            home_agent=self._home_agent,
            care_of=self._care_of,
            lifetime=420.0,
            kernel=self._kernel,
            log=self._log,
            on_failure=lambda reason, **_: self.failures.append(reason),
            on_unanswered=self.failures.append,
        )
        self._net.run(1.0, lambda: self._registration.bootstrapped)
        return self._registration.bootstrapped

    def leave(self) -> None:
        """End the SAs with the home agent, and tell it so."""
        if self._ike:
            self._ike.leave(self._home_agent)

    def leave_children(self) -> None:
        """End the ESP SAs with the home agent, and keep IKEv2's own."""
        machine = self._ike._machine
        for sa in machine.sas.of_peer(self._home_agent):
            for spi in list(sa.children):
                self._ike._endpoint.call(machine.delete_child, spi, self._net.clock.now)

    def vanish(self) -> None:
        """Be gone without a word."""
        self._host.kill()
        self._kernel.clear()
