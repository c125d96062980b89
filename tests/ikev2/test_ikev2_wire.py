"""Decoders and machines against truncations, random bytes, and flipped bits."""

from __future__ import annotations

from contextlib import suppress
from ipaddress import IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.core.machine import Discarded, PeerError
from agents.core.reader import WireError
from agents.core.record import replace
from agents.ike.identities import Identity
from agents.ikev2 import Config, EspProposal, Failed, IkeDeleted, IkeEstablished, IkeProposal
from agents.ikev2.certificates import identity_of
from agents.ikev2.constants import ConfigType, ExchangeType, NotifyType, PayloadType
from agents.ikev2.grammar import Contents, Form
from agents.ikev2.payloads import (
    Authentication,
    Configuration,
    Deletion,
    KeyExchange,
    Notification,
    Proposal,
    SecurityAssociation,
    Tagged,
    TrafficSelector,
    Transform,
    address_attribute,
    decode_selectors,
    encode_selectors,
    prefix_attribute,
)
from agents.ikev2.proposals import (
    accept_esp,
    accept_ike,
    answer,
    choose_esp,
    choose_ike,
    offer_esp,
    offer_ike,
)
from agents.ikev2.wire import (
    Attribute,
    Header,
    Payload,
    UnknownCriticalError,
    decode_chain,
    encode_chain,
    encode_list,
    encode_plain,
    split_datagram,
)
from tests.ike import COA, HA, HOA, find
from tests.ikev2.peers import ASSIGN, FAST, SELECTORS, Peers, assert_up
from tests.ikev2.people import HA_NAME, MN_NAME, Aaa, eap_peer, grant

BODIES = [
    offer_ike(Config().proposals),
    offer_ike(Config().proposals, b"spi!spi!"),
    offer_esp(Config().esp_proposals, 0x1234, 19),
    KeyExchange(31, bytes(32)),
    Identity.of("mn@home.test"),
    Identity.of("ha.home.test"),
    Identity.of(str(HOA)),
    identity_of("CN=mn,O=home"),
    Tagged(4, b"certificate"),
    Authentication(2, bytes(32)),
    Notification(16393, b"data", 3, b"spi!"),
    Deletion(3, (b"abcd", b"efgh")),
    Deletion(1),
    Configuration(ConfigType.REQUEST, ((8, b""), (16, b""))),
    Configuration(
        ConfigType.REPLY,
        (address_attribute(HOA, 64), prefix_attribute(IPv6Network("2001:db8:100::/64"), 3600)),
    ),
]


@pytest.mark.parametrize("body", BODIES, ids=lambda b: type(b).__name__)
def test_bodies_survive_and_truncated_ones_raise_or_differ(body):
    data = body.encode()
    assert type(body).decode(data) == body
    for length in range(len(data)):
        with suppress(WireError):
            assert type(body).decode(data[:length]) != body


def test_traffic_selectors():
    selectors = (TrafficSelector.of(HOA, 135), TrafficSelector.anywhere(0))
    data = encode_selectors(selectors)
    assert decode_selectors(data) == selectors
    assert data[4:12] == bytes.fromhex("088700280000ffff")
    for length in range(len(data)):
        with pytest.raises(WireError):
            decode_selectors(data[:length])


# RFC 7296 section 3.13.1: the type in the upper eight bits, the lower ones zero; some send all.
@pytest.mark.parametrize(
    ("protocol", "ports", "message"),
    [
        (135, (0x0500, 0x0500), 5),
        (135, (0x0500, 0x05FF), 5),
        (135, (0x0000, 0x00FF), 0),
        (135, (0x0500, 0x06FF), None),
        (135, (0x0501, 0x05FF), None),
        (135, (0xFFFF, 0x0000), None),  # OPAQUE
        (135, (0x0000, 0xFFFF), None),
        (17, (0x0500, 0x0500), None),
    ],
)
def test_a_mobility_header_type_in_the_ports(protocol, ports, message):
    selector = TrafficSelector(protocol, HOA, HOA, *ports)
    assert selector.message == message
    assert selector.every_port is (ports == (0, 0xFFFF))
    assert TrafficSelector.of(HOA, 135, 5).encode()[4:8].hex() == "05000500"


def test_selectors_of_ipv4_are_left_out():
    ipv4 = bytes.fromhex("070000100000ffff0a0000010a0000ff")
    body = bytes((2, 0, 0, 0)) + ipv4 + TrafficSelector.of(HOA, 135).encode()
    assert decode_selectors(body) == (TrafficSelector.of(HOA, 135),)


