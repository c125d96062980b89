import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.core.machine import Discarded, PeerError
from agents.core.reader import WireError
from agents.core.record import replace
from agents.ike.identities import Identity
from agents.ikev1 import Config, IkeProposal, Mode, grammar
from agents.ikev1.constants import ExchangeType, IkeAttribute, PayloadType
from agents.ikev1.proposals import accept_ike, choose_ike, offer_ike
from agents.ikev1.wire import (
    Attribute,
    Deletion,
    Header,
    Notification,
    Payload,
    SecurityAssociation,
    decode_attributes,
    decode_chain,
    decode_padded,
    decode_plain,
    encode_chain,
    split_datagram,
)
from tests.ike import COA, HA, find, names
from tests.ikev1.peers import AGGRESSIVE, FAST, SELECTORS, Peers


@given(st.binary(max_size=200), st.sampled_from((2, 4, 5, 32, 77)), st.booleans())
def test_random_bodies_are_discarded(body, exchange, known):
    peers = Peers()
    peers.connect(5.0)
    event = next(e for e in peers.ha.events if type(e).__name__ == "Phase1Established")
    cookies = peers.sent[-1][:16] if known else event.initiator_cookie + bytes(8)
    for flags in (0, 1):
        head = cookies + bytes((8, 0x10, exchange, flags)) + b"\0\0\0\7"
        data = head + (28 + len(body)).to_bytes(4) + body
        before = len(peers.ha.events)
        peers.ha.handle_message(data, (str(COA), 500), 5.0)
        assert all(type(e) is Discarded for e in list(peers.ha.events)[before:])


def offers() -> list[SecurityAssociation]:
    return [offer_ike(Config()), offer_ike(Config(mode=Mode.AGGRESSIVE))]


@pytest.mark.parametrize("sa", offers())
def test_sa_payloads_survive_and_truncated_ones_do_not(sa):
    data = sa.encode()
    assert SecurityAssociation.decode(data) == sa
    for length in range(8, len(data)):
        if length == 8:
            continue
        with pytest.raises(WireError):
            SecurityAssociation.decode(data[:length])


@pytest.mark.parametrize(
    "value",
    [
        Identity.of_address(HA, 135),
        Notification(3, 14, b"spi!", b"data"),
        Deletion(3, (b"abcd", b"efgh")),
    ],
)
def test_bodies_survive(value):
    assert type(value).decode(value.encode()) == value


def test_unknown_payloads_survive():
    payloads = (Payload(200, b"what"), Payload(13, b""), Payload(4, b"x"))
    data = encode_chain(payloads)
    assert decode_chain(200, data) == (payloads, len(data))


def test_long_attributes_are_kept_as_they_came():
    data = bytes.fromhex("000c0004000070 80".replace(" ", ""))
    (attribute,) = decode_attributes(data, 0)
    assert (attribute.type, attribute.number, attribute.encode()) == (12, 28800, data)


@given(st.sampled_from(IkeAttribute), st.sampled_from((0, 1, 3, 8, 127, 128, 129, 1800, 9000)))
def test_an_attribute_of_any_length_in_the_first_message(kind, octets):
    """The first message needs no key. 128 octets are more than a float holds, 1800 than str()."""
    proposal = offer_ike(FAST).proposals[0]
    (transform,) = proposal.transforms
    kept = tuple(a for a in transform.attributes if a.type != kind)
    long = Attribute(kind, b"\xff" * octets, False)
    offer = replace(proposal, transforms=(replace(transform, attributes=(*kept, long)), transform))
    body = encode_chain([Payload(PayloadType.SA, SecurityAssociation((offer,)).encode())])
    header = Header(
        bytes(range(8)), bytes(8), PayloadType.SA, ExchangeType.MAIN, 0, 0, 28 + len(body)
    )
    peers = Peers()
    peers.ha.handle_message(header.encode() + body, (str(COA), 500), 0.0)
    assert names(peers.ha) == ["Phase1Started"]


@pytest.mark.parametrize(("octets", "seconds"), [(2, 0xFFFF), (4, 0xFFFFFFFF), (128, 2**32)])
def test_a_duration_of_many_octets_is_for_ever(octets, seconds):
    assert Attribute(12, b"\xff" * octets, False).seconds == seconds


def test_leftovers_and_too_much_padding_are_errors():
    chain = encode_chain([Payload(8, b"hash")])
    with pytest.raises(WireError, match="behind the last payload"):
        decode_plain(8, chain + b"\0")
    assert decode_padded(8, chain + bytes(16))[1] == chain
    with pytest.raises(WireError, match="behind the last payload"):
        decode_padded(8, chain + bytes(40))


