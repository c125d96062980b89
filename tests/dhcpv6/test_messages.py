"""The codec: what the RFCs draw, what must survive, what must be refused."""

from ipaddress import IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.dhcp6 import (
    DUID_LL,
    DHCP6_InfoRequest,
    DHCP6_RelayForward,
    DHCP6_Reply,
    DHCP6OptClientId,
    DHCP6OptElapsedTime,
    DHCP6OptIfaceId,
    DHCP6OptOptReq,
    DHCP6OptRelayMsg,
    DHCP6OptServerId,
    DHCP6OptStatusCode,
)

from agents.bootstrap.assignment import Assignment
from agents.core.machine import PeerError
from agents.core.reader import WireError
from agents.dhcpv6.grammar import check
from agents.dhcpv6.home import Home, HomeInformation, read_first
from agents.dhcpv6.wire import (
    Message,
    MessageType,
    Option,
    OptionCode,
    RelayMessage,
    decode_name,
    encode_name,
)

DUID = bytes.fromhex("00030001020000000001")
FULL = HomeInformation(
    Home.IDENTIFIED,
    "Home.Test",
    (IPv6Network("2001:db8:100::/64"), IPv6Network("2001:db8:200::/48")),
    (IPv6Address("2001:db8:100::1"), IPv6Address("2001:db8:100::2")),
    ("ha1.home.test",),
    (Option(4242, b"x"), Option(0, b"")),
)
REPLY = Message(
    MessageType.REPLY,
    0x123456,
    (
        Option(OptionCode.CLIENT_ID, DUID),
        Option(OptionCode.SERVER_ID, b"\0\2\0\0\x7e\xd9\1"),
        FULL.to_option(),
        Option(65535, b"survives"),
    ),
)
RELAYED = RelayMessage(
    MessageType.RELAY_REPLY,
    3,
    IPv6Address("2001:db8:1::b"),
    IPv6Address("fe80::1"),
    (
        Option(OptionCode.INTERFACE_ID, b"B-access"),
        Option(OptionCode.RELAY_MSG, REPLY.encode()),
        Option(9999, b""),
    ),
)


def test_home_network_information_is_laid_out_as_rfc_6610_draws_it():
    information = HomeInformation.of(Assignment(IPv6Address("2001:db8:100::1"), 64), "home.test")
    octets = information.to_option().encode()
    assert octets.hex() == (
        "0045" "0038"  # OPTION_MIP6_IDINF
        "0031" "000b" "04686f6d65047465737400"  # OPTION_MIP6_HNIDF home.test
        "0047" "0011" "40" "20010db8010000000000000000000000"  # OPTION_MIP6_HNP
        "0048" "0010" "20010db8010000000000000000000001"  # OPTION_MIP6_HAA
    )  # fmt: skip


def test_everything_survives_a_round_trip():
    assert Message.decode(REPLY.encode()) == REPLY
    assert RelayMessage.decode(RELAYED.encode()) == RELAYED
    assert HomeInformation.from_option(FULL.to_option()) == FULL


def test_scapy_reads_what_we_write():
    request = Message(
        MessageType.INFORMATION_REQUEST,
        0xABCDEF,
        (
            Option(OptionCode.CLIENT_ID, DUID),
            Option(OptionCode.ORO, b"\0\x31\0\x45"),
            Option.number(OptionCode.ELAPSED_TIME, 123, 2),
        ),
    )
    seen = DHCP6_InfoRequest(request.encode())
    assert seen.trid == 0xABCDEF
    assert seen[DUID_LL].lladdr == "02:00:00:00:00:01"
    assert seen[DHCP6OptOptReq].reqopts == [49, 69]
    assert seen[DHCP6OptElapsedTime].elapsedtime == 123
    forward = RelayMessage(
        MessageType.RELAY_FORWARD,
        1,
        IPv6Address("2001:db8::b"),
        IPv6Address("fe80::1"),
        (
            Option(OptionCode.INTERFACE_ID, b"B-access"),
            Option(OptionCode.RELAY_MSG, request.encode()),
        ),
    )
    seen = DHCP6_RelayForward(forward.encode())
    assert (seen.hopcount, seen.linkaddr, seen.peeraddr) == (1, "2001:db8::b", "fe80::1")
    assert seen[DHCP6OptIfaceId].ifaceid == b"B-access"
    assert seen[DHCP6OptRelayMsg].message[DHCP6OptOptReq].reqopts == [49, 69]


def test_we_read_what_scapy_writes():
    duid = DUID_LL(lladdr="02:00:00:00:00:01")
    inner = (
        DHCP6_Reply(trid=7)
        / DHCP6OptClientId(duid=duid)
        / DHCP6OptServerId(duid=duid)
        / DHCP6OptStatusCode(statuscode=1, statusmsg=b"no")
    )
    seen = Message.decode(bytes(inner))
    check(seen)
    assert (seen.kind, seen.transaction_id) == (MessageType.REPLY, 7)
    assert seen.value(OptionCode.CLIENT_ID) == DUID
    assert seen.value(OptionCode.STATUS_CODE) == b"\0\1no"
    outer = (
        DHCP6_RelayForward(hopcount=2, linkaddr="2001:db8::b", peeraddr="fe80::1")
        / DHCP6OptIfaceId(ifaceid=b"e")
        / DHCP6OptRelayMsg(message=inner)
    )
    relay = RelayMessage.decode(bytes(outer))
    check(relay)
    assert (relay.hop_count, str(relay.link_address), str(relay.peer_address)) == (
        2,
        "2001:db8::b",
        "fe80::1",
    )
    assert relay.value(OptionCode.RELAY_MSG) == bytes(inner)