def test_configuration_payload_of_rfc_5026():
    reply = Configuration.decode(
        bytes.fromhex("02000000")
        + bytes.fromhex("00080011")
        + HOA.packed
        + b"\x40"
        + bytes.fromhex("00100015 00000e10")
        + bytes.fromhex("20010db8010000000000000000000000")
        + b"\x40"
    )
    assert reply.address == (HOA, 64)
    assert reply.home_prefix == (IPv6Network("2001:db8:100::/64"), 3600)
    assert Configuration.decode(Configuration(1, ((8, HOA.packed),)).encode()).address == (HOA, 128)
    assert Configuration(1, ((8, b""), (16, b""))).address is None
    assert Configuration(2, ((16, bytes(20) + b"\xff"), (8, HOA.packed + b"\xff"))).address is None


def test_unknown_payloads_survive_unless_they_are_critical():
    payloads = (Payload(200, b"what"), Payload(PayloadType.VENDOR, b""))
    assert decode_chain(200, encode_chain(payloads)) == payloads
    critical = encode_chain([Payload(200, b"what", critical=True)])
    with pytest.raises(UnknownCriticalError) as error:
        decode_chain(200, critical)
    assert (error.value.code, error.value.kind) == (1, 200)
    known = encode_chain([Payload(PayloadType.NONCE, b"what", critical=True)])
    assert len(decode_chain(PayloadType.NONCE, known)) == 1


def test_header():
    header = Header(b"initiato", b"responde", 35, 7, initiator=True, response=True)
    data = encode_plain(header, [Payload(PayloadType.NONCE, bytes(20))])
    message = split_datagram(data)
    assert (message.header, message.first, len(message.data)) == (header, 40, 52)
    for wrong in (data + b"\0", data[:-1], data[:17] + b"\x10" + data[18:], bytes(8) + data[8:]):
        with pytest.raises(WireError):
            split_datagram(wrong)


# Proposals.


def test_a_proposal_with_many_transforms_is_chosen_from():
    t = Transform.of
    both = Proposal(
        1,
        1,
        b"",
        (t(1, 12, 256), t(1, 12, 128), t(2, 5), t(2, 7), t(3, 12), t(4, 14), t(4, 19)),
    )
    ours = (IkeProposal(12, 128, 12, 5, 14), IkeProposal(12, 128, 12, 5, 19))
    offer = SecurityAssociation((both,))
    assert choose_ike(offer, ours, 19)[0] == ours[1]
    assert choose_ike(offer, ours, 14)[0] == ours[0]
    assert choose_ike(offer, ours, 31)[0] == ours[0]


@pytest.mark.parametrize(
    "extra",
    [
        Transform.of(9, 1),  # A type that nobody knows.
        Transform.of(5, 1),
        Transform.of(6, 2),
    ],
)
def test_a_proposal_with_an_unknown_type_is_not_acceptable(extra):
    (proposal,) = offer_ike([IkeProposal()]).proposals
    strange = replace(proposal, transforms=(*proposal.transforms, extra))
    with pytest.raises(PeerError) as error:
        choose_ike(SecurityAssociation((strange,)), [IkeProposal()], 31)
    assert error.value.code == NotifyType.NO_PROPOSAL_CHOSEN


def test_an_unknown_attribute_makes_a_transform_unacceptable():
    strange = Transform(1, 20, (Attribute(14, b"\0\x80"), Attribute(99, b"long", short=False)))
    (proposal,) = offer_ike([IkeProposal()]).proposals
    altered = replace(proposal, transforms=(strange, *proposal.transforms[1:]))
    with pytest.raises(PeerError):
        choose_ike(SecurityAssociation((altered,)), [IkeProposal()], 31)
    both = replace(proposal, transforms=(strange, *proposal.transforms))
    assert choose_ike(SecurityAssociation((both,)), [IkeProposal()], 31)[0] == IkeProposal()


def test_none_may_be_spelt_out():
    t = Transform.of
    transforms = (t(1, 20, 128), t(3, 0), t(2, 5), t(4, 31))
    offer = SecurityAssociation((Proposal(1, 1, b"", transforms),))
    assert choose_ike(offer, [IkeProposal()], 31)[0] == IkeProposal()
    esp = SecurityAssociation(
        (Proposal(1, 3, b"spi!", (t(1, 20, 128), t(4, 0), t(4, 19), t(5, 0), t(5, 1))),)
    )
    assert choose_esp(esp, [EspProposal()], (None, 19), None)[0].group is None
    assert choose_esp(esp, [EspProposal()], (None, 19), 19)[0].group == 19


