"""The home agent: binding cache and tunnels, and IKEv2 with EAP by the home AAA server.

As a program it is a home agent apart from the AAA server (RFC 5778); in the paper's home network
it is a part of `home_network`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv6Address, IPv6Network
from typing import Any

from agents.bootstrap.assignment import Assignment, Wish
from agents.core.eventlog import EventLog
from agents.core.host import Endpoint, Host
from agents.core.machine import Event
from agents.diameter.eap import DiameterEapAnswer
from agents.diameter.errors import ResultCode
from agents.diameter.mobility import mobility_request
from agents.ikev2 import events as ikev2
from agents.ikev2.config import Grant
from agents.kernel.port import HomeAgentKernel, KernelError
from agents.mip6.binding_cache import (
    AuthorisationEnded,
    NeighbourAdvertised,
    NeighbourSolicited,
)
from agents.mip6.home_agent import HomeAgent
from agents.mip6.neighbour import (
    ALL_NODES,
    advertisement,
    read_claim,
    solicitation,
    solicited_node,
)
from agents.nodes.aaa_client import AaaClient
from agents.nodes.home_agent.settings import HomeAgentConfiguration, HomeAgentSettings
from agents.nodes.ike_daemon.ikev1 import IkeService
from agents.nodes.ike_daemon.ikev2 import Ike2Service, Ike2Settings
from agents.nodes.ike_daemon.settings import IkeSettings
from agents.nodes.keylog import KeyLog


class Authorisations:
    """Who may register with a home agent, and what ends with that.

    `machine` is the home agent's, run at `endpoint`. When an authorisation ends, on time or before,
    the binding goes first, then what `on_ended` calls end (IKE), then what is left of SAs.
    """

    def __init__(
        self,
        host: Host,
        machine: HomeAgent,
        endpoint: Endpoint,
        kernel: HomeAgentKernel,
        log: EventLog,
    ) -> None:
        self._host = host
        self._machine = machine
        self._endpoint = endpoint
        self._kernel = kernel
        self._log = log
        self.on_ended: list[Callable[[str, IPv6Address], None]] = []

    def authorise(self, identity: str, home_address: IPv6Address, lifetime: float | None) -> bool:
        """Let a subscriber register a home address for so long; return whether it may be."""
        now = self._host.now()
        until = math.inf if lifetime is None else now + lifetime
        return self._endpoint.call(self._machine.authorise, home_address, identity, until, now)

    def holder(self, home_address: IPv6Address) -> str | None:
        """Return the subscriber who may register a home address at present."""
        return self._machine.holder(home_address)

    def end(self, identity: str) -> None:
        """End a subscriber's authorisation before its time, if there is one."""
        home_address = self._machine.home_of(identity)
        if home_address is not None:
            self._endpoint.call(self._machine.revoke, home_address, self._host.now())

    def handle(self, event: Event) -> None:
        """Take an event of the home agent."""
        if not isinstance(event, AuthorisationEnded):
            return
        for told in self.on_ended:
            told(event.subscriber, event.home_address)
        try:
            self._kernel.forget(event.home_address)
        except KernelError as error:
            self._log.write("KernelFailed", reason=str(error))


class HomeAgentService:
    """A home agent in its host: Mobility Headers at its address, Neighbor Discovery on its link."""

    def __init__(
        self, host: Host, kernel: HomeAgentKernel, settings: HomeAgentSettings, log: EventLog
    ) -> None:
        self.address = IPv6Address(settings.address)
        self.prefix = IPv6Network(settings.prefix)
        self.kernel = kernel
        kernel.warm_up()
        kernel.prepare()
        self._host = host
        self._log = log.child("mip6")
        self._machine = HomeAgent(
            self.address,
            self.prefix,
            duplicate_address_detection=settings.duplicate_address_detection,
            kernel=kernel,
            rng=host.rng,
        )
        self._link = host.open_link(settings.interface, self._claimed)
        try:
            self._endpoint = host.mobility_headers(self._machine, self.address, self._handle)
        except OSError:
            self._link.close()
            raise
        self.authorisations = Authorisations(host, self._machine, self._endpoint, kernel, log)

    def _handle(self, event: Event) -> None:
        match event:
            case NeighbourSolicited(target=target, nonce=nonce):
                self._link.send(solicitation(target, nonce), solicited_node(target))
            case NeighbourAdvertised(target=target):
                packet = advertisement(self.address, target, self._link.link_address)
                self._link.send(packet, ALL_NODES)
        self._log(event)
        self.authorisations.handle(event)

    def _claimed(self, packet: bytes) -> None:
        claim = read_claim(packet)
        if claim:
            self._endpoint.call(self._machine.duplicate_seen, claim, self._host.now())

    def close(self) -> None:
        """Close the sockets."""
        self._link.close()
        self._endpoint.close()


@dataclass(frozen=True, slots=True)
class _Key:
    """A pre-shared key, good for SAs of one home address."""

    psk: bytes = field(repr=False)
    home_address: IPv6Address
    care_of: IPv6Address | None


