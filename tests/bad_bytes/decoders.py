"""What turns octets into values: each format's own reading, whatever is made of it later."""

from __future__ import annotations

import hmac
import struct
from collections.abc import Callable, Sequence
from ipaddress import IPv6Address, IPv6Network
from unittest import mock

from agents.bootstrap.sealed import (
    KEY_LABEL,
    ROOT_LABEL,
    VERSION,
    SealContext,
    SealError,
    seal,
    unseal,
)
from agents.core.machine import PeerError
from agents.core.reader import WireError
from agents.crypto.emsk import derive, usage_root_key
from agents.dhcpv6 import grammar as dhcpv6_grammar
from agents.dhcpv6.home import Home, read_first, requested
from agents.dhcpv6.wire import Message as Dhcpv6Message
from agents.dhcpv6.wire import MessageType, OptionCode, RelayMessage
from agents.diameter.capabilities import Capabilities
from agents.diameter.eap import DiameterEapAnswer, DiameterEapRequest
from agents.diameter.grammar import check as check_diameter
from agents.diameter.sessions import KeyAnswer, KeyRequest, SessionRequest
from agents.diameter.wire import Message as DiameterMessage
from agents.dns.wire import Answer, in_order
from agents.eap.wire import Packet, Reassembly, TlsData
from agents.ike.identities import Identity
from agents.ikev1 import wire as ikev1
from agents.ikev2 import payloads as ikev2
from agents.ikev2.certificates import decode_certificates
from agents.ikev2.grammar import Contents
from agents.ikev2.wire import decode_chain, split_datagram
from agents.kernel import links, netlink, xfrm
from agents.kernel.netlink import Reply, attribute
from agents.kernel.port import KernelError
from agents.mip6 import codec, neighbour, prefixes
from agents.pana.draft12 import DRAFT12
from agents.pana.mobility import read_assignment, read_capability
from agents.pana.rfc5191 import RFC5191
from agents.shell.sockets import carrier
from tests.bad_bytes import layouts
from tests.bad_bytes.layouts import length_at
from tests.bad_bytes.target import Target

WRONG = (WireError, PeerError)


def choice(ways: Sequence[Callable[[bytes], object]]) -> Callable[[bytes], object]:
    """Return what has the first octet say by which way the rest is read."""

    def take(data: bytes) -> object:
        return ways[data[0] % len(ways)](data[1:]) if data else None

    return take


def pana() -> Target:
    from tests.pana.fakes import World

    dialects = (RFC5191, DRAFT12)

    def read(dialect):
        def take(data):
            message = dialect.decode(data)
            dialect.check(message)
            dialect.label(message)
            read_capability(message)
            read_assignment(message)
            dialect.decode(dialect.encode(message))

        return take

    seeds = [
        bytes([number]) + data
        for number, dialect in enumerate(dialects)
        for _, _, data in World(dialect=dialect).bootstrap(5).link.sent
    ]
    return Target(
        choice([read(dialect) for dialect in dialects]),
        seeds,
        WRONG,
        (layouts.AVPS_OF_PANA, layouts.AVPS_OF_DRAFT),
        header=17,
        fix=length_at(3, 2, behind=1),
    )


def eap() -> Target:
    def take(data):
        packet = Packet.decode(data)
        assert Packet.decode(packet.encode()) == packet
        reassembly = Reassembly()
        part = TlsData.decode(packet.data)
        for _ in range(3):
            reassembly.add(part)

    seeds = [b"\1\1\0\5\1", b"\2\1\0\x0b\1mn@a.b", b"\1\2\0\6\x0d\x20", b"\3\1\0\4"]
    seeds.append(b"\1\2\0\x0e\x0d\xc0\0\0\0\7\x16\3\3\0")
    return Target(take, seeds, WRONG, fix=length_at(2, 2))


