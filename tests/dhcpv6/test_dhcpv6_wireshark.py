"""tshark as an independent decoder of what client and relay agent send."""

import pytest

from agents.dhcpv6.home import Home
from tests.dhcpv6.world import CARE_OF, HOME, NETWORK, World
from tests.wireshark import FAULTS, rows, write_datagrams

WORLDS = {
    "local": ([Home.LOCAL], False),
    "home": ([Home.IDENTIFIED], True),
    "all": ([Home.IDENTIFIED, Home.LOCAL, Home.UNRESTRICTED], True),
}


@pytest.mark.parametrize("name", WORLDS)
def test_tshark_reads_every_message(name, tmp_path):
    homes, relayed = WORLDS[name]
    world = World(homes, relayed=relayed)
    world.relay.set_information(1, CARE_OF, HOME, NETWORK)
    world.run()
    path = tmp_path / "exchange.pcap"
    write_datagrams(path, [(source, ("fe80::2", 547), data) for _, source, data in world.sent])
    fields = ("dhcpv6.msgtype", "dhcpv6.option.type", "dhcpv6.requested_option_code")
    assert rows(path, *fields, where=FAULTS) == []
    found = [[value.split(",") for value in row.split("\t")] for row in rows(path, *fields)]
    kinds = [row[0] for row in found]
    if not relayed:
        assert kinds == [["11"], ["7"]]
    else:
        assert kinds == [["11"], ["12", "11"], ["13", "7"], ["7"]]
    assert found[0][2] == [str(c) for c in (49, 71, 72, 73, *homes, 32, 83)]
    expected = {"1", "6", "8"} | ({"49"} if Home.IDENTIFIED in homes else set())
    assert set(found[0][1]) == expected
    if relayed:
        assert {"9", "18", "66"} <= set(found[1][1])
        assert {"9", "18"} <= set(found[2][1])
