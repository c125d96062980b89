"""IKEv2 of a home agent with EAP by the home AAA server (RFC 5778), in its application MIP6I."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from ipaddress import IPv6Address

from agents.bootstrap.assignment import Assignment
from agents.core.eventlog import EventLog
from agents.core.host import Host
from agents.diameter.dictionary import Command
from agents.diameter.eap import DiameterEapAnswer
from agents.diameter.errors import ResultCode
from agents.diameter.mobility import home_agent_request
from agents.diameter.sessions import SessionRequest
from agents.ikev2 import events as ikev2
from agents.ikev2.config import Credentials
from agents.kernel.port import KernelError
from agents.nodes.aaa_client import AaaClient
from agents.nodes.accounting import Charge
from agents.nodes.home_agent.grants import Granted, Grants
from agents.nodes.home_agent.service import HomeAgentService
from agents.nodes.home_agent.settings import HomeAgentConfiguration
from agents.nodes.ike_daemon.ikev2 import Ikev2Daemon
from agents.nodes.keylog import KeyLog


class _Served(Granted, frozen=True):
    """By which IKE SA a subscriber has been authenticated last."""

    ike_spi: bytes


class EapAuthenticator:
    """Carries EAP between IKEv2 and the home AAA server (RFC 5778 section 4.1).

    What the server grants ends when it says, with the subscriber's last IKE SA, or when it takes it
    back.
    """

    orders = (Command.ABORT_SESSION,)
    """What the server may want."""

    def __init__(
        self,
        host: Host,
        configuration: HomeAgentConfiguration,
        client: AaaClient,
        home_agent: HomeAgentService,
        log: EventLog,
        *,
        credentials: Credentials,
    ) -> None:
        self._host = host
        self._client = client
        self._home_agent = home_agent
        self._log = log
        if configuration.ikev2 is None:
            raise ValueError("EAP is IKEv2's")
        self._ike = Ikev2Daemon(
            host,
            home_agent.address,
            configuration.ikev2,
            identity=configuration.identity,
            kernel=home_agent.kernel,
            keys=KeyLog(None),
            log=log.child("ikev2"),
            credentials=credentials,
            crowd=configuration.crowd,
        )
        self._ike.on_eap = self._on_eap
        self._ike.on_eap_ended = client.forget
        self._ike.on_gone = home_agent.release
        home_agent.on_released.append(self._ike.delete_identity)
        home_agent.on_released.append(self._end_session)
        self.on_granted: Callable[[str, Charge], None] = lambda *_: None
        """Is told how the session of a subscriber is to be accounted."""

        self._served: Grants[_Served] = Grants(client.session_number)
        self._asking: dict[bytes, int] = {}
        """The questions under way, by the IKE SAs that they are about."""

        proposed = configuration.proposed_home_address
        self._is_servers_to_give = proposed is None
        """Whether the home AAA server knows who has a home address: not of one that is proposed."""

        self._wanted = home_agent_request(
            Assignment(home_agent.address, home_agent.homes.prefix.prefixlen),
            IPv6Address(proposed) if proposed else None,
        )

    def _on_eap(self, event: ikev2.EapResponse) -> None:
        asked = self._asking[event.ike_spi] = self._served.ask()
        self._client.ask(
            event.ike_spi,
            event.packet,
            partial(self._answered, event, asked),
            asked=self._wanted,
            user_name=event.identity,
        )

    def _end_session(self, identity: str) -> None:
        """Tell the AAA server that a subscriber is served no more (RFC 5778 section 4.3.1)."""
        if (served := self._served.end(identity)) is not None:
            self._client.end(served.ike_spi)

    def obey(self, request: SessionRequest) -> ResultCode:
        """End a session as the server wants, with all that hangs on it (RFC 5778 section 4.3.3)."""
        identity = self._served.meant(request)
        conversation = self._client.abandon(request.session_id, request.origin_host)
        if isinstance(conversation, bytes):
            # Its answer is lost, or will be one that was given before.
            if (asked := self._asking.get(conversation)) is not None:
                self._served.abort(asked, request)
            self._ike.eap_failure(conversation, None)
        if identity is not None:
            self._home_agent.release(identity)
        known = conversation is not None or identity is not None
        return ResultCode.SUCCESS if known else ResultCode.UNKNOWN_SESSION_ID

    def _answered(
        self, event: ikev2.EapResponse, asked: int, answer: DiameterEapAnswer | Exception
    ) -> None:
        self._asking.pop(event.ike_spi, None)
        try:
            if isinstance(answer, Exception):
                self._fail(event, answer)
            else:
                self._deliver(event, asked, answer)
        except KernelError as error:
            self._fail(event, error)
        except Exception as error:  # A bug: the peer waits for an answer all the same.
            self._fail(event, error)
            raise
        finally:
            self._served.answered(asked)

    def _fail(self, event: ikev2.EapResponse, error: Exception) -> None:
        self._log.write("AaaFailed", reason=str(error) or type(error).__name__)
        self._client.forget(event.ike_spi)
        self._client.end(event.ike_spi)
        self._ike.eap_failure(event.ike_spi, None)

    def _deliver(self, event: ikev2.EapResponse, asked: int, answer: DiameterEapAnswer) -> None:
        packet = answer.eap_payload
        if not self._ike.awaits_eap(event.ike_spi):
            self._log.write("AaaLate", ike_spi=event.ike_spi.hex())
            self._client.forget(event.ike_spi)
            self._client.end(event.ike_spi)
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
            self._client.end(event.ike_spi)
            self._ike.eap_failure(event.ike_spi, None)
            return
        if self._served.is_late(asked, answer.origin_host, identity):
            self._log.write("AaaLate", ike_spi=event.ike_spi.hex())
            self._client.end(event.ike_spi)
            self._ike.eap_failure(event.ike_spi, None)
            return
        lifetime = answer.lifetime
        homes = self._home_agent.homes
        owner = homes.holder(assignment.home_address) if self._is_servers_to_give else None
        if owner and self._served.passes_on(owner, identity, asked, answer.origin_host):
            self._home_agent.release(owner)
        held = self._home_agent.hold(identity, assignment.home_address, lifetime)
        grant = self._home_agent.grant(identity)
        if not held or grant is None:
            self._client.end(event.ike_spi)
            self._ike.eap_failure(event.ike_spi, None)
            return
        if before := self._served.get(identity):  # What it had goes on in this one.
            self._client.end(before.ike_spi)
        self._served.note(
            identity, _Served(answer.origin_host, answer.session_id, asked, event.ike_spi)
        )
        self.on_granted(identity, Charge.of(answer))
        self._ike.eap_success(
            event.ike_spi,
            packet,
            answer.msk,
            identity=identity,
            grant=grant,
            lifetime=lifetime,
        )

    def open(self) -> None:
        """Open IKE's socket, if that is not done yet; raises OSError if it is not to be had."""
        self._ike.open()

    def close(self) -> None:
        """Close IKE's socket."""
        self._ike.close()