def diameter() -> Target:
    from tests.diameter import samples
    from tests.diameter.test_sessions import ANSWER, END, REQUEST

    readers = [
        DiameterEapRequest.from_message,
        DiameterEapAnswer.from_message,
        KeyRequest.from_message,
        KeyAnswer.from_message,
        SessionRequest.from_message,
        Capabilities.of,
        check_diameter,
    ]

    def read(reader):
        def take(data):
            message = DiameterMessage.decode(data)
            assert DiameterMessage.decode(message.encode()) == message
            reader(message)

        return take

    messages = [samples.REQUEST, samples.ANSWER, REQUEST, ANSWER, END]
    seeds = [
        bytes([number]) + message.to_message().encode()
        for message in messages
        for number in range(len(readers))
    ]
    ways = choice([read(reader) for reader in readers])
    return Target(ways, seeds, WRONG, (layouts.AVPS,), header=21, fix=length_at(2, 3, behind=1))


def radius() -> Target:
    from agents.nodes.radius_eap import read_answer, read_request
    from agents.radius.protection import check_answer, check_request
    from agents.radius.wire import Code
    from agents.radius.wire import Packet as RadiusPacket
    from tests.radius import test_oracles as samples

    def packet(reader):
        def take(data):
            read = RadiusPacket.decode(data)
            if len(data) < 1000:  # A vendor's attributes are sent one by one, which takes more.
                assert RadiusPacket.decode(read.encode()) == read
            reader(read)

        return take

    def signed(data):
        """Have what follows the header come from somebody who has the secret."""
        head = struct.pack("!BBH16s", 1, 7, 38 + len(data[20:]), bytes(16)) + b"\x50\x12"
        whole = head + bytes(16) + data[20:]
        code = hmac.digest(samples.SECRET, whole, "md5")
        check_request(head + code + data[20:], samples.SECRET)

    readers = [
        packet(lambda read: read_request(read, "nas.test", ("aaa.test", "test"))),
        packet(lambda read: read_answer(read, "1", ("aaa.test", "test"))),
        lambda data: check_request(data, samples.SECRET),
        lambda data: check_answer(data, bytes(16), samples.SECRET),
        signed,
    ]
    asked = samples.request()
    packets = [asked, samples.answer(Code.ACCESS_ACCEPT, asked)]
    seeds = [bytes([number]) + data for data in packets for number in range(len(readers))]
    return Target(
        choice(readers),
        seeds,
        WRONG,
        (layouts.ATTRIBUTES_OF_RADIUS,),
        header=21,
        fix=length_at(3, 2, behind=1),
    )


def bodies_of_ikev1() -> Target:
    ways = [
        ikev1.split_datagram,
        lambda data: ikev1.decode_plain(1, data),
        lambda data: ikev1.decode_padded(8, data),
        ikev1.SecurityAssociation.decode,
        lambda data: [a.seconds for a in ikev1.decode_attributes(data, 0)],
        Identity.decode,
        ikev1.Notification.decode,
        ikev1.Deletion.decode,
    ]
    from tests.ikev1.peers import AGGRESSIVE, FAST, Peers

    seeds = []
    for config in (FAST, AGGRESSIVE):
        peers = Peers(config)
        peers.connect(1.0)
        for data in peers.sent:
            seeds += [b"\0" + data, b"\1" + data[28:]]
            if not data[19] & 1:
                seeds += [bytes([3]) + p.body for p in ikev1.decode_plain(data[16], data[28:])]
    return Target(choice(ways), seeds, WRONG, (layouts.PAYLOADS, layouts.ATTRIBUTES_OF_IKE), 1)


def bodies_of_ikev2() -> Target:
    def configuration(data):
        read = ikev2.Configuration.decode(data)
        return read.address, read.home_prefix

    def identity(data):
        read = Identity.decode(data)
        return read.text, read.address

    ways = [
        split_datagram,
        lambda data: Contents.of(decode_chain(data[0] if data else 33, data[1:])),
        ikev2.SecurityAssociation.decode,
        ikev2.KeyExchange.decode,
        identity,
        ikev2.Tagged.decode,
        ikev2.Authentication.decode,
        ikev2.Notification.decode,
        ikev2.Deletion.decode,
        ikev2.decode_selectors,
        configuration,
        lambda data: decode_certificates([data]),
    ]
    from tests.ikev2.peers import Peers
    from tests.ikev2.test_ikev2_wire import BODIES

    peers = Peers()
    peers.connect(1.0)
    seeds = [b"\0" + data for data in peers.sent]
    seeds += [b"\1" + data[16:17] + data[28:] for data in peers.sent[:2]]
    seeds += [bytes([n]) + body.encode() for body in BODIES for n in range(2, 11)]
    return Target(choice(ways), seeds, WRONG, (layouts.PAYLOADS, layouts.ATTRIBUTES_OF_IKE), 1)


