"""The codec against pyrad, in both directions, against RFC 2548's numbers, scapy and tshark."""

import random
from hashlib import md5
from ipaddress import IPv6Address

import pytest
from pyrad.dictionary import Dictionary
from pyrad.packet import AccessChallenge, AccessRequest, AcctPacket, AuthPacket
from scapy.layers.radius import Radius, RadiusAttr_EAP_Message

from agents.bootstrap.assignment import Assignment
from agents.core.reader import WireError
from agents.radius import dictionary as d
from agents.radius.mobility import assignment_attributes, read_assignment
from agents.radius.protection import (
    check_answer,
    check_request,
    protect_access_request,
    protect_accounting_request,
    protect_answer,
)
from agents.radius.wire import Code, Packet
from tests.wireshark import FAULTS, rows, write_datagrams

SECRET = b"testing123"
RNG = random.Random(1)
EAP = bytes((2, 1, 3, 0xE8)) + RNG.randbytes(996)
MSK = RNG.randbytes(64)
ASSIGNMENT = Assignment(
    IPv6Address("2001:db8:100::1"), 64, IPv6Address("2001:db8:100::1234"), "ha.home.test"
)
REQUEST = (
    d.USER_NAME.attribute("mn@home.test"),
    d.NAS_IDENTIFIER.attribute("ar.visited.test"),
    d.NAS_IPV6_ADDRESS.attribute(IPv6Address("2001:db8:2::1")),
    d.CALLING_STATION_ID.attribute("2001:db8:1::2"),
    d.ACCT_SESSION_ID.attribute("00000001"),
    d.MIP6_FEATURE_VECTOR.attribute(1),
    d.HOME_AGENT_WISH.attribute(1),
    d.PROXY_STATE.attribute(b"a proxy's"),
    *d.EAP_MESSAGE.parts(EAP),
)
ACCEPT = (
    d.USER_NAME.attribute("mn@home.test"),
    d.MS_MPPE_RECV_KEY.attribute(MSK[:32]),
    d.MS_MPPE_SEND_KEY.attribute(MSK[32:]),
    d.SESSION_TIMEOUT.attribute(3600),
    d.TERMINATION_ACTION.attribute(d.TerminationAction.RADIUS_REQUEST),
    d.CLASS.attribute(b"gold"),
    *assignment_attributes(ASSIGNMENT),
    *d.EAP_MESSAGE.parts(bytes((3, 1, 0, 4))),
)


def request(attributes=REQUEST, identifier=7):
    return protect_access_request(identifier, attributes, SECRET, RNG.randbytes(16), RNG)


def answer(code, asked, attributes=ACCEPT):
    return protect_answer(code, check_request(asked, SECRET), attributes, SECRET, RNG)


def test_pyrad_reads_a_request():
    packet = AuthPacket(packet=request(), secret=SECRET, dict=Dictionary())
    assert packet.verify_message_authenticator()
    assert packet[1] == [b"mn@home.test"]
    assert b"".join(packet[79]) == EAP
    assert [len(part) for part in packet[79]] == [253, 253, 253, 241]
    assert next(iter(packet)) == 80  # The first attribute, as is to be since CVE-2024-3596.


def test_pyrad_reads_an_answer():
    asked = AuthPacket(packet=request(), secret=SECRET, dict=Dictionary())
    data = answer(Code.ACCESS_ACCEPT, asked.raw_packet)
    read = asked.CreateReply(packet=data)
    assert asked.VerifyReply(read, data)
    assert read.verify_message_authenticator(original_authenticator=asked.authenticator)
    assert asked.SaltDecrypt(read[311, 17][0]) == MSK[:32]
    assert asked.SaltDecrypt(read[311, 16][0]) == MSK[32:]


def test_a_request_of_pyrads_is_read():
    other = AuthPacket(code=AccessRequest, secret=SECRET, id=9, dict=Dictionary())
    other[1] = [b"mn@home.test"]
    other[79] = [EAP[:253], EAP[253:506]]
    other.add_message_authenticator()
    read = check_request(other.RequestPacket(), SECRET)
    assert (read.code, read.identifier) == (Code.ACCESS_REQUEST, 9)
    assert d.USER_NAME.find(read.attributes) == "mn@home.test"
    assert d.EAP_MESSAGE.join(read.attributes) == EAP[:506]


def test_an_answer_of_pyrads_is_read():
    asked = AuthPacket(packet=request(), secret=SECRET, dict=Dictionary())
    other = asked.CreateReply()
    other.code = AccessChallenge
    other[24] = [b"a state"]
    for kind, key in ((17, MSK[:32]), (16, MSK[32:])):
        salted = other.SaltCrypt(key)
        value = (311).to_bytes(4) + bytes((kind, 2 + len(salted))) + salted
        other[26] = [*other.get(26, []), value]
    other.add_message_authenticator()
    read = check_answer(other.ReplyPacket(), asked.authenticator, SECRET)
    assert d.STATE.find(read.attributes) == b"a state"
    assert d.MS_MPPE_RECV_KEY.find(read.attributes) == MSK[:32]
    assert d.MS_MPPE_SEND_KEY.find(read.attributes) == MSK[32:]


