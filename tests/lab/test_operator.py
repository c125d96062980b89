"""Many mobile nodes' network namespaces: all have their addresses, and one program enters each."""

import textwrap

from tests.lab.needs import needs
from tests.lab.test_programs import carry_out

pytestmark = needs("namespaces", "veth", "bridge")

SCRIPT = """
import socket
from agents.shell.namespaces import Namespace
from topologies import operator
from topologies.model import HostRole, Shape, autoconfigured, link_local_address

topology = operator.build(mobile_nodes=NODES, access_routers=2)
topology = topology.with_links({kind: Shape(rate=0) for kind in ("access", "core", "home")})
began = time.monotonic()
with network(topology) as net:
    print(time.monotonic() - began < 30)
    hosts = topology.hosts_with(HostRole.MOBILE_NODE)
    net.publish(hosts)
    wrong = []
    for host in reversed(hosts):
        Namespace(host).enter()
        (link, _), = topology.at(host)
        prefix = operator.access_network(int(link.name[-1]))
        care_of = autoconfigured(prefix, link_local_address(topology, link, host))
        names = [name for _, name in socket.if_nameindex()]
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as own:
            own.bind((str(care_of), 716))
        if f"{host}-{link.name}" not in names:
            wrong.append(host)
    print(wrong, len(os.listdir("/proc/self/fd")) < 3 * NODES)
"""


def test_a_program_has_sockets_in_the_namespace_of_each_mobile_node(place):
    assert carry_out(textwrap.dedent("NODES = 50\n") + SCRIPT, place) == ["True", "[] True"]
