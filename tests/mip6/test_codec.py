from __future__ import annotations

import struct
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from agents.core.reader import WireError
from agents.mip6.codec import (
    BINDING_AUTHORISATION,
    NONCE_INDICES,
    BindingAck,
    BindingError,
    BindingRefreshRequest,
    BindingUpdate,
    CareOfTest,
    CareOfTestInit,
    HomeTest,
    HomeTestInit,
    Option,
    OtherMessage,
    Status,
    checksum,
    decode,
    encode,
    newer,
)
from tests.wireshark import rows

HOME, AGENT, CARE_OF = (
    IPv6Address(a) for a in ("2001:db8:100::1234", "2001:db8:100::1", "2001:db8:a::2")
)
COOKIE = bytes(range(8))
INDICES, SEAL = Option(NONCE_INDICES, b"\0\7\0\x08"), Option(BINDING_AUTHORISATION, bytes(12))
MESSAGES = [
    BindingUpdate(1, 420, care_of=CARE_OF),
    BindingUpdate(65535, 0, False, False, True, True, options=(Option(200, b"xyz"),)),
    BindingUpdate(7, 262140, care_of=CARE_OF, options=(Option(8, b"\1mn@home.test"),)),
    BindingUpdate(7, 4),
    BindingAck(0, 1, 420),
    BindingAck(135, 9, 0, key_management=True),
    BindingAck(0, 2, 420, refresh=100, options=(Option(201, b""),)),
    BindingError(1, HOME),
    BindingError(2, HOME, (Option(203, b"a"),)),
    BindingRefreshRequest(),
    BindingRefreshRequest((Option(202, b"12345"),)),
    HomeTestInit(COOKIE),
    CareOfTestInit(COOKIE, (Option(204, b"ab"),)),
    HomeTest(7, COOKIE, COOKIE[::-1]),
    CareOfTest(65535, COOKIE, COOKIE[::-1], (Option(205, b""),)),
    BindingUpdate(9, 420, home_registration=False, care_of=CARE_OF, options=(INDICES, SEAL)),
    BindingAck(0, 9, 420, options=(SEAL,)),
    OtherMessage(77, bytes(2)),
]
UPDATE = bytes.fromhex(
    "3b 03 05 00 0000  0001  c000  0069  0100"  # H and A, 105 units; PadN to 8n+6
    "0310 20010db8000a0000 0000000000000002"
)


@pytest.mark.parametrize("message", MESSAGES, ids=str)
def test_what_is_encoded_is_decoded(message):
    data = encode(message)
    assert len(data) % 8 == 0
    assert decode(data) == message


def test_binding_update_is_laid_out_as_section_6_1_7_draws_it():
    assert encode(MESSAGES[0]) == UPDATE


def test_a_message_without_options_gets_four_octets_of_padding():
    assert encode(BindingAck(0, 1, 420)) == bytes.fromhex("3b01060000000000 0001 0069 0102 0000")


@pytest.mark.parametrize("message", MESSAGES, ids=str)
def test_every_truncation_is_refused(message):
    data = encode(message)
    for length in range(len(data)):
        with pytest.raises(WireError):
            decode(data[:length])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x3a" + UPDATE[1:], "payload protocol 58"),
        (UPDATE + bytes(8), "left over"),
        (UPDATE[:1] + b"\x04" + UPDATE[2:], "octets wanted"),
        (encode(BindingUpdate(1, 4, options=(Option(3, bytes(8)),))), "option 3 of 8 octets"),
        (bytes.fromhex("3b01060000000000 0001 0069 0103 0000"), "octets wanted"),
        (bytes.fromhex("3b00050000000000"), "octets wanted"),
    ],
)
def test_malformed_messages_are_refused(data, reason):
    with pytest.raises(WireError, match=reason):
        decode(data)


def test_a_lifetime_that_does_not_fit_is_the_callers_error():
    with pytest.raises(ValueError, match="does not fit"):
        encode(BindingUpdate(1, 262144))


def test_the_window_is_the_one_of_section_9_5_1():
    older = {*range(16), *range(32783, 65536)}
    assert {s for s in range(65536) if not newer(s, 15)} == older


