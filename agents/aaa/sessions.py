"""The mobility sessions of authenticated subscribers, and the keys that their home agents ask for.

A session begins with an authentication, and ends when both who may serve it have said so: the NAS
that authenticated the subscriber, and the home agent that asked for the key. It ends in any case
with the time that was granted, and when the operator withdraws it, which both are told. What is
known here is gone with the program: the subscriber authenticates anew then, while its lease is on
disk.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from typing import TypeAlias

from agents.aaa.events import (
    KeyDelivered,
    KeyRefused,
    SessionEnded,
    SubscriberAuthenticated,
    SubscriberVerified,
    VerificationWithdrawn,
)
from agents.aaa.leases import LeaseError, Leases
from agents.bootstrap.assignment import Assignment
from agents.bootstrap.keys import PskSource, ike_psk, ike_secret
from agents.core.folding import ascii_lower
from agents.core.index import Index
from agents.core.later import Later
from agents.core.machine import Event
from agents.core.record import Record, Secret
from agents.core.timers import Timers
from agents.diameter.dictionary import (
    APPLICATION_EAP,
    APPLICATION_IKE_SK,
    APPLICATION_MIP6_IKE,
    Command,
    ReAuthRequestType,
)
from agents.diameter.errors import ResultCode
from agents.diameter.sessions import KeyAnswer, KeyRequest, SessionRequest
from agents.eap.names import canonical_identity

Peer: TypeAlias = tuple[str, str]
"""A client's Origin-Host in lower case, and its Session-Id, which means nothing without it."""

MAXIMUM_WAITING = 256
"""Questions that wait for the end of one EAP conversation: a home agent puts no more at once."""

_ANEW = ReAuthRequestType.AUTHORIZE_AUTHENTICATE

_NO_KEY = "no session of this subscriber is this home agent's"
"""What any refusal says: nobody learns from it whether there is a session elsewhere."""


class Expected(Record, frozen=True):
    """A key that counts when EAP has come to its end, if it does."""

    assignment: Assignment
    psk: Secret[bytes]


class ClientSession(Record, frozen=True):
    """What a home agent or a NAS calls a session; `realm` is a NAS's."""

    session_id: str
    application: int = APPLICATION_EAP
    realm: str = ""


@dataclass(slots=True)
class Session:
    """What a subscriber has been authorised for; without `assignment` nothing, or access alone."""

    identity: str
    assignment: Assignment | None = None
    psk: bytes = field(default=b"", repr=False)
    until: float = 0.0
    access: Peer | None = None
    access_realm: str = ""
    home: Peer | None = None
    application: int = APPLICATION_EAP
    """In which the home agent has its session: it has asked for the key, or carried EAP."""

    left: dict[str, ClientSession] = field(default_factory=dict)
    """Who had it before, by their hosts."""

    expected: Expected | None = None
    waiting: list[tuple[KeyRequest, Later[KeyAnswer]]] = field(default_factory=list)

    @property
    def by_key(self) -> bool:
        """Whether the home agent has asked for the key, rather than carried EAP."""
        return self.application == APPLICATION_IKE_SK

    def leave(self) -> None:
        """Keep in mind which home agent has it, until that is another."""
        if self.home is not None:
            host, session_id = self.home
            self.left[host] = ClientSession(session_id, self.application)


