"""A mobile node, the access network that lets it in, and home agents, all on one link."""

from __future__ import annotations

import random
from ipaddress import IPv6Address
from pathlib import Path

from agents.bootstrap.assignment import Assignment
from agents.bootstrap.keys import ike_psk
from agents.eap.server import EapServer
from agents.ikev2.config import Grant
from agents.mip6.codec import BindingAck, Status, decode, encode
from agents.nodes.ike_daemon.credentials import read_credentials
from agents.nodes.ike_daemon.ikev1 import Ikev1Daemon
from agents.nodes.ike_daemon.ikev2 import Ikev2Daemon
from agents.nodes.ike_daemon.ikev2_settings import Ikev2Settings
from agents.nodes.ike_daemon.settings import Ikev1Settings
from agents.nodes.keylog import KeyLog
from agents.nodes.mobile_node.eap import EapPeers
from agents.nodes.mobile_node.machine import MobileNode
from agents.nodes.mobile_node.settings import EapSettings, MobileNodeConfiguration, PanaSettings
from agents.nodes.tls import TlsSettings
from agents.pana.config import PaaConfig
from agents.pana.paa import Paa
from tests.eap.conversation import IDENTITY as NAME
from tests.eap.conversation import SERVER
from tests.ike import COA, HA, HOA
from tests.nodes.simulated import INTERFACE, Node
from tests.pana.fakes import PAA, PaaWithAaa

NEXT_COA = COA + 0x100
HOME = Assignment(HA, 64, HOA)
IKEV1 = Ikev1Settings(group="ecp256")
IKEV2 = Ikev2Settings(authentication="psk")
IKEV2_EAP = Ikev2Settings()
ACCESS = PanaSettings(paa=PAA[0], reauth_at=0)


def tls_settings(authority, files):
    return TlsSettings(
        ca=str(authority.ca_path), certificate=str(files.certificate), key=str(files.key)
    )


class Mobile(Node):
    """The mobile node, started; its other settings are those of its configuration."""

    def __init__(self, network, authority, *, launcher=None, **settings):
        super().__init__(network, "A", COA, NEXT_COA)
        self.kernel = self.mobile_node_kernel()
        tls = tls_settings(authority, authority.client)
        configuration = MobileNodeConfiguration(
            host="A",
            interface=INTERFACE,
            work="",
            eap=EapSettings(identity=NAME, server_name=SERVER, tls=tls),
            access=ACCESS,
            **settings,
        )
        self._node = MobileNode(
            configuration,
            self.host,
            self.kernel,
            COA,
            self.log,
            keys=KeyLog(),
            make_eap=EapPeers(configuration.eap, KeyLog()),
            credentials=read_credentials(tls, own=False),
            launch=launcher,
        )
        self._node.start()

    def command(self, name, *arguments):
        return self._node.commands()[name](*arguments)

    def close(self):
        self._node.close()


class AccessNetwork(Node):
    """A PAA, and behind it an AAA server that lets in whom EAP-TLS has authenticated.

    It tells of `assignment`, and of what `seal` makes of EAP's keys; `share` is called with those.
    """

    def __init__(self, network, authority):
        super().__init__(network, "B", IPv6Address(PAA[0]))
        self.assignment = None
        self.seal = lambda _keys: None
        self.share = lambda _keys: None
        self._authority = authority
        self._conversations = {}
        server = PaaWithAaa(Paa(PaaConfig(), rng=random.Random(1)), self)
        self.host.datagrams(server, PAA, lambda _: None)

    def handle(self, paa, response):
        """Take an EAP response (tests.pana.fakes)."""
        number, packet = response.session_id, response.packet
        if packet[4] == 1:  # An identity begins a conversation.
            self._conversations[number] = EapServer(self._authority.server_config())
        server = self._conversations[number]
        answer = server.handle_response(packet)
        if server.outcome == "success":
            self.share(server.keys)
            sealed = self.seal(server.keys)
            paa.accept(
                number, answer, server.keys.msk, 1e6, self.assignment, response.at, sealed=sealed
            )
        elif answer is not None:
            paa.eap_request(number, answer, response.at)


class HomeAgent(Node):
    """A home agent: its kernel takes Binding Updates under ESP alone, it accepts all of those."""

    def __init__(self, network, assignment=HOME, *, version=2, authority=None):
        super().__init__(network, "C", assignment.home_agent)
        self.updates = []
        self._assignment = assignment
        self._authority = authority
        self._conversations = {}
        self.kernel = self.home_agent_kernel(assignment.home_agent)
        self.kernel.prepare()
        self._socket = self.host.open_mobility_headers(assignment.home_agent, self._take)
        common = {"identity": None, "kernel": self.kernel, "keys": KeyLog(), "log": self.log}
        where = self.host, assignment.home_agent
        if version == 1:
            self.ike = Ikev1Daemon(*where, IKEV1, **common)
        elif authority is None:
            self.ike = Ikev2Daemon(*where, IKEV2, allocate=self._allocate, **common)
        else:
            folder = Path(authority.directory)
            certified = authority.ca.issue_server("ha.home.test", addresses=[assignment.home_agent])
            files = certified.write(folder, "ha")
            common["identity"] = "ha.home.test"
            common["credentials"] = read_credentials(tls_settings(authority, files), own=True)
            self.ike = Ikev2Daemon(*where, IKEV2_EAP, **common)
            self.ike.on_eap = self._on_eap
        self.ike.open()
        self.version = version

    def assign(self, assignment):
        """Let the mobile node have another home address from now on."""
        self._assignment = assignment

    def share(self, keys):
        """Share a key with the mobile node, made from EAP's."""
        psk = ike_psk(keys.msk, self._assignment)
        self.ike.remove_psk(NAME)
        home = self._assignment.home_address
        self.ike.add_psk(psk, peer=COA, identity=NAME, home_address=home)

    def _allocate(self, _identity, _asked):
        return Grant(self._assignment.home_address)

    def _on_eap(self, event):
        spi = event.ike_spi
        if spi not in self._conversations:
            self._conversations[spi] = EapServer(self._authority.server_config())
        server = self._conversations[spi]
        answer = server.handle_response(event.packet)
        if server.outcome == "success":
            grant, msk = self._allocate(NAME, None), server.keys.msk
            self.ike.eap_success(spi, answer, msk, identity=NAME, grant=grant, lifetime=None)
        elif answer is not None:
            self.ike.eap_request(spi, answer)

    def _take(self, data, source):
        update = decode(data)
        self.updates.append(update)
        self.kernel.reach(IPv6Address(source[0]), update.care_of)
        accepted = BindingAck(Status.ACCEPTED, update.sequence, update.lifetime)
        self._socket.send(encode(accepted), source)

    def end(self):
        """Delete the SAs of the mobile node."""
        self.ike.delete_identity(NAME)