def test_an_answer_that_was_not_offered_is_refused():
    ours = [IkeProposal()]
    _, chosen = choose_ike(offer_ike(ours), ours, 31)
    assert accept_ike(answer(chosen), ours) == (IkeProposal(), b"")
    for other in (IkeProposal(20, 256), IkeProposal(group=19), IkeProposal(prf=7)):
        with pytest.raises(PeerError, match="not offered"):
            accept_ike(offer_ike([other]), ours)
    with pytest.raises(PeerError, match="2 proposals"):
        accept_ike(offer_ike([*ours, *ours]), ours)


@pytest.mark.parametrize(
    "wrong", [(20, 128, 12), (12, 128, 0), (12, 127, 12), (20, 129, 0), (12, 128, 99)]
)
def test_impossible_proposals_cannot_be_configured(wrong):
    with pytest.raises(ValueError, match=r"unsupported|without an integrity"):
        IkeProposal(*wrong)
    with pytest.raises(ValueError, match=r"unsupported|without an integrity"):
        EspProposal(*wrong)


def test_payloads_that_a_message_must_not_have():
    nonce = Payload(PayloadType.NONCE, bytes(16))
    offer = Payload(PayloadType.SA, b"")
    ke = Payload(PayloadType.KE, b"")
    Contents.of([offer, ke, nonce, Payload(200, b""), Payload(PayloadType.VENDOR, b"")]).check(
        Form.INIT
    )
    for wrong in ([offer, ke], [offer, ke, nonce, nonce], [offer, ke, nonce, Payload(39, b"")]):
        with pytest.raises(PeerError, match="INIT with") as error:
            Contents.of(wrong).check(Form.INIT)
        assert error.value.code == NotifyType.INVALID_SYNTAX


# Machines.


def quiet(machine, before: int) -> bool:
    return all(type(e) is Discarded for e in list(machine.events)[before:])


@given(
    st.binary(max_size=200),
    st.sampled_from((34, 35, 36, 37, 99)),
    st.booleans(),
    st.integers(0, 63),
)
def test_random_bodies_are_discarded(body, exchange, known, flags):
    peers = Peers()
    peers.connect(1.0)
    (event,) = find(peers.ha, IkeEstablished)
    spis = event.spi_i + event.spi_r if known else b"somebody" + bytes(8)
    for first in (46, 33):
        head = spis + bytes((first, 0x20, exchange, flags)) + b"\0\0\0\2"
        data = head + (28 + len(body)).to_bytes(4) + body
        for machine, source in ((peers.ha, (str(COA), 500)), (peers.mn, (str(HA), 500))):
            before = len(machine.events)
            machine.handle_message(data, source, 1.0)
            assert quiet(machine, before)


def exchange_of(people, authority, kind: str, **link) -> Peers:
    if kind == "psk":
        return Peers(replace(FAST, cookie_threshold=0), **link)
    mn = people.mn if kind == "certificate" else replace(people.mn, certificate=None, key=None)
    peers = Peers(
        replace(FAST, identity=MN_NAME),
        replace(FAST, identity=HA_NAME, accept_eap=True),
        psk=None,
        credentials=mn,
        ha_credentials=people.ha,
        allocate=grant,
        **link,
    )
    if kind == "eap":
        Aaa(peers, authority)
    return peers


def how(authority, kind: str) -> dict:
    if kind == "psk":
        return {}
    eap = {"eap": eap_peer(authority)} if kind == "eap" else {}
    return {"remote_identity": HA_NAME, **eap}


@pytest.mark.parametrize("kind", ["psk", "certificate", "eap"])
def test_every_truncation_of_every_message_changes_nothing(people, authority, kind):
    """Each comes cut at every length first, with a length field that lies and one that fits."""
    peers = exchange_of(people, authority, kind)
    peers.mn.initiate(HA, ASSIGN, 0.0, **how(authority, kind))
    turns = ((peers.mn, peers.ha, (str(COA), 500)), (peers.ha, peers.mn, (str(HA), 500)))
    while any(m.outbox for m, _, _ in turns):
        for machine, other, address in turns:
            while machine.outbox:
                data = machine.outbox.popleft()[0]
                waiting, before = len(other.outbox), len(other.events)
                for length in range(0, len(data), 1 if len(data) < 400 else 7):
                    cut = data[:length]
                    other.handle_message(cut, address, 0.1)
                    if length >= 28:
                        honest = cut[:24] + length.to_bytes(4) + cut[28:]
                        other.handle_message(honest, address, 0.1)
                assert len(other.outbox) == waiting
                assert quiet(other, before)
                other.handle_message(data, address, 0.1)
    assert_up(peers)


