"""A small EAP method for both ends, and a PAA that answers its own AAA."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from ipaddress import IPv6Address

from agents.bootstrap.assignment import Assignment
from agents.core.machine import Discarded
from agents.pana.config import PaaConfig, PacConfig
from agents.pana.events import EapResponse
from agents.pana.paa import Paa
from agents.pana.pac import Pac
from agents.pana.rfc5191 import RFC5191
from tests.link import Link

PAC = ("2001:db8:1::a", 716)
PAA = ("2001:db8:1::b", 716)
ASSIGNMENT = Assignment(IPv6Address("2001:db8:2::1"), 64, IPv6Address("2001:db8:2::abcd"))
MSK = hashlib.sha512(b"a shared secret").digest()


@dataclass(frozen=True)
class Keys:
    msk: bytes
    emsk: bytes = bytes(64)


class FakePeer:
    """Identity, then `rounds` requests of type 255; the key is known after the last.

    That is with EAP-Success, or `early`, with the answer to the last request, as with TLS 1.3.
    """

    def __init__(self, rounds=2, msk=MSK, mute_at=None, deny=False, early=False):
        self.outcome = None
        self.reason = ""
        self.refused = False
        self.keys = None
        self.early_keys = None
        self.requests = []
        self._left = rounds
        self._msk = msk
        self._mute_at = mute_at
        self._deny = deny
        self._early = early

    def handle_request(self, packet):
        self.requests.append(packet)
        code, identifier = packet[0], packet[1]
        if code == 3 and self._left <= 0:
            self.outcome = "failure" if self._deny else "success"
            self.keys = None if self._deny or not self._msk else Keys(self._msk)
        elif code == 4:
            self.outcome, self.reason = "failure", "the server sent EAP-Failure"
        elif code == 1 and packet[4] == 1:
            return eap(2, identifier, b"\x01mn@example.org")
        elif code == 1:
            if len(self.requests) == self._mute_at:
                return None
            self._left -= 1
            if self._early and self._left <= 0:
                self.early_keys = Keys(self._msk)
            return eap(2, identifier, b"\xff" + packet[5:] + b" answered")
        return None


def eap(code, identifier, body=b""):
    return bytes([code, identifier]) + (4 + len(body)).to_bytes(2) + body


class FakeAaa:
    """The AAA behind a PAA: as many rounds as the peer expects, then the verdict.

    With `refused` that is EAP-Success all the same, and the key goes with the refusal.
    """

    def __init__(
        self,
        rounds=2,
        *,
        msk=MSK,
        code=0,
        lifetime=600.0,
        assignment=ASSIGNMENT,
        mute_after=None,
        refused=None,
    ):
        self._rounds = rounds
        self._msk = msk
        self._code = code
        self._lifetime = lifetime
        self._assignment = assignment
        self._mute_after = mute_after
        self.refused = refused
        self.done: dict[int, int] = {}
        self.responses: list[EapResponse] = []

    def handle(self, paa, response):
        self.responses.append(response)
        session = response.session_id
        done = self.done[session] = self.done.get(session, -1) + 1
        identifier = (response.packet[1] + 1) % 256
        if self._mute_after is not None and done >= self._mute_after:
            return
        if done < self._rounds:
            paa.eap_request(session, eap(1, identifier, b"\xffround %d" % done), response.at)
            return
        self.done[session] = -1
        if self._code:
            paa.reject(session, eap(4, identifier), self._code, response.at)
            return
        if self.refused is not None:
            packet = eap(3, identifier)
            paa.reject(session, packet, self.refused, response.at, msk=self._msk)
            return
        paa.accept(
            session,
            eap(3, identifier),
            self._msk,
            self._lifetime,
            self._assignment,
            response.at,
        )


class PaaWithAaa:
    """A machine: the PAA with an AAA that answers at once; keeps every event."""

    def __init__(self, paa, aaa):
        self.paa = paa
        self.aaa = aaa
        self.log = []
        self.outbox = paa.outbox
        self.events = paa.events

    def _serve(self):
        while self.events:
            event = self.events.popleft()
            self.log.append(event)
            if isinstance(event, EapResponse):
                self.aaa.handle(self.paa, event)

    def handle_message(self, data, source, now):
        self.paa.handle_message(data, source, now)
        self._serve()

    def handle_timeout(self, now):
        self.paa.handle_timeout(now)
        self._serve()

    def next_timeout(self):
        return self.paa.next_timeout()

    def only(self, kind):
        self._serve()
        return [event for event in self.log if type(event) is kind]


class World:
    """A PaC and a PAA on a link, both of one dialect."""

    def __init__(
        self,
        *,
        dialect=RFC5191,
        pac=None,
        paa=None,
        aaa=None,
        peer=None,
        drop=(),
        tamper=None,
        seed=1,
    ):
        self.dialect = dialect
        pac, paa = {"dialect": dialect, **(pac or {})}, {"dialect": dialect, **(paa or {})}
        rng = random.Random(seed)
        self.peer = peer or FakePeer()
        self.pac = Pac(PAA, self.peer, PacConfig(**pac), rng=rng)
        self.server = PaaWithAaa(Paa(PaaConfig(**paa), rng=rng), aaa or FakeAaa())
        self.paa = self.server.paa
        self.link = Link(self.pac, PAC, self.server, PAA, drop=drop, tamper=tamper)

    def bootstrap(self, until=60.0):
        self.pac.start(self.link.now)
        self.link.run(until)
        return self

    @property
    def session_id(self):
        return next(iter(self.paa.sessions)).number

    def pac_events(self, kind):
        return [event for event in self.pac.events if type(event) is kind]

    def messages(self, start=0):
        """What went over the link, decoded."""
        return [self.dialect.decode(data) for _, _, data in self.link.sent[start:]]

    def labels(self, start=0):
        return [self.dialect.label(message) for message in self.messages(start)]

    def flights(self):
        """What went over the link: sender's last letter, message, names of AVPs."""
        for (_, (host, _), _), message in zip(self.link.sent, self.messages(), strict=True):
            names = tuple(getattr(avp.name, "value", "unknown") for avp in message.avps)
            yield host[-1], self.dialect.label(message), names

    def session(self):
        """The PAA's only session."""
        (session,) = self.paa.sessions
        return session


def reasons(events):
    """Why messages were dropped."""
    return [event.reason for event in events if type(event) is Discarded]


def send(machine, data, source, now=10.0):
    """Hand a datagram to a machine; return what it answers."""
    machine.handle_message(data, source, now)
    answers = [answer for answer, _ in machine.outbox]
    machine.outbox.clear()
    return answers