def test_accounting_is_read_in_both_directions():
    attributes = (
        d.ACCT_STATUS_TYPE.attribute(d.AcctStatusType.STOP),
        d.ACCT_SESSION_ID.attribute("00000001"),
    )
    data = protect_accounting_request(3, attributes, SECRET)
    other = AcctPacket(packet=data, secret=SECRET, dict=Dictionary())
    assert other.VerifyAcctRequest()
    assert other[44] == [b"00000001"]
    assert check_request(other.RequestPacket(), SECRET).attributes == attributes
    reply = check_answer(
        other.CreateReply().ReplyPacket(), check_request(data, SECRET).authenticator, SECRET
    )
    assert reply.code == Code.ACCOUNTING_RESPONSE


def test_scapy_reads_a_request():
    packet = Radius(request())
    assert packet.code == Code.ACCESS_REQUEST
    assert packet.attributes[0].name == "Message-Authenticator"
    eap = [one for one in packet.attributes if isinstance(one, RadiusAttr_EAP_Message)]
    assert bytes(eap[0].value)[:4] == EAP[:4]


def test_tshark_finds_no_fault(tmp_path):
    asked = request()
    data = answer(Code.ACCESS_ACCEPT, asked)
    here, there = ("2001:db8:2::1", 1645), ("2001:db8:2::2", 1812)
    stop = protect_accounting_request(
        8, (d.ACCT_STATUS_TYPE.attribute(2), d.ACCT_SESSION_ID.attribute("1")), SECRET
    )
    file = tmp_path / "capture.pcap"
    write_datagrams(
        file,
        [
            (here, there, asked),
            (there, here, data),
            (here, ("2001:db8:2::2", 1813), stop),
        ],
    )
    assert rows(file, "frame.number", where=f"({FAULTS}) and not eap") == []
    assert rows(file, "radius.code") == ["1", "2", "4"]
    secret = (
        "-o",
        f"radius.shared_secret:{SECRET.decode()}",
        "-o",
        "radius.validate_authenticator:TRUE",
    )
    fields = ("radius.authenticator.valid", "radius.Session_Timeout", "radius.MIP6_Feature_Vector")
    found = rows(file, *fields, where="radius.code == 2", options=secret)
    assert found[0].split("\t")[1] == "3600"
    assert "invalid" not in found[0]


def test_what_is_long_is_in_several_attributes():
    name = "h" * 63 + "." + "a" * 63 + "." + "b" * 63 + "." + "c" * 60
    given = Assignment(IPv6Address("2001:db8::1"), 56, None, name)
    read = check_request(request(assignment_attributes(given)), SECRET)
    assert len(list(d.MIP6_HA_FQDN.values(read.attributes))) == 2
    assert read_assignment(read.attributes) == given


@pytest.mark.parametrize(
    "attributes",
    [
        (d.MIP6_HA.attribute(bytes(17)),),
        (d.MIP6_HA.attribute(bytes((0, 129)) + bytes(16)),),
        (d.MIP6_HA.attribute(bytes((0, 64)) + bytes(16)), d.MIP6_HOME_LINK_PREFIX.attribute(b"")),
        (
            d.MIP6_HA.attribute(bytes((0, 64)) + bytes(16)),
            d.MIP6_HOME_LINK_PREFIX.attribute(bytes((64,)) + b"\1" * 16),
        ),
        (d.MIP6_HA.attribute(bytes((0, 64)) + bytes(16)), d.MIP6_HOA.attribute(bytes(16))),
    ],
)
def test_a_home_agent_that_is_none(attributes):
    with pytest.raises(WireError):
        read_assignment(attributes)


def test_every_truncation_and_every_altered_octet_is_refused():
    asked = request()
    authenticator = check_request(asked, SECRET).authenticator
    data = answer(Code.ACCESS_ACCEPT, asked)
    for end in range(len(data)):
        with pytest.raises(WireError):
            check_answer(data[:end], authenticator, SECRET)
    for place in range(len(data)):
        altered = data[:place] + bytes((data[place] ^ 1,)) + data[place + 1 :]
        with pytest.raises(WireError):
            check_answer(altered, authenticator, SECRET)
    for place in range(len(asked)):
        altered = asked[:place] + bytes((asked[place] ^ 1,)) + asked[place + 1 :]
        with pytest.raises(WireError):
            check_request(altered, SECRET)


@pytest.mark.parametrize("times", [0, 2])
def test_exactly_one_message_authenticator_is_demanded(times):
    first = d.MESSAGE_AUTHENTICATOR.attribute(bytes(16))
    packet = Packet(Code.ACCESS_REQUEST, 1, bytes(16), (first,) * times + REQUEST)
    with pytest.raises(WireError, match="Message-Authenticator"):
        check_request(packet.encode(), SECRET)


def test_an_answer_that_is_forged_by_its_response_authenticator_alone_is_refused():
    # As CVE-2024-3596 makes one: the Response Authenticator is right, nothing else is signed.
    asked = check_request(request(), SECRET)
    data = Packet(Code.ACCESS_ACCEPT, asked.identifier, asked.authenticator).encode()
    forged = data[:4] + md5(data + SECRET).digest() + data[20:]
    with pytest.raises(WireError, match="Message-Authenticator"):
        check_answer(forged, asked.authenticator, SECRET)


def test_padding_behind_the_end_is_passed_over():
    assert check_request(request() + b"padding", SECRET).code == Code.ACCESS_REQUEST


def test_secrets_are_not_shown():
    asked = request()
    read = check_answer(
        answer(Code.ACCESS_ACCEPT, asked), check_request(asked, SECRET).authenticator, SECRET
    )
    assert MSK[:32].hex() not in repr(read)
    assert "value" not in repr(read)
