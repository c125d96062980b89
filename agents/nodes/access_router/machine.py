"""Host B: PAA, enforcement point, and client of the home AAA server."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from ipaddress import IPv6Address, IPv6Network

from agents.bootstrap.assignment import Assignment, Wish
from agents.core.configuration import Commands
from agents.core.eventlog import EventLog
from agents.core.host import DatagramEndpoint, Host
from agents.core.machine import Event, address_of
from agents.core.record import replace
from agents.diameter.authorisation import GrantError
from agents.diameter.dictionary import Command
from agents.diameter.eap import DiameterEapAnswer
from agents.diameter.errors import DiameterError, ResultCode
from agents.diameter.mobility import mobility_request
from agents.eap.lower import identity_request
from agents.eap.wire import Code, Packet, TlsData, Type
from agents.kernel.port import AccessLink, EnforcementPoint, HomeAgentKernel, KernelError, Meter
from agents.nodes.access_client import access_client
from agents.nodes.access_router.accounting import AccessAccounting
from agents.nodes.access_router.pinholes import Pinholes
from agents.nodes.access_router.relay_agent import relay_agent
from agents.nodes.access_router.settings import AccessRouterConfiguration
from agents.nodes.home_agent.preshared import PresharedIke
from agents.nodes.home_agent.service import HomeAgentService
from agents.nodes.opening import Opening
from agents.pana import events
from agents.pana.config import REQUEST_TIMING, PaaConfig
from agents.pana.dialect import PORT, Dialect
from agents.pana.dialects import DIALECTS
from agents.pana.draft12 import Draft12
from agents.pana.mobility import MobilityCapability
from agents.pana.paa import Paa
from agents.pana.places import HostAddress
from agents.pana.wire import Result


def _tls_start(identifier: int) -> bytes:
    """Return EAP-TLS's first request, which is the same whoever sends it (RFC 5216 2.1.1)."""
    return Packet(Code.REQUEST, identifier, Type.TLS, TlsData(start=True).encode()).encode()


_UNAUTHORISED = frozenset(
    {ResultCode.AUTHORIZATION_REJECTED, ResultCode.AVP_UNSUPPORTED, ResultCode.INVALID_AVP_VALUE}
)
"""Who the mobile node is was not the matter: the server said no, or yes to what cannot be kept."""

RETRY = 1.0
"""Seconds after which a kernel is asked again that has not closed the filter."""

_FIRST_REQUESTS = {"identity": identity_request, "tls": _tls_start}