class PresharedIke:
    """IKE of a home agent whose keys somebody beside it knows: the AAA server or the router.

    A peer has one key for as long as its authentication lasts, and an early one in its stead while
    another authentication is under way. With the authentication end the key, all that was made
    with it, and the binding; then, and not before, the home address may be another peer's.
    """

    def __init__(
        self,
        host: Host,
        home_agent: HomeAgentService,
        ikev1: IkeSettings | None,
        ikev2: Ike2Settings | None,
        log: EventLog,
    ) -> None:
        self._home_agent = home_agent
        self._authorisations = home_agent.authorisations
        self._authorisations.on_ended.append(self._ended)
        self._log = log
        self._keys: dict[str, _Key] = {}
        self._early: dict[str, _Key] = {}
        self._expected: dict[IPv6Address, str] = {}
        """Whose early key is for a home address."""

        common: dict[str, Any] = {
            "identity": None,
            "kernel": home_agent.kernel,
            "keys": KeyLog(None),
        }
        address = home_agent.address
        self._ikev1 = self._ikev2 = None
        if ikev1:
            self._ikev1 = IkeService(host, address, ikev1, log=log.child("ikev1"), **common)
        if ikev2:
            self._ikev2 = Ike2Service(
                host, address, ikev2, log=log.child("ikev2"), allocate=self._allocate, **common
            )

    def _key(self, identity: str) -> _Key | None:
        return self._early.get(identity) or self._keys.get(identity)

    def _allocate(self, identity: str, _asked: IPv6Address | None) -> Grant | None:
        key = self._key(identity)
        return Grant(key.home_address, self._home_agent.prefix.prefixlen) if key else None

    def share(
        self,
        identity: str,
        home_address: IPv6Address,
        psk: bytes,
        care_of: IPv6Address | None,
        lifetime: float | None = None,
    ) -> bool:
        """Let whoever holds the key make SAs for this home address, and register it, for so long.

        Returns False if the home address is another peer's, or none of the home link.
        """
        if self._is_anothers(home_address, identity, self._expected.get(home_address)):
            return False
        if not self._authorisations.authorise(identity, home_address, lifetime):
            return False
        self._drop_early(identity)
        self._keys[identity] = _Key(psk, home_address, care_of)
        self._use(identity)
        return True

    def _is_anothers(self, home_address: IPv6Address, identity: str, holder: str | None) -> bool:
        """Return whether a home address is another peer's, and tell."""
        if holder in (None, identity):
            return False
        reason = f"{home_address} is {holder}'s, not {identity}'s"
        self._log.write("HomeAddressRefused", reason=reason)
        return True

    def _drop_early(self, identity: str) -> None:
        if early := self._early.pop(identity, None):
            del self._expected[early.home_address]

    def _ended(self, identity: str, home_address: IPv6Address) -> None:
        """Forget the key of a peer whose authentication is over, and end its SAs."""
        key = self._keys.get(identity)
        if key and key.home_address == home_address:
            del self._keys[identity]
            self._use(identity)
        self._delete(identity)

    def _delete(self, identity: str) -> None:
        for service in (self._ikev1, self._ikev2):
            if service:
                service.delete_identity(identity)

    def end(self, identity: str) -> None:
        """End a peer's authentication before its time."""
        self._authorisations.end(identity)

    def expect(
        self, identity: str, home_address: IPv6Address, psk: bytes, care_of: IPv6Address | None
    ) -> None:
        """Share a key early: until the next `share`, or until it is withdrawn.

        It is good for SAs; the home address can be registered only when `share` has been called.
        """
        holders = (self._expected.get(home_address), self._authorisations.holder(home_address))
        if any(self._is_anothers(home_address, identity, holder) for holder in holders):
            return
        self._drop_early(identity)
        self._early[identity] = _Key(psk, home_address, care_of)
        self._expected[home_address] = identity
        self._use(identity)

    def withdraw(self, identity: str, psk: bytes) -> None:
        """Take an early key back, unless the peer has another one by now.

        The key of an authentication that still lasts counts again; without one, the peer's SAs
        end.
        """
        early = self._early.get(identity)
        if early is None or early.psk != psk:
            return
        self._drop_early(identity)
        self._use(identity)
        if identity not in self._keys:
            self._delete(identity)

    def _use(self, identity: str) -> None:
        """Have IKE know the one key that the peer may use now, or none."""
        key = self._key(identity)
        if self._ikev1:
            self._ikev1.remove_psk(identity)
            if key:
                self._ikev1.add_psk(
                    key.psk, peer=key.care_of, identity=identity, home_address=key.home_address
                )
        if self._ikev2:
            self._ikev2.remove_psk(identity)
            if key:  # Without a home address here IKEv2 asks _allocate, which knows the prefix.
                self._ikev2.add_psk(key.psk, peer=None, identity=identity, home_address=None)

    def close(self) -> None:
        """Close the sockets."""
        for service in (self._ikev1, self._ikev2):
            if service:
                service.close()


