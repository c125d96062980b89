"""Host A: PaC and EAP peer, and what follows once the home agent and home address are known."""

from __future__ import annotations

import asyncio
import random
from ipaddress import IPv6Address
from typing import Annotated, Literal

import msgspec

from agents.bootstrap import Assignment, ike_psk
from agents.eap.peer import EapPeer
from agents.eap.tls import TlsClientConfig
from agents.kernel.linux import LinuxMobileNode
from agents.machine import Event
from agents.pana import events
from agents.pana.dialect import PORT
from agents.pana.pac import Pac
from agents.roles.home_registration import RegistrationService
from agents.roles.ike import IkeService, IkeSettings
from agents.roles.keylog import KeyLog
from agents.roles.launch import Launched, launch
from agents.roles.runtime import Configuration, run
from agents.roles.tls import TlsSettings
from agents.shell.addresses import care_of_address
from agents.shell.eventlog import EventLog
from agents.shell.udp import UdpEndpoint

_CARE_OF_DEADLINE = 30.0


class MobileNodeConfiguration(Configuration, frozen=True, kw_only=True):
    """The mobile node's configuration; times in seconds."""

    interface: str
    paa: str
    identity: str
    server_name: str
    tls: TlsSettings
    work: str
    eap_fragment_size: int = 1000
    binding_lifetime: Annotated[float, msgspec.Meta(gt=0)] = 420.0
    launch: Literal["resident", "script"] = "resident"
    keys: str | None = None
    ike: IkeSettings = IkeSettings()


class MobileNode:
    """Authenticates with PANA, then hands over to IKE and Mobile IPv6."""

    def __init__(
        self, configuration: MobileNodeConfiguration, care_of: IPv6Address, log: EventLog
    ) -> None:
        self._configuration = configuration
        self._care_of = care_of
        self._log = log
        self._pana_log = log.child("pana")
        self._keys = KeyLog(configuration.keys)
        self._ike: IkeService | None = None
        self._registration: RegistrationService | None = None
        self._launched: Launched | None = None
        self._kernel = LinuxMobileNode()
        tls = TlsClientConfig(
            **configuration.tls.arguments(),
            server_names=(configuration.server_name,),
            keylog=self._keys.tls,
        )
        _ = tls.context  # Built now: a bad file shows at the start, and no run waits for it.
        self._eap = EapPeer(
            configuration.identity, tls, fragment_size=configuration.eap_fragment_size
        )
        self._pac = Pac((configuration.paa, PORT), self._eap, rng=random.SystemRandom())
        self._endpoint = UdpEndpoint(self._pac, (str(care_of), 0), self._handle)
        if configuration.launch == "resident":
            self._kernel.warm_up()
            self._ike = IkeService(
                care_of,
                configuration.ike,
                identity=configuration.identity,
                kernel=self._kernel,
                keys=self._keys,
                log=log.child("ikev1"),
                on_failure=self._fail,
            )

    def start(self) -> None:
        """Send the first PANA-Client-Initiation."""
        driver = self._endpoint.driver
        driver.call(self._pac.start, driver.now())

    def _fail(self, reason: str) -> None:
        self._log.write("BootstrapFailed", reason=reason)

    def _handle(self, event: Event) -> None:
        self._pana_log(event)
        match event:
            case events.Authenticated(assignment=Assignment() as assignment):
                # The final PANA answer leaves first.
                loop = asyncio.get_running_loop()
                loop.call_soon(self._hand_over, assignment, event.msk)
            case events.Authenticated():
                self._fail("network access was granted without a home agent")
            case events.Rejected():
                self._fail(f"PANA: {event.reason}")
            case events.Failed():
                self._fail(f"PANA: {event.reason}")
            case _:
                pass

    def _hand_over(self, assignment: Assignment, msk: bytes) -> None:
        if assignment.home_address is None:
            self._fail("the home agent came without a home address, which IKEv1 cannot deliver")
            return
        psk = ike_psk(msk, assignment)
        if self._ike is None:
            self._launch(assignment.home_agent, assignment.home_address, psk)
        else:
            self._continue(self._ike, assignment.home_agent, assignment.home_address, psk)

    def _continue(
        self, ike: IkeService, home_agent: IPv6Address, home_address: IPv6Address, psk: bytes
    ) -> None:
        """Hand over by calls; IKE's first message is under way while the kernel is prepared."""
        ike.add_psk(psk, peer=home_agent, identity=None, home_address=home_address)
        ike.initiate(home_agent, home_address)
        self._registration = RegistrationService(
            home_address=home_address,
            home_agent=home_agent,
            care_of=self._care_of,
            lifetime=self._configuration.binding_lifetime,
            kernel=self._kernel,
            log=self._log,
        )

    def _launch(self, home_agent: IPv6Address, home_address: IPv6Address, psk: bytes) -> None:
        """Hand over by the script that writes configurations and starts the daemons."""
        self._launched = launch(
            "mobile_node.sh",
            self._configuration.work,
            psk,
            self._configuration.ike,
            {
                "HOST": self._configuration.host,
                "HOME_AGENT": str(home_agent),
                "HOME_ADDRESS": str(home_address),
                "CARE_OF_ADDRESS": str(self._care_of),
                "IDENTITY": self._configuration.identity,
                "BINDING_LIFETIME": str(self._configuration.binding_lifetime),
                "KEYS": self._configuration.keys or "",
            },
        )

    def close(self) -> None:
        """Close all sockets; the kernel forgets what is set up with the host."""
        self._endpoint.close()
        for service in (self._ike, self._registration, self._launched):
            if service:
                service.close()


async def serve(configuration: MobileNodeConfiguration, stop: asyncio.Event) -> None:
    """Run the mobile node until `stop` is set."""
    log = EventLog(configuration.host, "role")
    care_of = await care_of_address(configuration.interface, _CARE_OF_DEADLINE)
    log.write("CareOfAddress", address=care_of)
    node = MobileNode(configuration, care_of, log)
    node.start()
    await stop.wait()
    node.close()


if __name__ == "__main__":
    run("agents.roles.mobile_node", MobileNodeConfiguration, serve)