def mobility() -> Target:
    from tests.mip6.test_codec import MESSAGES

    def take(data):
        message = codec.decode(data)
        assert codec.decode(codec.encode(message)) == message

    def fix(data):
        data += bytes(-len(data) % 8)
        return b"\x3b" + bytes([(len(data) // 8 - 1) & 0xFF]) + data[2:] if data else data

    seeds = [codec.encode(message) for message in MESSAGES]
    return Target(take, seeds, WRONG, (layouts.MOBILITY_OPTIONS,), header=6, fix=fix)


def prefix_discovery() -> Target:
    from tests.mip6.test_prefixes import ANSWERED, ASKED

    def take(data):
        message = prefixes.decode(data)
        assert prefixes.decode(message.encode()) == message

    return Target(take, [ASKED.encode(), ANSWERED.encode(), ANSWERED.encode() * 2], WRONG)


def router_advertisements() -> Target:
    """What movement detection makes of what routers on its link say, in each of its states."""
    from tests.mip6.test_movement import ANOTHER, HERE, ROUTER, Mobile, advertisement

    known = advertisement(HERE)

    def take(data):
        mobile = Mobile()
        for prepare in (lambda: None, lambda: mobile.machine.start(mobile.now)):
            prepare()
            for source in (ROUTER, ANOTHER, ("", 0), ("::", 0)):
                mobile.hear(data, source)
                mobile.wait(1.0)
            mobile.hear(known, ROUTER)
        mobile.wait(60.0)

    return Target(take, [known, advertisement(), advertisement() * 2])


def destination_options() -> Target:
    address = IPv6Address("2001:db8:a::2").packed
    seeds = [b"\x87\2\1\2\0\0\xc9\x10" + address, b"\x87\0\1\4" + bytes(4)]
    return Target(carrier, seeds)


def neighbours() -> Target:
    agent = IPv6Address("2001:db8:100::1")
    seeds = [
        neighbour.solicitation(agent, bytes(6)),
        neighbour.advertisement(agent, agent, bytes(6)),
    ]
    return Target(neighbour.read_claim, seeds, fix=length_at(4, 2, behind=40))


def dhcpv6() -> Target:
    from tests.dhcpv6.world import World

    def take(data):
        if data[:1] and data[0] in (MessageType.RELAY_FORWARD, MessageType.RELAY_REPLY):
            relayed = RelayMessage.decode(data)
            dhcpv6_grammar.check(relayed)
            supplied = relayed.first(OptionCode.RSOO)
            return supplied and supplied.as_options()
        message = Dhcpv6Message.decode(data)
        dhcpv6_grammar.check(message)
        requested(message.first(OptionCode.ORO))
        return [read_first(message.all(home), "home.test") for home in Home]

    seeds = [
        data
        for homes in ([Home.IDENTIFIED, Home.UNRESTRICTED], [Home.LOCAL])
        for _, _, data in World(homes).run().sent
    ]
    return Target(take, seeds, WRONG, (layouts.OPTIONS,), header=4)


def dns() -> Target:
    import random

    def take(data):
        answer = Answer.decode(data)
        for target in answer.targets:
            answer.addresses_of(target.name)
        list(in_order(answer.targets, random.Random(1)))

    return Target(take, _dns_answers(), WRONG)


def _dns_answers() -> list[bytes]:
    import dns.message

    from tests.dns.test_home_agent_lookup import AAAA, AAAA2, FULL, SERVICE, SRV, Server

    alias = f"{SERVICE}. 300 IN CNAME other.home.test."
    tables = [
        FULL,
        {(SERVICE, "SRV"): ((SRV,), ())},
        {(SERVICE, "SRV"): ((alias, SRV.replace(SERVICE, "other.home.test")), (AAAA, AAAA2))},
        {},
    ]
    question = dns.message.make_query(f"{SERVICE}.", "SRV", use_edns=0, id=7)
    return [Server(table).answer(question).to_wire() for table in tables]


def kernel() -> Target:
    def reading(read):
        return lambda data: read([Reply(24, 1, data)])

    def one(kind, read):
        return lambda data: read(Reply(kind, 1, data))

    request = netlink.Request("it", 0, 0, b"")
    ways = [
        lambda data: _netlink(data).notifications(),
        lambda data: _netlink(data).dump(request),
        lambda data: _netlink(data).transact([request, request]),
        one(xfrm.NEW_SA, xfrm.decode_sa),
        one(xfrm.ACQUIRE, xfrm.decode_acquire),
        one(16, links.decode_advertised),
        one(24, links.decode_route),
        reading(links.decode_addresses),
        reading(lambda replies: links.owned_proxies(replies, 0)),
        reading(links.owned_verdicts),
        lambda data: links.owned_rules([Reply(32, 1, data)], links.OWNER),
    ]
    network = IPv6Network("2001:db8::/64")
    agent = IPv6Address("2001:db8:100::1")
    requests = [
        links.put_route(network, 1).body,
        links.verdict(7, links.BLACKHOLE, source=agent, destination=agent),
        links.add_proxy(agent, 0).body,
        links.rule(7, table=7, owner=links.OWNER),
        bytes(16) + attribute(26, attribute(10, attribute(1, b"\x60\0\0\0"))),
        bytes(300),
    ]
    header = struct.pack("=IHHII", 36, 2, 0, 1, 0)
    requests += [header + bytes(20), header + b"\xea\xff\xff\xff" + bytes(16)]
    seeds = [bytes([number]) + body for number in range(len(ways)) for body in requests]
    return Target(choice(ways), seeds, (KernelError, _OverError), (layouts.NETLINK,), header=1)


class _OverError(Exception):
    """The kernel has no more to say."""


class _Kernel:
    """The kernel's end of a netlink socket, which says one thing."""

    def __init__(self, said: bytes) -> None:
        self._said = [said]

    def recv(self, _size: int) -> bytes:
        if not self._said:
            raise _OverError
        return self._said.pop()

    def __getattr__(self, _name: str) -> Callable[..., None]:
        return lambda *_: None


def _netlink(said: bytes) -> netlink.NetlinkSocket:
    with mock.patch("agents.kernel.netlink.socket.socket", return_value=_Kernel(said)):
        return netlink.NetlinkSocket(netlink.ROUTE)


def sealed() -> Target:
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV

    from tests.diameter.samples import ASSIGNMENT

    emsk, context = bytes(64), SealContext("mn@home.test", bytes(65))
    key = derive(usage_root_key(emsk, ROOT_LABEL), KEY_LABEL, context.session_id)
    cipher, bound = AESSIV(key), context.associated_data()
    version = bytes([VERSION])

    def take(content):
        unseal(version + cipher.encrypt(content, bound), emsk, context)

    seeds = [cipher.decrypt(seal(one, emsk, context)[1:], bound) for one in (None, ASSIGNMENT)]
    return Target(take, seeds, (SealError, ValueError))


ALL = {
    "pana": pana,
    "eap": eap,
    "diameter": diameter,
    "radius": radius,
    "ikev1": bodies_of_ikev1,
    "ikev2": bodies_of_ikev2,
    "mobility": mobility,
    "neighbours": neighbours,
    "prefix-discovery": prefix_discovery,
    "router-advertisements": router_advertisements,
    "destination-options": destination_options,
    "dhcpv6": dhcpv6,
    "dns": dns,
    "kernel": kernel,
    "sealed": sealed,
}
