"""RFC 6786: the home agent hidden from those on the link between PAA and PaC."""

import hmac

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from agents.core.machine import PeerError
from agents.core.reader import WireError
from agents.core.record import replace
from agents.pana.draft12 import DRAFT12
from agents.pana.encryption import crypt, first_counter
from agents.pana.events import Authenticated, Failed
from agents.pana.keys import Algorithms, KeyMaterial, SecurityAssociation, Suite
from agents.pana.rfc5191 import RFC5191
from agents.pana.rfc5191_wire import CODES, encode_avp
from agents.pana.wire import Avp, AvpName, Kind, Message, UnknownAvp
from tests.pana.fakes import ASSIGNMENT, PAA, FakeAaa, FakePeer, World, reasons, send

BOTH = {"pac": {"encryption": True, "renew_eap": FakePeer}, "paa": {"encryption": True}}
SA = SecurityAssociation(0x55667788, 12, b"k" * 32, b"p" * 16, b"q" * 16)
PEER = SecurityAssociation(0x55667788, 12, b"k" * 32, b"q" * 16, b"p" * 16)
HA = Avp(AvpName.HOME_AGENT_ADDRESS, b"\0\x40" + bytes(15) + b"\1")


def test_the_first_counter_block_is_the_rfcs():
    session = bytes.fromhex("aabbccdd")
    block = first_counter(0x55667788, session, 0x11223344)
    assert block.hex() == "0255667788aabbccdd11223344000001"


def test_the_cipher_is_aes_of_counted_blocks():
    key, data = bytes(range(16)), bytes(range(100))
    counter = first_counter(1, b"abcd", 7)
    ecb = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    blocks = b"".join(counter[:13] + number.to_bytes(3) for number in range(1, 8))
    stream = ecb.update(blocks)
    expected = bytes(a ^ b for a, b in zip(data, stream, strict=False))
    assert crypt(key, counter, data) == expected
    assert crypt(key, counter, expected) == data


def test_the_keys_against_the_formula_written_out():
    msk, suite = bytes(range(64)), Suite(5, 12, 1)
    material = KeyMaterial(msk, b"I_PAR", b"I_PAN", b"c" * 20, b"a" * 20, b"abcd", 7, suite)
    seed = b"I_PARI_PAN" + b"c" * 20 + b"a" * 20 + b"\0\0\0\x07"

    def key(label):
        return hmac.digest(msk, label + seed + b"\x01", "sha256")[:16]

    paa, pac = (RFC5191.derive(replace(material, is_pac=side)) for side in (False, True))
    assert paa.encrypt_key == pac.decrypt_key == key(b"IETF PANA PAA Encr")
    assert pac.encrypt_key == paa.decrypt_key == key(b"IETF PANA PaC Encr")
    assert paa.key == pac.key
    assert key(b"IETF PANA PaC Encr").hex() not in repr(pac)


def test_the_home_agent_is_hidden_if_both_want():
    world = World(**BOTH).bootstrap(5)
    assert world.pac_events(Authenticated)[0].assignment == ASSIGNMENT
    assert list(world.flights())[9][2] == (
        "Result-Code",
        "EAP-Payload",
        "Key-Id",
        "Session-Lifetime",
        "Encryption-Encap",
        "AUTH",
    )
    for _, _, data in world.link.sent:
        assert ASSIGNMENT.home_agent.packed not in data
        assert ASSIGNMENT.home_address.packed not in data


@pytest.mark.parametrize(("pac", "paa"), [(True, False), (False, True), (False, False)])
def test_it_goes_in_clear_if_one_does_not(pac, paa):
    world = World(pac={"encryption": pac}, paa={"encryption": paa}).bootstrap(5)
    assert world.pac_events(Authenticated)[0].assignment == ASSIGNMENT
    assert world.messages()[9].has(AvpName.HOME_AGENT_ADDRESS)


@pytest.mark.parametrize("lost", range(11))
def test_any_one_lost_message_is_made_good(lost):
    world = World(drop={lost}, **BOTH).bootstrap(20)
    assert world.pac_events(Authenticated)[0].assignment == ASSIGNMENT


def test_a_reauthentication_hides_it_under_a_new_key():
    world = World(**BOTH).bootstrap(5)
    first = world.session().transactions.sa
    assert world.pac.reauthenticate(5.0)
    world.link.run(10)
    second = world.session().transactions.sa
    assert first.encrypt_key != second.encrypt_key
    assert [event.assignment for event in world.pac_events(Authenticated)] == [ASSIGNMENT] * 2
    assert world.messages()[-2].has(AvpName.ENCRYPTION_ENCAP)


def test_taking_the_offer_away_is_detected():
    def tamper(data):
        message = RFC5191.decode(data)
        if message.kind is not Kind.START:
            return data
        avps = tuple(a for a in message.avps if a.name is not AvpName.ENCRYPTION_ALGORITHM)
        return RFC5191.encode(replace(message, avps=avps))

    world = World(tamper=tamper, **BOTH).bootstrap(200)
    assert world.pac_events(Authenticated) == []
    assert "PAR[C] with a wrong AUTH" in reasons(world.pac.events)
    assert len(world.pac_events(Failed)) == 1