@pytest.mark.parametrize("kind", ["psk", "certificate", "eap"])
def test_flipped_bits_never_raise(people, authority, kind):
    for bit in range(0, 8 * 700, 97):

        def flip(data, bit=bit):
            position = bit // 8
            if position >= len(data):
                return data
            return data[:position] + bytes([data[position] ^ 1 << bit % 8]) + data[position + 1 :]

        peers = exchange_of(people, authority, kind, tamper=flip)
        peers.mn.initiate(HA, SELECTORS, 0.0, **how(authority, kind))
        peers.link.run(130.0)
        assert find(peers.mn, IkeEstablished) or find(peers.mn, Failed)


INNER = st.lists(
    st.builds(
        Payload,
        st.sampled_from([*range(33, 49), 200]),
        st.binary(max_size=60),
        st.booleans(),
    ),
    max_size=5,
)


@given(INNER, st.sampled_from((35, 36, 37)), st.booleans())
def test_nonsense_inside_authentic_requests_is_answered_or_discarded(payloads, exchange, by_ha):
    peers = Peers()
    peers.connect(1.0)
    sender, other = (peers.ha, peers.mn) if by_ha else (peers.mn, peers.ha)
    (sa,) = sender.sas.table.values()
    header = Header(*sa.spis, exchange, 0 if by_ha else 2, initiator=sa.initiator, response=False)
    data = sa.keymat.sealer.seal(header, payloads)
    address = (str(HA if by_ha else COA), 500)
    other.handle_message(data, address, 1.0)
    assert other.outbox
    first = list(other.outbox)
    other.handle_message(data, address, 1.0)
    assert list(other.outbox) == first + first


@given(INNER, st.sampled_from(("auth", "child", "ike", "delete")))
def test_nonsense_inside_authentic_responses_ends_what_was_asked(payloads, what):
    peers = Peers()
    if what == "auth":
        peers.mn.initiate(HA, SELECTORS, 0.0)
        peers.ha.handle_message(peers.mn.outbox.popleft()[0], (str(COA), 500), 0.0)
        peers.mn.handle_message(peers.ha.outbox.popleft()[0], (str(HA), 500), 0.0)
        peers.ha.handle_message(peers.mn.outbox.popleft()[0], (str(COA), 500), 0.0)
        peers.ha.outbox.clear()
    else:
        peers.connect(1.0)
        if what == "child":
            peers.mn.rekey_children(HA, 1.0)
        elif what == "ike":
            peers.mn.rekey_ike(HA, 1.0)
        else:
            peers.mn.delete(HA, 1.0)
        peers.mn.outbox.clear()
    (theirs,) = peers.ha.sas.table.values()
    (ours,) = peers.mn.sas.table.values()
    request = ours.window.request
    header = Header(
        *theirs.spis, request.exchange, request.message_id, initiator=False, response=True
    )
    peers.mn.handle_message(theirs.keymat.sealer.seal(header, payloads), (str(HA), 500), 1.0)
    if what == "auth":
        assert find(peers.mn, Failed)
    assert ours.window.request is not request
    if what == "delete":
        assert find(peers.mn, IkeDeleted)


def test_a_request_with_bad_syntax_ends_the_ike_sa():
    peers = Peers()
    peers.connect(1.0)
    (sa,) = peers.mn.sas.table.values()
    header = Header(*sa.spis, 37, 2, initiator=True, response=False)
    bad = sa.keymat.sealer.seal(header, [Payload(PayloadType.DELETE, b"\3\4\0\2abc")])
    peers.ha.handle_message(bad, (str(COA), 500), 1.0)
    assert "malformed" in peers.reasons(peers.ha, IkeDeleted)[0]


def test_an_unknown_critical_payload_is_answered_and_nothing_ends():
    peers = Peers()
    peers.connect(1.0)
    (sa,) = peers.mn.sas.table.values()
    header = Header(*sa.spis, 37, 2, initiator=True, response=False)
    data = sa.keymat.sealer.seal(header, [Payload(222, b"", critical=True)])
    peers.ha.handle_message(data, (str(COA), 500), 1.0)
    answered = split_datagram(peers.ha.outbox.popleft()[0])
    (payload,) = sa.keymat.sealer.open(answered)
    note = Notification.decode(payload.body)
    assert (note.type, note.data) == (NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD, bytes([222]))
    assert not find(peers.ha, IkeDeleted)