@pytest.mark.parametrize("message", [REPLY, RELAYED])
def test_a_truncated_message_is_refused_or_lacks_whole_options(message):
    data = message.encode()
    for length in range(len(data)):
        try:
            cut = type(message).decode(data[:length])
        except WireError:
            continue
        assert cut.options == message.options[: len(cut.options)]
        assert len(cut.options) < len(message.options)


def test_a_truncated_container_is_refused_or_lacks_whole_options():
    whole = FULL.to_option()
    for length in range(len(whole.value)):
        try:
            cut = HomeInformation.from_option(Option(whole.code, whole.value[:length]))
        except (WireError, PeerError):
            continue
        assert cut != FULL


@given(st.binary(max_size=60))
def test_random_options_survive(data):
    try:
        message = Message.decode(b"\x07\0\0\1" + data)
    except WireError:
        return
    assert message.encode() == b"\x07\0\0\1" + data


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\0",
        b"\x04home",
        b"\x04home\x04test",
        b"\x04home\0more",
        b"\xc0\x0c",
        b"\x40" + b"a" * 64 + b"\0",
        b"\x03a.b\0",
        b"\x02\xc3\xa9\0",
        (b"\x3f" + b"a" * 63) * 4 + b"\0",
    ],
)
def test_bad_domain_names(value):
    with pytest.raises(WireError):
        decode_name(value)


@pytest.mark.parametrize("name", ["", ".", "a..b", "a" * 64, "é.test", ".".join(["a" * 63] * 4)])
def test_names_that_cannot_be_written(name):
    with pytest.raises(ValueError):  # noqa: PT011
        encode_name(name)


def test_domain_names():
    assert decode_name(encode_name("ha1.Home.test.")) == "ha1.Home.test"


def inside(home, *options):
    return Option.container(home, options)


HAA = Option(OptionCode.MIP6_HAA, IPv6Address("2001:db8::1").packed)
HNIDF = Option(OptionCode.MIP6_HNIDF, encode_name("home.test"))


@pytest.mark.parametrize(
    ("container", "reason"),
    [
        (inside(Home.IDENTIFIED, HAA), "without MIP6_HNIDF"),
        (inside(Home.IDENTIFIED, HNIDF, HNIDF, HAA), "2 of MIP6_HNIDF"),
        (inside(Home.LOCAL, HNIDF, HAA), "1 of MIP6_HNIDF"),
        (
            inside(Home.IDENTIFIED, Option(49, encode_name("other.test")), HAA),
            "about other.test, which was not asked for",
        ),
        (inside(Home.LOCAL), "names no home agent"),
        (inside(Home.LOCAL, Option(OptionCode.MIP6_HAA, bytes(15))), "octets wanted"),
        (inside(Home.LOCAL, Option(OptionCode.MIP6_HAA, bytes(17))), "left over"),
        (inside(Home.LOCAL, HAA, Option(OptionCode.MIP6_HNP, b"\x81" + bytes(16))), "129 bits"),
        (inside(Home.LOCAL, HAA, Option(OptionCode.MIP6_HNP, b"\x40" + bytes(8))), "octets wanted"),
        # Addresses that no client may take as a home agent's over IPv6.
        (inside(Home.LOCAL, Option(72, IPv6Address("64:ff9b::102:304").packed)), "no home agent"),
        (inside(Home.LOCAL, Option(72, IPv6Address("ff02::1").packed)), "names no home agent"),
        (inside(Home.LOCAL, Option(72, IPv6Address("::").packed)), "names no home agent"),
        (inside(Home.LOCAL, Option(72, IPv6Address("fe80::1").packed)), "names no home agent"),
        (inside(Home.LOCAL, Option(72, IPv6Address("fec0::1").packed)), "names no home agent"),
        (inside(Home.LOCAL, Option(72, IPv6Address("::ffff:1.2.3.4").packed)), "no home agent"),
    ],
)
def test_containers_that_are_passed_over(container, reason):
    with pytest.raises(PeerError, match=reason):
        read_first((container,), "home.test")
    good = HomeInformation(Home(container.code), "home.test", addresses=(IPv6Address("2001::1"),))
    if container.code == Home.LOCAL:
        good = HomeInformation(Home.LOCAL, addresses=good.addresses)
    assert read_first((container, good.to_option()), "home.test") == good


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (Message(MessageType.REPLY, 1), "Reply without SERVER_ID"),
        (
            Message(MessageType.REPLY, 1, (Option(OptionCode.SERVER_ID, b"abc"),) * 2),
            "Reply with 2 of SERVER_ID",
        ),
        (
            RelayMessage(MessageType.RELAY_REPLY, 0, IPv6Address(0), IPv6Address(0)),
            "Relay-reply without RELAY_MSG",
        ),
    ],
)
def test_grammar(message, reason):
    with pytest.raises(PeerError, match=reason):
        check(message)
