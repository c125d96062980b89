"""PANA in both dialects: messages in clear, and those that get a right AUTH."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from unittest import mock

from agents.core.machine import PeerError
from agents.core.reader import WireError
from agents.core.record import replace
from agents.eap.wire import Packet
from agents.pana.config import PaaConfig
from agents.pana.dialect import Dialect
from agents.pana.draft12 import DRAFT12
from agents.pana.encryption import HIDDEN, crypt, first_counter
from agents.pana.events import EapResponse as PanaEapResponse
from agents.pana.keys import SecurityAssociation
from agents.pana.paa import Paa
from agents.pana.rfc5191 import RFC5191
from agents.pana.wire import Avp, AvpName, Message
from tests.bad_bytes import layouts
from tests.bad_bytes.exchange import Alter, Exchange, Scene
from tests.bad_bytes.layouts import length_at
from tests.bad_bytes.target import Target
from tests.pana.fakes import FakeAaa, FakePeer, World


def is_eap(packet: bytes) -> bool:
    with suppress(WireError):
        return bool(Packet.decode(packet))
    return False


class Peer(FakePeer):
    """Discards what is no EAP, as a peer must."""

    def handle_request(self, packet: bytes) -> bytes | None:
        return super().handle_request(packet) if is_eap(packet) else None


class Aaa(FakeAaa):
    """Discards what is no EAP, as a server must."""

    def handle(self, paa: Paa, response: PanaEapResponse) -> None:
        if is_eap(response.packet):
            super().handle(paa, response)


def _hidden(message: Message, instead: bytes, sa: SecurityAssociation) -> Message:
    """Return what hides the home agent as octets say it, or those octets if they are no message."""
    try:
        return RFC5191.decode(instead)
    except (WireError, PeerError):
        counter = first_counter(sa.key_id, message.session, message.sequence)
        encap = Avp(AvpName.ENCRYPTION_ENCAP, crypt(sa.encrypt_key, counter, instead[16:]))
        clear = tuple(avp for avp in message.avps if avp.name not in HIDDEN)
        return replace(message, avps=(*clear, encap))


@contextmanager
def protected_by_pana(alter: Alter) -> Iterator[None]:
    """What stands in the place of a message's AVPs gets a right AUTH."""
    original = RFC5191.__class__.protect, DRAFT12.__class__.protect

    def protect(self, message, sa):
        whole = self.encode(message)
        instead = None if sa is None else alter(whole)
        if instead is None:
            way = original[0] if self is RFC5191 else original[1]
            return way(self, message, sa)
        if sa.encrypt_key:
            return original[0](self, _hidden(message, length_at(2, 2)(instead), sa), sa)
        auth = self.encode(
            replace(message, session=b"", avps=(Avp(AvpName.AUTH, bytes(sa.auth_length)),))
        )
        auth = auth[-8 - sa.auth_length :]
        data = length_at(2, 2)(instead + auth)
        return data[: -sa.auth_length] + sa.auth(data)

    with (
        mock.patch.object(RFC5191.__class__, "protect", protect),
        mock.patch.object(DRAFT12.__class__, "protect", protect),
    ):
        yield


def _world(dialect: Dialect, **more: Any) -> World:
    return World(dialect=dialect, peer=Peer(), aaa=Aaa(), **more)


def pana_scenes() -> list[Scene]:

    hiding = _world(RFC5191, pac={"encryption": True}, paa={"encryption": True})
    scenes = [Scene(hiding.link, hiding.pac, "start", 0.0)]
    for dialect in (RFC5191, DRAFT12):
        world = _world(dialect)
        scenes.append(Scene(world.link, world.pac, "start", 0.0))
        for what in ("ping", "reauthenticate", "terminate"):
            world = _world(dialect, pac={"renew_eap": Peer}).bootstrap(5)
            scenes.append(Scene(world.link, world.pac, what, 5.0))
            world = _world(dialect).bootstrap(5)
            scenes.append(Scene(world.link, world.paa, what, world.session_id, 5.0))
    return scenes


def exchange() -> Exchange:
    return Exchange(pana_scenes(), protected_by_pana)


def pana() -> Target:
    whole = exchange()
    return Target(
        whole.take,
        whole.seeds,
        layouts=(layouts.AVPS_OF_PANA, layouts.AVPS_OF_DRAFT),
        header=18,
        fix=length_at(4, 2, behind=2),
    )


def relay() -> Target:
    from agents.pana.relay import Relay
    from tests.pana.fakes import PAA, PAC

    sent = [data for _, _, data in World().bootstrap(5).link.sent]

    def take(data):
        between = Relay(PAA)
        between.from_pac(data, PAC, 0.0)
        between.from_paa(data, PAA, 0.0)
        paa = Paa(PaaConfig(relays=(PAC[0],)), rng=random.Random(1))
        paa.handle_message(data, PAC, 0.0)

    seeds = [*sent, *(RFC5191.relay(PAC, data) for data in sent)]
    return Target(take, seeds, layouts=(layouts.AVPS_OF_PANA,), header=16, fix=length_at(2, 2))