def test_a_home_agent_in_clear_is_refused_where_encryption_is_agreed_on():
    world = World(drop={9}, **BOTH)
    world.bootstrap(0.5)
    message = world.messages()[9]
    sa = replace(world.session().transactions.sa, encrypt_key=b"")
    avps = tuple(
        avp for avp in message.avps if avp.name not in (AvpName.ENCRYPTION_ENCAP, AvpName.AUTH)
    )
    data = RFC5191.protect(replace(message, avps=(*avps, HA)), sa)
    assert send(world.pac, data, PAA, 0.5) == []
    assert reasons(world.pac.events) == ["the home agent in clear although encryption is agreed on"]


def sealed(*inner, outer=(), kind=Kind.PING):
    """A message of the peer with these AVPs encrypted."""
    counter = first_counter(PEER.key_id, b"abcd", 9)
    encap = crypt(PEER.encrypt_key, counter, b"".join(map(encode_avp, inner)))
    avps = (*outer, Avp(AvpName.ENCRYPTION_ENCAP, encap))
    return Message(kind, True, b"abcd", 9, avps)


def test_avps_that_may_be_hidden_are_found_in_their_place():
    cause = Avp.u32(AvpName.TERMINATION_CAUSE, 1)
    unknown = Avp(UnknownAvp(99), b"x")
    message = sealed(cause, unknown, kind=Kind.TERMINATION)
    RFC5191.check(message)
    assert RFC5191.decrypt(message, SA).avps == (cause, unknown)


@pytest.mark.parametrize(
    "name",
    [
        AvpName.AUTH,
        AvpName.INTEGRITY_ALGORITHM,
        AvpName.KEY_ID,
        AvpName.NONCE,
        AvpName.PRF_ALGORITHM,
        AvpName.RESULT_CODE,
        AvpName.ENCRYPTION_ALGORITHM,
        AvpName.ENCRYPTION_ENCAP,
        AvpName.PAC_INFORMATION,
    ],
)
def test_avps_that_must_not_be_hidden_are_refused(name):
    value = bytes(max(4, CODES[name].minimum))
    with pytest.raises(PeerError, match="inside Encryption-Encap"):
        RFC5191.decrypt(sealed(Avp(name, value)), SA)


def test_the_grammar_holds_for_what_was_hidden():
    with pytest.raises(PeerError, match="EAP-Payload is not allowed"):
        RFC5191.decrypt(sealed(Avp(AvpName.EAP_PAYLOAD, b"1234")), SA)
    with pytest.raises(PeerError, match="Termination-Cause is missing"):
        RFC5191.decrypt(sealed(Avp(UnknownAvp(99), b""), kind=Kind.TERMINATION), SA)


def test_encryption_that_was_not_agreed_on_is_refused():
    plain = SecurityAssociation(1, 12, b"k" * 32)
    for sa in (None, plain):
        with pytest.raises(PeerError, match="not agreed on"):
            RFC5191.decrypt(sealed(HA), sa)
    two = replace(sealed(HA), avps=sealed(HA).avps * 2)
    with pytest.raises(PeerError, match="has 2 Encryption-Encap"):
        RFC5191.check(two)


@given(st.binary(min_size=8, max_size=80))
def test_random_octets_inside_are_bad_bytes_or_refused(inner):
    message = Message(Kind.RESULT, True, b"abcd", 1, (Avp(AvpName.ENCRYPTION_ENCAP, inner),))
    try:
        RFC5191.decrypt(message, SA)
    except (WireError, PeerError):
        return


def test_a_pac_may_hide_what_it_sends():
    world = World(**BOTH).bootstrap(5)
    transactions = world.pac.session.transactions
    sa = transactions.sa
    message = Message(Kind.TERMINATION, True, transactions.session, 77, ())
    counter = first_counter(sa.key_id, transactions.session, 77)
    cause = encode_avp(Avp.u32(AvpName.TERMINATION_CAUSE, 1))
    encap = Avp(AvpName.ENCRYPTION_ENCAP, crypt(sa.encrypt_key, counter, cause))
    data = RFC5191.protect(replace(message, avps=(encap,)), sa)
    assert len(send(world.server, data, ("2001:db8:1::a", 716), 6.0)) == 1
    assert [event.cause for event in world.server.log if hasattr(event, "cause")] == ["LOGOUT"]


def test_the_draft_has_no_encryption():
    material = KeyMaterial(b"", b"", b"", b"", b"", b"", 1, Suite(2, 7, 1))
    with pytest.raises(PeerError, match="no encryption"):
        DRAFT12.derive(material)
    world = World(dialect=DRAFT12, pac={"encryption": True}, aaa=FakeAaa()).bootstrap(5)
    assert world.pac_events(Authenticated)[0].assignment == ASSIGNMENT


def test_only_known_ciphers_are_offered():
    with pytest.raises(ValueError, match="no implementation"):
        Algorithms((5,), (12,), (2,))