def test_a_length_field_that_lies_is_an_error():
    peers = Peers()
    peers.mn.initiate(HA, SELECTORS, 0.0)
    data = peers.mn.outbox.popleft()[0]
    for wrong in (data + b"\0", data[:-1], data[:24] + b"\xff\xff\xff\xff" + data[28:]):
        with pytest.raises(WireError):
            split_datagram(wrong)


@pytest.mark.parametrize("config", [FAST, AGGRESSIVE], ids=["main", "aggressive"])
def test_every_truncation_of_every_message_changes_nothing(config):
    """Each comes cut at every length first, with a length field that lies and one that fits."""
    peers = Peers(config)
    peers.mn.initiate(HA, SELECTORS, 0.0)
    turns = ((peers.mn, peers.ha, (str(COA), 500)), (peers.ha, peers.mn, (str(HA), 500)))
    while any(m.outbox for m, _, _ in turns):
        for machine, other, address in turns:
            while machine.outbox:
                data = machine.outbox.popleft()[0]
                quiet = len(other.outbox)
                step = 1 if not data[19] & 1 else 5
                for length in range(0, len(data), step):
                    cut = data[:length]
                    other.handle_message(cut, address, 0.1)
                    # With a matching length field, what is encrypted would look like another key.
                    if length >= 28 and not data[19] & 1:
                        honest = cut[:24] + length.to_bytes(4) + cut[28:]
                        other.handle_message(honest, address, 0.1)
                assert len(other.outbox) == quiet
                other.handle_message(data, address, 0.1)
    for machine in (peers.mn, peers.ha):
        assert any(type(e).__name__ == "ChildEstablished" for e in machine.events)
        assert not any(type(e).__name__ == "Failed" for e in machine.events)


@pytest.mark.parametrize("config", [FAST, AGGRESSIVE], ids=["main", "aggressive"])
def test_flipped_bits_never_raise(config):
    for bit in range(0, 8 * 700, 37):

        def flip(data, bit=bit):
            position = bit // 8
            if position >= len(data):
                return data
            return data[:position] + bytes([data[position] ^ 1 << bit % 8]) + data[position + 1 :]

        peers = Peers(config, tamper=flip)
        peers.connect(35.0)
        assert not find(peers.mn, Discarded) or peers.sent


def test_payloads_that_the_message_must_not_have():
    sa = Payload(PayloadType.SA, offers()[0].encode())
    with pytest.raises(PeerError, match="KE payload"):
        grammar.check(ExchangeType.MAIN, 1, [sa, Payload(PayloadType.KE, b"")], encrypted=False)
    with pytest.raises(PeerError, match="0 SA payloads"):
        grammar.check(ExchangeType.MAIN, 1, [], encrypted=False)
    with pytest.raises(PeerError, match="2 SA payloads"):
        grammar.check(ExchangeType.MAIN, 1, [sa, sa], encrypted=False)
    with pytest.raises(PeerError, match="out of order"):
        grammar.check(ExchangeType.MAIN, 1, [Payload(PayloadType.VENDOR, b""), sa], encrypted=False)
    with pytest.raises(PeerError, match="encrypted"):
        grammar.check(ExchangeType.MAIN, 1, [sa], encrypted=True)


@pytest.mark.parametrize("kind", [6, 7, 11, 12, 13, 20, 21, 130, 131, 200])
def test_payloads_that_are_tolerated(kind):
    sa = Payload(PayloadType.SA, offers()[0].encode())
    grammar.check(ExchangeType.MAIN, 1, [sa, Payload(kind, b"anything")], encrypted=False)


def test_an_answer_that_alters_the_offer_is_refused():
    config = Config(proposals=(IkeProposal(128, 4, 19),))
    offer = offer_ike(config)
    _, answer = choose_ike(offer, config)
    assert accept_ike(offer, answer).proposal == config.proposals[0]
    for other in (IkeProposal(256, 4, 19), IkeProposal(128, 2, 19), IkeProposal(128, 4, 14)):
        altered = offer_ike(Config(proposals=(other,)))
        with pytest.raises(PeerError, match="not offered"):
            accept_ike(offer, altered)
    longer = offer_ike(Config(proposals=config.proposals, ike_lifetime=1e5))
    with pytest.raises(PeerError, match="not offered"):
        accept_ike(offer, longer)
