"""tshark reads every message, the encrypted ones with the keys that the events give."""

import json

import pytest

from agents.core.record import replace
from agents.ikev2 import Config, EspProposal, IkeEstablished, IkeProposal
from tests.ike import COA, HA, find
from tests.ikev2.peers import ASSIGN, FAST, Peers
from tests.ikev2.people import HA_NAME, MN_NAME, Aaa, eap_peer, grant


def dissect(peers: Peers, folder) -> list[dict]:
    tables = []
    for event in find(peers.mn, IkeEstablished):
        keys = (event.sk_ei, event.sk_er, event.sk_ai, event.sk_ar)
        ei, er, ai, ar = (k.hex() for k in keys)
        # Hexadecimal columns go without quotation marks.
        row = f'{event.spi_i.hex()},{event.spi_r.hex()},{ei},{er},"{event.encryption}",'
        row += f'{ai},{ar},"{event.integrity}"'
        tables.append(f"ikev2_decryption_table:{row}")
    return peers.dissect(folder, tables)


def assert_clean(packets: list[dict], count: int) -> list[str]:
    """Nothing is malformed, and every encrypted payload shows what is inside."""
    assert len(packets) == count
    shown = []
    for packet in packets:
        text = json.dumps(packet)
        shown.append(text)
        assert "_ws." not in text, text  # Malformed, or an expert's warning.
        assert "isakmp" in packet
        if '"isakmp.exchangetype": "34"' not in text:
            assert "isakmp.enc.decrypted" in text, text
            assert "isakmp.enc.contained" in text or '"isakmp.enc.pad_length"' in text, text
    return shown


@pytest.mark.parametrize(
    "proposal",
    [
        IkeProposal(20, 128, 0, 5, 31),
        IkeProposal(20, 256, 0, 7, 19),
        IkeProposal(12, 128, 12, 5, 14),
        IkeProposal(12, 192, 13, 6, 19),
        IkeProposal(12, 256, 14, 7, 31),
    ],
)
def test_tshark_reads_everything(tmp_path, proposal):
    peers = Peers(Config(proposals=(proposal,), esp_proposals=(EspProposal(12, 128, 12),), pfs=19))
    peers.connect(1.0, ASSIGN)
    peers.mn.rekey_children(HA, 1.0)
    peers.link.run(2.0)
    peers.mn.rekey_ike(HA, 2.0)
    peers.link.run(3.0)
    peers.ha.rekey_children(COA, 3.0)
    peers.link.run(4.0)
    peers.mn.delete(HA, 4.0)
    peers.link.run(5.0)

    shown = assert_clean(dissect(peers, tmp_path), 4 + 4 + 4 + 4 + 2)

    request, response = shown[2:4]
    for text in (request, response):
        assert '"isakmp.ts.protoid": "135"' in text
        assert '"isakmp.cfg.attr.type": "16"' in text or "MIP6_HOME_PREFIX" in text
        assert '"isakmp.notify.msgtype": "16391"' in text
    assert "2001:db8:100::1234" in response
    assert '"isakmp.notify.msgtype": "16393"' in shown[4]
    assert sum('"isakmp.delete.protoid"' in text for text in shown) >= 6


def test_tshark_reads_certificates_and_eap(tmp_path, people, authority):
    peers = Peers(
        replace(FAST, identity=MN_NAME),
        replace(FAST, identity=HA_NAME, accept_eap=True),
        psk=None,
        credentials=replace(people.mn, certificate=None, key=None),
        ha_credentials=people.ha,
        allocate=grant,
    )
    Aaa(peers, authority)
    peers.connect(5.0, ASSIGN, eap=eap_peer(authority), remote_identity=HA_NAME)
    shown = assert_clean(dissect(peers, tmp_path), len(peers.sent))
    assert "x509" in shown[3]
    assert '"eap.type": "13"' in shown[4]


def test_tshark_reads_cookies_and_refusals(tmp_path):
    ours = replace(
        FAST, proposals=(IkeProposal(group=31), IkeProposal(group=19)), cookie_threshold=0
    )
    peers = Peers(ours, replace(ours, proposals=(IkeProposal(group=19),)))
    peers.connect(5.0)
    shown = assert_clean(dissect(peers, tmp_path), 8)
    assert '"isakmp.notify.msgtype": "16390"' in shown[1]
    assert '"isakmp.notify.msgtype": "17"' in shown[3]
