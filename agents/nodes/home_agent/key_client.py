"""IKE of a home agent whose keys the home AAA server has, on another host (RFC 6738)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from enum import Enum, auto
from functools import partial
from ipaddress import IPv6Address
from typing import Any

from agents.core.eventlog import EventLog
from agents.core.host import Host
from agents.core.record import Record, replace
from agents.core.timers import Timers
from agents.diameter.config import same_identity
from agents.diameter.dictionary import Command
from agents.diameter.errors import DiameterError, ResultCode
from agents.diameter.sessions import KeyAnswer, KeyRequest, SessionRequest
from agents.diameter.wire import Message
from agents.ike.esp import EspPair
from agents.ike.events import KeyWanted
from agents.ike.half_open import HalfOpen
from agents.ike.identities import Identity
from agents.ike.psk import PskEntry
from agents.kernel.port import KernelError
from agents.nodes.aaa_client import AaaClient
from agents.nodes.accounting import Charge
from agents.nodes.home_agent.grants import Granted, Grants
from agents.nodes.home_agent.service import HomeAgentService
from agents.nodes.home_agent.settings import HomeAgentConfiguration
from agents.nodes.ike_daemon.ikev1 import Ikev1Daemon
from agents.nodes.ike_daemon.ikev2 import Ikev2Daemon
from agents.nodes.ike_daemon.machine import IkeDaemon
from agents.nodes.keylog import KeyLog

RENEW_AT = 0.9
"""The part of an authorisation after which the server is asked whether it goes on.

The mobile node has authenticated anew by then (`PanaSettings.reauth_at`, 0.8), of which the server
has told, unless that was lost.
"""

IDLE = 30.0
"""Seconds without any SA of a subscriber after which it is taken to be gone, not to come back.

IKEv1's negotiation may last as long (`negotiation_timeout`); IKEv2's ends with the key.
"""

RETRY = 10.0
"""Seconds until the server is asked again that has not answered."""

_FINAL = 5000
"""From here on result codes are permanent failures (RFC 6733 section 7.1.5)."""

QUESTIONS, OF_LINK, OF_HOST = 256, 64, 8
"""How many questions may be under way: in all, for peers of one /64, and for one address.

In aggressive mode anybody can have one put, in anybody's name.
"""


class _Timer(Enum):
    """What a subscriber's deadline is for."""

    RENEW = auto()
    IDLE = auto()


class _Question(Record, frozen=True):
    """A question for a key that is under way: the request's token, and its number."""

    token: int
    asked: int


class _Served(Granted, frozen=True):
    """Until when a subscriber that is served here is authorised."""

    until: float