@pytest.mark.parametrize(("number", "status"), [(0, 0), (1, 1), (7, 0), (134, 134), (250, 128)])
def test_unknown_status_numbers_keep_their_class(number, status):
    assert Status.of(number) is Status(status)


class TestAgainstScapy:
    """Layers are imported one by one: scapy.all takes a second."""

    def test_it_reads_our_binding_update(self):
        from scapy.layers.inet6 import MIP6MH_BU, MIP6OptAltCoA

        packet = MIP6MH_BU(encode(MESSAGES[0]))
        assert (packet.seq, packet.mhtime, packet.flags) == (1, 105, "HA")
        options = [o for o in packet.options if isinstance(o, MIP6OptAltCoA)]
        assert [o.acoa for o in options] == [str(CARE_OF)]

    def test_it_reads_our_acknowledgement(self):
        from scapy.layers.inet6 import MIP6MH_BA, MIP6OptBRAdvice

        packet = MIP6MH_BA(encode(BindingAck(135, 9, 420, True, refresh=100)))
        assert (packet.status, packet.seq, packet.mhtime, packet.flags) == (135, 9, 105, "K")
        options = [o for o in packet.options if isinstance(o, MIP6OptBRAdvice)]
        assert [o.rinter for o in options] == [25]

    def test_we_read_its_messages(self):
        from scapy.layers.inet6 import (
            MIP6MH_BA,
            MIP6MH_BE,
            MIP6MH_BU,
            MIP6MH_CoT,
            MIP6MH_CoTI,
            MIP6MH_HoTI,
            MIP6OptAltCoA,
        )

        option = MIP6OptAltCoA(acoa=str(CARE_OF))
        update = MIP6MH_BU(seq=5, flags="AHLK", mhtime=10, options=[option])
        assert decode(bytes(update)) == BindingUpdate(5, 40, True, True, True, True, CARE_OF)
        ack = MIP6MH_BA(status=134, seq=5, mhtime=10, flags="")
        assert decode(bytes(ack)) == BindingAck(134, 5, 40)
        error = MIP6MH_BE(status=1, ha=str(HOME))
        assert decode(bytes(error)) == BindingError(1, HOME)
        assert decode(bytes(MIP6MH_HoTI(cookie=COOKIE))) == HomeTestInit(COOKIE)
        assert decode(bytes(MIP6MH_CoTI(cookie=COOKIE))) == CareOfTestInit(COOKIE)
        test = bytes(MIP6MH_CoT(cookie=COOKIE, index=7, token=COOKIE))
        assert decode(test) == CareOfTest(7, COOKIE, COOKIE)

    def test_its_checksum_is_ours(self):
        from scapy.layers.inet6 import MIP6MH_BU, IPv6, MIP6OptAltCoA

        option = MIP6OptAltCoA(acoa=str(CARE_OF))
        packet = IPv6(src=str(HOME), dst=str(AGENT)) / MIP6MH_BU(seq=5, mhtime=10, options=[option])
        header = bytes(packet)[40:]
        assert checksum(HOME, AGENT, header).to_bytes(2) == header[4:6]


def test_tshark_finds_nothing_malformed(tmp_path: Path):
    capture = tmp_path / "mh.pcap"
    with capture.open("wb") as stream:
        stream.write(struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101))
        for message in MESSAGES[:-2]:
            header = encode(message)
            sum_ = checksum(HOME, AGENT, header).to_bytes(2)
            header = header[:4] + sum_ + header[6:]
            ip = struct.pack(">IHBB", 6 << 28, len(header), 135, 64) + HOME.packed + AGENT.packed
            packet = ip + header
            stream.write(struct.pack("=IIII", 0, 0, len(packet), len(packet)) + packet)
    fields = ("mip6.mhtype", "mip6.bu.seqnr", "mip6.acoa.acoa", "mip6.csum", "_ws.expert.message")
    found = [line.split("\t") for line in rows(capture, *fields)]
    kinds = [str(m.KIND) for m in MESSAGES[:-2]]
    assert [row[0] for row in found] == kinds
    assert found[0][1:3] == ["1", str(CARE_OF)]
    remarks = {text for row in found for text in row[4].split(",")}
    assert remarks <= {"", "IE data not dissected yet"}  # The options of unknown kinds.
