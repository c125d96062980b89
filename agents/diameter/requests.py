"""Requests and answers over open peers: sending, failover, serving, relaying (RFC 6733 6)."""

from __future__ import annotations

from collections import deque

from agents.core.folding import ascii_lower
from agents.core.machine import Discarded, Event
from agents.core.record import replace
from agents.diameter import dictionary as d
from agents.diameter import origins
from agents.diameter.answers import check_result, check_session, value_of
from agents.diameter.capabilities import error_answer, with_state_id
from agents.diameter.config import NodeConfig, PeerConfig, same_identity
from agents.diameter.connections import Identifiers
from agents.diameter.errors import DiameterError, ResultCode
from agents.diameter.events import (
    AnswerReceived,
    DuplicateReceived,
    Redirected,
    Relayed,
    RequestFailed,
    RequestReceived,
    RequestSent,
    Restarted,
)
from agents.diameter.grammar import check
from agents.diameter.incarnations import Incarnations
from agents.diameter.peer import Peer
from agents.diameter.redirects import Redirections, redirect_avps, redirect_of
from agents.diameter.routing import Routing, usable
from agents.diameter.transactions import Origin, Pending, PendingTable, ServedTable
from agents.diameter.wire import Message

RELAY_TIMEOUT = 30.0
"""Seconds that a relay waits for an answer to somebody else's request."""

_TRY_ELSEWHERE = frozenset(
    {ResultCode.UNABLE_TO_DELIVER, ResultCode.TOO_BUSY, ResultCode.LOOP_DETECTED}
)


