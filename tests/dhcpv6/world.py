"""A client, a relay agent and a small DHCPv6 server on a virtual clock."""

from __future__ import annotations

import heapq
import random
from collections import deque
from ipaddress import IPv6Address, IPv6Network
from itertools import count

from agents.bootstrap.assignment import Assignment
from agents.dhcpv6.client import InformationRequest
from agents.dhcpv6.grammar import check
from agents.dhcpv6.home import Home, HomeInformation, requested
from agents.dhcpv6.relay import Relay
from agents.dhcpv6.wire import (
    Message,
    MessageType,
    Option,
    OptionCode,
    RelayMessage,
)

CLIENT = ("fe80::200:ff:fe00:1%A-eth0", 546)
CARE_OF = IPv6Address("2001:db8:1::200:ff:fe00:1")
RELAY_ACCESS = ("fe80::b%A-eth0", 547)
LINK_ADDRESS = IPv6Address("2001:db8:1::b")
RELAY = ("2001:db8:2::b", 547)
SERVER = ("2001:db8:2::d", 547)
DUID = bytes.fromhex("00030001020000000001")
SERVER_DUID = bytes.fromhex("000200007ed901")
NETWORK = "home.test"
HOME = Assignment(IPv6Address("2001:db8:100::1"), 64, IPv6Address("2001:db8:100::1234"))
VISITED = HomeInformation(
    Home.LOCAL,
    prefixes=(IPv6Network("2001:db8:99::/64"),),
    addresses=(IPv6Address("2001:db8:99::1"),),
)
UNKNOWN = Option(4242, b"\x01\x02\x03")


class Server:
    """Answers Information-requests; `extra` options go into every Reply."""

    def __init__(self, local=VISITED, extra=(UNKNOWN,)):
        self.outbox = deque()
        self.events = deque()
        self.local = local
        self.extra = tuple(extra)
        self.requests = []

    def next_timeout(self):
        return None

    def handle_timeout(self, now):
        pass

    def handle_message(self, data, source, _now):
        if data[0] != MessageType.RELAY_FORWARD:
            self.outbox.append((self.reply(Message.decode(data)).encode(), source))
            return
        forward = RelayMessage.decode(data)
        check(forward)
        rsoo = forward.first(OptionCode.RSOO)
        supplied = rsoo.as_options() if rsoo else ()
        reply = self.reply(Message.decode(forward.value(OptionCode.RELAY_MSG)), supplied)
        options = (
            forward.first(OptionCode.INTERFACE_ID),
            Option(OptionCode.RELAY_MSG, reply.encode()),
        )
        back = RelayMessage(
            MessageType.RELAY_REPLY,
            forward.hop_count,
            forward.link_address,
            forward.peer_address,
            options,
        )
        self.outbox.append((back.encode(), source))

    def reply(self, request, supplied=()):
        check(request)
        self.requests.append(request)
        asked = requested(request.first(OptionCode.ORO))
        options = [request.first(OptionCode.CLIENT_ID), Option(OptionCode.SERVER_ID, SERVER_DUID)]
        if self.local and Home.LOCAL in asked:
            options.append(self.local.to_option())
        options += [option for option in supplied if option.code in asked]
        return Message(
            MessageType.REPLY, request.transaction_id, (*filter(None, options), *self.extra)
        )


class World:
    """Delivers datagrams after `delay`; `drop` holds indices of those that are lost."""

    def __init__(self, homes=(Home.IDENTIFIED,), *, relayed=True, drop=(), server=None, **client):
        rng = random.Random(7)
        options = {"rng": rng, "network": NETWORK, "interface": "A-eth0", "max_delay": 0.0}
        self.client = InformationRequest(DUID, homes, **{**options, **client})
        self.server = server or Server()
        self.relay = Relay(interface="B-access", link_address=LINK_ADDRESS, servers=[SERVER])
        self.relayed = relayed
        self.sent = []
        self.now = 0.0
        self.delay = 0.005
        self._drop = frozenset(drop)
        self._order = count()
        self._flying = []

    def _from_client(self):
        if self.relayed:
            return self.relay.from_client, (CLIENT[0].replace("A-eth0", "B-access"), 546)
        return self.server.handle_message, CLIENT

    def _from_relay(self, destination):
        if "%" in destination[0]:
            assert destination == ("fe80::200:ff:fe00:1%B-access", 546)
            return self.client.handle_message, RELAY_ACCESS
        assert destination == SERVER
        return self.server.handle_message, RELAY

    def _from_server(self):
        if self.relayed:
            return self.relay.from_server, SERVER
        return self.client.handle_message, ("fe80::d%A-eth0", 547)

    def _collect(self):
        for machine in (self.client, self.relay, self.server):
            while machine.outbox:
                data, destination = machine.outbox.popleft()
                if machine is self.client:
                    target, source = self._from_client()
                elif machine is self.relay:
                    target, source = self._from_relay(destination)
                else:
                    target, source = self._from_server()
                index = len(self.sent)
                self.sent.append((self.now, source, data))
                if index not in self._drop:
                    entry = (self.now + self.delay, next(self._order), target, data, source)
                    heapq.heappush(self._flying, entry)

    def run(self, until=60.0):
        if not self.client.next_timeout() and not self.client.outbox:
            self.client.start(self.now)
        while True:
            self._collect()
            times = [t for t in (self.client.next_timeout(),) if t is not None]
            times += [entry[0] for entry in self._flying[:1]]
            if not times or min(times) > until:
                self.now = until
                return self
            self.now = max(self.now, min(times))
            if self._flying and self._flying[0][0] <= self.now:
                _, _, target, data, source = heapq.heappop(self._flying)
                target(data, source, self.now)
            else:
                self.client.handle_timeout(self.now)

    def only(self, kind):
        return [event for event in self.client.events if type(event) is kind]
