"""An access router that abuses what it learns, for experiments on who may see and forge what.

It does all that an access router does until the home AAA server has answered. Then it either takes
the mobile node's place at the home agent with the key that it derives from the MSK, or puts itself
into the home agent's place. Whatever it can do, any operator of an access router can.
"""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

from agents.bootstrap.assignment import Assignment
from agents.bootstrap.keys import ike_psk
from agents.core.eventlog import EventLog, RoleEvent
from agents.core.host import Host
from agents.core.record import replace
from agents.diameter.eap import DiameterEapAnswer
from agents.kernel.port import EnforcementPoint, HomeAgentKernel, MobileNodeKernel
from agents.nodes.access_router.machine import AccessRouter
from agents.nodes.home_agent.preshared import PresharedIke
from agents.nodes.home_agent.service import HomeAgentService
from agents.nodes.home_agent.settings import HomeAgentSettings
from agents.nodes.home_registration.machine import RegistrationService
from agents.nodes.ike_daemon.ikev1 import Ikev1Daemon
from agents.nodes.keylog import KeyLog
from agents.nodes.rogue_router.settings import RogueConfiguration
from agents.pana import events

_CLAIMED = 0xC
"""The number of the correspondent node on the home link."""


class RogueLog(EventLog):
    """Tells a bootstrap of the rogue's own from the mobile node's."""

    def write(self, event: RoleEvent, **fields: object) -> None:
        """Log an event of the rogue's own stages by what it means here."""
        super().write("Impersonated" if event == "Bootstrapped" else event, **fields)


class RogueRouter(AccessRouter):
    """An access router that turns on its client once it holds the MSK.

    `victim_kernel` is for taking the mobile node's place, `false_kernel` for the home agent's.
    """

    def __init__(
        self,
        configuration: RogueConfiguration,
        host: Host,
        enforcement: EnforcementPoint,
        log: EventLog,
        *,
        epoch: int,
        local_kernel: HomeAgentKernel | None,
        victim_kernel: MobileNodeKernel,
        false_kernel: HomeAgentKernel | None,
        radius_secret: bytes = b"",
    ) -> None:
        super().__init__(
            configuration,
            host,
            enforcement,
            log,
            epoch=epoch,
            local_kernel=local_kernel,
            radius_secret=radius_secret,
        )
        self._rogue = configuration
        self._rogue_log = RogueLog(configuration.host, "rogue", log.stream, log.clock)
        self._own = IPv6Address(configuration.own_address)
        self._registration: RegistrationService | None = None
        self._kernel = victim_kernel
        self._kernel.warm_up()
        if configuration.attack == "claim":
            home = IPv6Network(configuration.home_prefix)
            self._candidate = Assignment(home[_CLAIMED], home.prefixlen, home[_CLAIMED + 1])
        self._false: tuple[HomeAgentService, PresharedIke] | None = None
        if configuration.attack == "alter" and false_kernel:
            settings = HomeAgentSettings(
                address=configuration.own_address,
                interface=configuration.interface,
                prefix=configuration.home_prefix,
                duplicate_address_detection=False,
            )
            home_agent = HomeAgentService(host, false_kernel, settings, self._rogue_log)
            ike = PresharedIke(host, home_agent, configuration.ikev1, self._rogue_log)
            self._false = (home_agent, ike)

    def _open_sockets(self) -> None:
        for part in self._false or ():
            part.open()
        super()._open_sockets()

    def _accept(
        self, event: events.EapResponse, packet: bytes, msk: bytes, answer: DiameterEapAnswer
    ) -> None:
        assignment = answer.assignment
        if self._rogue.attack == "alter":
            super()._accept(event, packet, msk, self._altered(event, msk, answer))
        elif self._rogue.attack == "claim":
            super()._accept(event, packet, msk, answer)
        elif assignment is None or assignment.home_address is None:
            self._failed("the home agent and home address are not to be seen")
        elif self._registration is None:  # The mobile node that comes again changes nothing.
            self._impersonate(assignment, assignment.home_address, msk)

    def _altered(
        self, event: events.EapResponse, msk: bytes, answer: DiameterEapAnswer
    ) -> DiameterEapAnswer:
        """Return the answer with this host for a home agent, and its SAs prepared."""
        home_address = IPv6Address(self._rogue.home_prefix.partition("/")[0]) + 0x1234
        true = answer.assignment or Assignment(self._own, 64, home_address)
        false = replace(true, home_agent=self._own)
        if self._false and false.home_address:
            care_of = IPv6Address(event.pac[0])
            key = ike_psk(msk, false)
            self._false[1].share(self._rogue.identity, false.home_address, key, care_of)
        forged = _forged(answer.sealed_assignment)
        return replace(answer, assignment=false, sealed_assignment=forged)

    def _open_early(self, event: events.EapResponse, answer: DiameterEapAnswer) -> bytes | None:
        sealed = super()._open_early(event, answer)
        return _forged(sealed) if self._rogue.attack == "alter" else sealed

    def _impersonate(self, assignment: Assignment, home_address: IPv6Address, msk: bytes) -> None:
        """Register this host for the home address; the mobile node gets no answer any more."""
        ike = Ikev1Daemon(
            self._host,
            self._own,
            self._rogue.ikev1,
            identity=self._rogue.identity,
            kernel=self._kernel,
            keys=KeyLog(None),
            log=self._rogue_log.child("rogue-ikev1"),
            on_failure=self._failed,
        )
        ike.open()
        key = ike_psk(msk, assignment)
        ike.add_psk(key, peer=assignment.home_agent, identity=None, home_address=home_address)
        ike.initiate(assignment.home_agent, home_address)
        self._registration = RegistrationService(
            self._host,
            home_address=home_address,
            home_agent=assignment.home_agent,
            care_of=self._own,
            lifetime=420.0,
            kernel=self._kernel,
            log=self._rogue_log,
            on_failure=self._failed,
            on_unanswered=self._failed,
        )

    def _failed(self, reason: str, **_: object) -> None:
        self._rogue_log.write("ImpersonationFailed", reason=reason)


def _forged(sealed: bytes | None) -> bytes | None:
    return sealed and bytes([sealed[0], sealed[1] ^ 1]) + sealed[2:]