class KeyClient:
    """IKE of a home agent that asks the home AAA server for a peer's key, once for each IKE SA.

    No key is kept: the server is asked whether the peer is still authorised, and for the key that
    counts now. What it grants ends when it says, when nothing is left of the subscriber's SAs, or
    when it takes it back; the server is told of every end.
    """

    orders = (Command.ABORT_SESSION, Command.RE_AUTH)
    """What the server may want."""

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
        self._served: Grants[_Served] = Grants(client.session_number)
        self.on_granted: Callable[[str, Charge], None] = lambda *_: None
        """Is told how the session of a subscriber is to be accounted."""

        self._renewing: dict[str, bool] = {}
        """Whose renewal is under way, and whether it is to be asked for once more after that."""

        self._timers: Timers[tuple[_Timer, str]] = Timers()
        self._alarm = host.timer(self._expire)
        self._waiting: HalfOpen[bytes] = HalfOpen(
            host=OF_HOST, link=OF_LINK, total=QUESTIONS, rng=host.rng
        )
        self._questions: dict[bytes, _Question] = {}
        self._ike = _daemon(host, configuration, home_agent, log)
        self._ike.on_key_wanted = self._ask
        self._ike.on_removed = self._missed
        home_agent.on_released.append(self._released)

    # A key for an IKE SA

    def _ask(self, event: KeyWanted) -> None:
        """Ask for the key of a peer, whose address or name IKE knows."""
        while (oldest := self._waiting.giving_way(event.peer)) is not None:
            self._give_up(oldest)
        session_id = self._client.new_session()
        request = self._request(session_id, event.identity, care_of=event.peer)
        self._waiting.add(event.spi, event.peer)
        asked = self._served.ask(session_id)

        def note(token: int) -> None:
            self._questions[event.spi] = _Question(token, asked)

        taken = partial(self._take_key, event, session_id, asked)
        self._put(request, self._servers(), taken, note)

    def _servers(self, first: str | None = None) -> Sequence[str | None]:
        """Return whom to ask, `first` before the others; None is whoever serves the realm.

        Those come last that cannot be reached: to ask one takes until it cannot be called either.
        """
        servers = self._client.servers
        if len(servers) < 2:
            return (first,)
        others = (one for one in servers if first is None or not same_identity(one, first))
        wanted = (*((first,) if first else ()), *others)
        return sorted(wanted, key=lambda server: not self._client.reaches(server))

    def _give_up(self, spi: bytes) -> None:
        """Wait for an answer no longer."""
        question = self._questions[spi]
        self._client.withdraw(question.token)
        self._answered(spi, question.asked)
        self._ike.give_key(spi, None)

    def _answered(self, spi: bytes, asked: int) -> None:
        self._waiting.remove(spi)
        self._questions.pop(spi, None)
        self._served.answered(asked)

    def _request(
        self,
        session_id: str,
        identity: Identity,
        *,
        care_of: IPv6Address | None = None,
        renews: bool = False,
    ) -> KeyRequest:
        client = self._client
        return KeyRequest(
            session_id=session_id,
            origin_host=client.identity,
            origin_realm=client.realm,
            destination_realm=client.home_realm,
            identity=identity,
            care_of_address=care_of,
            load=len(self._home_agent.homes),
            renews=renews,
        )

    def _submit(
        self, request: KeyRequest, answered: Callable[[KeyAnswer | Exception], None]
    ) -> int:
        def take(outcome: Message | Exception) -> None:
            try:
                answered(outcome if isinstance(outcome, Exception) else _read(outcome))
            except DiameterError as error:
                answered(error)

        return self._client.submit(request.to_message(), take)

    def _put(
        self,
        request: KeyRequest,
        servers: Sequence[str | None],
        answered: Callable[[KeyAnswer | Exception], None],
        under: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Ask one server after the other, for one of them has authenticated the subscriber.

        The last one's answer counts if none grants anything; `under` hears each request's token.
        """
        server, *others = servers

        def take(answer: KeyAnswer | Exception) -> None:
            if others and isinstance(answer, Exception):
                self._put(request, others, answered, under)
            else:
                answered(answer)

        under(self._submit(replace(request, destination_host=server), take))

    def _take_key(
        self, event: KeyWanted, session_id: str, asked: int, answer: KeyAnswer | Exception
    ) -> None:
        entry = None
        try:
            if isinstance(answer, Exception):
                raise answer
            entry = self._hold(event, session_id, asked, answer)
        except (DiameterError, TimeoutError, KernelError) as error:
            reason = str(error) or type(error).__name__
            name = event.identity.text
            self._log.write("AaaRefused", peer=event.peer, identity=name, reason=reason)
        finally:
            self._answered(event.spi, asked)
            self._ike.give_key(event.spi, entry)

    def _hold(self, event: KeyWanted, session_id: str, asked: int, answer: KeyAnswer) -> PskEntry:
        """Let a subscriber register what it is assigned; return its key, or raise an error."""
        identity, assignment = answer.identity, answer.assignment
        if not identity or not answer.key or assignment is None or assignment.home_address is None:
            reason = "the answer lacks the subscriber, its key or its home address"
            raise DiameterError(reason, ResultCode.MISSING_AVP)
        home_address = assignment.home_address
        self._check_order(identity, session_id, asked, answer.origin_host)
        here = assignment.home_agent == self._home_agent.address
        owner = self._home_agent.homes.holder(home_address)
        if here and owner and self._served.passes_on(owner, identity, asked, answer.origin_host):
            self._home_agent.release(owner)
        if not here or not self._home_agent.hold(identity, home_address, answer.lifetime):
            self._client.terminate(session_id, server=answer.origin_host)
            where = f"{home_address} at {assignment.home_agent}"
            raise DiameterError(f"{identity} cannot have {where}", ResultCode.INVALID_AVP_VALUE)
        self._note(identity, session_id, asked, answer)
        return PskEntry(answer.key, event.peer, identity, home_address)

    def _check_order(self, identity: str, session_id: str, asked: int, server: str) -> None:
        """Raise DiameterError if a subscriber has been granted more, or has lost it, since then.

        That counts. The server is told which session is left, if one is, for it may have taken the
        questions in any order, and that there is no other.
        """
        if self._served.is_late(asked, server, identity):
            if identity in self._served:
                self._ask_renewal(identity, partial(self._take_renewal, identity))
            load = len(self._home_agent.homes)
            self._client.terminate(session_id, load, server=server)
            reason = f"what counts of {identity} was said after this question was put"
            raise DiameterError(reason, ResultCode.UNABLE_TO_COMPLY)

    # How long it is good for

    def _note(self, identity: str, session_id: str, asked: int, answer: KeyAnswer) -> None:
        """Know that a subscriber is served, and when to ask about it again."""
        now, lifetime = self._host.now(), answer.lifetime
        until = math.inf if lifetime is None else now + lifetime
        self._served.note(identity, _Served(answer.origin_host, session_id, asked, until))
        interim = answer.interim_interval or 0
        origin = answer.origin_host, answer.origin_realm
        self.on_granted(identity, Charge(session_id, *origin, identity, interim))
        if lifetime is not None:
            self._timers.set((_Timer.RENEW, identity), now + RENEW_AT * lifetime)
        self._watch(identity)

    def _watch(self, identity: str) -> None:
        """Look in a while whether a subscriber has SAs here, or makes some."""
        if identity in self._served:
            self._timers.set((_Timer.IDLE, identity), self._host.now() + IDLE)
            self._arm()

    def _missed(self, pair: EspPair) -> None:
        """Some ESP SAs are gone: maybe they were the last ones."""
        identity = self._home_agent.homes.holder(pair.inbound.source)
        if identity is not None:
            self._watch(identity)

    def _arm(self) -> None:
        deadline = self._timers.next()
        if deadline is None:
            self._alarm.stop()
        else:
            self._alarm.start_at(deadline)

    def _expire(self) -> None:
        while (key := self._timers.pop(self._host.now())) is not None:
            timer, identity = key
            if timer is _Timer.RENEW:
                self._renew(identity)
            elif self._ike.serves(identity):
                self._watch(identity)  # An IKE SA may go that has no ESP SAs any more.
            else:
                self._home_agent.release(identity)
        self._arm()

    def _renew(self, identity: str) -> None:
        """Ask whether a subscriber is authorised for longer: once, and once more after that."""
        if identity in self._renewing:
            self._renewing[identity] = True
            return
        self._renewing[identity] = False
        self._ask_renewal(identity, partial(self._renewed, identity))

    def _renewed(self, identity: str, served: _Served, answer: KeyAnswer | Exception) -> None:
        again = self._renewing.pop(identity)
        self._take_renewal(identity, served, answer)
        if again and identity in self._served:
            self._renew(identity)

    def _ask_renewal(
        self, identity: str, taken: Callable[[_Served, KeyAnswer | Exception], None]
    ) -> None:
        served = self._served[identity]
        request = self._request(served.session_id, Identity.of(identity), renews=True)
        self._put(request, self._servers(served.server), partial(taken, served))

    def _take_renewal(self, identity: str, served: _Served, answer: KeyAnswer | Exception) -> None:
        """Prolong what a subscriber has, or let it end in time."""
        if self._served.get(identity) is not served:
            return
        if isinstance(answer, Exception):
            reason = str(answer) or type(answer).__name__
            self._log.write("AaaFailed", identity=identity, reason=reason)
            left = served.until - self._host.now()
            final = isinstance(answer, DiameterError) and answer.result_code >= _FINAL
            if not final and left > 2 * RETRY:
                self._timers.set((_Timer.RENEW, identity), self._host.now() + RETRY)
                self._arm()
            return
        assignment = answer.assignment
        home_address = assignment.home_address if assignment else None
        if home_address == self._home_agent.homes.home_of(identity) and home_address is not None:
            self._home_agent.hold(identity, home_address, answer.lifetime)
            self._note(identity, served.session_id, served.asked, answer)

    # Its end

    def _released(self, identity: str) -> None:
        """End the SAs of a subscriber that has nothing here any more, and tell the server."""
        self._ike.delete_identity(identity)
        served = self._served.end(identity)
        for timer in _Timer:
            self._timers.cancel((timer, identity))
        if served is not None:
            load = len(self._home_agent.homes)
            self._client.terminate(served.session_id, load, server=served.server)

    def obey(self, request: SessionRequest) -> ResultCode:
        """Ask once more about a session, or end it, as the server wants (RFC 6733 8.3, 8.5)."""
        identity = self._served.meant(request)
        if request.command == Command.RE_AUTH:
            if identity is not None:
                self._renew(identity)
            return ResultCode.SUCCESS if identity is not None else ResultCode.UNKNOWN_SESSION_ID
        asked = self._client.session_number(request.session_id)
        # Its answer is lost, or will be one that was given before.
        waits = asked is not None and self._served.abort(asked, request)
        if identity is not None:
            self._home_agent.release(identity)
        known = waits or identity is not None
        return ResultCode.SUCCESS if known else ResultCode.UNKNOWN_SESSION_ID

    def open(self) -> None:
        """Open IKE's socket, if that is not done yet; raises OSError if it is not to be had."""
        self._ike.open()

    def close(self) -> None:
        """Close IKE's socket."""
        self._alarm.stop()
        self._ike.close()


def _read(message: Message) -> KeyAnswer:
    """Return an answer that grants something; raises DiameterError for any other."""
    answer = KeyAnswer.from_message(message)
    if answer.result_code != ResultCode.SUCCESS:
        reason = answer.error_message or "no reason given"
        raise DiameterError(f"{answer.origin_host} refuses: {reason}", answer.result_code)
    return answer


def _daemon(
    host: Host,
    configuration: HomeAgentConfiguration,
    home_agent: HomeAgentService,
    log: EventLog,
) -> IkeDaemon:
    options: dict[str, Any] = {
        "kernel": home_agent.kernel,
        "keys": KeyLog(None),
        "identity": None,
        "asks_keys": True,
    }
    if configuration.ikev1 is not None:
        options["log"] = log.child("ikev1")
        return Ikev1Daemon(host, home_agent.address, configuration.ikev1, **options)
    if configuration.ikev2 is None:
        raise ValueError("neither IKEv1 nor IKEv2 is configured")
    options |= {"log": log.child("ikev2"), "allocate": home_agent.grant}
    return Ikev2Daemon(host, home_agent.address, configuration.ikev2, **options)