def test_a_request_out_of_turn_is_refused_in_its_own_exchange():
    peers = Peers()
    peers.mn.initiate(HA, SELECTORS, 0.0)
    peers.ha.handle_message(peers.mn.outbox.popleft()[0], (str(COA), 500), 0.0)
    peers.mn.handle_message(peers.ha.outbox.popleft()[0], (str(HA), 500), 0.0)
    (sa,) = peers.mn.sas.table.values()
    header = Header(*sa.spis, 36, 1, initiator=True, response=False)
    peers.ha.handle_message(sa.keymat.sealer.seal(header, []), (str(COA), 500), 0.0)
    answered = split_datagram(peers.ha.outbox.popleft()[0])
    assert answered.header == replace(header, initiator=False, response=True)
    assert "out of turn" in peers.reasons(peers.ha, Failed)[0]


def test_old_requests_and_those_of_the_future_are_discarded():
    peers = Peers()
    peers.connect(1.0)
    (sa,) = peers.mn.sas.table.values()
    for message_id in (0, 1, 3, 77):
        header = Header(*sa.spis, 37, message_id, initiator=True, response=False)
        peers.ha.handle_message(sa.keymat.sealer.seal(header, []), (str(COA), 500), 1.0)
    assert not peers.ha.outbox
    assert len(find(peers.ha, Discarded)) == 4


def test_identities():
    assert Identity.of("mn@home.test").type == 3
    assert Identity.of("home.test").type == 2
    assert Identity.of("2001:db8::1").address == IPv6Address("2001:db8::1")
    assert identity_of("CN=x").type == 9
    with pytest.raises(WireError):
        Identity.decode(b"\5\0\0\0abc")


@pytest.mark.parametrize(("kind", "longest"), [(2, 253), (3, 253), (9, 1024), (11, 1024)])
def test_identities_have_a_greatest_length(kind, longest):
    head = bytes((kind, 0, 0, 0))
    assert len(Identity.decode(head + b"\xff" * longest).data) == longest
    with pytest.raises(WireError):
        Identity.decode(head + b"\xff" * (longest + 1))


def test_a_request_that_overtakes_the_response_to_ike_auth_is_answered_later():
    peers = Peers()
    mn, ha, coa, agent = peers.mn, peers.ha, (str(COA), 500), (str(HA), 500)
    mn.initiate(HA, SELECTORS, 0.0)
    ha.handle_message(mn.outbox.popleft()[0], coa, 0.0)
    mn.handle_message(ha.outbox.popleft()[0], agent, 0.0)
    ha.handle_message(mn.outbox.popleft()[0], coa, 0.0)
    ha.rekey_children(COA, 0.0)
    answer_, early = (data for data, _ in ha.outbox)
    ha.outbox.clear()
    mn.handle_message(early, agent, 0.0)
    assert not mn.outbox
    mn.handle_message(answer_, agent, 0.0)
    mn.handle_message(early, agent, 1.0)
    assert len(mn.outbox) == 1


def test_proposals_are_limited():
    one = IkeProposal()
    assert len(SecurityAssociation.decode(offer_ike([one] * 300).encode()).proposals) == 64
    empty = encode_list([bytes((1, 1, 0, 0))] * 65, 2)
    with pytest.raises(WireError, match="65 proposals"):
        SecurityAssociation.decode(empty)


def test_what_is_from_the_future_is_refused_in_clear():
    """RFC 7296 section 2.5; responses are not answered."""
    header = Header(
        b"8 octets", bytes(8), ExchangeType.IKE_SA_INIT, 0, initiator=True, response=False
    )
    critical = encode_plain(header, [Payload(222, b"", critical=True)])
    later = bytearray(encode_plain(header, []))
    later[17] = 0x30
    for request, kind, data in (
        (critical, NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD, bytes([222])),
        (bytes(later), NotifyType.INVALID_MAJOR_VERSION, b""),
    ):
        peers = Peers()
        peers.ha.handle_message(request, (str(COA), 500), 0.0)
        ((response, _),) = peers.ha.outbox
        message = split_datagram(response)
        assert message.header == replace(header, initiator=False, response=True)
        (note,) = Contents.of(decode_chain(message.first, message.body)).notifications
        assert (note.type, note.data) == (kind, data)
    later[19] |= 0x20
    peers = Peers()
    peers.ha.handle_message(bytes(later), (str(COA), 500), 0.0)
    assert not peers.ha.outbox


@pytest.mark.parametrize("spi", [0, 255])
def test_reserved_esp_spis_are_refused(spi):
    offer = offer_esp([EspProposal()], spi, None)
    with pytest.raises(PeerError) as refused:
        choose_esp(offer, [EspProposal()], (None,), None)
    assert refused.value.code == NotifyType.NO_PROPOSAL_CHOSEN
    with pytest.raises(PeerError, match="reserved SPI"):
        accept_esp(offer, [EspProposal()], None)
