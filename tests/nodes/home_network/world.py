"""A home network on the virtual clock whose AAA server says what a test wants."""

from __future__ import annotations

from collections import deque
from ipaddress import IPv6Address

from agents.aaa.events import (
    SessionEnded,
    SubscriberAuthenticated,
    SubscriberVerified,
    VerificationWithdrawn,
)
from agents.aaa.policy import Place
from agents.bootstrap.assignment import Assignment
from agents.bootstrap.keys import ike_psk
from agents.core.machine import Event
from agents.diameter.eap import DiameterEapAnswer, DiameterEapRequest
from agents.diameter.errors import ResultCode
from agents.diameter.mobility import MobilityRequest
from agents.diameter.sessions import SessionRequest
from agents.nodes.aaa_client import AaaClient
from agents.nodes.diameter_settings import AaaClientConfiguration, DiameterPeer
from agents.nodes.home_agent.settings import HomeAgentSettings
from agents.nodes.home_network.machine import HomeNetwork
from agents.nodes.home_network.settings import HomeNetworkConfiguration
from agents.nodes.ike_daemon.ikev2_settings import Ikev2PskSettings
from agents.nodes.ike_daemon.settings import Ikev1Settings
from agents.nodes.tls import TlsSettings
from tests.nodes.aaa import SERVER
from tests.nodes.net import AAA, COA, HA, HOME, NAS, Net
from tests.nodes.subscriber import Subscriber

NAME, OTHER, STATIC = "mn@home.test", "other@home.test", "static@home.test"
HOA = IPv6Address("2001:db8:100::1234")
LIFETIME = 600.0


class HomeAaa:
    """Stands in for the home AAA server: tells `events` with its next answer."""

    pending = False

    def __init__(self) -> None:
        self.events: deque[Event] = deque()
        self.outbox: deque[SessionRequest] = deque()

    def handle(self, request: DiameterEapRequest, _now: float) -> DiameterEapAnswer:
        code = ResultCode.MULTI_ROUND_AUTH
        return DiameterEapAnswer(request.session_id, code, SERVER.host, SERVER.realm)

    def commit(self, _now: float) -> None:
        pass

    def hear_load(self, _host: str, _load: int) -> None:
        pass

    def next_timeout(self) -> None:
        return None


class World:
    """The home network on C, with IKE of one version, and an AAA client on B.

    Keys come from root keys, which go by their numbers.
    """

    def __init__(self, version: int, *, keys=None, launched=None, **settings) -> None:
        self.version = version
        self.net = Net()
        self.kernel = self.net.home_agent()
        self._aaa = HomeAaa()
        self._nodes: dict[str, Subscriber] = {}
        configuration = HomeNetworkConfiguration(
            host="C",
            diameter_identity=SERVER.host,
            diameter_realm=SERVER.realm,
            diameter_address=AAA,
            diameter_peers=(DiameterPeer(host="b.test", realm="test", sources=(NAS,)),),
            subscribers="",
            leases="",
            tls=TlsSettings(ca="", certificate="", key=""),
            work="",
            home_agent=HomeAgentSettings(
                address=str(HA), interface="home", prefix=HOME, duplicate_address_detection=False
            ),
            ikev1=Ikev1Settings(group="ecp256") if version == 1 else None,
            ikev2=Ikev2PskSettings() if version == 2 else None,
            **{"psk_source": "emsk", "session_lifetime": LIFETIME, **settings},
        )
        self._node = HomeNetwork(
            configuration,
            self.net.program("C"),
            self.kernel,
            self._aaa,
            self.net.log("C"),
            keys=keys or {},
            launched=launched,
        )
        up = []
        self._node.start(lambda: up.append(True))
        router = AaaClientConfiguration(
            host="B", diameter_identity="b.test", diameter_realm="test", home=SERVER
        )
        self._client = AaaClient(router, self.net.program("B"), self.net.log("B"), epoch=1)
        self._client.start(lambda: up.append(True))
        assert self.net.run(5.0, lambda: len(up) == 2)
        assert up == [True, True]

    def _tell(self, event: Event) -> None:
        """Have the AAA server tell something with its answer to a request."""
        answers = []
        self._aaa.events.append(event)
        self._client.ask(1, b"", answers.append, asked=MobilityRequest(), care_of=COA)
        assert self.net.run(1.0, lambda: answers)

    def authenticate(self, root, name=NAME, home=HOA, care_of=COA, place=Place.HOME) -> None:
        now, assignment = self.net.clock.now, Assignment(HA, 56, home)
        self._tell(
            SubscriberAuthenticated(now, name, assignment, care_of, bytes(64), _root(root), place)
        )

    def verify(self, root, name=NAME, home=HOA, care_of=COA) -> None:
        now, assignment = self.net.clock.now, Assignment(HA, 56, home)
        self._tell(SubscriberVerified(now, name, assignment, care_of, _root(root)))

    def withdraw(self, root, name=NAME, home=HOA) -> None:
        now, assignment = self.net.clock.now, Assignment(HA, 56, home)
        self._tell(VerificationWithdrawn(now, name, assignment, _root(root)))

    def end(self, name=NAME) -> None:
        self._tell(SessionEnded(self.net.clock.now, name, "withdrawn"))

    def connect(self, root, name=NAME, home=HOA, care_of=COA) -> Subscriber:
        """Have a mobile node try to make SAs with a key; the one on the same host is gone then."""
        psk = root if isinstance(root, bytes) else psk_of(root, home)
        if before := self._nodes.get(self.net.host_of(care_of)):
            before.vanish()
        node = self._nodes[self.net.host_of(care_of)] = Subscriber(self.net, care_of)
        if self.version == 1:
            node.ikev1(psk, home)
        else:
            node.ikev2(name, psk=psk)
        return node

    def takes(self, root, *args, **who) -> bool:
        """Return whether a key is good for SAs."""
        return self.connect(root, *args, **who).secured

    def bound(self) -> set[IPv6Address]:
        """Return the home addresses that are registered."""
        return set(self.kernel.bound)

    def stop(self) -> None:
        """Have the home network's program end."""
        stopped = []
        self._node.stop(lambda: stopped.append(True))
        assert self.net.run(10.0, lambda: stopped)


def _root(number: int) -> bytes:
    return bytes([number]) * 64


def psk_of(number: int, home: IPv6Address = HOA) -> bytes:
    """Return the key that follows from a root key for a home address."""
    return ike_psk(_root(number), Assignment(HA, 56, home))
