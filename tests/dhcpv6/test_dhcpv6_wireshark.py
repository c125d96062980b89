"""tshark as an independent decoder of what client and relay agent send."""

import shutil
import subprocess

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.utils import wrpcap

from agents.dhcpv6.home import Home
from tests.dhcpv6.world import CARE_OF, HOME, NETWORK, World

WORLDS = {
    "local": ([Home.LOCAL], False),
    "home": ([Home.IDENTIFIED], True),
    "all": ([Home.IDENTIFIED, Home.LOCAL, Home.UNRESTRICTED], True),
}


def tshark(path, *options):
    command = ["tshark", "-n", "-r", str(path), *options]
    return subprocess.run(
        command, capture_output=True, check=True, timeout=60, text=True
    ).stdout.splitlines()


@pytest.mark.parametrize("name", WORLDS)
def test_tshark_reads_every_message(name, tmp_path):
    if shutil.which("tshark") is None:
        pytest.skip("tshark is not installed")
    homes, relayed = WORLDS[name]
    world = World(homes, relayed=relayed)
    world.relay.set_information(CARE_OF, HOME, NETWORK)
    world.run()
    path = tmp_path / "exchange.pcap"
    packets = [
        Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
        / IPv6(src=source[0].partition("%")[0], dst="fe80::2")
        / UDP(sport=source[1], dport=547)
        / data
        for _, source, data in world.sent
    ]
    wrpcap(str(path), packets)
    assert tshark(path, "-Y", "_ws.malformed or _ws.expert.severity >= 0x600000") == []
    fields = ("dhcpv6.msgtype", "dhcpv6.option.type", "dhcpv6.requested_option_code")
    rows = [
        [value.split(",") for value in line.split("\t")]
        for line in tshark(path, "-T", "fields", *(w for f in fields for w in ("-e", f)))
    ]
    kinds = [row[0] for row in rows]
    if not relayed:
        assert kinds == [["11"], ["7"]]
    else:
        assert kinds == [["11"], ["12", "11"], ["13", "7"], ["7"]]
    assert rows[0][2] == [str(c) for c in (49, 71, 72, 73, *homes, 32, 83)]
    expected = {"1", "6", "8"} | ({"49"} if Home.IDENTIFIED in homes else set())
    assert set(rows[0][1]) == expected
    if relayed:
        assert {"9", "18", "66"} <= set(rows[1][1])
        assert {"9", "18"} <= set(rows[2][1])
