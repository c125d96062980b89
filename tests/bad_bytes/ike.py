"""IKEv1 and IKEv2: messages in clear, and payloads that are encrypted with the right keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import IPv6Address
from typing import Any
from unittest import mock

from agents.core.machine import Address
from agents.core.record import replace
from agents.ike.selectors import Selectors
from agents.ikev1 import aggressive_mode, main_mode, quick_mode
from agents.ikev1.wire import Payload as Payload1
from agents.ikev2 import EapResponse, Ikev2
from agents.ikev2.sealing import Sealer
from agents.ikev2.wire import Payload as Payload2
from tests.bad_bytes import layouts
from tests.bad_bytes.exchange import Alter, Exchange, Scene
from tests.bad_bytes.layouts import TYPED, length_at
from tests.bad_bytes.pana import Peer, is_eap
from tests.bad_bytes.target import Target
from tests.link import Link
from tests.pana.fakes import MSK, eap


def _typed(payloads: Sequence[Any]) -> bytes:
    return TYPED.join([(bytes((p.type, 0, 0)), p.body) for p in payloads])


def _payloads(octets: bytes, kind: type) -> list[Any]:
    """Return what an input says in the place of payloads; a rest is one without a type."""
    items = TYPED.split(octets) or [(octets[:1] or b"\0", octets[1:])]
    return [kind(head[0], value) for head, value in items]


@contextmanager
def sealed_by_ikev2(alter: Alter) -> Iterator[None]:
    original = Sealer.seal

    def seal(self, header, payloads):
        # What comes before the payloads is the exchange type, and how far the message ID is off.
        instead = alter(bytes((header.exchange, 0)) + _typed(payloads))
        if instead is not None and len(instead) >= 2:
            number = (header.message_id + instead[1]) % (1 << 32)
            header = replace(header, exchange=instead[0], message_id=number)
            payloads = _payloads(instead[2:], Payload2)
        return original(self, header, payloads)

    with mock.patch.object(Sealer, "seal", seal):
        yield


@contextmanager
def sealed_by_ikev1(alter: Alter) -> Iterator[None]:
    in_phase1, in_phase2 = main_mode.encode_sealed, quick_mode.Sealer.seal

    def encode_sealed(n, keys, iv, payloads):
        instead = alter(_typed(payloads))
        return in_phase1(n, keys, iv, payloads if instead is None else _payloads(instead, Payload1))

    def seal(self, exchange, message_id, iv, payloads, *, digest):
        instead = alter(bytes((exchange,)) + _typed(payloads))
        if instead:
            exchange, payloads = instead[0], _payloads(instead[1:], Payload1)
        return in_phase2(self, exchange, message_id, iv, payloads, digest=digest)

    with (
        mock.patch.object(main_mode, "encode_sealed", encode_sealed),
        mock.patch.object(aggressive_mode, "encode_sealed", encode_sealed),
        mock.patch.object(quick_mode.Sealer, "seal", seal),
    ):
        yield


def ikev2_scenes() -> list[Scene]:
    from tests.ike import COA, ENDS, HA
    from tests.ikev2.peers import ASSIGN, FAST, SELECTORS, Peers
    from tests.ikev2.people import HA_NAME, MN_NAME, People, between, grant

    people = People.make("p256")
    of_certificates = Peers(
        replace(FAST, identity=MN_NAME),
        replace(FAST, identity=HA_NAME),
        psk=None,
        credentials=people.mn,
        ha_credentials=people.ha,
        allocate=grant,
    )
    by_eap, of_keys = between(people), Peers()
    eap_link = Link(by_eap.mn, ENDS[0], _WithAaa(by_eap.ha), ENDS[1])
    scenes = [
        Scene(of_keys.link, of_keys.mn, "initiate", HA, SELECTORS, 0.0),
        Scene(of_certificates.link, of_certificates.mn, "initiate", HA, ASSIGN, 0.0),
        Scene(eap_link, _ByEap(by_eap.mn), "initiate", HA, ASSIGN),
    ]
    for what in ("rekey_children", "rekey_ike", "delete"):
        for end in ("mn", "ha"):
            peers = Peers()
            peers.connect(1.0)
            there = HA if end == "mn" else COA
            scenes.append(Scene(peers.link, getattr(peers, end), what, there, 1.0))
    return scenes


class _ByEap:
    """A mobile node that authenticates by EAP."""

    def __init__(self, mn: Ikev2) -> None:
        self._mn = mn

    def initiate(self, peer: IPv6Address, selectors: Selectors) -> None:
        self._mn.initiate(peer, selectors, 0.0, eap=Peer(1), remote_identity="ha.home.test")


class _WithAaa:
    """A home agent whose AAA server lets in whoever has answered twice."""

    def __init__(self, ha: Ikev2) -> None:
        self._ha = ha
        self.outbox, self.events = ha.outbox, ha.events
        self.next_timeout, self.handle_timeout = ha.next_timeout, ha.handle_timeout

    def handle_message(self, data: bytes, source: Address, now: float) -> None:
        self._ha.handle_message(data, source, now)
        for event in [e for e in self.events if isinstance(e, EapResponse)]:
            self.events.remove(event)
            if not is_eap(event.packet):
                continue
            code, identifier, kind = event.packet[0], event.packet[1], event.packet[4:5]
            if code == 2 and kind == b"\1":
                self._ha.eap_request(event.ike_spi, eap(1, identifier + 1 & 255, b"\xffround"), now)
            elif code == 2:
                name, success = "mn@home.test", eap(3, identifier + 1 & 255)
                self._ha.eap_success(event.ike_spi, success, MSK, now, identity=name)
            else:
                self._ha.eap_failure(event.ike_spi, eap(4, identifier), now, "no")


def ikev2_exchange() -> Exchange:
    return Exchange(ikev2_scenes(), sealed_by_ikev2)


def ikev2() -> Target:
    return _ike_target(ikev2_exchange())


def _ike_target(exchange: Exchange) -> Target:
    return Target(
        exchange.take,
        exchange.seeds,
        layouts=(TYPED, layouts.PAYLOADS, layouts.ATTRIBUTES_OF_IKE, layouts.DER),
        header=2,
        fix=_fix_ike,
    )


def _fix_ike(data: bytes) -> bytes:
    """Put the length right of what looks like a whole message."""
    return length_at(26, 4, behind=2)(data) if len(data) > 30 and data[19] in (0x10, 0x20) else data


def ikev1_scenes() -> list[Scene]:
    from tests.ike import COA, HA
    from tests.ikev1.peers import AGGRESSIVE, FAST, SELECTORS, Peers

    scenes = []
    for config in (FAST, AGGRESSIVE, replace(FAST, pfs=19)):
        peers = Peers(config)
        scenes.append(Scene(peers.link, peers.mn, "initiate", HA, SELECTORS, 0.0))
    for end, there in (("mn", HA), ("ha", COA)):
        peers = Peers()
        peers.connect(1.0)
        scenes.append(Scene(peers.link, getattr(peers, end), "delete", there, 1.0))
    peers = Peers()
    peers.connect(1.0)
    return [*scenes, Scene(peers.link, peers.mn, "initiate", HA, SELECTORS, 1.0)]


def ikev1_exchange() -> Exchange:
    return Exchange(ikev1_scenes(), sealed_by_ikev1)


def ikev1() -> Target:
    return _ike_target(ikev1_exchange())