class EapAuthenticator:
    """Carries EAP between IKEv2 and the home AAA server (RFC 5778 section 4.1).

    What the server authorises ends when it says, or with the subscriber's last IKE SA.
    """

    def __init__(
        self,
        host: Host,
        configuration: HomeAgentConfiguration,
        client: AaaClient,
        home_agent: HomeAgentService,
        log: EventLog,
    ) -> None:
        self._host = host
        self._client = client
        self._home_agent = home_agent
        self._log = log
        self._ike = Ike2Service(
            host,
            home_agent.address,
            configuration.ikev2,
            identity=configuration.identity,
            kernel=home_agent.kernel,
            keys=KeyLog(None),
            log=log.child("ikev2"),
            certificate=configuration.certificate,
        )
        self._ike.on_eap = self._on_eap
        self._ike.on_eap_ended = client.forget
        self._ike.on_gone = home_agent.authorisations.end
        home_agent.authorisations.on_ended.append(
            lambda identity, _: self._ike.delete_identity(identity)
        )
        self._asked = mobility_request(Wish.EITHER)
        if configuration.proposed_home_address:
            proposed = IPv6Address(configuration.proposed_home_address)
            own = Assignment(home_agent.address, home_agent.prefix.prefixlen, proposed)
            self._asked = mobility_request(Wish.LOCAL, own)

    def _on_eap(self, event: ikev2.EapResponse) -> None:
        self._client.ask(
            event.ike_spi,
            event.packet,
            partial(self._answered, event),
            asked=self._asked,
            care_of=event.peer,
            user_name=event.identity,
        )

    def _answered(self, event: ikev2.EapResponse, answer: DiameterEapAnswer | Exception) -> None:
        if isinstance(answer, Exception):
            self._fail(event, answer)
            return
        try:
            self._deliver(event, answer)
        except KernelError as error:
            self._fail(event, error)
        except Exception as error:  # A bug: the peer waits for an answer all the same.
            self._fail(event, error)
            raise

    def _fail(self, event: ikev2.EapResponse, error: Exception) -> None:
        self._log.write("AaaFailed", reason=str(error) or type(error).__name__)
        self._client.forget(event.ike_spi)
        self._ike.eap_failure(event.ike_spi, None)

    def _deliver(self, event: ikev2.EapResponse, answer: DiameterEapAnswer) -> None:
        packet = answer.eap_payload
        if not self._ike.awaits_eap(event.ike_spi):
            self._log.write("AaaLate", ike_spi=event.ike_spi.hex())
            self._client.forget(event.ike_spi)
            return
        if answer.result_code == ResultCode.MULTI_ROUND_AUTH:
            again = packet or answer.reissued_payload
            if again:
                self._ike.eap_request(event.ike_spi, again)
                return
        self._client.forget(event.ike_spi)
        assignment = answer.assignment
        identity = answer.user_name  # Not the peer's IDi, which may be anything.
        if answer.result_code != ResultCode.SUCCESS or not answer.msk or not packet or not identity:
            self._log.write("AaaRefused", reason=answer.error_message or "no reason given")
            self._ike.eap_failure(event.ike_spi, packet)
            return
        if (
            assignment is None
            or assignment.home_address is None
            or assignment.home_agent != self._home_agent.address
        ):
            instead = assignment.home_agent if assignment else "no home agent"
            self._log.write("AaaRefused", reason=f"it assigns {instead} to {identity}")
            self._ike.eap_failure(event.ike_spi, None)
            return
        lifetime = answer.lifetime
        home_address = assignment.home_address
        if not self._home_agent.authorisations.authorise(identity, home_address, lifetime):
            self._ike.eap_failure(event.ike_spi, None)
            return
        grant = Grant(home_address, self._home_agent.prefix.prefixlen)
        self._ike.eap_success(
            event.ike_spi,
            packet,
            answer.msk,
            identity=identity,
            grant=grant,
            lifetime=lifetime,
        )

    def close(self) -> None:
        """Close IKE's socket."""
        self._ike.close()


class HomeAgentNode:
    """A home agent apart from the AAA server (RFC 5778): binding cache, IKEv2, Diameter client.

    `epoch` is the time of day in seconds at the start.
    """

    def __init__(
        self,
        configuration: HomeAgentConfiguration,
        host: Host,
        kernel: HomeAgentKernel,
        log: EventLog,
        *,
        epoch: int,
    ) -> None:
        self._home_agent = HomeAgentService(host, kernel, configuration.home_agent, log)
        self._client = AaaClient(configuration, host, log, epoch=epoch)
        self._authenticator = EapAuthenticator(
            host, configuration, self._client, self._home_agent, log
        )

    def start(self, ready: Callable[[], None], failed: Callable[[str], None]) -> None:
        """Connect to the home AAA server; tell when that is done, or that it cannot be."""
        self._client.start(ready, failed)

    def stop(self, stopped: Callable[[], None]) -> None:
        """Close the sockets and disconnect; tell when that is done."""
        self._authenticator.close()
        self._home_agent.close()
        self._client.stop(stopped)