class Sessions:
    """Gives the key of a subscriber to the home agent that it is assigned to, and to no other.

    `hosts` returns the Diameter identity of a home agent, None of one that has its keys otherwise:
    its sessions end with their time. `by_eap` are those, in lower case, of home agents that carry
    EAP (RFC 5778). Leases end with their sessions.
    """

    def __init__(
        self,
        origin_host: str,
        origin_realm: str,
        *,
        hosts: Callable[[IPv6Address], str | None],
        leases: Leases,
        psk_source: PskSource,
        by_eap: Collection[str] = (),
    ) -> None:
        self.events: deque[Event] = deque()
        self.outbox: deque[SessionRequest] = deque()
        self._origin = origin_host, origin_realm
        self._hosts = hosts
        self._leases = leases
        self._psk_source = psk_source
        self._by_eap = by_eap
        self._sessions: dict[str, Session] = {}
        self._care_of = Index[str, IPv6Address]()
        self._peers: dict[Peer, str] = {}
        self._timers: Timers[str] = Timers()

    def __len__(self) -> int:
        return len(self._sessions)

    # What authentication brings

    def expect(self, event: SubscriberVerified) -> None:
        """A subscriber may begin IKE: who asks for its key waits for the end of EAP."""
        if event.assignment.home_address is not None:
            session = self._session(event.identity)
            psk = ike_psk(event.ike_root, event.assignment)
            session.expected = Expected(event.assignment, psk)
            self._place(canonical_identity(event.identity), event.care_of_address)

    def withdraw(self, event: VerificationWithdrawn) -> None:
        """EAP has come to nothing: what was before counts again."""
        name = canonical_identity(event.identity)
        session = self._sessions.get(name)
        psk = ike_psk(event.ike_root, event.assignment)
        if session is None or session.expected is None or session.expected.psk != psk:
            return
        session.expected = None
        if session.assignment is None and session.access is None:
            self._forget(name)
        self._settle(session, event.at)

    def authorise(self, event: SubscriberAuthenticated, lifetime: float) -> None:
        """A subscriber has been authenticated; what it had before is over if it is not the same."""
        assignment = event.assignment
        if assignment is None:
            return
        session, name = self._session(event.identity), canonical_identity(event.identity)
        if session.assignment and session.assignment.home_agent != assignment.home_agent:
            session.leave()
            self._name_home(session, None)
        secret = ike_secret(self._psk_source, event.msk, event.ike_root)
        session.assignment, session.psk = assignment, ike_psk(secret, assignment)
        session.until, session.expected = event.at + lifetime, None
        client = event.client
        at_home = client is not None and client[0] in self._by_eap
        if at_home or (client is not None and self._is_at(client[0], assignment)):
            self._name_home(session, client)
            session.application = event.application
        else:
            self._name_access(session, client, event.realm)
        if event.application != APPLICATION_MIP6_IKE:  # Home agents do not tell (RFC 5778 8.1).
            self._place(name, event.care_of_address)
        self._timers.set(name, session.until)
        self._settle(session, event.at)
        if session.home is not None and session.by_key:
            host, session_id = session.home
            self._order(
                session, host, ClientSession(session_id, session.application), Command.RE_AUTH
            )

    def admit(self, event: SubscriberAuthenticated, lifetime: float) -> None:
        """A subscriber has been let in by a NAS, without a home agent of this network.

        What it has at one goes on as long as it would have.
        """
        client = event.client
        if client is None or client[0] in self._by_eap:
            return
        session = self._session(event.identity)
        self._name_access(session, client, event.realm)
        if session.assignment is None:
            session.until = event.at + lifetime
            self._timers.set(canonical_identity(event.identity), session.until)

    def _session(self, identity: str) -> Session:
        return self._sessions.setdefault(canonical_identity(identity), Session(identity))

    def _place(self, name: str, care_of: IPv6Address | None) -> None:
        """Note where a subscriber is, as the last one there."""
        self._care_of.put(name, None)
        self._care_of.put(name, care_of)

    def _name_access(self, session: Session, peer: Peer | None, realm: str = "") -> None:
        if session.access is not None and peer is not None:
            host, session_id = session.access
            session.left[host] = ClientSession(session_id, realm=session.access_realm)
            session.left.pop(peer[0], None)  # One NAS has one: its last.
        session.access = self._named(session, session.access, peer)
        session.access_realm = realm

    def _name_home(self, session: Session, peer: Peer | None) -> None:
        session.home = self._named(session, session.home, peer)

    def _named(self, session: Session, before: Peer | None, peer: Peer | None) -> Peer | None:
        """Know a session by what a client calls it, and not by what it was called before."""
        if before is not None:
            self._peers.pop(before, None)
        if peer is not None:
            self._peers[peer] = canonical_identity(session.identity)
        return peer

    # The home agent asks

    def handle_key(self, request: KeyRequest, now: float) -> KeyAnswer | Later[KeyAnswer]:
        """Return the key for an IKE SA, or a refusal, or what will be told when EAP has ended."""
        self.handle_timeout(now)
        session = self._asked(request)
        expected = session.expected if session else None
        if session is None or expected is None or request.renews:
            return self._answer(request, session, now)
        if not self._is_at(ascii_lower(request.origin_host), expected.assignment):
            return self._answer(request, session, now)
        # Several wait: anybody can have a home agent ask in a subscriber's name.
        later = Later[KeyAnswer]()
        if len(session.waiting) >= MAXIMUM_WAITING:
            oldest, answer = session.waiting.pop(0)
            answer.settle(self._refuse(oldest, now))
        session.waiting.append((request, later))
        return later

    def _asked(self, request: KeyRequest) -> Session | None:
        """Return the session that is asked for; at an address the latest one counts."""
        name = canonical_identity(request.identity.text)
        if (address := request.identity.address) is not None:
            there = self._care_of.at(address)
            name = there[-1] if there else ""
        return self._sessions.get(name)

    def _answer(self, request: KeyRequest, session: Session | None, now: float) -> KeyAnswer:
        assignment = session.assignment if session else None
        if session is None or assignment is None or session.access is None:
            return self._refuse(request, now)
        peer = ascii_lower(request.origin_host), request.session_id
        if not self._is_at(peer[0], assignment):
            return self._refuse(request, now)
        # To renew is to say which session counts there: the answer about a later one may have been
        # lost, and this program may have been started again.
        self._name_home(session, peer)
        session.application = APPLICATION_IKE_SK
        self.events.append(KeyDelivered(now, session.identity, request.origin_host))
        return KeyAnswer(
            session_id=request.session_id,
            result_code=ResultCode.SUCCESS,
            origin_host=self._origin[0],
            origin_realm=self._origin[1],
            identity=session.identity,
            key=None if request.renews else session.psk,
            assignment=assignment,
            lifetime=session.until - now,
            renews=request.renews,
        )

    def _is_at(self, host: str, assignment: Assignment) -> bool:
        """Return whether a Diameter node is the home agent of an assignment."""
        own = self._hosts(assignment.home_agent)
        return own is not None and ascii_lower(own) == host

    def _refuse(self, request: KeyRequest, now: float) -> KeyAnswer:
        self.events.append(KeyRefused(now, request.identity.text, request.origin_host))
        return KeyAnswer(
            session_id=request.session_id,
            result_code=ResultCode.AUTHORIZATION_REJECTED,
            origin_host=self._origin[0],
            origin_realm=self._origin[1],
            renews=request.renews,
            error_message=_NO_KEY,
        )

    def _settle(self, session: Session, now: float) -> None:
        """Answer who has waited for the end of EAP."""
        waiting, session.waiting = session.waiting, []
        for request, later in waiting:
            later.settle(self._answer(request, session, now))

    # The end

    def handle_end(self, request: SessionRequest, now: float) -> ResultCode:
        """Take a client's word that its session is over."""
        peer = ascii_lower(request.origin_host), request.session_id
        if peer not in self._peers:
            return ResultCode.UNKNOWN_SESSION_ID
        self._leave(peer, "terminated", now)
        return ResultCode.SUCCESS

    def handle_restart(self, host: str, now: float) -> None:
        """Know that a client, its name in lower case, has lost its sessions (RFC 6733 8.16)."""
        for peer in [peer for peer in self._peers if peer[0] == host]:
            self._leave(peer, f"{host} has been started again", now)

    def _leave(self, peer: Peer, reason: str, now: float) -> None:
        """Know that a client serves a session no more, which ends with the last one's."""
        name = self._peers[peer]
        session = self._sessions[name]
        if session.access == peer:
            self._name_access(session, None)
        else:
            self._name_home(session, None)
        home_agent = session.assignment.home_agent if session.assignment else None
        tells = home_agent is None or self._hosts(home_agent) is not None
        if session.access is None and session.home is None and tells:
            self._end(name, reason, now)

    def withdraw_subscriber(self, identity: str, now: float) -> bool:
        """End a subscriber's session and lease; return whether there was either."""
        name = canonical_identity(identity)
        if (session := self._sessions.get(name)) is not None:
            session.leave()
            for host, left in session.left.items():
                self._order(session, host, left, Command.ABORT_SESSION)
            self._order_access(session, Command.ABORT_SESSION)
        return self._end(name, "withdrawn", now, releases=True)

    def nas_of(self, identity: str) -> str | None:
        """Return the NAS that a subscriber has come by, by its Origin-Host in lower case."""
        session = self._sessions.get(canonical_identity(identity))
        return session.access[0] if session and session.access else None

    def reauthenticate(self, identity: str) -> bool:
        """Have a subscriber's NAS authenticate it anew; return whether there is one to be told."""
        session = self._sessions.get(canonical_identity(identity))
        return session is not None and self._order_access(session, Command.RE_AUTH)

    def _order_access(self, session: Session, command: Command) -> bool:
        """Tell the NAS what to do about a session; return whether there is one."""
        if session.access is None:
            return False
        host, session_id = session.access
        self._order(
            session, host, ClientSession(session_id, realm=session.access_realm), command, _ANEW
        )
        return True

    def _order(
        self,
        session: Session,
        host: str,
        its: ClientSession,
        command: Command,
        re_auth: ReAuthRequestType = ReAuthRequestType.AUTHORIZE_ONLY,
    ) -> None:
        """Tell a client what to do about a session."""
        request = SessionRequest(
            command=command,
            session_id=its.session_id,
            application=its.application,
            origin_host=self._origin[0],
            origin_realm=self._origin[1],
            destination_realm=its.realm or host.partition(".")[2] or host,
            destination_host=host,
            user_name=session.identity,
            re_auth=re_auth,
        )
        self.outbox.append(request)

    def _end(self, name: str, reason: str, now: float, *, releases: bool = False) -> bool:
        """End a session, if there is one, and the lease; return whether there was either.

        That of a session without a home agent of this network is not its own; it `releases` it
        where nothing is to be left.
        """
        session, released = self._forget(name), False
        try:
            if releases or (session is not None and session.assignment is not None):
                released = self._leases.release(name)
        except LeaseError as error:  # It ends with its time, then.
            reason = f"{reason}; {error}"
        if session is None and not released:
            return False
        ended = session or Session(name)
        self.events.append(SessionEnded(now, ended.identity, reason))
        self._settle(Session(ended.identity, waiting=ended.waiting), now)
        return True

    def _forget(self, name: str) -> Session | None:
        session = self._sessions.pop(name, None)
        if session is not None:
            self._name_access(session, None)
            self._name_home(session, None)
            self._care_of.put(name, None)
            self._timers.cancel(name)
        return session

    def next_timeout(self) -> float | None:
        """Return when the next session ends."""
        return self._timers.next()

    def handle_timeout(self, now: float) -> None:
        """End every session whose time is over."""
        while (name := self._timers.pop(now)) is not None:
            self._end(name, "expired", now)
