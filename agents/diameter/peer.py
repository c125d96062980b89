"""The peer state machine (RFC 6733 section 5.6) without I/O.

Capabilities are checked before a CER or CEA becomes an input, so that the table of the RFC holds
as it is printed (states.py): a refused CER never reaches it, a refused CEA counts as another
message.
"""

from __future__ import annotations

import random
from collections import deque

from agents.core.folding import ascii_lower
from agents.core.machine import Discarded, Event
from agents.core.timers import earliest
from agents.diameter import capabilities, events
from agents.diameter import dictionary as d
from agents.diameter.capabilities import Capabilities, Link
from agents.diameter.config import NodeConfig, PeerConfig
from agents.diameter.connections import Connections, Incoming
from agents.diameter.errors import DiameterError, ResultCode
from agents.diameter.grammar import check
from agents.diameter.origins import check_own
from agents.diameter.reconnection import Reconnection
from agents.diameter.states import COMING_STATES, OPEN_STATES, TRANSITIONS, Input, State, Step
from agents.diameter.states import patience as patience_in
from agents.diameter.watchdog import Verdict, Watchdog, WatchdogState
from agents.diameter.wire import Message

_AWAITING_CEA = {State.WAIT_I_CEA, State.WAIT_RETURNS}


class Peer:
    """One peer: at most one connection that we made and one that it made.

    What it sends goes out over `connections`; what it tells goes to `told`, the node's.
    """

    def __init__(
        self,
        config: PeerConfig,
        node: NodeConfig,
        *,
        rng: random.Random,
        connections: Connections,
        told: deque[Event],
    ) -> None:
        self.config = config
        self.state = State.CLOSED
        self.capabilities: Capabilities | None = None
        self.watchdog = Watchdog(node.timers.watchdog, rng)
        self.deadline: float | None = None
        self._reconnection = Reconnection(node.timers, rng)
        self._node = node
        self._events = told
        self._connections = connections
        self._incoming: Incoming | None = None
        self._second: Incoming | None = None
        self._probe_until = 0.0
        self._answer: Capabilities | None = None
        self._reason, self._clean = "", False
        self._cause: int = d.DisconnectCause.REBOOTING
        self._dpr: Message | None = None

    # What the node asks

    @property
    def connection(self) -> int | None:
        """The connection that messages take, if the peer is open."""
        return self._connections.any if self.state in OPEN_STATES else None

    @property
    def healthy(self) -> bool:
        """Whether the watchdog is content with the open connection."""
        return self.connection is not None and self.watchdog.state is WatchdogState.OKAY

    def serves(self, application: int) -> bool:
        """Tell whether the peer takes requests of an application."""
        return self.capabilities is not None and self.capabilities.serves(application)

    def next_timeout(self) -> float | None:
        """Return the earliest deadline."""
        watchdog = self.watchdog.deadline if self.state in OPEN_STATES else None
        probe = self._probe_until if self._second and self.state in OPEN_STATES else None
        return earliest(self.deadline, self._reconnection.at, watchdog, probe)

    # What the node tells

    def start(self, now: float) -> None:
        """Connect to the peer if its address is known and it is closed."""
        if self.config.address is not None:
            self._reconnection.start(now)
            self.wake(now)

    def wake(self, now: float) -> bool:
        """Connect, for a message waits (section 5.4); return whether a connection comes up."""
        if self.state is State.CLOSED:
            self._reconnection.hurry(now)
            self._connect(now)
        elif self.state is State.CLOSING:
            self._reconnection.want()
        return self.state in COMING_STATES

    def _connect(self, now: float) -> None:
        """Connect if that is due."""
        due = self._reconnection.at
        if self.state is State.CLOSED and due is not None and due <= now:
            self._reconnection.at = None
            self._take(Input.START, now)

    def stop(self, cause: int, now: float) -> None:
        """Disconnect and stay so."""
        self._reconnection.stop()
        self._cause, self._reason = cause, "stopped"
        self._reject_second(now)
        if self.state in OPEN_STATES:
            self._take(Input.STOP, now)
        elif self.state not in {State.CLOSING, State.CLOSED}:
            self._take(Input.TIMEOUT, now)

    def accepted(self, link: Link, request: Message, offered: Capabilities, now: float) -> None:
        """Take a connection on which the peer sent an acceptable CER.

        An open connection may have died with the host that had it. So it is probed, and the new one
        waits for what comes of that: the table's R-Reject, or the place of the old one.
        """
        incoming = Incoming(link, request, offered)
        if self.state in OPEN_STATES:
            self._probe_for(incoming, now)
            return
        self._incoming = incoming
        self._take(Input.R_CONN_CER, now)

    def _probe_for(self, incoming: Incoming, now: float) -> None:
        if self._second is None:
            self._probe_until = now + self._node.timers.probe
            self._probe()
        else:
            self._reject_second(now)
        self._second = incoming

    def _reject_second(self, now: float) -> None:
        """Reject the connection that waits, for the old one lives."""
        if self._second is not None:
            self._incoming, self._second = self._second, None
            self._take(Input.R_CONN_CER, now)

    def connected(self, link: Link, now: float) -> None:
        """Note that our connection is established."""
        self._connections.link = link
        self._reconnection.reached()
        self._take(Input.I_RCV_CONN_ACK, now)

    def disconnected(self, connection: int, reason: str, now: float) -> None:
        """Note that a connection was closed by the other end or an error, or never established."""
        if self._second and connection == self._second.link.connection:
            self._second = None
            return
        self._reason = reason
        if connection == self._connections.initiator:
            if self.state in {State.WAIT_CONN_ACK, State.WAIT_CONN_ACK_ELECT}:
                self._connections.close_initiator()
                self._take(Input.I_RCV_CONN_NACK, now)
            else:
                self._take(Input.I_PEER_DISC, now)
        else:
            self._take(Input.R_PEER_DISC, now)

    def expire(self, now: float) -> None:
        """Act on every deadline that has come."""
        if self.deadline is not None and self.deadline <= now:
            self._reason = f"no progress in state {self.state.value}"
            self._take(Input.TIMEOUT, now)
        self._connect(now)
        if self._second and self.state in OPEN_STATES and self._probe_until <= now:
            self._drop("it connects again, and the old connection is dead", now)
        probe_at = self.watchdog.deadline
        if self.state not in OPEN_STATES or probe_at is None or probe_at > now:
            return
        match self.watchdog.expire(now):
            case Verdict.PROBE:
                self._probe()
            case Verdict.FAILOVER:
                self._events.append(events.PeerSuspect(now, self.config.host))
            case Verdict.CLOSE:
                self._drop("no answer to watchdogs", now)
            case _:
                pass

    def _probe(self) -> None:
        self._connections.send_request(capabilities.watchdog_request(self._node), self.connection)

    def _drop(self, reason: str, now: float) -> None:
        """Close the open connection, which is dead."""
        if (connection := self.connection) is not None:
            self._connections.release(connection)
            self.disconnected(connection, reason, now)

    def handle_message(self, connection: int, message: Message, now: float) -> Message | None:
        """Take a message; return it if it is for the node and not for the peer connection."""
        if connection == self.connection:
            return self._handle_open(message, now)
        if self.state is State.CLOSING:
            self._handle_closing(message, now)
        elif connection == self._connections.initiator and self.state in _AWAITING_CEA:
            self._handle_capabilities_answer(message, now)
        else:
            self._discard(message, now)
        return None

    # Messages by state

    def _handle_open(self, message: Message, now: float) -> Message | None:
        if message.command == d.Command.DEVICE_WATCHDOG and not message.request:
            if self._connections.answers(message):
                self.watchdog.received_answer(now)
                self._reject_second(now)
            else:
                self._discard(message, now)
            return None
        self.watchdog.received_other(now)
        if message.application != d.APPLICATION_COMMON or message.command not in d.PEER_COMMANDS:
            return message
        if not message.request:
            self._discard(message, now)
            return None
        try:
            check(message)
            check_own(message, self.config)
        except DiameterError as error:
            self._refuse(message, error)
            return None
        self._answer_peer(message, now)
        return None

    def _answer_peer(self, message: Message, now: float) -> None:
        match message.command:
            case d.Command.DEVICE_WATCHDOG:
                self._connections.send(
                    capabilities.base_answer(self._node, message), self.connection
                )
            case d.Command.DISCONNECT_PEER:
                self._note_disconnect(message)
                self._take(Input.RCV_DPR, now)
            case _:
                reason = "capabilities were exchanged before"
                self._refuse(message, DiameterError(reason, ResultCode.UNABLE_TO_COMPLY))

    def _handle_closing(self, message: Message, now: float) -> None:
        disconnects = message.command == d.Command.DISCONNECT_PEER
        if disconnects and message.request:
            self._dpr = message
            self._take(Input.RCV_DPR, now)
        elif disconnects and self._connections.answers(message):
            self._take(Input.RCV_DPA, now)
        else:
            self._discard(message, now)

    def _handle_capabilities_answer(self, message: Message, now: float) -> None:
        connections = self._connections
        is_cea = message.command == d.Command.CAPABILITIES_EXCHANGE
        try:
            if not is_cea or not connections.answers(message):
                reason = "another message than the CEA came"
                raise DiameterError(reason, ResultCode.UNABLE_TO_COMPLY)
            self._answer = capabilities.accept_answer(
                self._node, self.config, connections.link, message
            )
        except DiameterError as error:
            self._reason = str(error)
            self._take(Input.I_RCV_NON_CEA, now)
        else:
            self._take(Input.I_RCV_CEA, now)

    def _note_disconnect(self, message: Message) -> None:
        cause = d.DISCONNECT_CAUSE.need(message.avps)
        self._dpr, self._clean = message, True
        if cause != d.DisconnectCause.REBOOTING:
            self._reconnection.leave_alone()
        self._reason = f"the peer disconnects, cause {cause}"

    # The table

    def _take(self, event: Input, now: float) -> None:
        inputs = deque([event])
        while inputs:
            event = inputs.popleft()
            transition = TRANSITIONS[self.state].get(event)
            if transition is None:
                reason = f"{event.name} in state {self.state.value}"
                self._events.append(Discarded(now, self.config.host, reason))
                continue
            steps, state = transition
            before, self.state = self.state, state
            for step in steps:
                follow = self._perform(step, now)
                if follow is not None:
                    inputs.append(follow)
            if self.state is not before:
                self._entered(before, now)
            if self.state is State.CLOSED and self._second is not None:
                self._incoming, self._second = self._second, None
                inputs.append(Input.R_CONN_CER)

    def _perform(self, step: Step, now: float) -> Input | None:
        connections = self._connections
        match step:
            case Step.I_SND_CONN_REQ:
                if address := self.config.address:
                    connections.connect(self.config.host, address)
            case Step.I_SND_CER:
                if link := connections.link:
                    request = capabilities.capabilities_request(self._node, link.local)
                    connections.send_request(request, connections.initiator)
            case Step.R_ACCEPT:
                connections.responder = self._incoming
            case Step.R_REJECT:
                if self._incoming is not None:
                    connections.release(self._incoming.link.connection)
                    self._tell_failure("a second connection was rejected", now)
            case Step.R_SND_CEA:
                self._send_capabilities_answer()
            case Step.PROCESS_CEA:
                self.capabilities = self._answer
            case Step.ELECT:
                # The responder of the name that sorts last survives (section 5.6.4).
                if ascii_lower(self._node.host) > ascii_lower(self.config.host):
                    return Input.WIN_ELECTION
            case Step.SND_DPR:
                self._clean = True
                request = capabilities.disconnect_request(self._node, self._cause)
                connections.send_request(request, connections.any)
            case Step.SND_DPA:
                if self._dpr is not None:
                    answer = capabilities.base_answer(self._node, self._dpr)
                    connections.send(answer, connections.any)
            case Step.I_DISC | Step.R_DISC | Step.CLEANUP | Step.ERROR:
                if step is not Step.R_DISC:
                    connections.close_initiator()
                if step is not Step.I_DISC:
                    connections.close_responder()
            case Step.PROCESS_CER:
                pass  # Checked by the node before.
        return None

    def _entered(self, before: State, now: float) -> None:
        wait = patience_in(self.state, self._node.timers)
        self.deadline = None if wait is None else now + wait
        if self.state in OPEN_STATES:
            self._opened(now)
        elif before in OPEN_STATES:
            self._events.append(
                events.PeerDown(now, self.config.host, self._reason or "disconnected")
            )
            self.watchdog.disconnected(clean=self._clean)
        elif self.state is State.CLOSED and before is not State.CLOSING:
            self._tell_failure(self._reason, now)
        if self.state is State.CLOSED:
            self._connections.forget_requests()
            self.capabilities = None
            self._reconnection.closed(now)

    def _opened(self, now: float) -> None:
        self._clean, self._reason = False, ""
        self._reconnection.opened()
        if self.capabilities is None:
            return
        realm, applications = self.capabilities.realm, sorted(self.capabilities.applications)
        initiator = self.state is State.I_OPEN
        up = events.PeerUp(now, self.config.host, realm, tuple(applications), initiator)
        self._events.append(up)
        if self.watchdog.connected(now):
            self._probe()

    # Sending

    def send(self, message: Message) -> None:
        """Send a message of the node; the peer must be open."""
        self._connections.send(message, self.connection)

    def _send_capabilities_answer(self) -> None:
        if incoming := self._connections.responder:
            self.capabilities = incoming.capabilities
            answer = capabilities.capabilities_answer(
                self._node, incoming.link.local, incoming.request
            )
            self._connections.send(answer, incoming.link.connection)

    def _refuse(self, message: Message, error: DiameterError) -> None:
        self._connections.send(
            capabilities.error_answer(self._node, message, error), self.connection
        )

    def _tell_failure(self, reason: str, now: float) -> None:
        self._events.append(events.ConnectionFailed(now, self.config.host, reason))

    def _discard(self, message: Message, now: float) -> None:
        kind = "request" if message.request else "answer"
        reason = f"{kind} {message.command} was not expected in state {self.state.value}"
        self._events.append(Discarded(now, self.config.host, reason))
