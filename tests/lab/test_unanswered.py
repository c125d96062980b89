"""Datagrams to addresses that nobody has do not keep others from theirs."""

import asyncio
from pathlib import Path

import pytest

from agents.shell.sockets import DatagramSocket
from tests.lab.namespaces import Host
from tests.lab.needs import needs

pytestmark = needs("veth")
PORT = 4242


@pytest.fixture
def host():
    host = Host("alone")
    yield host
    host.close()


# RFC 6583 section 6: what waits for link-layer addresses is charged to the socket that sent it.
@pytest.mark.parametrize("strangers", [900])
def test_a_neighbour_is_served_while_strangers_are_looked_for(host, strangers):
    host.run("ip link add near type veth peer name far")
    for end in ("near", "far"):
        host.run(f"ip link set {end} up")
    host.run("ip -6 addr add 2001:db8::1/64 dev near nodad")
    host.run("ip -6 neigh add 2001:db8::2 dev near lladdr 02:00:00:00:00:02")

    async def serve():
        server = DatagramSocket(("2001:db8::1", PORT), lambda *_: None)
        before = sent()
        for number in range(strangers):
            server.send(bytes(64), (f"2001:db8::{number:x}:ffff", PORT))
            server.send(b"served", ("2001:db8::2", PORT))
        server.close()
        return sent() - before

    def sent():
        lines = Path("/proc/thread-self/net/snmp6").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Udp6OutDatagrams"))

    assert host.inside(lambda: asyncio.run(serve())) == 2 * strangers