class AccessRouter:
    """Joins PAA, AAA client and enforcement point.

    The enforcement point opens before the PAA announces success, as RFC 5609 has it (section 6.1:
    Authorize() comes before the final request): the mobile node may send as soon as it has that.
    `local_kernel` is that of the home agent offered here. `epoch` is the time of day in seconds at
    the start, `radius_secret` the one with the home AAA server if that is asked by RADIUS. What
    `meter` counts is accounted, if there is one.
    """

    def __init__(
        self,
        configuration: AccessRouterConfiguration,
        host: Host,
        enforcement: EnforcementPoint,
        role_log: EventLog,
        *,
        epoch: int,
        local_kernel: HomeAgentKernel | None = None,
        radius_secret: bytes = b"",
        meter: Meter | None = None,
    ) -> None:
        log = role_log.child("pana")
        self._host = host
        link = AccessLink(configuration.access_interface, IPv6Network(configuration.access_prefix))
        self._prefix = link.prefix
        known = map(IPv6Address, (configuration.address, *configuration.pana_relays))
        self._taken = frozenset((self._prefix.network_address, *known))
        self._client = access_client(
            configuration,
            host,
            role_log,
            epoch=epoch,
            radius_secret=radius_secret,
            obey=self._obey,
        )
        self._accounting: AccessAccounting | None = None
        if meter:
            told = role_log.child("accounting")
            self._accounting = AccessAccounting(host, self._client, meter, told, epoch=epoch)
        self._asks_always = configuration.relay is not None
        self._candidate = configuration.local.candidate() if configuration.local else None
        self._enforcement = enforcement
        self._log = log
        self._open: dict[int, None] = {}
        self._lifetime = configuration.session_lifetime
        pana = PaaConfig(
            mobility=self._offer(configuration),
            session_lifetime=configuration.session_lifetime,
            reauth_at=configuration.reauth_at,
            dialect=self._dialect(configuration, epoch),
            encryption=configuration.encryption,
            stateless=configuration.start == "stateless",
            optimized=configuration.start == "optimized",
            first_request=_FIRST_REQUESTS[configuration.first_request],
            relays=configuration.pana_relays,
            serves=self._can_be_a_hosts,
            request_timing=replace(REQUEST_TIMING, initial=configuration.crowd.timeout),
            auth_timeout=configuration.crowd.patience,
            max_half_open=configuration.crowd.half_open,
            displaces=configuration.crowd.newcomers == "displace",
        )
        self._paa = Paa(pana, rng=host.rng)
        self._pinholes = Pinholes(host, enforcement, link, log) if configuration.early else None
        self._relay = relay_agent(configuration, host, log.child("dhcpv6"))
        self._local: tuple[HomeAgentService, PresharedIke] | None = None
        if configuration.local and local_kernel:
            settings = configuration.local.home_agent
            home_agent = HomeAgentService(host, local_kernel, settings, log)
            ike = PresharedIke(host, home_agent, configuration.local.ike, log)
            self._local = (home_agent, ike)
        # Bound to the interface: PANA from the core would make this host answer to false sources.
        opened = partial(
            host.open_datagrams,
            (configuration.address, PORT),
            interface=configuration.access_interface,
        )
        self._endpoint = DatagramEndpoint(host, self._paa, self._handle, opened)
        self._opening = Opening(host, self._open_sockets, role_log)

    def _can_be_a_hosts(self, address: HostAddress) -> bool:
        """Return whether an address can be a mobile node's: no router's, nor their anycast."""
        return address in self._prefix and address not in self._taken

    @staticmethod
    def _offer(configuration: AccessRouterConfiguration) -> MobilityCapability:
        if not configuration.mobility:
            return MobilityCapability(0)
        local = MobilityCapability.LOCAL_HOME_AGENT if configuration.local else 0
        return MobilityCapability.MOBILE_IPV6 | local

    @staticmethod
    def _dialect(configuration: AccessRouterConfiguration, epoch: int) -> Dialect:
        if configuration.dialect == "draft12":
            return Draft12(configuration.diameter_identity, epoch)
        return DIALECTS[configuration.dialect]

    def _wish(self, event: events.EapResponse) -> Wish | None:
        """Return where the mobile node wants its home agent, None if it wants none."""
        if not event.mobility:
            return Wish.EITHER if self._asks_always else None
        capability = event.capability
        return Wish.of(
            home=MobilityCapability.HOME_DOMAIN_HOME_AGENT in capability,
            local=MobilityCapability.LOCAL_HOME_AGENT in capability,
        )

    def _supply(self, number: int, client: IPv6Address, assignment: Assignment | None) -> None:
        """Let the relay agent tell the DHCPv6 server about the home agent assigned in a session."""
        if self._relay:
            self._relay.supply(number, client, assignment)

    def _key_local(
        self, number: int, care_of: IPv6Address, answer: DiameterEapAnswer, lifetime: float
    ) -> bool:
        """Give the local home agent the key for a mobile node that is assigned to it.

        Returns False if the one home address that it has to give is another mobile node's.
        """
        assignment, key = answer.assignment, answer.local_home_agent_key
        if not (self._local and key and assignment and assignment.home_address):
            return True
        identity = answer.user_name or str(care_of)
        return self._local[1].share(
            identity, assignment.home_address, key, care_of, lifetime, session=number
        )

    def _handle(self, event: Event) -> None:
        self._log(event)
        match event:
            case events.EapResponse():
                self._ask(event)
            case events.Authorised(pac=(address, _), session_id=number):
                self._admit(address)
                self._open[number] = None
                if self._accounting:
                    self._accounting.begin(number, address_of(address))
            case events.Terminated(pac=(address, _), session_id=number, cause=cause):
                self._close(number, address, cause)
            case events.Failed(pac=(address, _), session_id=int(number), reason=reason):
                self._close(number, address, reason)
            case events.AddressChanged(session_id=number, pac=(new, _), old=(old, _)):
                if self._relay:
                    self._relay.machine.move(number, address_of(new))
                self._admit(new)
                self._shut_out(old)
                if self._accounting:
                    self._accounting.move(number, address_of(new))
            case _:
                pass

    def _admit(self, address: str) -> bool:
        """Let an address pass; return whether it does."""
        try:
            self._enforcement.authorise(address_of(address))
        except KernelError as error:
            self._log.write("EnforcementFailed", reason=str(error))
            return False
        return True

    def _shut_out(self, address: str) -> None:
        """Let an address pass no more, unless a session of its own may; try until that is done."""
        if self._paa.may_pass(address):
            return
        try:
            self._enforcement.revoke(address_of(address))
        except KernelError as error:
            self._log.write("EnforcementFailed", reason=str(error))
            self._host.timer(partial(self._shut_out, address)).start(RETRY)

    def start(self, ready: Callable[[], None]) -> None:
        """Open the sockets and connect to the home AAA server, however long that takes."""
        self._opening.start(partial(self._client.start, ready))

    def _open_sockets(self) -> None:
        """Open PANA's socket last: who is let in may come to the others at once."""
        for part in (self._relay, *(self._local or ()), self._endpoint):
            if part:
                part.open()

    def stop(self, stopped: Callable[[], None]) -> None:
        """End the sessions, close the sockets and disconnect; tell when that is done.

        The filter stays, and nobody passes it: the next access router takes it over.
        """
        self._opening.close()
        self._endpoint.call(self._paa.stop, self._host.now())
        self.close()
        left = partial(self._client.stop, stopped)
        self._host.later(partial(self._accounting.finish, left) if self._accounting else left)

    def close(self) -> None:
        """Close the sockets."""
        self._endpoint.close()
        if self._pinholes:
            self._pinholes.close_all()
        if self._relay:
            self._relay.close()
        for part in self._local or ():
            part.close()

    def commands(self) -> Commands:
        """What may be asked of this host while it runs."""

        def for_all(method: Callable[[int, float], bool]) -> Callable[[], bool]:
            def call() -> bool:
                now, numbers = self._host.now(), tuple(self._open)
                return bool([n for n in numbers if self._endpoint.call(method, n, now)])

            return call

        return {
            "ping": for_all(self._paa.ping),
            "reauthenticate": for_all(self._paa.reauthenticate),
            "terminate": for_all(self._paa.terminate),
        }

    def _close(self, number: int, address: str, cause: str) -> None:
        """End a session; its address stays open if another session of the PaC is authorised."""
        self._open.pop(number, None)
        if self._accounting:
            self._accounting.end(number, cause)
        self._shut_out(address)
        if self._relay:
            self._relay.machine.forget(number)
        self._close_early(number)
        if self._local:
            self._local[0].release_session(number)
        self._client.forget(number)
        self._client.end(number)

    # What the AAA server wants

    def _obey(self, command: int, number: Hashable | None) -> ResultCode:
        """Authenticate anew or end what the server has granted (RFC 6733 sections 8.3, 8.5)."""
        now = self._host.now()
        if not isinstance(number, int):
            return ResultCode.UNKNOWN_SESSION_ID
        if command == Command.RE_AUTH:
            done = self._endpoint.call(self._paa.reauthenticate, number, now)
            return ResultCode.SUCCESS if done else ResultCode.UNABLE_TO_COMPLY
        if not self._endpoint.call(self._paa.terminate, number, now):
            # Its answer is lost, or will be one that was given before.
            self._close_early(number)
            refused = Result.AUTHORIZATION_REJECTED
            self._endpoint.call(self._paa.reject, number, None, refused, now)
            self._client.forget(number)
        return ResultCode.SUCCESS

    # Authentication

    def _ask(self, event: events.EapResponse) -> None:
        self._client.ask(
            event.session_id,
            event.packet,
            partial(self._answered, event),
            asked=mobility_request(self._wish(event), self._candidate),
            care_of=address_of(event.pac[0]),
        )

    def _answered(self, event: events.EapResponse, answer: DiameterEapAnswer | Exception) -> None:
        if not isinstance(answer, Exception):
            self._deliver(event, answer)
            return
        self._log.write("AaaFailed", session_id=event.session_id, reason=str(answer))
        if isinstance(answer, TimeoutError):
            self._time_out(event.session_id)
            return
        code = answer.code if isinstance(answer, DiameterError) else None
        # Where EAP has succeeded the PaC believes no refusal without its key.
        granted = answer.granted if isinstance(answer, GrantError) else None
        self._reject(event, _refusal(code), granted)

    def _time_out(self, number: int) -> None:
        """Give up a conversation: RFC 4137's aaaTimeout is RFC 5609's EAP_TIMEOUT."""
        self._close_early(number)
        self._endpoint.call(self._paa.eap_timeout, number, self._host.now())
        self._client.forget(number)

    def _deliver(self, event: events.EapResponse, answer: DiameterEapAnswer) -> None:
        number, packet = event.session_id, answer.eap_payload
        pac = self._paa.awaiting(number)
        if pac is None:
            self._log.write("AaaLate", session_id=number)
            self._client.forget(number)
            self._client.end(number)
            return
        event = replace(event, pac=pac)  # It may have moved while the AAA server was asked.
        if answer.result_code == ResultCode.MULTI_ROUND_AUTH:
            # A response that the server discarded: it wants its last request put again.
            packet = packet or answer.reissued_payload
        if answer.result_code == ResultCode.MULTI_ROUND_AUTH and packet:
            sealed = self._open_early(event, answer)
            self._endpoint.call(
                self._paa.eap_request, number, packet, self._host.now(), sealed=sealed
            )
        elif answer.result_code == ResultCode.SUCCESS and packet and answer.msk:
            if self._endpoint.call(self._paa.may_take, number, answer.user_name, self._host.now()):
                self._accept(event, packet, answer.msk, answer)
            else:
                self._log.write("AddressTaken", session_id=number, pac=pac[0])
                self._reject(event, Result.AUTHORIZATION_REJECTED, answer)
        else:
            self._reject(event, _refusal(answer.result_code), answer)

    def _open_early(self, event: events.EapResponse, answer: DiameterEapAnswer) -> bytes | None:
        """Let a verified mobile node reach its home agent by IKE; return what is sealed for it."""
        sealed, assignment, address = answer.sealed_assignment, answer.assignment, event.pac[0]
        if self._pinholes is None or sealed is None or assignment is None or not event.mobility:
            return None
        if not self._paa.may_pass(address) and not self._pinholes.open(
            event.session_id, address_of(address), assignment.home_agent
        ):
            return None
        return sealed

    def _close_early(self, number: int) -> None:
        if self._pinholes:
            self._pinholes.close(number)

    def _accept(
        self, event: events.EapResponse, packet: bytes, msk: bytes, answer: DiameterEapAnswer
    ) -> None:
        if not self._admit(event.pac[0]):
            self._reject(event, Result.AUTHORIZATION_REJECTED, answer)
            return
        self._close_early(event.session_id)
        self._client.forget(event.session_id)  # A re-authentication is a new Diameter session.
        lifetime = min(answer.lifetime or self._lifetime, self._lifetime)
        care_of = address_of(event.pac[0])
        if self._accounting:
            self._accounting.grant(event.session_id, answer, care_of)
        keyed = self._key_local(event.session_id, care_of, answer, lifetime)
        self._supply(event.session_id, care_of, answer.assignment if keyed else None)
        self._endpoint.call(
            self._paa.accept,
            event.session_id,
            packet,
            msk,
            lifetime,
            answer.assignment if event.mobility and keyed else None,
            self._host.now(),
            sealed=answer.sealed_assignment,
        )
        self._shut_out(event.pac[0])  # If the PAA can make no key of it.

    def _reject(
        self,
        event: events.EapResponse,
        result: Result,
        answer: DiameterEapAnswer | None = None,
    ) -> None:
        """Refuse the PaC, with EAP's last packet and key as the AAA server has answered them."""
        number = event.session_id
        packet, msk = (answer.eap_payload, answer.msk or b"") if answer else (None, b"")
        self._close_early(number)
        self._endpoint.call(self._paa.reject, number, packet, result, self._host.now(), msk=msk)
        self._client.forget(number)


def _refusal(code: int | None) -> Result:
    """Return what PANA says for a Diameter result."""
    unauthorised = code in _UNAUTHORISED
    return Result.AUTHORIZATION_REJECTED if unauthorised else Result.AUTHENTICATION_REJECTED
