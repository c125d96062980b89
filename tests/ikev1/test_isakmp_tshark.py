"""tshark reads every message, the encrypted ones with the key that the events give."""

import json

import pytest

from agents.ikev1 import Config, IkeProposal, Mode, Phase1Established
from tests.ike import HA, find
from tests.ikev1.peers import Peers


def dissect(peers: Peers, folder) -> list[dict]:
    (event,) = find(peers.mn, Phase1Established)
    cookie, key = event.initiator_cookie.hex(), event.encryption_key.hex()
    # Hexadecimal columns go without quotation marks.
    return peers.dissect(folder, [f"ikev1_decryption_table:{cookie},{key}"])


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize(("bits", "digest", "group", "pfs"), [(128, 4, 14, None), (256, 2, 19, 19)])
def test_tshark_reads_everything(tmp_path, mode, bits, digest, group, pfs):
    peers = Peers(Config(mode=mode, proposals=(IkeProposal(bits, digest, group),), pfs=pfs))
    peers.connect(5.0)
    peers.mn.delete(HA, 5.0)
    peers.link.run(6.0)

    packets = dissect(peers, tmp_path)

    assert len(packets) == (11 if mode is Mode.MAIN else 8)
    for packet in packets:
        assert "_ws." not in json.dumps(packet)  # Malformed, or an expert's warning.
    isakmp = [packet["isakmp"] for packet in packets]
    encrypted = [p for p in isakmp if p["isakmp.flags_tree"]["isakmp.flag_e"] == "1"]
    assert len(encrypted) == (7 if mode is Mode.MAIN else 6)
    for packet in encrypted:
        assert "isakmp.hash" in json.dumps(packet["isakmp.enc.data"])
    quick = [json.dumps(p) for p in isakmp if p["isakmp.exchangetype"] == "32"]
    assert len(quick) == 3
    for packet in quick[:2]:
        assert '"isakmp.id.data.ipv6_addr": "2001:db8:100::1234"' in packet
        assert packet.count('"isakmp.id.protoid": "135"') == 2
        assert '"isakmp.ipsec.attr.encap_mode": "2"' in packet
        assert packet.count("isakmp.key_exchange.data") == (0 if pfs is None else 1)
    assert all("isakmp.delete.spi" in json.dumps(p) for p in isakmp[-2:])