class Requests:
    """The requests of this node, those that it serves, and those that it relays."""

    def __init__(
        self,
        config: NodeConfig,
        peers: dict[str, Peer],
        routing: Routing,
        identifiers: Identifiers,
        events: deque[Event],
    ) -> None:
        self._config = config
        self._peers = peers
        self._routing = routing
        self._identifiers = identifiers
        self._events = events
        self._pending = PendingTable()
        self._served = ServedTable(config.timers.duplicates)
        self._redirections = Redirections(peers)
        self._incarnations = Incarnations()
        self._last_token = 0

    def next_timeout(self) -> float | None:
        """Return the earliest deadline of a request."""
        return self._pending.next_timeout()

    def _known(self, host: str) -> PeerConfig | None:
        peer = self._peers.get(ascii_lower(host))
        return peer.config if peer else None

    def hear(self, host: str, state_id: int | None, now: float) -> None:
        """Note which incarnation a node says that it is, and tell if it is another one."""
        if self._incarnations.is_new(host, state_id):
            self._events.append(Restarted(now, host))

    def _hear_origin(self, message: Message, now: float) -> None:
        host = d.ORIGIN_HOST.need(message.avps)
        self.hear(host, value_of(d.ORIGIN_STATE_ID, message), now)

    # Requests of our own

    def request(self, message: Message, now: float, timeout: float) -> int:
        """Send a request, or keep it until a peer is up; return its token."""
        sent = with_state_id(self._config, message)
        sent = replace(sent, request=True, end_to_end=self._identifiers.take())
        pending = Pending(self._token(), sent, now + timeout)
        self._pending.add(pending)
        self._dispatch(pending, now)
        return pending.token

    def cancel(self, token: int) -> None:
        """Forget a request; its answer will be discarded."""
        pending = self._pending.get(token)
        if pending is not None:
            self._pending.remove(pending)

    def give_up(self, now: float) -> None:
        """Fail every request that has no answer."""
        for pending in self._pending.everything():
            self._fail(pending, "the node stops", None, now)

    def expire(self, now: float) -> None:
        """Fail the requests whose deadline has come."""
        for pending in self._pending.expired(now):
            if pending.transmissions:
                self._fail(pending, f"no answer from {pending.peer or 'any peer'}", None, now)
            else:
                reason = "no peer came up to take the request"
                refusal = DiameterError(reason, ResultCode.UNABLE_TO_DELIVER)
                self._fail(pending, reason, refusal, now)

    def peer_changed(self, now: float) -> None:
        """Send what waits for a peer, one of which has come up, or has failed to."""
        for pending in self._pending.waiting():
            self._dispatch(pending, now)

    def peer_failed(self, host: str, now: float) -> None:
        """Fail what waits for a peer that is not to be had, if its realm has another one.

        A conversation's state is at one server: whoever has it begins anew, at the other one.
        """
        for pending in self._pending.waiting():
            if pending.origin is None and self._routing.has_other(pending.message, host):
                reason = f"{host} has the conversation, and is not to be had"
                refusal = DiameterError(reason, ResultCode.UNABLE_TO_DELIVER)
                self._fail(pending, reason, refusal, now)
        self.peer_changed(now)

    def failover(self, peer: Peer, now: float, *, lost: bool) -> None:
        """Move the requests of a peer whose connection is lost, or suspect if there is a better."""
        if lost:
            self._redirections.forget(peer.config.host)
        for pending in self._pending.at(peer.config.host):
            if not lost:
                others = self._routing.open_peers(pending.message)
                if not any(other.healthy for other in others):
                    continue
            self._pending.recall(pending)
            pending.uncertain = True
            self._dispatch(pending, now)

    def _token(self) -> int:
        self._last_token += 1
        return self._last_token

    def _dispatch(self, pending: Pending, now: float) -> None:
        message, origin = pending.message, pending.origin
        try:
            self._check_length(message)
            candidates = [p for p in self._candidates(pending, now) if _may_take(p, pending)]
            peers = usable(candidates, message.application)
            if not peers and not self._wake(candidates, now) and origin is not None:
                reason = "no peer is there to take the request"
                raise DiameterError(reason, ResultCode.UNABLE_TO_DELIVER)
        except DiameterError as error:
            self._fail(pending, str(error), error, now)
            return
        if not peers:
            return
        host, hop = peers[0].config.host, self._identifiers.take()
        again = message.retransmitted or pending.uncertain
        self._pending.sent(pending, host, hop)
        peers[0].send(replace(message, hop_by_hop=hop, retransmitted=again))
        if origin is None:
            self._events.append(RequestSent(now, pending.token, host, again))
        else:
            self._events.append(Relayed(now, origin.peer, host, request=True))

    def _check_length(self, message: Message) -> None:
        """Raise DiameterError for a request on which a peer would end the connection."""
        longest = self._config.maximum_message
        if message.length > longest:
            reason = f"a request of {message.length} octets is longer than {longest}"
            raise DiameterError(reason, ResultCode.UNABLE_TO_COMPLY)

    def _candidates(self, pending: Pending, now: float) -> list[Peer]:
        """Return the peers that may take a request, by routes and by redirection."""
        named = [self._peers[host] for host in pending.redirected if host in self._peers]
        if named:
            return named
        found = self._routing.candidates(pending.message)
        return self._redirections.find(pending.message, found[0].config.host, now) or found

    @staticmethod
    def _wake(peers: list[Peer], now: float) -> bool:
        """Let closed peers connect that may take a request; return whether one comes up."""
        coming = [peer.wake(now) for peer in peers]
        return any(coming)

    def _fail(self, pending: Pending, reason: str, error: DiameterError | None, now: float) -> None:
        self._pending.remove(pending)
        if pending.origin is None:
            self._events.append(RequestFailed(now, pending.token, reason, error))
            return
        refusal = error or DiameterError(reason, ResultCode.UNABLE_TO_DELIVER)
        self._return(error_answer(self._config, pending.message, refusal), pending.origin, now)

    # Requests of others

    def answer(self, token: int, message: Message, now: float) -> None:
        """Answer a received request; identifiers, P bit and Proxy-Info come from the request."""
        served = self._served.answered(token)
        if served is None or served.request is None:
            self._events.append(Discarded(now, self._config.host, "an answer came too late"))
            return
        request, served.request = served.request, None
        message = with_state_id(self._config, message)
        given = d.PROXY_INFO.among(message.avps)
        served.answer = replace(
            message,
            avps=message.avps if given else (*message.avps, *d.PROXY_INFO.among(request.avps)),
            request=False,
            retransmitted=False,
            proxiable=request.proxiable,
            end_to_end=request.end_to_end,
        )
        self._return(served.answer, served.origin, now)

    def reject(self, token: int, error: DiameterError, now: float) -> None:
        """Answer a received request with an error."""
        served = self._served.answered(token)
        if served is not None and served.request is not None:
            served.answer = error_answer(self._config, served.request, error)
            served.request = None
            self._return(served.answer, served.origin, now)

    def handle_request(self, peer: Peer, connection: int, message: Message, now: float) -> None:
        """Take a request: serve it, relay it, or refuse it."""
        origin = Origin(connection, peer.config.host, message.hop_by_hop)
        try:
            if message.error:
                reason = "a request with the E bit"
                raise DiameterError(reason, ResultCode.INVALID_HDR_BITS)
            if self._config.redirects and not self._routing.is_for_us(message):
                self._redirect(peer, origin, message, now)
            elif self._routing.is_local(message):
                self._serve(peer, origin, message, now)
            else:
                self._relay(peer, origin, message, now)
        except DiameterError as error:
            self._return(error_answer(self._config, message, error), origin, now)
            reason = f"refused request {message.command}: {error}"
            self._events.append(Discarded(now, peer.config.host, reason))

    def _serve(self, peer: Peer, origin: Origin, message: Message, now: float) -> None:
        if message.application not in self._config.applications:
            reason = f"application {message.application} is not served here"
            raise DiameterError(reason, ResultCode.APPLICATION_UNSUPPORTED)
        if message.command not in d.COMMANDS.get(message.application, ()):
            reason = f"command {message.command} is not known"
            raise DiameterError(reason, ResultCode.COMMAND_UNSUPPORTED)
        check(message)
        origins.check_request(message, peer.config, self._known)
        self._hear_origin(message, now)
        earlier = self._served.duplicate(message, origin, now)
        if earlier is not None:
            self._events.append(DuplicateReceived(now, origin.peer, message.end_to_end))
            if earlier.answer is not None:
                self._return(earlier.answer, origin, now)
            return
        token = self._token()
        self._served.add(token, message, origin, now)
        self._events.append(RequestReceived(now, token, origin.peer, message))

    def _redirect(self, peer: Peer, origin: Origin, message: Message, now: float) -> None:
        """Say who serves a request's realm (RFC 6733 section 6.1.8)."""
        origins.check_request(message, peer.config, self._known)
        realm = d.DESTINATION_REALM.find(message.avps) or ""
        redirect = redirect_of(self._config.redirects, realm)
        if redirect is None:
            reason = f"nobody is known here who serves realm {realm!r}"
            raise DiameterError(reason, ResultCode.REALM_NOT_SERVED)
        reason = f"realm {realm!r} is served by {', '.join(redirect.hosts)}"
        indication = DiameterError(reason, ResultCode.REDIRECT_INDICATION)
        said = redirect_avps(redirect, tls=self._config.tls)
        answer = error_answer(self._config, message, indication, said)
        self._return(answer, origin, now)
        self._events.append(Redirected(now, origin.peer, redirect.hosts[0]))

    def _relay(self, peer: Peer, origin: Origin, message: Message, now: float) -> None:
        if not self._config.relay:
            realm = d.DESTINATION_REALM.find(message.avps)
            ours = realm is not None and same_identity(realm, self._config.realm)
            code = ResultCode.UNABLE_TO_DELIVER if ours else ResultCode.REALM_NOT_SERVED
            raise DiameterError("this node serves itself alone", code)
        route = d.ROUTE_RECORD.find_all(message.avps)
        if any(same_identity(name, self._config.host) for name in route):
            raise DiameterError("the request was here before", ResultCode.LOOP_DETECTED)
        origins.check_request(message, peer.config, self._known)
        forwarded = replace(message, avps=(*message.avps, d.ROUTE_RECORD.avp(origin.peer)))
        pending = Pending(self._token(), forwarded, now + RELAY_TIMEOUT, origin)
        self._pending.add(pending)
        self._dispatch(pending, now)

    def _return(self, answer: Message, origin: Origin, now: float) -> None:
        peer = self._peers.get(ascii_lower(origin.peer))
        if peer is None or peer.connection != origin.connection:
            reason = "the connection is gone that the answer should take"
            self._events.append(Discarded(now, origin.peer, reason))
            return
        peer.send(replace(answer, hop_by_hop=origin.hop_by_hop))

    # Answers

    def handle_answer(self, peer: Peer, message: Message, now: float) -> None:
        """Take an answer: it ends our request, or goes back where the request came from."""
        host = peer.config.host
        pending = self._pending.answered(message, host)
        if pending is None:
            self._events.append(Discarded(now, host, "an answer to no request"))
            return
        if message.error and self._try_elsewhere(pending, message, host, now):
            return
        try:
            if message.error and value_of(d.RESULT_CODE, message) == ResultCode.REDIRECT_INDICATION:
                self._follow(pending, message, host, now)
                return
            if pending.origin is None:
                check_result(message)
            check_session(message, pending.message)
            origins.check_answer(message, peer.config, self._known)
        except DiameterError as error:
            self._fail(pending, str(error), error, now)
            return
        self._pending.remove(pending)
        if pending.origin is None:
            self._hear_origin(message, now)
            self._events.append(AnswerReceived(now, pending.token, host, message))
        else:
            self._events.append(Relayed(now, host, pending.origin.peer, request=False))
            self._return(message, pending.origin, now)

    def _follow(self, pending: Pending, answer: Message, host: str, now: float) -> None:
        """Send a request to whom a redirect agent names; raises DiameterError for a stranger."""
        check(answer)
        pending.tried.add(host)
        found = self._redirections.take(pending.message, answer, host, now)
        peers = [peer for peer in found if _may_take(peer, pending)]
        if not peers:
            named = ", ".join(d.REDIRECT_HOST.find_all(answer.avps)) or "nobody"
            reason = f"{host} redirects to {named}, and that is not trusted here"
            raise DiameterError(reason, ResultCode.UNABLE_TO_DELIVER)
        pending.redirected = tuple(ascii_lower(peer.config.host) for peer in peers)
        self._events.append(Redirected(now, host, peers[0].config.host))
        self._pending.recall(pending)
        self._dispatch(pending, now)

    def _try_elsewhere(self, pending: Pending, answer: Message, host: str, now: float) -> bool:
        """Send a request to another peer if this one could not deliver it (section 7.1.3)."""
        pending.tried.add(host)
        try:
            code = d.RESULT_CODE.find(answer.avps)
            peers = usable(self._candidates(pending, now), pending.message.application)
        except DiameterError:
            return False
        if code not in _TRY_ELSEWHERE or not any(_may_take(peer, pending) for peer in peers):
            return False
        self._pending.recall(pending)
        self._dispatch(pending, now)
        return True


def _may_take(peer: Peer, pending: Pending) -> bool:
    """Tell whether a peer has neither refused a request nor sent it to us."""
    if peer.config.host in pending.tried:
        return False
    return pending.origin is None or not same_identity(peer.config.host, pending.origin.peer)
